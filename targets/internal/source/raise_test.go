package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/testlong"

	"github.com/rogpeppe/go-internal/goproxytest"
)

// raising is a store with the archive of a module that imports dep and low, and how its vendor tree is restored.
func raising(t *testing.T) (restore func(record bool, raises ...string) error, s *Store, c *stack.Component,
	l *stack.Lock, f *Found) {
	t.Helper()
	proxy := goproxytest.NewTestServer(t, "testdata/proxy", "")
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	g := Go{Path: tool, Version: strings.TrimPrefix(runtime.Version(), "go"), Constraint: ">= 1.25",
		Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GOPROXY=" + proxy.URL, "GOSUMDB=off",
			"GOCACHE=" + t.TempDir()}} // which has 256 directories: not anew for each restoring
	s = &Store{Dir: t.TempDir(), Digests: OpenDigests(filepath.Join(t.TempDir(), "d.json"))}
	files := map[string]string{
		"go.mod": "module example.invalid/main\n\ngo 1.21\n\nrequire example.invalid/dep v1.0.0\n\nrequire (\n" +
			"\texample.invalid/low v1.0.0 // indirect\n\texample.invalid/unused v1.0.0 // indirect\n)\n",
		"main.go": "package main\n\nimport \"example.invalid/dep\"\nimport _ \"example.invalid/low\"\n\n" +
			"func main() { print(dep.Says()) }\n",
	}
	files["go.sum"] = sumsOf(t, g, files)
	files["debian/patches/series"] = "low.patch\n"
	files["debian/patches/low.patch"] = change("vendor/example.invalid/low/low.go", "package low",
		"package low // patched")
	var es []archive.Entry
	for n, text := range files {
		es = append(es, archive.Entry{Name: "top/" + n, Data: []byte(text), Mode: 0o644})
	}
	file := filepath.Join(s.Dir, "main.tar.gz")
	if _, err := archive.WriteTarGz(file, es, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	sum, err := archive.SHA256File(file)
	if err != nil {
		t.Fatal(err)
	}
	c = &stack.Component{Name: "runc", Version: "1.0.0", Vendor: &stack.Vendor{},
		Origin: []*stack.Origin{{Kind: "file", File: "main.tar.gz"}}}
	l = &stack.Lock{File: []*stack.LockedFile{{Component: "runc", Name: "main.tar.gz", SHA256: sum, Size: 1}}}
	if f, err = setOf(t, s, l, false).Locate(c); err != nil || f == nil {
		t.Fatal(f, err)
	}
	restore = func(record bool, raises ...string) error {
		c.Vendor.Raise = nil
		for i, r := range raises {
			name, v, _ := strings.Cut(r, "@")
			c.Vendor.Raise = append(c.Vendor.Raise, stack.Raise{Module: "example.invalid/" + name, Version: v,
				At: fmt.Sprintf("x.toml:%d", i+1)})
		}
		return setOf(t, s, l, record).restoreVendor(context.Background(), c, f, g)
	}
	return restore, s, c, l, f
}

// sumsOf is the go.sum of a module.
func sumsOf(t *testing.T, g Go, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for n, text := range files {
		put(t, filepath.Join(dir, n), text)
	}
	cmd := exec.Command(g.Path, "mod", "download", "all")
	cmd.Dir = dir
	cmd.Env = slices.Concat(g.Env, []string{"GOFLAGS=-modcacherw", "GOMODCACHE=" + filepath.Join(dir, "mod")})
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	return string(sum)
}

func TestARaiseChangesTheModulesThatItNeedsAndNoOthers(t *testing.T) {
	t.Parallel()
	restore, _, c, l, _ := raising(t)
	upstream := &stack.Lock{}
	if err := restore(true); err != nil {
		t.Fatal(err)
	}
	plain := *l.Vendor[0]
	upstream.Vendor = append(upstream.Vendor, &plain)
	if plain.Raise != nil || plain.Raised != nil || strings.Contains(string(upstream.Encode()), "raise") {
		t.Errorf("without a raise: got %+v, want no word of raises in the lock", plain)
	}

	// What the lock has of other raises does not count.
	var missing *MissingError
	if err := restore(false, "dep@v1.1.0"); !errors.As(err, &missing) ||
		!strings.Contains(err.Error(), "main.tar.gz with example.invalid/dep@v1.1.0: run \"mage fetch -record\"") {
		t.Errorf("not recorded: got %v, want a MissingError that names the raise", err)
	}
	if err := restore(true, "dep@v1.1.0"); err != nil {
		t.Fatal(err)
	}
	if len(l.Vendor) != 1 || l.Vendor[0].Name == plain.Name || l.Vendor[0].TarSHA256 == plain.TarSHA256 {
		t.Fatalf("got the lines %+v, want one, of another archive than %s", l.Vendor, plain.Name)
	}
	want := []stack.Raised{{Module: "example.invalid/dep", From: "v1.0.0", To: "v1.1.0"},
		{Module: "example.invalid/low", From: "v1.0.0", To: "v1.2.0"}, {Module: "example.invalid/new", To: "v1.0.0"}}
	if !slices.Equal(l.Vendor[0].Raised, want) {
		t.Errorf("raised: got %v, want %v", l.Vendor[0].Raised, want)
	}
	again := &stack.Lock{}
	if ps := stack.ParseLock(l.Encode(), "x.lock", again); ps != nil || !slices.Equal(again.Vendor[0].Raised, want) ||
		!slices.Equal(again.Vendor[0].Raise, c.Raises()) {
		t.Errorf("the lock, written and read: got %+v, %v", again.Vendor, ps)
	}
	if err := restore(false, "dep@v1.1.0"); err != nil {
		t.Errorf("restored twice: got %v, want the same bytes", err)
	}

	// A list that is not the tree's is never kept, nor mended unasked: packages are made from it.
	l.Vendor[0].Raised = []stack.Raised{want[0], want[2], {Module: "example.invalid/old", To: "v1.0.0"}}
	stale := slices.Clone(l.Vendor[0].Raised)
	if err := restore(false, "dep@v1.1.0"); err == nil ||
		!strings.Contains(err.Error(), "its raised modules are example.invalid/low v1.0.0 => v1.2.0, where the lock "+
			"has example.invalid/old none => v1.0.0") || !slices.Equal(l.Vendor[0].Raised, stale) {
		t.Errorf("a list of other modules in the lock: got %v and %v, want a refusal and the lock as it was", err,
			l.Vendor[0].Raised)
	}
	if err := restore(true, "dep@v1.1.0"); err != nil || !slices.Equal(l.Vendor[0].Raised, want) {
		t.Errorf("recorded: got %v, %v, want %v", err, l.Vendor[0].Raised, want)
	}

	if err := restore(true); err != nil || l.Vendor[0].TarSHA256 != plain.TarSHA256 || l.Vendor[0].Name != plain.Name {
		t.Errorf("no raise any more: got %+v, %v, want the first tree", l.Vendor[0], err)
	}
}

func TestLongARaisedTreeBuildsWithoutANetwork(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	restore, s, c, l, f := raising(t)
	if err := restore(true, "dep@v1.1.0"); err != nil {
		t.Fatal(err)
	}
	// It has upstream's go line.
	dir := t.TempDir()
	if _, err := setOf(t, s, l, false).Prepare(c, f, dir); err != nil {
		t.Fatal(err)
	}
	if mod, err := os.ReadFile(filepath.Join(dir, "go.mod")); err != nil ||
		!strings.Contains(string(mod), "\ngo 1.21\n") {
		t.Errorf("got go.mod %s, %v, want its go line as it was", mod, err)
	}
	cmd := exec.Command("go", "run", "-mod=vendor", ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOPROXY=off", "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "raised" {
		t.Errorf("got %q, %v, want the raised module linked", out, err)
	}
	if sum, err := os.ReadFile(filepath.Join(dir, "go.sum")); err != nil ||
		!strings.Contains(string(sum), "example.invalid/new v1.0.0 h1:") {
		t.Errorf("go.sum: got %s, %v, want the sums of all modules", sum, err)
	}

	// Of two raises the higher version counts, and both must be what comes out.
	if err := restore(true, "dep@v1.1.0", "low@v1.3.0", "new@v1.4.0"); err == nil ||
		!strings.Contains(err.Error(), "x.toml:3: raise example.invalid/new@v1.4.0: the component does not have "+
			"this module") {
		t.Errorf("got %v, want a refusal to raise what upstream does not have", err)
	}
	if err := restore(true, "low@v1.3.0", "dep@v1.1.0"); err != nil || l.Vendor[0].Raised[1].To != "v1.3.0" {
		t.Errorf("got %v %v, want low at v1.3.0", l.Vendor[0].Raised, err)
	}
}

func TestOfAModuleThatTheStackReplacesTheVersionThatIsLinkedCounts(t *testing.T) {
	t.Parallel()
	restore, _, c, l, _ := raising(t)
	c.Vendor.Replace = []string{"example.invalid/low => example.invalid/low v1.3.0"}
	if err := restore(true, "dep@v1.1.0"); err != nil {
		t.Fatal(err)
	}
	low := stack.Raised{Module: "example.invalid/low", From: "v1.0.0", To: "v1.3.0"}
	if got := l.Vendor[0].Raised; len(got) != 3 || got[1] != low {
		t.Errorf("got %v, want %v among three", got, low)
	}
	err := restore(true, "low@v1.2.0")
	if err == nil || !strings.Contains(err.Error(),
		"the module is replaced by example.invalid/low v1.3.0, whatever version is asked for") {
		t.Errorf("got %v, want a refusal to raise what is replaced", err)
	}
}

func TestASeriesMayChangeTheRestoredVendorTree(t *testing.T) {
	t.Parallel()
	restore, s, c, l, f := raising(t)
	c.Origin[0].Series = "debian/patches/series"
	if err := restore(true, "dep@v1.1.0"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := setOf(t, s, l, false).Prepare(c, f, dir); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "vendor/example.invalid/low/low.go"))
	if err != nil || string(data) != "package low // patched\n" {
		t.Errorf("got %q, %v, want it patched", data, err)
	}
	ps, err := f.SeriesIn(t.TempDir())
	if err != nil || len(ps) != 1 || ps[0].Name != "debian/patches/low.patch" || ps[0].SHA256 == "" {
		t.Errorf("the series, without a tree: got %+v, %v", ps, err)
	}
}

func TestARaiseThatDoesNotComeOutAsNamedIsRefusedAtItsLine(t *testing.T) {
	t.Parallel()
	restore, _, _, l, _ := raising(t)
	for raises, want := range map[string]string{
		"dep@v1.1.0 low@v1.1.0": "x.toml:2: raise example.invalid/low@v1.1.0: it comes out as v1.2.0, which " +
			"example.invalid/dep@v1.1.0 requires: raise it to that, or leave the line out",
		"other@v1.0.0": "x.toml:1: raise example.invalid/other@v1.0.0: the component does not have " +
			"this module",
		"main@v1.0.0": "x.toml:1: raise example.invalid/main@v1.0.0: the component does not have this module",
		"low@v1.1.0 dep@v0.9.0": "x.toml:2: raise example.invalid/dep@v0.9.0: that is lower than v1.0.0, which " +
			"upstream has",
		"dep@v1.0.0": "x.toml:1: raise example.invalid/dep@v1.0.0: upstream has that version already: leave the " +
			"line out",
		"dep@v1.2.0": "x.toml:1: raise example.invalid/dep@v1.2.0: it wants Go 1.99, and the Go that is here is " +
			strings.TrimPrefix(runtime.Version(), "go"),
		"dep@v1.7.0": "x.toml:1: raise example.invalid/dep@v1.7.0: ",
		"unused@v1.1.0": "x.toml:1: raise example.invalid/unused@v1.1.0: the component does not have this module: it " +
			"imports no package of it",
	} {
		if err := restore(true, strings.Fields(raises)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", raises, err, want)
		}
	}
	if len(l.Vendor) > 0 {
		t.Errorf("got %v in the lock, want nothing of what was refused", l.Vendor)
	}
}

func TestAModuleNewerThanTheGoThatMayCompileItIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, constraint, toolchain, want string }{
		{"1.22", ">= 1.22", "1.23.4", ""},
		{"1.22.0", ">= 1.22.0, < 1.30", "", ""},
		{"1.21", ">= 1.22", "", ""},
		{"1.22", ">= 1.22", "1.21.9", "it wants Go 1.22, and the stack's toolchain is 1.21.9"},
		{"1.25.1", ">= 1.22", "", "it wants Go 1.25.1, and the Go that is here is 1.25.0"},
		{"1.22", ">= 1.21", "1.23.4", "it wants Go 1.22, and go = \">= 1.21\" lets an older one compile it: want go " +
			"= \">= 1.22\" in the stack"},
		{"1.22.3", ">= 1.22", "", "lets an older one compile it"},
	} {
		got := ""
		g := Go{Version: "1.25.0", Constraint: c.constraint, Toolchain: c.toolchain}
		if err := g.compiles(c.line); err != nil {
			got = err.Error()
		}
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}
