package stack

import (
	"os"
	"path/filepath"
	"testing"
)

func FuzzRecorded(f *testing.F) {
	f.Add("[[build]]\ncomponent = \"runc\"\n[build.files]\nrunc = \"00\"\n")
	f.Add("module = \"m\"\nversion = \"v1\"\nh1 = \"h1:\"\nsha256 = \"\"\n")
	f.Add("build = 3\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range []string{"x.digests", AdvisoriesLock} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := LoadRecorded(filepath.Join(dir, "x.digests")); (r == nil) == (err == nil) {
			t.Errorf("recorded builds: got %v, %v", r, err)
		}
		if a, err := LoadAdvisories(dir); (a == nil) == (err == nil) {
			t.Errorf("advisories: got %v, %v", a, err)
		}
	})
}
