package pack

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"drydock/targets/internal/archive"
)

func TestAFlippedBitAnywhereIsFoundAndNamed(t *testing.T) {
	dir := t.TempDir()
	bundle := filepath.Join(dir, "bundle.tar.gz")
	noise := make([]byte, 20000)
	rand.New(rand.NewSource(1)).Read(noise)
	es := []archive.Entry{{Name: "mage", Data: []byte("#!/bin/sh\n"), Mode: 0o755}, {Name: "vendor-sources/a.tar.gz", Data: noise, Mode: 0o644}, {Name: "z", Data: noise[:5000], Mode: 0o644}}
	if _, err := WriteBundle(bundle, es, nil, func(Sums) []byte { return []byte("about\n") }, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	pkg, _, _ := write(t, sample(t))
	check := map[string]func(string) []string{
		bundle: func(f string) []string {
			problems, _, err := VerifyBundle(f)
			if err != nil {
				return []string{err.Error()}
			}
			return problems
		},
		pkg: func(f string) []string {
			_, problems, err := ReadPackage(f)
			if err != nil {
				return []string{err.Error()}
			}
			return problems
		},
	}
	for file, find := range check {
		if got := find(file); len(got) > 0 {
			t.Fatalf("%s: as it was made, and %q", file, got)
		}
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		bad := filepath.Join(dir, "bad.tar.gz")
		r := rand.New(rand.NewSource(2))
		try := func(what string, data []byte) {
			t.Helper()
			if err := os.WriteFile(bad, data, 0o644); err != nil {
				t.Fatal(err)
			}
			got := find(bad)
			if len(got) == 0 {
				t.Errorf("%s, %s: not found", filepath.Base(file), what)
			} else if text := strings.Join(got, "\n"); !strings.Contains(text, "bad.tar.gz") && !strings.Contains(text, "sha256: got") {
				t.Errorf("%s, %s: names no file: %s", filepath.Base(file), what, text)
			}
		}
		for range 60 {
			at := 10 + r.Intn(len(good)-10) // gzip's header has fields that mean nothing
			data := slices.Clone(good)
			data[at] ^= 1 << r.Intn(8)
			try(fmt.Sprintf("byte %d", at), data)
			try(fmt.Sprintf("cut to %d", at), good[:at])
		}
	}
}

func TestADifferenceHasWhatTheOlderBundleLacks(t *testing.T) {
	dir := t.TempDir()
	entry := func(n, d string) archive.Entry { return archive.Entry{Name: n, Data: []byte(d), Mode: 0o644} }
	about := func(Sums) []byte { return []byte("about\n") }
	old, update := filepath.Join(dir, "old.tar.gz"), filepath.Join(dir, "update.tar.gz")
	if _, err := WriteBundle(old, []archive.Entry{entry("same", "1"), entry("other", "1"), entry("gone", "1")}, nil, about, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	sums, err := OldSums(old)
	if err != nil {
		t.Fatal(err)
	}
	b, err := WriteBundle(update, []archive.Entry{entry("same", "1"), entry("other", "2"), entry("new", "1")}, sums, about, time.Unix(1, 0))
	if err != nil || b.Left != 1 {
		t.Fatalf("got %+v, %v, want one file left out", b, err)
	}
	problems, left, err := VerifyBundle(update)
	if err != nil || len(problems) > 0 || !slices.Equal(left, []string{"same"}) {
		t.Errorf("got %q, %q, %v, want only \"same\" left out", problems, left, err)
	}
}

func TestADiffNamesTheCauses(t *testing.T) {
	read := func(edit func(*Contents)) *Read {
		c := sample(t)
		edit(c)
		file, _, _ := write(t, c)
		r, problems, err := ReadPackage(file)
		if err != nil || problems != nil {
			t.Fatal(problems, err)
		}
		return r
	}
	a := read(func(*Contents) {})
	if cs := Diff(a, a); len(cs) > 0 {
		t.Errorf("the same: got %v", cs)
	}
	b := read(func(c *Contents) {
		c.Components[1].Version = "0.20.0"
		c.Components[2].Patches = nil
		c.Components[2].Steps = []Step{{Command: "go build -tags seccomp"}}
		c.Features = []string{"runc: seccomp"}
		c.Toolchains = []Toolchain{{Name: "go", Version: "1.27"}}
		c.CLib.Version = "2.41"
		c.Installer[0].Data = []byte("#!/bin/sh\nexit 1\n")
	})
	var got []string
	for _, c := range Diff(a, b) {
		got = append(got, c.Kind+" "+c.Name+": "+c.Was+" > "+c.Is)
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{"component tini: 0.19.0 de40ad0 > 0.20.0 de40ad0", "patch runc >= 1/fix.patch: 333333333333 > ", "command runc 1:  > go build -tags seccomp",
		"feature runc: seccomp:  > there", "toolchain go:  > 1.27 ()", "module glibc: 2.36 > 2.41", "file install.sh: "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestASignatureIsOfOneListByOneKey(t *testing.T) {
	dir := t.TempDir()
	mine, other := filepath.Join(dir, "mine"), filepath.Join(dir, "other")
	for _, k := range []string{mine, other} {
		if _, err := NewKey(k); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := NewKey(mine); err == nil {
		t.Error("a key was overwritten")
	}
	s, err := OpenSigner(mine, "")
	if err != nil {
		t.Fatal(err)
	}
	list := []byte("list\n")
	sig := s.Sign(list, "docker")
	if !bytes.Equal(sig, s.Sign(list, "docker")) {
		t.Error("the same list and key gave another signature")
	}
	if err := CheckSignature(mine+".pub", list, sig); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{"another list": CheckSignature(mine+".pub", []byte("lisT\n"), sig), "another key": CheckSignature(other+".pub", list, sig),
		"none": CheckSignature(mine+".pub", list, nil), "a broken one": CheckSignature(mine+".pub", list, sig[:40]), "no key": CheckSignature(mine, list, sig)} {
		if err == nil {
			t.Errorf("%s: taken for good", what)
		}
	}
	if err := os.Chmod(mine, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSigner(mine, ""); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a secret key that all can read: got %v", err)
	}
}

func FuzzParseSums(f *testing.F) {
	f.Add([]byte(strings.Repeat("a", 64) + "  name\n"))
	f.Add([]byte(strings.Repeat("0", 64) + " *../x\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		sums, err := ParseSums(data)
		if err != nil {
			return
		}
		for n, s := range sums {
			if len(s) != 64 || !filepath.IsLocal(n) {
				t.Errorf("took %q %q", s, n)
			}
		}
	})
}

func FuzzReadPackage(f *testing.F) {
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "p.tar.gz")
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if r, problems, err := ReadPackage(file); r != nil && (len(problems) > 0 || err != nil) || r == nil && problems == nil && err == nil {
			t.Errorf("got %v, %q, %v", r, problems, err)
		}
	})
}

func FuzzDebianLicence(f *testing.F) {
	f.Add([]byte("Files: *\nLicense: Expat or GPL-2+\n\nFiles: debian/*\nLicense: x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for id := range strings.FieldsSeq(debianLicence(data)) {
			if strings.ContainsAny(id, "\n\"<>") {
				t.Errorf("got %q", id)
			}
		}
		importPath(data)
	})
}
