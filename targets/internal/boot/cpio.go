package boot

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"drydock/targets/internal/archive"
)

// writeCpio writes entries as the kernel reads its first root
// (Documentation/driver-api/early-userspace/buffer-format.rst: newc), all of them root's, with the directories above
// them.
func writeCpio(w io.Writer, es []archive.Entry) error {
	b := bufio.NewWriterSize(w, 1<<20)
	dirs := map[string]bool{}
	for _, e := range es {
		for d := path.Dir(e.Name); d != "."; d = path.Dir(d) {
			dirs[d] = true
		}
	}
	ino := 0
	put := func(name string, mode uint32, r io.Reader, size int64) error {
		if size >= 1<<32 {
			return fmt.Errorf("%s: %d bytes: more than a file in an initramfs can have", name, size)
		}
		ino++
		b.WriteString("070701")
		for _, field := range []int64{int64(ino), int64(mode), 0, 0, 1, 0, size, 0, 0, 0, 0, int64(len(name) + 1), 0} {
			fmt.Fprintf(b, "%08x", field)
		}
		pad := func(n int64) { b.Write(make([]byte, -n&3)) }
		b.WriteString(name + "\x00")
		pad(110 + int64(len(name)) + 1)
		n, err := io.Copy(b, r)
		if err == nil && n != size {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("%s: got %d bytes, want %d: %w", name, n, size, err)
		}
		pad(size)
		return nil
	}
	none := strings.NewReader("")
	for _, d := range slices.Sorted(maps.Keys(dirs)) { // outer before inner
		if err := put(d, 0o040755, none, 0); err != nil {
			return err
		}
	}
	for _, e := range es {
		if e.Link != "" {
			if err := put(e.Name, 0o120777, strings.NewReader(e.Link), int64(len(e.Link))); err != nil {
				return err
			}
			continue
		}
		r, size, err := e.Open()
		if err != nil {
			return err
		}
		err = put(e.Name, 0o100000|uint32(e.Mode.Perm()), r, size)
		r.Close()
		if err != nil {
			return err
		}
	}
	if err := put("TRAILER!!!", 0, none, 0); err != nil {
		return err
	}
	return b.Flush()
}

// limited ends with an error where there is more than n bytes.
func limited(r io.Reader, n int64) io.Reader { return &limit{r, n} }

type limit struct {
	r    io.Reader
	left int64
}

func (l *limit) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return n, errors.New("larger than expected")
	}
	return n, err
}
