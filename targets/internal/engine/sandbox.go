package engine

import (
	"os"
	"path/filepath"

	"drydock/targets/internal/failure"
	"drydock/targets/internal/host"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/store"
)

// confine stops what would run something that sources say or made, where that cannot be confined; where the user
// allows it, it says what is missing.
func (e *Engine) confine() error {
	iso := run.Isolated()
	if err := iso.Allowed(); err != nil {
		return failure.With(failure.Host, err)
	}
	if len(iso.Refused) > 0 {
		e.UI.Line("notice    ISOLATION=best-effort: build steps are not confined as they should be: %s", iso)
	}
	return nil
}

// sandbox is what the steps of a component are confined to: their own directories, and for reading the tools and what
// the component is made with. g is nil for one that no Go compiles: it has no business with Go's cache.
func (e *Engine) sandbox(p recipe.Paths, g *host.Go) *run.Sandbox {
	s := e.toolSandbox(g, p.Work, p.Stage, p.Home, p.Tmp)
	s.Read = append(s.Read, p.Shims)
	for _, d := range p.Deps {
		s.Read = append(s.Read, d)
	}
	if g != nil {
		s.Write = append(s.Write, p.Cache)
		if shared, err := filepath.EvalSymlinks(e.goCache(g)); err == nil { // where links of store.Lend lead
			s.Read = append(s.Read, shared)
		}
	}
	return s
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
		return store.Lend(own, e.goCache(g))
	}
	return nil
}

// toolSandbox is for tools that write to those directories.
func (e *Engine) toolSandbox(g *host.Go, write ...string) *run.Sandbox {
	return &run.Sandbox{Read: e.facts.Dirs(e.cc(), g), Write: write,
		Hide: []string{e.Root, os.Getenv("HOME"), os.Getenv("SIGN_KEY"), os.Getenv("SIGN_PASSWORD_FILE")}}
}

// take takes over what the steps left: the outputs, and the objects of the links.
func take(plan recipe.Plan, stage string) error {
	var names []string
	for _, o := range plan.Outputs {
		names = append(names, o.Name)
	}
	for _, bin := range plan.Relink {
		names = append(names, recipe.RelinkDir(".", bin))
	}
	return run.Take(stage, names...)
}
