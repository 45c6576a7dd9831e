package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Limits of what an archive may unpack to. The largest known source (moby with its vendor tree) is 9,300 files and
// 103 MB.
const (
	maxEntries = 400_000
	maxBytes   = 4 << 30
	maxName    = 1024
)

// Extract unpacks a tar into dir, which must exist, dropping strip leading directories of every name (an entry with
// no more than that is skipped). A file that is there is replaced, never written into. It refuses what could reach out
// of dir: absolute names and links, "..", writing through a link, devices, setuid bits. Modes become 0644 or 0755,
// times are kept (make looks at them).
func Extract(r io.Reader, dir string, strip int) error { return ExtractOnly(r, dir, strip, nil) }

// ExtractOnly is Extract, errors too, for the entries that want says yes to, by names after stripping; nil wants all.
func ExtractOnly(r io.Reader, dir string, strip int, want func(name string) bool) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	x := extractor{root: root, links: map[string]bool{}, names: map[string]bool{}, dirs: map[string]bool{".": true},
		strip: strip, want: want}
	defer x.close()
	tr := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		if n >= maxEntries {
			return fmt.Errorf("more than %d entries", maxEntries)
		}
		if err := x.entry(h, tr); err != nil {
			return fmt.Errorf("entry %q: %w", h.Name, err)
		}
	}
	for name := range x.links { // each part may be harmless, and the whole still lead out
		if err := leadsOut(root, name); err != nil {
			return err
		}
	}
	if x.files == 0 {
		return fmt.Errorf("no file in it (after %d leading directories were dropped)", strip)
	}
	return nil
}

type extractor struct {
	root  *os.Root
	links map[string]bool
	names map[string]bool // files and links that are there
	dirs  map[string]bool
	strip int
	want  func(string) bool
	bytes int64
	files int

	// The directory that the last file went to: archives list a directory's files together, and a root of its own
	// saves the walk from the top, which is most of the cost of a small file.
	lastDir  string
	lastRoot *os.Root
}

// in gives the root of a directory and must be called after the directory was made.
func (x *extractor) in(dir string) (*os.Root, error) {
	if x.lastRoot != nil && x.lastDir == dir {
		return x.lastRoot, nil
	}
	r, err := x.root.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	x.close()
	x.lastDir, x.lastRoot = dir, r
	return r, nil
}

func (x *extractor) close() {
	if x.lastRoot != nil {
		x.lastRoot.Close()
	}
}

func (x *extractor) entry(h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if len(h.Name) > maxName || strings.ContainsRune(h.Name, 0) {
		return fmt.Errorf("name too long or with a NUL (limit %d bytes)", maxName)
	}
	if path.IsAbs(h.Name) || slices.Contains(strings.Split(h.Name, "/"), "..") {
		return errors.New("leaves the tree: an absolute name, or one with \"..\"")
	}
	name, ok := x.stripped(h.Name)
	if !ok || x.want != nil && !x.want(name) {
		return nil
	}
	if h.Mode&0o6000 != 0 {
		return fmt.Errorf("mode %04o: setuid and setgid files are refused", h.Mode&0o7777)
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return x.mkdir(name)
	case tar.TypeReg:
		return x.file(name, h, r)
	case tar.TypeSymlink:
		return x.symlink(name, h.Linkname)
	case tar.TypeLink:
		return x.hardLink(name, h.Linkname)
	}
	return fmt.Errorf("type %q: only files, directories and links are accepted", h.Typeflag)
}

// stripped drops the leading directories of a name; false when nothing is left.
func (x *extractor) stripped(name string) (string, bool) {
	parts := strings.Split(path.Clean(name), "/")
	if len(parts) <= x.strip {
		return "", false
	}
	name = path.Join(parts[x.strip:]...)
	return name, name != "."
}

func (x *extractor) mkdir(name string) error {
	if x.dirs[name] {
		return nil
	}
	if err := x.noLink(name); err != nil {
		return err
	}
	if err := x.root.MkdirAll(name, 0o755); err != nil {
		return err
	}
	for p := name; !x.dirs[p]; p = path.Dir(p) {
		x.dirs[p] = true
		if err := x.root.Chmod(p, 0o755); err != nil { // whatever the umask is
			return err
		}
	}
	return nil
}

// free makes room for an entry that the archive may name twice.
func (x *extractor) free(name string) error {
	if err := x.mkdir(path.Dir(name)); err != nil {
		return err
	}
	x.files++
	delete(x.links, name)
	if x.names[name] {
		if err := x.root.Remove(name); err != nil {
			return err
		}
	}
	x.names[name] = true
	return nil
}

func (x *extractor) file(name string, h *tar.Header, r io.Reader) error {
	if x.bytes += h.Size; x.bytes > maxBytes {
		return fmt.Errorf("unpacks to more than %d bytes", int64(maxBytes))
	}
	if err := x.free(name); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if h.Mode&0o111 != 0 {
		mode = 0o755
	}
	root, err := x.in(path.Dir(name))
	if err != nil {
		return err
	}
	base := path.Base(name)
	f, err := root.OpenFile(base, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if errors.Is(err, fs.ErrExist) { // of the tree that this archive is laid over
		if err := root.Remove(base); err != nil {
			return err
		}
		f, err = root.OpenFile(base, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	}
	if err != nil {
		return err
	}
	if _, err = io.Copy(f, r); err == nil {
		err = f.Chmod(mode) // whatever the umask is
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return root.Chtimes(base, h.ModTime, h.ModTime)
}
