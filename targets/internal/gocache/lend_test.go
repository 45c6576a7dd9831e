package gocache

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// goEntry writes an action of a Go cache and what it made, and returns their names.
func goEntry(t *testing.T, cache string, n int, output string) (action, made string) {
	t.Helper()
	id, out := fmt.Sprintf("%064x", n), fmt.Sprintf("%064x", len(output)*1000+n)
	action, made = id[:2]+"/"+id+"-a", out[:2]+"/"+out+"-d"
	for name, data := range map[string]string{action: fmt.Sprintf("v1 %s %s %20d %20d\n", id, out, len(output),
		1700000000), made: output} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(cache, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(cache, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return action, made
}

func TestACacheOfItsOwnHasWhatIsWholeInTheSharedOne(t *testing.T) {
	own, shared, out := filepath.Join(t.TempDir(), "own"), filepath.Join(t.TempDir(), "shared"), t.TempDir()
	lends := func() {
		t.Helper()
		if err := Lend(own, shared); err != nil {
			t.Fatal(err)
		}
	}
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(own, name))
		return err == nil
	}
	lends() // nothing is there yet
	action, made := goEntry(t, shared, 1, "one")
	half, halfMade := goEntry(t, shared, 2, "two")
	if err := os.Truncate(filepath.Join(shared, half), 100); err != nil { // being written
		t.Fatal(err)
	}
	late, lateMade := goEntry(t, shared, 3, "three")
	if err := os.Truncate(filepath.Join(shared, lateMade), 2); err != nil {
		t.Fatal(err)
	}
	lends()
	if !has(action) || !has(made) || has(half) || has(halfMade) || has(late) || has(lateMade) {
		t.Errorf("got %v %v, %v %v, %v %v; want only the whole one", has(action), has(made), has(half), has(halfMade),
			has(late), has(lateMade))
	}
	// Go may write the entry again, which is no way into the shared cache.
	if err := os.WriteFile(filepath.Join(own, action), []byte("poison"), 0o644); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(shared, action)); err != nil || !strings.HasPrefix(string(data), "v1 ") {
		t.Errorf("the shared entry: got %q, %v", data, err)
	}
	// What went is no trap for who makes it anew; a link that somebody put there does not lead us out.
	if err := os.Remove(filepath.Join(shared, made)); err != nil {
		t.Fatal(err)
	}
	lends()
	if _, err := os.Lstat(filepath.Join(own, made)); err == nil {
		t.Error("a link that leads nowhere is left")
	}
	if err := os.RemoveAll(own + "/ef"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(out, own+"/ef"); err != nil {
		t.Fatal(err)
	}
	err := Lend(own, shared)
	if es, _ := os.ReadDir(out); err == nil || len(es) > 0 {
		t.Errorf("got %v, and %d entries outside; want an error, and none", err, len(es))
	}
}
