package host

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/run"

	version "github.com/hashicorp/go-version"
)

// Go is one Go toolchain.
type Go struct {
	Path    string `json:"path"`
	Version string `json:"version"`           // 1.26.8
	Root    string `json:"root"`              // GOROOT
	ID      string `json:"id"`                // the digest over the go command, the compiler and the linker
	Problem string `json:"problem,omitempty"` // why it cannot be used at all; empty when it can
}

// findGo lists every toolchain in the usual places. GO= leaves just that one.
func (f *Facts) findGo(ctx context.Context) {
	var paths []string
	if f.Asked.Go != "" {
		paths = []string{f.Asked.Go}
	} else {
		if p := f.lookPath("go"); p != "" {
			paths = append(paths, p)
		}
		if f.Asked.Goroot != "" {
			paths = append(paths, filepath.Join(f.Asked.Goroot, "bin/go"))
		}
		sdk := filepath.Join(f.Asked.Home, "sdk")
		f.stamp("/usr/local", "/usr/lib", sdk, f.Asked.Sources+unpacked)
		paths = slices.Concat(paths, archive.Glob("/usr/local", "go*/bin/go"), archive.Glob("/usr/lib", "go-*/bin/go"),
			archive.Glob(sdk, "go*/bin/go"), archive.Glob(f.Asked.Sources, "go*/bin/go"))
	}
	seen := map[string]bool{}
	paths = slices.DeleteFunc(paths, func(p string) bool {
		to := resolved(p)
		drop := seen[to]
		seen[to] = true
		return drop
	})
	f.Gos = make([]Go, len(paths))
	var wg sync.WaitGroup
	for i, p := range paths {
		wg.Go(func() { f.Gos[i] = f.askGo(ctx, p) })
	}
	wg.Wait()
}

var goVersionRE = regexp.MustCompile(`go version go(\d+(?:\.\d+)*)(\S*) linux/(\S+)`)

func (f *Facts) askGo(ctx context.Context, path string) Go {
	g := Go{Path: path}
	f.stamp(path)
	out, err := run.Cmd{Argv: []string{path, "version"}, Env: f.env(), Dir: "/"}.Output(ctx)
	m := goVersionRE.FindStringSubmatch(out)
	switch {
	case err != nil:
		g.Problem = "does not run: " + err.Error()
		return g
	case m == nil:
		g.Problem = fmt.Sprintf("says %q, want \"go version go1.…\"", strings.TrimSpace(out))
		return g
	}
	g.Version = m[1]
	root, err := run.Cmd{Argv: []string{path, "env", "GOROOT"}, Env: f.env(), Dir: "/"}.Output(ctx)
	if err != nil {
		g.Problem = "has no GOROOT: " + err.Error()
		return g
	}
	g.Root = strings.TrimSpace(root)
	tools := filepath.Join(g.Root, "pkg/tool/linux_"+m[3])
	files := []string{path, filepath.Join(tools, "compile"), filepath.Join(tools, "link")}
	ids, errs := make([]string, len(files)), make([]error, len(files))
	var wg sync.WaitGroup
	for i, p := range files {
		f.stamp(p)
		wg.Go(func() { ids[i], errs[i] = archive.SHA256File(p) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			g.Problem = "is not whole: " + err.Error()
			return g
		}
	}
	g.ID = digest(ids...)
	return g
}

// Pick takes the newest toolchain that meets the constraint, and says why the others were passed over.
func (f *Facts) Pick(constraint string) (*Go, []string) {
	c, err := version.NewConstraint(constraint)
	if err != nil {
		return nil, []string{err.Error()}
	}
	var best *Go
	var bestV *version.Version
	var passed []string
	for i, g := range f.Gos {
		v, err := version.NewVersion(g.Version)
		switch {
		case err == nil && !c.Check(v):
			passed = append(passed, fmt.Sprintf("%s is %s", g.Path, g.Version))
			continue
		case err != nil || g.Problem != "":
			passed = append(passed, g.Path+" "+g.Problem)
			continue
		}
		if best == nil || v.GreaterThan(bestV) {
			best, bestV = &f.Gos[i], v
		}
	}
	return best, passed
}

// meets reports whether a release fits a constraint.
func meets(release, constraint string) bool {
	v, err := version.NewVersion(release)
	c, err2 := version.NewConstraint(constraint)
	return err == nil && err2 == nil && c.Check(v)
}

// GoEnv asks a go command for the settings that this machine uses to reach modules; an error where it does not answer.
func GoEnv(ctx context.Context, goTool string) ([]string, error) {
	asked := []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE"}
	cmd := exec.CommandContext(ctx, goTool, append([]string{"env"}, asked...)...)
	// Nothing else of the user's settings, nor a go.mod or go.work of where we are, may have a say in it. An empty one
	// would be read from the file of "go env -w".
	cmd.Dir = "/"
	for _, kv := range os.Environ() {
		if k, _, _ := strings.Cut(kv, "="); !strings.HasPrefix(k, "GO") || k == "GOENV" || slices.Contains(asked, k) {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, "GOTOOLCHAIN=local", "GOFLAGS=-v", "GOWORK=off", "GO111MODULE=on",
		"GOOS=linux", "GOARCH="+runtime.GOARCH)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s env: %w", goTool, err)
	}
	values := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(values) != len(asked) {
		return nil, fmt.Errorf("%s env: got %q, want a line for each of %s", goTool, out, strings.Join(asked, ", "))
	}
	var env []string
	for i, k := range asked {
		env = append(env, k+"="+strings.TrimSpace(values[i]))
	}
	return env, nil
}

// Texts are the licence texts that lie in the toolchain.
func (g *Go) Texts() (have []string) {
	path, err := filepath.EvalSymlinks(g.Path)
	if err != nil {
		return nil
	}
	for _, n := range []string{"LICENSE", "PATENTS"} {
		t := filepath.Join(filepath.Dir(filepath.Dir(path)), n)
		if _, err := os.Stat(t); err == nil {
			have = append(have, t)
		}
	}
	return have
}
