package archive

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func tarOf(t testing.TB, hs ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range hs {
		body := h.PAXRecords["body"]
		h.PAXRecords = nil
		h.Size = int64(len(body))
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func file(name, body string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, PAXRecords: map[string]string{"body": body}}
}

func link(name, target string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}
}

func TestExtractRefusesWhatCouldReachOutOfTheTree(t *testing.T) {
	cases := map[string][]tar.Header{
		"dot-dot name":         {file("a/../../evil", "x")},
		"absolute name":        {file("/evil", "x")},
		"absolute link":        {link("a/l", "/etc/passwd")},
		"link that climbs out": {link("a/l", "../../x")},
		"write through a link": {link("a/l", "sub"), file("a/l/evil", "x")},
		"links that add up":    {file("a/d/f", "x"), link("a/d/up", ".."), link("a/d/out", "up/../..")},
		"hard link out": {file("a/f", "x"),
			{Name: "a/h", Typeflag: tar.TypeLink, Linkname: "../../etc/passwd"}},
		"device":                  {{Name: "a/dev", Typeflag: tar.TypeChar}},
		"fifo":                    {{Name: "a/fifo", Typeflag: tar.TypeFifo}},
		"setuid":                  {{Name: "a/s", Typeflag: tar.TypeReg, Mode: 0o4755}},
		"nothing left after drop": {file("only", "x")},
	}
	for name, hs := range cases {
		t.Run(name, func(t *testing.T) {
			outer := t.TempDir()
			dir := filepath.Join(outer, "in/tree")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			err := Extract(bytes.NewReader(tarOf(t, hs...)), dir, 1)
			if err == nil {
				t.Fatal("got no error, want a refusal")
			}
			for _, p := range []string{"evil", "in/evil", "in/x"} {
				if _, err := os.Lstat(filepath.Join(outer, p)); err == nil {
					t.Errorf("%s was written outside the tree", p)
				}
			}
		})
	}
}

func TestExtractKeepsContentModeTimeAndInnerLinks(t *testing.T) {
	when := time.Unix(1500000000, 0)
	x := file("top/bin/tool", "#!/bin/sh\n")
	x.Mode, x.ModTime = 0o777, when
	dir := t.TempDir()
	if err := Extract(bytes.NewReader(tarOf(t, x, link("top/t", "bin/tool"))), dir, 1); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(filepath.Join(dir, "t"))
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode().Perm() != 0o755 || !fi.ModTime().Equal(when) {
		t.Errorf("got mode %v time %v, want 0755 and %v", fi.Mode(), fi.ModTime(), when)
	}
}

func TestExtractOverATreeReplacesFilesAndDoesNotWriteThroughLinks(t *testing.T) {
	dir := t.TempDir()
	first := tarOf(t, file("a/go.mod", "old"), file("a/kept", "kept"), link("a/l", "kept"))
	second := tarOf(t, file("a/go.mod", "new"), file("a/l", "a file now"))
	for _, data := range [][]byte{first, second} {
		if err := Extract(bytes.NewReader(data), dir, 1); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"go.mod": "new", "kept": "kept", "l": "a file now"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestTheSameFilesGiveTheSameBytes(t *testing.T) {
	sums := map[string]bool{}
	for _, order := range [][]string{{"a", "b/c"}, {"b/c", "a"}} {
		dir := t.TempDir()
		for _, n := range order {
			p := filepath.Join(dir, n)
			os.MkdirAll(filepath.Dir(p), 0o755)
			if err := os.WriteFile(p, []byte(n), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		es, err := Tree(dir, "p")
		if err != nil {
			t.Fatal(err)
		}
		sum, err := WriteTarGz(filepath.Join(t.TempDir(), "x.tar.gz"), es, time.Unix(1, 0))
		if err != nil {
			t.Fatal(err)
		}
		sums[sum] = true
	}
	if len(sums) != 1 {
		t.Errorf("got %d digests, want 1", len(sums))
	}
}

func TestWriteFileLeavesTheOldContentWhenWritingFails(t *testing.T) {
	p := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(p, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := WriteFile(p, 0o644, func(w io.Writer) error {
		w.Write([]byte("half"))
		return os.ErrInvalid
	})
	data, _ := os.ReadFile(p)
	left, _ := os.ReadDir(filepath.Dir(p))
	if err == nil || string(data) != "old" || len(left) != 1 {
		t.Errorf("got error %v, content %q, %d files; want an error, \"old\", 1 file", err, data, len(left))
	}
}

func FuzzExtractNeverWritesOutside(f *testing.F) {
	f.Add(tarOf(f, file("a/b", "x"), link("a/l", "b")))
	f.Add(tarOf(f, link("a/l", ".."), file("a/l/evil", "x")))
	f.Fuzz(func(t *testing.T, data []byte) {
		outer := t.TempDir()
		dir := filepath.Join(outer, "tree")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		_ = Extract(bytes.NewReader(data), dir, 1)
		es, _ := os.ReadDir(outer)
		if len(es) != 1 {
			t.Fatalf("something beside the tree: %v", es)
		}
		filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
			if err == nil && d.Type()&os.ModeSymlink != 0 {
				if l, _ := os.Readlink(p); strings.HasPrefix(l, "/") {
					t.Errorf("%s is a link to %s", p, l)
				}
			}
			return nil
		})
	})
}

func TestFilesInATarAreEntriesThatReadTheSame(t *testing.T) {
	dir := t.TempDir()
	want := []Entry{{Name: "a", Data: []byte("one"), Mode: 0o644}, {Name: "b/empty", Mode: 0o644},
		{Name: "b/long", Data: bytes.Repeat([]byte("0123456789"), 1000), Mode: 0o644}, {Name: "b/z", Link: "../a"}}
	file := filepath.Join(dir, "x.tar")
	var b bytes.Buffer
	if err := WriteTar(&b, want, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := InTar(file)
	if err != nil || len(got) != 3 {
		t.Fatalf("got %d entries, %v, want the 3 files", len(got), err)
	}
	for i, e := range got {
		r, size, err := e.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		r.Close()
		if err != nil || e.Name != want[i].Name || size != int64(len(data)) || !bytes.Equal(data, want[i].Data) {
			t.Errorf("%s: got %d bytes of %d, %v, want those of %s", e.Name, len(data), size, err, want[i].Name)
		}
	}
	if err := os.WriteFile(file, b.Bytes()[:b.Len()/2], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := InTar(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a cut tar: got %v, want an error that names it", err)
	}
}
