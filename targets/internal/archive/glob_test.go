package archive

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestGlobMakesNoPatternOfTheDirectorysName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plain", "a[b]c", "[", "]", "*", "?", `\`, `a\[b`, "[!a]", "[a-", "line\nbreak",
		"{a,b}", "\xff"} {
		dir := filepath.Join(t.TempDir(), name)
		want := []string{}
		for _, f := range []string{".tmp-1", "x/lock", "y[1]/lock", `y\2/lock`} {
			p := filepath.Join(dir, f)
			if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, nil, 0o644)); err != nil {
				t.Fatal(err)
			}
			want = append(want, p)
		}
		slices.Sort(want[1:])
		got := slices.Concat(Glob(dir, ".tmp-*"), Glob(dir, "*/lock"), Glob(dir, "z/*"),
			Glob(filepath.Join(dir, "gone"), "*"))
		if !slices.Equal(got, want) {
			t.Errorf("below %q: got %q, want %q", name, got, want)
		}
	}
}
