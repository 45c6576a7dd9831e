package archive

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type zipped struct {
	name, text string
	mode       fs.FileMode
}

func zipOf(t *testing.T, files ...zipped) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		if f.mode != 0 {
			h.SetMode(f.mode)
		}
		e, err := w.CreateHeader(h)
		if err == nil {
			_, err = e.Write([]byte(f.text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unzip(data []byte, dir string, strip int) error {
	r, err := Decompress(bytes.NewReader(data), "zip")
	if err != nil {
		return err
	}
	return Extract(r, dir, strip)
}

func TestAZipIsUnpackedLikeATar(t *testing.T) {
	dir := t.TempDir()
	data := zipOf(t, zipped{"m.example/x@v1.0.0/", "", fs.ModeDir | 0o755},
		zipped{"m.example/x@v1.0.0/go.mod", "module m.example/x\n", 0},
		zipped{"m.example/x@v1.0.0/a/run", "#!/bin/sh\n", 0o755}, zipped{"m.example/x@v1.0.0/empty", "", 0o644})
	if err := unzip(data, dir, 2); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		text string
		mode fs.FileMode
	}{"go.mod": {"module m.example/x\n", 0o644}, "a/run": {"#!/bin/sh\n", 0o755}, "empty": {"", 0o644}} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		fi, serr := os.Stat(filepath.Join(dir, name))
		if err != nil || serr != nil || string(got) != want.text || fi.Mode().Perm() != want.mode {
			t.Errorf("%s: got %q, %v, %v", name, got, fi, err)
		}
	}
}

func TestAZipThatIsNotWholeOrReachesOutIsRefused(t *testing.T) {
	good := zipOf(t, zipped{"top/a", strings.Repeat("some text ", 100), 0})
	flipped := bytes.Clone(good)
	flipped[40] ^= 1
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"a cut end":       {good[:len(good)-30], "zip"},
		"another content": {flipped, "entry \"top/a\""},
		"no zip":          {[]byte("<html>"), "zip"},
		"a link":          {zipOf(t, zipped{"top/l", "/etc/passwd", fs.ModeSymlink | 0o777}), "want files only"},
		"an outer name":   {zipOf(t, zipped{"top/../../x", "x", 0}), "top/../../x"},
		"an absolute one": {zipOf(t, zipped{"/x", "x", 0}), "/x"},
		"nothing":         {zipOf(t), "no file in it"},
	} {
		if err := unzip(c.data, t.TempDir(), 1); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}
