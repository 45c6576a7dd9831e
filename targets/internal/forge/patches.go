package forge

import (
	"cmp"
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
		} else {
			f.UI.Text(ui.Table(rows))
		}
		if rows := f.raised(); len(rows) > 1 {
			f.UI.Text(ui.Table(rows))
		}
		return nil
	})
}

// raised are the rows of a table of all modules that the stack raises, and of those that are raised with them.
func (f *Forge) raised() [][]string {
	rows := [][]string{{"COMPONENT", "MODULE", "UPSTREAM HAS", "RAISED TO", "WHY"}}
	for _, n := range f.Stack.Parts() {
		c := f.Stack.Component[n]
		asked, all := c.Raises(), f.Stack.Raised(n)
		if asked != nil && all == nil {
			why := "the lock does not know: run \"mage fetch -record\""
			rows = append(rows, []string{n, strings.Join(asked, " "), "?", "?", why})
		}
		for _, r := range all {
			why := "needed by another"
			if slices.Contains(asked, r.Module+"@"+r.To) {
				why = "the stack asks for it"
			}
			rows = append(rows, []string{n, r.Module, cmp.Or(r.From, "none"), r.To, why})
		}
	}
	return rows
}

// CheckPatches tries every series that applies against the component's source, without building. It reports all
// components whose series does not fit.
func CheckPatches(ctx context.Context) error {
	return command(ctx, func(ctx context.Context, f *Forge) error {
		var errs []error
		for _, n := range f.Stack.Parts() {
			c := f.Stack.Component[n]
			ps, err := source.Series(filepath.Join(f.Root, "patches"), n, c.Version)
			var told []string
			if err == nil && len(ps) > 0 {
				told, err = f.tryPatches(c, ps)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", n, err))
			} else if len(ps) > 0 {
				f.UI.Line("%s   %s: %d patches apply", f.UI.Good("fits"), n, len(ps))
				for _, t := range told {
					f.UI.Line("moved  %s: %s", n, t)
				}
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
func (f *Forge) tryPatches(c *stack.Component, ps []source.Patch) (told []string, err error) {
	found, err := f.locate(c)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, &source.MissingError{Text: "its source is not in vendor-sources/: run \"mage fetch\""}
	}
	tree, done, err := f.scratch("patches-")
	if err != nil {
		return nil, err
	}
	defer done()
	return f.patchedTree(c, found, ps, tree)
}

// scratch makes a directory that done removes.
func (f *Forge) scratch(prefix string) (dir string, done func(), err error) {
	base := filepath.Join(f.Root, "build/tmp")
	if err := os.MkdirAll(base, 0o755); err != nil {
		return "", nil, err
	}
	if dir, err = os.MkdirTemp(base, prefix); err != nil {
		return "", nil, err
	}
	return dir, func() { source.RemoveAll(dir) }, nil
}

// patchedTree makes a component's tree with these patches in a directory that is there. It tells of all hunks that lie
// elsewhere than they say, those of the source's own series among them.
func (f *Forge) patchedTree(c *stack.Component, found *source.Found, ps []source.Patch, tree string) (told []string, err error) {
	told, err = f.store.Prepare(c, f.Stack.Lock, found, tree)
	if err != nil {
		return nil, err
	}
	more, err := source.Apply(tree, ps)
	return append(told, more...), err
}
