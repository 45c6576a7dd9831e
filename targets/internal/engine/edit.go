package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/patch"
	"drydock/targets/internal/source"
	"drydock/targets/internal/stack"

	version "github.com/hashicorp/go-version"
)

// An edit is a component's prepared tree, patched and writable, in vendor-sources/edit/<stack>/<component>/: nothing
// that cleans up looks there. What it began as is noted beside it.
func (e *Engine) editDir(component string, parts ...string) string {
	return filepath.Join(append([]string{e.store.Dir, "edit", e.Stack.Name, component}, parts...)...)
}

// opened is the note beside the tree of an edit.
type openedEdit struct {
	// Base is what the tree was made from: source, vendor tree, patches.
	Base []graph.Input `json:"base"`
}

// base names what a component's tree is made from.
func (in *input) base() []graph.Input {
	b := []graph.Input{{Name: "source", Value: in.found.SHA256}, {Name: "vendor tree", Value: in.vendor}}
	for _, p := range in.patches {
		b = append(b, graph.Input{Name: "patch", Value: p.Name + " " + p.SHA256})
	}
	return b
}

// editFound is the open edit of a component as a source; nil when there is none.
func (e *Engine) editFound(c *stack.Component) (*source.Found, error) {
	note, err := os.ReadFile(e.editDir(c.Name, "edit.json"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(note) == 0 {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return e.store.Edit(e.editDir(c.Name, "tree"), e.layout(c))
}

// layout is how a component's sources are laid out: by the origin that is there, or the first.
func (e *Engine) layout(c *stack.Component) map[string]string {
	if c.Checkout == "" {
		if found, err := e.store.Locate(c, e.Stack.Lock); err == nil && found != nil {
			return found.Layout
		}
	}
	return c.Layout(nil)
}

// component gives a component by name: one that has sources of its own to be edited.
func (e *Engine) component(name string) (*stack.Component, error) {
	c := e.Stack.Component[name]
	if parts := e.ofTarget(name); c == nil && parts != nil { // "docker": the daemon
		c = e.Stack.Component[parts[0]]
	}
	if c == nil {
		return nil, fmt.Errorf("%q is no component: want one of %s", name, strings.Join(e.Stack.Parts(), ", "))
	}
	return c, nil
}

// EditOpen makes a writable tree of a component's sources, patched as a build would patch them.
func EditOpen(ctx context.Context, name string) error {
	return command(ctx, func(ctx context.Context, e *Engine) error {
		c, err := e.component(name)
		if err != nil {
			return err
		}
		dir := e.editDir(c.Name)
		if _, err := os.Stat(dir); err == nil {
			return fmt.Errorf("an edit of %s is open in %s: save it with \"mage edit:save NAME\", or drop it with \"mage edit:drop %s\"", c.Name, e.rel(dir), c.Name)
		}
		if err := e.look(ctx); err != nil {
			return err
		}
		e.editing = false
		in, err := e.sources(ctx, []string{c.Name}, false)
		if err != nil {
			return failure.With(failure.Sources, err)
		}
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return err
		}
		tmp, err := os.MkdirTemp(filepath.Dir(dir), ".open-")
		if err != nil {
			return err
		}
		defer source.RemoveAll(tmp)
		if err := e.prepare(c, in[c.Name], filepath.Join(tmp, "tree")); err != nil {
			return failure.With(failure.Failed, fmt.Errorf("%s: %w", c.Name, err))
		}
		if err := writeEdit(tmp, in[c.Name]); err != nil {
			return err
		}
		if err := errors.Join(os.Chmod(tmp, 0o755), os.Rename(tmp, dir)); err != nil {
			return err
		}
		e.UI.Line("opened    %s %s in %s", c.Name, c.Version, e.rel(filepath.Join(dir, "tree")))
		e.UI.Text(fmt.Sprintf("change it; build it with \"mage %s -edit\"; then \"mage edit:save NAME\" makes the next patch of it", targetOf(c.Name)))
		return nil
	})
}

func writeEdit(dir string, in *input) error {
	data, err := json.MarshalIndent(openedEdit{in.base()}, "", "\t")
	if err != nil {
		return err
	}
	return archive.WriteFile(filepath.Join(dir, "edit.json"), 0o644, func(w io.Writer) error { _, err := w.Write(data); return err })
}

// prepare makes the tree of a component as a build has it before it compiles.
func (e *Engine) prepare(c *stack.Component, in *input, tree string) error {
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return err
	}
	_, err := e.patchedTree(c, in.found, in.patches, tree)
	return err
}

// edits lists the components with an open edit.
func (e *Engine) edits() []string {
	return slices.DeleteFunc(e.Stack.Parts(), func(n string) bool {
		_, err := os.Stat(e.editDir(n, "edit.json"))
		return err != nil
	})
}

// whichEdit is the component meant: the named one, or the only one that is open.
func (e *Engine) whichEdit(name string) (*stack.Component, error) {
	open := e.edits()
	if name != "" {
		c, err := e.component(name)
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

// diffEdit compares an open edit with its base, made anew in a scratch directory that done removes.
func (e *Engine) diffEdit(ctx context.Context, c *stack.Component) (base string, in *input, diff []byte, files []string, done func(), err error) {
	done = func() {}
	if err = e.look(ctx); err != nil {
		return
	}
	e.editing = false
	inputs, err := e.sources(ctx, []string{c.Name}, false)
	if err != nil {
		return "", nil, nil, nil, done, failure.With(failure.Sources, err)
	}
	in = inputs[c.Name]
	var was openedEdit
	data, err := os.ReadFile(e.editDir(c.Name, "edit.json"))
	if err == nil {
		err = json.Unmarshal(data, &was)
	}
	if err != nil {
		return "", nil, nil, nil, done, err
	}
	if !slices.Equal(was.Base, in.base()) {
		return "", nil, nil, nil, done, fmt.Errorf("%s: its sources or patches are not what they were when the edit was opened: "+
			"put them back, or keep the tree aside, drop the edit, and open it again", c.Name)
	}
	if base, done, err = e.scratch("edit-"); err != nil {
		return "", nil, nil, nil, func() {}, err
	}
	if err = e.prepare(c, in, base); err != nil {
		return
	}
	diff, files, left, err := patch.Diff(base, e.editDir(c.Name, "tree"))
	if len(left) > 0 {
		e.UI.Line("notice    left out, as an editor or a patch left them behind: %s", strings.Join(left, ", "))
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", c.Name, err)
	}
	return base, in, diff, files, done, err
}

// EditDiff prints what an open edit changes.
func EditDiff(ctx context.Context, component string) error {
	return command(ctx, func(ctx context.Context, e *Engine) error {
		c, err := e.whichEdit(component)
		if err != nil {
			return err
		}
		_, _, diff, _, done, err := e.diffEdit(ctx, c)
		defer done()
		switch {
		case err != nil:
		case e.UI.TTY(): // to look at; elsewhere the bytes count
			e.UI.Text(string(diff))
		default:
			_, err = os.Stdout.Write(diff)
		}
		return err
	})
}

var patchFileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)

// EditSave makes what an open edit changes the next patch of the component's series, below the directory of a version
// constraint: by default of this very version. The edit stays open, and goes on from there.
func EditSave(ctx context.Context, name, component, constraint string) error {
	return command(ctx, func(ctx context.Context, e *Engine) error {
		c, err := e.whichEdit(component)
		if err != nil {
			return err
		}
		return e.saveEdit(ctx, c, name, constraint)
	})
}

func (e *Engine) saveEdit(ctx context.Context, c *stack.Component, name, constraint string) error {
	name = strings.TrimSuffix(name, ".patch") + ".patch"
	if !patchFileName.MatchString(name) {
		return fmt.Errorf("edit:save: got name %q, want letters, digits, and . _ + -", name)
	}
	if constraint == "" {
		constraint = "= " + c.Version
	}
	if k, err := version.NewConstraint(constraint); err != nil || strings.Contains(constraint, "/") || !k.Check(version.Must(version.NewVersion(c.Version)).Core()) {
		return fmt.Errorf("edit:save: got -versions=%q, want a constraint that %s meets, such as \">= 20.10, < 23\"", constraint, c.Version)
	}
	dir := filepath.Join(e.Root, "patches", c.Name, constraint)
	file, series := filepath.Join(dir, name), filepath.Join(dir, "series")
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("%s is there already: take another name", e.rel(file))
	}
	unlock, err := graph.Lock(ctx, e.editDir(c.Name), strings.Join(os.Args, " "), nil)
	if err != nil {
		return err
	}
	defer unlock()
	_, in, diff, files, done, err := e.diffEdit(ctx, c)
	defer done()
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s: nothing is changed in %s", c.Name, e.rel(e.editDir(c.Name, "tree")))
	}
	head := fmt.Sprintf("%s\n\nMade by \"mage edit:save\" for %s %s.\n\n", strings.TrimSuffix(name, ".patch"), c.Name, c.Version)
	text := []byte(head + string(diff))
	if err := e.tryEdit(c, in, constraint, name, text); err != nil {
		return failure.With(failure.Failed, fmt.Errorf("%s: not saved: %w", c.Name, err))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := archive.WriteFile(file, 0o644, func(w io.Writer) error { _, err := w.Write(text); return err }); err != nil {
		return err
	}
	old, err := os.ReadFile(series)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(old) > 0 && old[len(old)-1] != '\n' {
		old = append(old, '\n')
	}
	// The series last: until then nothing has changed for a build.
	if err := archive.WriteFile(series, 0o644, func(w io.Writer) error { _, err := fmt.Fprintf(w, "%s%s\n", old, name); return err }); err != nil {
		return err
	}
	if in.patches, err = patch.Series(filepath.Join(e.Root, "patches"), c.Name, c.Version); err != nil {
		return err
	}
	if err := writeEdit(e.editDir(c.Name), in); err != nil {
		return err
	}
	e.UI.Line("saved     %s: %d file(s): %s", e.rel(file), len(files), strings.Join(files, ", "))
	return nil
}

// tryEdit applies the whole series, with the new patch at the place that it gets, to the source as it is without any, and
// looks whether the edit's tree comes out. It was made on top of all others.
func (e *Engine) tryEdit(c *stack.Component, in *input, constraint, name string, text []byte) error {
	tmp, done, err := e.scratch("saved-")
	if err != nil {
		return err
	}
	defer done()
	tree := filepath.Join(tmp, "tree")
	p := patch.Patch{File: filepath.Join(tmp, name), Name: path.Join(constraint, name), Strip: 1}
	if err := errors.Join(os.Mkdir(tree, 0o755), os.WriteFile(p.File, text, 0o644)); err != nil {
		return err
	}
	ps, err := patch.SeriesWith(filepath.Join(e.Root, "patches"), c.Name, c.Version, constraint, p)
	if err != nil {
		return err
	}
	if _, err = e.patchedTree(c, in.found, ps, tree); err == nil {
		var files []string
		if _, files, _, err = patch.Diff(tree, e.editDir(c.Name, "tree")); err == nil && len(files) > 0 {
			err = fmt.Errorf("the series does not make the edited tree: %s differ(s)", strings.Join(files, ", "))
		}
	}
	if last := ps[len(ps)-1]; err != nil && last.Name != p.Name {
		err = fmt.Errorf("%w: %s would be applied after it; save it behind that with -versions=%q", err, last.Name, path.Dir(last.Name))
	}
	return err
}

// EditDrop throws an open edit away. What is not saved is lost, so it asks for the component's name.
func EditDrop(ctx context.Context, name string) error {
	return reading(ctx, func(_ context.Context, e *Engine) error {
		c, err := e.whichEdit(name)
		if err != nil {
			return err
		}
		if err := source.RemoveAll(e.editDir(c.Name)); err != nil {
			return err
		}
		e.UI.Line("dropped   the edit of %s; patches are kept", c.Name)
		return nil
	})
}
