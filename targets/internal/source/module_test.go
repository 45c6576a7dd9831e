package source

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drydock/targets/internal/stack"
)

func TestAModuleComesFromTheFirstProxyThatHasItAndIsUnpackedWithoutItsPath(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, n := range []string{"go.mod", "cmd/x/main.go"} {
		e, err := w.Create("example.org/Some/x/v2@v2.3.7/" + n)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(e, n)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var asked []string
	s, c, l, url := setUp(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		if !strings.HasPrefix(r.URL.Path, "/second/") {
			http.NotFound(rw, r)
			return
		}
		rw.Write(b.Bytes())
	}))
	c.Origin = []*stack.Origin{{Kind: stack.KindModule, Module: "example.org/Some/x/v2@v2.3.7"}}
	if _, err := setOf(t, s, l, true).Get(context.Background(), c); err == nil ||
		!strings.Contains(err.Error(), "set GOPROXY=") {
		t.Fatalf("without a proxy: got %v", err)
	}
	set := setOf(t, s, l, true)
	set.Online = func(context.Context) (Go, error) {
		return Go{Env: []string{"GOPROXY=" + url + "/first," + url + "/second/|direct"}}, nil
	}
	f, err := set.Get(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	want := "[/first/example.org/!some/x/v2/@v/v2.3.7.zip /second/example.org/!some/x/v2/@v/v2.3.7.zip]"
	if fmt.Sprint(asked) != want {
		t.Errorf("asked for %v, want %s", asked, want)
	}
	if got := filepath.Base(f.Path); got != "x-2.3.7.zip" {
		t.Errorf("the file: got %s", got)
	}
	dir := t.TempDir()
	if err := Unpack(f, dir); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "cmd/x/main.go")); err != nil || string(got) != "cmd/x/main.go\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.WriteFile(f.Path, append(b.Bytes(), 0), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Unpack(f, t.TempDir()); err == nil || !strings.Contains(err.Error(), "changed after it was checked") {
		t.Errorf("another zip: got %v", err)
	}
}
