// Package archive reads tar archives as the hostile input that they are, and writes them so that the same files always
// give the same bytes.
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
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of what an archive may unpack to. The largest known source (moby with its vendor tree) is 9,300 files and
// 103 MB.
const (
	maxEntries = 400_000
	maxBytes   = 4 << 30
	maxName    = 1024
)

// Open gives the uncompressed tar of a file, by its format: "gz", "xz", "tar", "zip" for the files of a zip as a tar, or "deb" for
// the data of a Debian package.
func Open(file, format string) (io.ReadCloser, error) {
	f, err := OpenFile(file)
	if err != nil {
		return nil, err
	}
	r, err := Decompress(bufio.NewReaderSize(f, 1<<20), format)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{r, f}, nil
}

// Decompress undoes one of the known formats.
func Decompress(r io.Reader, format string) (io.Reader, error) {
	switch format {
	case "gz":
		return gzip.NewReader(r)
	case "xz":
		return newXz(r)
	case "tar":
		return r, nil
	case "zip":
		return newZipTar(r)
	case "deb":
		return debData(r)
	}
	return nil, fmt.Errorf("format %q: want gz, xz, tar, zip or deb", format)
}

// Extract unpacks a tar into dir, which must exist, dropping strip leading directories of every name (an entry with
// no more than that is skipped). A file that is there is replaced, never written into. It refuses what could reach out of dir: absolute names and links, "..", writing
// through a link, devices, setuid bits. Modes become 0644 or 0755, times are kept (make looks at them).
func Extract(r io.Reader, dir string, strip int) error { return ExtractOnly(r, dir, strip, nil) }

// ExtractOnly is Extract for the entries that want says yes to, by their names after stripping; nil wants all.
func ExtractOnly(r io.Reader, dir string, strip int, want func(name string) bool) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	x := extractor{root: root, links: map[string]bool{}, names: map[string]bool{}, dirs: map[string]bool{".": true}, strip: strip, want: want}
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

// Entry is one file, directory or link to be written.
type Entry struct {
	Name string // slash-separated, in the archive
	// Path is the file on disk; empty when Data is the content.
	Path string
	// From and Len, where Len is not 0, say that the content is so many bytes of the file.
	From, Len int64
	Data      []byte
	Mode      fs.FileMode // 0644 or 0755
	Link      string      // target, for a symbolic link
	First     bool        // it is written before those that are not
	SHA256    string      // what the content must be when it is written, in hex; empty for anything
}

// Open gives the content and its size in bytes.
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

// InTar lists the files in a tar that is not compressed, as entries whose content stays there.
func InTar(file string) ([]Entry, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var es []Entry
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if err == io.EOF {
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

// Tree lists everything below dir as entries with prefix before their names.
func Tree(dir, prefix string) ([]Entry, error) {
	var es []Entry
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		e := Entry{Name: path.Join(prefix, filepath.ToSlash(rel)), Path: p, Mode: 0o644}
		if d.Type()&fs.ModeSymlink != 0 {
			e.Link, err = os.Readlink(p)
			es = append(es, e)
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s: not a file, directory or link", p)
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		if fi.Mode()&0o111 != 0 {
			e.Mode = 0o755
		}
		es = append(es, e)
		return nil
	})
	return es, err
}

// WriteTar writes entries in the order of their names, those first that ask for it, all of time t and owner 0: the same entries
// give the same bytes.
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
	h := &tar.Header{Name: e.Name, Mode: int64(e.Mode.Perm()), ModTime: t.UTC().Truncate(time.Second), Typeflag: tar.TypeReg}
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
		return fmt.Errorf("%s: sha256: got %s, want %s: it is not what it was when it was recorded", e.Path, got, e.SHA256)
	}
	return nil
}

// quick is empty, but in the runner of the tests, whose linker sets it: they pack ten times a minute.
var quick string

// WriteTarGz writes entries as a gzip'd tar into file, atomically, and gives the SHA-256 of the uncompressed tar.
func WriteTarGz(file string, es []Entry, t time.Time) (tarSHA string, err error) {
	if quick != "" {
		return WriteTarGzLevel(file, es, t, gzip.BestSpeed)
	}
	return WriteTarGzLevel(file, es, t, gzip.DefaultCompression)
}

// WriteTarGzLevel is WriteTarGz with one of gzip's levels.
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

// WriteFile writes a file so that its name appears only when all of its content is on the disk.
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

// WriteBytes is WriteFile for content that is in memory.
func WriteBytes(file string, mode fs.FileMode, data []byte) error {
	return WriteFile(file, mode, func(w io.Writer) error { _, err := w.Write(data); return err })
}

// WriteLink makes a symbolic link to a target, in place of whatever link or file has the name: at once, and durably.
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

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// SHA256File is the digest of a file's bytes, in hex.
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
	Size  int64       `json:"size"`           // bytes; of a directory, of all files below it
	Mtime int64       `json:"mtime_ns"`       // since 1970; of a directory, a number that another time, mode or inode of anything in it changes
	Mode  fs.FileMode `json:"mode,omitempty"` // permissions, with setuid, setgid and sticky
	Inode uint64      `json:"inode,omitempty"`
}

// Stat returns the stamp of a file, of a link itself, or of a directory with all that is in it.
func Stat(p string) (Stamp, error) {
	fi, err := os.Lstat(p)
	if err != nil {
		return Stamp{}, err
	}
	s := Stamp{Size: fi.Size(), Mtime: fi.ModTime().UnixNano(), Mode: fi.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)}
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

// statDir is Stat for what is in a directory. "Nothing to do" looks at a thousand headers: names below an open directory
// take two thirds of the time of whole paths.
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
// that of its bytes.
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

// SHA256 is the digest of all that r gives, in hex.
func SHA256(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// maxMember is the size, in bytes, up to which Member reads.
const maxMember = 1 << 20

// Member gives the content of the one file in an archive whose name is name below any leading directories.
func Member(file, format, name string) ([]byte, error) {
	r, err := Open(file, format)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := MemberOf(r, name)
	if err != nil {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return data, err
}

// MemberOf is Member of a tar.
func MemberOf(r io.Reader, name string) ([]byte, error) {
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return nil, fmt.Errorf("no %s in it: %w", name, fs.ErrNotExist)
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeReg && strings.HasSuffix("/"+path.Clean(h.Name), "/"+name) {
			if h.Size > maxMember {
				return nil, fmt.Errorf("%s: got %d bytes, want at most %d", name, h.Size, maxMember)
			}
			return io.ReadAll(tr)
		}
	}
}
