package engine

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/host"
	"drydock/targets/internal/recipe"
)

// goFits says whether some Go of this machine meets each component's constraint.
func (e *Engine) goFits(components []string) bool {
	for _, n := range components {
		if c := e.Stack.Component[n]; c != nil && recipe.Row(n).Go {
			if g, _ := e.facts.Pick(e.Stack.GoConstraint(c)); g == nil {
				return false
			}
		}
	}
	return true
}

// unpackToolchain unpacks the stack's Go where its zip was carried to this machine and not unpacked yet.
func (e *Engine) unpackToolchain() error {
	for _, r := range e.Stack.Toolchains() {
		if _, err := os.Stat(e.store.ToolchainDir(r)); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if _, err := os.Stat(e.store.ToolchainFile(r)); err != nil {
			continue
		}
		e.UI.Line("unpack    Go %s", r)
		if err := e.store.UnpackToolchain(r, e.Stack.Lock); err != nil {
			return err
		}
	}
	return nil
}

// bringGo gets the stack's own Go for a build that may use the network, where no Go of this machine fits, nobody named
// one, and the lock has its sum.
func (e *Engine) bringGo(ctx context.Context, parts []string) error {
	unknown := func(release string) bool { return e.Stack.Lock.GoFor(release) == nil }
	if e.offline || os.Getenv("GO") != "" || e.goFits(parts) || slices.ContainsFunc(e.Stack.Toolchains(), unknown) {
		return nil
	}
	return e.Toolchain(ctx, false, false)
}

// Toolchain brings the stack's own Gos into vendor-sources/: where no Go of this machine fits some component, or
// always, for a machine that has none.
func (e *Engine) Toolchain(ctx context.Context, always, record bool) error {
	releases := e.Stack.Toolchains()
	if len(releases) == 0 || !always && e.goFits(e.Stack.Parts()) {
		return nil
	}
	scratch := filepath.Join(e.Root, "build/tmp")
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return err
	}
	tool, env, err := e.online(ctx, scratch)
	if err != nil {
		return err
	}
	for _, r := range releases {
		if _, err := os.Stat(e.store.ToolchainFile(r)); err != nil {
			e.UI.Line("fetch     Go %s", r)
		}
		if err := e.store.Toolchain(ctx, r, e.Stack.Lock, tool, env, proxies(env), scratch, record); err != nil {
			return err
		}
	}
	e.facts = nil
	return e.look(ctx)
}

// online gives a go command that can reach modules, whatever its release, and its environment; without one, the
// environment alone.
func (e *Engine) online(ctx context.Context, home string) (string, []string, error) {
	env := []string{"PATH=" + e.facts.PathDirs(e.cc()), "HOME=" + home, "LC_ALL=C"}
	for _, k := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	g, _ := e.facts.Pick(">= 1.13") // the first that knows GOPROXY lists and the checksum database
	if g == nil {
		return "", append(env, "GOPROXY="+os.Getenv("GOPROXY")), nil
	}
	more, err := host.GoEnv(ctx, g.Path)
	return g.Path, append(env, more...), err
}

// proxies are the addresses in GOPROXY.
func proxies(env []string) []string {
	var list string
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "GOPROXY="); ok {
			list = v
		}
	}
	var urls []string
	for _, p := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == '|' }) {
		if strings.Contains(p, "://") {
			urls = append(urls, p)
		}
	}
	return urls
}
