package archive

import (
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// CopyFile makes a file of its own with another's content, atomically and durably: a clone that shares the blocks where
// the file system can do that (btrfs, xfs), else a copy. A change in place to one of the two is none to the other. The
// errors are the file system's.
func CopyFile(from, to string, mode fs.FileMode) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	return WriteFile(to, mode, func(w io.Writer) error {
		if f, ok := w.(*os.File); ok && unix.IoctlFileClone(int(f.Fd()), int(src.Fd())) == nil {
			return nil
		}
		_, err := io.Copy(w, src)
		return err
	})
}
