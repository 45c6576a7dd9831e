package host

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"drydock/targets/internal/kernel"
	"drydock/targets/internal/run"

	version "github.com/hashicorp/go-version"
	"golang.org/x/sys/unix"
)

// Finding is one requirement held against the facts.
type Finding struct {
	Name  string `json:"name"`
	Need  string `json:"need"`
	Found string `json:"found"`
	OK    bool   `json:"ok"`
	Fix   string `json:"fix,omitempty"` // what to do; set when not OK, or as a remark
}

// Asks are what a set of components needs of the host.
type Asks struct {
	// Go are constraints by component, and Fetch the releases of the toolchains that "mage fetch" would bring.
	Go    map[string]string
	Fetch []string
	// C asks for a compiler, an assembler and a linker; Libc for one whose own static C library and headers serve.
	// Brings says what a stack has in their place.
	C, Libc bool
	Brings  string
	// Make asks for what libseccomp's configure needs: make and a shell.
	Make bool
	// Quota says that project quotas are wanted, Setns that runc's first stage is compiled.
	Quota, Setns bool
	Kernel       string // the oldest that may build
	// Disk is needed bytes below Dir, Memory needed bytes of memory.
	Dir          string
	Disk, Memory int64
	Epoch        int64 // a time that has passed, in seconds since 1970: the release's date
	// Isolation asks whether build steps can be confined: to try it starts a process.
	Isolation bool
	Writable  []string // directories that must take files, made or not
}

// Floors of the tools. gcc 4 built a runc that did not run; the recipe that drydock replaces asks for gcc 8.
const (
	minGCC  = "8"
	minMake = "3.80"
)

// Check holds the facts against what is asked. Everything is checked, not just up to the first failure.
func (f *Facts) Check(a Asks) []Finding {
	fs := append(f.checkGo(a), f.checkC(a)...)
	if a.Make {
		fs = append(fs, f.checkMake()...)
	}
	fs = append(fs, f.checkKernel(a.Kernel))
	return append(fs, checkMachine(a)...)
}

// held makes a finding; the remedy shows only when it does not hold.
func held(name, need, found string, ok bool, fix string) Finding {
	if ok {
		fix = ""
	}
	return Finding{name, need, cmp.Or(found, "none"), ok, fix}
}

func (f *Facts) checkGo(a Asks) []Finding {
	constraints := map[string][]string{}
	for c, k := range a.Go {
		constraints[k] = append(constraints[k], c)
	}
	var fs []Finding
	for _, k := range slices.Sorted(maps.Keys(constraints)) {
		cs := slices.Sorted(slices.Values(constraints[k]))
		fd := Finding{Name: "go (" + strings.Join(cs, ", ") + ")", Need: k, Found: "none"}
		g, passed := f.Pick(k)
		if g != nil {
			fd.Found, fd.OK = g.Version+" "+g.Path, true
		} else {
			fd.Found = cmp.Or(strings.Join(passed, "; "), "none")
			fix := "install a Go " + k + ", or name one"
			if i := slices.IndexFunc(a.Fetch, func(r string) bool { return meets(r, k) }); i >= 0 {
				fix = "\"mage fetch\" on a connected machine brings Go " + a.Fetch[i] +
					" into vendor-sources/; or name a Go " + k
			}
			fd.Fix = fix + " with GO=<path of the go command>"
		}
		fs = append(fs, fd)
	}
	return fs
}

func (f *Facts) checkC(a Asks) []Finding {
	if !a.C {
		return nil
	}
	cc := f.Compiler(a.Libc)
	found := strings.TrimSpace(cc.Version + " " + cc.Path)
	if cc.Problem != "" {
		found = strings.TrimSpace(found + " " + cc.Problem)
	}
	setting, gcc := f.Asked.cc()
	of := ""
	if f.Asked.Arch != "" {
		of = " (Debian: " + f.Asked.arch().GCC + ")"
	}
	fix := "install " + gcc + " " + minGCC + " or newer" + of + ", or name one with " + setting + "=<path>"
	if len(cc.Passed) > 0 {
		fix += "; passed over: " + strings.Join(cc.Passed, "; ")
	}
	fs := []Finding{held(gcc, ">= "+minGCC, found, cc.Problem == "" && !tooOld(cc.Version, minGCC), fix)}
	if cc.Problem == "" {
		for _, p := range probes {
			if p.bare == a.Libc || p.ask != nil && !p.ask(a) {
				continue
			}
			why, failed := cc.Fails[p.name]
			remedy := p.fix
			if f.Asked.Arch != "" {
				remedy = "install a " + gcc + " with its own libgcc.a and binutils" + of +
					", or fix what the compiler says"
			}
			fd := held(p.name, p.need, "yes", !failed, remedy)
			if failed {
				fd.Found = why
			}
			if p.lacking != "" {
				fd.Need += " (optional)"
				if failed {
					fd.OK, fd.Fix = true, p.lacking
				}
			}
			fs = append(fs, fd)
		}
	}
	if !a.Libc {
		own := Finding{Name: "C library, kernel headers", Need: "the stack's own: " + a.Brings,
			Found: "this host's are not used", OK: true}
		if f.Asked.KernelHeaders != "" {
			own.Fix = "KERNEL_HEADERS is not used either: this stack brings its headers"
		}
		fs = append(fs, own)
	}
	fs = append(fs, held("ar", "found and runs", f.AR, f.AR != "", "install binutils"))
	if f.Asked.Arch == "" {
		return fs
	}
	return append(fs, f.checkCross(a)...)
}

// checkCross asks what a build for another machine needs beside its compiler.
func (f *Facts) checkCross(a Asks) []Finding {
	emulator := "qemu-" + f.Asked.arch().Qemu
	run := held(emulator, "runs what is built (optional)", f.Emulator, true, "")
	if f.Emulator == "" {
		run.Fix = "the files are not asked for their versions: install it (Debian: qemu-user-static)"
	}
	found := map[bool]string{true: "this host's", false: "yes"}[a.Libc]
	return []Finding{run, held("C library for "+f.Asked.Arch, "the stack's own", found, !a.Libc,
		"this host's C library is of its own machine: want a stack that brings one, or LIBC=musl")}
}

func (f *Facts) checkMake() []Finding {
	return []Finding{
		held("make", ">= "+minMake, strings.TrimSpace(f.MakeV+" "+f.Make), f.MakeV != "" && !tooOld(f.MakeV, minMake),
			"install GNU make "+minMake+" or newer, first in PATH"),
		held("shell", "can run configure", f.Shell, f.Shell != "", "install a POSIX shell: /bin/sh, bash, dash or ksh"),
	}
}

func (f *Facts) checkKernel(least string) Finding {
	kv, err := kernel.Version(f.Kernel)
	want, err2 := version.NewVersion(least)
	return held("kernel", ">= "+least, f.Kernel, err == nil && err2 == nil && kv.GreaterThanOrEqual(want.Core()),
		"the outputs could not be run and proved here: build on a host with the stack's kernel or a newer one")
}

// checkMachine asks what changes from run to run, so nothing of it is cached.
func checkMachine(a Asks) []Finding {
	free := freeBytes(a.Dir)
	fs := []Finding{held("disk", gib(a.Disk), gib(free)+" free", free >= a.Disk,
		"make room in "+a.Dir+" (\"mage clean\" removes what can be made again)")}
	if a.Memory > 0 {
		m := FreeMemory()
		fs = append(fs, held("memory", gib(a.Memory)+" (optional)", gib(m)+" free", true, ""))
		if m < a.Memory {
			fs[1].Fix = "a link needs that much: it will swap, or the kernel will end it; stop what else runs here"
		}
	}
	now := time.Now()
	after := "after " + time.Unix(a.Epoch, 0).UTC().Format(time.DateOnly)
	fs = append(fs, held("clock", after, now.UTC().Format(time.DateTime), now.Unix() >= a.Epoch,
		"set the clock: make and the compile cache believe file times"))
	for _, d := range a.Writable {
		near := nearest(d)
		err := unix.Access(near, unix.W_OK|unix.X_OK)
		found := "yes"
		if err != nil {
			found = near + ": " + err.Error()
		}
		fs = append(fs, held("writable "+filepath.Base(d), "files can be made", found, err == nil,
			"give this user "+near+", or copy drydock to a directory that is yours"))
	}
	fs = append(fs, checkFiles(a.Writable)...)
	fs = append(fs, checkNoexec(a.Writable), checkPath(a.Dir, a.C || a.Make))
	if !a.Isolation {
		return fs
	}
	return append(fs, checkIsolation()...)
}

// isolated are the parts of what confines build steps, as a person reads them.
var isolated = map[string]string{
	run.Network:    "no network",
	run.Processes:  "no process in sight but a step's own",
	run.Files:      "no files but a step's own and, to read, its tools",
	run.User:       "another user, where root builds",
	run.Privileges: "no capabilities, a filter of system calls",
}

func checkIsolation() []Finding {
	iso := run.Isolated()
	var fs []Finding
	for _, p := range run.Parts {
		why, refused := iso.Refused[p]
		fd := held("isolation: "+p, isolated[p], cmp.Or(why, "yes"), !refused,
			"build as root, or allow user namespaces; "+
				"ISOLATION=best-effort builds without, and trusts the sources with the rest")
		if p == run.User && !refused && os.Geteuid() != 0 {
			fd.Found = "yes: you are not root"
		}
		if refused && run.BestEffort() {
			fd.OK, fd.Need = true, fd.Need+" (ISOLATION=best-effort)"
		}
		fs = append(fs, fd)
	}
	return fs
}

// checkFiles makes a few files in the last of the directories, which is there, and looks what became of them.
func checkFiles(dirs []string) []Finding {
	if len(dirs) == 0 {
		return nil
	}
	mode, mcase := "no file could be made", "no file could be made"
	if tmp, err := os.MkdirTemp(nearest(dirs[len(dirs)-1]), ".probe-"); err == nil {
		defer os.RemoveAll(tmp)
		err := errors.Join(os.WriteFile(tmp+"/a", nil, 0o755), os.WriteFile(tmp+"/A", []byte("A"), 0o644))
		a, erra := os.Stat(tmp + "/a")
		if err = errors.Join(err, erra); err != nil {
			mode, mcase = err.Error(), err.Error()
		} else {
			mode = fmt.Sprintf("%04o", a.Mode().Perm())
			if mcase = "yes"; a.Size() != 0 {
				mcase = "no: a and A are one file"
			}
		}
	}
	return []Finding{
		held("file modes", "0755 stays (umask, mount options)", mode, mode == "0755",
			"work on a file system that keeps modes (not vfat or a share that forces them)"),
		held("case-sensitive files", "a is not A", mcase, mcase == "yes",
			"work on a case-sensitive file system: upstream trees have names that differ in case only"),
	}
}

// checkNoexec asks of each directory whether its programs can be started: what is built is run, in all of them.
func checkNoexec(dirs []string) Finding {
	var bad []string
	for _, d := range dirs {
		if noexec(nearest(d)) {
			bad = append(bad, d+" (mounted at "+mountOf(nearest(d))+")")
		}
	}
	return held("programs", "can be started where they are built", cmp.Or(strings.Join(bad, ", "), "yes"), bad == nil,
		"mount that file system without noexec (mount -o remount,exec), or copy drydock to another one")
}

// special are the characters, besides blanks, in a path that configure, make, a shell or gcc's specs misunderstand.
const special = "\"#$%&'();<>\\`|"

// checkPath asks whether the path of a directory, and the one that it is a link to, can stand in lists of directories;
// Go takes no line's end either. With c it must serve in makefiles, whose words are words of a shell, too: there [, *
// and ? are taken for the path itself, unless another one fits as well.
func checkPath(dir string, c bool) Finding {
	need := "no colon, no control character"
	bad := func(r rune) bool { return r == ':' || r != '\t' && unicode.IsControl(r) }
	if c {
		need, bad = need+", no blank, none of "+special, func(r rune) bool {
			return r == ':' || unicode.IsControl(r) || unicode.IsSpace(r) || strings.ContainsRune(special, r)
		}
	}
	found := ""
	near := nearest(dir)
	for _, p := range []string{dir, resolved(near) + strings.TrimPrefix(dir, near)} {
		if i := strings.IndexFunc(p, bad); i >= 0 {
			r, _ := utf8.DecodeRuneInString(p[i:])
			found = fmt.Sprintf("%q in %q", r, p)
			break
		}
		if other := fits(p); c && other != "" {
			found = fmt.Sprintf("%q, and %q fits it as a pattern", p, other)
			break
		}
	}
	return held("path", need, cmp.Or(found, "yes"), found == "",
		"move drydock to a directory with a plain name: compilers, configure and make cannot work below this one")
}

// fits returns a path that exists, is another one, and fits a path that is taken for a shell's pattern.
func fits(p string) string {
	for d := p; d != filepath.Dir(d); d = filepath.Dir(d) {
		if !strings.ContainsAny(filepath.Base(d), "[*?") {
			continue
		}
		es, _ := os.ReadDir(filepath.Dir(d))
		for _, e := range es {
			if ok, _ := filepath.Match(filepath.Base(d), e.Name()); ok && e.Name() != filepath.Base(d) {
				return filepath.Join(filepath.Dir(d), e.Name())
			}
		}
	}
	return ""
}

// noexec reports whether a file lies on a file system whose programs cannot be started.
func noexec(file string) bool {
	const stNoexec = 8 // ST_NOEXEC of statvfs(3)
	var st unix.Statfs_t
	return unix.Statfs(file, &st) == nil && st.Flags&stNoexec != 0
}

// mountOf returns the directory that a file's file system is mounted at; the file itself where nothing says so.
func mountOf(file string) string {
	at := file
	file = resolved(file)
	data, _ := os.ReadFile("/proc/self/mountinfo")
	best := ""
	for line := range strings.Lines(string(data)) {
		// 36 35 98:0 /root /mounted/at rw,noexec …; of mounts over each other the last is seen.
		if f := strings.Fields(line); len(f) > 4 {
			d := run.Unescape(f[4])
			if len(d) >= len(best) && (file == d || strings.HasPrefix(file, strings.TrimSuffix(d, "/")+"/")) {
				best = d
			}
		}
	}
	return cmp.Or(best, at)
}

// nearest is the directory itself, or the first above it that is there.
func nearest(dir string) string {
	for !isDir(dir) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	return dir
}

// gib writes bytes as a person reads them.
func gib(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }

// freeBytes asks the nearest directory that exists.
func freeBytes(dir string) int64 {
	var st unix.Statfs_t
	if unix.Statfs(nearest(dir), &st) != nil {
		return 0
	}
	return int64(st.Bavail) * st.Bsize
}

// FreeMemory is what the kernel says is available, in bytes; before Linux 3.14, which does not say, what is free or
// holds files that can be read again.
func FreeMemory() int64 {
	data, _ := os.ReadFile("/proc/meminfo")
	return available(string(data))
}

// available reads /proc/meminfo; very much when there is nothing in it, for then nothing should wait for memory.
func available(meminfo string) int64 {
	kb := map[string]int64{}
	for line := range strings.Lines(meminfo) {
		var n int64
		if name, rest, ok := strings.Cut(line, ":"); ok {
			if k, _ := fmt.Sscanf(rest, "%d kB", &n); k == 1 {
				kb[name] = n
			}
		}
	}
	if n, ok := kb["MemAvailable"]; ok {
		return n << 10
	}
	if n := kb["MemFree"] + kb["Buffers"] + kb["Cached"]; n > 0 {
		return n << 10
	}
	return 1 << 62
}
