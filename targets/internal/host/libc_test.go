package host

import (
	"os"
	"path/filepath"
	"testing"
)

func TestACLibrarySaysWhatItIs(t *testing.T) {
	for data, want := range map[string]string{
		"\x00GNU C Library (Debian GLIBC 2.36-9+deb12u13) stable release version 2.36.\nC": "glibc 2.36 " +
			"Debian GLIBC 2.36-9+deb12u13",
		"GNU C Library stable release version 2.3.4, by Roland":     "glibc 2.3.4 GNU C Library",
		"musl libc (x86_64)\nVersion 1.2.5\nDynamic Program Loader": "",
		"something else": "",
	} {
		file := filepath.Join(t.TempDir(), "libc.a")
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		got := ""
		if l, err := libcIn(file); err == nil {
			got = l.Name + " " + l.Version + " " + l.Build
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", data, got, want)
		}
	}
}
