// Package platform knows the processor architectures that stacks are built for, as one table: how Go, GNU, musl,
// Debian, qemu, ELF and OCI call each.
package platform

import (
	"debug/elf"
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// Arch is a processor architecture.
type Arch struct {
	Name string // what stack files, ARCH=, directories and packages call it
	// GOARCH and GOARM are Go's; GOARM is empty where there is none.
	GOARCH, GOARM string
	Triplet       string // GNU's name of the machine, as Debian's cross compilers and multiarch directories have it
	Musl          string // the end of musl's loader's name, ld-musl-<Musl>.so.1
	Emulation     string // what the GNU linker's -m takes, with the flags that gcc's own specs have for all links
	// Debian is the architecture of Debian's packages, and GCC its package of the cross compiler.
	Debian, GCC string
	Qemu        string   // the end of qemu's names: qemu-<Qemu> in user mode and qemu-system-<Qemu>
	Uname       []string // what uname -m says on a machine that runs its files
	// Kernel is the first Linux release that runs on it, where that is newer than the oldest that Docker does; or
	// empty.
	Kernel string
	OCI    string // the platform in the words of the OCI's image specification

	Machine elf.Machine
	Class   elf.Class
	// ARM is the highest level of the ARM architecture that code may ask for, as Tag_CPU_arch has it (10 is v7), for
	// one that has a level and a float ABI in its files, which is that of hardware; or 0.
	ARM int

	Exits string // exit(0) in C, without a C library
}

// Debian's gcc for arm64 works around an erratum of the Cortex-A53, which many a NAS box has. Arm64 appeared in Linux
// 3.7. An armv8 processor runs armv7's files under a kernel of 32 bits, or with CONFIG_COMPAT.
var arches = []Arch{
	{Name: "amd64", GOARCH: "amd64", Triplet: "x86_64-linux-gnu", Musl: "x86_64", Debian: "amd64",
		GCC: "gcc-x86-64-linux-gnu", Emulation: "elf_x86_64", Qemu: "x86_64", Uname: []string{"x86_64"},
		OCI: "linux/amd64", Machine: elf.EM_X86_64, Class: elf.ELFCLASS64,
		Exits: `xor %edi,%edi\nmov $60,%eax\nsyscall`},
	{Name: "arm64", GOARCH: "arm64", Triplet: "aarch64-linux-gnu", Musl: "aarch64", Debian: "arm64", Kernel: "3.7",
		GCC: "gcc-aarch64-linux-gnu", Emulation: "aarch64linux --fix-cortex-a53-843419", Qemu: "aarch64",
		Uname: []string{"aarch64"}, OCI: "linux/arm64", Machine: elf.EM_AARCH64, Class: elf.ELFCLASS64,
		Exits: `mov x0,#0\nmov x8,#93\nsvc #0`},
	{Name: "armv7", GOARCH: "arm", GOARM: "7", Triplet: "arm-linux-gnueabihf", Musl: "armhf", Debian: "armhf",
		GCC: "gcc-arm-linux-gnueabihf", Emulation: "armelf_linux_eabi", Qemu: "arm",
		Uname: []string{"armv7l", "armv8l"}, OCI: "linux/arm/v7", Machine: elf.EM_ARM, Class: elf.ELFCLASS32, ARM: 10,
		Exits: `mov r0,#0\nmov r7,#1\nsvc #0`},
}

// Default is the architecture of a stack that names none in ARCH= or its file.
const Default = "amd64"

// All returns the architectures.
func All() []Arch { return slices.Clone(arches) }

// Of returns the architecture of a name. The error names the known ones.
func Of(name string) (Arch, error) {
	var names []string
	for _, a := range arches {
		if a.Name == name {
			return a, nil
		}
		names = append(names, `"`+a.Name+`"`)
	}
	return Arch{}, fmt.Errorf("got %q, want %s", name, strings.Join(names, ", "))
}

// Must is Of for a name that was checked.
func Must(name string) Arch {
	a, err := Of(name)
	if err != nil {
		panic("architecture: " + err.Error())
	}
	return a
}

// Native reports whether this machine's own compilers make files for it.
func (a Arch) Native() bool { return a.GOARCH == runtime.GOARCH }

// Build returns the architecture of this machine; Default where the table has none.
func Build() Arch {
	if i := slices.IndexFunc(arches, Arch.Native); i >= 0 {
		return arches[i]
	}
	return Must(Default)
}

// Below is the directory of its outputs below those of Default, which have none: "" or Name.
func (a Arch) Below() string {
	if a.Name == Default {
		return ""
	}
	return a.Name
}

// Go is what the go command's environment says of it.
func (a Arch) Go() []string {
	env := []string{"GOOS=linux", "GOARCH=" + a.GOARCH}
	if a.GOARM != "" {
		env = append(env, "GOARM="+a.GOARM)
	}
	return env
}
