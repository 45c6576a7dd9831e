package source

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/stack"
)

// What is read of an archive is hashed on the way, for its digest may have been taken minutes before, or be
// remembered by size and time: another file can have the name by now.

// changed says that an archive is not the one that was checked.
func changed(file, got, want string) error {
	return fmt.Errorf("%s changed after it was checked: sha256: got %s, want %s: "+
		"move it away, then run \"mage fetch\"", file, got, want)
}

// read gives an archive's tar to do, and compares all bytes of the file with the digest that was checked. That they
// differ comes before do's error, which may be due to it.
func (f *Found) read(do func(tar io.Reader) error) error {
	file, err := archive.OpenFile(f.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	h := sha256.New()
	raw := bufio.NewReaderSize(io.TeeReader(file, h), 1<<20)
	tar, err := archive.Decompress(raw, stack.Format(f.Path))
	if err == nil {
		err = do(tar)
	}
	if _, rerr := io.Copy(io.Discard, raw); rerr != nil {
		return errors.Join(err, rerr)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != f.sum {
		return changed(f.Path, got, f.sum)
	}
	return err
}

// Hashed reads the archive once more, and returns its digest; an error where it is not the one that was checked.
func (f *Found) Hashed() (string, error) {
	got, err := archive.SHA256File(f.Path)
	if err == nil && got != f.sum {
		err = changed(f.Path, got, f.sum)
	}
	return got, err
}

// unpack unpacks one archive into dir: the entries that want says yes to.
func unpack(f *Found, dir string, want func(string) bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return f.read(func(tar io.Reader) error { return archive.ExtractOnly(tar, dir, f.Origin.StripCount(), want) })
}

// unpackVendor unpacks what was restored of a source into its tree. Its digest is that of the tar, for gzip's bytes
// depend on the Go that wrote them.
func (s *Set) unpackVendor(c *stack.Component, f *Found, dir string) error {
	line, err := s.VendorFile(c, f)
	if err != nil {
		return err
	}
	if line == nil {
		return missing("no vendor tree for %s in %s: run \"mage fetch\"", filepath.Base(f.Path), s.Dir)
	}
	into := dir
	if len(f.Layout) > 0 {
		into = filepath.Join(dir, Libraries)
	} else if err := os.RemoveAll(filepath.Join(dir, "vendor")); err != nil {
		return err
	}
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	file := filepath.Join(s.Dir, line.Name)
	r, err := archive.Open(file, "gz")
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	tar := io.TeeReader(r, h)
	err = archive.Extract(tar, into, 0)
	_, rerr := io.Copy(io.Discard, tar)
	if got := hex.EncodeToString(h.Sum(nil)); rerr == nil && got != line.TarSHA256 {
		return changed(file, got, line.TarSHA256)
	}
	if err = errors.Join(err, rerr); err != nil {
		return fmt.Errorf("unpack %s: %w", line.Name, err)
	}
	return archive.CheckLinks(dir)
}
