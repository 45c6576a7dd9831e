package smoke

import (
	"regexp"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// answers runs a filter on one call, as the kernel does: 0 lets it pass.
func answers(t *testing.T, p []unix.SockFilter, arch, nr uint32, args ...uint32) unix.Errno {
	t.Helper()
	data := map[uint32]uint32{0: nr, 4: arch}
	for i, a := range args {
		data[uint32(16+8*i)] = a
	}
	var a uint32
	jump := func(in unix.SockFilter, holds bool) int {
		if holds {
			return int(in.Jt)
		}
		return int(in.Jf)
	}
	for pc := 0; pc < len(p); pc++ {
		switch in := p[pc]; in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = data[in.K]
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= in.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			pc += jump(in, a == in.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			pc += jump(in, a >= in.K)
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			pc += jump(in, a > in.K)
		case unix.BPF_RET | unix.BPF_K:
			if in.K == unix.SECCOMP_RET_ALLOW {
				return 0
			}
			return unix.Errno(in.K & unix.SECCOMP_RET_DATA)
		default:
			t.Fatalf("instruction %d: code %#x is unknown", pc, in.Code)
		}
	}
	t.Fatal("the filter has no end")
	return 0
}

func TestTheFilterAnswersAsTheKernelWould(t *testing.T) {
	const i386, auditX86 = 0x40000003, 0xc000003e
	amd64, err := tableOf("amd64")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, kernel string
		arch, nr     uint32
		args         []uint32
		want         unix.Errno
	}{
		{"read", "3.2", auditX86, unix.SYS_READ, nil, 0},
		{"kcmp on 3.2", "3.2", auditX86, unix.SYS_KCMP, nil, unix.ENOSYS},
		{"kcmp on 3.10", "3.10", auditX86, unix.SYS_KCMP, nil, 0},
		{"the last of 3.10", "3.10", auditX86, unix.SYS_FINIT_MODULE, nil, 0},
		{"the first after 3.10", "3.10", auditX86, unix.SYS_SCHED_SETATTR, nil, unix.ENOSYS},
		{"of today", "3.10", auditX86, unix.SYS_CLONE3, nil, unix.ENOSYS},
		{"of the x32 table", "3.10", auditX86, 0x40000000, nil, unix.ENOSYS},
		{"of another architecture", "3.10", i386, 435, nil, 0},
		{"seccomp on 3.17.1", "3.17.1", auditX86, unix.SYS_SECCOMP, nil, 0},
		{"a number that was never given", "6.18", auditX86, 400, nil, unix.ENOSYS},
		{"close_range came after openat2", "5.6", auditX86, unix.SYS_CLOSE_RANGE, nil, unix.ENOSYS},
		{"openat2 came before close_range", "5.6", auditX86, unix.SYS_OPENAT2, nil, 0},
		{"both are there", "5.9", auditX86, unix.SYS_CLOSE_RANGE, nil, 0},
		{"open a file", "3.10", auditX86, unix.SYS_OPENAT, []uint32{0, 0, unix.O_RDWR}, 0},
		{"open a directory", "3.10", auditX86, unix.SYS_OPENAT, []uint32{0, 0, unix.O_DIRECTORY}, 0},
		{"O_TMPFILE", "3.10", auditX86, unix.SYS_OPENAT, []uint32{0, 0, unix.O_TMPFILE | unix.O_RDWR}, unix.EISDIR},
		{"O_TMPFILE on 3.11", "3.11", auditX86, unix.SYS_OPENAT, []uint32{0, 0, unix.O_TMPFILE | unix.O_RDWR}, 0},
		{"fcntl", "3.10", auditX86, unix.SYS_FCNTL, []uint32{5, unix.F_GETFD}, 0},
		{"seals", "3.10", auditX86, unix.SYS_FCNTL, []uint32{5, unix.F_GET_SEALS}, unix.EINVAL},
		{"a cgroup namespace among others", "3.10", auditX86, unix.SYS_UNSHARE,
			[]uint32{unix.CLONE_NEWCGROUP | unix.CLONE_NEWNS}, unix.EINVAL},
	} {
		missing, unknown, err := amd64.absent(c.kernel)
		if err != nil {
			t.Fatal(err)
		}
		if got := answers(t, amd64.program(missing, unknown), c.arch, c.nr, c.args...); got != c.want {
			t.Errorf("%s (kernel %s): got %v, want %v", c.name, c.kernel, got, c.want)
		}
	}
}

// The numbers are those of the kernels' headers: include/uapi/asm-generic/unistd.h and arch/arm/tools/syscall.tbl.
func TestTheFilterAnswersAsTheKernelsOfOtherProcessorsWould(t *testing.T) {
	const arm64, arm, amd64 = 0xc00000b7, 0x40000028, 0xc000003e
	for _, c := range []struct {
		name, arch, kernel string
		audit, nr          uint32
		args               []uint32
		want               unix.Errno
	}{
		{"read", "arm64", "3.7", arm64, 63, nil, 0},
		{"finit_module on 3.7", "arm64", "3.7", arm64, 273, nil, unix.ENOSYS},
		{"the last of 3.10", "arm64", "3.10", arm64, 273, nil, 0},
		{"the first after 3.10", "arm64", "3.10", arm64, 274, nil, unix.ENOSYS},
		{"memfd_create", "arm64", "3.10", arm64, 279, nil, unix.ENOSYS},
		{"memfd_create on 3.17", "arm64", "3.17", arm64, 279, nil, 0},
		{"statx", "arm64", "4.4", arm64, 291, nil, unix.ENOSYS},
		{"clone3", "arm64", "3.10", arm64, 435, nil, unix.ENOSYS},
		{"a number that was never given", "arm64", "6.18", arm64, 300, nil, unix.ENOSYS},
		{"of another architecture", "arm64", "3.10", amd64, 435, nil, 0},
		{"open a directory", "arm64", "3.10", arm64, 56, []uint32{0, 0, 0x4000}, 0},
		{"O_TMPFILE", "arm64", "3.10", arm64, 56, []uint32{0, 0, 0x404002}, unix.EISDIR},
		{"seals", "arm64", "3.10", arm64, 25, []uint32{5, unix.F_GET_SEALS}, unix.EINVAL},
		{"ambient capabilities", "arm64", "3.10", arm64, 167, []uint32{unix.PR_CAP_AMBIENT}, unix.EINVAL},
		{"a cgroup namespace", "arm64", "3.10", arm64, 97, []uint32{unix.CLONE_NEWCGROUP}, unix.EINVAL},
		{"read", "arm", "3.2", arm, 3, nil, 0},
		{"kcmp came after finit_module", "armv7", "3.8", arm, 378, nil, unix.ENOSYS},
		{"finit_module came before kcmp", "armv7", "3.8", arm, 379, nil, 0},
		{"both are there", "armv7", "3.10", arm, 378, nil, 0},
		{"the first after 3.10", "armv7", "3.10", arm, 380, nil, unix.ENOSYS},
		{"getrandom", "armv7", "3.10", arm, 384, nil, unix.ENOSYS},
		{"getrandom on 3.17", "armv7", "3.17", arm, 384, nil, 0},
		{"io_pgetevents came after rseq", "armv7", "4.18", arm, 399, nil, unix.ENOSYS},
		{"rseq came before io_pgetevents", "armv7", "4.18", arm, 398, nil, 0},
		{"a time of 64 bits", "armv7", "5.0", arm, 403, nil, unix.ENOSYS},
		{"a time of 64 bits on 5.1", "armv7", "5.1", arm, 403, nil, 0},
		{"cacheflush", "armv7", "3.10", arm, 0xf0002, nil, 0},
		{"set_tls", "armv7", "3.10", arm, 0xf0005, nil, 0},
		{"above all", "armv7", "3.10", arm, 0xf0007, nil, unix.ENOSYS},
		{"open with O_TMPFILE", "armv7", "3.10", arm, 5, []uint32{0, 0x404002}, unix.EISDIR},
		{"seals by fcntl64", "armv7", "3.10", arm, 221, []uint32{5, unix.F_ADD_SEALS}, unix.EINVAL},
	} {
		table, err := tableOf(c.arch)
		if err != nil {
			t.Fatal(err)
		}
		missing, unknown, err := table.absent(c.kernel)
		if err != nil {
			t.Fatal(err)
		}
		if got := answers(t, table.program(missing, unknown), c.audit, c.nr, c.args...); got != c.want {
			t.Errorf("%s (%s, kernel %s): got %v, want %v", c.name, c.arch, c.kernel, got, c.want)
		}
	}
}

func TestKernelsThatAreNotKnownAreRefused(t *testing.T) {
	for _, c := range [][2]string{{"2.6.32", "amd64"}, {"newest", "amd64"}, {"3.4", "arm64"}, {"3.0", "armv7"},
		{"3.10", "riscv64"}} {
		if err := Known(c[0], c[1]); err == nil {
			t.Errorf("kernel %s on %s: got no error", c[0], c[1])
		}
	}
}

func TestTheTablesOfCallsAreInOrder(t *testing.T) {
	read := len(calls("all")) + len(calls("amd64")) + len(calls("arm64")) + len(calls("armv7"))
	if rows := len(regexp.MustCompile(`(?m)^[^#\n]`).FindAllString(callsText, -1)); read != rows {
		t.Errorf("calls.txt: got %d rows, want all %d", read, rows)
	}
	for _, arch := range []string{"amd64", "arm64", "armv7"} {
		table, err := tableOf(arch)
		if err != nil {
			t.Fatal(err)
		}
		calls := slices.Concat(table.calls, calls("all"), table.private)
		for i := 1; i < len(calls); i++ {
			if calls[i].first <= calls[i-1].last || calls[i].last < calls[i].first {
				t.Errorf("%s: row %d: got %v after %v", arch, i, calls[i], calls[i-1])
			}
		}
	}
}
