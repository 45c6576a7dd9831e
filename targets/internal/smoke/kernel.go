package smoke

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	version "github.com/hashicorp/go-version"
	"golang.org/x/sys/unix"
)

// span is a range of system call numbers.
type span struct{ first, last uint32 }

// absent are the numbers and the flags that the kernel does not have; the last span has no end.
func (t *table) absent(kernel string) ([]span, []flag, error) {
	k, err := version.NewVersion(kernel)
	if err != nil || k.LessThan(version.Must(version.NewVersion(t.calls[0].since))) {
		return nil, nil, fmt.Errorf("-kernel: got %q, want a kernel release from %s on, such as 3.10", kernel,
			t.calls[0].since)
	}
	has := func(since string) bool { return k.GreaterThanOrEqual(version.Must(version.NewVersion(since))) }
	var missing []span
	end := uint32(0)
	for _, c := range slices.Concat(t.calls, calls("all"), t.private) {
		if !has(c.since) {
			continue
		}
		if uint32(c.first) > end {
			missing = append(missing, span{end, uint32(c.first) - 1})
		}
		end = uint32(c.last) + 1
	}
	unknown := slices.DeleteFunc(t.flags(), func(f flag) bool { return has(f.since) })
	return append(missing, span{end, 1<<32 - 1}), unknown, nil
}

// Known says why that kernel cannot be imitated on that architecture, by its name in a stack or Go's. The error is nil
// for this one's own ("") and those of the table.
func Known(kernel, arch string) error {
	if kernel == "" {
		return nil
	}
	t, err := tableOf(arch)
	if err == nil {
		_, _, err = t.absent(kernel)
	}
	return err
}

// program is a filter that answers ENOSYS to those numbers, to those flags what an older kernel answers, and lets all
// else pass. Calls of another architecture's table pass.
func (t *table) program(missing []span, unknown []flag) []unix.SockFilter {
	const nr, args = 0, 16 // in seccomp_data, in bytes
	load := func(off uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: off}
	}
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	p := []unix.SockFilter{
		load(4), // seccomp_data.arch
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: t.audit, Jt: 1},
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
	t, err := tableOf(runtime.GOARCH)
	if err != nil {
		return err
	}
	missing, unknown, err := t.absent(kernel)
	if err != nil {
		return err
	}
	p := t.program(missing, unknown)
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	err = unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
	if err != nil {
		return fmt.Errorf("seccomp filter of kernel %s: %w", kernel, err)
	}
	return nil
}

// Shows is what a run under such a filter shows, and what not.
func Shows(kernel string) string {
	return "every system call that vanilla Linux " + kernel + " does not have was answered with ENOSYS, to dockerd " +
		"and all below it, and so were newer flags of older calls that the stack is known to try; its cgroups, " +
		"overlay file system and namespaces were not imitated: they were this kernel's"
}
