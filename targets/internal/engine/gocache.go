package engine

import (
	"path/filepath"
	"slices"

	"drydock/targets/internal/gocache"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/host"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/stack"
)

// goCache is shared by all components that the same toolchain compiles, and by no others: Go does not see that the C
// library changed, so what the C compiler is stands in the name, and what the stack's own C library is made from. (What
// that came out as stands in the flags: see recipe.)
func (e *Engine) goCache(g *host.Go) string {
	id := "none"
	if g != nil {
		in := []graph.Input{{Name: "go", Value: g.ID}, {Name: "cc", Value: e.cc().ID}}
		for _, l := range e.Stack.Lock.File {
			if slices.Contains(e.Stack.Ground(), l.Component) {
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
