package archive

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A .deb is an "ar" of three members, in this order: debian-binary (the format's version), control.tar.* (what dpkg
// reads) and data.tar.* (the files). See deb(5). Debian's archive takes gz and xz members, not zst.

const (
	arMagic    = "!<arch>\n"
	arHeader   = 60
	debMembers = 8        // that may stand before the data; deb(5) knows two
	debControl = 16 << 20 // bytes of any of them
)

// debData gives the uncompressed data tar of a .deb. Every member before it is read over, none is interpreted.
func debData(r io.Reader) (io.Reader, error) {
	magic := make([]byte, len(arMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != arMagic {
		return nil, fmt.Errorf("no .deb: begins with %q, want %q", magic, arMagic)
	}
	for n := range debMembers {
		name, size, err := arMember(r)
		if errors.Is(err, io.EOF) {
			return nil, errors.New("a .deb without data.tar in it")
		}
		if err != nil {
			return nil, fmt.Errorf(".deb: member %d: %w", n+1, err)
		}
		if n == 0 && name != "debian-binary" {
			return nil, fmt.Errorf(".deb: member 1: got %q, want debian-binary", name)
		}
		if rest, ok := strings.CutPrefix(name, "data.tar"); ok && n > 0 {
			format, known := map[string]string{"": "tar", ".gz": "gz", ".xz": "xz"}[rest]
			if !known {
				return nil, fmt.Errorf(".deb: %s: want data.tar, data.tar.gz or data.tar.xz "+
					"(Debian's own packages are; repack another with dpkg-deb -Zxz)", name)
			}
			return Decompress(&exactly{r, size}, format)
		}
		if size > debControl {
			return nil, fmt.Errorf(".deb: %s: got %d bytes, want at most %d", name, size, debControl)
		}
		body, err := io.ReadAll(&exactly{r, size})
		if err == nil && size%2 == 1 {
			_, err = io.ReadFull(r, make([]byte, 1))
		}
		if err != nil {
			return nil, fmt.Errorf(".deb: %s: %w", name, err)
		}
		if n == 0 && !strings.HasPrefix(string(body), "2.") { // a new minor number stays readable
			return nil, fmt.Errorf(".deb: format %q, want 2.0", body[:min(len(body), 16)])
		}
	}
	return nil, fmt.Errorf("a .deb with more than %d members before data.tar", debMembers)
}

// arMember reads one header of an ar; io.EOF where the archive ends.
func arMember(r io.Reader) (name string, size int64, err error) {
	h := make([]byte, arHeader)
	if _, err := io.ReadFull(r, h); err != nil {
		return "", 0, err
	}
	if string(h[58:]) != "`\n" {
		return "", 0, fmt.Errorf("header ends with %q, want %q", h[58:], "`\n")
	}
	name = strings.TrimSuffix(strings.TrimRight(string(h[:16]), " "), "/")
	size, err = strconv.ParseInt(strings.TrimRight(string(h[48:58]), " "), 10, 64)
	if err != nil || size < 0 || h[48] == '+' {
		return "", 0, fmt.Errorf("%q: size: got %q, want decimal digits", name, h[48:58])
	}
	return name, size, nil
}

// exactly reads n bytes, and takes an earlier end for an error: a decompressor may not miss what was cut off.
type exactly struct {
	r io.Reader
	n int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.n)])
	e.n -= int64(n)
	if err == io.EOF && e.n > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
