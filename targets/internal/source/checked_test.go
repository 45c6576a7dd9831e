package source

import (
	"archive/tar"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/stack"
)

// replaced puts other bytes in a file's place, with its size and time where they fit.
func replaced(t *testing.T, file, data string) {
	t.Helper()
	fi, err := os.Stat(file)
	put(t, file, data)
	if err := errors.Join(err, os.Chtimes(file, fi.ModTime(), fi.ModTime())); err != nil {
		t.Fatal(err)
	}
}

func TestASourceThatChangedAfterItWasCheckedIsRefused(t *testing.T) {
	t.Parallel()
	s, c, l, _ := setUp(t, http.NotFoundHandler())
	file := filepath.Join(s.Dir, "r.tar.gz")
	put(t, file, body)
	f, err := setOf(t, s, l, false).Get(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"another": body2, "no archive": "hello", "with a tail": body +
		strings.Repeat("\x00", 40), "cut": body[:len(body)-1]} {
		replaced(t, file, data)
		unpacked := Unpack(f, t.TempDir())
		_, read := f.Member("a")
		_, hashed := f.Hashed()
		for what, err := range map[string]error{"unpacked": unpacked, "read": read, "hashed": hashed} {
			if want := file + " changed after it was checked: sha256: got " + sum(data) + ", want " +
				sum(body); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %s: got %v, want %q", name, what, err, want)
			}
		}
	}
	replaced(t, file, body)
	if err := Unpack(f, t.TempDir()); err != nil {
		t.Errorf("as it was: got %v", err)
	}
	if data, err := f.Member("a"); err != nil || string(data) != "one" {
		t.Errorf("as it was: got %q, %v", data, err)
	}
}

func TestRestoredLibrariesThatChangedAfterTheyWereCheckedAreRefused(t *testing.T) {
	t.Parallel()
	s, c, packages := debianSet(t)
	ctx, l := context.Background(), &stack.Lock{}
	f, err := setOf(t, s, l, true).Get(ctx, c)
	if err == nil {
		err = setOf(t, s, l, true, packages...).restoreLibraries(ctx, c, f)
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := setOf(t, s, l, false).VendorFile(c, f)
	if err != nil || line == nil {
		t.Fatal(line, err)
	}
	// A memory of digests that is wrong is what a file of the same size and times looks like.
	file := filepath.Join(s.Dir, line.Name)
	if _, err := archive.WriteTarGz(file,
		[]archive.Entry{{Name: "src/evil.go", Data: []byte("package evil\n"), Mode: 0o644}},
		time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	s.Digests.known[file+" tar"] = stampOf(fi, line.TarSHA256)
	if _, err := setOf(t, s, l, false).Prepare(c, f, t.TempDir()); err == nil ||
		!strings.Contains(err.Error(), file+" changed after it was checked: sha256: got ") {
		t.Errorf("got %v, want a refusal", err)
	}
}

func TestNoPackageBringsAFileOfTheHosts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "secret"), "secret")
	const src = "usr/share/gocode/src/example.org/"
	tree := func(entries ...tar.Header) error {
		libs := filepath.Join(dir, "libs")
		if err := errors.Join(os.RemoveAll(libs), os.Mkdir(libs, 0o755)); err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			file := filepath.Join(libs, e.Name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.Symlink(e.Linkname, file)); err != nil {
				t.Fatal(err)
			}
		}
		put(t, filepath.Join(libs, src+"lib/l.go"), "package lib\n")
		_, err := kept(libs, map[string]bool{filepath.Join(libs, src+"lib"): true})
		return err
	}
	up := strings.Repeat("../", strings.Count(src, "/")+1)
	for _, to := range []string{up + "../secret", "../../" + up + "etc/passwd", "/etc/passwd"} {
		if err := tree(tar.Header{Name: src + "lib/LICENSE", Linkname: to}); err == nil {
			t.Errorf("%s: a link out of the packages was taken", to)
		}
	}
	if err := tree(tar.Header{Name: src + "lib/LICENSE", Linkname: "l.go"},
		tar.Header{Name: src + "lib/NOTICE", Linkname: "none"}); err != nil {
		t.Errorf("links inside: got %v", err)
	}
}
