package prove

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/engine"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/store"
	"drydock/targets/internal/ui"
	"drydock/targets/internal/verify"
)

// Reproduce builds the stack, or one component, twice from empty caches in different surroundings and compares every
// output byte for byte; with record, the digests of an identical pair are noted beside the stack file. One that differs
// is failure.Failed.
func Reproduce(ctx context.Context, component string, record bool) error {
	return engine.Command(ctx, func(ctx context.Context, e *engine.Engine) error {
		return buildTwice(ctx, e, component, record)
	})
}

// ready gets all that building a component again takes, or the stack where it is empty, and the lock of the directory
// in which that is done; done gives it back. It returns the command that builds it, and the components that this makes.
func ready(ctx context.Context, e *engine.Engine, component string) (target string, components []string, done func(),
	err error) {
	target, components = "all", e.Stack.Parts()
	if component != "" {
		if e.Stack.Component[component] == nil {
			return "", nil, nil, fmt.Errorf("reproduce: got component %q, want one of %s", component,
				strings.Join(e.Stack.Parts(), ", "))
		}
		target, components = recipe.Row(component).Target, recipe.Closure(e.Stack, []string{component})
	}
	if err = e.Look(ctx); err == nil {
		err = e.Fit(components)
	}
	if err != nil {
		return "", nil, nil, err
	}
	if _, err = e.Sources.Fetch(ctx, components); err != nil {
		return "", nil, nil, failure.With(failure.Sources, err)
	}
	done, err = graph.Lock(ctx, e.BuildDir("reproduce"), strings.Join(os.Args, " "), nil)
	return target, components, done, err
}

func buildTwice(ctx context.Context, e *engine.Engine, component string, record bool) error {
	target, components, done, err := ready(ctx, e, component)
	if err != nil {
		return err
	}
	defer done()
	var roots []string
	for _, v := range variants() {
		roots = append(roots, v.root(e))
		if err := v.build(ctx, e, target); err != nil {
			return err
		}
	}
	parts := components
	if component == "" {
		parts = append(slices.Clone(components), engine.PackageNode)
	}
	rows, same, other, err := compare(e, roots, parts)
	if err != nil {
		return failure.With(failure.Failed, err)
	}
	e.UI.Text("\n" + ui.Table(rows))
	what := "the whole stack"
	if component != "" {
		what = strings.Join(parts, ", ")
	}
	if !same {
		return failure.Errorf(failure.Failed, "%s is not the same twice: see the table; both builds are kept in %s",
			e.Stack.Name, e.Rel(reproduced(e)))
	}
	if other > 0 {
		return failure.Errorf(failure.Failed, "%s: %s came out the same twice, but %d of its files not as they were "+
			"built here from the same inputs: see the table; both builds are kept in %s",
			e.Stack.Name, what, other, e.Rel(reproduced(e)))
	}
	if record {
		if err := recordDigests(e, roots[0], components); err != nil {
			return err
		}
	}
	for _, v := range variants() {
		if err := v.remove(e); err != nil {
			return err
		}
	}
	e.UI.Line("drydock: %s: identical: %s came out the same twice, %s", e.Stack.Name, what,
		ui.Duration(time.Since(e.Started)))
	return nil
}

// compare holds every output of the parts in one repository against the other's, and against what is built in this one:
// other counts those that the same inputs made here to be something else.
func compare(e *engine.Engine, roots []string, parts []string) (rows [][]string, same bool, other int, err error) {
	rows, same = [][]string{{"COMPONENT", "FILE", "SHA-256", "VERDICT", "WHAT IS BUILT HERE"}}, true
	for _, n := range parts {
		var recs []*graph.Record
		for _, r := range roots {
			g := e.RecordsBelow(r)
			rec := g.Load(n)
			if rec == nil {
				return nil, false, 0, fmt.Errorf("%s was not built in %s", n, e.Rel(r))
			}
			if d := g.Damage(rec, true); d != "" {
				return nil, false, 0, fmt.Errorf("%s is not as it was built in %s: %s", n, e.Rel(r), d)
			}
			recs = append(recs, rec)
		}
		if recs[0].Key != recs[1].Key {
			for i, in := range recs[0].Inputs {
				if i < len(recs[1].Inputs) && in != recs[1].Inputs[i] {
					return nil, false, 0, fmt.Errorf("%s: the surroundings are part of its key: %s: %q, then %q", n,
						in.Name, in.Value, recs[1].Inputs[i].Value)
				}
			}
		}
		for i, p := range verify.Compare(recs[0], recs[1]).Files {
			text, wrong := asBuilt(e, recs[0], e.Records().Load(n), i)
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

// asBuilt says how the i-th file of a build that came out the same twice compares with what is built in this
// repository; wrong says that the same inputs made something else.
func asBuilt(e *engine.Engine, rec, mine *graph.Record, i int) (text string, wrong bool) {
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
	if d := damaged(e.Records(), p.B); d != "" {
		return "not as it was built: " + d, true
	}
	return "the same", false
}

// digestsFile is where the stack's recorded digests stand.
func digestsFile(e *engine.Engine) string { return e.Stack.Beside(".digests") }

// recorded returns what is noted of a build.
func recorded(rec *graph.Record) *stack.RecordedBuild {
	return verify.Recorded(rec, store.NoticesFile, store.RelinkFile)
}

func recordDigests(e *engine.Engine, root string, components []string) error {
	all, err := stack.LoadRecorded(digestsFile(e))
	if err != nil {
		return err
	}
	g := e.RecordsBelow(root)
	for _, n := range components { // the package follows from them, whatever compiled them
		all.Put(recorded(g.Load(n)))
	}
	data := all.Encode()
	e.UI.Line("recorded  digests in %s", e.Rel(digestsFile(e)))
	return archive.WriteBytes(digestsFile(e), 0o644, data)
}

// Challenge builds a component again, or one of the stack by chance, and compares it with what the team's cache says
// was made of the same inputs. Another build in the cache is failure.Failed, none there failure.Sources.
func Challenge(ctx context.Context, component string) error {
	return engine.Command(ctx, func(ctx context.Context, e *engine.Engine) error {
		c := e.Shared
		if err := c.Usable(); err != nil {
			return err
		}
		parts := e.Stack.Parts()
		if component == "" {
			component = parts[rand.IntN(len(parts))]
			e.UI.Line("chosen    %s, by chance", component)
		}
		target, _, done, err := ready(ctx, e, component)
		if err != nil {
			return err
		}
		defer done()
		v := variants()[0]
		root := v.root(e)
		if err := v.build(ctx, e, target); err != nil {
			return err
		}
		g := e.RecordsBelow(root)
		mine := g.Load(component)
		if mine == nil {
			return fmt.Errorf("%s was not built in %s", component, e.Rel(root))
		}
		theirs := c.Ask(ctx, mine.Key)
		if theirs == nil {
			return failure.Errorf(failure.Sources, "%s has no build of %s from these inputs (key %s)", c.Address,
				component, verify.Short(mine.Key))
		}
		rows, same := [][]string{{"COMPONENT", "FILE", "BUILT HERE", "IN THE CACHE", "VERDICT"}}, true
		for _, p := range verify.Compare(mine, &theirs.Build).Files {
			verdict := e.UI.Good("identical")
			if !p.Same() {
				verdict, same = e.UI.Bad("DIFFERS"), false
			}
			rows = append(rows, []string{component, p.Name(), verify.Short(p.A.SHA256), verify.Short(p.B.SHA256),
				verdict})
		}
		e.UI.Text("\n" + ui.Table(rows))
		if !same {
			return failure.Errorf(failure.Failed, "%s in %s, signed by %s, is not what its inputs make here: what "+
				"was built is kept in %s", component, c.Address, theirs.By(), e.Rel(root))
		}
		e.UI.Line("drydock: %s: identical: %s is what %s has, signed by %s, %s", e.Stack.Name, component, c.Address,
			theirs.By(), ui.Duration(time.Since(e.Started)))
		return v.remove(e)
	})
}
