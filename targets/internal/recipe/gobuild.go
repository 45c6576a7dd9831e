package recipe

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/stack"

	version "github.com/hashicorp/go-version"
)

// goEnv is the whole environment of a Go step.
func (r request) goEnv(cgo bool, more ...string) []string {
	env := append(r.env(),
		"GOTOOLCHAIN=local", "GOPROXY=off", "GOSUMDB=off", "GOFLAGS=", "GOENV=off", "GOWORK=off",
		"GO111MODULE="+r.modules(),
		"GOCACHE="+r.p.Cache, "GOPATH="+r.gopath())
	env = append(env, r.arch.Go()...)
	if cgo {
		env = append(env, "CGO_ENABLED=1", "PKG_CONFIG="+r.p.Shims+"/pkg-config")
	} else {
		env = append(env, "CGO_ENABLED=0")
	}
	return append(env, more...)
}

// modules reports whether the sources are a module, in GO111MODULE's words.
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

// goCommand is what one run of Go compiles.
type goCommand struct {
	name                string // of the steps
	cgo                 bool
	tags                string
	ldflags, flags, env []string
	packages            []string
	// out is the file below Stage where it is not named after its only package.
	out string
}

// goBuild compiles packages and then links them into Stage, as two steps: compiling keeps every core busy, linking
// mostly one, so that a link can overlap with the next component's compiling. "go list -export" compiles what "go
// build" with the same flags then finds in the cache. -v names each package as it is compiled: the progress of a run.
func (r request) goBuild(g goCommand) []Step {
	common := r.goFlags(g)
	env := r.goEnv(g.cgo, g.env...)
	if !r.goAtLeast("1.13") {
		env = append(env, "GOROOT_FINAL=/usr/local/go")
	}
	cmd := func(packages []string, verb ...string) []string {
		return slices.Concat([]string{r.t.Go}, verb, common, packages)
	}
	steps := []Step{{Name: "compile " + g.name, Dir: r.p.Work, Env: r.narrow(env), Compiles: true, Loads: true,
		Argv: cmd(g.packages, "list", "-export", "-v", "-f", "{{with \"\"}}{{.}}{{end}}")}}
	if r.modules() == "on" {
		return append(steps, Step{Name: "link " + g.name, Dir: r.p.Work, Env: env,
			Argv: cmd(g.packages, "build", "-o", r.p.Stage+"/"+g.out)})
	}
	for _, p := range g.packages { // Go before 1.14 writes one file at a time
		file := path.Base(p)
		if len(g.packages) == 1 {
			file = cmp.Or(g.out, g.name)
		}
		steps = append(steps, Step{Name: "link " + file, Dir: r.p.Work, Env: env,
			Argv: cmd([]string{p}, "build", "-o", r.p.Stage+"/"+file)})
	}
	return steps
}

// goFlags are the flags of both steps.
func (r request) goFlags(g goCommand) []string {
	flags := []string{"-mod=vendor", "-trimpath", "-tags", g.tags, NoDWARF}
	if r.modules() == "off" {
		flags = flags[1:]
	}
	if !r.goAtLeast("1.13") { // no -trimpath for the whole yet
		flags = slices.DeleteFunc(flags,
			func(a string) bool { return a == "-trimpath" || strings.HasPrefix(a, "-gcflags") })
		cut := "-trimpath=" + path.Dir(r.p.Work)
		flags = append(flags, NoDWARF+" "+cut, "-asmflags=all="+cut)
	}
	if r.goAtLeast("1.18") {
		flags = append(flags, "-buildvcs=false")
	}
	if r.t.Jobs > 0 {
		flags = append(flags, fmt.Sprintf("-p=%d", r.t.Jobs))
	}
	flags = append(flags, g.flags...)
	return append(flags, "-ldflags="+strings.Join(append([]string{"-s", "-w", "-buildid="}, g.ldflags...), " "))
}

// GoBuild is a component that one command of Go makes, without cgo, as one file. In its texts {version} stands for the
// release, {commit} for upstream's commit of it; one with a commit is left out where that is not known.
type GoBuild struct {
	Module  string // its import path
	Package string // the directory of its main package, such as ./cmd/x
	File    string // what is made; empty for the component's name
	Tags    string // beside those that make it static
	// X sets strings, each as PACKAGE.NAME=VALUE with the package's path below Module.
	X []string
	// Ask and Want: see Output.
	Ask, Want []string
}

// plain is the plan of a GoBuild.
func (r request) plain(b *GoBuild) Plan {
	file := cmp.Or(b.File, r.row.Name)
	g := goCommand{name: file, tags: strings.TrimSpace("netgo osusergo " + b.Tags),
		packages: r.packages(b.Module, b.Package)}
	if r.row.Install+file != path.Base(b.Package) {
		g.out = r.row.Install + file
	}
	for _, x := range r.filled(b.X) {
		g.ldflags = append(g.ldflags, "-X", b.Module+"/"+x)
	}
	return Plan{Files: r.gopathLinks(), Steps: r.goBuild(g),
		Outputs: []Output{{Name: r.row.Install + file, Bin: true, Ask: b.Ask, Want: r.filled(b.Want)}}}
}

// filled are a GoBuild's texts for this release.
func (r request) filled(texts []string) (out []string) {
	for _, t := range texts {
		if r.c.Commit == "" && strings.Contains(t, "{commit}") {
			continue
		}
		out = append(out, strings.NewReplacer("{version}", r.c.Version, "{commit}", r.c.Commit).Replace(t))
	}
	return out
}

// compileMemory is what one compiler may take, in bytes, that is told to collect garbage rarely.
const compileMemory = 2 << 30

// narrow has each compiler use fewer cores, for Go starts as many compilers as there are: on two cores that costs 7 to
// 15 % less CPU time, which otherwise goes to threads that look for work. With many cores the last packages want more
// than one. Where there is memory, garbage is collected rarely, which was another tenth of docker's.
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

// packages are the packages of the sources, as Go wants them named: by directory in a module, by import path in a
// GOPATH.
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

// released reports whether the version is no pre-release.
func (r request) released() bool {
	return version.Must(version.NewVersion(r.c.Version)).Prerelease() == ""
}

// before compares the component's version, with its pre-release.
func (r request) before(v string) bool {
	return version.Must(version.NewVersion(r.c.Version)).LessThan(version.Must(version.NewVersion(v)))
}

func nonEmpty(s ...string) []string {
	return slices.DeleteFunc(s, func(x string) bool { return x == "" })
}
