package change

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/engine"
	"drydock/targets/internal/patch"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/source"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/ui"
)

// Patches lists the patches that belong to the sources that are here, and those below patches/: what applies to which
// component of the stack, and why the others do not. It fails on a series that cannot be read.
func Patches(ctx context.Context) error {
	return engine.Reading(ctx, func(_ context.Context, e *engine.Engine) error {
		dir := filepath.Join(e.Root, "patches")
		dirs, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		rows := [][]string{{"COMPONENT", "VERSION", "PATCH", "APPLIES"}}
		own, err := ownPatches(e)
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
			e.UI.Line("no patches in %s", e.Rel(dir))
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
func ownPatches(e *engine.Engine) (rows [][]string, err error) {
	for _, n := range e.Stack.Parts() {
		c := e.Stack.Component[n]
		names, err := e.SeriesNames(c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
		for _, name := range names {
			rows = append(rows, []string{n, c.Version, name, "yes, from its source"})
		}
	}
	return rows, e.Sources.Digests.Save()
}

// CheckPatches tries every series that applies against the component's source, without building. It reports all
// components whose series does not fit.
func CheckPatches(ctx context.Context) error {
	return engine.Command(ctx, func(ctx context.Context, e *engine.Engine) error {
		var errs []error
		for _, n := range e.Stack.Parts() {
			c := e.Stack.Component[n]
			if err := checkPatches(e, c); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", n, err))
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if err := e.Sources.Digests.Save(); err != nil {
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

// checkPatches applies a component's patches to a tree that is thrown away, and says how that went: those that belong
// to its source, and ours.
func checkPatches(e *engine.Engine, c *stack.Component) error {
	ours, err := e.Sources.Series(c)
	if err != nil {
		return err
	}
	found, err := e.Sources.Locate(c)
	if err != nil {
		return err
	}
	if found == nil && (ours != nil || slices.ContainsFunc(c.Origin, (*stack.Origin).HasSeries)) {
		return &source.MissingError{Text: "its source is not in vendor-sources/: run \"mage fetch\""}
	}
	if found == nil || ours == nil && (found.Checkout() || found.Origin.Series == "") {
		return nil
	}
	tree, done, err := e.Sources.Scratch("patches-")
	if err != nil {
		return err
	}
	defer done()
	told, err := e.Sources.Tree(c, found, ours, tree)
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
