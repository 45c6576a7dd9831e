package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/graph"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/source"
	"drydock/targets/internal/trace"
	"drydock/targets/internal/ui"
)

// The commands that explain only read: they take no lock, fetch nothing and write nothing.

// ofTarget gives the nodes that a command builds; nil where the stack has none.
func (e *Engine) ofTarget(name string) []string {
	if name == packageNode {
		return []string{packageNode}
	}
	return recipe.OfTarget(e.Stack, name)
}

// andBuilt stands for everything, with the extras that were built on request.
const andBuilt = "*"

// named gives the nodes that a name on the command line stands for; "" is everything.
func (e *Engine) named(name string) ([]string, error) {
	switch {
	case name == "":
		return []string{packageNode}, nil
	case name == andBuilt:
		return append([]string{packageNode}, slices.DeleteFunc(e.built(), func(n string) bool { return slices.Contains(e.Stack.Parts(), n) })...), nil
	case name == "all":
		return []string{packageNode}, nil
	}
	if parts := e.ofTarget(name); parts != nil {
		return parts, nil
	}
	return nil, fmt.Errorf("%q is no component: want one of %s, docker, all, package", name, strings.Join(e.Stack.Parts(), ", "))
}

// survey makes the graph as it would be run now, without the network. It gives, by component, what a fetch would
// have to bring first.
func (e *Engine) survey(ctx context.Context, names []string) (g *graph.Graph, found map[string]*source.Source, lacks map[string]string, err error) {
	if err := e.look(ctx); err != nil {
		return nil, nil, nil, err
	}
	found, lacks = map[string]*source.Source{}, map[string]string{}
	for _, n := range e.partsOf(names) {
		src, lack, err := e.src.Survey(e.Stack.Component[n], e.sourceOf(n))
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
	if r := e.records().Load(component); r != nil {
		return r.From.Source
	}
	return ""
}

// verbs say what a run would do with a node.
var verbs = map[graph.Status]string{graph.Fresh: "nothing", graph.Stale: "build", graph.Ready: "fetch", graph.Damaged: "restore", graph.Depends: "perhaps"}

// Plan prints what a run would do, why, and how long it took the last time.
func Plan(ctx context.Context, name string) error {
	return explain(ctx, name, func(e *Engine, plan []graph.Planned, lacks map[string]string) error {
		rows := [][]string{{"COMPONENT", "WOULD", "LAST TOOK", "WHY"}}
		var jobs []graph.Job
		work, unknown, restore, fetch := 0, 0, 0, 0
		for _, p := range plan {
			why := p.Why
			if lacks[p.Name] != "" && p.Status != graph.Fresh && p.Status != graph.Ready {
				why = strings.TrimPrefix(why+"; "+lacks[p.Name], "; ")
			}
			took := ""
			if p.Record != nil {
				took = ui.Seconds(p.Record.Seconds)
			}
			switch p.Status {
			case graph.Damaged:
				restore++
			case graph.Ready:
				fetch++
			}
			if p.Status == graph.Stale {
				if work++; p.Record == nil {
					unknown++
				} else {
					jobs = append(jobs, graph.Job{Name: p.Name, Needs: e.needs(p.Name), Steps: p.Record.Steps})
				}
			}
			rows = append(rows, []string{p.Name, verbs[p.Status], took, why})
		}
		e.UI.Text(ui.Table(rows))
		switch {
		case work == 0 && fetch > 0:
			e.UI.Text(fmt.Sprintf("nothing to build, %d to fetch from %s", fetch, e.shared.Address))
		case work == 0 && restore > 0:
			e.UI.Text(fmt.Sprintf("nothing to build, %d to restore", restore))
		case work == 0:
			e.UI.Text("nothing to build")
		case unknown > 0:
			e.UI.Text(fmt.Sprintf("%d to build; how long is not known before each was built once", work))
		default:
			e.UI.Text(fmt.Sprintf("%d to build, about %s", work, ui.Seconds(graph.Simulate(jobs, e.width(), e.cores(), e.cores()))))
		}
		return nil
	})
}

// Why prints every input of a component that is not what it was when it was built, the first one in full.
func Why(ctx context.Context, name string) error {
	return explain(ctx, name, func(e *Engine, plan []graph.Planned, lacks map[string]string) error {
		want, _ := e.named(name)
		for _, p := range plan {
			if !slices.Contains(want, p.Name) {
				continue
			}
			switch p.Status {
			case graph.Fresh:
				e.UI.Text(fmt.Sprintf("%s is fresh: built %s, nothing that it is made from has changed since", p.Name, p.Record.Built.Local().Format(time.DateTime)))
			case graph.Damaged:
				e.UI.Text(fmt.Sprintf("%s would be restored: %s", p.Name, p.Why))
			case graph.Ready:
				e.UI.Text(fmt.Sprintf("%s would be fetched from %s: %s", p.Name, e.shared.Address, p.Why))
			case graph.Depends:
				e.UI.Text(fmt.Sprintf("%s would be built %s; its own inputs are what they were", p.Name, p.Why))
			case graph.Stale:
				if p.Record == nil {
					e.UI.Text(p.Name + " was never built")
					break
				}
				c := p.Changes[0]
				was, is := graph.Parting(c.Was, c.Is)
				e.UI.Text(fmt.Sprintf("%s would be built, because of its %s\n  was  %s\n  is   %s", p.Name, c.Name, orNone(was), orNone(is)))
				for _, c := range p.Changes[1:] {
					e.UI.Text("  and  " + c.Name)
				}
			}
			if lacks[p.Name] != "" {
				e.UI.Text("  " + lacks[p.Name])
			}
		}
		return nil
	})
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return strings.ReplaceAll(s, "\n", "\n       ")
}

// Status prints each component: fresh or stale and why, version, size, when it was built and how long that took.
func Status(ctx context.Context) error {
	return explain(ctx, andBuilt, func(e *Engine, plan []graph.Planned, lacks map[string]string) error {
		rows := [][]string{{"COMPONENT", "VERSION", "STATE", "SIZE", "BUILT", "TOOK", "WHY"}}
		for _, p := range plan {
			size, built, took := "", "never", ""
			if p.Record != nil {
				if n := e.sizeOf(p.Record); n > 0 {
					size = ui.Bytes(n)
				}
				built, took = p.Record.Built.Local().Format(time.DateTime), ui.Seconds(p.Record.Seconds)
			}
			state := string(p.Status)
			if p.Status == graph.Fresh {
				state = e.UI.Good(state)
			} else {
				state = e.UI.Bad(state)
			}
			why := p.Why
			if lacks[p.Name] != "" && p.Status != graph.Fresh && p.Status != graph.Ready {
				why = strings.TrimPrefix(why+"; "+lacks[p.Name], "; ")
			}
			if p.Status == graph.Fresh && p.Record.Origin != "" {
				why = "fetched from " + p.Record.Origin
			}
			rows = append(rows, []string{p.Name, e.versionOf(p.Name), state, size, built, took, why})
		}
		e.UI.Text(ui.Table(rows) + "fresh: as recorded, by size, mode, time and inode; \"mage verify -full\" reads what is in the files\n")
		return nil
	})
}

// Graph prints what needs what: as a tree, or as a drawing in dot or SVG.
func Graph(ctx context.Context, format string) error {
	return explain(ctx, "", func(e *Engine, plan []graph.Planned, lacks map[string]string) error {
		var nodes []trace.Node
		for _, p := range plan {
			nodes = append(nodes, trace.Node{Planned: p, Version: e.versionOf(p.Name), Needs: e.needs(p.Name)})
		}
		switch format {
		case "", "text":
			e.UI.Text(trace.Tree(nodes))
		case "dot":
			fmt.Print(trace.Dot(nodes))
		case "svg":
			fmt.Print(trace.GraphSVG(nodes))
		default:
			return fmt.Errorf("-format=%s: want text, dot or svg", format)
		}
		return nil
	})
}

// explain makes a plan and gives it to show.
func explain(ctx context.Context, name string, show func(*Engine, []graph.Planned, map[string]string) error) error {
	return command(ctx, func(ctx context.Context, e *Engine) error {
		names, err := e.named(name)
		if err != nil {
			return err
		}
		if e.shared != nil {
			if err := e.look(ctx); err != nil {
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
		return show(e, plan, lacks)
	})
}

// sizeOf is the size of what a node publishes, in bytes.
func (e *Engine) sizeOf(r *graph.Record) (size int64) {
	for _, o := range r.Outputs {
		if fi, err := os.Lstat(filepath.Join(e.Root, o.Path)); err == nil && fi.Mode().IsRegular() && strings.HasPrefix(o.Path, e.rel(e.output())+"/") {
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
