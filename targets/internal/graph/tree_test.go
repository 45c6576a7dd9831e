package graph

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestADirectoryIsOneOutputAndAnythingChangedInItIsDamage(t *testing.T) {
	root := t.TempDir()
	write := func(name, data string) {
		t.Helper()
		p := filepath.Join(root, "tree", name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	whole := func() {
		t.Helper()
		if err := os.RemoveAll(filepath.Join(root, "tree")); err != nil {
			t.Fatal(err)
		}
		write("a/x.h", "one")
		write("y.h", "two")
		if err := os.Symlink("y.h", filepath.Join(root, "tree/z.h")); err != nil {
			t.Fatal(err)
		}
	}
	g := &Graph{Root: root, Records: filepath.Join(root, "record"), Watch: quiet{}}
	g.Nodes = []*Node{{Name: "headers",
		Do: func(context.Context, string) (Made, error) { whole(); return Made{Outputs: []string{"tree"}}, nil }}}
	if _, err := g.Run(t.Context(), []string{"headers"}); err != nil {
		t.Fatal(err)
	}
	rec := g.Load("headers")
	if d := g.Damage(rec, true); d != "" || len(rec.Outputs) != 1 ||
		rec.Outputs[0].Size != int64(len("one"+"two"+"y.h")) {
		t.Fatalf("as made: damage %q, outputs %+v", d, rec.Outputs)
	}
	for name, change := range map[string]func(){
		"changed": func() { write("a/x.h", "ONE") },
		"longer":  func() { write("a/x.h", "one and more") },
		"gone":    func() { os.Remove(filepath.Join(root, "tree/a/x.h")) },
		"added":   func() { write("a/new.h", "") },
		"mode":    func() { os.Chmod(filepath.Join(root, "tree/y.h"), 0o755) },
		"link": func() {
			os.Remove(filepath.Join(root, "tree/z.h"))
			os.Symlink("a.h", filepath.Join(root, "tree/z.h"))
		},
	} {
		whole()
		change()
		if d := g.Damage(g.Load("headers"), true); !strings.HasPrefix(d, "tree: ") {
			t.Errorf("%s: got %q, want damage of tree", name, d)
		}
	}
	whole()
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(root, "tree/y.h"), later, later); err != nil {
		t.Fatal(err)
	}
	rec = g.Load("headers")
	before := rec.Outputs[0].Mtime
	if d := g.Damage(rec, false); d != "" || rec.Outputs[0].Mtime == before {
		t.Errorf("touched: got damage %q, time %d; want none and another than %d", d, rec.Outputs[0].Mtime, before)
	}
	// Nor does an old time hide a change of the same length.
	write("a/x.h", "ONE")
	if err := os.Chtimes(filepath.Join(root, "tree/a/x.h"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if d := g.Damage(rec, false); !strings.HasPrefix(d, "tree: ") {
		t.Errorf("changed, with an old time: got %q, want damage of tree", d)
	}
}

func TestWhatIsNotHashedIsHeldBySizeTimeModeAndInode(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	file := filepath.Join(root, "file")
	write := func(p, data string) {
		t.Helper()
		if err := os.WriteFile(p, []byte(data), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	g := &Graph{Root: root, Records: filepath.Join(root, "record"), Watch: quiet{}}
	g.Nodes = []*Node{{Name: "n", Do: func(context.Context, string) (Made, error) {
		write(file, "one")
		return Made{Outputs: []string{"file"}}, nil
	}}}
	if _, err := g.Run(t.Context(), []string{"n"}); err != nil {
		t.Fatal(err)
	}
	// Another file in its place, with its size and time, is read; where it is the same, its inode is noted.
	for _, data := range []string{"two", "one"} {
		write(filepath.Join(root, data), data) // while the others are there: their inodes are taken
	}
	for data, damage := range map[string]bool{"two": true, "one": false} {
		if err := errors.Join(os.Rename(file, filepath.Join(root, "not "+data)),
			os.Rename(filepath.Join(root, data), file)); err != nil {
			t.Fatal(err)
		}
		rec := g.Load("n")
		was := rec.Outputs[0].Inode
		if d := g.Damage(rec, false); (d != "") != damage || !damage && rec.Outputs[0].Inode == was {
			t.Errorf("replaced by %q: got %q and inode %d, was %d", data, d, rec.Outputs[0].Inode, was)
		}
	}
	// What runs with more rights than it was made with is damaged, whatever is in it.
	if err := os.Chmod(file, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if d := g.Damage(g.Load("n"), false); d != "file: mode 4755, was 0755" {
		t.Errorf("setuid: got %q", d)
	}
}
