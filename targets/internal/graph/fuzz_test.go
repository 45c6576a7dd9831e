package graph

import (
	"os"
	"path/filepath"
	"testing"
)

func FuzzRecord(f *testing.F) {
	f.Add(`{"name":"a","key":"0","inputs":[{"name":"x","value":"y"}],` +
		`"outputs":[{"path":"../../etc/passwd","size":-1}]}`)
	f.Add(`{"name":"b"}`)
	f.Add(`{"name":"a","outputs":[null,{"path":"\u0000"}]}`)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(filepath.Join(dir, "a.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		g := &Graph{Root: dir, Records: dir}
		r := g.Load("a")
		if r == nil {
			return
		}
		if r.Name != "a" {
			t.Errorf("got the record of %q", r.Name)
		}
		Differs(r, []Input{{"x", "z"}})
		g.Damage(r, false)
	})
}
