package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Entry is one file, directory or link to be written.
type Entry struct {
	Name string // slash-separated, in the archive
	Path string // the file on disk; empty when Data is the content
	// From and Len, where Len is not 0, say that the content is so many bytes of the file.
	From, Len int64
	Data      []byte
	Mode      fs.FileMode // 0644 or 0755
	Link      string      // target, for a symbolic link
	First     bool        // it is written before those that are not
	SHA256    string      // what the content must be when it is written, in hex; empty for anything
}

// Open returns the content and its size in bytes; the error is the file system's.
func (e Entry) Open() (io.ReadCloser, int64, error) {
	if e.Path == "" {
		return io.NopCloser(bytes.NewReader(e.Data)), int64(len(e.Data)), nil
	}
	f, err := os.Open(e.Path)
	if err != nil {
		return nil, 0, err
	}
	if e.Len > 0 {
		return struct {
			io.Reader
			io.Closer
		}{io.NewSectionReader(f, e.From, e.Len), f}, e.Len, nil
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, fi.Size(), nil
}

// InTar lists the files in a tar that is not compressed, as entries whose content stays there; an error for no tar.
func InTar(file string) ([]Entry, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var es []Entry
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return es, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		e := Entry{Name: h.Name, Mode: 0o644}
		if h.Size > 0 {
			// The reader takes whole blocks of the file, none in advance.
			at, err := f.Seek(0, io.SeekCurrent)
			if err != nil {
				return nil, err
			}
			e.Path, e.From, e.Len = file, at, h.Size
		}
		es = append(es, e)
	}
}

// Tree lists everything below dir as entries with prefix before their names. Devices and the like are an error.
func Tree(dir, prefix string) ([]Entry, error) {
	var es []Entry
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		e := Entry{Name: path.Join(prefix, filepath.ToSlash(rel)), Path: p, Mode: 0o644}
		fi, err := d.Info()
		switch {
		case err != nil:
		case d.Type()&fs.ModeSymlink != 0:
			e.Link, err = os.Readlink(p)
		case !d.Type().IsRegular():
			err = fmt.Errorf("%s: not a file, directory or link", p)
		case fi.Mode()&0o111 != 0:
			e.Mode = 0o755
		}
		es = append(es, e)
		return err
	})
	return es, err
}

// WriteTar writes entries in the order of their names, those first that ask for it, all of time t and owner 0: the same
// entries give the same bytes. An error names the entry that cannot be read, or is not what its SHA256 says.
func WriteTar(w io.Writer, es []Entry, t time.Time) error {
	es = slices.Clone(es)
	slices.SortFunc(es, func(a, b Entry) int {
		if a.First != b.First {
			return map[bool]int{true: -1, false: 1}[a.First]
		}
		return strings.Compare(a.Name, b.Name)
	})
	tw := tar.NewWriter(w)
	for _, e := range es {
		if err := writeEntry(tw, e, t); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	return tw.Close()
}

func writeEntry(tw *tar.Writer, e Entry, t time.Time) error {
	h := &tar.Header{Name: e.Name, Mode: int64(e.Mode.Perm()), ModTime: t.UTC().Truncate(time.Second),
		Typeflag: tar.TypeReg}
	if e.Link != "" {
		h.Typeflag, h.Linkname, h.Mode, h.Size = tar.TypeSymlink, e.Link, 0o777, 0
		return tw.WriteHeader(h)
	}
	r, size, err := e.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	h.Size = size
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if e.SHA256 == "" {
		_, err = io.Copy(tw, r)
		return err
	}
	sum := sha256.New()
	if _, err = io.Copy(io.MultiWriter(tw, sum), r); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != e.SHA256 {
		return fmt.Errorf("%s: sha256: got %s, want %s: it is not what it was when it was recorded",
			e.Path, got, e.SHA256)
	}
	return nil
}

// WriteTarGz writes entries as a gzip'd tar into file, atomically, and returns the SHA-256 of the uncompressed tar. Its
// errors are WriteTar's and the file system's.
func WriteTarGz(file string, es []Entry, t time.Time) (tarSHA string, err error) {
	if quick != "" {
		return WriteTarGzLevel(file, es, t, gzip.BestSpeed)
	}
	return WriteTarGzLevel(file, es, t, gzip.DefaultCompression)
}

// WriteTarGzLevel is WriteTarGz with one of gzip's levels; another level is an error.
func WriteTarGzLevel(file string, es []Entry, t time.Time, level int) (tarSHA string, err error) {
	h := sha256.New()
	err = WriteFile(file, 0o644, func(w io.Writer) error {
		bw := bufio.NewWriterSize(w, 1<<20)
		zw, err := newGzipWriter(bw, level)
		if err != nil {
			return err
		}
		err = WriteTar(io.MultiWriter(zw, h), es, t)
		return errors.Join(err, zw.Close(), bw.Flush()) // closed in any case: it writes from the side
	})
	return hex.EncodeToString(h.Sum(nil)), err
}
