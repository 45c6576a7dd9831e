// Package engine is the conductor: it binds a stack to this host, makes graph nodes of its components, runs them, and
// reports.
package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/gocache"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/host"
	"drydock/targets/internal/origins"
	"drydock/targets/internal/pack"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/remote"
	"drydock/targets/internal/run"
	"drydock/targets/internal/source"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/store"
	"drydock/targets/internal/trace"
	"drydock/targets/internal/ui"
)

// DefaultStack is built when STACK is not set.
const DefaultStack = "docker-26.1"

// buildSpace is what a stack's work trees, caches and outputs take on disk, in bytes: measured 4.1 GB for docker-26.1.
const buildSpace = 6 << 30

// Engine is one stack on one host.
type Engine struct {
	Root    string
	Stack   *stack.Stack
	UI      *ui.UI
	Sources *source.Set   // what it is built from
	Store   *store.Store  // what was built
	Shared  *remote.Cache // of the team; nil without
	Started time.Time

	facts    *host.Facts
	believed string          // the key of a package that the cache is asked for; empty for none
	goServer *gocache.Server // of what Go compiles; nil without

	memory   int64                   // bytes that were free at the start
	compile  *graph.Semaphore        // steps that use every core: one at a time
	load     *graph.Semaphore        // steps that will, and read their sources until then: one at a time
	link     *graph.Semaphore        // steps that use memory: as many as it has room for
	unlock   func()                  // of the stack's lock, which is lost where nobody refers to it
	done     map[string]graph.Result // what this process has brought up to date
	progress *trace.Progress
	outcome  string // of a run that failed, for its last line
	also     string // what the last line says besides
	logs     string // this run's directory of logs; empty until something is logged
	logDir   func() (string, error)
	confined func() error   // see confine: once
	sweeping sync.WaitGroup // of trees that are no longer needed
}

// linkMemory is what one link may take, in bytes: 1.0 GB was measured for dockerd.
const linkMemory = 1200 << 20

// Command opens the stack and runs one command on it. The context ends with a signal, and what the command ends with
// has the form of a run's last line.
func Command(ctx context.Context, do func(context.Context, *Engine) error) error {
	ctx, stop := Signalled(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- Reading(ctx, do) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(stopGrace): // a disk that does not answer; what a killed run leaves is thrown away by the next
		return failure.LastLine("", "", failure.Errorf(failure.Stopped,
			"stopped by a signal, without waiting for what did not end within %v: %w", stopGrace, context.Canceled))
	}
}

// stopGrace is what a command has after a signal to end by itself: twice what it gives its children.
const stopGrace = 3 * time.Second

// Reading is Command for what a signal may end at any moment. It fails as that does.
func Reading(ctx context.Context, do func(context.Context, *Engine) error) error {
	e, err := opened()
	if err != nil {
		return failure.LastLine("", "", err)
	}
	return failure.LastLine(e.Stack.Name, e.outcome, do(ctx, e))
}

// memoryLimit is where Go's collector begins to work harder, in bytes: the machine's memory is for the compilers. What
// is in use at a time, several archives being unpacked, is less.
const memoryLimit = 44 << 20

// opened finds the repository and reads the stack that STACK names. Every target of one command line gets the same.
var opened = sync.OnceValues(open)

func open() (*Engine, error) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	syscall.Umask(0o022) // what is built must not depend on whose terminal or cron table it was
	root, err := findRoot()
	if err != nil {
		return nil, err
	}
	if v := os.Getenv("JOBS"); v != "" {
		if n, err := strconv.Atoi(v); err != nil || n < 1 {
			return nil, fmt.Errorf("JOBS=%s: want a number, 1 or more", v)
		}
	}
	if v := os.Getenv("ISOLATION"); v != "" && !run.BestEffort() {
		return nil, fmt.Errorf("ISOLATION=%s: want best-effort, or nothing", v)
	}
	u := ui.New(os.Stdout)
	if err := acceptBundle(root, u); err != nil {
		return nil, err
	}
	return OpenStack(root, selected(root), u)
}

// acceptBundle compares an unpacked bundle with its list, the first time that it is used, and says so.
func acceptBundle(root string, u *ui.UI) error {
	removed, said, err := pack.AcceptBundle(root)
	for _, n := range removed {
		u.Line("bundle    %s removed: it is not in the newer bundle", n)
	}
	if changed := (*pack.ChangedError)(nil); errors.As(err, &changed) {
		return failure.With(failure.Sources, err)
	}
	if said != "" {
		u.Line("bundle    every file is as it was bundled; %s", said)
	}
	return err
}

// OpenStack reads one stack of the repository, and the settings that are about it. The error of a wrong file is
// stack.Problems.
func OpenStack(root, name string, u *ui.UI) (*Engine, error) {
	s, err := stack.Load(filepath.Join(root, "vendor-sources"), name, recipe.Rows())
	if err != nil {
		return nil, err
	}
	extras := strings.Fields(strings.ReplaceAll(os.Getenv("EXTRAS"), ",", " "))
	if s, err = s.With(stack.Settings{Arch: selectedArch(root), Libc: os.Getenv("LIBC"), Extras: extras}); err != nil {
		return nil, err
	}
	e := &Engine{Root: root, Stack: s, UI: u, done: map[string]graph.Result{}, Started: time.Now()}
	e.Store = &store.Store{Root: root, Dir: e.BuildDir("store"), Output: e.OutputDir()}
	e.compile, e.load = graph.NewSemaphore(1), graph.NewSemaphore(1)
	e.memory = host.FreeMemory()
	e.link = graph.NewSemaphore(int(max(1, min(width, e.memory/linkMemory))))
	e.logDir = sync.OnceValues(e.newLogDir)
	e.confined = sync.OnceValue(e.confine)
	if e.Shared, err = remote.FromEnv(u, IsSet("OFFLINE")); err != nil {
		return nil, err
	}
	return e, e.openSources()
}

// openSources sets up what the stack is made from, and takes the versions and commits of what is the user's own.
func (e *Engine) openSources() (err error) {
	e.Sources = &source.Set{Stack: e.Stack, UI: e.UI, Root: e.Root, Editing: IsSet("EDIT"),
		Given:     map[string]*source.Found{},
		VersionIn: func(component string) *stack.VersionFile { return recipe.Row(component).VersionIn },
		Online:    e.online, Pick: e.pick,
		Store: &source.Store{Dir: filepath.Join(e.Root, "vendor-sources"), Meter: e.UI,
			Digests: source.OpenDigests(filepath.Join(e.Root, ".cache/digests.json"))}}
	if !IsSet("OFFLINE") {
		if e.Sources.Places, err = origins.Named(os.Getenv); err != nil {
			return err
		}
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.ResponseHeaderTimeout = 30 * time.Second
		e.Sources.Client = &http.Client{Transport: t}
		if at := os.Getenv("GO_CACHE_SERVER"); at != "" {
			if e.goServer, err = gocache.New(at, os.Getenv("GO_CACHE_TOKEN_FILE"),
				func(text string) { e.UI.Line("notice    %s", text) }); err != nil {
				return err
			}
		}
	}
	own := stack.Settings{Versions: map[string]string{}, Commits: e.Sources.Commits()}
	for _, r := range recipe.Components() {
		dir := os.Getenv(r.Prefix)
		if r.Prefix == "" || dir == "" || e.Stack.Component[r.Name] == nil {
			continue
		}
		if e.Sources.Given[r.Name], own.Versions[r.Name], err = e.Sources.Installed(dir); err != nil {
			return err
		}
	}
	e.Stack, err = e.Stack.With(own)
	e.Sources.Stack = e.Stack
	return err
}

// IsSet reports whether a switch in the environment is on.
func IsSet(name string) bool { v := os.Getenv(name); return v != "" && v != "0" }

// findRoot looks for the repository: DRYDOCK_ROOT, then upwards from the working directory, then from the program.
func findRoot() (string, error) {
	var from []string
	if d := os.Getenv("DRYDOCK_ROOT"); d != "" {
		from = append(from, d)
	} else {
		if d, err := os.Getwd(); err == nil {
			from = append(from, d)
		}
		if p, err := os.Executable(); err == nil {
			from = append(from, filepath.Dir(p))
		}
	}
	for _, d := range from {
		for ; ; d = filepath.Dir(d) {
			if isRoot(d) {
				root, err := filepath.EvalSymlinks(d)
				if err == nil && !IsSet("TRUST_OWNER") {
					err = host.CheckOwner(root)
				}
				return root, err
			}
			if d == filepath.Dir(d) {
				break
			}
		}
	}
	return "", fmt.Errorf("no drydock repository at or above %s: want a directory with mage, targets/ and "+
		"vendor-sources/; change to it or set DRYDOCK_ROOT", strings.Join(from, " or "))
}

func isRoot(d string) bool {
	for _, n := range []string{"vendor-sources", "patches"} {
		if fi, err := os.Stat(filepath.Join(d, n)); err != nil || !fi.IsDir() {
			return false
		}
	}
	_, err := os.Stat(filepath.Join(d, "mage"))
	return err == nil
}

// Signalled gives a context that ends with SIGINT, SIGTERM and SIGHUP; mage itself knows the first only. One that is
// ignored stays so: nohup(1).
func Signalled(ctx context.Context) (context.Context, context.CancelFunc) {
	sigs := []os.Signal{syscall.SIGTERM}
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			sigs = append(sigs, s)
		}
	}
	return signal.NotifyContext(ctx, sigs...)
}

// BuildDir returns a path below the directory in which the stack is built.
func (e *Engine) BuildDir(parts ...string) string {
	return filepath.Join(append([]string{e.Root, "build", e.Stack.Dir()}, parts...)...)
}

// OutputDir returns a path below the directory in which the stack is published.
func (e *Engine) OutputDir(parts ...string) string {
	return filepath.Join(append([]string{e.Root, "output", e.Stack.Dir()}, parts...)...)
}

// keptLogs is how many runs' logs are kept.
const keptLogs = 20

// newLogDir makes this run's directory of logs, points latest at it, and drops the oldest.
func (e *Engine) newLogDir() (string, error) {
	base := e.BuildDir("log")
	name := e.Started.UTC().Format("20060102T150405.000Z")
	if err := os.MkdirAll(filepath.Join(base, name), 0o755); err != nil {
		return "", err
	}
	if err := archive.WriteLink(name, filepath.Join(base, "latest")); err != nil {
		return "", err
	}
	if es, err := os.ReadDir(base); err == nil {
		var dirs []string
		for _, entry := range es {
			if entry.IsDir() {
				dirs = append(dirs, entry.Name())
			}
		}
		slices.Sort(dirs)
		for _, d := range dirs[:max(0, len(dirs)-keptLogs)] {
			if d != name { // the oldest by name, after the clock was set back
				os.RemoveAll(filepath.Join(base, d))
			}
		}
	}
	e.logs = filepath.Join(base, name)
	return e.logs, nil
}

// AtEnd adds to the last line of a run that did what was asked.
func (e *Engine) AtEnd(text string) { e.also += "; " + text }

// Look gets the host's facts, once. A carried Go that cannot be unpacked is failure.Sources, all else failure.Other.
func (e *Engine) Look(ctx context.Context) error {
	if e.facts != nil {
		return nil
	}
	return e.lookAgain(ctx)
}

// lookAgain gets facts that know what came meanwhile. They are a value of their own; without them the former stay.
func (e *Engine) lookAgain(ctx context.Context) error {
	if err := e.Sources.UnpackToolchains(); err != nil {
		return failure.With(failure.Sources, err)
	}
	asked := host.FromEnv(e.Sources.Dir, filepath.Join(e.Root, "build")).For(e.Stack.Arch())
	facts, err := host.Look(ctx, asked, filepath.Join(e.Root, ".cache", asked.CacheName()))
	if err != nil {
		return failure.With(failure.Other, err)
	}
	e.facts = facts
	return nil
}

// asks are what the named components need of the host.
func (e *Engine) asks(names []string) host.Asks {
	a := host.Asks{Go: map[string]string{}, Kernel: e.Stack.Target.Kernel, Dir: filepath.Join(e.Root, "build"),
		Disk: buildSpace, Memory: linkMemory,
		Epoch: e.Stack.Epoch, Fetch: e.Stack.Toolchains(), Writable: []string{filepath.Join(e.Root, "build"),
			filepath.Join(e.Root, "output"), filepath.Join(e.Root, ".cache")}}
	if _, err := os.Stat(e.BuildDir("store")); err == nil {
		a.Disk = buildSpace / 3 // the caches are there already
	}
	for _, n := range names {
		c := e.Stack.Component[n]
		if c == nil {
			continue
		}
		row := recipe.Row(n)
		if row.Go {
			a.Go[n] = e.Stack.GoConstraint(c)
		}
		a.C = a.C || recipe.UsesC(c)
		a.Libc, a.Setns = a.C && !e.Stack.OwnLibc(), a.Setns || row.Setns
		a.Make = a.Make || row.Make && e.Sources.Given[n] == nil
		a.Quota = a.Quota || recipe.WantsQuota(c)
	}
	a.Brings = e.ground()
	return a
}

// cc is the C compiler of the stack.
func (e *Engine) cc() *host.CC { return e.facts.Compiler(!e.Stack.OwnLibc()) }

// ground names what the stack has in place of the host's C library and kernel headers; empty where it takes those.
func (e *Engine) ground() string {
	var names []string
	for _, n := range e.Stack.Ground() {
		names = append(names, n+" "+e.Stack.Component[n].Version)
	}
	return strings.Join(names, ", ")
}

// tools are what compiles a component, from the facts.
func (e *Engine) tools(c *stack.Component) (recipe.Tools, *host.Go) {
	cc := e.cc()
	t := recipe.Tools{CC: cc.Path, AR: e.facts.AR, Make: e.facts.Make, Shell: e.facts.Shell,
		StaticPIE: cc.Does(host.StaticPIE), Quota: cc.Does(host.QuotaHeaders), Headers: cc.Headers,
		Jobs: jobs(), Memory: e.memory}
	if given := e.Sources.Given[c.Name]; given != nil {
		t.Library = given.Library()
	}
	if e.Stack.OwnLibc() {
		t.StaticPIE, t.Quota = cc.Does(host.BarePIE), true
	}
	if !recipe.Row(c.Name).Go {
		return t, nil
	}
	g, _ := e.facts.Pick(e.Stack.GoConstraint(c))
	if g != nil {
		t.Go, t.GoVersion = g.Path, g.Version
	}
	return t, g
}

// jobs is how many compilers one step may start: JOBS, or as many as there are cores.
func jobs() int {
	if n, err := strconv.Atoi(os.Getenv("JOBS")); err == nil && n > 0 {
		return n
	}
	return runtime.NumCPU()
}

// selected is the stack of this run, and selectedArch its architecture; empty for that of the stack's file.
func selected(root string) string {
	name, _ := pack.BundledFor(root)
	return cmp.Or(os.Getenv("STACK"), name, DefaultStack)
}

func selectedArch(root string) string {
	name, arch := pack.BundledFor(root)
	if selected(root) != name {
		arch = ""
	}
	return cmp.Or(os.Getenv("ARCH"), arch)
}
