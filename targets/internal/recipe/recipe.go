// Package recipe knows how each upstream part is compiled, as data: from a stack, a toolchain and paths it returns
// files to write, steps to run and outputs to expect. It runs nothing and touches no disk, so every flag can be
// tested, and the same call with symbolic paths gives the part of a key that does not depend on where things are.
package recipe

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/stack"

	version "github.com/hashicorp/go-version"
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
	// Library is the path of a libseccomp.a below Work that is taken as it is, in place of libseccomp's sources; or empty.
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
	// Gopath says which import paths lie where below Work, for sources that are older than modules; Libraries, that what
	// they import and lack lies in Work's .libraries.
	Gopath    map[string]string
	Libraries bool
	// Deps are the published outputs of the components that this one needs.
	Deps map[string]string
}

// Symbolic are paths for a key: the same on every machine and in every checkout.
func Symbolic(deps []string) Paths {
	p := Paths{Work: "<work>", Shims: "<shims>", Stage: "<stage>", Home: "<home>", Tmp: "<tmp>", Cache: "<cache>", Path: "<path>", Deps: map[string]string{}}
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
	// Compiles says that the step uses every core; a step that only links does not.
	Compiles bool
	// Loads says that it reads its sources first, on one core, and prints its first line when it begins to compile.
	Loads bool
}

// Output is a file that the steps leave below Stage.
type Output struct {
	// Name is its path below the component's published directory, and its name in bin/ where Bin is true.
	Name string
	Bin  bool
	// Links are other names in bin/ for it: relative links, made when it is published.
	Links []string
	// Data says that it is no program, and that a user takes it away under its Name.
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
	p.Files = append(p.Files, File{Path: dir + "/ld", Data: fmt.Sprintf("#!%s\nfor a; do printf '%%s\\n' \"$a\"; done >'%s/args'\nexec '%s' \"$@\"\n", r.t.Shell, dir, r.cc()), Exec: true})
	p.Relink = append(p.Relink, output)
	return []string{"-extld=" + dir + "/ld", "-tmpdir=" + dir}
}

type recipe struct {
	needs []string
	// uses says what it is compiled with.
	goTool, cc, make bool
	plan             func(r request) Plan
}

type request struct {
	s *stack.Stack
	c *stack.Component
	t Tools
	p Paths
	// own says that it is compiled with the C library and the kernel headers of the stack.
	own bool
}

var recipes = map[string]recipe{
	"linux-headers": {plan: linuxHeaders},
	"musl":          {cc: true, make: true, plan: musl},
	"libseccomp":    {cc: true, make: true, plan: libseccomp},
	"tini":          {cc: true, plan: tini},
	"runc":          {needs: []string{"libseccomp"}, goTool: true, cc: true, plan: runc},
	"containerd":    {goTool: true, plan: containerd},
	"dockerd":       {goTool: true, plan: dockerd},
	// docker-proxy is libnetwork's until 20.10, dockerd's own from 23 on.
	"docker-proxy": {goTool: true, plan: dockerProxy},
	"docker-cli":   {goTool: true, plan: dockerCLI},
	"iptables":     {cc: true, make: true, plan: iptables},
	"expat":        {cc: true, plan: expat},
	"dbus":         {needs: []string{"expat"}, cc: true, make: true, plan: dbus},
}

// Needs are the components of the stack whose outputs a component is compiled with.
func Needs(s *stack.Stack, component string) []string {
	needs := recipes[component].needs
	if component == "dockerd" && !atLeast(s.Component[component], "20.10") {
		needs = []string{"libseccomp"} // its tag seccomp
	}
	if needsGround(s, component) {
		needs = slices.Concat(stack.Ground, needs)
	}
	return needs
}

// UsesGo says whether a component is compiled by Go.
func UsesGo(component string) bool { return recipes[component].goTool }

// UsesC says whether a component needs a C compiler.
func UsesC(c *stack.Component) bool {
	return recipes[c.Name].cc || c.Name == "dockerd" && c.WantsQuota()
}

// UsesMake says whether a component is compiled by its own make, most of them after a configure that wants a shell.
func UsesMake(component string) bool { return recipes[component].make }

// Of gives the plan of a component.
func Of(s *stack.Stack, component string, t Tools, p Paths) Plan {
	r := request{s, s.Component[component], t, p, needsGround(s, component)}
	plan := recipes[component].plan(r)
	if r.own {
		plan.Files = append(plan.Files, r.compiler()...)
	}
	return plan
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

// configureEnv is env for GNU's configure: what it tries must run, also where the host has no loader of musl's. The flag
// goes with the compiler, for libtool would keep a -static in LDFLAGS for itself.
func (r request) configureEnv() []string {
	if r.own {
		return r.env("-static")
	}
	return r.env()
}

// include names the directories of headers, for a C compiler.
func (r request) include() []string {
	if r.t.Headers == "" {
		return nil
	}
	return []string{"-I" + r.t.Headers}
}

// goEnv is the whole environment of a Go step.
func (r request) goEnv(cgo bool, more ...string) []string {
	env := append(r.env(),
		"GOTOOLCHAIN=local", "GOPROXY=off", "GOSUMDB=off", "GOFLAGS=", "GOENV=off", "GOWORK=off", "GO111MODULE="+r.modules(),
		"GOCACHE="+r.p.Cache, "GOPATH="+r.gopath(), "GOOS=linux", "GOARCH="+r.s.Target.Arch)
	if cgo {
		env = append(env, "CGO_ENABLED=1", "PKG_CONFIG="+r.p.Shims+"/pkg-config")
	} else {
		env = append(env, "CGO_ENABLED=0")
	}
	return append(env, more...)
}

// modules says whether the sources are a module, in GO111MODULE's words.
func (r request) modules() string {
	if len(r.p.Gopath) > 0 {
		return "off"
	}
	return "on"
}

func (r request) gopath() string {
	if r.p.Libraries && len(r.p.Gopath) > 0 {
		return r.p.Home + "/go:" + r.p.Work + "/.libraries"
	}
	return r.p.Home + "/go"
}

// gopathLinks lay the sources out as a GOPATH. Go gives the same bytes for links as for copies.
func (r request) gopathLinks() []File {
	var fs []File
	for _, imp := range slices.Sorted(maps.Keys(r.p.Gopath)) {
		fs = append(fs, File{Path: r.p.Home + "/go/src/" + imp, Link: path.Join(r.p.Work, r.p.Gopath[imp])})
	}
	return fs
}

// NoDWARF has Go not make what -s -w drops at the link: a tenth of the time of dockerd.
const NoDWARF = "-gcflags=all=-dwarf=false"

// goBuild compiles packages and then links them into Stage, as two steps: compiling keeps every core busy, linking
// mostly one, so that a link can overlap with the next component's compiling. "go list -export" compiles what "go
// build" with the same flags then finds in the cache. -v names each package as it is compiled: the progress of a run.
func (r request) goBuild(name string, cgo bool, dir string, tags string, ldflags []string, flags []string, env []string, pkgs ...string) []Step {
	common := []string{"-mod=vendor", "-trimpath", "-tags", tags, NoDWARF}
	if r.modules() == "off" {
		common = common[1:]
	}
	if !r.goAtLeast("1.13") { // no -trimpath for the whole yet
		common = slices.DeleteFunc(common, func(a string) bool { return a == "-trimpath" || strings.HasPrefix(a, "-gcflags") })
		cut := "-trimpath=" + path.Dir(r.p.Work)
		common = append(common, NoDWARF+" "+cut, "-asmflags=all="+cut)
		env = append(slices.Clone(env), "GOROOT_FINAL=/usr/local/go")
	}
	if r.goAtLeast("1.18") {
		common = append(common, "-buildvcs=false")
	}
	if r.t.Jobs > 0 {
		common = append(common, fmt.Sprintf("-p=%d", r.t.Jobs))
	}
	common = append(common, flags...)
	common = append(common, "-ldflags="+strings.Join(append([]string{"-s", "-w", "-buildid="}, ldflags...), " "))
	e := r.goEnv(cgo, env...)
	cmd := func(verb ...string) []string {
		return append(append(append([]string{r.t.Go}, verb...), common...), pkgs...)
	}
	compile := Step{Name: "compile " + name, Dir: dir, Env: r.narrow(e), Compiles: true, Loads: true, Argv: cmd("list", "-export", "-v", "-f", "{{with \"\"}}{{.}}{{end}}")}
	if r.modules() == "on" {
		return []Step{compile, {Name: "link " + name, Dir: dir, Env: e, Argv: cmd("build", "-o", r.p.Stage+"/")}}
	}
	steps := []Step{compile}
	all := pkgs
	for _, p := range all { // Go before 1.14 writes one file at a time
		file := path.Base(p)
		if len(all) == 1 {
			file = name
		}
		pkgs = []string{p}
		steps = append(steps, Step{Name: "link " + file, Dir: dir, Env: e, Argv: cmd("build", "-o", r.p.Stage+"/"+file)})
	}
	return steps
}

// compileMemory is what one compiler may take, in bytes, that is told to collect garbage rarely.
const compileMemory = 2 << 30

// narrow has each compiler use fewer cores, for Go starts as many compilers as there are: on two cores that costs 7 to 15 %
// less CPU time, which otherwise goes to threads that look for work. With many cores the last packages want more than one.
// Where there is memory, garbage is collected rarely, which was another tenth of docker's.
func (r request) narrow(env []string) []string {
	if r.t.Jobs == 0 {
		return env
	}
	env = append(slices.Clone(env), fmt.Sprintf("GOMAXPROCS=%d", max(1, r.t.Jobs/2)))
	if r.t.Memory >= int64(r.t.Jobs)*compileMemory {
		env = append(env, "GOGC=400")
	}
	return env
}

func (r request) goAtLeast(v string) bool {
	have, err := version.NewVersion(r.t.GoVersion)
	return err == nil && have.GreaterThanOrEqual(version.Must(version.NewVersion(v)))
}

// atLeast compares the component's own version.
func (r request) atLeast(v string) bool { return atLeast(r.c, v) }

func atLeast(c *stack.Component, v string) bool {
	return version.Must(version.NewVersion(c.Version)).Core().GreaterThanOrEqual(version.Must(version.NewVersion(v)))
}

// packages are the packages of the sources, as Go wants them named: by directory in a module, by import path in a GOPATH.
func (r request) packages(module string, dirs ...string) []string {
	if r.modules() == "on" {
		return dirs
	}
	var out []string
	for _, d := range dirs {
		out = append(out, path.Join(module, d))
	}
	return out
}

// xs writes -X flags, in the order given; pairs with an empty value are left out: what is unknown is not invented.
func xs(pkg string, pairs ...string) []string {
	var out []string
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out = append(out, "-X", pkg+"."+pairs[i]+"="+pairs[i+1])
		}
	}
	return out
}

func (r request) buildTime() string { return time.Unix(r.s.Epoch, 0).UTC().Format(time.RFC3339) }

// short is the commit as upstream's own builds print it.
func short(commit string, n int) string { return commit[:min(n, len(commit))] }
