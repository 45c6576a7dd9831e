package source

import (
	"archive/zip"
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/testlong"
)

// packedAs writes files below a leading directory as an archive of the name's format, and returns it as a source.
func packedAs(t *testing.T, dir, name, top string, files map[string]string) *Found {
	t.Helper()
	file, o := filepath.Join(dir, name), &stack.Origin{Kind: stack.KindFile, File: name}
	var es []archive.Entry
	var z bytes.Buffer
	zw := zip.NewWriter(&z)
	for n, text := range files {
		e := archive.Entry{Name: top + n, Data: []byte(text), Mode: 0o644}
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			e.Data, e.Link = nil, to
		}
		if strings.HasSuffix(n, ".sh") {
			e.Mode = 0o755
		}
		es = append(es, e)
		w, err := zw.Create(top + n)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	strip := strings.Count(top, "/")
	o.Strip = &strip
	var tar bytes.Buffer
	err := archive.WriteTar(&tar, es, time.Unix(0, 0))
	switch stack.Format(name) {
	case "zip":
		zw.Close()
		put(t, file, z.Bytes())
	case "gz":
		_, err = archive.WriteTarGz(file, es, time.Unix(0, 0))
	case "tar":
		put(t, file, tar.Bytes())
	case "xz":
		xz := exec.Command("xz", "-c")
		xz.Stdin = &tar
		var out []byte
		if out, err = xz.Output(); err != nil {
			t.Skipf("xz: %v", err)
		}
		put(t, file, out)
	}
	sha, serr := archive.SHA256File(file)
	if err != nil || serr != nil {
		t.Fatal(err, serr)
	}
	return &Found{Origin: o, Path: file, SHA256: sha, sum: sha}
}

func TestArchivesOfOneTreeAreTheSameWhateverTheirLayoutAndOthersAreNot(t *testing.T) {
	t.Parallel()
	tree := map[string]string{"main.go": "package main\n", "a/run.sh": "#!/bin/sh\n", "a/link": "-> ../main.go"}
	with := func(changes ...string) map[string]string {
		m := map[string]string{}
		maps.Copy(m, tree)
		for i := 0; i < len(changes); i += 2 {
			if m[changes[i]] = changes[i+1]; changes[i+1] == "" {
				delete(m, changes[i])
			}
		}
		return m
	}
	s := &Set{Store: &Store{Dir: t.TempDir()}, Root: t.TempDir()}
	upstream := packedAs(t, s.Dir, "u.tar.gz", "moby-26.1.5/",
		with("vendor/modules.txt", "# all of it\n", "vendor/x/x.go", "package x\n"))
	for name, c := range map[string]struct {
		file, top, want string
		files           map[string]string
	}{
		"without vendor, deeper": {"a.tar", "docker.io-26.1.5/engine/", "", tree},
		"packed with xz":         {"b.tar.xz", "x/", "", tree},
		"another content": {"c.tar.gz", "moby-26.1.5/", "1 files differ, such as main.go",
			with("main.go", "package Main\n")},
		"a file more": {"d.tar.gz", "moby-26.1.5/", "1 files differ, such as b.go",
			with("b.go", "package main\n")},
		"a file less": {"e.tar.gz", "moby-26.1.5/", "1 files differ, such as a/run.sh",
			with("a/run.sh", "")},
		"a link elsewhere": {"f.tar.gz", "moby-26.1.5/", "1 files differ, such as a/link",
			with("a/link", "-> run.sh")},
		"a file instead of a link": {"g.tar.gz", "moby-26.1.5/", "1 files differ, such as a/link",
			with("a/link", "../main.go")},
		"a directory called vendor": {"h.tar.gz", "moby-26.1.5/", "1 files differ, such as a/vendor/x.go",
			with("a/vendor/x.go", "package x\n")},
	} {
		got := s.SameTree(upstream, packedAs(t, s.Dir, c.file, c.top, c.files))
		if c.want == "" && got != nil || c.want != "" && (got == nil || !strings.Contains(got.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, got, c.want)
		}
	}
}

func TestAVendorTreeIsRecordedForEveryArchiveOfTheSameTree(t *testing.T) {
	restore, s, c, l, f := raising(t)
	if err := restore(true, "dep@v1.1.0"); err != nil {
		t.Fatal(err)
	}
	first := *l.Vendor[0]
	dir := t.TempDir()
	if err := Unpack(f, dir); err != nil {
		t.Fatal(err)
	}
	add := func(name string, change func()) *Found {
		change()
		es, err := archive.Tree(dir, "deep/er")
		if err == nil {
			_, err = archive.WriteTarGz(filepath.Join(s.Dir, name), es, time.Unix(0, 0))
		}
		if err != nil {
			t.Fatal(err)
		}
		sha, _ := archive.SHA256File(filepath.Join(s.Dir, name))
		two := 2
		o := &stack.Origin{Kind: stack.KindFile, File: name, Strip: &two}
		c.Origin = append(c.Origin, o)
		l.File = append(l.File, &stack.LockedFile{Component: c.Name, Name: name, SHA256: sha, Size: 1})
		return &Found{Origin: o, Path: filepath.Join(s.Dir, name), SHA256: sha, sum: sha}
	}
	*f = *add("same.tar.gz", func() {})
	if err := restore(true, "dep@v1.1.0"); err != nil {
		t.Fatal(err)
	}
	if v := l.Vendor[0]; len(l.Vendor) != 1 || len(v.Also) != 1 || v.Also[0] != f.SHA256 || v.Source != first.Source ||
		v.Name != first.Name {
		t.Fatalf("got %+v, want one line, for both archives", l.Vendor)
	}
	if got := l.VendorFor(c, f.SHA256); got != l.Vendor[0] {
		t.Errorf("got %v for the second archive, want the line of both", got)
	}
	if err := restore(false, "dep@v1.1.0"); err != nil {
		t.Errorf("restored from the second archive: got %v, want the recorded tree", err)
	}
	*f = *add("other.tar.gz", func() { put(t, filepath.Join(dir, "more.go"), "package main\n") })
	if err := restore(true, "dep@v1.1.0"); err != nil {
		t.Fatal(err)
	}
	if len(l.VendorFor(c, f.SHA256).Also) > 0 || len(l.VendorFor(c, first.Source).Also) != 1 {
		t.Errorf("got %+v, want a line of its own for the archive of another tree", l.Vendor)
	}
}

// The archives of Debian and of upstream lie side by side only where somebody has fetched both.
func TestLongShippedArchivesOfAComponentAreTheSameTree(t *testing.T) {
	testlong.Skip(t)
	dir := filepath.Join("..", "..", "..", "vendor-sources")
	names, err := stack.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		st, err := stack.Load(dir, n, recipe.Rows())
		if err != nil {
			t.Fatal(err)
		}
		s := &Set{Store: &Store{Dir: dir, Digests: OpenDigests(filepath.Join(t.TempDir(), "d.json"))}, Stack: st,
			Root: t.TempDir()}
		for _, v := range st.Lock.Vendor {
			t.Run(n+"/"+v.Component, func(t *testing.T) {
				here := map[string]*Found{}
				c := st.Component[v.Component]
				for _, o := range c.Origin {
					one := *c
					one.Origin = []*stack.Origin{o}
					if f, _ := s.archives(&one); f != nil && v.For(f.SHA256) {
						here[f.SHA256] = f
					}
				}
				first := here[v.Source]
				if first == nil || len(here) < 2 {
					t.Skipf("%d of %d archives are in vendor-sources/", len(here), 1+len(v.Also))
				}
				for _, f := range here {
					if err := s.SameTree(first, f); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

func TestTheNameThatASnapshotHasForAFileIsItsSHA1(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f")
	put(t, file, "abc")
	if got, err := sha1File(file); err != nil || got != "a9993e364706816aba3e25717850c26c9cd0d89d" {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := sha1File(file + "x"); !os.IsNotExist(err) {
		t.Errorf("got %v for no file", err)
	}
}
