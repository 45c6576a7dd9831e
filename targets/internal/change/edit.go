// Package change is the commands by which a person changes what a stack is made from: edits, and the series of patches
// that they become.
package change

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/engine"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/source"
	"drydock/targets/internal/stack"
)

// component returns a component by name: one that has sources of its own to be edited.
func component(e *engine.Engine, name string) (*stack.Component, error) {
	c := e.Stack.Component[name]
	if parts := recipe.OfTarget(e.Stack, name); c == nil && parts != nil { // "docker": the daemon
		c = e.Stack.Component[parts[0]]
	}
	if c == nil {
		return nil, fmt.Errorf("%q is no component: want one of %s", name, strings.Join(e.Stack.Parts(), ", "))
	}
	return c, nil
}

// EditOpen makes a writable tree of a component's sources, patched as a build would patch them. An edit that is open is
// an error, a source that cannot be had failure.Sources, a series that does not fit failure.Failed.
func EditOpen(ctx context.Context, name string) error {
	return engine.Command(ctx, func(ctx context.Context, e *engine.Engine) error {
		c, err := component(e, name)
		if err != nil {
			return err
		}
		dir := e.Sources.EditDir(c.Name)
		if _, err := os.Stat(dir); err == nil {
			return fmt.Errorf("an edit of %s is open in %s: save it with \"mage edit:save NAME\", or drop it with "+
				"\"mage edit:drop %s\"", c.Name, e.Rel(dir), c.Name)
		}
		src, err := pristine(ctx, e, c)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return err
		}
		tmp, err := os.MkdirTemp(filepath.Dir(dir), ".open-")
		if err != nil {
			return err
		}
		defer archive.RemoveAll(tmp)
		if err := e.Sources.MakeEdit(c, src, tmp); err != nil {
			return failure.Errorf(failure.Failed, "%s: %w", c.Name, err)
		}
		if err := errors.Join(e.Sources.NoteEdit(src, tmp), os.Chmod(tmp, 0o755), os.Rename(tmp, dir)); err != nil {
			return err
		}
		e.UI.Line("opened    %s %s in %s", c.Name, c.Version, e.Rel(e.Sources.EditTree(c.Name)))
		e.UI.Text(fmt.Sprintf("change it; build it with \"mage %s -edit\"; then \"mage edit:save NAME\" makes the "+
			"next patch of it", recipe.Row(c.Name).Target))
		return nil
	})
}

// pristine gets a component's source without the open edit.
func pristine(ctx context.Context, e *engine.Engine, c *stack.Component) (*source.Source, error) {
	if err := e.Look(ctx); err != nil {
		return nil, err
	}
	set := *e.Sources
	set.Editing = false
	sources, err := set.Fetch(ctx, []string{c.Name})
	return sources[c.Name], failure.With(failure.Sources, err)
}

// whichEdit is the component meant: the named one, or the only one that is open.
func whichEdit(e *engine.Engine, name string) (*stack.Component, error) {
	open := e.Sources.Edits()
	if name != "" {
		c, err := component(e, name)
		if err == nil && !slices.Contains(open, c.Name) {
			err = fmt.Errorf("no edit of %s is open: \"mage edit %s\" opens one", c.Name, c.Name)
		}
		return c, err
	}
	if len(open) != 1 {
		what := "none is open: \"mage edit COMPONENT\" opens one"
		if len(open) > 1 {
			what = "say -component=, one of " + strings.Join(open, ", ")
		}
		return nil, fmt.Errorf("which edit: %s", what)
	}
	return e.Stack.Component[open[0]], nil
}

// diffEdit compares an open edit with its base.
func diffEdit(ctx context.Context, e *engine.Engine, c *stack.Component) (*source.Change, error) {
	src, err := pristine(ctx, e, c)
	if err != nil {
		return nil, err
	}
	return e.Sources.DiffEdit(c, src)
}

// EditDiff prints what an open edit changes. It fails where no edit is open.
func EditDiff(ctx context.Context, component string) error {
	return engine.Command(ctx, func(ctx context.Context, e *engine.Engine) error {
		c, err := whichEdit(e, component)
		if err != nil {
			return err
		}
		change, err := diffEdit(ctx, e, c)
		switch {
		case err != nil:
		case e.UI.TTY(): // to look at; elsewhere the bytes count
			e.UI.Text(string(change.Diff))
		default:
			_, err = os.Stdout.Write(change.Diff)
		}
		return err
	})
}

// EditSave makes what an open edit changes the next patch of the component's series, below the directory of a version
// constraint: by default of this very version. The edit stays open, and goes on from there. A patch with which the
// series does not make the edit's tree is failure.Failed, and not saved.
func EditSave(ctx context.Context, name, component, constraint string) error {
	return engine.Command(ctx, func(ctx context.Context, e *engine.Engine) error {
		c, err := whichEdit(e, component)
		if err != nil {
			return err
		}
		at, err := e.Sources.PlaceFor(c, name, constraint)
		if err != nil {
			return err
		}
		unlock, err := graph.Lock(ctx, e.Sources.EditDir(c.Name), strings.Join(os.Args, " "), nil)
		if err != nil {
			return err
		}
		defer unlock()
		change, err := diffEdit(ctx, e, c)
		if err != nil {
			return err
		}
		if len(change.Files) == 0 {
			return fmt.Errorf("%s: nothing is changed in %s", c.Name, e.Rel(e.Sources.EditTree(c.Name)))
		}
		if err := e.Sources.TrySave(change, at); err != nil {
			return failure.Errorf(failure.Failed, "%s: not saved: %w", c.Name, err)
		}
		if err := e.Sources.Save(change, at); err != nil {
			return err
		}
		e.UI.Line("saved     %s: %d file(s): %s", e.Rel(at.File()), len(change.Files), strings.Join(change.Files, ", "))
		return nil
	})
}

// EditDrop throws an open edit away. What is not saved is lost, so it asks for the component's name. It fails where
// none is open.
func EditDrop(ctx context.Context, name string) error {
	return engine.Reading(ctx, func(_ context.Context, e *engine.Engine) error {
		c, err := whichEdit(e, name)
		if err != nil {
			return err
		}
		if err := archive.RemoveAll(e.Sources.EditDir(c.Name)); err != nil {
			return err
		}
		e.UI.Line("dropped   the edit of %s; patches are kept", c.Name)
		return nil
	})
}
