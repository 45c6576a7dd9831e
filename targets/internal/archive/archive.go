// Package archive reads tar archives as the hostile input that they are, and writes them so that the same files always
// give the same bytes.
package archive

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// Open returns the uncompressed tar of a file, by its format: "gz", "xz", "tar", "zip" for the files of a zip as a tar,
// or "deb" for the data of a Debian package.
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

// Decompress undoes one of the known formats; any other is an error.
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

// quick is empty, but in the runner of the tests, whose linker sets it: they pack ten times a minute.
var quick string

// maxMember is the size, in bytes, up to which Member reads.
const maxMember = 1 << 20

// Member returns the content of the one file in an archive whose name is name below any leading directories; an error
// where there is none, or it has more than 1 MiB.
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

// MemberOf is Member, errors too, of a tar.
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
