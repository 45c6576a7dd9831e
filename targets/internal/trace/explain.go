package trace

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"drydock/targets/internal/graph"
	"drydock/targets/internal/ui"
)

// verbs say what a run would do with a node.
var verbs = map[graph.Status]string{graph.Fresh: "nothing", graph.Stale: "build", graph.Ready: "fetch",
	graph.Damaged: "restore", graph.Depends: "perhaps"}

// why says why a run would do it, and what it would have to bring first.
func (n Node) why() string {
	switch {
	case n.Lacks == "" || n.Status == graph.Fresh || n.Status == graph.Ready:
		return n.Why
	case n.Why == "":
		return n.Lacks
	}
	return n.Why + "; " + n.Lacks
}

// Would writes what a run would do with each node of a plan, why, and how long it took the last time; width nodes are
// in the making at a time, on so many cores, and from is where others' builds are.
func Would(plan []Node, width, cores int, from string) string {
	rows := [][]string{{"COMPONENT", "WOULD", "LAST TOOK", "WHY"}}
	var jobs []graph.Job
	count, unknown := map[graph.Status]int{}, 0
	for _, n := range plan {
		took := ""
		if n.Record != nil {
			took = ui.Seconds(n.Record.Seconds)
		}
		count[n.Status]++
		switch {
		case n.Status != graph.Stale:
		case n.Record == nil:
			unknown++
		default:
			jobs = append(jobs, graph.Job{Name: n.Name, Needs: n.Needs, Steps: n.Record.Steps})
		}
		rows = append(rows, []string{n.Name, verbs[n.Status], took, n.why()})
	}
	end := "nothing to build"
	switch work := count[graph.Stale]; {
	case work == 0 && count[graph.Ready] > 0:
		end += fmt.Sprintf(", %d to fetch from %s", count[graph.Ready], from)
	case work == 0 && count[graph.Damaged] > 0:
		end += fmt.Sprintf(", %d to restore", count[graph.Damaged])
	case work == 0:
	case unknown > 0:
		end = fmt.Sprintf("%d to build; how long is not known before each was built once", work)
	default:
		end = fmt.Sprintf("%d to build, about %s", work, ui.Seconds(graph.Simulate(jobs, width, cores, cores)))
	}
	return ui.Table(rows) + end + "\n"
}

// Because writes every input of a node that is not what it was when it was built, the first one in full.
func Because(n Node, from string) string {
	var text string
	switch {
	case n.Status == graph.Fresh:
		built := n.Record.Built.Local().Format(time.DateTime)
		text = fmt.Sprintf("%s is fresh: built %s, nothing that it is made from has changed since", n.Name, built)
	case n.Status == graph.Damaged:
		text = fmt.Sprintf("%s would be restored: %s", n.Name, n.Why)
	case n.Status == graph.Ready:
		text = fmt.Sprintf("%s would be fetched from %s: %s", n.Name, from, n.Why)
	case n.Status == graph.Depends:
		text = fmt.Sprintf("%s would be built %s; its own inputs are what they were", n.Name, n.Why)
	case n.Record == nil:
		text = n.Name + " was never built"
	default:
		c := n.Changes[0]
		was, is := graph.Parting(c.Was, c.Is)
		text = fmt.Sprintf("%s would be built, because of its %s\n  was  %s\n  is   %s",
			n.Name, c.Name, orNone(was), orNone(is))
		for _, c := range n.Changes[1:] {
			text += "\n  and  " + c.Name
		}
	}
	if n.Lacks != "" {
		text += "\n  " + n.Lacks
	}
	return text + "\n"
}

func orNone(s string) string { return cmp.Or(strings.ReplaceAll(s, "\n", "\n       "), "(none)") }

// States writes of each node whether it is fresh and why not, version, size, when it was built and how long that took.
func States(plan []Node, u *ui.UI) string {
	rows := [][]string{{"COMPONENT", "VERSION", "STATE", "SIZE", "BUILT", "TOOK", "WHY"}}
	for _, n := range plan {
		size, built, took, why := "", "never", "", n.why()
		if n.Record != nil {
			built, took = n.Record.Built.Local().Format(time.DateTime), ui.Seconds(n.Record.Seconds)
		}
		if n.Size > 0 {
			size = ui.Bytes(n.Size)
		}
		state := u.Bad(string(n.Status))
		if n.Status == graph.Fresh {
			if state = u.Good(string(n.Status)); n.Record.Origin != "" {
				why = "fetched from " + n.Record.Origin
			}
		}
		rows = append(rows, []string{n.Name, n.Version, state, size, built, took, why})
	}
	return ui.Table(rows)
}
