package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// WriteFile writes a file so that its name appears only when all of its content is on the disk. Its errors are those of
// write and of the file system; the old file stays then.
func WriteFile(file string, mode fs.FileMode, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".tmp-"+filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = write(f)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(file))
}

// WriteBytes is WriteFile, errors too, for content that is in memory.
func WriteBytes(file string, mode fs.FileMode, data []byte) error {
	return WriteFile(file, mode, func(w io.Writer) error { _, err := w.Write(data); return err })
}

// WriteLink makes a symbolic link to a target, in place of whatever link or file has the name: at once, and durably, or
// returns the file system's error.
func WriteLink(target, link string) error {
	tmp := filepath.Join(filepath.Dir(link), "."+filepath.Base(link)+".new")
	os.Remove(tmp) // of a run that was killed
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, link); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(link))
}

// SyncDir makes the names in a directory durable, or returns why not.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// SHA256File is the digest of a file's bytes, in hex; an error for what is no file.
func SHA256File(file string) (string, error) {
	f, err := OpenFile(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return SHA256(f)
}

// Stamp is what tells without reading that a file is the one that it was: not proof, but the price of one system call.
type Stamp struct {
	Size int64 `json:"size"` // bytes; of a directory, of all files below it
	// Mtime is since 1970; of a directory, a number that another time, mode or inode of anything in it changes.
	Mtime int64       `json:"mtime_ns"`
	Mode  fs.FileMode `json:"mode,omitempty"` // permissions, with setuid, setgid and sticky
	Inode uint64      `json:"inode,omitempty"`
}

// Stat returns the stamp of a file, of a link itself, or of a directory with all that is in it; the error is lstat's.
func Stat(p string) (Stamp, error) {
	fi, err := os.Lstat(p)
	if err != nil {
		return Stamp{}, err
	}
	s := Stamp{Size: fi.Size(), Mtime: fi.ModTime().UnixNano(),
		Mode: fi.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		s.Inode = st.Ino
	}
	if fi.IsDir() {
		var mtime int64
		s.Size, mtime, err = statDir(p)
		s.Mtime += mtime
	}
	return s, err
}

// statDir is Stat for what is in a directory. "Nothing to do" looks at a thousand headers: names below an open
// directory take two thirds of the time of whole paths.
func statDir(dir string) (size, mtime int64, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return 0, 0, err
	}
	fd := int(f.Fd())
	for _, name := range names {
		var st unix.Stat_t
		if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return 0, 0, &fs.PathError{Op: "stat", Path: filepath.Join(dir, name), Err: err}
		}
		mtime += st.Mtim.Nano() + int64(st.Mode) + int64(st.Ino) // a file that was given an old time counts, too
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			size += st.Size
			continue
		}
		s, m, err := statDir(filepath.Join(dir, name))
		if err != nil {
			return 0, 0, err
		}
		size, mtime = size+s, mtime+m
	}
	return size, mtime, nil
}

// SHA256Tree is the digest over the names, modes and contents of all files below a directory, and its links; of a file,
// that of its bytes. What cannot be read is an error.
func SHA256Tree(p string) (string, error) {
	if fi, err := os.Stat(p); err != nil {
		return "", err
	} else if !fi.IsDir() {
		return SHA256File(p)
	}
	es, err := Tree(p, "")
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, e := range es {
		sum := e.Link
		if e.Link == "" {
			if sum, err = SHA256File(e.Path); err != nil {
				return "", err
			}
		}
		fmt.Fprintf(h, "%q %o %q\n", e.Name, e.Mode, sum)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// SHA256 is the digest of all that r gives, in hex, or r's error.
func SHA256(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
