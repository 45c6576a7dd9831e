package source

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/patch"
	"drydock/targets/internal/stack"

	version "github.com/hashicorp/go-version"
)

// An edit is a component's prepared tree, patched and writable, in vendor-sources/edit/<stack>/<component>/: nothing
// that cleans up looks there. What it began as is noted beside it.

// Names in the directory of an edit.
const (
	editTree = "tree"
	editNote = "edit.json"
)

// EditDir is the directory of a component's edit, whether one is open or not.
func (s *Set) EditDir(component string) string {
	return filepath.Join(s.Dir, "edit", s.Stack.Name, component)
}

// EditTree is the tree in it.
func (s *Set) EditTree(component string) string { return filepath.Join(s.EditDir(component), editTree) }

// Edits lists the components with an open edit.
func (s *Set) Edits() []string {
	closed := func(n string) bool { return !exists(filepath.Join(s.EditDir(n), editNote)) }
	return slices.DeleteFunc(s.Stack.Parts(), closed)
}

// openedEdit is the note beside the tree of an edit.
type openedEdit struct {
	Base []graph.Input `json:"base"` // what the tree was made from: source, vendor tree, patches
}

// base names what a component's tree is made from.
func (s *Source) base() []graph.Input {
	b := []graph.Input{{Name: "source", Value: s.SHA256}, {Name: "vendor tree", Value: s.Vendor}}
	for _, p := range s.Patches {
		b = append(b, graph.Input{Name: "patch", Value: p.Name + " " + p.SHA256})
	}
	return b
}

// edit is the open edit of a component as a source; nil when there is none.
func (s *Set) edit(c *stack.Component) (*Found, error) {
	note, err := os.ReadFile(filepath.Join(s.EditDir(c.Name), editNote))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(note) == 0 {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	layout := c.Layout(nil) // of the origin that is there, or of the first
	if !s.checksOut(c) {
		if found, err := s.archives(c); err == nil && found != nil {
			layout = found.Layout
		}
	}
	return s.Edit(s.EditTree(c.Name), layout)
}

// MakeEdit makes what an edit of a component begins as in a directory that is there. Its errors are Tree's.
func (s *Set) MakeEdit(c *stack.Component, src *Source, dir string) error {
	tree := filepath.Join(dir, editTree)
	if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	_, err := s.Tree(c, src.Found, src.Patches, tree)
	return err
}

// NoteEdit notes what the tree of an edit was made from; the error is the file system's. Until then no edit is open.
func (s *Set) NoteEdit(src *Source, dir string) error {
	data, err := json.MarshalIndent(openedEdit{src.base()}, "", "\t")
	if err != nil {
		return err
	}
	return archive.WriteBytes(filepath.Join(dir, editNote), 0o644, data)
}

// Change is what an open edit changes.
type Change struct {
	Component *stack.Component
	Source    *Source // without the edit
	Diff      []byte
	Files     []string
}

// DiffEdit compares an open edit with its base, made anew from the source without the edit. It returns an error where
// that is no longer what the edit was made from, or where a change is none that a patch can make.
func (s *Set) DiffEdit(c *stack.Component, src *Source) (*Change, error) {
	var was openedEdit
	data, err := os.ReadFile(filepath.Join(s.EditDir(c.Name), editNote))
	if err == nil {
		err = json.Unmarshal(data, &was)
	}
	if err != nil {
		return nil, err
	}
	if !slices.Equal(was.Base, src.base()) {
		return nil, fmt.Errorf("%s: its sources or patches are not what they were when the edit was opened: "+
			"put them back, or keep the tree aside, drop the edit, and open it again", c.Name)
	}
	base, done, err := s.Scratch("edit-")
	if err != nil {
		return nil, err
	}
	defer done()
	if _, err := s.Tree(c, src.Found, src.Patches, base); err != nil {
		return nil, err
	}
	change := &Change{Component: c, Source: src}
	var left []string
	change.Diff, change.Files, left, err = patch.Diff(base, s.EditTree(c.Name))
	if len(left) > 0 {
		s.UI.Line("notice    left out, as an editor or a patch left them behind: %s", strings.Join(left, ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	return change, nil
}

var patchFileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)

// Place is where an edit is to become a patch: a file in the directory of a version constraint.
type Place struct {
	dir              string // patches/<component>/<constraint>
	constraint, name string
}

// File is the patch's path.
func (p Place) File() string { return filepath.Join(p.dir, p.name) }

// PlaceFor returns where a component's next patch is to lie, or an error that says what is wrong with the name, or with
// the constraint, which its version must meet; an empty one is this very version.
func (s *Set) PlaceFor(c *stack.Component, name, constraint string) (Place, error) {
	p := Place{name: strings.TrimSuffix(name, ".patch") + ".patch", constraint: cmp.Or(constraint, "= "+c.Version)}
	if !patchFileName.MatchString(p.name) {
		return p, fmt.Errorf("edit:save: got name %q, want letters, digits, and . _ + -", p.name)
	}
	is := version.Must(version.NewVersion(c.Version)).Core()
	k, err := version.NewConstraint(p.constraint)
	if err != nil || strings.Contains(p.constraint, "/") || !k.Check(is) {
		return p, fmt.Errorf("edit:save: got -versions=%q, want a constraint that %s meets, such as \">= 20.10, < 23\"",
			p.constraint, c.Version)
	}
	p.dir = filepath.Join(s.Root, "patches", c.Name, p.constraint)
	if exists(p.File()) {
		return p, fmt.Errorf("%s is there already: take another name", s.rel(p.File()))
	}
	return p, nil
}

// Patch is the change as the text of a patch.
func (ch *Change) Patch(p Place) []byte {
	head := fmt.Sprintf("%s\n\nMade by \"mage edit:save\" for %s %s.\n\n", strings.TrimSuffix(p.name, ".patch"),
		ch.Component.Name, ch.Component.Version)
	return append([]byte(head), ch.Diff...)
}

// TrySave applies the whole series, with the new patch at the place that it gets, to the source as it is without any.
// It returns an error where the edit's tree does not come out, for the patch was made on top of all others.
func (s *Set) TrySave(ch *Change, at Place) error {
	tmp, done, err := s.Scratch("saved-")
	if err != nil {
		return err
	}
	defer done()
	c, tree := ch.Component, filepath.Join(tmp, editTree)
	p := patch.Patch{File: filepath.Join(tmp, at.name), Name: path.Join(at.constraint, at.name), Strip: 1}
	if err := errors.Join(os.Mkdir(tree, 0o755), os.WriteFile(p.File, ch.Patch(at), 0o644)); err != nil {
		return err
	}
	ps, err := patch.SeriesWith(filepath.Join(s.Root, "patches"), c.Name, c.Version, at.constraint, p)
	if err != nil {
		return err
	}
	if _, err = s.Tree(c, ch.Source.Found, ps, tree); err == nil {
		var files []string
		if _, files, _, err = patch.Diff(tree, s.EditTree(c.Name)); err == nil && len(files) > 0 {
			err = fmt.Errorf("the series does not make the edited tree: %s differ(s)", strings.Join(files, ", "))
		}
	}
	if last := ps[len(ps)-1]; err != nil && last.Name != p.Name {
		err = fmt.Errorf("%w: %s would be applied after it; save it behind that with -versions=%q", err, last.Name,
			path.Dir(last.Name))
	}
	return err
}

// Save makes the change the last patch of the series at its place, or returns the file system's error. The edit stays
// open, and goes on from there.
func (s *Set) Save(ch *Change, at Place) error {
	if err := os.MkdirAll(at.dir, 0o755); err != nil {
		return err
	}
	if err := archive.WriteBytes(at.File(), 0o644, ch.Patch(at)); err != nil {
		return err
	}
	series := filepath.Join(at.dir, "series")
	old, err := os.ReadFile(series)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(old) > 0 && old[len(old)-1] != '\n' {
		old = append(old, '\n')
	}
	// The series last: until then nothing has changed for a build.
	if err := archive.WriteBytes(series, 0o644, fmt.Appendf(old, "%s\n", at.name)); err != nil {
		return err
	}
	now := *ch.Source
	if now.Patches, err = s.Series(ch.Component); err != nil {
		return err
	}
	return s.NoteEdit(&now, s.EditDir(ch.Component.Name))
}
