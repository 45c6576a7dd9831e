package smoke

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

//go:embed calls.txt
var callsText string

// given says since which kernel the system calls with numbers from first to last are there.
type given struct {
	since       string
	first, last int
}

// table is what one architecture's kernels have.
type table struct {
	audit uint32 // AUDIT_ARCH_*: the machine's number in ELF, and flags for little endian and 64 bits
	// calls are the numbers of its own, in order; those up to the first row's last are there since that row's kernel.
	calls []given
	// private are its numbers above all others.
	private []given
	// Numbers of calls, none of which is 0; without is a call that it does not have.
	open, openat, fcntl, fcntl64, prctl, unshare, setns int
	tmpfile                                             uint32 // O_TMPFILE
}

const (
	audit32 = 0x40000000
	audit64 = 0xc0000000
	without = -1
)

// calls are the rows of calls.txt with that name.
func calls(name string) (all []given) {
	for line := range strings.Lines(callsText) {
		var of string
		var g given
		if n, _ := fmt.Sscan(line, &of, &g.since, &g.first, &g.last); n == 4 && of == name {
			all = append(all, g)
		}
	}
	return all
}

// tableOf is the table of an architecture, by its name in a stack or Go's.
func tableOf(arch string) (*table, error) {
	switch arch {
	case "amd64":
		return &table{audit: unix.EM_X86_64 | audit64, calls: calls("amd64"), tmpfile: 0x410000,
			open: 2, openat: 257, fcntl: 72, fcntl64: without, prctl: 157, unshare: 272, setns: 308}, nil
	case "arm64":
		return &table{audit: unix.EM_AARCH64 | audit64, calls: calls("arm64"), tmpfile: 0x404000,
			open: without, openat: 56, fcntl: 25, fcntl64: without, prctl: 167, unshare: 97, setns: 268}, nil
	case "armv7", "arm":
		return &table{audit: unix.EM_ARM | audit32, calls: calls("armv7"), tmpfile: 0x404000,
			private: []given{{"3.2", 0xf0001, 0xf0006}}, // breakpoint, cacheflush, …, set_tls: no thread starts without
			open:    5, openat: 322, fcntl: 55, fcntl64: 221, prctl: 172, unshare: 337, setns: 375}, nil
	}
	return nil, fmt.Errorf("the system calls of old kernels are known for amd64, arm64 and armv7 only: got %s: run "+
		"without -kernel", arch)
}

// flag is an argument of a call that the kernel has had for long, by which newer kernels do something more.
type flag struct {
	since       string
	nr, arg     int
	mask, value uint32 // of the argument's lower half: it is that flag when argument & mask == value
	errno       unix.Errno
}

// flags are those that the parts of the stack try and do without.
func (t *table) flags() []flag {
	all := []flag{
		// An open with O_TMPFILE looks to an older kernel like one of a directory for writing: the flag was chosen for
		// that.
		{"3.11", t.open, 1, t.tmpfile, t.tmpfile, unix.EISDIR},
		{"3.11", t.openat, 2, t.tmpfile, t.tmpfile, unix.EISDIR},
		// Came with memfd_create. With the one and without the other, runc 1.1 executes itself for ever.
		{"3.17", t.fcntl, 1, 1<<32 - 1, unix.F_ADD_SEALS, unix.EINVAL},
		{"3.17", t.fcntl, 1, 1<<32 - 1, unix.F_GET_SEALS, unix.EINVAL},
		{"3.17", t.fcntl64, 1, 1<<32 - 1, unix.F_ADD_SEALS, unix.EINVAL},
		{"3.17", t.fcntl64, 1, 1<<32 - 1, unix.F_GET_SEALS, unix.EINVAL},
		{"4.3", t.prctl, 0, 1<<32 - 1, unix.PR_CAP_AMBIENT, unix.EINVAL},
		{"4.6", t.unshare, 0, unix.CLONE_NEWCGROUP, unix.CLONE_NEWCGROUP, unix.EINVAL},
		{"4.6", t.setns, 1, 1<<32 - 1, unix.CLONE_NEWCGROUP, unix.EINVAL},
	}
	return slices.DeleteFunc(all, func(f flag) bool { return f.nr == without })
}
