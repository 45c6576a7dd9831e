package prove

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"drydock/targets/internal/engine"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/ui"
	"drydock/targets/internal/verify"
)

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
