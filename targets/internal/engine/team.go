package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/host"
	"drydock/targets/internal/pack"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/remote"
	"drydock/targets/internal/source"
)

// take brings what of the named nodes the team's cache has: neither sources nor a compiler are needed for it. It
// returns the sources, as the lock knows them, of the components that are up to date then; none without a cache.
func (e *Engine) take(ctx context.Context, wait bool, names []string) (known map[string]*source.Source, err error) {
	if e.Shared == nil {
		return nil, nil
	}
	if err := e.Look(ctx); err != nil {
		return nil, err
	}
	if err := e.Lock(ctx, wait); err != nil {
		return nil, err
	}
	own := e.facts
	for _, fresh := range []bool{false, true} {
		if !e.borrow(ctx, e.partsOf(names), fresh) {
			continue
		}
		var lacks []string
		if known, lacks, err = e.takeAs(ctx, names); err != nil || lacks == nil {
			return known, err
		}
		if fresh && e.Shared.Down() == nil {
			e.UI.Line("cache     %s lacks %s as its own compilers would make it", e.Shared.Address,
				strings.Join(lacks, ", "))
		}
		e.facts = own // two machines' builds are not mixed
		clear(e.done)
	}
	known, lacks, err := e.takeAs(ctx, names)
	if lacks != nil && slices.Contains(names, PackageNode) {
		return nil, err // packing needs all sources
	}
	return known, err
}

// takeAs is take with the compilers that the facts have; lacks are the nodes that are left to be made.
func (e *Engine) takeAs(ctx context.Context, names []string) (known map[string]*source.Source, lacks []string,
	err error) {
	for _, e.believed = range e.packers() {
		g, found, _, err := e.survey(ctx, names)
		if err != nil {
			return nil, nil, err
		}
		plan, err := g.Plan(names)
		if err != nil {
			return nil, nil, err
		}
		for _, n := range g.Nodes {
			n.Do = func(ctx context.Context, key string) (graph.Made, error) { return e.takeNode(ctx, n, key) }
		}
		stale := func(p graph.Planned) bool { return p.Status != graph.Fresh && p.Status != graph.Damaged }
		if !slices.ContainsFunc(plan, stale) {
			return found, nil, nil
		}
		if err := e.Confined(); err != nil { // what is fetched is asked for its version
			return nil, nil, err
		}
		g.KeepGoing, g.Watch, g.Done = true, silent{}, e.done
		results, _ := g.Run(ctx, names) // what was not taken is built
		if ctx.Err() != nil {
			return nil, nil, failure.Errorf(failure.Stopped, "stopped by a signal: what was fetched is kept: %w",
				context.Canceled)
		}
		known, lacks = map[string]*source.Source{}, nil
		for _, r := range results {
			if r.Record == nil {
				lacks = append(lacks, r.Name)
				continue
			}
			if r.Status != graph.Fresh {
				e.done[r.Name] = r
			}
			if found[r.Name] != nil {
				known[r.Name] = found[r.Name]
			}
		}
		if lacks == nil {
			return known, nil, nil
		}
	}
	e.believed = "" // what is packed here is not signed by others
	return known, lacks, nil
}

// packers are the keys, as minisign writes them, by which the package may have been signed that the cache is asked for:
// who signs packages here takes none of others; and the key that signed the last one comes first.
func (e *Engine) packers() []string {
	if os.Getenv("SIGN_KEY") != "" {
		return []string{""}
	}
	last := "nobody"
	if r := e.Records().Load(PackageNode); r != nil {
		last = ""
		for _, in := range r.Inputs {
			if in.Name == signedBy {
				last = in.Value
			}
		}
	}
	ids := append(e.Shared.Keys(), "") // built here, it is not signed
	slices.SortStableFunc(ids, func(a, b string) int {
		return cmp.Compare(fmt.Sprint(b == last), fmt.Sprint(a == last))
	})
	return ids
}

// errNotThere says that the cache has nothing of the kind.
var errNotThere = errors.New("the cache has no such build")

// takeNode gets a node's outputs from the cache, examines them as if they had been built, and puts them in place.
func (e *Engine) takeNode(ctx context.Context, n *graph.Node, key string) (made graph.Made, err error) {
	r := e.ask(ctx, n, key)
	if r == nil {
		return made, errNotThere
	}
	var size int64
	for _, f := range r.Files {
		size += f.Blob.Size
	}
	start := time.Now()
	e.UI.Start(n.Name, e.Shared.Address, size)
	defer func() {
		if err != nil {
			e.Shared.Refuse(key)
			text, _, _ := strings.Cut(err.Error(), "\n")
			e.UI.Done(n.Name, fmt.Errorf("not taken from %s: %s", e.Shared.Address, text))
			return
		}
		e.UI.Done(n.Name, nil)
	}()
	stage := e.BuildDir("work", n.Name+".fetched")
	if err := archive.EmptyDir(stage); err != nil {
		return made, err
	}
	defer archive.RemoveAll(stage)
	if err := e.Shared.Take(ctx, r, stage, func(b int) { e.UI.Add(n.Name, int64(b)) }); err != nil {
		return made, err
	}
	if made.Outputs, err = e.adopt(ctx, n.Name, key, stage, r); err != nil {
		return made, err
	}
	made.Elsewhere, made.Origin = &r.Build, e.Shared.Address+", signed by "+r.By()
	made.Steps = []graph.StepTime{{Name: "fetch", Start: start.UTC(), Seconds: time.Since(start).Seconds()}}
	return made, nil
}

// ask asks the cache for what a node has as its key; nil where it has none. A key of what nobody knows yet is nobody's.
func (e *Engine) ask(ctx context.Context, n *graph.Node, key string) *remote.Record {
	if slices.ContainsFunc(n.Inputs, func(in graph.Input) bool { return in.Value == source.Unknown }) {
		return nil
	}
	r := e.Shared.Ask(ctx, key)
	if r == nil || r.Build.Name != n.Name {
		return nil
	}
	return r
}

// adopt verifies a node's fetched outputs, puts them in place, and returns their paths.
func (e *Engine) adopt(ctx context.Context, name, key, stage string, r *remote.Record) (paths []string, err error) {
	var files []string
	for _, f := range r.Files {
		files = append(files, f.Name)
	}
	if name == PackageNode {
		for _, f := range files {
			if !slices.Contains([]string{e.PackageFile(), e.PackageFile() + ".sha256", e.relinkPackage()},
				e.OutputDir(f)) {
				return nil, fmt.Errorf("%s is no file of a package", f)
			}
			paths = append(paths, e.Rel(e.OutputDir(f)))
			err = errors.Join(err, os.MkdirAll(e.OutputDir(), 0o755),
				os.Rename(filepath.Join(stage, f), e.OutputDir(f)))
		}
		return paths, errors.Join(err, archive.SyncDir(e.OutputDir()))
	}
	outputs := recipe.Outputs(e.Stack, name)
	if err := e.verifyOutputs(ctx, outputs, stage); err != nil {
		return nil, err
	}
	all := slices.Clone(outputs)
	for _, f := range files {
		if !slices.ContainsFunc(outputs, func(o recipe.Output) bool { return o.Name == f }) {
			all = append(all, recipe.Output{Name: f})
		}
	}
	paths = e.Store.Paths(name, key, all)
	if !slices.EqualFunc(paths, r.Build.Outputs, func(p string, o graph.Output) bool { return p == o.Path }) {
		return nil, errors.New("its files are not those that the recipe makes")
	}
	if err := e.Store.Keep(name, key, stage, all); err != nil {
		return nil, err
	}
	err = e.Store.Publish(name, key, outputs)
	e.Store.DropOld(name, key)
	return paths, err
}

// silent is told what a graph does, and says nothing of it.
type silent struct{}

func (silent) Fresh(string, *graph.Record)      {}
func (silent) Restored(string, *graph.Record)   {}
func (silent) Begin(string, string)             {}
func (silent) End(string, *graph.Record, error) {}
func (silent) Blocked(string, string)           {}

// toolsOf is the key under which the cache has what is known of the compilers of the machine that fills it.
func (e *Engine) toolsOf() (inputs []graph.Input, key string) {
	inputs = []graph.Input{{Name: "compilers for", Value: e.Stack.Name}, {Name: "arch", Value: e.Stack.Target.Arch}}
	return inputs, graph.Key(inputs)
}

// borrow takes the identity of the compilers with which the team's cache was filled, where none of this machine fits,
// or CACHE_TOOLS asks for it: keys are those of that machine then. What was borrowed the last time stays until a run
// needs more: fresh asks anew.
func (e *Engine) borrow(ctx context.Context, parts []string, fresh bool) bool {
	if e.facts.Compiles(e.asks(parts)) && !IsSet("CACHE_TOOLS") {
		return false
	}
	kept := e.BuildDir("borrowed.json")
	data, err := os.ReadFile(kept)
	if fresh || err != nil {
		inputs, key := e.toolsOf()
		r := e.ask(ctx, &graph.Node{Name: toolsNode, Inputs: inputs}, key)
		if r == nil || !fresh && err == nil {
			return false
		}
		data = r.Tools
	}
	var lent host.Lent
	if json.Unmarshal(data, &lent) != nil {
		return false
	}
	facts := e.facts.Borrow(lent)
	if !facts.Compiles(e.asks(parts)) {
		return false
	}
	e.facts = facts
	_ = archive.WriteBytes(kept, 0o644, data) // else it is asked for again
	return true
}

// toolsNode is how the record of a machine's compilers is called.
const toolsNode = "compilers"

// elsewhere is what a plan asks of the team's cache.
func (e *Engine) elsewhere(ctx context.Context) func(*graph.Node, string) *graph.Record {
	if e.Shared == nil {
		return nil
	}
	return func(n *graph.Node, key string) *graph.Record {
		if r := e.ask(ctx, n, key); r != nil {
			return &r.Build
		}
		return nil
	}
}

// push gives the team's cache what it has not yet of results. That it cannot is no fault of the build: the last line
// says it.
func (e *Engine) push(ctx context.Context, results []graph.Result) error {
	sign, err := pack.EnvSigner()
	switch {
	case err != nil:
		return err
	case sign == nil || e.Shared == nil:
		return errors.New("PUSH: want REMOTE_CACHE, and SIGN_KEY, the key by which the others know the builds")
	}
	tools, err := json.Marshal(e.facts.Lend())
	if err != nil {
		return err
	}
	inputs, key := e.toolsOf()
	jobs := []*remote.Record{{Build: graph.Record{Name: toolsNode, Key: key, Inputs: inputs, Built: e.Started.UTC()},
		Tools: tools}}
	for _, r := range results {
		if r.Record != nil && r.Record.Origin == "" {
			jobs = append(jobs, e.shares(r.Record))
		}
	}
	for _, r := range jobs {
		r.Stack, r.Version = e.Stack.Tag(), e.versionOf(r.Build.Name)
	}
	pushed, failed, why := e.Shared.PushAll(ctx, jobs,
		func(r *remote.Record) string { return e.keptAt(r.Build.Name, r.Build.Key) }, sign)
	if pushed > 0 {
		e.UI.Line("pushed    %d to %s", pushed, e.Shared.Address)
	}
	if failed > 0 {
		text, _, _ := strings.Cut(why.Error(), "\n")
		e.UI.Line("cache     %d of %d could not be pushed: %s", failed, len(jobs), text)
		e.AtEnd(fmt.Sprintf("%d not pushed", failed))
	}
	return nil
}

// keptAt is the directory that has a node's outputs.
func (e *Engine) keptAt(name, key string) string {
	if name == PackageNode {
		return e.OutputDir()
	}
	return e.Store.Path(name, key)
}

// shares is what the cache is given of a record: each output once, without the times and places of this machine.
func (e *Engine) shares(r *graph.Record) *remote.Record {
	s := &remote.Record{Build: *r}
	s.Build.Outputs = nil
	for _, o := range r.Outputs {
		s.Build.Outputs = append(s.Build.Outputs, graph.Output{Path: o.Path, SHA256: o.SHA256})
		if name, ok := strings.CutPrefix(o.Path, e.Rel(e.keptAt(r.Name, r.Key))+"/"); ok {
			s.Files = append(s.Files, remote.File{Name: name, SHA256: o.SHA256})
		}
	}
	return s
}
