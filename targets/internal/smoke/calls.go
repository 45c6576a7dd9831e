package smoke

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// given says since which kernel the system calls with numbers from first to last are there. Numbers are given in the
// order of merging, which is not always that of the releases.
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

// everywhere are the numbers that all architectures share. From arch/*/…/syscall*.tbl of the kernels.
var everywhere = []given{
	{"5.1", 424, 427}, // pidfd_send_signal, io_uring
	{"5.2", 428, 433}, // the mount calls
	{"5.3", 434, 435}, // pidfd_open, clone3
	{"5.9", 436, 436}, // close_range
	{"5.6", 437, 438}, // openat2, pidfd_getfd
	{"5.8", 439, 439}, // faccessat2
	{"5.10", 440, 440},
	{"5.11", 441, 441}, // epoll_pwait2
	{"5.12", 442, 442}, // mount_setattr
	{"5.14", 443, 443},
	{"5.13", 444, 446}, // landlock
	{"5.14", 447, 447},
	{"5.15", 448, 448},
	{"5.16", 449, 449},
	{"5.17", 450, 450},
	{"6.5", 451, 451},
	{"6.6", 452, 453},
	{"6.7", 454, 456},
	{"6.8", 457, 461},
	{"6.10", 462, 462},
	{"6.13", 463, 466},
	{"6.15", 467, 467},
	{"6.17", 468, 469},
}

// From arch/x86/entry/syscalls/syscall_64.tbl of the kernels; 335 to 423 were never given.
var callsAMD64 = []given{
	{"3.2", 0, 311},   // … process_vm_readv, process_vm_writev
	{"3.5", 312, 312}, // kcmp
	{"3.8", 313, 313}, // finit_module
	{"3.14", 314, 315},
	{"3.15", 316, 316}, // renameat2
	{"3.17", 317, 320}, // seccomp, getrandom, memfd_create, kexec_file_load
	{"3.18", 321, 321}, // bpf
	{"3.19", 322, 322}, // execveat
	{"4.3", 323, 324},  // userfaultfd, membarrier
	{"4.4", 325, 325},
	{"4.5", 326, 326}, // copy_file_range
	{"4.6", 327, 328},
	{"4.9", 329, 331},
	{"4.11", 332, 332}, // statx
	{"4.18", 333, 334}, // io_pgetevents, rseq
}

// From include/uapi/asm-generic/unistd.h of the kernels, which arm64 has had since its first one; 295 to 423 were never
// given.
var callsARM64 = []given{
	{"3.7", 0, 271},   // … process_vm_readv, process_vm_writev
	{"3.8", 272, 273}, // kcmp, finit_module
	{"3.14", 274, 275},
	{"3.15", 276, 276}, // renameat2
	{"3.17", 277, 279}, // seccomp, getrandom, memfd_create
	{"3.18", 280, 280}, // bpf
	{"3.19", 281, 281}, // execveat
	{"4.3", 282, 283},  // userfaultfd, membarrier
	{"4.4", 284, 284},
	{"4.5", 285, 285}, // copy_file_range
	{"4.6", 286, 287},
	{"4.9", 288, 290},
	{"4.11", 291, 291}, // statx
	{"4.18", 292, 292}, // io_pgetevents
	{"4.19", 293, 293}, // rseq
	{"5.0", 294, 294},  // kexec_file_load
}

// From arch/arm/kernel/calls.S of the kernels up to 4.8, arch/arm/tools/syscall.tbl after that, by libseccomp's
// syscalls.csv, which has the release of each; 402 was never given.
var callsARM = []given{
	{"3.2", 0, 377},   // … process_vm_readv, process_vm_writev
	{"3.9", 378, 378}, // kcmp
	{"3.8", 379, 379}, // finit_module
	{"3.14", 380, 381},
	{"3.15", 382, 382}, // renameat2
	{"3.17", 383, 385}, // seccomp, getrandom, memfd_create
	{"3.18", 386, 386}, // bpf
	{"3.19", 387, 387}, // execveat
	{"4.3", 388, 389},  // userfaultfd, membarrier
	{"4.4", 390, 390},
	{"4.5", 391, 391}, // copy_file_range
	{"4.6", 392, 393},
	{"4.9", 394, 396},
	{"4.11", 397, 397}, // statx
	{"4.18", 398, 398}, // rseq
	{"4.19", 399, 399}, // io_pgetevents
	{"5.1", 400, 401},  // migrate_pages, kexec_file_load
	{"5.1", 403, 414},  // those with a time of 64 bits
	{"5.1", 416, 423},
}

// tableOf is the table of an architecture, by its name in a stack or Go's.
func tableOf(arch string) (*table, error) {
	switch arch {
	case "amd64":
		return &table{audit: unix.EM_X86_64 | audit64, calls: callsAMD64, tmpfile: 0x410000,
			open: 2, openat: 257, fcntl: 72, fcntl64: without, prctl: 157, unshare: 272, setns: 308}, nil
	case "arm64":
		return &table{audit: unix.EM_AARCH64 | audit64, calls: callsARM64, tmpfile: 0x404000,
			open: without, openat: 56, fcntl: 25, fcntl64: without, prctl: 167, unshare: 97, setns: 268}, nil
	case "armv7", "arm":
		return &table{audit: unix.EM_ARM | audit32, calls: callsARM, tmpfile: 0x404000,
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
