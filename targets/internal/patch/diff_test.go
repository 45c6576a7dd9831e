package patch

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drydock/targets/internal/testlong"
)

// randomTree makes a few small files, some executable, some without a last newline.
func randomTree(t *testing.T, r *rand.Rand, dir string) {
	t.Helper()
	for i := range 1 + r.Intn(6) {
		var lines []string
		for range r.Intn(20) {
			lines = append(lines, fmt.Sprint("line ", r.Intn(5)))
		}
		data := strings.Join(lines, "\n")
		if r.Intn(3) > 0 && data != "" {
			data += "\n"
		}
		name := filepath.Join(dir, fmt.Sprintf("d%d/f%d", r.Intn(2), i))
		put(t, name, data)
		if r.Intn(4) == 0 {
			if err := os.Chmod(name, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestADiffAppliedGivesTheChangedTree(t *testing.T) {
	t.Parallel()
	compareTrees(t, 0, 50)
}

func TestLongADiffAppliedGivesTheChangedTree(t *testing.T) {
	testlong.Skip(t)
	compareTrees(t, 50, 1000)
}

// compareTrees takes the trees of the seeds from one to another.
func compareTrees(t *testing.T, from, to int64) {
	for seed := from; seed < to; seed++ {
		r := rand.New(rand.NewSource(seed))
		base, changed := t.TempDir(), t.TempDir()
		randomTree(t, r, base)
		randomTree(t, r, changed)
		patch, files, _, err := Diff(base, changed)
		if err != nil {
			t.Fatal(err)
		}
		if len(files) == 0 {
			continue
		}
		p := filepath.Join(t.TempDir(), "p.patch")
		put(t, p, string(patch))
		if _, err := Apply(base, []Patch{{File: p, Name: "p", Strip: 1}}); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, patch)
		}
		if _, left, _, err := Diff(base, changed); err != nil || len(left) > 0 {
			t.Fatalf("seed %d: %v differ after the patch, %v\n%s", seed, left, err, patch)
		}
	}
}

func TestADiffRefusesWhatAPatchCannotSay(t *testing.T) {
	base, changed := t.TempDir(), t.TempDir()
	put(t, filepath.Join(changed, "b"), "a\x00b")
	if _, _, _, err := Diff(base, changed); err == nil ||
		!strings.Contains(err.Error(), "b: a patch cannot change a binary file") {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(filepath.Join(changed, "b")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("x", filepath.Join(changed, "l")); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := Diff(base, changed); err == nil ||
		!strings.Contains(err.Error(), "l: a patch cannot change what is no plain file") {
		t.Errorf("got %v", err)
	}
}
