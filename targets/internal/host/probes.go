package host

import (
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"drydock/targets/internal/run"
)

// The probes that others ask for by name.
const (
	StaticLibc   = "static C library"
	StaticPIE    = "static-pie"
	QuotaHeaders = "kernel headers"
	SetnsNumber  = "__NR_setns"
	BarePIE      = "static-pie without a C library"
)

// probe is a program that the compiler must be able to make.
type probe struct {
	name, need string
	src        string
	flags      []string
	bare       bool   // asked for a stack that brings its C library; the others for one that takes the host's
	run        bool   // and which must run, without an interpreter
	group      string // of probes that are tried as one program first; see joined
	lacking    string // what happens without it, for one that is not required; empty for one that is
	fix        string
	ask        func(Asks) bool // when it matters; nil is always
}

var probes = []probe{
	{name: StaticLibc, group: "static", need: "libc.a that links and runs", run: true, flags: []string{"-static"},
		src: "#include <stdio.h>\n#include <stdlib.h>\nint main(void){return puts(\"hello\")<0;}\n",
		fix: "install the C library's static archive (Debian: libc6-dev, Red Hat: glibc-static), " +
			"or fix what the linker says"},
	{name: "static libpthread", group: "static", need: "threads in a static program", run: true,
		flags: []string{"-static", "-pthread"},
		src: "#include <pthread.h>\nstatic void *f(void *p){return p;}\n" +
			"int main(void){pthread_t t;return pthread_create(&t,0,f,0)||pthread_join(t,0);}\n",
		fix: "install the C library's static archive: libpthread.a is missing"},
	{name: "static libdl", group: "static", need: "libdl.a", run: true, flags: []string{"-static"},
		src:     "#include <dlfcn.h>\nint main(void){return dlerror()!=0;}\n//-ldl",
		lacking: "no component is linked with it"},
	{name: StaticPIE, need: "rcrt1.o", run: true, flags: []string{"-static-pie", "-fPIE"},
		src:     "#include <stdio.h>\nint main(void){return puts(\"hello\")<0;}\n",
		lacking: "runc is linked plain static (glibc before 2.26 has no rcrt1.o)"},
	{name: "setns", group: "headers", need: "setns() in the C library",
		src:     "#define _GNU_SOURCE\n#include <sched.h>\nint main(void){return setns(-1,0)!=-1;}\n",
		lacking: "runc calls it by its number"},
	{name: SetnsNumber, group: "headers", need: "sys/syscall.h knows it",
		src: "#include <sys/syscall.h>\nint n[__NR_setns];int main(void){return 0;}\n",
		fix: "install newer kernel headers (3.0), or name others with KERNEL_HEADERS=<dir>",
		ask: func(a Asks) bool { return a.Setns }},
	{name: "SYS_memfd_create", group: "headers", need: "sys/syscall.h knows it",
		src:     "#include <sys/syscall.h>\nint n[SYS_memfd_create];int main(void){return 0;}\n",
		lacking: "runc copies itself into a file, not into memory"},
	{name: "PR_SET_CHILD_SUBREAPER", group: "headers", need: "sys/prctl.h knows it",
		src:     "#include <sys/prctl.h>\nint n[PR_SET_CHILD_SUBREAPER];int main(void){return 0;}\n",
		lacking: "docker-init is told the number"},
	{name: QuotaHeaders, group: "headers", need: "linux/quota.h, linux/dqblk_xfs.h",
		src: "#include <linux/types.h>\n#include <linux/quota.h>\n#include <linux/dqblk_xfs.h>\n" +
			"int main(void){return sizeof(struct fs_disk_quota)==0;}\n",
		lacking: "dockerd is built without XFS project quotas; install the kernel's headers to keep them, " +
			"or name some with KERNEL_HEADERS=<dir>",
		ask: func(a Asks) bool { return a.Quota }},
	{name: "-fstack-protector", group: "static", need: "compiles and links", run: true,
		flags: []string{"-static", "-fstack-protector", "-O2"},
		src:   "#include <string.h>\nint main(int c,char**v){char b[64];strncpy(b,v[0],63);return b[0]==0&&c>9;}\n",
		fix:   "install a gcc with libssp, or a C library that has __stack_chk_fail"},
	{name: "program without a C library", need: "compiles, assembles, links and runs", bare: true, run: true,
		flags: []string{"-nostdinc", "-ffreestanding", "-nostdlib", "-static"},
		src:   exits,
		fix:   "install gcc's own libgcc.a (Debian: libgcc-dev) and binutils, or fix what the compiler says"},
	{name: BarePIE, need: "a linker that knows --no-dynamic-linker", bare: true, run: true,
		flags: []string{"-nostdinc", "-ffreestanding", "-nostdlib", "-static-pie", "-fPIE"},
		src:   exits, lacking: "runc and docker-init are linked plain static"},
}

// exits is a whole program: exit(0), as the table of architectures has it.
const exits = "void _start(void){__asm__ volatile(\"EXITS\");}\n//-lgcc"

// joined is one program for all probes of a group. Most machines pass them all, and a look at one takes half the time
// then.
var joined = map[string]probe{
	"static": {run: true, flags: []string{"-static", "-pthread", "-fstack-protector", "-O2"},
		src: "#include <dlfcn.h>\n#include <pthread.h>\n#include <stdio.h>\n#include <stdlib.h>\n" +
			"#include <string.h>\nstatic void *f(void *p){return p;}\n" +
			"int main(int c,char**v){pthread_t t;char b[64];strncpy(b,v[0],63);" +
			"return pthread_create(&t,0,f,0)||pthread_join(t,0)||dlerror()!=0||" +
			"puts(\"hello\")<0||(b[0]==0&&c>9);}\n//-ldl"},
	"headers": {src: "#define _GNU_SOURCE\n#include <sched.h>\n#include <sys/prctl.h>\n#include <sys/syscall.h>\n" +
		"#include <linux/types.h>\n#include <linux/quota.h>\n#include <linux/dqblk_xfs.h>\n" +
		"int n[__NR_setns],m[SYS_memfd_create],s[PR_SET_CHILD_SUBREAPER];\n" +
		"int main(void){return setns(-1,0)!=-1||sizeof(struct fs_disk_quota)==0;}\n"},
}

// grouped returns the probes by group; who has none is alone.
func grouped() map[string][]probe {
	groups := map[string][]probe{}
	for i, p := range probes {
		name := cmp.Or(p.group, strconv.Itoa(i))
		groups[name] = append(groups[name], p)
	}
	return groups
}

// tryAll tries the probes of a group, as one program or, where that fails, each by itself. It returns what went wrong
// with each that failed.
func (f *Facts) tryAll(ctx context.Context, cc, bin string, members []probe, include []string) map[string]string {
	if all, ok := joined[members[0].group]; ok && f.try(ctx, cc, bin, all, include) == "" {
		return nil
	}
	fails := map[string]string{}
	for i, p := range members {
		if why := f.try(ctx, cc, bin+strconv.Itoa(i), p, include); why != "" {
			fails[p.name] = why
		}
	}
	return fails
}

// try makes one program and runs it where it is to be run; it gives the first line of what went wrong.
func (f *Facts) try(ctx context.Context, cc, bin string, p probe, include []string) string {
	src, lib, _ := strings.Cut(strings.ReplaceAll(p.src, "EXITS", f.Asked.arch().Exits), "//")
	if err := os.WriteFile(bin+".c", []byte(src), 0o644); err != nil {
		return err.Error()
	}
	if p.bare {
		include = nil
	}
	argv := slices.Concat([]string{cc}, include, p.flags, []string{"-o", bin, bin + ".c"})
	if lib != "" {
		argv = append(argv, lib)
	}
	out, err := f.ask(ctx, argv...)
	if err != nil {
		return firstError(out, err)
	}
	if !p.run {
		return ""
	}
	e, err := elf.Open(bin)
	if err != nil {
		return "it made no program: " + err.Error()
	}
	defer e.Close()
	if slices.ContainsFunc(e.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return "it linked dynamically without a word"
	}
	argv = []string{bin}
	if f.Asked.Arch != "" {
		if why := f.Asked.arch().Mismatch(bin); why != "" {
			return "it compiles for another machine than " + f.Asked.Arch + ": " + why
		}
		if f.Emulator == "" {
			return ""
		}
		argv = []string{f.Emulator, bin}
	}
	if out, err := f.ask(ctx, argv...); errors.Is(err, fs.ErrPermission) && noexec(bin) {
		f.mu.Lock()
		f.unsure = true // of the compiler nothing is known; the check tells of the mount
		f.mu.Unlock()
	} else if err != nil {
		return "the program does not run: " + firstError(out, err)
	}
	return ""
}

func firstError(out string, err error) string {
	lines := strings.Split(out, "\n")
	for _, word := range []string{"error", "cannot", "undefined"} {
		for _, l := range lines {
			if strings.Contains(l, word) {
				return strings.TrimSpace(l)
			}
		}
	}
	var re *run.Error
	if errors.As(err, &re) {
		err = re.Err
	}
	return cmp.Or(lines[0], err.Error())
}
