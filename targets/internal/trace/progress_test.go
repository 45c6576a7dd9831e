package trace

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"drydock/targets/internal/graph"
	"drydock/targets/internal/ui"
)

// refused is an error that says its cause in one line.
type refused struct{}

func (refused) Error() string { return "compile: exit status 1\nand more" }
func (refused) Brief() string { return "compile: x.go:1: no" }

func TestProgressTellsWhatBecomesOfEachNode(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	p := &Progress{UI: ui.To(&said), Width: 4, Past: func(string) *graph.Record { return nil }}
	p.Begins([]graph.Planned{{Name: "musl", Status: graph.Fresh}, {Name: "runc", Status: graph.Stale},
		{Name: "tini", Status: graph.Stale},
		{Name: "package", Status: graph.Depends}}, "package")
	if p.Alone("tini") {
		t.Error("tini: got alone, want not while runc is to be made")
	}
	p.Begin("runc", "never built")
	p.Step("runc", "compile x")
	var log bytes.Buffer
	w, count := p.Output("runc", &log)
	if _, err := w.Write([]byte("a\nb\n")); err != nil || log.String() != "a\nb\n" || count() != 2 {
		t.Errorf("got %q in the log, %d lines, %v", log.String(), count(), err)
	}
	if got := strings.Join(p.lines(), "\n"); !strings.Contains(got, "runc") || !strings.Contains(got, "2 packages") ||
		!strings.Contains(got, "0 of 4 done") {
		t.Errorf("got the live lines\n%s", got)
	}
	p.End("runc", &graph.Record{Seconds: 2, Notes: []string{"without quotas"}}, nil)
	if !p.Alone("tini") {
		t.Error("tini: got not alone, want the package not to count")
	}
	p.End("tini", nil, refused{})
	p.End("tini", nil, errors.New("one\ntwo"))
	p.End("tini", nil, context.Canceled)
	p.Blocked("package", "tini")
	var got []string
	for line := range strings.Lines(said.String()) {
		_, text, _ := strings.Cut(line, " ") // the time
		got = append(got, strings.TrimSpace(text))
	}
	want := "build     runc (never built)\nnote      runc: without quotas\nbuilt     runc in 2.0s\n" +
		"failed    tini: compile: x.go:1: no\nfailed    tini: one\n" +
		"stopped   tini\nskipped   package: it needs tini"
	if strings.Join(got, "\n") != want || len(p.Kept()) != 1 {
		t.Errorf("got\n%s\nkept %v, want\n%s", strings.Join(got, "\n"), p.Kept(), want)
	}
}

func TestWhatIsLeftIsTakenFromTheLastMaking(t *testing.T) {
	t.Parallel()
	past := &graph.Record{Steps: []graph.StepTime{{Name: "unpack", Seconds: 10, CPU: 10},
		{Name: "compile", Seconds: 100, CPU: 100, Exclusive: true}}}
	p := &Progress{Width: 4, Past: func(string) *graph.Record { return past }}
	p.Begins([]graph.Planned{{Name: "runc", Status: graph.Stale, Record: past}}, "")
	if left, ok := p.left(); !ok || left < 50 {
		t.Errorf("got %v s, %v, want what both steps took", left, ok)
	}
	rest := remaining(&doing{step: "compile", stepSince: time.Now().Add(-50 * time.Second), past: past})
	if len(rest) != 1 || rest[0].Seconds > 51 || rest[0].Seconds < 40 {
		t.Errorf("got %+v, want half of the compiling", rest)
	}
}
