package smoke

import (
	"fmt"
	"runtime"
	"unsafe"

	version "github.com/hashicorp/go-version"
	"golang.org/x/sys/unix"
)

// calls is when x86-64 got its system calls: the numbers up to last are there since that kernel. Numbers are given in
// the order of merging, which is not always that of the releases, so a row says from where to where.
// From arch/x86/entry/syscalls/syscall_64.tbl of the kernels; 335 to 423 were never given.
var calls = []struct {
	since       string
	first, last int
}{
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
	{"5.1", 424, 427},  // pidfd_send_signal, io_uring
	{"5.2", 428, 433},  // the mount calls
	{"5.3", 434, 435},  // pidfd_open, clone3
	{"5.9", 436, 436},  // close_range
	{"5.6", 437, 438},  // openat2, pidfd_getfd
	{"5.8", 439, 439},  // faccessat2
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

// flag is an argument of a call that the kernel has had for long, by which newer kernels do something more.
type flag struct {
	since       string
	nr, arg     int
	mask, value uint32 // of the argument's lower half: it is that flag when argument & mask == value
	errno       unix.Errno
}

// flags are those that the parts of the stack try and do without.
var flags = []flag{
	// An open with O_TMPFILE looks to an older kernel like one of a directory for writing: the flag was chosen for that.
	{"3.11", unix.SYS_OPEN, 1, unix.O_TMPFILE, unix.O_TMPFILE, unix.EISDIR},
	{"3.11", unix.SYS_OPENAT, 2, unix.O_TMPFILE, unix.O_TMPFILE, unix.EISDIR},
	// Came with memfd_create. With the one and without the other, runc 1.1 executes itself for ever.
	{"3.17", unix.SYS_FCNTL, 1, 1<<32 - 1, unix.F_ADD_SEALS, unix.EINVAL},
	{"3.17", unix.SYS_FCNTL, 1, 1<<32 - 1, unix.F_GET_SEALS, unix.EINVAL},
	{"4.3", unix.SYS_PRCTL, 0, 1<<32 - 1, unix.PR_CAP_AMBIENT, unix.EINVAL},
	{"4.6", unix.SYS_UNSHARE, 0, unix.CLONE_NEWCGROUP, unix.CLONE_NEWCGROUP, unix.EINVAL},
	{"4.6", unix.SYS_SETNS, 1, 1<<32 - 1, unix.CLONE_NEWCGROUP, unix.EINVAL},
}

// span is a range of system call numbers.
type span struct{ first, last uint32 }

// absent are the numbers and the flags that the kernel does not have; the last span has no end.
func absent(kernel, arch string) ([]span, []flag, error) {
	if arch != "amd64" {
		return nil, nil, fmt.Errorf("the system calls of old kernels are known for amd64 only: %s numbers them in another order, and needs a table of its own (asm-generic/unistd.h for arm64): run without -kernel", arch)
	}
	k, err := version.NewVersion(kernel)
	if err != nil || k.LessThan(version.Must(version.NewVersion(calls[0].since))) {
		return nil, nil, fmt.Errorf("-kernel: got %q, want a kernel release from %s on, such as 3.10", kernel, calls[0].since)
	}
	var missing []span
	end := uint32(0)
	for _, c := range calls {
		if k.LessThan(version.Must(version.NewVersion(c.since))) {
			continue
		}
		if uint32(c.first) > end {
			missing = append(missing, span{end, uint32(c.first) - 1})
		}
		end = uint32(c.last) + 1
	}
	var unknown []flag
	for _, f := range flags {
		if k.LessThan(version.Must(version.NewVersion(f.since))) {
			unknown = append(unknown, f)
		}
	}
	return append(missing, span{end, 1<<32 - 1}), unknown, nil
}

// Known says why that kernel cannot be imitated on that architecture; nil for this one's own ("") and those of the table.
func Known(kernel, arch string) error {
	if kernel == "" {
		return nil
	}
	_, _, err := absent(kernel, arch)
	return err
}

// auditX86 is AUDIT_ARCH_X86_64, little endian and 64 bits.
const auditX86 = unix.EM_X86_64 | 0x80000000 | 0x40000000

// program is a filter that answers ENOSYS to those numbers, to those flags what an older kernel answers, and lets all
// else pass. It is for x86-64; calls of another
// architecture's table pass.
func program(missing []span, unknown []flag) []unix.SockFilter {
	const nr, args = 0, 16 // in seccomp_data, in bytes
	load := func(off uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: off}
	}
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	p := []unix.SockFilter{
		load(4), // seccomp_data.arch
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: auditX86, Jt: 1},
		ret(unix.SECCOMP_RET_ALLOW),
		load(nr),
	}
	for _, m := range missing {
		p = append(p,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: m.first, Jf: 2},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, K: m.last, Jt: 1},
			ret(unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS)))
	}
	for _, f := range unknown {
		p = append(p,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(f.nr), Jf: 5},
			load(args+8*uint32(f.arg)),
			unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: f.mask},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: f.value, Jf: 1},
			ret(unix.SECCOMP_RET_ERRNO|uint32(f.errno)),
			load(nr))
	}
	return append(p, ret(unix.SECCOMP_RET_ALLOW))
}

// imitate puts this thread, and what it starts or becomes from here on, under the filter. It needs root: without
// no_new_privs, which containers would inherit and which would change what they may do.
func imitate(kernel string) error {
	missing, unknown, err := absent(kernel, runtime.GOARCH)
	if err != nil {
		return err
	}
	p := program(missing, unknown)
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0); err != nil {
		return fmt.Errorf("seccomp filter of kernel %s: %w", kernel, err)
	}
	return nil
}

// Shows is what a run under such a filter shows, and what not.
func Shows(kernel string) string {
	return "every system call that vanilla Linux " + kernel + " does not have was answered with ENOSYS, to dockerd and all below it, and so were newer flags of older calls " +
		"that the stack is known to try; its cgroups, overlay file system and namespaces were not imitated: they were this kernel's"
}
