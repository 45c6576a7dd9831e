package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/host"
	"drydock/targets/internal/patch"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
	"drydock/targets/internal/store"
	"drydock/targets/internal/trace"
	"drydock/targets/internal/verify"
)

// making is one component in the making.
type making struct {
	e       *Engine
	job     *job
	key     string
	whole   bool // see make
	log     *os.File
	paths   recipe.Paths
	plan    recipe.Plan
	steps   []recipe.Step // the plan's, as they are run
	named   recipe.Paths  // where they find things
	asking  string        // the setting that has Go ask for what others compiled; see share
	sandbox *run.Sandbox
	made    graph.Made
}

// make builds one component in a private tree and puts what it made in place. Where little is to be compiled, and
// nothing would overlap with the link, whole has the linking step compile, too: Go reads the sources once.
func (e *Engine) make(ctx context.Context, j *job, key string, whole bool) (graph.Made, error) {
	m := &making{e: e, job: j, key: key, whole: whole}
	logs, err := e.logDir()
	if err != nil {
		return m.made, err
	}
	if m.log, err = os.Create(filepath.Join(logs, j.Name+".log")); err != nil {
		return m.made, err
	}
	defer m.log.Close()
	work := e.BuildDir("work", j.Name)
	if err := e.discard(work); err != nil {
		return m.made, err
	}
	if m.paths, err = e.tree(j, work); err != nil {
		return m.made, err
	}
	for _, do := range []func(context.Context) error{m.prepare, m.compile, m.publish} {
		if err := do(ctx); err != nil {
			return m.made, err
		}
	}
	e.Store.DropOld(j.Name, key)
	return m.made, e.discard(work)
}

// timed does what is no command of the recipe, as a step that is told of.
func (m *making) timed(name string, do func() error) error {
	m.e.progress.Step(m.job.Name, name)
	start := time.Now()
	err := do()
	m.made.Steps = append(m.made.Steps, graph.StepTime{Name: name, Start: start.UTC(),
		Seconds: time.Since(start).Seconds()})
	return err
}

// prepare unpacks and patches the sources, and lays out what the steps are given.
func (m *making) prepare(ctx context.Context) error {
	e, j := m.e, m.job
	err := m.timed("unpack", func() error {
		return run.UnlessStopped(ctx, func() error {
			told, err := e.Sources.Prepare(j.Component, j.Source.Found, m.paths.Work)
			return errors.Join(patch.Noted(m.log, told, err), e.Sources.Unchanged(j.Source.Found))
		})
	})
	if err != nil {
		return err
	}
	err = m.timed("patch", func() error {
		told, err := patch.Apply(m.paths.Work, j.Source.Patches)
		return patch.Noted(m.log, told, err)
	})
	if err != nil {
		return err
	}
	m.plan = recipe.Of(e.Stack, j.Name, j.Tools, m.paths)
	m.steps, m.named, m.made.Notes = m.plan.Steps, m.paths, m.plan.Notes
	m.sandbox = e.sandbox(m.paths, j.Go)
	if err := errors.Join(store.WriteFiles(m.plan.Files...), e.lend(j.Component), m.share()); err != nil {
		return err
	}
	return m.sandbox.Give()
}

// compile runs the recipe's steps. The error of one that failed is a failure.Failure.
func (m *making) compile(ctx context.Context) error {
	c := m.job.Component
	for i, s := range m.plan.Steps {
		if m.whole && s.Loads {
			continue
		}
		times, err := m.step(ctx, m.steps[i])
		m.made.Steps = append(m.made.Steps, times...)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			f := failure.Failure{Component: c.Name, Version: c.Version, Step: s, Err: err, Log: m.log.Name(),
				Replay: m.e.BuildDir("repro-" + c.Name + ".sh")}
			if r := m.e.Records().Load(c.Name); r != nil {
				f.Kept = r.Built
			}
			return failure.Of(f)
		}
	}
	return nil
}

// publish verifies what the steps made, keeps it in the store, and puts it in place.
func (m *making) publish(ctx context.Context) error {
	e, name, plan := m.e, m.job.Name, m.plan
	if err := store.Take(plan, m.paths.Stage); err != nil {
		return err
	}
	if err := m.timed("verify", func() error { return e.verifyOutputs(ctx, plan.Outputs, m.paths.Stage) }); err != nil {
		return err
	}
	return m.timed("publish", func() error {
		extras, err := store.Collect(plan, m.named)
		if err != nil {
			return err
		}
		if err := e.Store.Keep(name, m.key, m.paths.Stage, append(extras, plan.Outputs...)); err != nil {
			return err
		}
		m.made.Outputs = e.Store.Paths(name, m.key, append(plan.Outputs, extras...))
		return e.Store.Publish(name, m.key, plan.Outputs)
	})
}

// step runs one step when there is room for it: one at a time compiles, for Go and make use every core already; and
// links, which need most memory, start only when there is room. Where a step loads first, that goes on beside another's
// compiling, which leaves a core idle at its beginning and its end; then it stands still until it is its turn.
func (m *making) step(ctx context.Context, s recipe.Step) (times []graph.StepTime, err error) {
	e, name := m.e, m.job.Name
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
		times = append(times, graph.StepTime{Name: label, Start: start.UTC(), Seconds: time.Since(start).Seconds(),
			CPU: max(0, cpu-before).Seconds()})
		before = cpu
		return &times[len(times)-1]
	}
	begin(label)
	fmt.Fprintf(m.log, "# %s\n# in %s\n%s\n", s.Name, s.Dir, run.Quote(s.Argv))
	out, count := e.progress.Output(name, m.log)
	cmd := run.Cmd{Argv: s.Argv, Dir: s.Dir, Env: s.Env, Sandbox: m.sandbox, Out: out, Usage: &used}
	m.ask(&cmd)
	if s.Loads {
		cmd.At = trace.NamesPackage // an error is not held back
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
		errs = append(errs, verify.File(ctx, p, e.Want(o)).Err())
	}
	return errors.Join(errs...)
}

// Want returns what an output must be.
func (e *Engine) Want(o recipe.Output) verify.Want {
	return verify.Want{Kernel: e.Stack.Target.Kernel, Arch: e.Stack.Target.Arch,
		Emulator:  host.Emulator(e.Stack.Arch()),
		Forbidden: []string{filepath.Join(e.Root, "build") + "/"}, Ask: o.Ask, Say: o.Want}
}
