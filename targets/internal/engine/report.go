package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"drydock/targets/internal/graph"
	"drydock/targets/internal/trace"
	"drydock/targets/internal/ui"
)

// summary ends a run: a table, where things are, one line that says it all.
func (e *Engine) summary(results []graph.Result) {
	worked, fetched, failed := 0, 0, 0
	rows := [][]string{{"COMPONENT", "VERSION", "DONE", "TIME", "SIZE"}}
	for _, r := range results {
		took, sz := "", ""
		if r.Seconds > 0 {
			took = ui.Seconds(r.Seconds)
		}
		if r.Record != nil && e.sizeOf(r.Record) > 0 {
			sz = ui.Bytes(e.sizeOf(r.Record))
		}
		switch r.Status {
		case graph.Built, graph.Restored:
			worked++
		case graph.Fetched:
			fetched++
		case graph.Failed, graph.Blocked, graph.Stopped:
			failed++
		}
		rows = append(rows, []string{r.Name, e.versionOf(r.Name), string(r.Status), took, sz})
	}
	if worked+fetched+failed > 0 {
		e.UI.Text("\n" + ui.Table(rows))
		if exists(e.OutputDir("bin")) {
			e.UI.Text("files    " + e.OutputDir("bin"))
		}
		if exists(e.PackageFile()) {
			e.UI.Text("package  " + e.PackageFile())
		}
		if d := e.BuildDir("log", "latest"); worked+failed > 0 {
			e.UI.Text("logs     " + d)
		}
	}
	total := ui.Duration(time.Since(e.Started))
	var said string
	switch {
	case failed > 0:
		e.outcome = fmt.Sprintf("%d of %d not done, %s", failed, len(results), total)
		return
	case fetched > 0:
		said = fmt.Sprintf("fetched %d and built %d of %d", fetched, worked, len(results))
	case worked == 0:
		said = fmt.Sprintf("nothing to do: %d fresh, by size, time and inode", len(results))
	default:
		said = fmt.Sprintf("built %d of %d", worked, len(results))
	}
	e.UI.Line("drydock: %s: %s, %s%s", e.Stack.Name, said, total, e.also)
}

// remember keeps what a run did beside its logs, if it did anything. That it cannot is no reason to fail a build.
func (e *Engine) remember(r *trace.Run) {
	did := func(p trace.Part) bool {
		return slices.Contains([]graph.Status{graph.Built, graph.Fetched, graph.Failed}, p.Status)
	}
	if e.logs == "" && slices.ContainsFunc(r.Parts, did) { // packing alone logs nothing
		_, _ = e.logDir()
	}
	if e.logs == "" {
		return
	}
	if err := r.Write(e.logs); err != nil {
		e.UI.Line("note      this run's times are not kept: %v", err)
	}
}

// Times prints what the last runs did and how long it took, or draws the last one. It fails where none is remembered,
// and on an unknown format.
func Times(ctx context.Context, format string) error {
	return Reading(ctx, func(_ context.Context, e *Engine) error {
		runs := trace.Load(e.BuildDir("log"))
		if len(runs) == 0 {
			return fmt.Errorf("no run of %s is remembered: build something first", e.Stack.Name)
		}
		text, err := trace.Draw(e.Stack.Name, runs, format)
		fmt.Print(text)
		return err
	})
}
