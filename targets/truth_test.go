package targets

import (
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// flip FILE… changes one bit in the middle of each file, in place, and puts its time back: nothing but its content
// tells.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	var files []string
	for _, name := range args {
		found, err := filepath.Glob(ts.MkAbs(name))
		ts.Check(err)
		if len(found) == 0 {
			ts.Fatalf("no file %s", name)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		fi, err := os.Stat(file)
		ts.Check(err)
		f, err := os.OpenFile(file, os.O_RDWR, 0)
		ts.Check(err)
		b := []byte{0}
		_, err = f.ReadAt(b, fi.Size()/2)
		ts.Check(err)
		b[0] ^= 1
		_, err = f.WriteAt(b, fi.Size()/2)
		ts.Check(err)
		ts.Check(f.Close())
		ts.Check(os.Chtimes(file, fi.ModTime(), fi.ModTime()))
	}
}
