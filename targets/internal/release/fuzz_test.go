package release

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzNote(f *testing.F) {
	f.Add(`{"version":"26.1.5","file":"a.tar.gz","sha256":"` + strings.Repeat("0", 64) + `"}`)
	f.Add(`{"file":"../a.tar.gz"}`)
	f.Add(`null`)
	root := f.TempDir()
	dir := filepath.Join(root, "out", Dir, "26.1.5-20240715T021503Z")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(filepath.Join(dir, noteFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		all, err := Kept{Root: root, Dir: "out"}.List()
		if err != nil {
			return
		}
		for _, r := range all {
			if r.File != filepath.Base(r.File) || len(r.SHA256) != 64 {
				t.Errorf("took %q, whose file leaves its directory or that has no digest", text)
			}
		}
	})
}
