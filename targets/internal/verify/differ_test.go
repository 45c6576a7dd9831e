package verify

import (
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drydock/targets/internal/archive"
)

func TestADifferenceIsNamedByItsPlace(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	pack := func(name, data string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if _, err := archive.WriteTarGz(p,
			[]archive.Entry{{Name: "docker/one", Data: []byte("same"), Mode: 0o755},
				{Name: "docker/two", Data: []byte(data), Mode: mode}}, time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		return p
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	changed := append([]byte(nil), data...)
	changed[f.Section(".rodata").Offset+100] ^= 0xff
	ar := func(body string) []byte {
		head := func(name string, size string) string {
			return name + strings.Repeat(" ", 16-len(name)) + strings.Repeat("0", 32) + size +
				strings.Repeat(" ", 10-len(size)) + "`\n"
		}
		return []byte("!<arch>\n" + head("a.o/", "4") + "aaaa" + head("b.o/", "4") + body)
	}
	for _, c := range []struct{ name, a, b, want string }{
		{"the same", write("s1", []byte("x")), write("s2", []byte("x")), ""},
		{"text", write("t1", []byte("hello world")), write("t2", []byte("hello World")), `offset 6: 6c 6c 6f 20`},
		{"length", write("l1", []byte("ab")), write("l2", []byte("abc")), "(2 and 3 bytes)"},
		{"ELF", self, write("e", changed), "section .rodata, offset "},
		{"static library", write("a1.a", ar("bbbb")), write("a2.a", ar("bbbc")), "member b.o, offset "},
		{"package, contents", pack("p1.tar.gz", "first", 0o755), pack("p2.tar.gz", "fir5t", 0o755),
			"entry docker/two: offset 3"},
		{"package, mode", pack("p3.tar.gz", "first", 0o755), pack("p4.tar.gz", "first", 0o700),
			"entry docker/two: its mode"},
	} {
		got, err := Difference(c.a, c.b)
		if err != nil || !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%s: got %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}
