package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/patch"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/source"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/ui"
)

// Patches lists the patches that belong to the sources that are here, and those below patches/: what applies to which component
// of the stack, and why the others do not.
func Patches(ctx context.Context) error {
	return reading(ctx, func(_ context.Context, e *Engine) error {
		dir := filepath.Join(e.Root, "patches")
		dirs, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		rows := [][]string{{"COMPONENT", "VERSION", "PATCH", "APPLIES"}}
		own, err := e.ownPatches()
		if err != nil {
			return err
		}
		rows = append(rows, own...)
		for _, d := range dirs {
			if !d.IsDir() {
				continue
			}
			c := e.Stack.Component[d.Name()]
			if c == nil {
				why := fmt.Sprintf("no: %s has no component of this name", e.Stack.Name)
				if recipe.Row(d.Name()).Name == "" {
					why = "no: want the name of one of " + strings.Join(e.Stack.Rows.Names(), ", ")
				}
				rows = append(rows, []string{d.Name(), "", "", why})
				continue
			}
			groups, err := patch.Groups(dir, c.Name, c.Version)
			if err != nil {
				return err
			}
			for _, g := range groups {
				verdict := "yes"
				if !g.Applies {
					verdict = fmt.Sprintf("no: %s is not %s", c.Version, g.Constraint)
				}
				for _, p := range g.Patches {
					rows = append(rows, []string{c.Name, c.Version, p.Name, verdict})
				}
			}
		}
		if len(rows) == 1 {
			e.UI.Line("no patches in %s", e.rel(dir))
		} else {
			e.UI.Text(ui.Table(rows))
		}
		if rows := e.Stack.RaisedTable(); len(rows) > 1 {
			e.UI.Text(ui.Table(rows))
		}
		return nil
	})
}

// ownPatches are rows of a table of the patches that belong to sources.
func (e *Engine) ownPatches() (rows [][]string, err error) {
	for _, n := range e.Stack.Parts() {
		c := e.Stack.Component[n]
		names, err := e.ownNames(c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		for _, name := range names {
			rows = append(rows, []string{n, c.Version, name, "yes, from its source"})
		}
	}
	return rows, e.src.Digests.Save()
}

// ownNames are the names of the patches that belong to a component's source and are applied. Where the stack does not name
// them, the source must be here.
func (e *Engine) ownNames(c *stack.Component) (names []string, err error) {
	if !slices.ContainsFunc(c.Origin, (*stack.Origin).HasSeries) {
		return nil, nil
	}
	found, err := e.src.Locate(c)
	if err != nil {
		return nil, err
	}
	if found == nil {
		found = e.src.Expected(c, e.sourceOf(c.Name))
	}
	if o := found.Origin; o != nil && len(o.Only) > 0 {
		for _, name := range o.Only {
			names = append(names, path.Join(path.Dir(o.Series), name))
		}
		return names, nil
	}
	if found.Path == "" {
		return nil, nil
	}
	ps, err := e.src.SeriesOf(found)
	for _, p := range ps {
		names = append(names, p.Name)
	}
	return names, err
}

// CheckPatches tries every series that applies against the component's source, without building. It reports all
// components whose series does not fit.
func CheckPatches(ctx context.Context) error {
	return command(ctx, func(ctx context.Context, e *Engine) error {
		var errs []error
		for _, n := range e.Stack.Parts() {
			c := e.Stack.Component[n]
			if err := e.checkPatches(c); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", n, err))
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if err := e.src.Digests.Save(); err != nil {
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

// checkPatches applies a component's patches to a tree that is thrown away, and says how that went: those that belong to its
// source, and ours.
func (e *Engine) checkPatches(c *stack.Component) error {
	ours, err := e.src.Series(c)
	if err != nil {
		return err
	}
	found, err := e.src.Locate(c)
	if err != nil {
		return err
	}
	if found == nil && (ours != nil || slices.ContainsFunc(c.Origin, (*stack.Origin).HasSeries)) {
		return &source.MissingError{Text: "its source is not in vendor-sources/: run \"mage fetch\""}
	}
	if found == nil || ours == nil && (found.Checkout() || found.Origin.Series == "") {
		return nil
	}
	tree, done, err := e.src.Scratch("patches-")
	if err != nil {
		return err
	}
	defer done()
	told, err := e.src.Tree(c, found, ours, tree)
	if err != nil {
		return err
	}
	own, err := found.Series(tree)
	if err != nil {
		return err
	}
	e.UI.Line("%s   %s: %d patches apply", e.UI.Good("fits"), c.Name, len(own)+len(ours))
	for _, t := range told {
		e.UI.Line("moved  %s: %s", c.Name, t)
	}
	return nil
}
