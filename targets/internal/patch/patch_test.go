package patch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"drydock/targets/internal/testlong"
)

// tryPatch applies one patch to a tree of these files and gives the tree afterwards.
func tryPatch(t *testing.T, files map[string]string, patch string, strip int) (map[string]string, error) {
	t.Helper()
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	for n, data := range files {
		put(t, filepath.Join(tree, n), data)
	}
	put(t, filepath.Join(tree, "keep"), "keep\n")
	p := filepath.Join(dir, "p.patch")
	put(t, p, patch)
	_, err := Apply(tree, []Patch{{File: p, Name: "p.patch", Strip: strip}})
	got := map[string]string{}
	filepath.WalkDir(tree, func(n string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			data, _ := os.ReadFile(n)
			rel, _ := filepath.Rel(tree, n)
			got[rel] = string(data)
		}
		return err
	})
	delete(got, "keep")
	return got, err
}

func digest(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }

func put[T string | []byte](t testing.TB, file string, data T) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(data), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestPatchesOfEveryKindApply(t *testing.T) {
	for name, c := range map[string]struct {
		files, want map[string]string
		patch       string
		strip       int
	}{
		"change": {map[string]string{"d/f": "a\nb\n"}, map[string]string{"d/f": "a\nc\n"},
			"--- x.orig/d/f\n+++ x/d/f\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n", 1},
		"p0": {map[string]string{"d/f": "a\n"}, map[string]string{"d/f": "b\n"},
			"--- d/f\n+++ d/f\n@@ -1 +1 @@\n-a\n+b\n", 0},
		"p2": {map[string]string{"f": "a\n"}, map[string]string{"f": "b\n"},
			"--- a/d/f\n+++ b/d/f\n@@ -1 +1 @@\n-a\n+b\n", 2},
		"new": {nil, map[string]string{"n/f": "a\n"}, "--- /dev/null\n+++ b/n/f\n@@ -0,0 +1 @@\n+a\n", 1},
		"deleted": {map[string]string{"f": "a\n"}, map[string]string{},
			"--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", 1},
		"renamed": {map[string]string{"f": "a\n"}, map[string]string{"g": "a\n"},
			"diff --git a/f b/g\nsimilarity index 100%\nrename from f\nrename to g\n", 1},
		"CRLF": {map[string]string{"f": "a\r\nb\r\n"}, map[string]string{"f": "a\r\nc\r\n"},
			"--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n a\r\n-b\r\n+c\r\n", 1},
		"no newline": {map[string]string{"f": "a"}, map[string]string{"f": "b"},
			"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n", 1},
		"no context": {map[string]string{"f": "a\nb\n"}, map[string]string{"f": "a\nx\nb\n"},
			"--- a/f\n+++ b/f\n@@ -1,0 +2 @@\n+x\n", 1},
		"old name .old": {map[string]string{"f": "a\n"}, map[string]string{"f": "b\n"},
			"--- a/f.old\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n", 1},
	} {
		got, err := tryPatch(t, c.files, c.patch, c.strip)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, c.want)
		}
	}
}

func TestAPatchThatDoesNotFitSaysWhyAndChangesNothing(t *testing.T) {
	first := "--- a/g\n+++ b/g\n@@ -1 +1 @@\n-g\n+h\n"
	for name, c := range map[string]struct{ patch, want string }{
		"lines": {"--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n a\n-x\n+y\n",
			`f: hunk 1 (@@ -1,2 +1,2 @@): conflict: fragment line does not match src line: ` +
				`line 2: got "b\n", want "x\n"`},
		"applied": {"--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n a\n-x\n+b\n", "already applied, or reversed?"},
		"made":    {"--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+a\n", "it is there: already applied?"},
		"gone":    {"--- a/n\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", "not there: already applied?"},
		"leaves":  {"--- a/../../f\n+++ b/../../f\n@@ -1 +1 @@\n-a\n+b\n", "leaves the tree"},
		"link": {"diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n" +
			"\\ No newline at end of file\n", "only plain files"},
		"below": {"--- /dev/null\n+++ b/f/n\n@@ -0,0 +1 @@\n+a\n", "f is no directory"},
	} {
		files := map[string]string{"f": "a\nb\n", "g": "g\n"}
		got, err := tryPatch(t, files, first+c.patch, 1)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if fmt.Sprint(got) != fmt.Sprint(files) {
			t.Errorf("%s: the tree was changed: got %q", name, got)
		}
	}
}

// numbered are lines "1" to "n".
func numbered(n int) (lines string) {
	for i := range n {
		lines += fmt.Sprintln(i + 1)
	}
	return lines
}

func TestAHunkMayLieElsewhereWhereAllOfItFits(t *testing.T) {
	t.Parallel()
	const hunk = "--- a/f\n+++ b/f\n@@ -5,3 +5,3 @@\n 5\n-6\n+six\n 7\n"
	six := func(s string) string { return strings.Replace(s, "6\n", "six\n", 1) }
	for name, c := range map[string]struct{ file, patch, want, told string }{
		"where it says": {numbered(9), hunk, six(numbered(9)), ""},
		"one line lower": {"x\n" + numbered(9), hunk, six("x\n" + numbered(9)),
			"patch p.patch: f: hunk 1 (@@ -5,3 +5,3 @@) lies 1 line lower, at line 6"},
		"higher": {"5\n6\n7\n", hunk, "5\nsix\n7\n", "4 lines higher, at line 1"},
		"far away": {strings.Repeat("x\n", 500) + numbered(9), hunk,
			six(strings.Repeat("x\n", 500) + numbered(9)), "500 lines lower"},
		"the nearest of two": {numbered(9) + "x\n" + numbered(9),
			strings.Replace(hunk, "-5,3 +5,3", "-12,3 +12,3", 1), numbered(9) + "x\n" + six(numbered(9)),
			"3 lines lower, at line 15"},
		"two at the same distance": {"5\n6\n7\nx\n5\n6\n7\n", strings.Replace(hunk, "-5,3 +5,3", "-3,3 +3,3", 1), "",
			"f: hunk 1 (@@ -3,3 +3,3 @@): conflict: it fits as well at line 1 as at line 5"},
		"no fuzz": {"x\n1\n2\n3\n4\n5\n6\nseven\n", hunk, "", `line 5: got "4\n", want "5\n"`},
		"counted on": {"x\n" + numbered(20) + "5\n6\n7\n", "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n" +
			"@@ -11,3 +11,3 @@\n 11\n-12\n+twelve\n 13\n",
			strings.Replace(strings.Replace("x\n"+numbered(20)+"5\n6\n7\n", "2\n", "two\n", 1), "12\n", "twelve\n", 1),
			"hunk 2 (@@ -11,3 +11,3 @@) lies 1 line lower, at line 12"},
		"not before the one before": {"9\n5\n6\n7\n", "--- a/f\n+++ b/f\n@@ -2,3 +2,3 @@\n 5\n-6\n+six\n 7\n" +
			"@@ -9 +9 @@\n-9\n+nine\n", "", "hunk 2 (@@ -9,1 +9,1 @@): conflict"},
		"at the end alone": {numbered(3) + "x\ny\n", "--- a/f\n+++ b/f\n@@ -1,3 +1,4 @@\n 1\n 2\n+x\n 3\n",
			"1\n2\nx\n3\nx\ny\n", ""},
		"not of the end": {"x\n" + numbered(9), "--- a/f\n+++ b/f\n@@ -2,2 +2,3 @@\n 2\n 3\n+x\n", "",
			"hunk 1 (@@ -2,2 +2,3 @@): conflict"},
		"no line of its own": {"x\n" + numbered(9), "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n" +
			"@@ -5,0 +6 @@\n+y\n", "", "it has no line to be found by"},
		"applied before": {strings.Replace(numbered(9), "6\n", "six\n", 1) + "5\n6\n7\n", hunk, "", "already applied?"},
	} {
		dir := t.TempDir()
		put(t, filepath.Join(dir, "tree/f"), c.file)
		put(t, filepath.Join(dir, "p.patch"), c.patch)
		for _, strict := range []bool{false, true} {
			put(t, filepath.Join(dir, "tree/f"), c.file)
			told, err := Apply(filepath.Join(dir, "tree"),
				[]Patch{{File: filepath.Join(dir, "p.patch"), Name: "p.patch", Strip: 1, Strict: strict}})
			got, _ := os.ReadFile(filepath.Join(dir, "tree/f"))
			switch {
			case c.want == "" || strict && c.told != "":
				if err == nil || c.want == "" && !strings.Contains(err.Error(), c.told) || string(got) != c.file {
					t.Errorf("%s, strict %v: got %q, %v, want the file as it was, and %q", name, strict, got, err,
						c.told)
				}
			case err != nil || string(got) != c.want || !strings.Contains(strings.Join(told, "\n"), c.told) ||
				(c.told == "") != (len(told) == 0):
				t.Errorf("%s, strict %v: got %q, %v, %v, want %q and %q", name, strict, got, told, err, c.want, c.told)
			}
		}
	}
}

func TestASeriesMaySayThatItIsStrict(t *testing.T) {
	t.Parallel()
	for series, want := range map[string]bool{"a.patch\n": false, "# strict\na.patch\n": true,
		"a.patch # strict\n": false, "a.patch\n # strict \n": true, "# strictly\na.patch\n": false} {
		dir := t.TempDir()
		put(t, filepath.Join(dir, "runc/>= 1/series"), series)
		put(t, filepath.Join(dir, "runc/>= 1/a.patch"), "")
		ps, err := Series(dir, "runc", "1.2.3")
		if err != nil || len(ps) != 1 || ps[0].Strict != want {
			t.Errorf("%q: got %+v, %v, want strict: %v", series, ps, err, want)
		}
	}
}

func TestPatchesOfAnExactVersionApplyLast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, constraint := range []string{"= 1.2.3", "1.2.3", ">= 1", "~> 1.2", "< 2", ">= 3"} {
		put(t, filepath.Join(dir, "runc", constraint, "series"), "a.patch\n")
		put(t, filepath.Join(dir, "runc", constraint, "a.patch"), "")
	}
	names := func(ps []Patch, err error) string {
		var all []string
		for _, p := range ps {
			all = append(all, p.Name)
		}
		return fmt.Sprint(strings.Join(all, ", "), err)
	}
	if got, want := names(Series(dir, "runc", "1.2.3")),
		"< 2/a.patch, >= 1/a.patch, ~> 1.2/a.patch, 1.2.3/a.patch, = 1.2.3/a.patch<nil>"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for constraint, want := range map[string]string{
		">= 1":    "< 2/a.patch, >= 1/a.patch, >= 1/new, ~> 1.2/a.patch, 1.2.3/a.patch, = 1.2.3/a.patch<nil>",
		"= 1.2.3": "< 2/a.patch, >= 1/a.patch, ~> 1.2/a.patch, 1.2.3/a.patch, = 1.2.3/a.patch, = 1.2.3/new<nil>",
		"> 1":     "< 2/a.patch, > 1/new, >= 1/a.patch, ~> 1.2/a.patch, 1.2.3/a.patch, = 1.2.3/a.patch<nil>",
	} {
		if got := names(SeriesWith(dir, "runc", "1.2.3", constraint, Patch{Name: constraint + "/new"})); got != want {
			t.Errorf("with %s: got %s, want %s", constraint, got, want)
		}
	}
}

func TestAPatchThatChangedSinceItsDigestWasTakenIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "tree/f"), "a\n")
	put(t, filepath.Join(dir, "p"), "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n")
	_, err := Apply(filepath.Join(dir, "tree"),
		[]Patch{{File: filepath.Join(dir, "p"), Name: "p", Strip: 1, SHA256: digest("another")}})
	if err == nil || !strings.Contains(err.Error(), "changed since it was read: sha256: got ") {
		t.Errorf("got %v, want a refusal", err)
	}
}

func TestPatchesApplyAsInGNUPatch(t *testing.T) {
	t.Parallel()
	comparePatches(t, 1, 80)
}

func TestLongPatchesApplyAsInGNUPatch(t *testing.T) {
	testlong.Skip(t)
	comparePatches(t, 2, 1500)
}

// comparePatches compares n patches of a seed.
func comparePatches(t *testing.T, seed int64, n int) {
	for _, tool := range []string{"patch", "diff"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no GNU %s here to compare with", tool)
		}
	}
	dir := t.TempDir()
	rnd := rand.New(rand.NewSource(seed))
	text := func(lines []string, end bool) string {
		s := strings.Join(lines, "\n")
		if end && s != "" {
			s += "\n"
		}
		return s
	}
	compared, shifted := 0, 0
	for i := range n {
		var was, is []string
		for range 1 + rnd.Intn(30) {
			was = append(was, strings.Repeat("x", 1+rnd.Intn(4))+[]string{"", "\r"}[rnd.Intn(2)])
		}
		for _, l := range was {
			switch rnd.Intn(8) {
			case 0:
			case 1:
				is = append(is, l, fmt.Sprint("new", rnd.Intn(9)))
			case 2:
				is = append(is, fmt.Sprint("other", rnd.Intn(9)))
			default:
				is = append(is, l)
			}
		}
		if len(is) == 0 {
			continue
		}
		old, now := text(was, rnd.Intn(4) > 0), text(is, rnd.Intn(4) > 0)
		put(t, filepath.Join(dir, "a/f"), old)
		put(t, filepath.Join(dir, "b/f"), now)
		cmd := exec.Command("diff", "-a", fmt.Sprintf("-U%d", 1+rnd.Intn(3)), "a/f", "b/f")
		cmd.Dir = dir
		diff, _ := cmd.Output()
		if len(diff) == 0 {
			continue
		}
		switch rnd.Intn(6) { // a file that is not quite the patch's
		case 0:
			old = strings.Replace(old, "xx", "y", 1)
		case 1:
			old = strings.Repeat("z\n", 1+rnd.Intn(3)) + old
		case 2:
			_, old, _ = strings.Cut(old, "\n")
		}
		put(t, filepath.Join(dir, "gnu/f"), old)
		gnu := exec.Command("patch", "-p1", "-F0", "--binary", "--batch", "--forward", "-r", "-",
			"--no-backup-if-mismatch")
		gnu.Dir, gnu.Stdin = filepath.Join(dir, "gnu"), strings.NewReader(string(diff))
		out, gnuErr := gnu.CombinedOutput()
		want, _ := os.ReadFile(filepath.Join(dir, "gnu/f"))
		got, err := tryPatch(t, map[string]string{"f": old}, string(diff), 1)
		switch refusal := err != nil && (strings.Contains(err.Error(), "it fits as well at line") ||
			strings.Contains(err.Error(), "already applied?")); {
		case gnuErr != nil:
			if err == nil {
				t.Errorf("%d: GNU patch refuses what was applied: %s\n%s", i, out, diff)
			} else if got["f"] != old {
				t.Errorf("%d: a refused patch changed the file", i)
			}
		case refusal && strings.Contains(string(out), "offset"): // GNU patch guesses here
		case err == nil && strings.Contains(string(out), "offset"):
			shifted++
			fallthrough
		default:
			if err == nil && got["f"] == string(want) {
				break
			}
			t.Errorf("%d: got %q, %v, want %q\n%s", i, got["f"], err, want, diff)
		}
		compared++
	}
	if compared < n*2/3 || shifted < n/15 {
		t.Errorf("compared %d cases of %d, %d of them with offsets, want two thirds and a fifteenth at least", compared,
			n, shifted)
	}
}

func FuzzApply(f *testing.F) {
	f.Add("--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n", "a\nb\n", 1)
	f.Add("diff --git a/f b/../g\nrename from f\nrename to ../g\n", "a\n", 1)
	f.Add("--- /dev/null\n+++ b/../n\n@@ -0,0 +1 @@\n+a\n", "", 0)
	f.Fuzz(func(t *testing.T, patch, data string, strip int) {
		if strip < 0 || strip > 2 {
			return
		}
		dir := t.TempDir()
		put(t, filepath.Join(dir, "in/tree/f"), data)
		put(t, filepath.Join(dir, "p.patch"), patch)
		_, err := Apply(filepath.Join(dir, "in/tree"),
			[]Patch{{File: filepath.Join(dir, "p.patch"), Name: "p", Strip: strip}})
		if err != nil {
			if got, _ := os.ReadFile(filepath.Join(dir, "in/tree/f")); string(got) != data {
				t.Errorf("a refused patch changed the file: %v", err)
			}
		}
		for d, want := range map[string]int{dir: 2, filepath.Join(dir, "in"): 1} {
			if es, _ := os.ReadDir(d); len(es) != want {
				t.Errorf("%s: got %d entries, want %d: something was written outside the tree", d, len(es), want)
			}
		}
	})
}
