package platform

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// file makes an ELF file of a machine, with e_flags and, unless level is 0, .ARM.attributes that ask for a level.
func file(t *testing.T, class elf.Class, machine elf.Machine, flags uint32, level byte) string {
	t.Helper()
	ident := [16]byte{0x7f, 'E', 'L', 'F', byte(class), 1, 1}
	var b bytes.Buffer
	put := func(v any) {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	if class == elf.ELFCLASS64 {
		put(elf.Header64{Ident: ident, Type: 2, Machine: uint16(machine), Version: 1, Flags: flags, Ehsize: 64})
	} else {
		// A CPU's name (5) and a compatibility (32), which are to be passed over, before the level (6).
		attributes := []byte("\x05cortex\x00\x20\x01gnu\x00\x06")
		attributes = append(attributes, level, 8, 1)
		body := append([]byte("aeabi\x00\x01"), binary.LittleEndian.AppendUint32(nil, uint32(len(attributes)+5))...)
		body = append(body, attributes...)
		data := append(binary.LittleEndian.AppendUint32([]byte("A"), uint32(len(body)+4)), body...)
		names := []byte("\x00.ARM.attributes\x00.shstrtab\x00")
		n := uint16(3)
		if level == 0 {
			n = 0
		}
		at := uint32(52 + 3*40)
		put(elf.Header32{Ident: ident, Type: 2, Machine: uint16(machine), Version: 1, Shoff: 52 * min(1, uint32(n)),
			Flags: flags, Ehsize: 52, Shentsize: 40, Shnum: n, Shstrndx: n &^ 1})
		put([]elf.Section32{{}, {Name: 1, Type: 0x70000003, Off: at, Size: uint32(len(data))},
			{Name: 17, Type: 3, Off: at + uint32(len(data)), Size: uint32(len(names))}})
		put(append(data, names...))
	}
	p := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(p, b.Bytes(), 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAFileIsHeldToMachineFloatABIAndLevel(t *testing.T) {
	t.Parallel()
	const eabi5 = 0x5000000
	for _, c := range []struct {
		what    string
		arch    string
		class   elf.Class
		machine elf.Machine
		flags   uint32
		level   byte
		want    string
	}{
		{"amd64", "amd64", elf.ELFCLASS64, elf.EM_X86_64, 0, 0, ""},
		{"x32", "amd64", elf.ELFCLASS32, elf.EM_X86_64, 0, 0, "machine"},
		{"arm64", "arm64", elf.ELFCLASS64, elf.EM_AARCH64, 0, 0, ""},
		{"arm64 in an archive for armv7", "armv7", elf.ELFCLASS64, elf.EM_AARCH64, 0, 0,
			"machine: got EM_AARCH64, want EM_ARM"},
		{"armv7 for arm64", "arm64", elf.ELFCLASS32, elf.EM_ARM, eabi5, 10, "machine: got EM_ARM, want EM_AARCH64"},
		{"amd64 for arm64", "arm64", elf.ELFCLASS64, elf.EM_X86_64, 0, 0, "machine: got EM_X86_64"},
		{"v7, hard", "armv7", elf.ELFCLASS32, elf.EM_ARM, eabi5 | hardFloat, 10, ""},
		{"v6, hard", "armv7", elf.ELFCLASS32, elf.EM_ARM, eabi5 | hardFloat, 6, ""},
		{"Go's own linker says no float ABI", "armv7", elf.ELFCLASS32, elf.EM_ARM, eabi5 | 2, 0, ""},
		{"soft", "armv7", elf.ELFCLASS32, elf.EM_ARM, eabi5 | softFloat, 10, "float ABI: got soft, want hard"},
		{"v8", "armv7", elf.ELFCLASS32, elf.EM_ARM, eabi5 | hardFloat, 14, "ARM level: got v8, want <= v7"},
		{"v8.1", "armv7", elf.ELFCLASS32, elf.EM_ARM, eabi5 | hardFloat, 21, "ARM level: got Tag_CPU_arch 21"},
	} {
		p := file(t, c.class, c.machine, c.flags, c.level)
		got := Must(c.arch).Mismatch(p)
		if got != c.want && (c.want == "" || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: got %q, want %q", c.what, got, c.want)
		}
		head, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if got := Must(c.arch).Foreign(head[:HeadSize]); (got != "") != (c.want != "" &&
			!strings.HasPrefix(c.want, "ARM level")) {
			t.Errorf("%s: by its head: got %q, want %q", c.what, got, c.want)
		}
	}
	if got := Must("arm64").Foreign([]byte("\x7fELF")); got == "" {
		t.Error("a file of four bytes: got no word")
	}
}

func TestDamagedAttributesSayNoLevel(t *testing.T) {
	t.Parallel()
	for _, data := range [][]byte{nil, {0x80}, {5}, {5, 'x'}, {6}, {32, 1}, {33, 0, 6},
		bytes.Repeat([]byte{0xff}, 20)} {
		if got := cpuArch(data); got != 0 {
			t.Errorf("%s: got %d", fmt.Sprintf("% x", data), got)
		}
	}
}
