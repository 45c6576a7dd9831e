package archive

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// RemoveAll removes a tree that may have read-only directories (a module cache has). Its errors are os.RemoveAll's.
func RemoveAll(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			os.Chmod(p, 0o755)
		}
		return nil
	})
	return os.RemoveAll(dir)
}

// EmptyDir makes a directory that has nothing in it, whatever was there. Its errors are RemoveAll's and os.MkdirAll's.
func EmptyDir(dir string) error { return errors.Join(RemoveAll(dir), os.MkdirAll(dir, 0o755)) }
