package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/host"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/release"
	"drydock/targets/internal/run"
	"drydock/targets/internal/source"
	"drydock/targets/internal/trace"
	"drydock/targets/internal/ui"
)

// PackageNode is the name of the last node.
const PackageNode = "package"

// Options are what the building commands can be told.
type Options struct {
	KeepGoing bool // go on with what does not depend on a failure
	Wait      bool // for another run on the same stack, instead of stopping
	Smoke     bool // a new package must pass the smoke test, too, before it is the latest
	Push      bool // give the team's cache what it has not yet
}

// Build brings what a command is named after up to date: sources, host, graph, summary. What failed is a failure.Exit.
func Build(ctx context.Context, opt Options, target string) error {
	return Command(ctx, func(ctx context.Context, e *Engine) error { return e.bring(ctx, opt, target, nil) })
}

// BuildPackage is Build of the package, and then release of it. An error of that is the run's, too.
func BuildPackage(ctx context.Context, opt Options, release func(context.Context, *Engine) error) error {
	return Command(ctx, func(ctx context.Context, e *Engine) error { return e.bring(ctx, opt, PackageNode, release) })
}

// bring brings a target up to date; release is what is done then, nil for nothing.
func (e *Engine) bring(ctx context.Context, opt Options, target string,
	release func(context.Context, *Engine) error) error {
	names := e.ofTarget(target)
	if names == nil {
		return fmt.Errorf("%s has no %s: its file would need [component.%s], as that of %s has it", e.Stack.Name,
			target, target, DefaultStack)
	}
	known, err := e.take(ctx, opt.Wait, names)
	if err != nil {
		return err
	}
	parts := slices.DeleteFunc(e.partsOf(names), func(n string) bool { return known[n] != nil })
	if err := e.begin(ctx, opt.Wait, parts); err != nil {
		return err
	}
	defer e.Sources.Digests.Save()
	found, err := e.Sources.Fetch(ctx, parts)
	if err == nil {
		err = e.Sources.NoteCheckouts(found)
	}
	if err != nil {
		return err
	}
	maps.Copy(found, known)
	g, err := e.graph(names, found)
	if err != nil {
		return err
	}
	g.KeepGoing = opt.KeepGoing || IsSet("KEEP_GOING")
	plan, err := g.Plan(names)
	if err != nil {
		return err
	}
	stale := slices.ContainsFunc(plan, func(p graph.Planned) bool { return p.Status != graph.Fresh })
	if stale {
		if err := e.Confined(); err != nil { // to try it starts a process
			return err
		}
		e.unshared(parts)
		e.reap()
		e.bringAdvisories(ctx)
	}
	e.sweep()
	defer func() {
		if ctx.Err() == nil { // who is stopped must be gone in a moment; the next run sweeps what is left
			e.sweeping.Wait()
		}
	}()
	e.progress = &trace.Progress{UI: e.UI, Verbose: ui.Verbose(), Width: width, Past: e.Records().Load}
	e.progress.Begins(plan, PackageNode)
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
	if err == nil && ctx.Err() == nil && release != nil {
		unfit = release(ctx, e)
	}
	if err == nil && unfit == nil && ctx.Err() == nil && (opt.Push || IsSet("PUSH")) {
		unfit = e.push(ctx, results)
	}
	e.summary(results) // the last line of a run
	failure.Print(os.Stderr, results)
	return e.end(ctx, err, unfit)
}

// begin stops what cannot be done here, before any source is touched, and takes the stack's lock.
func (e *Engine) begin(ctx context.Context, wait bool, parts []string) error {
	if _, err := release.EnvKeep(); err != nil {
		return err
	}
	if err := e.Look(ctx); err != nil {
		return err
	}
	if err := e.bringGo(ctx, parts); err != nil {
		return failure.With(failure.Sources, err)
	}
	if err := e.Fit(parts); err != nil {
		return err
	}
	return e.Lock(ctx, wait)
}

// end is the error of a run: of what failed, or of a package that may not be the latest. Whatever failed besides, or
// was being examined, a run that was stopped says that.
func (e *Engine) end(ctx context.Context, failed, unfit error) error {
	if ctx.Err() != nil {
		kept := "nothing was finished in this run"
		if k := e.progress.Kept(); len(k) > 0 {
			kept = strings.Join(k, ", ") + " finished and kept"
		}
		stopped := fmt.Errorf("stopped by a signal: %s; earlier outputs and the compile cache are in place: %w", kept,
			context.Canceled)
		return failure.With(failure.Stopped, errors.Join(stopped, failed))
	}
	if unfit != nil {
		return unfit
	}
	return failure.With(failure.Failed, failed)
}

// partsOf gives the components that the names stand for, with all that they need.
func (e *Engine) partsOf(names []string) []string {
	if i := slices.Index(names, PackageNode); i >= 0 {
		names = slices.Concat(e.Stack.Parts(), names[:i], names[i+1:])
	}
	return recipe.Closure(e.Stack, names)
}

// graph makes the nodes that the names stand for.
func (e *Engine) graph(names []string, sources map[string]*source.Source) (*graph.Graph, error) {
	g := e.Records()
	g.Width = width
	jobs := map[string]*job{}
	for _, n := range e.partsOf(names) {
		jobs[n] = e.job(n, sources[n])
		g.Nodes = append(g.Nodes, e.node(jobs[n]))
	}
	if slices.Contains(names, PackageNode) {
		var packed []*job
		for _, n := range e.partsOf([]string{PackageNode}) {
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

// Records is the graph without nodes, which can read the records.
func (e *Engine) Records() *graph.Graph { return e.RecordsBelow(e.Root) }

// RecordsBelow is Records of another repository with the stack, such as one of links to this one.
func (e *Engine) RecordsBelow(root string) *graph.Graph {
	return &graph.Graph{Root: root, Records: filepath.Join(root, "build", e.Stack.Dir(), "record"), Width: 1}
}

// Record is the record of a node, which this run may have; nil where it was never made.
func (e *Engine) Record(name string) *graph.Record {
	if r := e.done[name].Record; r != nil {
		return r
	}
	return e.Records().Load(name)
}

// width is how many components are in the making at a time: one compiles, the others unpack, link or are proved.
const width = 4

// Lock takes the stack's lock for the rest of this process: "mage docker package" is one run. A run that holds it is a
// graph.LockedError.
func (e *Engine) Lock(ctx context.Context, wait bool) error {
	if e.unlock != nil {
		return nil
	}
	var waiting func(graph.Holder)
	if wait {
		waiting = func(h graph.Holder) { e.UI.Line("waiting   for %s", h) }
	}
	var err error
	e.unlock, err = graph.Lock(ctx, e.BuildDir(), strings.Join(os.Args, " "), waiting)
	return err
}

// Fit stops before anything is touched when this host cannot build the components. That is failure.Host.
func (e *Engine) Fit(parts []string) error {
	findings := e.facts.Check(e.asks(parts))
	bad := host.Unmet(findings)
	if bad == 0 {
		return nil
	}
	e.UI.Text(host.Table(e.UI, findings))
	return failure.Errorf(failure.Host, "this host cannot build %s: %d requirement(s) not met, see the table; "+
		"nothing was touched", strings.Join(parts, ", "), bad)
}

// node makes the graph node of a job.
func (e *Engine) node(j *job) *graph.Node {
	return &graph.Node{
		Name: j.Name, Needs: j.Needs, Inputs: j.inputs(), From: j.From,
		Do: func(ctx context.Context, key string) (graph.Made, error) {
			return e.make(ctx, j, key, e.progress.Alone(j.Name) && j.cached(e.Records().Load(j.Name)))
		},
		Restore: func(r *graph.Record) error {
			if err := e.Store.Whole(r); err != nil {
				return err
			}
			return e.Store.Publish(j.Name, r.Key, j.Plan.Outputs)
		},
	}
}

// discard gets a tree out of the way at once and removes it in the background: ten thousand files take a while. Where
// it cannot be moved (a full disk, a mount of its own) it is removed on the spot.
func (e *Engine) discard(dir string) error {
	trash, err := os.MkdirTemp(filepath.Dir(dir), trashPrefix)
	if err == nil {
		err = os.Rename(dir, filepath.Join(trash, "x"))
		e.sweeping.Go(func() { archive.RemoveAll(trash) })
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return archive.RemoveAll(dir)
}

const trashPrefix = ".trash-"

// reap ends what a killed run left running and would write into our trees.
func (e *Engine) reap() {
	for _, pid := range run.Reap(e.BuildDir("work")) {
		e.UI.Line("notice    ended process %d, which a killed run had left", pid)
	}
}

// sweep removes what a killed run left behind.
func (e *Engine) sweep() {
	for _, d := range archive.Glob(e.BuildDir("work"), trashPrefix+"*") {
		e.sweeping.Go(func() { archive.RemoveAll(d) })
	}
	// Of files that were being written. Where no lock says that nobody writes, those that nobody can be writing any
	// more.
	locked := slices.Concat([]string{e.BuildDir("record")}, archive.Glob(e.BuildDir("store"), "*"),
		archive.Glob(e.OutputDir(release.Dir), "*"))
	for _, dir := range append(slices.Clip(locked), e.OutputDir(), e.BuildDir(), e.Sources.Dir,
		filepath.Join(e.Root, ".cache")) {
		for _, p := range archive.Glob(dir, ".tmp-*") {
			mine := slices.Contains(locked, dir) || dir == e.OutputDir() &&
				strings.HasPrefix(filepath.Base(p), ".tmp-docker-")
			if fi, err := os.Lstat(p); err == nil && fi.Mode().IsRegular() &&
				(mine || time.Since(fi.ModTime()) > 24*time.Hour) {
				os.Remove(p)
			}
		}
	}
}

// Rel returns a path as it is seen from the repository.
func (e *Engine) Rel(p string) string {
	r, err := filepath.Rel(e.Root, p)
	if err != nil {
		return p
	}
	return r
}

// needs gives what a node needs.
func (e *Engine) needs(name string) []string {
	if name == PackageNode {
		return e.Stack.Parts()
	}
	return recipe.Needs(e.Stack, name)
}
