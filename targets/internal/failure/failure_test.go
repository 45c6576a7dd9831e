package failure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"drydock/targets/internal/graph"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
	"drydock/targets/internal/source"
)

// failed is the failure of a step that left a log.
func failed(t *testing.T, log string) *Failure {
	t.Helper()
	dir := t.TempDir()
	f := Failure{Component: "runc", Version: "1.2.3", Log: filepath.Join(dir, "runc.log"),
		Replay: filepath.Join(dir, "again.sh"),
		Step:   recipe.Step{Name: "compile", Dir: "/src", Argv: []string{"go", "build"}, Env: []string{"A=b c"}},
		Err:    &run.Error{Cmd: run.Cmd{Argv: []string{"go", "build"}}, Code: 1, Err: errors.New("exit status 1")}}
	if err := os.WriteFile(f.Log, []byte(log), 0o644); err != nil {
		t.Fatal(err)
	}
	return Of(f)
}

func TestTheFirstErrorIsTheOneThatTheToolNames(t *testing.T) {
	const (
		compile   = `cmd/docker/x.go:3:13: cannot use "no" (untyped string constant) as int value in this`
		vendoring = "go: inconsistent vendoring in /src:"
		unknown   = "src/api.c:12:5: error: unknown type name 'scmp'"
	)
	for want, lines := range map[string][]string{
		compile: {"errors", "internal/cpu", "# example.invalid/docker", compile,
			"cmd/docker/x.go:9:2: declared and not used: y"},
		vendoring: {vendoring, "\texample.invalid/dep@v1.0.0: is explicitly required in go.mod"},
		unknown:   {"gcc -c src/api.c", unknown},
		"":        {"internal/errors", "github.com/pkg/errors", "github.com/docker/docker/api/server/router.go"},
	} {
		f := failed(t, "gcc: error: of an earlier step\n# compile\n# in /src\n"+
			"go build\n"+strings.Join(lines, "\n")+"\n")
		if f.First != want {
			t.Errorf("%q: got %q, want %q", lines, f.First, want)
		}
	}
}

func TestAFailureIsSaidOnceAndItsCardHasTheRest(t *testing.T) {
	f := failed(t, "# compile\n# in /src\ngo build\nstdio.h: No space left on device\n")
	if want := "compile: exit status 1"; f.Error() != want {
		t.Errorf("got %q, want %q", f.Error(), want)
	}
	if want := "compile: stdio.h: No space left on device"; f.Brief() != want {
		t.Errorf("in one line: got %q, want %q", f.Brief(), want)
	}
	if err := os.Remove(f.Log); err != nil { // nothing reads it again
		t.Fatal(err)
	}
	f.Kept = time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	var b bytes.Buffer
	Print(&b,
		[]graph.Result{{Name: "tini", Err: errors.New("no step")}, {Name: "runc", Err: f},
			{Name: "dockerd", Err: context.Canceled}})
	want := fmt.Sprintf("\nrunc: compile: go build: exit status 1\n  in        /src\n  again     sh %s\n"+
		"  first     stdio.h: No space left on device\n"+
		"  hint      the disk is full: \"mage clean\" removes what can be made again\n"+
		"  | stdio.h: No space left on device\n  whole log %s\n"+
		"  kept      the outputs of 2026-01-02 03:04:05 are in place; the work tree is left for you to look at "+
		"until the next run\n", f.Replay, f.Log)
	if b.String() != want {
		t.Errorf("got %s\nwant %s", b.String(), want)
	}
	if script, err := os.ReadFile(f.Replay); err != nil ||
		!strings.HasSuffix(string(script), "exec env -i \\\n  'A=b c' \\\n  go build\n") {
		t.Errorf("the script: got %s, %v", script, err)
	}
}

func TestAnErrorKeepsTheFirstCodeThatItGot(t *testing.T) {
	missing := &source.MissingError{Text: "no archive"}
	for _, x := range []struct {
		name string
		err  error
		want int
	}{
		{"said", With(Host, errors.New("no gcc")), Host},
		{"said twice", With(Failed, fmt.Errorf("runc: %w", With(Host, errors.New("no gcc")))), Host},
		{"stopped", With(Failed, fmt.Errorf("x: %w", context.Canceled)), Stopped},
		{"missing", With(Other, missing), Sources},
		{"missing in a build", With(Failed, missing), Failed},
		{"none said", LastLine("s", "", errors.New("x")), Other},
		{"none said of a lock", LastLine("s", "", &graph.LockedError{}), Locked},
	} {
		var e *Exit
		if !errors.As(x.err, &e) || e.ExitStatus() != x.want {
			t.Errorf("%s: got %v, want the exit code %d", x.name, x.err, x.want)
		}
	}
	if err := With(Failed, nil); err != nil {
		t.Errorf("no error: got %v", err)
	}
}

func TestOneLineSaysWhatSeveralSay(t *testing.T) {
	for text, want := range map[string]string{
		"docker-cli: no origin gave the source; tried:\n    http://m/a: 404 Not Found\n    http://n/a: 500\n" +
			"  carry one": "docker-cli: no origin gave the source; tried: http://m/a: 404 Not Found; " +
			"http://n/a: 500; carry one",
		"runc: exit status 1\ntini: exit status 2": "runc: exit status 1; " +
			"tini: exit status 2",
		"one line, however long " + strings.Repeat("x", 400): "one line, however long " +
			strings.Repeat("x", 400),
		"2 problem(s) in the stack's files:\n  a.toml:1: x\n" +
			"  a.toml:2: y\n": "2 problem(s) in the stack's files: a.toml:1: x; a.toml:2: y",
		"first\n" + strings.Repeat("a line of some length\n", 20): "first" +
			strings.Repeat("; a line of some length", 12) + " … (8 more lines above)",
		"": "",
	} {
		if got := OneLine(strings.TrimSpace(text)); got != want {
			t.Errorf("%.60q: got %q, want %q", text, got, want)
		}
	}
}

func TestEveryHintHasAPatternAndAText(t *testing.T) {
	hints := strings.Split(strings.TrimSpace(hintsText), "\n")
	for i, line := range hints {
		if _, err := regexp.Compile(line); err != nil && i%2 == 0 || line == "" {
			t.Errorf("hints.txt:%d: got %q, %v, want a pattern, and a text below it", i+1, line, err)
		}
	}
	if len(hints)%2 != 0 {
		t.Errorf("hints.txt: got %d lines, want pairs", len(hints))
	}
}
