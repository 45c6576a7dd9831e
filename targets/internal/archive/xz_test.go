package archive

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// xzOf makes an .xz of blocks that are not compressed; dictionary is the code of each block's dictionary's size.
func xzOf(dictionary byte, blocks ...[]byte) []byte {
	le := binary.LittleEndian
	sum := func(b []byte) []byte { return le.AppendUint32(b, crc32.ChecksumIEEE(b)) }
	number := func(b []byte, n int) []byte { return binary.AppendUvarint(b, uint64(n)) }
	flags := []byte{0, 1} // checked by CRC32
	out := append([]byte("\xfd7zXZ\x00"), append(flags, sum(flags)[2:]...)...)
	index := number([]byte{0}, len(blocks))
	for _, data := range blocks {
		start := len(out)
		out = append(out, sum([]byte{2, 0, 0x21, 1, dictionary, 0, 0, 0})...)
		for rest := data; len(rest) > 0; {
			n := min(len(rest), 1<<16)
			out = append(append(out, 1, byte((n-1)>>8), byte(n-1)), rest[:n]...)
			rest = rest[n:]
		}
		out = append(out, 0)
		index = number(number(index, len(out)-start+4), len(data))
		for (len(out)-start)%4 != 0 {
			out = append(out, 0)
		}
		out = le.AppendUint32(out, crc32.ChecksumIEEE(data))
	}
	for len(index)%4 != 0 {
		index = append(index, 0)
	}
	index = sum(index)
	footer := append(le.AppendUint32(nil, uint32(len(index)/4-1)), flags...)
	out = append(append(out, index...), append(le.AppendUint32(nil, crc32.ChecksumIEEE(footer)), footer...)...)
	return append(out, "YZ"...)
}

func TestXzIsUndoneAsFarAsItsDictionaryIsBounded(t *testing.T) {
	t.Parallel()
	data := tarOf(t, file("top/a", strings.Repeat("text\n", 30000)))
	for name, c := range map[string]struct {
		xz   []byte
		want string // the error; empty for none
	}{
		"1 MiB": {xzOf(18, data), ""}, "64 MiB": {xzOf(28, data), ""},
		"96 MiB":      {xzOf(29, data), "xz: got a dictionary of more than 67108864 bytes"},
		"4 GiB":       {xzOf(40, data), "xz: got a dictionary of more than"},
		"two blocks":  {xzOf(18, data[:1000], data[1000:]), ""},
		"two streams": {append(xzOf(18, data[:1000]), xzOf(18, data[1000:])...), ""},
		"the second stream": {append(xzOf(18, data[:1000]), xzOf(40, data[1000:])...),
			"xz: got a dictionary of more than"},
		"nonsense": {[]byte("\xfd7zXZ\x00nonsense, which is long enough"), "xz: "},
		"cut":      {xzOf(18, data)[:5000], "xz: "},
	} {
		p := filepath.Join(t.TempDir(), "x.tar.xz")
		if err := os.WriteFile(p, c.xz, 0o644); err != nil {
			t.Fatal(err)
		}
		var got []byte
		r, err := Open(p, "xz")
		if err == nil {
			got, err = io.ReadAll(r)
			r.Close()
		}
		switch {
		case c.want != "":
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q", name, err, c.want)
			}
		case err != nil || !bytes.Equal(got, data):
			t.Errorf("%s: got %d bytes, %v, want the %d bytes of the tar", name, len(got), err, len(data))
		}
	}
}
