package archive

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestATreeWithReadOnlyDirectoriesIsEmptiedAndRemoved(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tree")
	for range 2 { // not there, and there
		if err := EmptyDir(dir); err != nil {
			t.Fatal(err)
		}
		es, err := os.ReadDir(dir)
		if err != nil || len(es) != 0 {
			t.Fatalf("got %v and %v, want an empty directory", es, err)
		}
		below := filepath.Join(dir, "a", "b")
		err = errors.Join(os.MkdirAll(below, 0o755), os.WriteFile(filepath.Join(below, "f"), nil, 0o444),
			os.Chmod(below, 0o555), os.Chmod(filepath.Dir(below), 0o555))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want nothing left", err)
	}
}
