package prove

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"drydock/targets/internal/engine"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/ui"
	"drydock/targets/internal/verify"
)

// Against holds what was built here against what another drydock built, which may have been carried here from another
// host: dir is its repository, of which build/<stack>/record and the outputs count. A file may differ where a compiler
// does that it was made with; anything else is a failure. With record, the digests of the components that both made
// from the same inputs, and the same, are noted beside the stack file.
func Against(ctx context.Context, dir string, record bool) error {
	return engine.Reading(ctx, func(_ context.Context, e *engine.Engine) error { return compareWith(e, dir, record) })
}

func compareWith(e *engine.Engine, dir string, record bool) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	other := e.RecordsBelow(dir)
	rows := [][]string{{"COMPONENT", "FILE", "HERE", "THERE", "VERDICT"}}
	same, differ, bad := 0, 0, 0
	var twice []string
	for _, n := range e.Stack.Parts() {
		here, there := e.Records().Load(n), other.Load(n)
		if here == nil || there == nil {
			where := e.Root
			if here != nil {
				where = dir
			}
			return fmt.Errorf("%s: not built in %s: want a drydock that built %s with the same C library (LIBC)", n,
				where, e.Stack.Name)
		}
		c := verify.Compare(here, there)
		before := differ
		for _, p := range c.Files {
			text, ok := sameFile(e, other, &c, p)
			if text == "" {
				same, text = same+1, e.UI.Good("identical")
			} else if differ++; ok {
				text = "differs: " + text
			} else {
				bad, text = bad+1, e.UI.Bad("DIFFERS")+": "+text
			}
			rows = append(rows, []string{n, p.Name(), verify.Short(p.A.SHA256),
				cmp.Or(verify.Short(p.B.SHA256), "none"), text})
		}
		if differ == before && c.SameInputs {
			twice = append(twice, n)
		}
	}
	e.UI.Text(ui.Table(rows))
	if bad > 0 {
		return failure.Errorf(failure.Failed, "%s: %d of %d files differ from those of %s for another reason than "+
			"the compiler: see the table", e.Stack.Name, bad, same+differ, dir)
	}
	if record {
		if len(twice) == 0 {
			return errors.New("no component was made from the same inputs by both: nothing is recorded")
		}
		if err := recordDigests(e, e.Root, twice); err != nil {
			return err
		}
	}
	e.UI.Line("drydock: %s: %d files identical, %d differ by what compiled them", e.Stack.Name, same, differ)
	return nil
}

// sameFile says how a file differs from what the other build made of it, and whether it may; empty when it does not.
func sameFile(e *engine.Engine, other *graph.Graph, c *verify.Comparison, p verify.Pair) (text string, may bool) {
	if p.B.Path == "" {
		return "not made there", false
	}
	if p.Same() { // by the records; what is said is said of the files
		d := cmp.Or(damaged(e.Records(), p.A), damaged(other, p.B))
		if d != "" {
			d = "not as it was built: " + d
		}
		return d, false
	}
	mine := filepath.Join(e.Root, p.A.Path)
	may, text = c.MayDiffer(mine)
	if d, err := verify.Difference(mine, filepath.Join(other.Root, p.B.Path)); err == nil && !may {
		text += ": " + d
	}
	return text, may
}

// damaged says how a file is not what was recorded of it; empty when it is.
func damaged(g *graph.Graph, o graph.Output) string {
	return g.Damage(&graph.Record{Outputs: []graph.Output{o}}, true)
}
