package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"drydock/targets/internal/graph"
	"drydock/targets/internal/host"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
	"drydock/targets/internal/source"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/store"
)

// job is one component on this host: what it is made from, and how.
type job struct {
	*stack.Component
	Source *source.Source
	Needs  []string
	Tools  recipe.Tools
	Go     *host.Go    // nil where no Go compiles it
	Plan   recipe.Plan // with symbolic tools and paths, as keys and manifests have it
	From   graph.From
}

// job resolves a component whose source is known.
func (e *Engine) job(name string, src *source.Source) *job {
	j := &job{Component: e.Stack.Component[name], Source: src, Needs: recipe.Needs(e.Stack, name)}
	j.Tools, j.Go = e.tools(j.Component)
	sym := j.Tools
	sym.Go, sym.CC, sym.AR, sym.Make, sym.Shell, sym.Jobs, sym.Memory = "<go>", "<cc>", "<ar>", "<make>", "<sh>", 0, 0
	if sym.Headers != "" {
		sym.Headers = "<headers>"
	}
	paths := recipe.Symbolic(j.Needs)
	paths.Gopath, paths.Libraries = src.Layout, src.Libraries()
	j.Plan = recipe.Of(e.Stack, name, sym, paths)

	j.From = graph.From{Source: src.SHA256, Tools: map[string]string{}}
	if j.Go != nil {
		j.From.Tools["go"] = j.Go.Version + " " + j.Go.ID
	}
	if recipe.UsesC(j.Component) {
		j.From.Tools["cc"] = e.cc().Version + " " + e.cc().ID
	}
	for _, s := range j.Plan.Steps {
		j.From.Steps = append(j.From.Steps, graph.Command{Command: run.Quote(s.Argv), Env: s.Env})
	}
	return j
}

// inputs are what its key is made of, in an order and in words that stay.
func (j *job) inputs() []graph.Input {
	inputs := []graph.Input{{Name: "source", Value: j.From.Source}}
	add := func(name, value string) { inputs = append(inputs, graph.Input{Name: name, Value: value}) }
	// The source's digest is of the archives alone: the lock's lines of vendor trees are found by it.
	if o := j.Source.Origin; o != nil && o.Series != "" {
		add("series", o.SeriesID())
	}
	if j.Source.Vendor != "" {
		add("vendor tree", j.Source.Vendor)
	}
	for i, p := range j.Source.Patches {
		add(fmt.Sprintf("patch %d", i+1), p.Name+" "+p.SHA256)
	}
	for _, tool := range []string{"go", "cc"} {
		if id := j.From.Tools[tool]; id != "" {
			add(tool, id)
		}
	}
	for _, file := range j.Plan.Files {
		add("file "+file.Path, file.Data+file.Link)
	}
	for i, s := range j.From.Steps {
		add(fmt.Sprintf("step %d command", i+1), s.Command)
		add(fmt.Sprintf("step %d environment", i+1), strings.Join(s.Env, "\n"))
	}
	for _, o := range j.Plan.Outputs {
		add("output "+o.Name, fmt.Sprintf("%v %q", o.Bin, o.Want))
		if o.Data || o.Links != nil {
			add("output "+o.Name+" is published", fmt.Sprintf("%v %q", o.Data, o.Links))
		}
	}
	add("kept", "licence texts and objects")
	return inputs
}

// cached reports whether Go's cache has nearly all of what a component is made from: it was made before, with the same
// tools by the same commands.
func (j *job) cached(r *graph.Record) bool {
	return r != nil && reflect.DeepEqual(r.From.Tools, j.From.Tools) && reflect.DeepEqual(r.From.Steps, j.From.Steps)
}

// tree makes the directories below base in which a job is done, with what it needs of other components, which must be
// as it was built: the key says that these bytes go in.
func (e *Engine) tree(j *job, base string) (recipe.Paths, error) {
	p := recipe.Below(base)
	p.Cache, p.Path = e.cache(j.Component, j.Go), e.facts.PathDirs(e.cc())
	p.Gopath, p.Libraries = j.Source.Layout, j.Source.Libraries()
	for _, d := range []string{p.Work, p.Shims, p.Stage, p.Home, p.Tmp, p.Cache} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return p, err
		}
	}
	// Without this, every go command would start a child of its own to look after its telemetry.
	if err := store.WriteFiles(recipe.File{Path: filepath.Join(p.Home, ".config/go/telemetry/mode"),
		Data: "off"}); err != nil {
		return p, err
	}
	for _, d := range j.Needs {
		rec := e.Records().Load(d)
		if rec == nil {
			return p, fmt.Errorf("no record of %s", d)
		}
		if err := e.Store.Whole(rec); err != nil {
			return p, fmt.Errorf("%s is not as it was built: %w: %s", d, err, e.Restoring(rec, recipe.Row(d).Target))
		}
		p.Deps[d] = e.Store.Path(d, rec.Key)
	}
	return p, nil
}

// WorkTree is a component's source as a build compiles it, with all that the steps are given.
type WorkTree struct {
	Paths recipe.Paths
	Plan  recipe.Plan
	Tools recipe.Tools
	Box   *run.Sandbox
}

// WorkTree makes one below base, for what is no build. It fails where a need is not as it was built, or a patch does
// not apply.
func (e *Engine) WorkTree(name, base string, src *source.Source) (*WorkTree, error) {
	j := e.job(name, src)
	p, err := e.tree(j, base)
	if err != nil {
		return nil, err
	}
	if _, err := e.Sources.Tree(j.Component, src.Found, src.Patches, p.Work); err != nil {
		return nil, err
	}
	t := &WorkTree{Paths: p, Plan: recipe.Of(e.Stack, name, j.Tools, p), Tools: j.Tools, Box: e.sandbox(p, j.Go)}
	if err := store.WriteFiles(t.Plan.Files...); err != nil {
		return nil, err
	}
	return t, t.Box.Give()
}

// CompilerRelease is the release of the C compiler that the stack is compiled with.
func (e *Engine) CompilerRelease() string { return e.cc().Version }
