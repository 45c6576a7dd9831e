package trace

import (
	"encoding/json"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/graph"
	"drydock/targets/internal/ui"
)

// style is in every drawing; each works alone in a browser, light or dark.
const style = `<style>
svg{font:12px system-ui,sans-serif;background:#fff;color:#222}
text{fill:#222}.dim{fill:#667}.line{stroke:#99a;fill:none}.grid{stroke:#e3e3ea}
.fresh{fill:#d9f2e0;stroke:#3a9a5b}.stale,.damaged{fill:#fde3c8;stroke:#d07a20}.depends{fill:#fff6cc;stroke:#b39a1c}
.prepare{fill:#b9bcc6}.compile{fill:#5b8dd9}.link{fill:#e0903a}.other{fill:#6fb98a}.failed{fill:#d9534f}
.critical{stroke:#c2185b;stroke-width:2.5}.busy{fill:#5b8dd9;opacity:.55}.idle{fill:#f0f0f4}
</style>`

// Table has a line for each run and a column for each component.
func Table(runs []Run) string {
	var names []string
	for _, r := range runs {
		for _, p := range r.Parts {
			if !slices.Contains(names, p.Name) {
				names = append(names, p.Name)
			}
		}
	}
	rows := [][]string{append([]string{"START", "COMMAND", "TOTAL"}, names...)}
	for _, r := range runs {
		row := []string{r.Start.Local().Format(time.DateTime), r.Command, ui.Seconds(r.Seconds)}
		for _, n := range names {
			cell := ""
			for _, p := range r.Parts {
				switch {
				case p.Name != n || p.Status == graph.Fresh:
				case p.Status == graph.Built:
					cell = ui.Seconds(p.Seconds)
				default:
					cell = string(p.Status)
				}
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return ui.Table(rows)
}

// Steps has a line for each step that took a tenth of a second, or of its run, in the order in which they began.
func Steps(r Run) string {
	rows := [][]string{{"AT", "COMPONENT", "STEP", "TIME", "CORES", "MEMORY", ""}}
	for _, s := range steps(r) {
		if s.Seconds < min(0.1, r.Seconds/10) {
			continue
		}
		cores, mem, crit := "", "", ""
		if s.CPU > 0 {
			cores = fmt.Sprintf("%.1f", s.CPU/s.Seconds)
		}
		if s.Peak > 0 {
			mem = ui.Bytes(s.Peak)
		}
		if s.critical {
			crit = "critical path"
		}
		rows = append(rows, []string{ui.Seconds(s.at), s.part, s.Name, ui.Seconds(s.Seconds), cores, mem, crit})
	}
	return ui.Table(rows)
}

// drawn is one step of a run.
type drawn struct {
	graph.StepTime
	part     string
	at       float64 // seconds after the run's start
	critical bool
	failed   bool
}

func (d drawn) end() float64 { return d.at + d.Seconds }

func (d drawn) class() string {
	verb, _, _ := strings.Cut(d.Name, " ")
	switch {
	case d.failed:
		return "failed"
	case d.Exclusive:
		return "compile"
	case verb == "link":
		return "link"
	case verb == "unpack", verb == "patch":
		return "prepare"
	}
	return "other"
}

// steps gives a run's steps by their start, the critical path marked: from the last step back, each time to the step
// that ended last of those it had to wait for (its own component's, its needs', and who had the compile slot).
func steps(r Run) []drawn {
	var all []drawn
	needs := map[string][]string{}
	for _, p := range r.Parts {
		needs[p.Name] = p.Needs
		for i, s := range p.Steps {
			failed := p.Status == graph.Failed && i == len(p.Steps)-1
			all = append(all, drawn{StepTime: s, part: p.Name, at: s.Start.Sub(r.Start).Seconds(), failed: failed})
		}
	}
	slices.SortStableFunc(all, func(a, b drawn) int { return a.Start.Compare(b.Start) })
	at := -1
	for i, s := range all {
		if at < 0 || s.end() > all[at].end() {
			at = i
		}
	}
	for at >= 0 {
		all[at].critical = true
		s, before := all[at], -1
		for i, o := range all {
			waits := o.part == s.part || slices.Contains(needs[s.part], o.part) || s.Exclusive && o.Exclusive
			if i != at && !o.critical && waits && o.end() <= s.at+0.05 && (before < 0 || o.end() > all[before].end()) {
				before = i
			}
		}
		at = before
	}
	return all
}

// SVG draws a run: what ran when, the critical path, and below it how many cores were busy.
func SVG(r Run) string {
	const left, right, row, top = 110, 20, 30, 46
	const width = 1100
	var names []string
	for _, s := range steps(r) {
		if !slices.Contains(names, s.part) {
			names = append(names, s.part)
		}
	}
	lanes := top + len(names)*row
	const coresHigh = 90
	high := lanes + 40 + coresHigh + 46
	x := func(sec float64) float64 { return left + sec/max(r.Seconds, 0.001)*(width-left-right) }
	var b strings.Builder
	put := func(format string, a ...any) { fmt.Fprintf(&b, format, a...) }
	b.WriteString(svgHead(width, high))
	put(`<text x="10" y="20" font-weight="600">%s, %s, %s on %d cores</text>`+"\n",
		html.EscapeString(r.Command), r.Start.UTC().Format("2006-01-02 15:04 UTC"), ui.Seconds(r.Seconds), r.Cores)
	for sec, step := 0.0, tick(r.Seconds); sec <= r.Seconds; sec += step {
		put(`<path class="grid" d="M%.1f %d V%d"/>`, x(sec), top-10, lanes+40+coresHigh)
		put(`<text class="dim" x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			x(sec), lanes+56+coresHigh, ui.Seconds(sec))
	}
	for i, n := range names {
		put(`<text x="10" y="%d">%s</text>`+"\n", top+i*row+17, n)
	}
	for _, s := range steps(r) {
		y := top + slices.Index(names, s.part)*row
		w := max(1, x(s.end())-x(s.at))
		class := s.class()
		if s.critical {
			class += " critical"
		}
		name := html.EscapeString(s.Name)
		put(`<g><title>%s: %s, %s at %s</title>`, s.part, name, ui.Seconds(s.Seconds), ui.Seconds(s.at))
		put(`<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d" rx="3"/>`, class, x(s.at), y, w, row-8)
		if w > 8*float64(len(s.Name)) {
			put(`<text x="%.1f" y="%d" font-size="11">%s</text>`, x(s.at)+5, y+15, name)
		}
		b.WriteString("</g>\n")
	}
	base := lanes + 30 + coresHigh
	put(`<text x="10" y="%d">busy cores</text>`, lanes+50)
	put(`<text class="dim" x="%d" y="%d" text-anchor="end">%d</text>`, left-6, lanes+40, r.Cores)
	put(`<text class="dim" x="%d" y="%d" text-anchor="end">0</text>`+"\n", left-6, base)
	put(`<rect class="idle" x="%d" y="%d" width="%.1f" height="%d"/>`+"\n",
		left, base-coresHigh, x(r.Seconds)-left, coresHigh)
	if len(r.Busy) > 0 {
		put(`<path class="busy" d="M%d %d`, left, base)
		sum := 0.0
		for i, n := range r.Busy {
			sum += n
			yy := float64(base) - min(n/float64(r.Cores), 1)*coresHigh
			from, to := float64(i)*r.Interval, min(r.Seconds, float64(i+1)*r.Interval)
			put(" L%.1f %.1f L%.1f %.1f", x(from), yy, x(to), yy)
		}
		used := 100 * sum / float64(len(r.Busy)*r.Cores)
		put(` V%d Z"/>`+"\n"+`<text class="dim" x="10" y="%d">%.0f %% used</text>`+"\n", base, lanes+66, used)
	}
	lx := 110
	for _, k := range []string{"prepare", "compile", "link", "other", "failed"} {
		put(`<rect class="%s" x="%d" y="%d" width="14" height="12"/>`, k, lx, high-20)
		put(`<text x="%d" y="%d">%s</text>`+"\n", lx+20, high-10, k)
		lx += 100
	}
	put(`<rect class="critical" fill="none" x="%d" y="%d" width="14" height="12"/>`, lx, high-20)
	put(`<text x="%d" y="%d">critical path</text>`+"\n</svg>\n", lx+20, high-10)
	return b.String()
}

// svgHead begins a drawing of that size.
func svgHead(w, h int) string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d">%s`+"\n",
		w, h, w, h, style)
}

// tick is the distance of the lines on the time axis, in seconds: a round number, some ten of them.
func tick(total float64) float64 {
	for _, t := range []float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600} {
		if total/t <= 12 {
			return t
		}
	}
	return math.Ceil(total/12/600) * 600
}

// HTML is a page with the drawing of a run and the table of its steps.
func HTML(stack string, r Run) string {
	return `<!doctype html>
<meta charset="utf-8">
<title>drydock: ` + html.EscapeString(stack) + `</title>
<body style="margin:16px;font:14px system-ui,sans-serif">
<div style="overflow-x:auto">` + SVG(r) + "</div>\n<pre>" + html.EscapeString(Steps(r)) + "</pre>\n</body>\n"
}

// Chrome returns a run in Chrome's trace format, which chrome://tracing and Perfetto read: times in microseconds. The
// error is encoding/json's.
func Chrome(r Run) (string, error) {
	type args map[string]any
	type event struct {
		Name string `json:"name"`
		Ph   string `json:"ph"`
		TS   int64  `json:"ts"`
		Dur  int64  `json:"dur,omitempty"`
		PID  int    `json:"pid"`
		TID  int    `json:"tid"`
		Args args   `json:"args,omitempty"`
	}
	var es []event
	lane := map[string]int{}
	for _, s := range steps(r) {
		if lane[s.part] == 0 {
			lane[s.part] = len(lane) + 1
			es = append(es, event{Name: "thread_name", Ph: "M", PID: 1, TID: lane[s.part], Args: args{"name": s.part}})
		}
		at, took := int64(s.at*1e6), max(1, int64(s.Seconds*1e6))
		es = append(es, event{Name: s.Name, Ph: "X", TS: at, Dur: took, PID: 1, TID: lane[s.part],
			Args: args{"cpu_seconds": s.CPU, "peak_bytes": s.Peak, "critical": s.critical}})
	}
	for i, n := range r.Busy {
		at := int64(float64(i) * r.Interval * 1e6)
		es = append(es, event{Name: "busy cores", Ph: "C", TS: at, PID: 1, Args: args{"cores": n}})
	}
	data, err := json.MarshalIndent(map[string]any{"traceEvents": es, "displayTimeUnit": "ms"}, "", " ")
	return string(data), err
}

// Draw tells what the last runs did, as text, or draws the last one: svg, html or trace; any other format is an error.
func Draw(stack string, runs []Run, format string) (string, error) {
	last := runs[len(runs)-1]
	switch format {
	case "", "text":
		return Table(runs) + "\n\nthe last run:\n" + Steps(last) + "\n", nil
	case "svg":
		return SVG(last), nil
	case "html":
		return HTML(stack, last), nil
	case "trace":
		text, err := Chrome(last)
		return text + "\n", err
	}
	return "", fmt.Errorf("-format=%s: want text, svg, html or trace", format)
}
