package source

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"drydock/targets/internal/patch"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/stack"
)

// change is a plain diff of a file that has one line.
func change(name, old, now string) string {
	return "--- a/" + name + "\n+++ b/" + name + "\n@@ -1 +1 @@\n-" + old + "\n+" + now + "\n"
}

func TestASeriesOfAnotherTreeIsAppliedWhereItsDirectoriesLie(t *testing.T) {
	t.Parallel()
	dirs := map[string]string{"engine": ".", "lib": "vendor/example.org/lib", "lib/l_test.go": "", "cli": ""}
	made := "--- /dev/null\n+++ b/lib/sub/new.go\n@@ -0,0 +1 @@\n+new\n"
	files := map[string]string{
		"debian/patches/series": "a.patch\nb.patch\nc.patch\nd.patch\n",
		"debian/patches/a.patch": change("engine/a.go", "one", "two") + change("lib/l.go", "one", "two") +
			change("lib/l_test.go", "one", "two") + made,
		"debian/patches/b.patch": change("cli/c.go", "one", "two") +
			"--- c.orig/engine/a.go\n+++ c/engine/a.go\n@@ -1 +1 @@\n-two\n+three\n",
		"debian/patches/c.patch":      change("engine/a.go", "one", "never"),
		"debian/patches/d.patch":      change("cli/c.go", "one", "two"),
		"a.go":                        "one\n",
		"vendor/example.org/lib/l.go": "one\n",
	}
	for _, c := range []struct {
		skip, only, want string
		dirs             map[string]string
	}{
		{only: "a.patch b.patch", dirs: dirs},
		{skip: "c.patch d.patch", dirs: dirs},
		{dirs: dirs, want: "patch debian/patches/c.patch: a.go: hunk 1"},
		{only: "d.patch", dirs: dirs,
			want: "patch debian/patches/d.patch: all that it changes is left out by series_dirs: leave the patch out"},
		{only: "a.patch", dirs: map[string]string{"engine": "."},
			want: "patch debian/patches/a.patch: lib/l.go: series_dirs does not say where lib lies"},
		{only: "a.patch", want: "patch debian/patches/a.patch: engine/a.go: engine/a.go is not there"},
		{only: "a.patch gone.patch", dirs: dirs,
			want: "x.tar.gz: debian/patches/series: only names gone.patch, which is not in it"},
		{skip: "gone.patch", dirs: dirs, want: "x.tar.gz: debian/patches/series: skip names gone.patch, which is " +
			"not in it"},
	} {
		tree := t.TempDir()
		for name, text := range files {
			put(t, filepath.Join(tree, name), text)
		}
		f := &Found{Path: "/x.tar.gz", Origin: &stack.Origin{Series: "debian/patches/series", SeriesDirs: c.dirs,
			Skip: strings.Fields(c.skip), Only: strings.Fields(c.only)}}
		_, err := f.patch(tree)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: got %v", c, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		for name, want := range map[string]string{"a.go": "three\n", "vendor/example.org/lib/l.go": "two\n",
			"vendor/example.org/lib/sub/new.go": "new\n"} {
			if data, err := os.ReadFile(filepath.Join(tree, name)); err != nil || string(data) != want {
				t.Errorf("%+v: %s: got %q, %v, want %q", c, name, data, err, want)
			}
		}
		if _, err := os.Lstat(filepath.Join(tree, "engine")); err == nil {
			t.Error("a directory of the other tree was made")
		}
	}
}

// TestDebiansSeriesApplyAsWithGNUPatch holds the engine against GNU patch on real series, where they were fetched.
func TestDebiansSeriesApplyAsWithGNUPatch(t *testing.T) {
	if _, err := exec.LookPath("patch"); err != nil {
		t.Skip(err)
	}
	dir := "../../../vendor-sources"
	st, err := stack.Load(dir, "docker-20.10", recipe.Rows())
	if err != nil {
		t.Fatal(err)
	}
	s := &Store{Dir: dir, Digests: OpenDigests(filepath.Join(t.TempDir(), "digests.json"))}
	f, err := setOf(t, s, st.Lock, false).Locate(st.Component["docker-cli"])
	if err != nil || f == nil {
		t.Skip("docker-20.10 is not fetched")
	}
	ours, theirs := t.TempDir(), t.TempDir()
	if err := Unpack(f, ours); err != nil {
		t.Fatal(err)
	}
	if _, err := f.patch(ours); err != nil {
		t.Fatal(err)
	}
	if err := Unpack(f, theirs); err != nil {
		t.Fatal(err)
	}
	ps, err := patch.ReadSeries(filepath.Join(theirs, filepath.Dir(f.Origin.Series)), "debian")
	if err != nil || len(ps) < 10 {
		t.Fatalf("got %d patches, %v", len(ps), err)
	}
	for _, p := range ps {
		cmd := exec.Command("patch", "-p1", "-F0", "--batch", "--forward", "--no-backup-if-mismatch", "-i", p.File)
		cmd.Dir = theirs
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", p.Name, err, out)
		}
	}
	if _, files, _, err := patch.Diff(ours, theirs); err != nil || len(files) > 0 {
		t.Errorf("%d patches: %v differ, %v", len(ps), files, err)
	}
}
