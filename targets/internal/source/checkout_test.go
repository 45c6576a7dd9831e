package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drydock/targets/internal/stack"
)

func TestOfSeveralTagsAtOneCommitTheStacksVersionCounts(t *testing.T) {
	t.Parallel()
	commit, other := strings.Repeat("a", 40), strings.Repeat("b", 40)
	for _, c := range []struct{ tags, version, want string }{
		{"v0.19.0 v0.19.0-rc.1", "0.19.0", "0.19.0"},
		{"v0.19.0 v0.19.0-rc.1", "0.19.0-rc.1", "0.19.0-rc.1"},
		{"v1.0.0-rc9 v1.0.0-rc10 v1.0.0", "1.0.0-rc10", "1.0.0-rc10"},
		{"v0.19 latest v0.18.9 v0.19.1", "0.19.0", "0.19"},
		{"docker-v19.03.15 v19.03.15 v19.03.15-rc1", "19.03.15", "19.03.15"},
		{"v0.19.0 v0.19.0-rc.1", "0.20.0", "0.19.0"}, // none fits: the newest is named
		{"nightly", "0.19.0", ""},
	} {
		for _, kind := range []string{"loose", "packed"} {
			dir := t.TempDir()
			files := map[string]string{".git/HEAD": commit + "\n"}
			for tag := range strings.FieldsSeq(c.tags) {
				files[".git/refs/tags/"+tag] = commit + "\n"
				files[".git/packed-refs"] += other + " refs/tags/" + tag + "\n^" + commit + "\n"
			}
			for name, data := range files {
				if strings.Contains(name, "tags/") == (kind == "packed") && name != ".git/HEAD" {
					continue
				}
				p := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(p, []byte(data), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for range 10 { // a map's order differs each time
				r, err := (&Found{Path: dir}).Release(&stack.Component{Name: "a", Version: c.version}, nil)
				if err != nil || r.Version != c.want || r.Commit != commit {
					t.Fatalf("%s tags %s, the stack says %s: got %q at %q, %v, want %q", kind, c.tags, c.version,
						r.Version, r.Commit, err, c.want)
				}
			}
		}
	}
}

func TestACheckoutBesideOriginsCountsWhereItIsThere(t *testing.T) {
	t.Parallel()
	s, c, l, _ := setUp(t, nil)
	set := setOf(t, s, l, false)
	set.VersionIn = func(string) *stack.VersionFile { return nil }
	put(t, filepath.Join(s.Dir, "r.tar.gz"), body)
	c.Version, c.Checkout = "1.0.0", "mine"
	if f, err := set.Locate(c); err != nil || f == nil || f.Checkout() || f.SHA256 != sum(body) {
		t.Errorf("without the directory: got %+v %v, want the archive", f, err)
	}
	link := filepath.Join(s.Dir, "mine")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	if f, err := set.Locate(c); err == nil {
		t.Errorf("a link that leads nowhere: got %+v, want an error", f)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(s.Dir, "mine/main.go"), "package main\n")
	if f, err := set.Locate(c); err != nil || !f.Checkout() {
		t.Errorf("with the directory: got %+v %v, want the checkout", f, err)
	}
}
