package engine

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/gocache"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/host"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/store"
)

// goCache is shared by all components that the same toolchain compiles, and by no others: Go does not see that the C
// library changed, so what the C compiler is stands in the name, and what the stack's own C library is made from. (What
// that came out as stands in the flags: see recipe.)
func (e *Engine) goCache(g *host.Go) string {
	id := "none"
	if g != nil {
		in := []graph.Input{{Name: "go", Value: g.ID}, {Name: "cc", Value: e.cc().ID}}
		for _, l := range e.Stack.Lock.File {
			if slices.Contains(e.Stack.Ground(), l.Component) && e.Stack.Uses(l) {
				in = append(in, graph.Input{Name: l.Component + " " + l.Name, Value: l.SHA256})
			}
		}
		id = graph.Key(in)[:12]
	}
	return filepath.Join(e.Root, "build/cache", "go-"+id)
}

// cache is where Go keeps what it compiles for a component. Those without C share one: nothing in it was written by
// anything but Go's own programs, which run nothing of the sources'. Where C is compiled, the sources have a say in
// the compiler's command line, which has been a way to run something (golang/go#60167 is one): such a component has a
// cache of its own, in which it finds what the shared one has, and cannot change it.
func (e *Engine) cache(c *stack.Component, g *host.Go) string {
	if recipe.UsesC(c) && g != nil {
		return e.goCache(g) + "-" + c.Name
	}
	return e.goCache(g)
}

// lend lends a component's own cache what the shared one has.
func (e *Engine) lend(c *stack.Component) error {
	_, g := e.tools(c)
	if own := e.cache(c, g); g != nil && own != e.goCache(g) {
		return gocache.Lend(own, e.goCache(g))
	}
	return nil
}

// unshared says which components have no use of the server of what Go compiles, where there is one.
func (e *Engine) unshared(names []string) {
	var old []string
	for _, n := range names {
		if _, g := e.tools(e.Stack.Component[n]); g != nil && !gocache.Asks(g.Version) {
			old = append(old, n+" (Go "+g.Version+")")
		}
	}
	if e.goServer != nil && old != nil {
		e.UI.Line("notice    GO_CACHE_SERVER is of no use to %s: Go asks for what others compiled since 1.24",
			strings.Join(old, ", "))
	}
}

// share lays out a component's steps so that what Go compiles is that of other checkouts, too, where there is a server
// for it.
func (m *making) share() error {
	e, g := m.e, m.job.Go
	if e.goServer == nil || g == nil || !gocache.Asks(g.Version) {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	m.sandbox.Read = append(m.sandbox.Read, self)
	m.asking = "GOCACHEPROG=" + gocache.Program(self, run.BesideIn, run.BesideOut)
	if run.Isolated().Refused[run.Files] != "" {
		return nil
	}
	shims := filepath.Join(filepath.Dir(m.paths.Shims), "named")
	named, real := m.paths.Named(shims)
	plan := recipe.Of(e.Stack, m.job.Name, m.job.Tools, named)
	m.steps, m.named, m.sandbox.Names = plan.Steps, named, real
	for _, f := range plan.Files {
		if name, ok := strings.CutPrefix(f.Path, named.Shims+"/"); ok {
			f.Path = filepath.Join(shims, name)
			if err := store.WriteFiles(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask has a step's Go ask the server.
func (m *making) ask(cmd *run.Cmd) {
	if m.asking == "" {
		return
	}
	e := m.e
	names := []string{filepath.Base(m.paths.Cache)}
	if shared := filepath.Base(e.goCache(m.job.Go)); shared != names[0] {
		names = append(names, shared)
	}
	// Go's index of a directory goes by path and file times, which no other checkout has: to ask for it is in vain.
	cmd.Env = append(slices.Clone(cmd.Env), m.asking, "GODEBUG=goindex=0")
	cmd.Beside = func(ctx context.Context, r io.Reader, w io.Writer) {
		if had := e.goServer.Serve(ctx, names, r, w); had.Taken.Load()+had.Given.Load() > 0 {
			fmt.Fprintf(m.log, "# the compile cache: %s\n", had)
			e.UI.Line("cache     %s: %s", m.job.Name, had)
		}
	}
}
