package forge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/source"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/ui"
)

// Patches lists the patches below patches/: what applies to which component of the stack, and why the others do not.
func Patches(ctx context.Context) error {
	return reading(ctx, func(_ context.Context, f *Forge) error {
		dir := filepath.Join(f.Root, "patches")
		dirs, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fail(CodeOther, err)
		}
		rows := [][]string{{"COMPONENT", "VERSION", "PATCH", "APPLIES"}}
		for _, d := range dirs {
			if !d.IsDir() {
				continue
			}
			c := f.Stack.Component[d.Name()]
			if c == nil {
				why := fmt.Sprintf("no: %s has no component of this name", f.Stack.Name)
				if !slices.Contains(stack.Components, d.Name()) {
					why = "no: want the name of one of " + strings.Join(stack.Components, ", ")
				}
				rows = append(rows, []string{d.Name(), "", "", why})
				continue
			}
			groups, err := source.Groups(dir, c.Name, c.Version)
			if err != nil {
				return fail(CodeOther, err)
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
			f.UI.Line("no patches in %s", f.rel(dir))
			return nil
		}
		f.UI.Text(ui.Table(rows))
		return nil
	})
}

// CheckPatches tries every series that applies against the component's source, without building. It reports all
// components whose series does not fit.
func CheckPatches(ctx context.Context) error {
	return command(ctx, func(ctx context.Context, f *Forge) error {
		var errs []error
		for _, n := range f.Stack.Parts() {
			c := f.Stack.Component[n]
			ps, err := source.Series(filepath.Join(f.Root, "patches"), n, c.Version)
			if err == nil && len(ps) > 0 {
				err = f.tryPatches(c, ps)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", n, err))
			} else if len(ps) > 0 {
				f.UI.Line("%s   %s: %d patches apply", f.UI.Good("fits"), n, len(ps))
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if err := f.store.Digests.Save(); err != nil {
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

// tryPatches applies a series to a tree that is thrown away.
func (f *Forge) tryPatches(c *stack.Component, ps []source.Patch) error {
	found, err := f.locate(c)
	if err != nil {
		return err
	}
	if found == nil {
		return &source.MissingError{Text: "its source is not in vendor-sources/: run \"mage fetch\""}
	}
	scratch := filepath.Join(f.Root, "build/tmp")
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return err
	}
	tree, err := os.MkdirTemp(scratch, "patches-")
	if err != nil {
		return err
	}
	defer source.RemoveAll(tree)
	if err := f.store.Prepare(c, f.Stack.Lock, found, tree); err != nil {
		return err
	}
	return source.Apply(tree, ps)
}
