package store

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestALinksArgumentsAreThoseOfAnyMachine(t *testing.T) {
	args := []string{"-m64", "-o", "/w/exe/a.out", "/s/relink/runc/go.o", "/s/relink/runc/000000.o",
		"-L/store/libseccomp/ab/lib", "-lseccomp", "", "-Wl,-z,relro"}
	got, err := linkArgs(args, "/s/relink/runc", map[string]string{"libseccomp": "/store/libseccomp/ab"})
	want := []string{"-m64", "go.o", "000000.o", "-L../lib/libseccomp", "-lseccomp", "-Wl,-z,relro"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for _, a := range []string{"/usr/lib/crt1.o", "-L/opt/lib"} {
		if _, err := linkArgs([]string{a}, "/s", nil); err == nil || !strings.Contains(err.Error(), a) {
			t.Errorf("%s: got %v, want an error that names it", a, err)
		}
	}
	if got := responseWord(`a "b\`); got != `"a \"b\\"` {
		t.Errorf("got %s", got)
	}
}

func TestLicenceTextsAreFoundWhereverTheyLie(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"LICENSE", "vendor/a/License.txt", "vendor/a/NOTICE", "vendor/b/COPYING.LIB",
		"vendor/b/UNLICENSE", "vendor/modules.txt", "pkg/LICENSE.BSD", "pkg/license.go", "pkg/licensed/x.go",
		"AUTHORS"} {
		p := filepath.Join(dir, n)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	es, err := noticesOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range es {
		got = append(got, e.Name)
	}
	want := []string{"LICENSE", "pkg/LICENSE.BSD", "vendor/a/License.txt", "vendor/a/NOTICE", "vendor/b/COPYING.LIB",
		"vendor/b/UNLICENSE", "vendor/modules.txt"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
