package release

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"drydock/targets/internal/archive"
)

const name = "docker-1-linux-amd64.tar.gz"

// built writes what a package is kept from, and returns its files.
func built(t *testing.T, root, content string) []File {
	t.Helper()
	var files []File
	for n, data := range map[string]string{name: content, name + ".sha256": "of " + content} {
		p := filepath.Join("output/s", n)
		if err := errors.Join(os.MkdirAll(filepath.Join(root, "output/s"), 0o755),
			os.WriteFile(filepath.Join(root, p), []byte(data), 0o644)); err != nil {
			t.Fatal(err)
		}
		sum, err := archive.SHA256File(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, File{p, sum})
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.File, b.File) })
	return files
}

func keep(t *testing.T, k Kept, content string, at int64) *Release {
	t.Helper()
	r, err := k.Keep("1", time.Unix(at, 0), built(t, k.Root, content))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAKeptPackageIsCheckedAgainstWhatWasKept(t *testing.T) {
	t.Parallel()
	k := Kept{Root: t.TempDir(), Dir: "output/s"}
	keep(t, k, "first", 100)
	// What it was made from is another file by now, of the same inode.
	if err := os.WriteFile(filepath.Join(k.Root, "output/s", name), []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	all, err := k.List()
	if err != nil || len(all) != 1 || all[0].Check() != nil || all[0].Touched() || all[0].Name != "1-19700101T000140Z" {
		t.Fatalf("got %+v, %v", all, err)
	}
	for _, f := range []string{name, name + ".sha256"} {
		p := filepath.Join(k.Root, "output/s/packages", all[0].Name, f)
		good, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(strings.ToUpper(string(good))), 0o644); err != nil {
			t.Fatal(err)
		}
		var c *Changed
		if err := all[0].Check(); !errors.As(err, &c) || c.File != filepath.Join("output/s/packages", all[0].Name, f) ||
			c.Got == c.Want {
			t.Errorf("%s: got %v", f, err)
		}
		if f == name && !all[0].Touched() {
			t.Error("another time and size, and it was not noticed")
		}
		if err := os.WriteFile(p, good, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// What is not what was built is not kept.
	files := built(t, k.Root, "second")
	files[1].SHA256 = files[0].SHA256
	if _, err := k.Keep("1", time.Unix(200, 0), files); err == nil {
		t.Error("a file with another digest was kept")
	}
	if all, err := k.List(); err != nil || len(all) != 1 {
		t.Errorf("got %v, %v, want the first alone", all, err)
	}
}

func TestRollbackWithdrawsTheNewerAndPruningLeavesLatest(t *testing.T) {
	t.Parallel()
	k := Kept{Root: t.TempDir(), Dir: "output/s"}
	if all, err := k.List(); err != nil || len(all) > 0 || k.Latest() != "" {
		t.Fatalf("nothing is kept: got %v, %v", all, err)
	}
	for i, content := range []string{"a", "b", "c"} {
		r := keep(t, k, content, int64(100+i))
		if content != "b" {
			r.Passed = "verify"
		}
		if err := errors.Join(r.Note(), k.Point(r)); err != nil {
			t.Fatal(err)
		}
	}
	all, err := k.List()
	if err != nil || len(all) != 3 {
		t.Fatal(all, err)
	}
	if r := k.Find(all, "previous"); r != all[1] {
		t.Errorf("previous: got %+v", r)
	}
	back := k.Before(all)
	if back != all[0] { // the one between did not pass
		t.Fatalf("got %+v, want the first", back)
	}
	if err := k.Rollback(all, back); err != nil {
		t.Fatal(err)
	}
	if all, err = k.List(); err != nil || !all[2].Withdrawn || all[0].Withdrawn || k.Latest() != all[0].Name ||
		k.Before(all) != nil {
		t.Errorf("after it: got %+v, %v, latest %s", all, err, k.Latest())
	}
	if err := k.Prune(all, 1); err != nil {
		t.Fatal(err)
	}
	if all, err = k.List(); err != nil || len(all) != 1 || all[0].Name != k.Latest() {
		t.Errorf("pruned: got %+v, %v", all, err)
	}
}

func TestANoteThatSaysNothingIsAnError(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "{", "{}", `{"file":"../x","sha256":"` + strings.Repeat("0", 64) + `"}`,
		`{"file":"x","sha256":"00"}`} {
		k := Kept{Root: t.TempDir(), Dir: "output/s"}
		r := keep(t, k, "a", 1)
		if err := os.WriteFile(filepath.Join(k.Root, r.dir, noteFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := k.List(); err == nil || !strings.Contains(err.Error(), r.Name+"/release.json: ") ||
			!strings.Contains(err.Error(), "remove the directory") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestPackagesOfTheSameSecondAreKeptApart(t *testing.T) {
	t.Parallel()
	k := Kept{Root: t.TempDir(), Dir: "output/s"}
	for _, content := range []string{"first", "second", "third"} {
		keep(t, k, content, 100)
	}
	all, err := k.List()
	var names []string
	for _, r := range all {
		names = append(names, r.Name)
	}
	if want := []string{"1-19700101T000140Z", "1-19700101T000141Z", "1-19700101T000142Z"}; err != nil ||
		!slices.Equal(names, want) {
		t.Errorf("got %v, %v, want %v", names, err, want)
	}
}
