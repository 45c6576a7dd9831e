package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"drydock/targets/internal/host"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
	"drydock/targets/internal/source"
)

// GoFits says whether some Go of this machine meets each component's constraint.
func (e *Engine) GoFits(components []string) bool {
	for _, n := range components {
		if c := e.Stack.Component[n]; c != nil && recipe.Row(n).Go {
			if g, _ := e.facts.Pick(e.Stack.GoConstraint(c)); g == nil {
				return false
			}
		}
	}
	return true
}

// bringGo gets the stack's own Go for a build that may use the network, where no Go of this machine fits, nobody named
// one, and the lock has its sum.
func (e *Engine) bringGo(ctx context.Context, parts []string) error {
	unknown := func(release string) bool { return e.Stack.Lock.GoFor(release) == nil }
	if e.Sources.Offline() || os.Getenv("GO") != "" || e.GoFits(parts) ||
		slices.ContainsFunc(e.Stack.Toolchains(), unknown) {
		return nil
	}
	return e.Toolchain(ctx, e.Sources, false)
}

// Toolchain brings the stack's own Gos into vendor-sources/: where no Go of this machine fits some component, or
// always, for a machine that has none. It fails where one cannot be had.
func (e *Engine) Toolchain(ctx context.Context, src *source.Set, always bool) error {
	releases := e.Stack.Toolchains()
	if len(releases) == 0 || !always && e.GoFits(e.Stack.Parts()) {
		return nil
	}
	for _, r := range releases {
		if _, err := os.Stat(src.ToolchainFile(r)); err != nil {
			e.UI.Line("fetch     Go %s", r)
		}
		if err := src.Toolchain(ctx, r); err != nil {
			return err
		}
	}
	return e.lookAgain(ctx)
}

// GoTool is the Go that compiles drydock's own programs for a stack, and what it is confined to.
type GoTool struct {
	Path string
	Env  []string
	Box  *run.Sandbox
}

// GoTool returns the Go that compiles the stack's docker command, for what is compiled in dir. Where no Go of this
// machine is the one, the error names what would be compiled.
func (e *Engine) GoTool(ctx context.Context, dir, what string) (*GoTool, error) {
	if err := e.Look(ctx); err != nil {
		return nil, err
	}
	c := e.Stack.Component[recipe.Client]
	_, g := e.tools(c)
	if g == nil {
		return nil, fmt.Errorf("no Go meets %s, which compiles %s: \"mage check\"", e.Stack.GoConstraint(c), what)
	}
	cache := e.goCache(g)
	env := []string{"PATH=" + e.facts.PathDirs(e.cc()), "HOME=" + dir, "GOCACHE=" + cache, "LC_ALL=C"}
	return &GoTool{Path: g.Path, Env: append(env, e.Stack.Arch().Go()...), Box: e.toolSandbox(g, dir, cache)}, nil
}

// pick returns the Go that meets a constraint, and its release.
func (e *Engine) pick(constraint string) (path, release string) {
	if g, _ := e.facts.Pick(constraint); g != nil {
		return g.Path, g.Version
	}
	return "", ""
}

// online returns a go command that can reach modules, whatever its release, with its environment; without one, the
// environment alone.
func (e *Engine) online(ctx context.Context) (source.Go, error) {
	home := filepath.Join(e.Root, "build/tmp")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return source.Go{}, err
	}
	env := []string{"PATH=" + e.facts.PathDirs(e.cc()), "HOME=" + home, "LC_ALL=C"}
	for _, k := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
		"SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	tool, _ := e.pick(">= 1.13") // the first that knows GOPROXY lists and the checksum database
	if tool == "" {
		return source.Go{Env: append(env, "GOPROXY="+os.Getenv("GOPROXY"))}, nil
	}
	more, err := host.GoEnv(ctx, tool)
	return source.Go{Path: tool, Env: append(env, more...)}, err
}
