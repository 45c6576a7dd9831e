// Package recipe knows how each upstream part is compiled, as data: from a stack, a toolchain and paths it returns
// files to write, steps to run and outputs to expect. It runs nothing and touches no disk, so every flag can be tested,
// and the same call with symbolic paths gives the part of a key that does not depend on where things are.
package recipe

import (
	"fmt"
	"strings"

	"drydock/targets/internal/platform"
	"drydock/targets/internal/stack"
)

// Tools are the programs that compile a component, and what is known of them.
type Tools struct {
	Go        string // the go command; empty for C components
	GoVersion string // such as 1.26.8
	CC        string
	AR        string
	Make      string
	Shell     string
	StaticPIE bool // static-pie can be linked: the C library has rcrt1.o, the linker knows how
	Quota     bool // linux/quota.h and linux/dqblk_xfs.h are there
	// Headers is a directory of kernel headers that come before the compiler's own; empty for none.
	Headers string
	// Library is the path of a libseccomp.a below Work that is taken as it is, in place of libseccomp's sources; or
	// empty.
	Library string
	Jobs    int // how many compilers one step may start
	// Memory is what is free for them, in bytes.
	Memory int64
}

// Paths are where a component is built; all absolute, or all symbolic.
type Paths struct {
	Work  string // the private source tree
	Shims string // a directory of stand-ins, first in PATH
	Stage string // where outputs are collected
	Home  string // an empty HOME
	Tmp   string
	Cache string // GOCACHE
	Path  string // the rest of PATH
	// Gopath says which import paths lie where below Work, for sources that are older than modules; Libraries, that
	// what they import and lack lies in Work's .libraries.
	Gopath    map[string]string
	Libraries bool
	// Deps are the published outputs of the components that this one needs.
	Deps map[string]string
}

// Below are the paths of a component that is built below a directory. What lies elsewhere is missing.
func Below(dir string) Paths {
	return Paths{Work: dir + "/src", Shims: dir + "/shims", Stage: dir + "/stage", Home: dir + "/home",
		Tmp: dir + "/tmp", Deps: map[string]string{}}
}

// nameless is a directory that no machine has.
const nameless = "/.drydock/"

// Named are the paths of a component in which what Go looks for does not depend on the checkout: cgo's flags and the C
// compiler's name are a part of that. Real says where what they name lies: shims for the stand-ins, and the components
// that it needs.
func (p Paths) Named(shims string) (named Paths, real map[string]string) {
	named = p
	named.Shims, named.Deps = nameless+"shims", map[string]string{}
	real = map[string]string{named.Shims: shims}
	for name, at := range p.Deps {
		named.Deps[name] = nameless + name
		real[nameless+name] = at
	}
	return named, real
}

// Symbolic are paths for a key: the same on every machine and in every checkout.
func Symbolic(deps []string) Paths {
	p := Paths{Work: "<work>", Shims: "<shims>", Stage: "<stage>", Home: "<home>", Tmp: "<tmp>", Cache: "<cache>",
		Path: "<path>", Deps: map[string]string{}}
	for _, d := range deps {
		p.Deps[d] = "<" + d + ">"
	}
	return p
}

// File is something to write before the first step.
type File struct {
	Path string
	Data string
	Exec bool
	Link string // target, for a symbolic link
}

// Step is one command.
type Step struct {
	Name string
	Argv []string
	Env  []string
	Dir  string
	// Compiles reports whether the step uses every core; a step that only links does not.
	Compiles bool
	// Loads reports whether it reads its sources first, on one core, and prints its first line when it begins to
	// compile.
	Loads bool
}

// Output is a file that the steps leave below Stage.
type Output struct {
	// Name is its path below the component's published directory, and its name in bin/ where Bin is true.
	Name string
	Bin  bool
	// Links are other names in bin/ for it: relative links, made when it is published.
	Links []string
	// Data reports whether it is no program, and a user takes it away under its Name.
	Data bool
	// Ask are the arguments that make it print its version, and Want the words that must be in the answer.
	Ask  []string
	Want []string
}

// Plan is what a recipe returns.
type Plan struct {
	Files   []File
	Steps   []Step
	Outputs []Output
	// Notes are what a user should know of this build, such as a feature that is left out.
	Notes []string
	// Relink are the outputs whose link can be made again, with another C library or libseccomp: the objects and the
	// linker's arguments lie below Stage in RelinkDir of their name.
	Relink []string
}

// RelinkDir is where a step leaves what linking an output again needs: objects, and the C compiler's arguments in the
// file args, one on a line.
func RelinkDir(stage, output string) string { return stage + "/relink/" + output }

// keepLink makes Go's linker leave the objects of its last step there, and a stand-in for the C compiler note its
// arguments: the licence of what is linked statically (LGPL 2.1, section 6) asks that users can link with another.
func (r request) keepLink(p *Plan, output string) []string {
	dir := RelinkDir(r.p.Stage, output)
	// The linker first asks the compiler, several times, what it can; its last call is the link.
	p.Files = append(p.Files, File{Path: dir + "/ld", Exec: true,
		Data: fmt.Sprintf("#!%s\nfor a; do printf '%%s\\n' \"$a\"; done >'%s/args'\nexec '%s' \"$@\"\n",
			r.t.Shell, dir, r.cc())})
	p.Relink = append(p.Relink, output)
	return []string{"-extld=" + dir + "/ld", "-tmpdir=" + dir}
}

type request struct {
	row Component
	s   *stack.Stack
	c   *stack.Component
	t   Tools
	p   Paths
	// own reports whether it is compiled with the C library and the kernel headers of the stack.
	own  bool
	arch platform.Arch
}

// env is the whole environment of a C step; more are flags that every use of the compiler has.
func (r request) env(more ...string) []string {
	cc := strings.Join(append([]string{r.cc()}, more...), " ")
	return []string{
		"PATH=" + r.p.Shims + ":" + r.p.Path,
		"HOME=" + r.p.Home, "TMPDIR=" + r.p.Tmp,
		"LC_ALL=C", "TZ=UTC", fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.s.Epoch),
		"CC=" + cc, "AR=" + r.t.AR,
	}
}

// configureEnv is env for GNU's configure: what it tries must run, also where the host has no loader of musl's. The
// flag goes with the compiler, for libtool would keep a -static in LDFLAGS for itself.
func (r request) configureEnv() []string {
	env := r.env()
	if r.own {
		env = r.env("-static")
	}
	if !r.arch.Native() {
		env = append(env, "RANLIB=:") // this machine's may not know the other's files; ar has made the index
	}
	return env
}

// cross tells GNU's configure that what it compiles is for another machine, so that it runs none of it.
func (r request) cross() []string {
	if r.arch.Native() {
		return nil
	}
	return []string{"--build=" + platform.Build().Triplet, "--host=" + r.arch.Triplet}
}

// include names the directories of headers, for a C compiler.
func (r request) include() []string {
	if r.t.Headers == "" {
		return nil
	}
	return []string{"-I" + r.t.Headers}
}
