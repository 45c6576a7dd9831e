package trace

import "testing"

func TestWhatGoPrintsBeforeItCompilesIsNoPackage(t *testing.T) {
	for text, want := range map[string]bool{
		"internal/cpu\n": true, "github.com/docker/docker/api\nruntime": true,
		"warning: something\ninternal/cpu\n": true,
		"":                                   false, "\n": false, "go: inconsistent vendoring in /src:\n": false,
		"cmd/x.go:3:13: no\n": false, "\texample.invalid/dep@v1.0.0: is explicitly required\n": false,
		"# runtime/cgo\n": false,
	} {
		if got := NamesPackage([]byte(text)); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}
