package verify

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"drydock/targets/internal/archive"
)

// Difference says where two files first differ: the ELF section, the member of an archive, the bytes in context; of two
// directories, where the first of their files that differs does. Empty when they are the same. It fails where one
// cannot be read.
func Difference(a, b string) (string, error) {
	if fi, err := os.Stat(a); err == nil && fi.IsDir() {
		return treeDifference(a, b)
	}
	x, err := os.ReadFile(a)
	if err != nil {
		return "", err
	}
	y, err := os.ReadFile(b)
	if err != nil {
		return "", err
	}
	return difference(x, y), nil
}

func treeDifference(a, b string) (string, error) {
	one, err := archive.Tree(a, "")
	if err != nil {
		return "", err
	}
	other, err := archive.Tree(b, "")
	if err != nil {
		return "", err
	}
	for i, e := range one {
		if i >= len(other) || other[i].Name != e.Name || other[i].Link != e.Link || other[i].Mode != e.Mode {
			return e.Name + ": not there, or of another kind", nil
		}
		if e.Link != "" {
			continue
		}
		if d, err := Difference(e.Path, other[i].Path); err != nil || d != "" {
			return e.Name + ": " + d, err
		}
	}
	if len(other) > len(one) {
		return other[len(one)].Name + ": only in the second", nil
	}
	return "", nil
}

func difference(x, y []byte) string {
	if bytes.Equal(x, y) {
		return ""
	}
	gz := []byte{0x1f, 0x8b}
	if bytes.HasPrefix(x, gz) && bytes.HasPrefix(y, gz) {
		if s := tarDifference(x, y); s != "" {
			return s
		}
	}
	i := firstDifference(x, y)
	where := ""
	switch {
	case bytes.HasPrefix(x, []byte(elf.ELFMAG)):
		where = section(x, i)
	case bytes.HasPrefix(x, []byte("!<arch>\n")):
		where = member(x, i)
	}
	return where + bytesAt(x, y, i)
}

func firstDifference(x, y []byte) int {
	n := min(len(x), len(y))
	for i := range n {
		if x[i] != y[i] {
			return i
		}
	}
	return n
}

// bytesAt shows the bytes around an offset in both.
func bytesAt(x, y []byte, i int) string {
	show := func(d []byte) string {
		from, to := max(0, min(i-4, len(d))), min(i+12, len(d))
		return fmt.Sprintf("% x %q", d[from:to], d[from:to])
	}
	s := fmt.Sprintf("offset %d: %s, then %s", i, show(x), show(y))
	if len(x) != len(y) {
		s += fmt.Sprintf(" (%d and %d bytes)", len(x), len(y))
	}
	return s
}

// section names the ELF section that an offset lies in.
func section(data []byte, offset int) string {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return ""
	}
	for _, s := range f.Sections {
		if s.Type != elf.SHT_NOBITS && s.Type != elf.SHT_NULL && uint64(offset) >= s.Offset &&
			uint64(offset) < s.Offset+s.FileSize {
			return "section " + s.Name + ", "
		}
	}
	return "outside of all sections, "
}

// member names the member of a static library that an offset lies in.
func member(data []byte, offset int) string {
	const head = 60
	var long []byte
	for at := 8; at+head <= len(data); {
		name := strings.TrimRight(string(data[at:at+16]), " ")
		size, err := strconv.Atoi(strings.TrimSpace(string(data[at+48 : at+58])))
		if err != nil || at+head+size > len(data) {
			return ""
		}
		if name == "//" {
			long = data[at+head : at+head+size]
		} else if n, err := strconv.Atoi(strings.TrimPrefix(name, "/")); err == nil && n < len(long) {
			name, _, _ = strings.Cut(string(long[n:]), "/")
		}
		if offset < at+head {
			return "header of member " + strings.TrimSuffix(name, "/") + ", "
		}
		if offset < at+head+size {
			return "member " + strings.TrimSuffix(name, "/") + ", "
		}
		at += head + size + size%2
	}
	return ""
}

// tarDifference compares two gzipped tars entry by entry. Empty when they are none, or differ in the compression only.
func tarDifference(x, y []byte) string {
	open := func(d []byte) (*tar.Reader, error) {
		g, err := gzip.NewReader(bytes.NewReader(d))
		if err != nil {
			return nil, err
		}
		return tar.NewReader(g), nil
	}
	a, err := open(x)
	b, err2 := open(y)
	if err != nil || err2 != nil {
		return ""
	}
	for {
		h, err := a.Next()
		g, err2 := b.Next()
		switch {
		case errors.Is(err, io.EOF) && errors.Is(err2, io.EOF):
			return ""
		case errors.Is(err, io.EOF):
			return fmt.Sprintf("entry %s is in the second only", g.Name)
		case errors.Is(err2, io.EOF):
			return fmt.Sprintf("entry %s is in the first only", h.Name)
		case err != nil || err2 != nil:
			return ""
		}
		for _, field := range [][3]string{
			{"name", h.Name, g.Name},
			{"mode", fmt.Sprintf("%o", h.Mode), fmt.Sprintf("%o", g.Mode)},
			{"link", h.Linkname, g.Linkname},
			{"owner", fmt.Sprint(h.Uid, h.Gid, h.Uname, h.Gname), fmt.Sprint(g.Uid, g.Gid, g.Uname, g.Gname)},
			{"time", h.ModTime.String(), g.ModTime.String()},
		} {
			if field[1] != field[2] {
				return fmt.Sprintf("entry %s: its %s: %q, then %q", h.Name, field[0], field[1], field[2])
			}
		}
		p, err := io.ReadAll(a)
		q, err2 := io.ReadAll(b)
		if err != nil || err2 != nil {
			return ""
		}
		if d := difference(p, q); d != "" {
			return "entry " + h.Name + ": " + d
		}
	}
}
