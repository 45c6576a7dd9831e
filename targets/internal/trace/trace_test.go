package trace

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"drydock/targets/internal/graph"
)

// sample is a run of three components: b needs a, c nothing, and what compiles waits for its turn.
func sample() Run {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	step := func(name string, at, took float64, exclusive bool) graph.StepTime {
		return graph.StepTime{Name: name, Start: start.Add(time.Duration(at * float64(time.Second))), Seconds: took,
			CPU: took, Exclusive: exclusive}
	}
	return Run{Start: start, Seconds: 10, Command: "mage a<b", Cores: 2, Interval: 5, Busy: []float64{2, 1},
		Parts: []Part{
			{Name: "a", Status: graph.Built, Seconds: 4, Steps: []graph.StepTime{step("unpack", 0, 1, false),
				step("compile x", 1, 3, true)}},
			{Name: "c", Status: graph.Built, Seconds: 2, Steps: []graph.StepTime{step("link y", 0, 2, false)}},
			{Name: "b", Needs: []string{"a"}, Status: graph.Failed, Seconds: 6,
				Steps: []graph.StepTime{step("compile z", 4, 6, true)}},
		}}
}

func TestTheCriticalPathIsWhatTheLastStepWaitedFor(t *testing.T) {
	t.Parallel()
	var got []string
	for _, s := range steps(sample()) {
		if s.critical {
			got = append(got, s.part+" "+s.Name+" "+s.class())
		}
	}
	if want := []string{"a unpack prepare", "a compile x compile", "b compile z failed"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTablesHaveARunInALineAndAStepInALine(t *testing.T) {
	t.Parallel()
	table := Table([]Run{sample()})
	if want := sample().Start.Local().Format(time.DateTime); !strings.Contains(table, want) ||
		!strings.Contains(table, "failed") {
		t.Errorf("want the start %s and what failed, got\n%s", want, table)
	}
	if got := strings.Count(Steps(sample()), "critical path"); got != 3 {
		t.Errorf("got %d critical steps, want 3:\n%s", got, Steps(sample()))
	}
}

func TestDrawingsAreWellFormed(t *testing.T) {
	t.Parallel()
	nodes := []Node{{Planned: graph.Planned{Name: "a", Status: graph.Stale, Why: "x <y>"}, Version: "1&2"},
		{Planned: graph.Planned{Name: "b", Status: graph.Fresh, Record: &graph.Record{Seconds: 1}},
			Needs: []string{"a"}},
		{Planned: graph.Planned{Name: "package", Status: graph.Depends}, Needs: []string{"a", "b"}}}
	graphSVG := GraphSVG(nodes)
	for name, text := range map[string]string{"run": SVG(sample()), "empty run": SVG(Run{Cores: 1}),
		"graph": graphSVG} {
		d := xml.NewDecoder(strings.NewReader(text))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, text)
			}
		}
	}
	if got := strings.Count(graphSVG, `class="line"`); got != 2 {
		t.Errorf("the package needs a through b: got %d lines, want 2", got)
	}
	if got, want := Dot(nodes), "\t\"b\" -> \"package\";\n"; !strings.Contains(got, want) {
		t.Errorf("got %s, want %s in it", got, want)
	}
	if got, want := Tree(nodes),
		"package  (depends)\n├─ a 1&2 (stale)\n└─ b  (fresh)\n   └─ a 1&2 (stale)\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if page := HTML("s<t", sample()); !strings.Contains(page, "s&lt;t") || !strings.Contains(page, "<svg") {
		t.Errorf("got %.200s…, want the stack's name and the drawing", page)
	}
}

func TestATraceIsWhatChromeReads(t *testing.T) {
	t.Parallel()
	text, err := Chrome(sample())
	var got struct {
		TraceEvents []struct {
			Name, Ph string
			TS, Dur  int64
		}
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &got)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(got.TraceEvents) != 3+4+2 { // lanes, steps, samples
		t.Errorf("got %d events, want 9:\n%s", len(got.TraceEvents), text)
	}
}

func TestRunsAreReadFromOldToNew(t *testing.T) {
	t.Parallel()
	logs := t.TempDir()
	for dir, command := range map[string]string{"2": "mage second", "1": "mage first", "0": "mage third"} {
		r := Begin(command)
		r.Start = sample().Start.Add(time.Duration(strings.Index("120", dir)) * time.Hour)
		r.End([]graph.Result{{Name: "a", Status: graph.Built}}, func(string) []string { return []string{"z"} })
		if err := errors.Join(os.Mkdir(filepath.Join(logs, dir), 0o755),
			r.Write(filepath.Join(logs, dir))); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("0", filepath.Join(logs, "latest")), os.Mkdir(filepath.Join(logs, "3"), 0o755),
		os.WriteFile(filepath.Join(logs, "3", file), []byte("{"), 0o644)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range Load(logs) {
		got = append(got, r.Command)
		if len(r.Parts) != 1 || r.Parts[0].Needs[0] != "z" {
			t.Errorf("%s: got %+v, want the part with its needs", r.Command, r.Parts)
		}
	}
	if want := []string{"mage first", "mage second", "mage third"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
