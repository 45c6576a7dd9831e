package patch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzSeries(f *testing.F) {
	f.Add("# strict\np.patch -p0 # why\n")
	f.Add("../p.patch\n")
	f.Add("p.patch -p3\n/etc/passwd\n\x00\n")
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.patch"), nil, 0o644); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(filepath.Join(dir, "series"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		ps, err := ReadSeries(dir, "label")
		for _, p := range ps {
			if err != nil || !strings.HasPrefix(p.File, dir+"/") || p.Strip < 0 || p.Strip > 2 {
				t.Errorf("got %+v, %v: want a file of the directory and no error", p, err)
			}
		}
	})
}
