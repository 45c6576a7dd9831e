package trace

import (
	"fmt"
	"html"
	"slices"
	"strings"

	"drydock/targets/internal/graph"
	"drydock/targets/internal/ui"
)

// Node is a node of a plan with what a drawing says of it. In a plan to draw, needs come first, and the last one needs
// all.
type Node struct {
	graph.Planned
	Version string
	Needs   []string
	Size    int64  // of what it publishes, in bytes
	Lacks   string // what a fetch would have to bring first
}

// Tree writes a plan with what a node needs below it.
func Tree(plan []Node) string {
	by := map[string]Node{}
	for _, p := range plan {
		by[p.Name] = p
	}
	var b strings.Builder
	var show func(name, indent, branch string, last bool)
	show = func(name, indent, branch string, last bool) {
		p := by[name]
		fmt.Fprintf(&b, "%s%s%s %s (%s)\n", indent, branch, name, p.Version, p.Status)
		if branch != "" {
			if last {
				indent += "   "
			} else {
				indent += "│  "
			}
		}
		for i, n := range p.Needs {
			branch := "├─ "
			if i == len(p.Needs)-1 {
				branch = "└─ "
			}
			show(n, indent, branch, i == len(p.Needs)-1)
		}
	}
	show(plan[len(plan)-1].Name, "", "", true)
	return b.String()
}

// Dot writes the graph for Graphviz.
func Dot(plan []Node) string {
	var b strings.Builder
	b.WriteString("digraph drydock {\n\trankdir=LR;\n\tnode [shape=box];\n")
	for _, p := range plan {
		fmt.Fprintf(&b, "\t%q [label=\"%s\\n%s\"];\n", p.Name, p.Name, p.Status)
		for _, n := range p.Needs {
			fmt.Fprintf(&b, "\t%q -> %q;\n", n, p.Name)
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// GraphSVG draws the nodes in columns by how far they are from the sources: each beside the first thing that it
// needs, the last in the middle. What is needed through something else has no line of its own.
func GraphSVG(plan []Node) string {
	const w, h, dx, dy = 190, 44, 260, 66
	level, row, taken := map[string]int{}, map[string]int{}, map[[2]int]bool{}
	wide, rows := 0, 0
	for _, p := range plan { // needs come first in a plan
		r := 0
		for i, n := range p.Needs {
			level[p.Name] = max(level[p.Name], level[n]+1)
			if i == 0 {
				r = row[n]
			}
		}
		for taken[[2]int{level[p.Name], r}] {
			r++
		}
		taken[[2]int{level[p.Name], r}] = true
		row[p.Name] = r
		wide, rows = max(wide, 20+level[p.Name]*dx+w), max(rows, r+1)
	}
	high := 20 + rows*dy
	type place struct{ x, y int }
	at := map[string]place{}
	needs := map[string][]string{}
	for _, p := range plan {
		needs[p.Name] = p.Needs
		at[p.Name] = place{20 + level[p.Name]*dx, 20 + row[p.Name]*dy}
	}
	last := plan[len(plan)-1].Name
	at[last] = place{at[last].x, 20 + (rows-1)*dy/2}
	implied := func(n, p string) bool {
		return slices.ContainsFunc(needs[p], func(m string) bool { return slices.Contains(needs[m], n) })
	}
	var b strings.Builder
	put := func(format string, a ...any) { fmt.Fprintf(&b, format, a...) }
	b.WriteString(svgHead(wide+20, high+30))
	for _, p := range plan {
		to := at[p.Name]
		for _, n := range p.Needs {
			if implied(n, p.Name) {
				continue
			}
			from := at[n]
			x1, y1, x2, y2 := from.x+w, from.y+h/2, to.x, to.y+h/2
			put(`<path class="line" d="M%d %d C%d %d %d %d %d %d"/>`+"\n", x1, y1, x1+60, y1, x2-60, y2, x2, y2)
		}
	}
	for _, p := range plan {
		c := at[p.Name]
		put(`<g><title>%s</title>`, html.EscapeString(p.Why))
		put(`<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="6"/>`, p.Status, c.x, c.y, w, h)
		name := p.Name + " " + html.EscapeString(p.Version)
		put(`<text x="%d" y="%d" font-weight="600">%s</text>`, c.x+10, c.y+18, name)
		took := string(p.Status)
		if p.Record != nil {
			took += ", took " + ui.Seconds(p.Record.Seconds)
		}
		put(`<text class="dim" x="%d" y="%d">%s</text></g>`+"\n", c.x+10, c.y+35, took)
	}
	b.WriteString("</svg>\n")
	return b.String()
}
