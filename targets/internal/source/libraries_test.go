package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/origins"
	"drydock/targets/internal/stack"
)

// deb makes a Debian package of files; a content that begins with "link:" is a symbolic link.
func deb(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var data bytes.Buffer
	zw := gzip.NewWriter(&data)
	tw := tar.NewWriter(zw)
	for n, c := range files {
		h := &tar.Header{Name: "./" + n, Mode: 0o644, Size: int64(len(c)), Typeflag: tar.TypeReg}
		if to, ok := strings.CutPrefix(c, "link:"); ok {
			h.Typeflag, h.Linkname, h.Size, c = tar.TypeSymlink, to, 0, ""
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(c)); err != nil {
			t.Fatal(err)
		}
	}
	tw.Close()
	zw.Close()
	var ar bytes.Buffer
	ar.WriteString("!<arch>\n")
	for _, m := range []struct {
		name string
		body []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar.gz", nil}, {"data.tar.gz", data.Bytes()}} {
		fmt.Fprintf(&ar, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 0, 0, 0, "100644", len(m.body))
		ar.Write(m.body)
		if len(m.body)%2 == 1 {
			ar.WriteByte('\n')
		}
	}
	return ar.Bytes()
}

// debianSet serves a source of two archives with a series, and two packages.
func debianSet(t *testing.T) (*Store, *stack.Component, []string) {
	t.Helper()
	served := t.TempDir()
	tgz := func(name string, files map[string]string) {
		var es []archive.Entry
		for n, c := range files {
			es = append(es, archive.Entry{Name: n, Data: []byte(c), Mode: 0o644})
		}
		if _, err := archive.WriteTarGz(filepath.Join(served, name), es, time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
	}
	tgz("engine.tar.gz", map[string]string{
		"top/engine/cmd/dockerd/main.go":      "package main\n\nimport _ \"example.org/before\"\n",
		"top/engine/cmd/dockerd/main_test.go": "package main\n\nimport _ \"example.org/fortest\"\n",
		"top/engine/cmd/dockerd/windows.go": "// +build windows\n\npackage main\n\n" +
			"import _ \"example.org/windows\"\n",
		"top/engine/daemon/daemon.go": "package daemon\n\nimport (\n\t_ \"example.org/lib/v2/sub\"\n" +
			"\t_ \"example.org/vendored\"\n)\n",
		"top/engine/vendor/example.org/vendored/v.go": "package vendored\n",
		"top/engine/contrib/tool/main.go":             "package main\n\nimport _ \"example.org/unused\"\n",
	})
	tgz("debian.tar.gz", map[string]string{
		"debian/patches/series": "# ours\nfix.patch\n",
		"debian/patches/fix.patch": "--- a/engine/cmd/dockerd/main.go\n+++ b/engine/cmd/dockerd/main.go\n" +
			"@@ -1,3 +1,3 @@\n package main\n \n-import _ \"example.org/before\"\n" +
			"+import _ \"github.com/docker/docker/daemon\"\n",
	})
	const src = "usr/share/gocode/src/example.org/"
	for name, files := range map[string]map[string]string{
		"golang-lib-dev_1_all.deb": {
			src + "lib/go.mod": "module example.org/lib/v2\n", src + "lib/LICENSE": "MIT",
			src + "lib/sub/s.go":      "package sub\n\nimport _ \"example.org/second\"\n",
			src + "lib/sub/s_test.go": "package sub\n", src + "lib/testdata/l": "link:/etc/passwd",
			src + "lib/other/o.go": "package other\n",
			src + "unused/u.go":    "package unused\n", src + "fortest/f.go": "package fortest\n",
			src + "before/b.go":                      "package before\n",
			"usr/share/doc/golang-lib-dev/copyright": "MIT",
		},
		"golang-second-dev_1_all.deb": {src + "second/s.go": "package second\n",
			src + "windows/w.go": "package windows\n", src + "alias": "link:second"},
	} {
		if err := os.WriteFile(filepath.Join(served, name), deb(t, files), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	srv := httptest.NewServer(http.FileServer(http.Dir(served)))
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	none := 0
	c := &stack.Component{Name: "dockerd", Version: "20.10.24", Origin: []*stack.Origin{{
		Kind: stack.KindURL, URL: srv.URL + "/engine.tar.gz", Series: "debian/patches/series",
		Gopath: map[string]string{"github.com/docker/docker": "engine"},
		With:   []*stack.Origin{{Kind: stack.KindURL, URL: srv.URL + "/debian.tar.gz", Strip: &none}},
	}}}
	s := &Store{Dir: dir, Digests: OpenDigests(filepath.Join(t.TempDir(), "digests.json")),
		Places: origins.Places{Mirrors: origins.Mirrors{Main: []string{srv.URL}}}, Client: srv.Client(),
		Backoff: time.Millisecond}
	return s, c, []string{"golang-lib-dev_1_all.deb", "golang-second-dev_1_all.deb"}
}

func TestLibrariesAreWhatTheCommandsReachInThePackages(t *testing.T) {
	s, c, packages := debianSet(t)
	ctx, l := context.Background(), &stack.Lock{}
	if _, err := setOf(t, s, l, false).Get(ctx, c); err == nil ||
		!strings.Contains(err.Error(), "the lock has no digest") {
		t.Fatalf("without a lock: got %v", err)
	}
	f, err := setOf(t, s, l, true).Get(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if !NeedsVendor(c, f) || len(f.With) != 1 {
		t.Fatalf("got %+v, want two archives without libraries", f)
	}
	if err := setOf(t, s, l, true, packages...).restoreLibraries(ctx, c, f); err != nil {
		t.Fatal(err)
	}
	line, err := setOf(t, s, l, false).VendorFile(c, f)
	if err != nil || line == nil {
		t.Fatalf("got %v, %v, want the lock's line", line, err)
	}
	for _, p := range packages {
		if l.FileFor(stack.PackageOwner, p) == nil {
			t.Errorf("%s is not in the lock", p)
		}
	}
	tree := t.TempDir()
	if _, err := setOf(t, s, l, false).Prepare(c, f, tree); err != nil {
		t.Fatal(err)
	}
	var got []string
	es, err := archive.Tree(filepath.Join(tree, Libraries), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		got = append(got, e.Name)
	}
	want := []string{"doc/golang-lib-dev/copyright", "src/example.org/lib/LICENSE", "src/example.org/lib/go.mod",
		"src/example.org/lib/sub/s.go",
		"src/example.org/second/s.go", "src/example.org/windows/w.go"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if data, err := os.ReadFile(filepath.Join(tree, "engine/cmd/dockerd/main.go")); err != nil ||
		!strings.Contains(string(data), "docker/daemon") {
		t.Errorf("the series was not applied: %s, %v", data, err)
	}
	f.Origin.Skip = []string{"fix.patch"}
	tree = t.TempDir()
	if _, err := setOf(t, s, l, false).Prepare(c, f, tree); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(tree, "engine/cmd/dockerd/main.go")); err != nil ||
		strings.Contains(string(data), "docker/daemon") {
		t.Errorf("a patch to skip was applied: %s, %v", data, err)
	}
	f.Origin.Skip = []string{"gone.patch"}
	if _, err := setOf(t, s, l, false).Prepare(c, f, t.TempDir()); err == nil ||
		!strings.Contains(err.Error(), "skip names gone.patch, which is not in it") {
		t.Errorf("a patch to skip that is not there: got %v", err)
	}
}

func TestComponentsThatShareAnArchiveFetchItOnce(t *testing.T) {
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		for range 50 {
			fmt.Fprint(w, strings.Repeat("x", 1000))
			w.(http.Flusher).Flush()
		}
	}))
	defer srv.Close()
	sum, err := archive.SHA256(strings.NewReader(strings.Repeat("x", 50000)))
	if err != nil {
		t.Fatal(err)
	}
	l := &stack.Lock{}
	s := &Store{Dir: t.TempDir(), Digests: OpenDigests(filepath.Join(t.TempDir(), "digests.json")),
		Client: srv.Client(), Backoff: time.Millisecond}
	names := []string{"dockerd", "docker-cli", "docker-proxy"}
	for _, n := range names {
		l.File = append(l.File, &stack.LockedFile{Component: n, Name: "shared.tar.gz", SHA256: sum, Size: 50000})
	}
	err = FetchAll(names, len(names), func(n string) error {
		_, err := setOf(t, s, l, false).Get(context.Background(),
			&stack.Component{Name: n, Origin: []*stack.Origin{{Kind: stack.KindURL, URL: srv.URL + "/shared.tar.gz"}}})
		return err
	})
	if err != nil || asked.Load() != 1 {
		t.Errorf("asked %d times, %v, want once", asked.Load(), err)
	}
}

func TestRestoredLibrariesAreHeldAgainstTheLock(t *testing.T) {
	s, c, packages := debianSet(t)
	ctx, l := context.Background(), &stack.Lock{}
	f, err := setOf(t, s, l, true).Get(ctx, c)
	if err == nil {
		err = setOf(t, s, l, true, packages...).restoreLibraries(ctx, c, f)
	}
	if err != nil {
		t.Fatal(err)
	}
	name := l.Vendor[0].Name
	if err := os.Remove(filepath.Join(s.Dir, name)); err != nil {
		t.Fatal(err)
	}
	l.Vendor[0].TarSHA256 = strings.Repeat("0", 64)
	s.restored = nil
	if err := setOf(t, s, l, false, packages...).restoreLibraries(ctx, c, f); err == nil ||
		!strings.Contains(err.Error(), "restored libraries: sha256 of the tar: got") {
		t.Errorf("got %v, want a refusal", err)
	}
	s.Client, s.restored = nil, nil
	if err := os.Remove(filepath.Join(s.Dir, packages[0])); err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(s.Dir, name))
	err = setOf(t, s, l, false, packages...).restoreLibraries(ctx, c, f)
	if err == nil || !strings.Contains(err.Error(), packages[0]) || !strings.Contains(err.Error(), "OFFLINE") {
		t.Errorf("got %v, want the package that is to be carried in", err)
	}
	if err := setOf(t, s, l, false).restoreLibraries(ctx, c, f); err == nil ||
		!strings.Contains(err.Error(), "names no packages") {
		t.Errorf("got %v, want that the stack names none", err)
	}
}
