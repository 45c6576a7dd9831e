package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"drydock/targets/internal/graph"
	"drydock/targets/internal/ui"
)

// Progress is what a run is doing right now. It prints what the graph does, and keeps the live lines of a terminal.
type Progress struct {
	UI      *ui.UI
	Verbose bool                            // the terminal gets what the steps print
	Width   int                             // how many nodes are in the making at a time
	Past    func(name string) *graph.Record // the last making of a node, for what to expect; nil when there was none

	jobs  []graph.Job // what this run may do, with the times that it took the last time
	start time.Time

	mu   sync.Mutex
	now  map[string]*doing
	done map[string]bool
	todo []string // nodes that the plan does not find fresh, but for the one that needs all others
	kept []string // built in this run
	last float64  // seconds that were left when last shown
	seen time.Time
}

// doing is one component in the making.
type doing struct {
	since, stepSince time.Time
	step             string
	units            int
	past             *graph.Record // the last making, for what to expect
}

// Begins takes a run's plan, as the run begins. One node, which may be in it, needs all others and compiles nothing.
func (p *Progress) Begins(plan []graph.Planned, last string) {
	p.start, p.now, p.done = time.Now(), map[string]*doing{}, map[string]bool{}
	for _, n := range plan {
		j := graph.Job{Name: n.Name}
		if n.Status != graph.Fresh && n.Name != last {
			p.todo = append(p.todo, n.Name)
		}
		if n.Status != graph.Fresh && n.Record != nil {
			j.Steps = n.Record.Steps
		}
		p.jobs = append(p.jobs, j)
	}
}

// Kept are the nodes that were built in this run, in the order in which they ended.
func (p *Progress) Kept() []string { return p.kept }

// Alone reports whether nothing is left to be made but a node and what needs all others.
func (p *Progress) Alone(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !slices.ContainsFunc(p.todo, func(n string) bool { return n != name && !p.done[n] })
}

// Fresh notes a node that is up to date, which is not printed.
func (p *Progress) Fresh(name string, _ *graph.Record) { p.end(name) }

// Restored says that damaged outputs are in place again.
func (p *Progress) Restored(name string, _ *graph.Record) {
	p.UI.Line("restored  %s", name)
	p.end(name)
}

// Begin says what is built and why.
func (p *Progress) Begin(name, why string) {
	p.mu.Lock()
	p.now[name] = &doing{since: time.Now(), stepSince: time.Now(), step: "start", past: p.Past(name)}
	p.mu.Unlock()
	p.UI.Line("build     %s (%s)", name, why)
}

// End says what became of it.
func (p *Progress) End(name string, r *graph.Record, err error) {
	p.end(name)
	switch {
	case errors.Is(err, context.Canceled):
		p.UI.Line("stopped   %s", name)
	case err != nil:
		p.UI.Line("%s    %s: %s", p.UI.Bad("failed"), name, brief(err)) // the card follows at the end of the run
	default:
		for _, n := range r.Notes {
			p.UI.Line("note      %s: %s", name, n)
		}
		p.UI.Line("%s     %s in %s", p.UI.Good("built"), name, ui.Seconds(r.Seconds))
		p.mu.Lock()
		p.kept = append(p.kept, name)
		p.mu.Unlock()
	}
}

// brief is the cause of a failure in one line, by what the error itself says, where it does.
func brief(err error) string {
	var b interface{ Brief() string }
	if errors.As(err, &b) {
		return b.Brief()
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// Blocked says what cannot be built, and because of what.
func (p *Progress) Blocked(name, by string) {
	p.UI.Line("skipped   %s: it needs %s", name, by)
	p.end(name)
}

func (p *Progress) end(name string) {
	p.mu.Lock()
	delete(p.now, name)
	p.done[name] = true
	p.mu.Unlock()
}

// Step says that a component goes on to a step.
func (p *Progress) Step(name, step string) {
	p.mu.Lock()
	if d := p.now[name]; d != nil {
		d.step, d.stepSince, d.units = step, time.Now(), 0
	}
	p.mu.Unlock()
}

// Output is where a step's output goes: the log, with -v the terminal too, and a count of the packages that Go names
// as it compiles them. The function that it gives ends the step and tells the count.
func (p *Progress) Output(name string, log io.Writer) (io.Writer, func() int) {
	ws := []io.Writer{log}
	var screen io.WriteCloser
	if p.Verbose {
		screen = p.UI.Prefix(name)
		ws = append(ws, screen)
	}
	n := 0
	ws = append(ws, writerFunc(func(b []byte) {
		n += bytes.Count(b, []byte("\n"))
		p.mu.Lock()
		if d := p.now[name]; d != nil {
			d.units = n
		}
		p.mu.Unlock()
	}))
	return io.MultiWriter(ws...), func() int {
		if screen != nil {
			screen.Close()
		}
		return n
	}
}

type writerFunc func([]byte)

func (w writerFunc) Write(b []byte) (int, error) { w(b); return len(b), nil }

// Watch redraws the live lines until the function that it gives is called.
func (p *Progress) Watch() (stop func()) {
	if !p.UI.TTY() || p.Verbose {
		return func() {}
	}
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(200 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-quit:
				p.UI.Live()
				return
			case <-t.C:
				p.UI.Live(p.lines()...)
			}
		}
	})
	return func() { close(quit); wg.Wait() }
}

// lines are one for each component in the making, and one for the whole.
func (p *Progress) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	rows := [][]string{}
	for _, n := range slices.Sorted(maps.Keys(p.now)) {
		d := p.now[n]
		row := []string{"  " + n, d.step, clock(time.Since(d.stepSince)), ""}
		past := stepOf(d.past, d.step)
		if past != nil && past.Seconds >= 1 {
			row[2] += " of ~" + clock(time.Duration(past.Seconds*float64(time.Second)))
		}
		if strings.HasPrefix(d.step, "compile") && d.units > 0 {
			row[3] = fmt.Sprintf("%d packages", d.units)
			if past != nil && past.Units > d.units {
				row[3] = fmt.Sprintf("%d of ~%d packages", d.units, past.Units)
			}
		}
		rows = append(rows, row)
	}
	var out []string
	if len(rows) > 0 {
		out = strings.Split(strings.TrimRight(ui.Table(rows), "\n"), "\n")
	}
	sum := fmt.Sprintf("%d of %d done, %s", len(p.done), len(p.jobs), clock(time.Since(p.start)))
	if left, ok := p.left(); ok {
		sum += ", about " + clock(time.Duration(left*float64(time.Second))) + " left"
	}
	return append(out, sum)
}

// clock writes a time in whole seconds.
func clock(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%ds", int(max(1, d.Seconds())))
	}
	return ui.Duration(d.Truncate(time.Second))
}

// left estimates the seconds to go from what the same steps took the last time; false when that is not known.
func (p *Progress) left() (float64, bool) {
	if time.Since(p.seen) < time.Second {
		return max(0, p.last-time.Since(p.seen).Seconds()), p.last > 0
	}
	var jobs []graph.Job
	for _, j := range p.jobs {
		if p.done[j.Name] {
			continue
		}
		j.Needs = nil // all that remains of these is nearly always a compile slot
		if d := p.now[j.Name]; d != nil {
			if d.past == nil {
				return 0, false
			}
			j.Steps = remaining(d)
		}
		if len(j.Steps) == 0 {
			if p.now[j.Name] == nil && p.Past(j.Name) == nil {
				return 0, false
			}
			continue
		}
		jobs = append(jobs, j)
	}
	p.last, p.seen = graph.Simulate(jobs, p.Width, runtime.NumCPU(), runtime.NumCPU()), time.Now()
	return p.last, p.last > 0
}

// remaining are the steps of the last making that are still to come, the present one shortened by what has passed.
func remaining(d *doing) []graph.StepTime {
	i := slices.IndexFunc(d.past.Steps, func(s graph.StepTime) bool { return s.Name == d.step })
	rest := slices.Clone(d.past.Steps[max(0, i):])
	if i >= 0 {
		part := max(0.02, 1-time.Since(d.stepSince).Seconds()/max(rest[0].Seconds, 0.01))
		rest[0].Seconds *= part
		rest[0].CPU *= part
	}
	return rest
}

func stepOf(r *graph.Record, name string) *graph.StepTime {
	if r == nil {
		return nil
	}
	if i := slices.IndexFunc(r.Steps, func(s graph.StepTime) bool { return s.Name == name }); i >= 0 {
		return &r.Steps[i]
	}
	return nil
}
