package platform

import (
	"slices"
	"testing"
)

func TestAnArchitectureIsFoundByItsNameAlone(t *testing.T) {
	t.Parallel()
	for _, a := range All() {
		got, err := Of(a.Name)
		if err != nil || got.Triplet != a.Triplet {
			t.Errorf("Of(%q): got %q, %v, want %q", a.Name, got.Triplet, err, a.Triplet)
		}
		if (a.Below() == "") != (a.Name == Default) {
			t.Errorf("%s: got the directory %q", a.Name, a.Below())
		}
	}
	for _, name := range []string{"", "x86_64", "aarch64", "arm", "ARM64", "arm64 ", "../amd64"} {
		if _, err := Of(name); err == nil {
			t.Errorf("Of(%q): got no error", name)
		}
	}
}

func TestGoIsToldTheLevelOfARMOnly(t *testing.T) {
	t.Parallel()
	if got := Must("amd64").Go(); !slices.Equal(got, []string{"GOOS=linux", "GOARCH=amd64"}) {
		t.Errorf("amd64: got %q", got)
	}
	if got := Must("armv7").Go(); !slices.Equal(got, []string{"GOOS=linux", "GOARCH=arm", "GOARM=7"}) {
		t.Errorf("armv7: got %q", got)
	}
}
