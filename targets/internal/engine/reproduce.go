package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/host"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/source"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/store"
	"drydock/targets/internal/ui"
	"drydock/targets/internal/verify"
)

// variant is one of the two surroundings in which a stack is built to see whether they show in it.
type variant struct {
	dir   string
	uid   int // where root may become another user
	umask int
	jobs  int
	host  string // in a namespace, where root may have one
	env   []string
}

func variants() []variant {
	return []variant{
		{dir: "a", umask: 0o022, jobs: runtime.NumCPU(), host: "alpha", env: []string{"TZ=UTC", "LC_ALL=C", "USER=root", "LOGNAME=root"}},
		{dir: "b/a-longer-name", uid: 65534, umask: 0o077, jobs: runtime.NumCPU() + 3, host: "omega.example",
			env: []string{"TZ=Pacific/Kiritimati", "LC_ALL=tr_TR.UTF-8", "LANG=tr_TR.UTF-8", "USER=somebody", "LOGNAME=somebody", "GOFLAGS=-v", "CFLAGS=-O0"}},
	}
}

// Reproduce builds the stack, or one component, twice from empty caches in different surroundings and compares every
// output byte for byte; with record, the digests of an identical pair are noted beside the stack file.
func Reproduce(ctx context.Context, component string, record bool) error {
	return command(ctx, func(ctx context.Context, e *Engine) error { return e.reproduce(ctx, component, record) })
}

// ready gets all that building a component again takes, or the stack where it is empty, and the lock of the directory in which that is
// done; done gives it back. It returns the command that builds it, and the components that this makes.
func (e *Engine) ready(ctx context.Context, component string) (target string, components []string, done func(), err error) {
	target, components = "all", e.Stack.Parts()
	if component != "" {
		if e.Stack.Component[component] == nil {
			return "", nil, nil, fmt.Errorf("reproduce: got component %q, want one of %s", component, strings.Join(e.Stack.Parts(), ", "))
		}
		target, components = recipe.Row(component).Target, recipe.Closure(e.Stack, []string{component})
	}
	if err = e.look(ctx); err == nil {
		err = e.fit(components)
	}
	if err != nil {
		return "", nil, nil, err
	}
	if _, err = e.src.Fetch(ctx, components); err != nil {
		return "", nil, nil, failure.With(failure.Sources, err)
	}
	done, err = graph.Lock(ctx, e.build("reproduce"), strings.Join(os.Args, " "), nil)
	return target, components, done, err
}

func (e *Engine) reproduce(ctx context.Context, component string, record bool) error {
	target, components, done, err := e.ready(ctx, component)
	if err != nil {
		return err
	}
	defer done()
	base := e.build("reproduce")
	var roots []string
	for _, v := range variants() {
		root := filepath.Join(base, v.dir)
		roots = append(roots, root)
		if err := e.buildAs(ctx, v, root, base, target); err != nil {
			return failure.With(failure.Failed, fmt.Errorf("reproduce in %s: %w", e.rel(root), err))
		}
	}
	parts := components
	if component == "" {
		parts = append(slices.Clone(components), packageNode)
	}
	rows, same, other, err := e.compare(roots, parts)
	if err != nil {
		return failure.With(failure.Failed, err)
	}
	e.UI.Text("\n" + ui.Table(rows))
	what := "the whole stack"
	if component != "" {
		what = strings.Join(parts, ", ")
	}
	if !same {
		return failure.With(failure.Failed, fmt.Errorf("%s is not the same twice: see the table; both builds are kept in %s", e.Stack.Name, e.rel(base)))
	}
	if other > 0 {
		return failure.With(failure.Failed, fmt.Errorf("%s: %s came out the same twice, but %d of its files not as they were built here from the same inputs: see the table; both builds are kept in %s", e.Stack.Name, what, other, e.rel(base)))
	}
	if record {
		if err := e.recordDigests(roots[0], components); err != nil {
			return err
		}
	}
	for _, v := range variants() {
		if err := source.RemoveAll(filepath.Join(base, v.dir[:1])); err != nil {
			return err
		}
	}
	e.UI.Line("drydock: %s: identical: %s came out the same twice, %s", e.Stack.Name, what, ui.Duration(time.Since(e.start)))
	return nil
}

// buildAs runs ourselves in a repository made of links to this one, in the variant's surroundings.
func (e *Engine) buildAs(ctx context.Context, v variant, root, base, target string) error {
	if err := errors.Join(source.RemoveAll(root), os.MkdirAll(filepath.Join(root, "home"), 0o755)); err != nil {
		return err
	}
	for _, n := range []string{"vendor-sources", "patches", "mage", "LICENSE"} { // the last one is packed
		if err := os.Symlink(filepath.Join(e.Root, n), filepath.Join(root, n)); err != nil {
			return err
		}
	}
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	user := "the same user"
	if v.uid != 0 && os.Geteuid() == 0 && host.ReadableByAll(e.Root) {
		attr.Credential = &syscall.Credential{Uid: uint32(v.uid), Gid: uint32(v.uid)}
		user = fmt.Sprintf("user %d", v.uid)
		for d := root; d != base; d = filepath.Dir(d) {
			if err := os.Chown(d, v.uid, v.uid); err != nil {
				return err
			}
		}
		if err := os.Chown(filepath.Join(root, "home"), v.uid, v.uid); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	logFile := filepath.Join(base, v.dir[:1]+".log")
	log, err := os.Create(logFile)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, self, target)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = root, log, log, attr
	cmd.Env = append(slices.Clone(v.env), "PATH="+os.Getenv("PATH"), "HOME="+filepath.Join(root, "home"), "DRYDOCK_ROOT="+root, "STACK="+e.Stack.Name, "ARCH="+e.Stack.Target.Arch, "LIBC="+e.Stack.Libc,
		"OFFLINE=1", "KEEP=0", fmt.Sprintf("JOBS=%d", v.jobs))
	for _, k := range []string{"GO", "CC", "CC_" + e.Stack.Target.Arch, "KERNEL_HEADERS", "GOROOT", "EXTRAS", "TRUST_OWNER"} {
		if x, ok := os.LookupEnv(k); ok {
			cmd.Env = append(cmd.Env, k+"="+x)
		}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	name := "the same host name"
	start := time.Now()
	ended := make(chan error, 1)
	go func() {
		// The name and the umask are set for a thread of our own, which ends with this function: the child gets them.
		runtime.LockOSThread()
		if syscall.Unshare(syscall.CLONE_NEWUTS|syscall.CLONE_FS) == nil && syscall.Sethostname([]byte(v.host)) == nil {
			name = "host " + v.host
		}
		if syscall.Unshare(syscall.CLONE_FS) == nil {
			syscall.Umask(v.umask)
		}
		e.UI.Line("build     %s: %s, %s, umask %03o, -j%d, %s", e.rel(root), user, name, v.umask, v.jobs, strings.Join(v.env, " "))
		ended <- cmd.Run()
	}()
	if err := <-ended; err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%w: see %s", err, e.rel(logFile))
	}
	e.UI.Line("built     %s in %s", e.rel(root), ui.Duration(time.Since(start)))
	return nil
}

// compare holds every output of the parts in one repository against the other's, and against what is built in this one: other
// counts those that the same inputs made here to be something else.
func (e *Engine) compare(roots []string, parts []string) (rows [][]string, same bool, other int, err error) {
	rows, same = [][]string{{"COMPONENT", "FILE", "SHA-256", "VERDICT", "WHAT IS BUILT HERE"}}, true
	for _, n := range parts {
		var recs []*graph.Record
		for _, r := range roots {
			g := &graph.Graph{Root: r, Records: filepath.Join(r, "build", e.Stack.Dir(), "record")}
			rec := g.Load(n)
			if rec == nil {
				return nil, false, 0, fmt.Errorf("%s was not built in %s", n, e.rel(r))
			}
			if d := g.Damage(rec, true); d != "" {
				return nil, false, 0, fmt.Errorf("%s is not as it was built in %s: %s", n, e.rel(r), d)
			}
			recs = append(recs, rec)
		}
		if recs[0].Key != recs[1].Key {
			for i, in := range recs[0].Inputs {
				if i < len(recs[1].Inputs) && in != recs[1].Inputs[i] {
					return nil, false, 0, fmt.Errorf("%s: the surroundings are part of its key: %s: %q, then %q", n, in.Name, in.Value, recs[1].Inputs[i].Value)
				}
			}
		}
		for i, p := range verify.Compare(recs[0], recs[1]).Files {
			text, wrong := e.asBuilt(recs[0], e.records().Load(n), i)
			if wrong {
				text, other = e.UI.Bad("DIFFERS")+": "+text, other+1
			}
			d, err := verify.Difference(filepath.Join(roots[0], p.A.Path), filepath.Join(roots[1], p.B.Path))
			if err != nil {
				return nil, false, 0, err
			}
			verdict := e.UI.Good("identical")
			if d != "" {
				verdict, same = e.UI.Bad("DIFFERS")+": "+d, false
			}
			rows = append(rows, []string{n, p.Name(), verify.Short(p.A.SHA256), verdict, text})
		}
	}
	return rows, same, other, nil
}

// asBuilt says how the i-th file of a build that came out the same twice compares with what is built in this repository;
// wrong says that the same inputs made something else.
func (e *Engine) asBuilt(rec, mine *graph.Record, i int) (text string, wrong bool) {
	if mine == nil {
		return "nothing", false
	}
	c := verify.Compare(rec, mine)
	p := c.Files[i]
	switch {
	case !c.SameInputs:
		return "made from something else: " + graph.Differs(mine, rec.Inputs), false
	case p.B.Path == "":
		return "not made", true
	case !p.Same():
		return verify.Short(p.B.SHA256), true
	}
	if d := damaged(e.records(), p.B); d != "" {
		return "not as it was built: " + d, true
	}
	return "the same", false
}

// digestsFile is where the stack's recorded digests stand.
func (e *Engine) digestsFile() string { return e.Stack.Beside(".digests") }

// recorded returns what is noted of a build.
func recorded(rec *graph.Record) *stack.RecordedBuild {
	return verify.Recorded(rec, store.NoticesFile, store.RelinkFile)
}

func (e *Engine) recordDigests(root string, components []string) error {
	all, err := stack.LoadRecorded(e.digestsFile())
	if err != nil {
		return err
	}
	g := &graph.Graph{Root: root, Records: filepath.Join(root, "build", e.Stack.Dir(), "record")}
	for _, n := range components { // the package follows from them, whatever compiled them
		all.Put(recorded(g.Load(n)))
	}
	data := all.Encode()
	e.UI.Line("recorded  digests in %s", e.rel(e.digestsFile()))
	return archive.WriteBytes(e.digestsFile(), 0o644, data)
}
