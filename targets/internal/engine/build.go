package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/host"
	"drydock/targets/internal/patch"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/release"
	"drydock/targets/internal/run"
	"drydock/targets/internal/source"
	"drydock/targets/internal/store"
	"drydock/targets/internal/trace"
	"drydock/targets/internal/verify"
)

// packageNode is the name of the last node.
const packageNode = "package"

// Options are what the building commands can be told.
type Options struct {
	KeepGoing bool // go on with what does not depend on a failure
	Wait      bool // for another run on the same stack, instead of stopping
	Smoke     bool // a new package must pass the smoke test, too, before it is the latest
}

// Build brings what commands are named after (components, several of them, and with packageNode the package) up to date: sources, host, graph, summary.
func Build(ctx context.Context, opt Options, names ...string) error {
	return command(ctx, func(ctx context.Context, e *Engine) error { return e.Build(ctx, opt, names) })
}

// Build brings components up to date.
func (e *Engine) Build(ctx context.Context, opt Options, names []string) error {
	targets := names
	names = nil
	for _, n := range targets {
		parts := e.ofTarget(n)
		names = append(names, parts...)
		if parts == nil {
			return fmt.Errorf("%s has no %s: its file would need [component.%s], as that of %s has it", e.Stack.Name, n, n, DefaultStack)
		}
	}
	if _, err := e.keepCount(); err != nil {
		return err
	}
	parts := e.partsOf(names)
	if err := e.look(ctx); err != nil {
		return err
	}
	if err := e.bringGo(ctx, parts); err != nil {
		return failure.With(failure.Sources, err)
	}
	if err := e.fit(parts); err != nil {
		return err
	}
	if err := e.lock(ctx, opt.Wait); err != nil {
		return err
	}
	defer e.src.Digests.Save()
	found, err := e.src.Fetch(ctx, parts)
	if err == nil {
		err = e.src.NoteCheckouts(found)
	}
	if err != nil {
		return err
	}
	g, err := e.graph(names, found)
	if err != nil {
		return err
	}
	g.KeepGoing = opt.KeepGoing || isSet("KEEP_GOING")
	plan, err := g.Plan(names)
	if err != nil {
		return err
	}
	stale := slices.ContainsFunc(plan, func(p graph.Planned) bool { return p.Status != graph.Fresh })
	if stale {
		if err := e.confined(); err != nil { // to try it starts a process
			return err
		}
		e.reap()
		e.bringAdvisories(ctx)
	}
	e.sweep()
	defer func() {
		if ctx.Err() == nil { // who is stopped must be gone in a moment; the next run sweeps what is left
			e.sweeping.Wait()
		}
	}()
	e.progress = &trace.Progress{UI: e.UI, Verbose: verbose(), Width: e.width(), Past: e.records().Load}
	e.progress.Begins(plan, packageNode)
	g.Watch, g.Done = e.progress, e.done
	stop := e.progress.Watch()
	ran := trace.Begin(strings.Join(append([]string{"mage"}, os.Args[1:]...), " "))
	results, err := g.Run(ctx, names)
	stop()
	for _, r := range results {
		e.done[r.Name] = r
	}
	ran.End(results, e.needs)
	e.remember(ran)
	var unfit error
	if err == nil && ctx.Err() == nil && slices.Contains(names, packageNode) {
		unfit = e.release(ctx, opt)
		e.auditLine()
	}
	e.summary(results) // the last line of a run
	failure.Print(os.Stderr, results)
	// Whatever failed besides, or was being examined, it was stopped.
	if ctx.Err() != nil {
		kept := "nothing was finished in this run"
		if k := e.progress.Kept(); len(k) > 0 {
			kept = strings.Join(k, ", ") + " finished and kept"
		}
		stopped := fmt.Errorf("stopped by a signal: %s; earlier outputs and the compile cache are in place: %w", kept, context.Canceled)
		return failure.With(failure.Stopped, errors.Join(stopped, err))
	}
	if unfit != nil {
		return unfit
	}
	return failure.With(failure.Failed, err)
}

// verbose is mage's -v.
func verbose() bool {
	v := os.Getenv("MAGEFILE_VERBOSE")
	return v == "1" || strings.EqualFold(v, "true")
}

// partsOf gives the components that the names stand for, with all that they need.
func (e *Engine) partsOf(names []string) []string {
	if i := slices.Index(names, packageNode); i >= 0 {
		names = slices.Concat(e.Stack.Parts(), names[:i], names[i+1:])
	}
	return e.closure(names)
}

// graph makes the nodes that the names stand for.
func (e *Engine) graph(names []string, sources map[string]*source.Source) (*graph.Graph, error) {
	g := e.records()
	g.Width = e.width()
	jobs := map[string]*Job{}
	for _, n := range e.partsOf(names) {
		jobs[n] = e.job(n, sources[n])
		g.Nodes = append(g.Nodes, e.node(jobs[n]))
	}
	if slices.Contains(names, packageNode) {
		var packed []*Job
		for _, n := range e.partsOf([]string{packageNode}) {
			packed = append(packed, jobs[n])
		}
		node, err := e.packNode(packed)
		if err != nil {
			return nil, err
		}
		g.Nodes = append(g.Nodes, node)
	}
	return g, nil
}

// records is the graph without nodes, which can read the records.
func (e *Engine) records() *graph.Graph {
	return &graph.Graph{Root: e.Root, Records: e.build("record"), Width: 1}
}

// width is how many components are in the making at a time: one compiles, the others unpack, link or are proved.
func (e *Engine) width() int { return 4 }

func (e *Engine) cores() int { return runtime.NumCPU() }

// lock takes the stack's lock for the rest of this process: "mage docker package" is one run.
func (e *Engine) lock(ctx context.Context, wait bool) error {
	if e.unlock != nil {
		return nil
	}
	var waiting func(graph.Holder)
	if wait {
		waiting = func(h graph.Holder) { e.UI.Line("waiting   for %s", h) }
	}
	var err error
	e.unlock, err = graph.Lock(ctx, e.build(), strings.Join(os.Args, " "), waiting)
	return err
}

// fit stops before anything is touched when this host cannot build the components.
func (e *Engine) fit(parts []string) error {
	findings := e.facts.Check(e.asks(parts))
	bad := 0
	for _, x := range findings {
		if !x.OK {
			bad++
		}
	}
	if bad == 0 {
		return nil
	}
	e.UI.Text(findingsTable(e.UI, findings))
	return failure.With(failure.Host, fmt.Errorf("this host cannot build %s: %d requirement(s) not met, see the table; nothing was touched", strings.Join(parts, ", "), bad))
}

// node makes the graph node of a job.
func (e *Engine) node(j *Job) *graph.Node {
	return &graph.Node{
		Name: j.Name, Needs: j.Needs, Inputs: j.inputs(), From: j.From,
		Do: func(ctx context.Context, key string) (graph.Made, error) {
			return e.make(ctx, j, key, e.progress.Alone(j.Name) && j.cached(e.records().Load(j.Name)))
		},
		Restore: func(r *graph.Record) error {
			if err := e.out.Whole(r); err != nil {
				return err
			}
			return e.out.Publish(j.Name, r.Key, j.Plan.Outputs)
		},
	}
}

// make builds one component in a private tree and puts what it made in place. Where little is to be compiled, and nothing
// would overlap with the link, whole has the linking step compile, too: Go reads the sources once.
func (e *Engine) make(ctx context.Context, j *Job, key string, whole bool) (made graph.Made, err error) {
	c, in := j.Component, j.Source
	logs, err := e.logDir()
	if err != nil {
		return made, err
	}
	log, err := os.Create(filepath.Join(logs, c.Name+".log"))
	if err != nil {
		return made, err
	}
	defer log.Close()

	work := e.build("work", c.Name)
	if err := e.discard(work); err != nil {
		return made, err
	}
	p, err := e.tree(j, work)
	if err != nil {
		return made, err
	}
	timed := func(name string, do func(*graph.StepTime) error) error {
		e.progress.Step(c.Name, name)
		st := graph.StepTime{Name: name, Start: time.Now().UTC()}
		start := time.Now()
		err := do(&st)
		st.Seconds = time.Since(start).Seconds()
		made.Steps = append(made.Steps, st)
		return err
	}
	unpack := func(*graph.StepTime) error {
		return unlessStopped(ctx, func() error {
			told, err := e.src.Prepare(c, in.Found, p.Work)
			return errors.Join(noted(log, told, err), e.src.Unchanged(in.Found))
		})
	}
	if err := timed("unpack", unpack); err != nil {
		return made, err
	}
	patch := func(*graph.StepTime) error {
		told, err := patch.Apply(p.Work, in.Patches)
		return noted(log, told, err)
	}
	if err := timed("patch", patch); err != nil {
		return made, err
	}
	plan := recipe.Of(e.Stack, c.Name, j.Tools, p)
	made.Notes = plan.Notes
	if err := errors.Join(writeFiles(plan.Files), e.lend(c)); err != nil {
		return made, err
	}
	sandbox := e.sandbox(p, j.Go)
	if err := sandbox.Give(); err != nil {
		return made, err
	}
	for _, s := range plan.Steps {
		if whole && s.Loads {
			continue
		}
		times, err := e.step(ctx, c.Name, s, sandbox, log)
		made.Steps = append(made.Steps, times...)
		if ctx.Err() != nil {
			return made, context.Cause(ctx)
		}
		if err != nil {
			f := failure.Failure{Component: c.Name, Version: c.Version, Step: s, Err: err, Log: log.Name(), Replay: e.build("repro-" + c.Name + ".sh")}
			if r := e.records().Load(c.Name); r != nil {
				f.Kept = r.Built
			}
			return made, failure.Of(f)
		}
	}
	if err := take(plan, p.Stage); err != nil {
		return made, err
	}
	check := func(*graph.StepTime) error { return e.verifyOutputs(ctx, plan.Outputs, p.Stage) }
	if err := timed("verify", check); err != nil {
		return made, err
	}
	var extras []recipe.Output
	err = timed("publish", func(*graph.StepTime) (err error) {
		if extras, err = store.Collect(plan, p); err != nil {
			return err
		}
		if err := e.out.Keep(c.Name, key, p.Stage, append(extras, plan.Outputs...)); err != nil {
			return err
		}
		return e.out.Publish(c.Name, key, plan.Outputs)
	})
	if err != nil {
		return made, err
	}
	made.Outputs = e.out.Paths(c.Name, key, append(plan.Outputs, extras...))
	e.out.DropOld(c.Name, key)
	return made, e.discard(work)
}

// noted writes what is told of patches into a log.
func noted(log io.Writer, told []string, err error) error {
	for _, t := range told {
		fmt.Fprintf(log, "# %s\n", t)
	}
	return err
}

// unlessStopped does not wait for the end of what takes seconds, when the run is stopped: the lock stays with this process
// until it is gone, and what it leaves is what a killed run leaves, which the next one throws away.
func unlessStopped(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// discard gets a tree out of the way at once and removes it in the background: ten thousand files take a while. Where
// it cannot be moved (a full disk, a mount of its own) it is removed on the spot.
func (e *Engine) discard(dir string) error {
	trash, err := os.MkdirTemp(filepath.Dir(dir), trashPrefix)
	if err == nil {
		err = os.Rename(dir, filepath.Join(trash, "x"))
		e.sweeping.Go(func() { source.RemoveAll(trash) })
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return source.RemoveAll(dir)
}

const trashPrefix = ".trash-"

// reap ends what a killed run left running and would write into our trees.
func (e *Engine) reap() {
	for _, pid := range run.Reap(e.build("work")) {
		e.UI.Line("notice    ended process %d, which a killed run had left", pid)
	}
}

// sweep removes what a killed run left behind.
func (e *Engine) sweep() {
	for _, d := range archive.Glob(e.build("work"), trashPrefix+"*") {
		e.sweeping.Go(func() { source.RemoveAll(d) })
	}
	// Of files that were being written. Where no lock says that nobody writes, those that nobody can be writing any more.
	locked := slices.Concat([]string{e.build("record")}, archive.Glob(e.build("store"), "*"), archive.Glob(e.output(release.Dir), "*"))
	for _, dir := range append(slices.Clip(locked), e.output(), e.build(), e.src.Dir, filepath.Join(e.Root, ".cache")) {
		for _, p := range archive.Glob(dir, ".tmp-*") {
			mine := slices.Contains(locked, dir) || dir == e.output() && strings.HasPrefix(filepath.Base(p), ".tmp-docker-")
			if fi, err := os.Lstat(p); err == nil && fi.Mode().IsRegular() && (mine || time.Since(fi.ModTime()) > 24*time.Hour) {
				os.Remove(p)
			}
		}
	}
}

func (e *Engine) rel(p string) string {
	r, err := filepath.Rel(e.Root, p)
	if err != nil {
		return p
	}
	return r
}

// goCache is shared by all components that the same toolchain compiles, and by no others: Go does not see that the C
// library changed, so what the C compiler is stands in the name, and what the stack's own C library is made from. (What
// that came out as stands in the flags: see recipe.)
func (e *Engine) goCache(g *host.Go) string {
	id := "none"
	if g != nil {
		in := []graph.Input{{Name: "go", Value: g.ID}, {Name: "cc", Value: e.cc().ID}}
		for _, l := range e.Stack.Lock.File {
			if slices.Contains(e.Stack.Ground(), l.Component) {
				in = append(in, graph.Input{Name: l.Component + " " + l.Name, Value: l.SHA256})
			}
		}
		id = graph.Key(in)[:12]
	}
	return filepath.Join(e.Root, "build/cache", "go-"+id)
}

func writeFile(file recipe.File) error {
	if err := os.MkdirAll(filepath.Dir(file.Path), 0o755); err != nil {
		return err
	}
	if file.Link != "" {
		return os.Symlink(file.Link, file.Path)
	}
	mode := os.FileMode(0o644)
	if file.Exec {
		mode = 0o755
	}
	if err := os.WriteFile(file.Path, []byte(file.Data), mode); err != nil {
		return err
	}
	return os.Chmod(file.Path, mode)
}

// step runs one step when there is room for it: one at a time compiles, for Go and make use every core already; and links,
// which need most memory, start only when there is room. Where a step loads first, that goes on beside another's
// compiling, which leaves a core idle at its beginning and its end; then it stands still until it is its turn.
func (e *Engine) step(ctx context.Context, name string, s recipe.Step, sandbox *run.Sandbox, log io.Writer) (times []graph.StepTime, err error) {
	rank := slices.Index(e.Stack.Rows.Names(), name) // what others need, and what links for long, goes first
	wait := func(ctx context.Context, q *graph.Semaphore, what string) error {
		if q.Try() {
			return nil
		}
		e.progress.Step(name, "wait to "+what)
		return q.Acquire(ctx, rank)
	}
	first := e.link
	label := s.Name
	switch {
	case s.Loads:
		first, label = e.load, "load"+strings.TrimPrefix(s.Name, "compile")
	case s.Compiles:
		first = e.compile
	}
	if err := wait(ctx, first, label); err != nil {
		return nil, err
	}
	held := first
	defer func() { held.Release() }()

	var used run.Usage
	var before time.Duration // CPU time of what is in times already
	start := time.Now()
	begin := func(step string) {
		e.progress.Step(name, step)
		start = time.Now()
		label = step
	}
	end := func(cpu time.Duration) *graph.StepTime {
		times = append(times, graph.StepTime{Name: label, Start: start.UTC(), Seconds: time.Since(start).Seconds(), CPU: max(0, cpu-before).Seconds()})
		before = cpu
		return &times[len(times)-1]
	}
	begin(label)
	fmt.Fprintf(log, "# %s\n# in %s\n%s\n", s.Name, s.Dir, run.Quote(s.Argv))
	out, count := e.progress.Output(name, log)
	cmd := run.Cmd{Argv: s.Argv, Dir: s.Dir, Env: s.Env, Sandbox: sandbox, Out: out, Usage: &used}
	if s.Loads {
		cmd.At = namesPackage // an error is not held back
		cmd.Gate = func(ctx context.Context, cpu time.Duration) error {
			end(cpu)
			if err := wait(ctx, e.compile, s.Name); err != nil {
				return err
			}
			held = e.compile
			e.load.Release()
			begin(s.Name)
			return e.lend(e.Stack.Component[name]) // others compiled meanwhile
		}
	}
	err = cmd.Run(ctx)
	st := end(used.CPU)
	st.Peak = used.Peak
	if n := count(); s.Compiles && label == s.Name {
		st.Units, st.Exclusive = n, true
	}
	return times, err
}

// namesPackage says that Go printed a line that is an import path: it loaded all, and begins to compile.
func namesPackage(printed []byte) bool {
	for line := range bytes.Lines(printed) {
		if line = bytes.TrimSpace(line); len(line) > 0 && !bytes.ContainsAny(line, " \t:#") {
			return true
		}
	}
	return false
}

// verifyOutputs compares every output in dir with what it must be.
func (e *Engine) verifyOutputs(ctx context.Context, outputs []recipe.Output, dir string) error {
	var errs []error
	for _, o := range outputs {
		p := filepath.Join(dir, o.Name)
		if !o.Bin {
			if _, err := os.Stat(p); err != nil {
				errs = append(errs, fmt.Errorf("the steps did not make %s: %w", o.Name, err))
			}
			continue
		}
		errs = append(errs, verify.File(ctx, p, e.want(o)).Err())
	}
	return errors.Join(errs...)
}

func (e *Engine) want(o recipe.Output) verify.Want {
	return verify.Want{Kernel: e.Stack.Target.Kernel, Forbidden: []string{filepath.Join(e.Root, "build") + "/"}, Ask: o.Ask, Say: o.Want}
}

// needs gives what a node needs.
func (e *Engine) needs(name string) []string {
	if name == packageNode {
		return e.Stack.Parts()
	}
	return recipe.Needs(e.Stack, name)
}

// outputs are what a component's recipe makes.
func (e *Engine) outputs(name string) []recipe.Output {
	return recipe.Of(e.Stack, name, recipe.Tools{}, recipe.Symbolic(e.needs(name))).Outputs
}
