package graph

import (
	"context"
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
	g.Nodes = []*Node{{Name: "headers", Do: func(context.Context, string) (Made, error) { whole(); return Made{Outputs: []string{"tree"}}, nil }}}
	if _, err := g.Run(t.Context(), []string{"headers"}); err != nil {
		t.Fatal(err)
	}
	rec := g.Load("headers")
	if d := g.Damage(rec, true); d != "" || len(rec.Outputs) != 1 || rec.Outputs[0].Size != int64(len("one"+"two"+"y.h")) {
		t.Fatalf("as made: damage %q, outputs %+v", d, rec.Outputs)
	}
	for name, change := range map[string]func(){
		"changed": func() { write("a/x.h", "ONE") },
		"longer":  func() { write("a/x.h", "one and more") },
		"gone":    func() { os.Remove(filepath.Join(root, "tree/a/x.h")) },
		"added":   func() { write("a/new.h", "") },
		"mode":    func() { os.Chmod(filepath.Join(root, "tree/y.h"), 0o755) },
		"link":    func() { os.Remove(filepath.Join(root, "tree/z.h")); os.Symlink("a.h", filepath.Join(root, "tree/z.h")) },
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
