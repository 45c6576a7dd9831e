package forge

import (
	"os"
	"path/filepath"
	"testing"
)

func TestACacheOfItsOwnHasWhatTheSharedOneHas(t *testing.T) {
	own, shared, out := filepath.Join(t.TempDir(), "own"), filepath.Join(t.TempDir(), "shared"), t.TempDir()
	write := func(file, data string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	lends := func() {
		t.Helper()
		if err := lend(own, shared); err != nil {
			t.Fatal(err)
		}
	}
	lends() // nothing is there yet
	write(shared+"/ab/1-d", "one")
	write(shared+"/cd/2-a", "two")
	write(own+"/ab/1-d", "its own")
	lends()
	for file, want := range map[string]string{"ab/1-d": "its own", "cd/2-a": "two"} {
		if got, err := os.ReadFile(filepath.Join(own, file)); string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", file, got, err, want)
		}
	}
	// What went is no trap for who writes the entry anew; a link that somebody put there does not lead us out.
	os.Remove(shared + "/cd/2-a")
	if err := os.Remove(own + "/ef"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(out, own+"/ef"); err != nil {
		t.Fatal(err)
	}
	write(shared+"/ef/3-d", "three")
	err := lend(own, shared)
	if _, gone := os.Lstat(own + "/cd/2-a"); gone == nil {
		t.Error("a link that leads nowhere is left")
	}
	if es, _ := os.ReadDir(out); err == nil || len(es) > 0 {
		t.Errorf("got %v, and %d entries outside; want an error, and none", err, len(es))
	}
}
