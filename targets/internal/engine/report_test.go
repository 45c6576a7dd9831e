package engine

import (
	"strings"
	"testing"
)

func TestTheFirstErrorIsTheOneThatTheToolNames(t *testing.T) {
	for want, lines := range map[string][]string{
		`cmd/docker/x.go:3:13: cannot use "no" (untyped string constant) as int value in variable declaration`: {"errors", "internal/cpu", "# example.invalid/docker", `cmd/docker/x.go:3:13: cannot use "no" (untyped string constant) as int value in variable declaration`, "cmd/docker/x.go:9:2: declared and not used: y"},
		"go: inconsistent vendoring in /src:":             {"go: inconsistent vendoring in /src:", "\texample.invalid/dep@v1.0.0: is explicitly required in go.mod"},
		"src/api.c:12:5: error: unknown type name 'scmp'": {"gcc -c src/api.c", "src/api.c:12:5: error: unknown type name 'scmp'"},
		"": {"internal/errors", "github.com/pkg/errors", "github.com/docker/docker/api/server/router.go"},
	} {
		if got := firstError(lines); got != want {
			t.Errorf("%q: got %q, want %q", lines, got, want)
		}
	}
}

func TestWhatGoPrintsBeforeItCompilesIsNoPackage(t *testing.T) {
	for text, want := range map[string]bool{
		"internal/cpu\n": true, "github.com/docker/docker/api\nruntime": true, "warning: something\ninternal/cpu\n": true,
		"": false, "\n": false, "go: inconsistent vendoring in /src:\n": false, "cmd/x.go:3:13: no\n": false, "\texample.invalid/dep@v1.0.0: is explicitly required\n": false, "# runtime/cgo\n": false,
	} {
		if got := namesPackage([]byte(text)); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestOneLineSaysWhatSeveralSay(t *testing.T) {
	for text, want := range map[string]string{
		"docker-cli: no origin gave the source; tried:\n    http://m/a: 404 Not Found\n    http://n/a: 500\n  carry one": "docker-cli: no origin gave the source; tried: http://m/a: 404 Not Found; http://n/a: 500; carry one",
		"runc: exit status 1\ntini: exit status 2":                           "runc: exit status 1; tini: exit status 2",
		"one line, however long " + strings.Repeat("x", 400):                 "one line, however long " + strings.Repeat("x", 400),
		"2 problem(s) in the stack's files:\n  a.toml:1: x\n  a.toml:2: y\n": "2 problem(s) in the stack's files: a.toml:1: x; a.toml:2: y",
		"first\n" + strings.Repeat("a line of some length\n", 20):            "first" + strings.Repeat("; a line of some length", 12) + " … (8 more lines above)",
		"": "",
	} {
		if got := oneLine(strings.TrimSpace(text)); got != want {
			t.Errorf("%.60q: got %q, want %q", text, got, want)
		}
	}
}
