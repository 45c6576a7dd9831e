package stack

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestAnArchitectureHasItsOwnHeadersFilesAndDirectory(t *testing.T) {
	t.Parallel()
	s, err := Load(shipped(), "docker-26.1", Shipped)
	if err != nil {
		t.Fatal(err)
	}
	for arch, want := range map[string][3]string{"": {"amd64", "docker-26.1", "docker-26.1.digests"},
		"amd64": {"amd64", "docker-26.1", "docker-26.1.digests"},
		"arm64": {"arm64", "docker-26.1/arm64", "docker-26.1.arm64.digests"},
		"armv7": {"armhf", "docker-26.1/armv7", "docker-26.1.armv7.digests"}} {
		of, err := s.With(Settings{Arch: arch})
		if err != nil {
			t.Fatal(err)
		}
		h := of.Component["linux-headers"]
		for _, o := range h.Origin {
			if !strings.HasSuffix(o.Name(), "_"+want[0]+".deb") || o.Path != "" &&
				!strings.HasSuffix(o.Path, "_"+want[0]+".deb") {
				t.Errorf("%s: got the headers %s at %q, want those of Debian's %s", arch, o.Name(), o.Path, want[0])
			}
			line := s.Lock.FileFor(h.Name, o.Name())
			if line == nil || !of.Uses(line) {
				t.Errorf("%s: %s: got the lock's line %v, want one that it uses", arch, o.Name(), line)
			}
		}
		if n := len(s.Lock.File) - 2; len(used(of)) > n {
			t.Errorf("%s: uses %d files, want at most %d: two are the headers of others", arch, len(used(of)), n)
		}
		if of.Dir() != want[1] || filepath.Base(of.Beside(".digests")) != want[2] {
			t.Errorf("%s: got %s and %s, want %v", arch, of.Dir(), of.Beside(".digests"), want[1:])
		}
		if n := s.Component["linux-headers"].Origin[0].Name(); !strings.Contains(n, "amd64") ||
			s.Target.Arch != "amd64" {
			t.Fatalf("%s: the stack itself was changed to %s", arch, n)
		}
	}
	for _, arch := range []string{"x86_64", "arm", "amd64/..", "ARM64"} {
		if _, err := s.With(Settings{Arch: arch}); err == nil ||
			!strings.HasPrefix(err.Error(), `ARCH: got "`+arch+`", want "amd64", "arm64", "armv7"`) {
			t.Errorf("%s: got %v, want the known ones", arch, err)
		}
	}
}

func used(s *Stack) (names []string) {
	for _, f := range s.Lock.File {
		if s.Uses(f) {
			names = append(names, f.Name)
		}
	}
	return names
}

func TestAStackFileNamesAKnownArchitecture(t *testing.T) {
	t.Parallel()
	for arch, want := range map[string]string{"armv7": "",
		"riscv64": `target.arch: got "riscv64", want "amd64", "arm64", "armv7"`, "": `target.arch: got ""`} {
		ck := &checking{file: "x.toml"}
		ck.target(Target{Kernel: "3.10", Arch: arch})
		if got := ck.ps; (len(got) > 0) != (want != "") || want != "" && !strings.Contains(got.Error(), want) {
			t.Errorf("%q: got %v, want %q", arch, got, want)
		}
	}
}

func TestAPackageOfOneArchitectureIsNamedAfterAnother(t *testing.T) {
	t.Parallel()
	s := &Stack{Target: Target{Arch: "arm64"}}
	for name, want := range map[string]string{"x_1_amd64.deb": "x_1_arm64.deb", "x_1_armhf.deb": "x_1_arm64.deb",
		"x_1_arm64.deb": "x_1_arm64.deb", "x_1_all.deb": "x_1_all.deb", "x-amd64.tar.gz": "x-amd64.tar.gz"} {
		for _, o := range []*Origin{{Kind: KindDebian, Path: "pool/x/" + name}, {Kind: KindFile, File: name},
			{Kind: KindURL, URL: "https://x.invalid/" + name}} {
			if got := o.of(s.Arch()).Name(); got != want {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
		}
	}
}
