package engine

import (
	"fmt"
	"os"
	"time"

	"drydock/targets/internal/graph"
	"drydock/targets/internal/ui"
)

func seconds(s float64) string { return ui.Duration(time.Duration(s * float64(time.Second))) }

// summary ends a run: a table, where things are, one line that says it all.
func (e *Engine) summary(results []graph.Result) {
	worked, failed := 0, 0
	rows := [][]string{{"COMPONENT", "VERSION", "DONE", "TIME", "SIZE"}}
	for _, r := range results {
		took, sz := "", ""
		if r.Seconds > 0 {
			took = seconds(r.Seconds)
		}
		if r.Record != nil && e.sizeOf(r.Record) > 0 {
			sz = ui.Bytes(e.sizeOf(r.Record))
		}
		switch r.Status {
		case graph.Built, graph.Restored:
			worked++
		case graph.Failed, graph.Blocked, graph.Stopped:
			failed++
		}
		rows = append(rows, []string{r.Name, e.versionOf(r.Name), string(r.Status), took, sz})
	}
	if worked+failed > 0 {
		e.UI.Text("\n" + ui.Table(rows))
		if _, err := os.Stat(e.output("bin")); err == nil {
			e.UI.Text("files    " + e.output("bin"))
		}
		if _, err := os.Stat(e.packageFile()); err == nil {
			e.UI.Text("package  " + e.packageFile())
		}
		if d := e.build("log", "latest"); worked+failed > 0 {
			e.UI.Text("logs     " + d)
		}
	}
	total := ui.Duration(time.Since(e.start))
	switch {
	case failed > 0:
		e.outcome = fmt.Sprintf("%d of %d not done, %s", failed, len(results), total)
	case worked == 0:
		e.UI.Line("drydock: %s: nothing to do: %d fresh, by size, time and inode, %s%s", e.Stack.Name, len(results), total, e.open)
	default:
		e.UI.Line("drydock: %s: built %d of %d, %s%s", e.Stack.Name, worked, len(results), total, e.open)
	}
}
