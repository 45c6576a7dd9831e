package install

import (
	"strings"
	"testing"
)

// each runs text behind install.sh's functions in every shell of this machine, and wants it to print that.
func each(t *testing.T, text, want string, args ...string) {
	t.Helper()
	for name, shell := range shells() {
		got := functions(t, shell, "install.sh", "\nmain \"$@\"", text, nil, args...)
		if strings.TrimSpace(got) != want {
			t.Errorf("%s: %s: got %q, want %q", name, text, got, want)
		}
	}
}

func TestReleasesWithALeadingZeroAreNumbers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ a, b, want string }{
		{"18.09.1", "19.03.0", "older"}, {"17.09.0", "17.12.1", "older"}, {"18.06.3", "18.09.0", "older"},
		{"18.09.9", "18.09.1", "not"}, {"20.10.0", "18.09.9", "not"}, {"17.05.0", "17.05.0", "not"},
	} {
		each(t, `if older "$1" "$2"; then echo older; else echo not; fi`, c.want, c.a, c.b)
	}
	k := newKit(t)
	k.ok(unpacked(t, "18.09.1"))
	k.refused(5, "docker 18.09.1 is installed, and 17.09.0 is older", unpacked(t, "17.09.0"))
	k.ok(unpacked(t, "19.03.15"))
	k.is("19.03.15")
}
