package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/run"

	version "github.com/hashicorp/go-version"
)

// CC is a C compiler and what it was seen to do.
type CC struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	// ID is the digest over "cc -v", the assembler, the linker, the static C library and the headers of KERNEL_HEADERS;
	// of Facts.Bare, over the compiler, the assembler, the linker and what the compiler itself adds to a link.
	ID    string            `json:"id"`
	bare  string            // the second of these, while the facts are taken
	Fails map[string]string `json:"fails"` // by probe that failed: what the compiler or the program answered
	// Headers is the directory that KERNEL_HEADERS names, as the compiler wants it; empty without.
	Headers string `json:"headers,omitempty"`
	// Dirs are the directories in which it looks for its programs, libraries and headers.
	Dirs    []string `json:"dirs,omitempty"`
	Passed  []string `json:"passed,omitempty"`  // the compilers that were not taken, each with the reason
	Problem string   `json:"problem,omitempty"` // why it cannot be used at all; empty when it can
}

// Does reports whether the probe of that name compiled, linked and, where it is a program to run, ran.
func (c CC) Does(probe string) bool {
	_, failed := c.Fails[probe]
	return c.Problem == "" && c.ID != "" && !failed
}

var (
	versionRE = regexp.MustCompile(`\d+(\.\d+)+|\d+`)
	gccName   = regexp.MustCompile(`^(-\d+(\.\d+)*)?$`) // what follows "gcc"
)

// compilers lists the C compilers of this machine for the architecture: just CC= where that is set.
func (f *Facts) compilers() ([]string, error) {
	setting, gcc := f.Asked.cc()
	if name := f.Asked.CC; name != "" {
		if strings.Contains(name, "/") {
			return []string{name}, nil
		}
		if p := f.lookPath(name); p != "" {
			return []string{p}, nil
		}
		return nil, fmt.Errorf("%s=%s: not found in PATH=%s", setting, name, f.Asked.Path)
	}
	var found []string
	if p := f.lookPath(gcc); p != "" {
		found = append(found, p)
	}
	for d := range strings.SplitSeq(f.Asked.Path, ":") {
		f.stamp(d)
		found = append(found, archive.Glob(d, gcc+"-*")...)
	}
	f.stamp("/opt")
	found = append(found, archive.Glob("/opt", "*/bin/"+gcc)...)
	seen := map[string]bool{}
	found = slices.DeleteFunc(found, func(p string) bool {
		real, err := filepath.EvalSymlinks(p)
		drop := err != nil || seen[real] || !gccName.MatchString(strings.TrimPrefix(filepath.Base(p), gcc))
		seen[real] = true
		return drop
	})
	if len(found) == 0 {
		return nil, errors.New(gcc + ": none in PATH=" + f.Asked.Path + " or /opt/*/bin")
	}
	return found, nil
}

// Compiler is what compiles for the host's own C library, or for one that a stack brings.
func (f *Facts) Compiler(libc bool) *CC {
	if libc {
		return &f.CC
	}
	return &f.Bare
}

// findC takes the newest compiler that passes the required probes, for either C library; when none does, the newest.
func (f *Facts) findC(ctx context.Context) {
	f.Emulator = f.emulator()
	paths, err := f.compilers()
	if err != nil {
		f.CC = CC{Problem: err.Error()}
		f.Bare = f.CC
		return
	}
	ccs := make([]CC, len(paths))
	var wg sync.WaitGroup
	for i, p := range paths {
		wg.Go(func() { ccs[i] = f.askVersion(ctx, p) })
	}
	wg.Wait()
	slices.SortStableFunc(ccs, func(a, b CC) int { return compareVersions(b.Version, a.Version) })
	for i := range ccs {
		c := &ccs[i]
		if c.Problem == "" {
			f.probeAll(ctx, c)
		}
		if f.Bare.Path == "" && c.unfit(false) == "" {
			f.Bare = *c
		}
		if c.unfit(true) == "" {
			f.CC = *c
			break
		}
	}
	for _, libc := range []bool{true, false} {
		cc := f.Compiler(libc)
		if cc.Path == "" {
			*cc = ccs[0]
		}
		for _, c := range ccs {
			if c.Path != cc.Path {
				why := cmp.Or(c.unfit(libc), "an older one")
				cc.Passed = append(cc.Passed, c.Path+" "+c.Version+": "+why)
			}
		}
	}
	f.Bare.ID, f.Bare.Headers = f.Bare.bare, ""
}

// unfit says why a compiler cannot be taken; empty for one that can, or that was not tried.
func (c *CC) unfit(libc bool) string {
	if c.Problem != "" {
		return c.Problem
	}
	if tooOld(c.Version, minGCC) {
		return "older than " + minGCC
	}
	for _, p := range probes {
		if why, failed := c.Fails[p.name]; failed && p.lacking == "" && p.bare != libc {
			return p.name + ": " + why
		}
	}
	return ""
}

func compareVersions(a, b string) int {
	va, erra := version.NewVersion(a)
	vb, errb := version.NewVersion(b)
	switch {
	case erra != nil && errb != nil:
		return 0
	case erra != nil:
		return -1
	case errb != nil:
		return 1
	}
	return va.Compare(vb)
}

func tooOld(v, least string) bool { return compareVersions(v, least) < 0 }

// ask runs a program from the place / and gives what it said.
func (f *Facts) ask(ctx context.Context, argv ...string) (string, error) {
	out, err := run.Cmd{Argv: argv, Env: f.env(), Dir: "/"}.Output(ctx)
	if e := (*exec.ExitError)(nil); errors.As(err, &e) && !e.Exited() { // killed: it may answer the next time
		f.mu.Lock()
		f.unsure = true
		f.mu.Unlock()
	}
	return strings.TrimSpace(out), err
}

func (f *Facts) askVersion(ctx context.Context, path string) CC {
	c := CC{Path: path}
	f.stamp(path, resolved(path))
	if want := f.Asked.arch().Triplet; f.Asked.Arch != "" {
		machine, _, _ := strings.Cut(want, "-")
		if m, err := f.ask(ctx, path, "-dumpmachine"); err != nil || !strings.HasPrefix(m, machine) {
			m = cmp.Or(m, "a machine that it does not name")
			c.Problem = fmt.Sprintf("compiles for %s, want one for %s", m, want)
			return c
		}
	}
	v, err := f.ask(ctx, path, "-dumpfullversion", "-dumpversion")
	if err != nil { // gcc before 7 knows the second only
		v, err = f.ask(ctx, path, "-dumpversion")
	}
	if c.Version = versionRE.FindString(v); err != nil || c.Version == "" {
		c.Problem = fmt.Sprintf("does not say its version (%q, %v)", v, err)
	}
	return c
}

// probeAll makes every probe's program, side by side, and takes the compiler's identity.
func (f *Facts) probeAll(ctx context.Context, c *CC) {
	c.Fails = map[string]string{}
	tmp, err := os.MkdirTemp(f.scratch, "cc-")
	if err != nil {
		c.Problem = err.Error()
		return
	}
	var include []string
	if d := f.Asked.KernelHeaders; d != "" {
		if c.Headers = filepath.Join(d, "include"); !isDir(c.Headers) {
			c.Headers = d
		}
		f.stamp(c.Headers, filepath.Join(c.Headers, "linux/quota.h"), filepath.Join(c.Headers, "linux/dqblk_xfs.h"))
		include = []string{"-I" + c.Headers}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for name, members := range grouped() {
		wg.Go(func() {
			fails := f.tryAll(ctx, c.Path, filepath.Join(tmp, name), members, include)
			mu.Lock()
			maps.Copy(c.Fails, fails)
			mu.Unlock()
		})
	}
	wg.Go(func() { c.Dirs = f.searched(ctx, c.Path) })
	var errs [2]error
	wg.Go(func() { c.ID, errs[0] = f.identity(ctx, c, withLibc) })
	wg.Go(func() { c.bare, errs[1] = f.identity(ctx, c, withoutLibc) })
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil && (c.unfit(true) == "" || c.unfit(false) == "") {
		c.Problem = "compiles, but does not say of what it consists: " + err.Error()
	}
}

// What of a compiler can show in what it makes, as it names these itself: with the host's C library, and without.
var (
	withLibc = parts{
		files:   []string{"libc.a", "libpthread.a", "rcrt1.o", "crt1.o", "libgcc.a"},
		tools:   []string{"as", "ld"},
		headers: []string{"linux/quota.h", "linux/dqblk_xfs.h", "linux/version.h", "asm/unistd_64.h", "linux/prctl.h"}}
	withoutLibc = parts{tools: []string{"as", "ld", "cc1"}, files: []string{"libgcc.a", "libgcc_eh.a", "crtbegin.o",
		"crtbeginS.o", "crtbeginT.o", "crtend.o", "crtendS.o"}}
)

type parts struct{ files, tools, headers []string }

// identity is the digest over the parts of a compiler, and over the headers that the user names.
func (f *Facts) identity(ctx context.Context, c *CC, of parts) (string, error) {
	asked := []string{"-v"}
	for _, n := range of.files {
		asked = append(asked, "-print-file-name="+n)
	}
	for _, n := range of.tools {
		asked = append(asked, "-print-prog-name="+n)
	}
	ids, errs := make([]string, len(asked)), make([]error, len(asked))
	var wg sync.WaitGroup
	for i, a := range asked {
		wg.Go(func() {
			s, err := f.ask(ctx, c.Path, a)
			if err != nil {
				errs[i] = err
				return
			}
			name, isTool := strings.CutPrefix(a, "-print-prog-name=")
			switch {
			case a == "-v":
				ids[i] = s
				return
			case isTool && !filepath.IsAbs(s):
				s = f.lookPath(s)
			case !isTool:
				name = strings.TrimPrefix(a, "-print-file-name=")
			}
			if filepath.IsAbs(s) {
				f.stamp(s)
				sum, _ := archive.SHA256File(s)
				ids[i] = name + " " + sum
			}
		})
	}
	wg.Wait()
	all := append([]string{c.Version}, slices.DeleteFunc(ids, func(s string) bool { return s == "" })...)
	if c.Headers != "" {
		for _, h := range of.headers {
			sum, _ := archive.SHA256File(filepath.Join(c.Headers, h))
			all = append(all, h+" "+sum)
		}
	}
	return digest(all...), errors.Join(errs...)
}

// searched are the directories that a compiler names as those in which it looks, and that are there.
func (f *Facts) searched(ctx context.Context, cc string) []string {
	dirs, _ := f.ask(ctx, cc, "-print-search-dirs") // who does not answer has failed elsewhere
	headers, _ := f.ask(ctx, cc, "-E", "-v", "-x", "c", "/dev/null")
	var found []string
	for line := range strings.Lines(dirs) {
		_, list, _ := strings.Cut(strings.TrimSpace(line), ": ")
		found = append(found, strings.Split(strings.TrimPrefix(list, "="), ":")...)
	}
	_, list, _ := strings.Cut(headers, "search starts here:")
	list, _, _ = strings.Cut(list, "End of search list")
	found = append(found, strings.Fields(list)...)
	for i, d := range found {
		found[i] = filepath.Clean(d)
	}
	slices.Sort(found)
	return slices.DeleteFunc(slices.Compact(found), func(d string) bool { return !filepath.IsAbs(d) || !isDir(d) })
}

func isDir(p string) bool {
	fi, err := os.Stat(p)
	return err == nil && fi.IsDir()
}

// shellAsks is the part of the shell language that upstream's configure leans on.
const shellAsks = "f() { echo \"$1\"; }\nx=`f 1`\ncase $x in 1) ;; *) exit 1 ;; esac\ny=${x:-2}\n" +
	"test \"$y\" = 1 && (exit 0) && cat >/dev/null <<e\n$x\ne\n"

// findAr looks for ar: that of PATH or, for another machine, the one beside its compiler, or that the compiler names.
func (f *Facts) findAr(ctx context.Context) {
	f.AR = f.lookPath("ar")
	if cc := f.Bare.Path; f.Asked.Arch != "" && cc != "" {
		dir, name := filepath.Split(cc)
		if i := strings.LastIndex(name, "gcc"); i >= 0 {
			f.AR = dir + name[:i] + "ar"
		}
		if f.stamp(f.AR); !isProgram(f.AR) {
			f.AR, _ = f.ask(ctx, cc, "-print-prog-name=ar")
		}
	}
	if f.AR != "" {
		if _, err := f.ask(ctx, f.AR, "--version"); err != nil {
			f.AR = ""
		}
	}
}

// findTools looks for make and a shell.
func (f *Facts) findTools(ctx context.Context) {
	if f.Make = f.lookPath("make"); f.Make != "" {
		out, _ := f.ask(ctx, f.Make, "--version")
		f.MakeV = versionRE.FindString(out)
	}
	for _, sh := range []string{"/bin/sh", f.lookPath("bash"), f.lookPath("dash"), f.lookPath("ksh")} {
		f.stamp(sh)
		if sh == "" {
			continue
		}
		if _, err := f.ask(ctx, sh, "-c", shellAsks); err == nil {
			f.Shell = sh
			return
		}
	}
}
