// Package host finds out what this machine can build with (Go toolchains, a C compiler and what it can link, make,
// kernel, disk) and holds it against what is asked: facts + requirements → findings.
package host

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/run"

	version "github.com/hashicorp/go-version"
	"golang.org/x/sys/unix"
)

// Go is one Go toolchain.
type Go struct {
	Path    string `json:"path"`
	Version string `json:"version"` // 1.26.8
	// ID is the digest over the go command, the compiler and the linker.
	ID string `json:"id"`
	// Problem says why it cannot be used at all; empty when it can.
	Problem string `json:"problem,omitempty"`
}

// CC is the C compiler and what it was seen to do.
type CC struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	// ID is the digest over "cc -v", the assembler's and the linker's version and the static C library.
	ID        string `json:"id"`
	Static    bool   `json:"static"`     // links a static program that runs
	StaticPIE bool   `json:"static_pie"` // links a static-pie program that runs (rcrt1.o)
	Quota     bool   `json:"quota"`      // linux/quota.h and linux/dqblk_xfs.h
	Problem   string `json:"problem,omitempty"`
}

// Facts are what was found on this machine.
type Facts struct {
	Gos    []Go   `json:"gos"`
	CC     CC     `json:"cc"`
	AR     string `json:"ar"`
	Make   string `json:"make"`
	MakeV  string `json:"make_version"`
	Shell  string `json:"shell"`
	Kernel string `json:"-"` // release, as uname says
	// Stamps are the files that the facts were taken from.
	Stamps map[string]string `json:"stamps"`
	// Asked are the settings that they depend on.
	Asked Asked `json:"asked"`
}

// Asked are the settings of the user that say where to look.
type Asked struct {
	Path, Go, CC, Goroot, Home, Sources string
}

// FromEnv takes the settings from the environment; sources is vendor-sources/.
func FromEnv(sources string) Asked {
	a := Asked{Path: os.Getenv("PATH"), Go: os.Getenv("GO"), CC: os.Getenv("CC"), Goroot: os.Getenv("GOROOT"), Home: os.Getenv("HOME"), Sources: sources}
	// A cron job's PATH is short; the usual places count as well.
	for _, d := range []string{"/usr/local/bin", "/usr/bin", "/bin"} {
		if !slices.Contains(strings.Split(a.Path, ":"), d) {
			a.Path = strings.TrimPrefix(a.Path+":"+d, ":")
		}
	}
	return a
}

// Look gives the facts, from the file cache when nothing that they were taken from has changed.
func Look(ctx context.Context, a Asked, cache string) (*Facts, error) {
	var f Facts
	if data, err := os.ReadFile(cache); err == nil && json.Unmarshal(data, &f) == nil && f.Asked == a && f.fresh() {
		f.Kernel = kernel()
		return &f, nil
	}
	f = Facts{Asked: a, Stamps: map[string]string{}}
	f.findGo(ctx)
	f.findC(ctx)
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	f.Kernel = kernel()
	data, err := json.MarshalIndent(&f, "", "\t")
	if err != nil {
		return nil, err
	}
	if os.MkdirAll(filepath.Dir(cache), 0o755) == nil {
		// A cache that cannot be written is no reason to stop: the facts are right.
		_ = archive.WriteFile(cache, 0o644, func(w io.Writer) error { _, err := w.Write(data); return err })
	}
	return &f, nil
}

func stampOf(path string) string {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "absent"
	}
	return fmt.Sprintf("%d %d %d.%d", st.Size, st.Ino, st.Mtim.Sec, st.Mtim.Nsec)
}

func (f *Facts) fresh() bool {
	for p, s := range f.Stamps {
		if stampOf(p) != s {
			return false
		}
	}
	return len(f.Stamps) > 0
}

func (f *Facts) stamp(paths ...string) {
	for _, p := range paths {
		if p != "" {
			f.Stamps[p] = stampOf(p)
		}
	}
}

func (f *Facts) env() []string {
	// No HOME: with one, the go command would leave its telemetry counters there.
	return []string{"PATH=" + f.Asked.Path, "LC_ALL=C", "GOTOOLCHAIN=local", "GOENV=off", "GOFLAGS=", "GOPATH=/nonexistent", "GO111MODULE=off", "GOCACHE=off"}
}

func (f *Facts) lookPath(name string) string {
	for d := range strings.SplitSeq(f.Asked.Path, ":") {
		p := filepath.Join(d, name)
		fi, err := os.Stat(p)
		f.Stamps[p] = stampOf(p)
		if err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return p
		}
	}
	return ""
}

// findGo lists every toolchain in the usual places. GO= leaves just that one.
func (f *Facts) findGo(ctx context.Context) {
	var paths []string
	if f.Asked.Go != "" {
		paths = []string{f.Asked.Go}
	} else {
		if p := f.lookPath("go"); p != "" {
			paths = append(paths, p)
		}
		if f.Asked.Goroot != "" {
			paths = append(paths, filepath.Join(f.Asked.Goroot, "bin/go"))
		}
		for _, g := range []string{"/usr/local/go*", "/usr/lib/go-*", filepath.Join(f.Asked.Home, "sdk/go*"), filepath.Join(f.Asked.Sources, "go*")} {
			f.stamp(filepath.Dir(g))
			ms, _ := filepath.Glob(g + "/bin/go")
			paths = append(paths, ms...)
		}
	}
	seen := map[string]bool{}
	for _, p := range paths {
		real, err := filepath.EvalSymlinks(p)
		if err != nil {
			real = p
		}
		if seen[real] {
			continue
		}
		seen[real] = true
		f.Gos = append(f.Gos, f.askGo(ctx, p))
	}
}

var goVersionRE = regexp.MustCompile(`go version go(\d+(?:\.\d+)*)(\S*) linux/(\S+)`)

func (f *Facts) askGo(ctx context.Context, path string) Go {
	g := Go{Path: path}
	f.stamp(path)
	out, err := run.Cmd{Argv: []string{path, "version"}, Env: f.env(), Dir: "/", Online: true}.Output(ctx)
	m := goVersionRE.FindStringSubmatch(out)
	switch {
	case err != nil:
		g.Problem = "does not run: " + err.Error()
		return g
	case m == nil:
		g.Problem = fmt.Sprintf("says %q, want \"go version go1.…\"", strings.TrimSpace(out))
		return g
	}
	g.Version = m[1]
	root, err := run.Cmd{Argv: []string{path, "env", "GOROOT"}, Env: f.env(), Dir: "/", Online: true}.Output(ctx)
	if err != nil {
		g.Problem = "has no GOROOT: " + err.Error()
		return g
	}
	tools := filepath.Join(strings.TrimSpace(root), "pkg/tool/linux_"+m[3])
	var ids []string
	for _, p := range []string{path, filepath.Join(tools, "compile"), filepath.Join(tools, "link")} {
		f.stamp(p)
		id, err := archive.SHA256File(p)
		if err != nil {
			g.Problem = "is not whole: " + err.Error()
			return g
		}
		ids = append(ids, id)
	}
	g.ID = digest(ids...)
	return g
}

func digest(parts ...string) string {
	d, _ := archive.SHA256(strings.NewReader(strings.Join(parts, "\x00")))
	return d
}

var versionRE = regexp.MustCompile(`\d+(\.\d+)+|\d+`)

const (
	helloC = "#include <stdio.h>\n#include <stdlib.h>\nint main(void){puts(\"hello\");return 0;}\n"
	quotaC = "#include <linux/types.h>\n#include <linux/quota.h>\n#include <linux/dqblk_xfs.h>\nint main(void){return sizeof(struct fs_disk_quota)==0;}\n"
)

func (f *Facts) findC(ctx context.Context) {
	f.AR, f.Make, f.Shell = f.lookPath("ar"), f.lookPath("make"), "/bin/sh"
	f.stamp(f.Shell)
	if f.Make != "" {
		out, _ := run.Cmd{Argv: []string{f.Make, "--version"}, Env: f.env(), Dir: "/", Online: true}.Output(ctx)
		f.MakeV = versionRE.FindString(out)
	}
	name := f.Asked.CC
	if name == "" {
		name = "gcc"
	}
	cc := &f.CC
	if cc.Path = name; !strings.Contains(name, "/") {
		if cc.Path = f.lookPath(name); cc.Path == "" {
			cc.Problem = name + ": not found in PATH=" + f.Asked.Path
			return
		}
	}
	f.stamp(cc.Path)
	real, _ := filepath.EvalSymlinks(cc.Path)
	f.stamp(real)
	ask := func(args ...string) (string, error) {
		out, err := run.Cmd{Argv: append([]string{cc.Path}, args...), Env: f.env(), Dir: "/", Online: true}.Output(ctx)
		return strings.TrimSpace(out), err
	}
	v, err := ask("-dumpfullversion", "-dumpversion")
	if err != nil {
		v, err = ask("-dumpversion")
	}
	if err != nil {
		cc.Problem = "does not run: " + err.Error()
		return
	}
	cc.Version = versionRE.FindString(v)
	ids := []string{cc.Version}
	if s, err := ask("-v"); err == nil {
		ids = append(ids, s)
	}
	for _, file := range []string{"libc.a", "libpthread.a", "rcrt1.o", "crt1.o", "libgcc.a"} {
		if p, err := ask("-print-file-name=" + file); err == nil && filepath.IsAbs(p) {
			f.stamp(p)
			id, _ := archive.SHA256File(p)
			ids = append(ids, file+" "+id)
		}
	}
	for _, tool := range []string{"as", "ld"} {
		if p, err := ask("-print-prog-name=" + tool); err == nil {
			if !filepath.IsAbs(p) {
				p = f.lookPath(p)
			}
			f.stamp(p)
			id, _ := archive.SHA256File(p)
			ids = append(ids, tool+" "+id)
		}
	}
	cc.ID = digest(ids...)

	tmp, err := os.MkdirTemp("", "drydock-probe-")
	if err != nil {
		cc.Problem = err.Error()
		return
	}
	defer os.RemoveAll(tmp)
	works := func(src string, exec bool, flags ...string) (string, bool) {
		c := filepath.Join(tmp, "t.c")
		bin := filepath.Join(tmp, "t")
		os.Remove(bin)
		if err := os.WriteFile(c, []byte(src), 0o644); err != nil {
			return err.Error(), false
		}
		out, err := ask(append(flags, "-o", bin, c)...)
		if err == nil && exec {
			out, err = run.Cmd{Argv: []string{bin}, Env: f.env(), Dir: tmp}.Output(ctx)
		}
		return out, err == nil
	}
	var why string
	if why, cc.Static = works(helloC, true, "-static"); !cc.Static {
		first, _, _ := strings.Cut(why, "\n")
		cc.Problem = "cannot link a static program: " + first
	}
	_, cc.StaticPIE = works(helloC, true, "-static-pie", "-fPIE")
	_, cc.Quota = works(quotaC, false)
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

var leadingDigits = regexp.MustCompile(`^\d+(\.\d+)*`)

// KernelVersion reads the version in a kernel's release string, such as 3.10.0-1160.el7.x86_64. go-version refuses
// these, or takes their tail for a pre-release, so just the leading numbers count.
func KernelVersion(release string) (*version.Version, error) {
	m := leadingDigits.FindString(release)
	if m == "" {
		return nil, fmt.Errorf("kernel release %q: want one that begins with numbers, such as 3.10.0-1160.el7.x86_64", release)
	}
	v, err := version.NewVersion(m)
	if err != nil {
		return nil, err
	}
	return v.Core(), nil
}

// Pick takes the newest toolchain that meets the constraint, and says why the others were passed over.
func (f *Facts) Pick(constraint string) (*Go, []string) {
	c, err := version.NewConstraint(constraint)
	if err != nil {
		return nil, []string{err.Error()}
	}
	var best *Go
	var bestV *version.Version
	var passed []string
	for i, g := range f.Gos {
		if g.Problem != "" {
			passed = append(passed, g.Path+" "+g.Problem)
			continue
		}
		v, err := version.NewVersion(g.Version)
		if err != nil || !c.Check(v) {
			passed = append(passed, fmt.Sprintf("%s is %s", g.Path, g.Version))
			continue
		}
		if best == nil || v.GreaterThan(bestV) {
			best, bestV = &f.Gos[i], v
		}
	}
	return best, passed
}

// Finding is one requirement held against the facts.
type Finding struct {
	Name  string `json:"name"`
	Need  string `json:"need"`
	Found string `json:"found"`
	OK    bool   `json:"ok"`
	// Fix says what to do; set when not OK, or as a remark.
	Fix string `json:"fix,omitempty"`
}

// Asks are what a set of components needs of the host.
type Asks struct {
	// Go are constraints by component.
	Go map[string]string
	C  bool
	// Make and Shell are what libseccomp's configure needs.
	Make bool
	// Quota says that project quotas are wanted.
	Quota bool
	// Kernel is the oldest that may build.
	Kernel string
	// Disk is needed bytes below Dir.
	Dir  string
	Disk int64
}

// Floors of the tools. gcc 4 built a runc that did not run; the recipe that drydock replaces asks for gcc 8.
const (
	minGCC  = "8"
	minMake = "3.79"
)

// Check holds the facts against what is asked. Everything is checked, not just up to the first failure.
func (f *Facts) Check(a Asks) []Finding {
	var fs []Finding
	constraints := map[string][]string{}
	for c, k := range a.Go {
		constraints[k] = append(constraints[k], c)
	}
	for _, k := range sortedKeys(constraints) {
		cs := constraints[k]
		slices.Sort(cs)
		fd := Finding{Name: "go (" + strings.Join(cs, ", ") + ")", Need: k, Found: "none"}
		g, passed := f.Pick(k)
		if g != nil {
			fd.Found, fd.OK = g.Version+" "+g.Path, true
		} else {
			if len(passed) > 0 {
				fd.Found = strings.Join(passed, "; ")
			}
			fd.Fix = "install a Go " + k + ", or name one with GO=<path of the go command>"
		}
		fs = append(fs, fd)
	}
	if a.C {
		cc := f.CC
		fd := Finding{Name: "gcc", Need: ">= " + minGCC, Found: strings.TrimSpace(cc.Version + " " + cc.Path)}
		v, err := version.NewVersion(cc.Version)
		fd.OK = err == nil && v.GreaterThanOrEqual(version.Must(version.NewVersion(minGCC)))
		if !fd.OK {
			if cc.Version == "" {
				fd.Found = cc.Problem
			}
			fd.Fix = "install gcc " + minGCC + " or newer, or name one with CC=<path>"
		}
		fs = append(fs, fd)
		if cc.Version != "" {
			fd = Finding{Name: "static C library", Need: "libc.a that links and runs", Found: "yes", OK: cc.Static}
			if !cc.Static {
				fd.Found, fd.Fix = cc.Problem, "install the C library's static archive (Debian: libc6-dev, Red Hat: glibc-static)"
			}
			fs = append(fs, fd)
			fd = Finding{Name: "static-pie", Need: "rcrt1.o (optional)", Found: "yes", OK: true}
			if !cc.StaticPIE {
				fd.Found, fd.Fix = "no", "runc is linked plain static (glibc before 2.26 has no rcrt1.o)"
			}
			fs = append(fs, fd)
		}
		fd = Finding{Name: "ar", Need: "found", Found: f.AR, OK: f.AR != ""}
		if !fd.OK {
			fd.Found, fd.Fix = "none", "install binutils"
		}
		fs = append(fs, fd)
		if a.Quota && cc.Version != "" {
			fd = Finding{Name: "kernel headers", Need: "linux/quota.h (optional)", Found: "yes", OK: true}
			if !cc.Quota {
				fd.Found, fd.Fix = "no", "dockerd is built without XFS project quotas; install the kernel's headers to keep them"
			}
			fs = append(fs, fd)
		}
	}
	if a.Make {
		fd := Finding{Name: "make", Need: ">= " + minMake, Found: strings.TrimSpace(f.MakeV + " " + f.Make)}
		v, err := version.NewVersion(f.MakeV)
		fd.OK = err == nil && v.GreaterThanOrEqual(version.Must(version.NewVersion(minMake)))
		if !fd.OK {
			if fd.Found == "" {
				fd.Found = "none"
			}
			fd.Fix = "install GNU make " + minMake + " or newer"
		}
		fs = append(fs, fd)
	}
	kv, err := KernelVersion(f.Kernel)
	fd := Finding{Name: "kernel", Need: ">= " + a.Kernel, Found: f.Kernel}
	if min, err2 := version.NewVersion(a.Kernel); err == nil && err2 == nil {
		fd.OK = kv.GreaterThanOrEqual(min.Core())
	}
	if !fd.OK {
		fd.Fix = "the outputs could not be run and proved here: build on a host with the stack's kernel or a newer one"
	}
	fs = append(fs, fd)

	free := freeBytes(a.Dir)
	fd = Finding{Name: "disk", Need: gib(a.Disk), Found: gib(free) + " free", OK: free >= a.Disk}
	if !fd.OK {
		fd.Fix = "make room in " + a.Dir + " (\"mage clean\" removes what can be made again)"
	}
	fs = append(fs, fd)
	iso := run.Isolated()
	fd = Finding{Name: "network denied", Need: "a network namespace (optional)", Found: "yes", OK: true}
	if !iso.Network {
		fd.Found, fd.Fix = "no", "compilers run with this machine's network ("+iso.Why+"); GOPROXY=off still holds for Go"
	}
	return append(fs, fd)
}

// gib writes bytes as a person reads them.
func gib(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }

// freeBytes asks the nearest directory that exists.
func freeBytes(dir string) int64 {
	for {
		var st syscall.Statfs_t
		err := syscall.Statfs(dir, &st)
		if err == nil {
			return int64(st.Bavail) * st.Bsize
		}
		up := filepath.Dir(dir)
		if up == dir {
			return 0
		}
		dir = up
	}
}

func sortedKeys[V any](m map[string]V) []string {
	var ks []string
	for k := range m {
		ks = append(ks, k)
	}
	slices.Sort(ks)
	return ks
}

// PathDirs is the PATH of compile steps: the compiler's own directory, then the system's.
func (f *Facts) PathDirs() string {
	dirs := []string{}
	for _, p := range []string{f.CC.Path, f.AR, f.Make} {
		if d := filepath.Dir(p); p != "" && filepath.IsAbs(p) && !slices.Contains(dirs, d) {
			dirs = append(dirs, d)
		}
	}
	for _, d := range []string{"/usr/bin", "/bin"} {
		if !slices.Contains(dirs, d) {
			dirs = append(dirs, d)
		}
	}
	return strings.Join(dirs, ":")
}

// GoEnv asks a go command for the settings that this machine uses to reach modules.
func GoEnv(ctx context.Context, goTool string) ([]string, error) {
	var env []string
	for _, k := range []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE"} {
		cmd := exec.CommandContext(ctx, goTool, "env", k)
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%s env %s: %w", goTool, k, err)
		}
		env = append(env, k+"="+strings.TrimSpace(string(out)))
	}
	return env, nil
}

// FreeMemory is what the kernel says is available, in bytes; very much where it does not say (before Linux 3.14).
func FreeMemory() int64 {
	data, err := os.ReadFile("/proc/meminfo")
	if err == nil {
		for line := range strings.Lines(string(data)) {
			var kb int64
			if n, _ := fmt.Sscanf(line, "MemAvailable: %d kB", &kb); n == 1 {
				return kb << 10
			}
		}
	}
	return 1 << 62
}
