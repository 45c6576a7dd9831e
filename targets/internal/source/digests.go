package source

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"drydock/targets/internal/archive"
)

// Digests remembers files' SHA-256 by size, time and inode, so that a run with nothing to do reads no archive.
type Digests struct {
	file  string
	mu    sync.Mutex
	known map[string]stamp
	dirty bool
}

type stamp struct {
	Size   int64  `json:"size"`
	Mtime  int64  `json:"mtime_ns"`
	Ctime  int64  `json:"ctime_ns"`
	Inode  uint64 `json:"inode"`
	SHA256 string `json:"sha256"`
}

// maxDigests is the size, in bytes, up to which a memory is read: a checkout's has a line for each of 10,000 files.
const maxDigests = 64 << 20

// OpenDigests reads the memory from file; a missing or damaged one is an empty memory.
func OpenDigests(file string) *Digests {
	d := &Digests{file: file, known: map[string]stamp{}}
	if data, err := archive.ReadFile(file, maxDigests); err == nil {
		if json.Unmarshal(data, &d.known) != nil || d.known == nil {
			d.known = map[string]stamp{}
		}
	}
	return d
}

// Of returns a file's digest, from memory where size, time and inode are what they were; an error without the file.
func (d *Digests) Of(path string) (string, error) {
	return d.of(path, path, archive.SHA256File)
}

// OfTar returns, as Of does, the digest of the uncompressed tar in a .tar.gz.
func (d *Digests) OfTar(path string) (string, error) {
	return d.of(path+" tar", path, sumOfTar)
}

// OfModule returns, as Of does, the h1: sum of a module's zip.
func (d *Digests) OfModule(path string) (string, error) {
	return d.of(path+" h1", path, sumOfModule)
}

func (d *Digests) of(key, path string, hash func(string) (string, error)) (string, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	now := stampOf(fi, "")
	d.mu.Lock()
	was, ok := d.known[key]
	d.mu.Unlock()
	if now.SHA256 = was.SHA256; ok && was == now {
		return was.SHA256, nil
	}
	if now.SHA256, err = hash(path); err != nil {
		return "", err
	}
	d.mu.Lock()
	d.known[key], d.dirty = now, true
	d.mu.Unlock()
	return now.SHA256, nil
}

func stampOf(fi os.FileInfo, sha string) stamp {
	st := stamp{Size: fi.Size(), Mtime: fi.ModTime().UnixNano(), SHA256: sha}
	if sys, ok := fi.Sys().(*syscall.Stat_t); ok {
		st.Inode, st.Ctime = sys.Ino, sys.Ctim.Nano()
	}
	return st
}

// Forget empties the memory, so that everything is hashed again.
func (d *Digests) Forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known, d.dirty = map[string]stamp{}, true
}

// Save writes the memory when it changed. The error is the file system's.
func (d *Digests) Save() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.dirty {
		return nil
	}
	d.dirty = false
	data, err := json.MarshalIndent(d.known, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(d.file), 0o755); err != nil { // of a fresh clone
		return err
	}
	return archive.WriteBytes(d.file, 0o644, data)
}
