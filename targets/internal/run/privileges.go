package run

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dropBounding empties the set of what a program could ever get. Who may not do that cannot gain from it either: see
// dropPrivileges.
func dropBounding() error {
	for c := uintptr(0); ; c++ {
		switch err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err {
		case nil, unix.EPERM:
		case unix.EINVAL: // past the last that this kernel knows
			return nil
		default:
			return fmt.Errorf("empty the bounding set: %w", err)
		}
	}
}

// dropPrivileges gives up every capability, and the chance to get one from a file, and puts this thread under a
// filter of system calls.
func dropPrivileges() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs (Linux 3.5): %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("drop the capabilities: %w", err)
	}
	p := filter()
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	// Kernels from 4.17 to 5.15 make every process under a filter slower against attacks between processes that share
	// memory; the flag says that this is not asked for. Older ones know neither.
	const flag = unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	at := unsafe.Pointer(&prog)
	if _, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flag, uintptr(at)); errno == 0 {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(at), 0, 0); err != nil {
		return fmt.Errorf("a filter of system calls (CONFIG_SECCOMP_FILTER): %w", err)
	}
	return nil
}

// denied are system calls that no build needs, and that have been ways into a kernel for those who have no privileges
// at all; and those that make mounts and namespaces.
var denied = []uint32{unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_SETNS,
	unix.SYS_UNSHARE, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_KEYCTL,
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSMOUNT,
	unix.SYS_PIDFD_GETFD, unix.SYS_MOUNT_SETATTR}

// unknown are answered as by a kernel that lacks them: clone3's flags and io_uring's commands are out of a filter's
// sight, and everybody can do without both.
var unknown = []uint32{unix.SYS_CLONE3, unix.SYS_IO_URING_SETUP}

// The same, where a 64-bit x86 runs a 32-bit compiler, by that machine's numbers
// (arch/x86/entry/syscalls/syscall_32.tbl of Linux); with socket and socketcall, which hides its arguments.
var (
	denied386 = []uint32{21, 22, 52, 217, 61, 346, 310, 26, 347, 348, 288, 286, 287, 357, 336, 374, 342, 428, 429, 430,
		432, 438, 442, 102, 359}
	unknown386 = []uint32{435, 425}
)

const (
	clone386 = 120
	// From linux/audit.h: the machine's number in ELF, and flags for 64 bits and little endian.
	audit64, audit386 = 0xc0000000, 0x40000003
)

func jump(op uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | op | unix.BPF_K, K: k, Jt: yes, Jf: no}
}

// filter answers EPERM to what is denied and to a clone with a user namespace of its own, EAFNOSUPPORT to a socket
// that is not of the internet's (unix, netlink, vsock and so on: a network namespace does not hold all of these), and
// lets the rest pass.
func filter() []unix.SockFilter {
	const nr, arch, arg0 = 0, 4, 16 // offsets in seccomp_data, in bytes; of an argument the lower half counts
	load := func(off uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: off}
	}
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	refuse := func(errno unix.Errno) unix.SockFilter { return ret(unix.SECCOMP_RET_ERRNO | uint32(errno)) }
	allow := ret(unix.SECCOMP_RET_ALLOW)
	table := func(denied, unknown []uint32, clone uint32) []unix.SockFilter {
		p := []unix.SockFilter{load(nr)}
		for _, n := range denied {
			p = append(p, jump(unix.BPF_JEQ, n, 0, 1), refuse(unix.EPERM))
		}
		for _, n := range unknown {
			p = append(p, jump(unix.BPF_JEQ, n, 0, 1), refuse(unix.ENOSYS))
		}
		return append(p, jump(unix.BPF_JEQ, clone, 0, 4), load(arg0), jump(unix.BPF_JSET, unix.CLONE_NEWUSER, 0, 1),
			refuse(unix.EPERM), allow)
	}
	var native []unix.SockFilter
	machine := uint32(unix.EM_AARCH64 | audit64)
	if runtime.GOARCH == "amd64" {
		machine = unix.EM_X86_64 | audit64
		native = append(native, load(nr), jump(unix.BPF_JGE, 1<<30, 0, 1), refuse(unix.ENOSYS)) // x32's numbers
	}
	native = append(native, table(denied, unknown, unix.SYS_CLONE)...)
	native = append(native, jump(unix.BPF_JEQ, unix.SYS_SOCKET, 1, 0), allow, load(arg0),
		jump(unix.BPF_JEQ, unix.AF_INET, 1, 0), jump(unix.BPF_JEQ, unix.AF_INET6, 0, 1), allow,
		refuse(unix.EAFNOSUPPORT))
	p := []unix.SockFilter{load(arch), jump(unix.BPF_JEQ, machine, 0, uint8(len(native)))}
	p = append(p, native...)
	if runtime.GOARCH == "amd64" {
		p = append(p, jump(unix.BPF_JEQ, audit386, 1, 0), refuse(unix.ENOSYS))
		return append(append(p, table(denied386, unknown386, clone386)...), allow)
	}
	return append(p, refuse(unix.ENOSYS))
}
