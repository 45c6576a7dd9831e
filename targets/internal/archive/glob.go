package archive

import (
	"io/fs"
	"os"
	"path/filepath"
)

// Glob returns the files below dir whose paths, seen from there, fit the pattern of path.Match, in the order of
// filepath.Glob. No pattern is made of dir, whose name may have any character. What cannot be read is passed over.
func Glob(dir, pattern string) []string {
	names, err := fs.Glob(os.DirFS(dir), pattern)
	if err != nil {
		panic(err) // of the pattern, which stands in the program
	}
	for i, n := range names {
		names[i] = filepath.Join(dir, n)
	}
	return names
}
