package platform

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
)

// Fact is one property of a file that depends on the architecture.
type Fact struct {
	Name, Want, Got string
	OK              bool
}

// ARM's e_flags: which float ABI a file says that it follows. Go's own linker says none.
const (
	softFloat = 0x200
	hardFloat = 0x400
)

// armLevels are the names of Tag_CPU_arch's values, of the addenda to ARM's ABI.
var armLevels = []string{"before v4", "v4", "v4T", "v5T", "v5TE", "v5TEJ", "v6", "v6KZ", "v6T2", "v6K", "v7", "v6-M",
	"v6S-M", "v7E-M", "v8"}

// Check reports whether an ELF file is one of the architecture: its machine and, for ARM, float ABI and level. It fails
// where the file is no ELF file.
func (a Arch) Check(path string) ([]Fact, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	facts := []Fact{{"machine", a.Machine.String(), f.Machine.String(), f.Machine == a.Machine && f.Class == a.Class}}
	if a.ARM == 0 || !facts[0].OK {
		return facts, nil
	}
	flags, err := flagsOf(path)
	if err != nil {
		return nil, err
	}
	float := "not said"
	switch {
	case flags&softFloat != 0:
		float = "soft"
	case flags&hardFloat != 0:
		float = "hard"
	}
	level, said := armLevel(f), "not said"
	if info, err := buildinfo.ReadFile(path); err == nil {
		for _, s := range info.Settings {
			if s.Key == "GOARM" { // such as 7 or 7,hardfloat
				level = max(level, goLevels[s.Value[:1]])
			}
		}
	}
	if level < len(armLevels) && level > 0 {
		said = armLevels[level]
	} else if level > 0 {
		said = fmt.Sprintf("Tag_CPU_arch %d", level)
	}
	return append(facts, Fact{"float ABI", "hard", float, float != "soft"},
		Fact{"ARM level", "<= " + armLevels[a.ARM], said, level <= a.ARM}), nil
}

// goLevels are GOARM's values as Tag_CPU_arch has them.
var goLevels = map[string]int{"5": 4, "6": 6, "7": 10}

// flagsAt is where e_flags lies in a 32-bit file.
const flagsAt = 36

// flagsOf reads e_flags of a 32-bit file, which debug/elf does not tell.
func flagsOf(path string) (uint32, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var word [4]byte
	_, err = f.ReadAt(word[:], flagsAt)
	return binary.LittleEndian.Uint32(word[:]), err
}

// armLevel is Tag_CPU_arch of a file's .ARM.attributes, which all its objects together ask for; 0 where it is not said.
func armLevel(f *elf.File) int {
	s := f.Section(".ARM.attributes")
	if s == nil {
		return 0
	}
	d, err := s.Data()
	if err != nil || len(d) < 1 || d[0] != 'A' {
		return 0
	}
	// Sections of a length, a vendor's name, and subsections of a tag, a length and pairs; of interest is "aeabi",
	// Tag_File (1).
	for d = d[1:]; len(d) > 4; {
		n := int(binary.LittleEndian.Uint32(d))
		if n < 5 || n > len(d) {
			return 0
		}
		vendor, body, _ := bytes.Cut(d[4:n], []byte{0})
		if d = d[n:]; string(vendor) == "aeabi" && len(body) > 5 && body[0] == 1 {
			return cpuArch(body[5:])
		}
	}
	return 0
}

// cpuArch finds Tag_CPU_arch (6) in pairs of a tag and a value: a string after odd tags above 32 and after 4, 5 and 67,
// a number after others, and both after 32.
func cpuArch(pairs []byte) int {
	for len(pairs) > 0 {
		tag, n := binary.Uvarint(pairs)
		if n <= 0 {
			return 0
		}
		pairs = pairs[n:]
		text := tag == 4 || tag == 5 || tag == 67 || tag > 32 && tag%2 == 1
		if !text || tag == 32 {
			value, n := binary.Uvarint(pairs)
			if n <= 0 {
				return 0
			}
			if tag == 6 {
				return int(value)
			}
			pairs = pairs[n:]
		}
		if text || tag == 32 {
			_, pairs, _ = bytes.Cut(pairs, []byte{0})
		}
	}
	return 0
}

// Mismatch says what of a file is not of the architecture; empty when it is.
func (a Arch) Mismatch(path string) string {
	facts, err := a.Check(path)
	if err != nil {
		return err.Error()
	}
	for _, f := range facts {
		if !f.OK {
			return fmt.Sprintf("%s: got %s, want %s", f.Name, cmp.Or(f.Got, "none"), f.Want)
		}
	}
	return ""
}

// HeadSize is how much of a file Foreign wants, in bytes.
const HeadSize = 52

// Foreign says how the beginning of an ELF file is not one of the architecture: by class, machine and float ABI; empty
// when it is.
func (a Arch) Foreign(head []byte) string {
	if len(head) < HeadSize {
		return "it is cut off"
	}
	class, machine := elf.Class(head[elf.EI_CLASS]), elf.Machine(binary.LittleEndian.Uint16(head[18:]))
	flags := binary.LittleEndian.Uint32(head[flagsAt:])
	switch {
	case class != a.Class || machine != a.Machine:
		return fmt.Sprintf("machine: got %s, want %s", machine, a.Machine)
	case a.ARM > 0 && flags&softFloat != 0:
		return "float ABI: got soft, want hard"
	}
	return ""
}
