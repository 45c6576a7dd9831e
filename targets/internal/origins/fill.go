package origins

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"drydock/targets/internal/archive"
)

// Filled is what Fill did.
type Filled struct {
	Files, New int
	Size       int64 // in bytes, of all files
}

// Fill puts files, whose digests were just checked, into a site's mirror: by name, and by SHA-256. They are links where
// the file system can do that, else copies. A name appears at once and whole, takes the place of another content, and
// stays where it has the right one; nothing else in dir is touched. The errors are the file system's.
func Fill(dir string, files []string, digest func(file string) (string, error)) (did Filled, err error) {
	if err := os.MkdirAll(filepath.Join(dir, "sha256"), 0o755); err != nil {
		return did, err
	}
	for _, f := range files {
		sum, err := digest(f)
		if err != nil {
			return did, err
		}
		name := filepath.Join(dir, filepath.Base(f))
		fresh, err := place(f, name, sum)
		if err != nil {
			return did, err
		}
		more, err := place(name, filepath.Join(dir, "sha256", sum), sum)
		if err != nil {
			return did, err
		}
		fi, err := os.Stat(name)
		if err != nil {
			return did, err
		}
		did.Files++
		did.Size += fi.Size()
		if fresh || more {
			did.New++
		}
	}
	return did, errors.Join(archive.SyncDir(dir), archive.SyncDir(filepath.Join(dir, "sha256")))
}

// place gives a file one more name, or a copy under it, unless what has the name is that already.
func place(from, to, sum string) (fresh bool, err error) {
	src, err := os.Stat(from)
	if err != nil {
		return false, err
	}
	switch has, err := os.Lstat(to); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return false, err
	case os.SameFile(src, has):
		return false, nil
	case has.Mode().IsRegular():
		if got, err := archive.SHA256File(to); err == nil && got == sum {
			return false, nil
		}
	}
	tmp := filepath.Join(filepath.Dir(to), "."+filepath.Base(to)+".new")
	os.Remove(tmp)                           // of a run that was killed
	real, err := filepath.EvalSymlinks(from) // a link to a link would lead to this machine's files
	if err != nil {
		return false, err
	}
	if os.Link(real, tmp) != nil {
		return true, archive.CopyFile(from, to, 0o644)
	}
	return true, os.Rename(tmp, to)
}
