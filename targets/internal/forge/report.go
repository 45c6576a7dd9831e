package forge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"drydock/targets/internal/graph"
	"drydock/targets/internal/ui"
)

// watch prints what the graph does.
type watch struct{ f *Forge }

func (w *watch) Fresh(string, *graph.Record) {}

func (w *watch) Restored(name string, r *graph.Record) {
	w.f.UI.Line("restored  %s", name)
}

func (w *watch) Begin(name, why string) {
	w.f.UI.Line("build     %s (%s)", name, why)
}

func (w *watch) End(name string, r *graph.Record, err error) {
	if errors.Is(err, context.Canceled) {
		w.f.UI.Line("stopped   %s", name)
		return
	}
	if err != nil {
		w.f.UI.Line("%s    %s", w.f.UI.Bad("failed"), name)
		return
	}
	for _, n := range r.Notes {
		w.f.UI.Line("note      %s: %s", name, n)
	}
	w.f.UI.Line("%s     %s in %s", w.f.UI.Good("built"), name, seconds(r.Seconds))
}

func (w *watch) Blocked(name, by string) {
	w.f.UI.Line("skipped   %s: it needs %s", name, by)
}

func seconds(s float64) string { return ui.Duration(time.Duration(s * float64(time.Second))) }

// summary ends a run: a table, where things are, one line that says it all.
func (f *Forge) summary(results []graph.Result) {
	worked, failed := 0, 0
	rows := [][]string{{"COMPONENT", "VERSION", "DONE", "TIME", "SIZE"}}
	for _, r := range results {
		var size int64
		if r.Record != nil {
			for _, o := range r.Record.Outputs {
				if filepath.Dir(o.Path) == f.rel(f.output("bin")) || r.Name == packageNode {
					size += o.Size
				}
			}
		}
		version, took, sz := f.Stack.Version, "", ""
		if c := f.Stack.Component[r.Name]; c != nil {
			version = c.Version
		}
		if r.Seconds > 0 {
			took = seconds(r.Seconds)
		}
		if size > 0 {
			sz = ui.Bytes(size)
		}
		switch r.Status {
		case graph.Built, graph.Restored:
			worked++
		case graph.Failed, graph.Blocked, graph.Stopped:
			failed++
		}
		rows = append(rows, []string{r.Name, version, string(r.Status), took, sz})
	}
	if worked+failed > 0 {
		f.UI.Text("\n" + ui.Table(rows))
		if _, err := os.Stat(f.output("bin")); err == nil {
			f.UI.Text("files    " + f.output("bin"))
		}
		if _, err := os.Stat(f.packageFile()); err == nil {
			f.UI.Text("package  " + f.packageFile())
		}
		if d := f.build("log", "latest"); worked+failed > 0 {
			f.UI.Text("logs     " + d)
		}
	}
	total := ui.Duration(time.Since(f.start))
	switch {
	case failed > 0:
		f.UI.Line("drydock: %s: FAILED: %d of %d not done, %s", f.Stack.Name, failed, len(results), total)
	case worked == 0:
		f.UI.Line("drydock: %s: nothing to do: %d fresh, %s", f.Stack.Name, len(results), total)
	default:
		f.UI.Line("drydock: %s: built %s, %s", f.Stack.Name, fmt.Sprintf("%d of %d", worked, len(results)), total)
	}
}
