package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"drydock/targets/internal/graph"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/source"
	"drydock/targets/internal/trace"
)

// The commands that explain only read: they take no lock, fetch nothing and write nothing.

// ofTarget gives the nodes that a command builds; nil where the stack has none.
func (e *Engine) ofTarget(name string) []string {
	if name == PackageNode {
		return []string{PackageNode}
	}
	return recipe.OfTarget(e.Stack, name)
}

// andBuilt stands for everything, with the extras that were built on request.
const andBuilt = "*"

// named gives the nodes that a name on the command line stands for; "" is everything.
func (e *Engine) named(name string) ([]string, error) {
	switch name {
	case "", "all":
		return []string{PackageNode}, nil
	case andBuilt:
		part := func(n string) bool { return slices.Contains(e.Stack.Parts(), n) }
		return append([]string{PackageNode}, slices.DeleteFunc(e.Built(), part)...), nil
	}
	if parts := e.ofTarget(name); parts != nil {
		return parts, nil
	}
	return nil, fmt.Errorf("%q is no component: want one of %s, docker, all, package", name,
		strings.Join(e.Stack.Parts(), ", "))
}

// survey makes the graph as it would be run now, without the network. It gives, by component, what a fetch would
// have to bring first.
func (e *Engine) survey(ctx context.Context, names []string) (g *graph.Graph, found map[string]*source.Source,
	lacks map[string]string, err error) {
	if err := e.Look(ctx); err != nil {
		return nil, nil, nil, err
	}
	found, lacks = map[string]*source.Source{}, map[string]string{}
	for _, n := range e.partsOf(names) {
		src, lack, err := e.Sources.Survey(e.Stack.Component[n], e.sourceOf(n))
		if err != nil {
			return nil, nil, nil, err
		}
		if found[n] = src; lack != "" {
			lacks[n] = lack
		}
	}
	g, err = e.graph(names, found)
	return g, found, lacks, err
}

// sourceOf is the digest of the source of a component's last build; empty without one.
func (e *Engine) sourceOf(component string) string {
	if r := e.Records().Load(component); r != nil {
		return r.From.Source
	}
	return ""
}

// Plan prints what a run would do, why, and how long it took the last time. It fails on a name that is no component's,
// as all that explain do.
func Plan(ctx context.Context, name string) error {
	return explain(ctx, name, func(e *Engine, plan []trace.Node) error {
		e.UI.Text(trace.Would(plan, width, runtime.NumCPU(), e.sharedAt()))
		return nil
	})
}

// Why prints every input of a component that is not what it was when it was built, the first one in full.
func Why(ctx context.Context, name string) error {
	return explain(ctx, name, func(e *Engine, plan []trace.Node) error {
		want, _ := e.named(name)
		for _, n := range plan {
			if slices.Contains(want, n.Name) {
				e.UI.Text(trace.Because(n, e.sharedAt()))
			}
		}
		return nil
	})
}

// Status prints each component: fresh or stale and why, version, size, when it was built and how long that took.
func Status(ctx context.Context) error {
	return explain(ctx, andBuilt, func(e *Engine, plan []trace.Node) error {
		e.UI.Text(trace.States(plan, e.UI) + "fresh: as recorded, by size, mode, time and inode; \"mage verify " +
			"-full\" reads what is in the files\n")
		return nil
	})
}

// Graph prints what needs what: as a tree, or as a drawing in dot or SVG. An unknown format is an error.
func Graph(ctx context.Context, format string) error {
	return explain(ctx, "", func(e *Engine, plan []trace.Node) error {
		switch format {
		case "", "text":
			e.UI.Text(trace.Tree(plan))
		case "dot":
			fmt.Print(trace.Dot(plan))
		case "svg":
			fmt.Print(trace.GraphSVG(plan))
		default:
			return fmt.Errorf("-format=%s: want text, dot or svg", format)
		}
		return nil
	})
}

// explain makes a plan and gives it to show.
func explain(ctx context.Context, name string, show func(*Engine, []trace.Node) error) error {
	return Command(ctx, func(ctx context.Context, e *Engine) error {
		names, err := e.named(name)
		if err != nil {
			return err
		}
		if e.Shared != nil {
			if err := e.Look(ctx); err != nil {
				return err
			}
			e.borrow(ctx, e.partsOf(names), false)
			e.believed = e.packers()[0]
		}
		g, _, lacks, err := e.survey(ctx, names)
		if err != nil {
			return err
		}
		g.Elsewhere = e.elsewhere(ctx)
		plan, err := g.Plan(names)
		if err != nil {
			return err
		}
		var nodes []trace.Node
		for _, p := range plan {
			n := trace.Node{Planned: p, Version: e.versionOf(p.Name), Needs: e.needs(p.Name), Lacks: lacks[p.Name]}
			if p.Record != nil {
				n.Size = e.sizeOf(p.Record)
			}
			nodes = append(nodes, n)
		}
		return show(e, nodes)
	})
}

// sharedAt is the address of the team's cache; empty without one.
func (e *Engine) sharedAt() string {
	if e.Shared == nil {
		return ""
	}
	return e.Shared.Address
}

// sizeOf is the size of what a node publishes, in bytes.
func (e *Engine) sizeOf(r *graph.Record) (size int64) {
	for _, o := range r.Outputs {
		if fi, err := os.Lstat(filepath.Join(e.Root, o.Path)); err == nil && fi.Mode().IsRegular() &&
			strings.HasPrefix(o.Path, e.Rel(e.OutputDir())+"/") {
			size += o.Size
		}
	}
	return size
}

func (e *Engine) versionOf(name string) string {
	if c := e.Stack.Component[name]; c != nil {
		return c.Version
	}
	return e.Stack.Version
}
