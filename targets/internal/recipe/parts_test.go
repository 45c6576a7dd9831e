package recipe

import (
	"slices"
	"strings"
	"testing"
)

func TestClosureHasNeedsFirstAndEachOnce(t *testing.T) {
	t.Parallel()
	s := load(t, "docker-26.1")
	got := Closure(s, []string{"runc", "tini", "runc"})
	if want := append(s.Ground(), "libseccomp", "runc", "tini"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Closure(s, nil); got != nil {
		t.Errorf("of nothing: got %q, want none", got)
	}
}

func TestProgramsAreThoseOfThePartsThatRun(t *testing.T) {
	t.Parallel()
	s := load(t, "docker-26.1")
	got := Programs(s)
	for name, want := range map[string]bool{"dockerd": true, "runc": true, "containerd-shim-runc-v2": true,
		"lib/libseccomp.a": false, "dbus-daemon": false} {
		if slices.Contains(got, name) != want {
			t.Errorf("%s: got %t, want %t: %q", name, !want, want, got)
		}
	}
}

func TestVersionsNameNoExtra(t *testing.T) {
	t.Parallel()
	s := load(t, "docker-26.1")
	got := Versions(s)
	if want := "runc " + s.Component["runc"].Version; !strings.Contains(got, want) ||
		strings.Contains(got, "iptables") {
		t.Errorf("got %q, want %s in it, and no extra", got, want)
	}
}
