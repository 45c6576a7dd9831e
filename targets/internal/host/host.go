// Package host finds out what this machine can build with (Go toolchains, a C compiler and what it can link, make,
// kernel, disk) and holds it against what is asked: facts + requirements → findings.
package host

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/kernel"
	"drydock/targets/internal/platform"

	"golang.org/x/sys/unix"
)

// Facts are what was found on this machine.
type Facts struct {
	Gos []Go `json:"gos"`
	CC  CC   `json:"cc"`
	// Bare is the compiler for a stack that brings its C library: nothing of the host's own is asked of it.
	Bare CC     `json:"bare"`
	AR   string `json:"ar"`
	// Emulator runs the files of the architecture; empty where this machine does, or where there is none.
	Emulator string            `json:"emulator,omitempty"`
	Make     string            `json:"make"`
	MakeV    string            `json:"make_version"`
	Shell    string            `json:"shell"`
	Kernel   string            `json:"-"`      // release, as uname says
	Stamps   map[string]string `json:"stamps"` // the files that the facts were taken from
	Asked    Asked             `json:"asked"`  // the settings that they depend on

	mu      sync.Mutex // guards these while the facts are taken
	scratch string     // where what is tried is made
	unsure  bool       // a program was killed before it had answered: such facts are not kept
}

// Asked are the settings of the user that say where to look.
type Asked struct {
	Path, Go, CC, Goroot, Home, Sources, KernelHeaders string
	// Build is where programs are made and started, or will be; empty for the system's directory for temporary files.
	Build string
	Tools string // more directories for Facts.Dirs, separated by colons
	// Arch is the architecture to compile for, by its name in room platform, where that is another one than this
	// machine's.
	Arch string `json:",omitempty"`
}

// For returns the settings for an architecture: another than this machine's has a compiler of its own, which the
// setting CC_<name> names.
func (a Asked) For(arch platform.Arch) Asked {
	if !arch.Native() {
		a.Arch, a.CC = arch.Name, os.Getenv("CC_"+arch.Name)
	}
	return a
}

// Emulator is the program of PATH that runs the files of another architecture than this machine's; empty without one.
func Emulator(arch platform.Arch) string {
	f := &Facts{Asked: FromEnv("", "").For(arch), Stamps: map[string]string{}}
	return f.emulator()
}

// emulator is Emulator for the architecture of the facts.
func (f *Facts) emulator() string {
	if f.Asked.Arch == "" {
		return ""
	}
	name := "qemu-" + f.Asked.arch().Qemu
	return cmp.Or(f.lookPath(name+"-static"), f.lookPath(name))
}

// CacheName is the name of the file in which the facts are kept: another one for each architecture.
func (a Asked) CacheName() string {
	return strings.TrimSuffix("host-"+a.Arch, "-") + ".json"
}

// arch is the architecture to compile for.
func (a Asked) arch() platform.Arch {
	if a.Arch == "" {
		return platform.Build()
	}
	return platform.Must(a.Arch)
}

// cc returns the setting that names the C compiler, and gcc what it is called before its release.
func (a Asked) cc() (setting, gcc string) {
	if a.Arch == "" {
		return "CC", "gcc"
	}
	return "CC_" + a.Arch, a.arch().Triplet + "-gcc"
}

// FromEnv takes the settings from the environment; sources is vendor-sources/ and build is build/.
func FromEnv(sources, build string) Asked {
	a := Asked{Path: os.Getenv("PATH"), Go: os.Getenv("GO"), CC: os.Getenv("CC"), Goroot: os.Getenv("GOROOT"),
		Home: os.Getenv("HOME"), KernelHeaders: os.Getenv("KERNEL_HEADERS"), Tools: os.Getenv("TOOLS"),
		Sources: sources, Build: build}
	// A cron job's PATH is short; the usual places count as well.
	for _, d := range []string{"/usr/local/bin", "/usr/bin", "/bin"} {
		if !slices.Contains(strings.Split(a.Path, ":"), d) {
			a.Path = strings.TrimPrefix(a.Path+":"+d, ":")
		}
	}
	return a
}

// Look returns the facts, from the file cache when nothing that they were taken from has changed. It fails where no
// file can be made, and with ctx.
func Look(ctx context.Context, a Asked, cache string) (*Facts, error) {
	f := &Facts{}
	if data, err := os.ReadFile(cache); err == nil && json.Unmarshal(data, f) == nil && f.Asked == a && f.fresh() {
		f.Kernel = kernel.Release()
		return f, nil
	}
	f = &Facts{Asked: a, Stamps: map[string]string{}}
	if self, err := os.Executable(); err == nil { // another drydock may ask for more
		f.stamp(self)
	}
	if err := f.makeScratch(); err != nil {
		return nil, err
	}
	defer os.RemoveAll(f.scratch)
	var wg sync.WaitGroup
	for _, find := range []func(context.Context){f.findGo, f.findC, f.findTools} {
		wg.Go(func() { find(ctx) })
	}
	wg.Wait()
	f.findAr(ctx)
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	f.Kernel = kernel.Release()
	data, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return nil, err
	}
	if !f.unsure && os.MkdirAll(filepath.Dir(cache), 0o755) == nil {
		// A cache that cannot be written is no reason to stop: the facts are right.
		_ = archive.WriteBytes(cache, 0o644, data)
	}
	return f, nil
}

// makeScratch makes the directory for what is tried: beside what will be built, for /tmp may be mounted noexec.
func (f *Facts) makeScratch() (err error) {
	if f.scratch, err = os.MkdirTemp(nearest(cmp.Or(f.Asked.Build, os.TempDir())), ".probe-"); err != nil {
		f.scratch, err = os.MkdirTemp("", "drydock-probe-") // nothing can be written there, which is told by the check
	}
	return err
}

// unpacked is the pattern of toolchains in vendor-sources/. Its stamp is what it finds there: a directory's own time is
// another with every source that is fetched.
const unpacked = "/go*/bin/go"

func stampOf(path string) string {
	if dir, ok := strings.CutSuffix(path, unpacked); ok {
		return strings.Join(archive.Glob(dir, unpacked[1:]), ":")
	}
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
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range paths {
		if p != "" {
			f.Stamps[p] = stampOf(p)
		}
	}
}

func (f *Facts) env() []string {
	// No HOME: with one, the go command would leave its telemetry counters there.
	return []string{"PATH=" + f.Asked.Path, "LC_ALL=C", "GOTOOLCHAIN=local", "GOENV=off", "GOFLAGS=",
		"GOPATH=/nonexistent", "GO111MODULE=off", "GOCACHE=off", "TMPDIR=" + cmp.Or(f.scratch, "/tmp")}
}

func (f *Facts) lookPath(name string) string {
	for d := range strings.SplitSeq(f.Asked.Path, ":") {
		p := filepath.Join(d, name)
		f.stamp(p)
		if isProgram(p) {
			return p
		}
	}
	return ""
}

func isProgram(file string) bool {
	fi, err := os.Stat(file)
	return err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0
}

// PathDirs is the PATH of compile steps: the compiler's own directory, then the system's.
func (f *Facts) PathDirs(cc *CC) string {
	var dirs []string
	for _, d := range []string{filepath.Dir(cc.Path), filepath.Dir(f.AR), filepath.Dir(f.Make), "/usr/bin", "/bin"} {
		if filepath.IsAbs(d) && !slices.Contains(dirs, d) {
			dirs = append(dirs, d)
		}
	}
	return strings.Join(dirs, ":")
}

func digest(parts ...string) string {
	d, _ := archive.SHA256(strings.NewReader(strings.Join(parts, "\x00")))
	return d
}

// Lent is what is known of a machine's compilers: whoever builds nothing can ask with it for what was built there.
type Lent struct {
	Gos  []Go `json:"gos"`
	CC   CC   `json:"cc"`
	Bare CC   `json:"bare"`
}

// Lend returns what others need to know of the compilers of this machine: no place of it.
func (f *Facts) Lend() Lent {
	l := Lent{CC: f.CC.lent(), Bare: f.Bare.lent()}
	for _, g := range f.Gos {
		if g.Problem == "" {
			l.Gos = append(l.Gos, Go{Version: g.Version, ID: g.ID})
		}
	}
	return l
}

func (c CC) lent() CC {
	l := CC{Version: c.Version, ID: c.ID, Fails: c.Fails, Problem: c.Problem}
	if c.Headers != "" {
		l.Headers = "."
	}
	return l
}

// Borrow returns the facts with the compilers of another machine in place of ours. Nothing can be compiled with them.
func (f *Facts) Borrow(l Lent) *Facts {
	return &Facts{Gos: l.Gos, CC: l.CC, Bare: l.Bare, AR: "ar", Emulator: f.Emulator, Make: f.Make, MakeV: f.MakeV,
		Shell: f.Shell, Kernel: f.Kernel, Stamps: f.Stamps, Asked: f.Asked}
}

// Compiles reports whether there are compilers for what is asked.
func (f *Facts) Compiles(a Asks) bool {
	return Unmet(append(f.checkGo(a), f.checkC(a)...)) == 0
}
