// Package patch reads series of patches in quilt's format, and the trees that they are for: which patches apply to a
// version, what they make of a tree, and the patch that tells two trees apart. It runs no program.
package patch

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"drydock/targets/internal/archive"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
	version "github.com/hashicorp/go-version"
)

// Patch is one file of a series.
type Patch struct {
	// File is its path; Name is how messages and keys call it: constraint/name.
	File, Name string
	Strip      int    // -pN of the series line; 1 without one
	Strict     bool   // its hunks must lie where they say
	SHA256     string // the digest of its bytes
	// Place says where a file that it names lies, or that it is left out; nil for where it says.
	Place func(name string) (place string, out bool, err error)
}

// Group is a constraint directory of a component: its patches, and whether a version meets it.
type Group struct {
	Constraint string
	Applies    bool
	Patches    []Patch
}

// Groups returns the constraint directories below dir (patches/) of a component, in the order of their names, but with
// those of an exact version behind the others: what was made for one version was made on what is there for many. A name
// that is no constraint is an error.
func Groups(dir, component, ver string) ([]Group, error) {
	v, err := version.NewVersion(ver)
	if err != nil {
		return nil, err
	}
	cs, err := os.ReadDir(filepath.Join(dir, component))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var gs []Group
	for _, c := range cs {
		if !c.IsDir() {
			continue
		}
		d := filepath.Join(dir, component, c.Name())
		constraint, err := version.NewConstraint(c.Name())
		if err != nil {
			return nil, fmt.Errorf("%s: the directory's name is no version constraint, "+
				"want one such as \">= 20.10, < 23\"", d)
		}
		g := Group{Constraint: c.Name(), Applies: constraint.Check(v.Core())}
		if g.Patches, err = ReadSeries(d, c.Name()); err != nil {
			return nil, err
		}
		gs = append(gs, g)
	}
	sortGroups(gs)
	return gs, nil
}

// exactly are the names of constraints that one version alone meets.
var exactly = regexp.MustCompile(`^\s*=?\s*v?[0-9][^,<>~!]*$`)

// sortGroups brings groups into the order in which they apply.
func sortGroups(gs []Group) {
	rank := func(g Group) int {
		if exactly.MatchString(g.Constraint) {
			return 1
		}
		return 0
	}
	slices.SortFunc(gs, func(a, b Group) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Constraint, b.Constraint))
	})
}

// Series returns the patches that apply to a component at a version: those of every constraint directory that it meets.
// Its errors are those of Groups and ReadSeries.
func Series(dir, component, ver string) ([]Patch, error) {
	gs, err := Groups(dir, component, ver)
	return applying(gs), err
}

func applying(gs []Group) (ps []Patch) {
	for _, g := range gs {
		if g.Applies {
			ps = append(ps, g.Patches...)
		}
	}
	return ps
}

// SeriesWith is Series, errors too, as it will be when p is the last patch of a constraint directory that the version
// meets, which need not be there yet.
func SeriesWith(dir, component, ver, constraint string, p Patch) ([]Patch, error) {
	gs, err := Groups(dir, component, ver)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(gs, func(g Group) bool { return g.Constraint == constraint })
	if i < 0 {
		gs, i = append(gs, Group{Constraint: constraint, Applies: true}), len(gs)
	} else if len(gs[i].Patches) > 0 {
		p.Strict = gs[i].Patches[0].Strict
	}
	gs[i].Patches = append(gs[i].Patches, p)
	sortGroups(gs)
	return applying(gs), nil
}

// strictLine is the comment that makes a series strict.
const strictLine = "# strict"

// ReadSeries returns the patches of the file series in a directory, in order, with their digests; label is what their
// names begin with. An error names the line.
func ReadSeries(dir, label string) ([]Patch, error) {
	file := filepath.Join(dir, "series")
	data, err := archive.ReadFile(file, maxPatch)
	if err != nil {
		return nil, err
	}
	var ps []Patch
	strict := false
	sc := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; sc.Scan(); n++ {
		strict = strict || strings.TrimSpace(sc.Text()) == strictLine
		line, _, _ := strings.Cut(sc.Text(), "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		p := Patch{File: filepath.Join(dir, f[0]), Name: path.Join(label, f[0]), Strip: 1}
		if !filepath.IsLocal(f[0]) {
			return nil, fmt.Errorf("%s:%d: %q leaves the directory", file, n, f[0])
		}
		if len(f) > 1 {
			i := slices.Index([]string{"-p0", "-p1", "-p2"}, f[1])
			if i < 0 || len(f) > 2 {
				return nil, fmt.Errorf("%s:%d: got %q, want a name and at most -p0, -p1 or -p2", file, n, sc.Text())
			}
			p.Strip = i
		}
		if p.SHA256, err = archive.SHA256File(p.File); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		ps = append(ps, p)
	}
	for i := range ps {
		ps[i].Strict = strict
	}
	return ps, sc.Err()
}

// Apply applies a series to the tree, in order, with no fuzz. A hunk may lie elsewhere than it says (see place), unless
// the series is strict; told has a line for each that does. Everything is worked out in memory first: a patch that does
// not fit leaves the tree as it was. Only a failing disk can leave a part.
func Apply(tree string, ps []Patch) (told []string, err error) {
	root, err := os.OpenRoot(tree)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	o := &overlay{root: root, files: map[string]*patched{}}
	for _, p := range ps {
		o.strict, o.told = p.Strict, nil
		data, err := p.read()
		if err == nil {
			err = o.apply(data, p)
		}
		if err != nil {
			return nil, fmt.Errorf("patch %s: %w", p.Name, err)
		}
		for _, t := range o.told {
			told = append(told, "patch "+p.Name+": "+t)
		}
	}
	return told, o.write()
}

// maxPatch is the size, in bytes, up to which a patch is read.
const maxPatch = 64 << 20

// read returns the patch's bytes, which must be those whose digest is part of a key.
func (p Patch) read() ([]byte, error) {
	data, err := archive.ReadFile(p.File, maxPatch)
	if err != nil {
		return nil, err
	}
	if got, _ := archive.SHA256(bytes.NewReader(data)); p.SHA256 != "" && got != p.SHA256 {
		return nil, fmt.Errorf("%s changed since it was read: sha256: got %s, want %s: run again",
			p.File, got, p.SHA256)
	}
	return data, nil
}

// patched is a file as a series leaves it; without data it is gone.
type patched struct {
	data []byte
	mode fs.FileMode
	gone bool
}

// overlay is a tree with changes that are not written yet.
type overlay struct {
	root   *os.Root
	files  map[string]*patched
	strict bool     // of the patch that is being applied
	told   []string // hunks of that which lie elsewhere than they say
}

// read gives a file as it stands, or nil if there is none.
func (o *overlay) read(name string) (*patched, error) {
	if f := o.files[name]; f != nil {
		if f.gone {
			return nil, nil
		}
		return f, nil
	}
	fi, err := o.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return nil, nil
	case err != nil:
		return nil, err
	case !fi.Mode().IsRegular():
		return nil, fmt.Errorf("got a %s, want a file", fi.Mode().Type())
	}
	data, err := o.root.ReadFile(name)
	return &patched{data: data, mode: fi.Mode().Perm()}, err
}

func (o *overlay) write() error {
	names := slices.Sorted(maps.Keys(o.files))
	for _, n := range names {
		if o.files[n].gone {
			if err := o.root.Remove(n); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	for _, n := range names {
		f := o.files[n]
		if f.gone {
			continue
		}
		if err := o.root.MkdirAll(path.Dir(n), 0o755); err != nil {
			return err
		}
		if err := o.root.WriteFile(n, f.data, f.mode); err != nil {
			return err
		}
		if err := o.root.Chmod(n, f.mode); err != nil {
			return err
		}
	}
	return nil
}

func (o *overlay) apply(data []byte, p Patch) error {
	files, _, err := gitdiff.Parse(bytes.NewReader(data))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return errors.New("no file is changed by it: want a unified diff")
	}
	left := 0
	for _, f := range files {
		oldName, oldOut, err := p.nameIn(data, f.OldName)
		if err != nil {
			return err
		}
		newName, newOut, err := p.nameIn(data, f.NewName)
		if err != nil {
			return err
		}
		if oldOut || newOut {
			continue
		}
		left++
		if err := o.file(f, oldName, newName); err != nil {
			return fmt.Errorf("%s: %w", cmp.Or(newName, oldName), err)
		}
	}
	if left == 0 {
		return errors.New("all that it changes is left out by series_dirs: leave the patch out")
	}
	return nil
}

// nameIn is a file's name in the tree that is patched; out says that it is left out.
func (p Patch) nameIn(patch []byte, name string) (in string, out bool, err error) {
	in, err = patchName(patch, name, p.Strip)
	if err != nil || in == "" || p.Place == nil {
		return in, false, err
	}
	return p.Place(in)
}

// patchName drops the leading directories of a name in a patch. gitdiff has taken one off already where git's own
// header names the file; a plain header's name stands in the patch as it is, in one of its two lines.
func patchName(patch []byte, name string, strip int) (string, error) {
	if name == "" {
		return "", nil
	}
	plain := false
	for line := range bytes.Lines(patch) {
		old, isOld := bytes.CutPrefix(line, []byte("--- "+name))
		rest, ok := bytes.CutPrefix(line, []byte("+++ "+name))
		if isOld {
			rest = old
		}
		if plain = (ok || isOld) && (len(rest) == 0 || rest[0] <= ' '); plain {
			break
		}
	}
	if !plain {
		if strip == 0 {
			return "", fmt.Errorf("%s: git's header has a directory before the name: want -p1 in the series", name)
		}
		strip--
	}
	was := name
	for range strip {
		_, rest, ok := strings.Cut(name, "/")
		if !ok {
			return "", fmt.Errorf("%q has fewer directories than the series' -pN takes off", was)
		}
		name = strings.TrimLeft(rest, "/")
	}
	if name = path.Clean(name); name == "." || !filepath.IsLocal(name) {
		return "", fmt.Errorf("%q leaves the tree", was)
	}
	return name, nil
}

func (o *overlay) file(f *gitdiff.File, oldName, newName string) error {
	for _, m := range []fs.FileMode{f.OldMode, f.NewMode} {
		if kind := uint32(m) & 0o170000; kind != 0 && kind != 0o100000 {
			return fmt.Errorf("mode %o: only plain files can be patched", uint32(m))
		}
	}
	// A plain header may name a copy (x.orig) as the old file: what is there is meant, as in GNU patch.
	if !f.IsNew && !f.IsDelete && !f.IsRename && !f.IsCopy && oldName != newName {
		switch there, err := o.read(newName); {
		case err != nil:
			return err
		case there != nil:
			oldName = newName
		default:
			newName = oldName
		}
	}
	src := &patched{mode: 0o644}
	if !f.IsNew {
		var err error
		if src, err = o.read(oldName); err != nil {
			return err
		}
		if src == nil && f.IsDelete {
			return fmt.Errorf("%s, which it removes, is not there: already applied?", oldName)
		} else if src == nil {
			return fmt.Errorf("%s is not there", oldName)
		}
	}
	if !f.IsDelete && (f.IsNew || oldName != newName) {
		there, err := o.read(newName)
		if err != nil {
			return err
		}
		if there != nil {
			return errors.New("the patch makes this file, but it is there: already applied?")
		}
		for d := path.Dir(newName); d != "."; d = path.Dir(d) {
			fi, err := o.root.Stat(d)
			made := o.files[d]
			if err == nil && !fi.IsDir() && made == nil || made != nil && !made.gone {
				return fmt.Errorf("%s is no directory", d)
			}
		}
	}
	mode := src.mode
	if f.NewMode != 0 {
		mode = f.NewMode.Perm()
	}
	dst, all, err := applied(src.data, f)
	switch {
	case err != nil && backwards(src.data, f):
		return fmt.Errorf("%w: it fits backwards: already applied, or reversed?", err)
	case err != nil:
		return err
	case len(all) > 0 && backwards(src.data, f):
		return fmt.Errorf("%v, and backwards it fits where it says: already applied?", all[0])
	case len(all) > 0 && o.strict:
		return fmt.Errorf("%v, and the series is strict", all[0])
	}
	for _, m := range all {
		o.told = append(o.told, fmt.Sprintf("%s: %v", cmp.Or(newName, oldName), m))
	}
	if f.IsDelete && len(dst) > 0 {
		return errors.New("the patch removes this file, but it has lines that the patch does not know")
	}
	if f.IsDelete || f.IsRename && oldName != newName {
		o.files[oldName] = &patched{gone: true}
	}
	if !f.IsDelete {
		o.files[newName] = &patched{data: dst, mode: mode}
	}
	return nil
}

// applied is the file after the patch, with the hunks that lay elsewhere than they say.
func applied(src []byte, f *gitdiff.File) ([]byte, []moved, error) {
	g := *f
	g.TextFragments = inOrder(f)
	all, err := place(src, g.TextFragments)
	if err != nil {
		return nil, nil, err
	}
	var dst bytes.Buffer
	err = gitdiff.Apply(&dst, bytes.NewReader(src), &g)
	return dst.Bytes(), all, err
}

// backwards says whether a patch is in a file already: taken back, it fits where it says.
func backwards(src []byte, f *gitdiff.File) bool {
	_, all, err := applied(src, reversed(f))
	return err == nil && len(all) == 0
}

// reversed is the text change that takes f back.
func reversed(f *gitdiff.File) *gitdiff.File {
	r := &gitdiff.File{}
	for _, t := range f.TextFragments {
		u := *t
		u.OldPosition, u.OldLines, u.NewPosition, u.NewLines = t.NewPosition, t.NewLines, t.OldPosition, t.OldLines
		u.LinesAdded, u.LinesDeleted, u.Lines = t.LinesDeleted, t.LinesAdded, nil
		for _, l := range t.Lines {
			switch l.Op {
			case gitdiff.OpAdd:
				l.Op = gitdiff.OpDelete
			case gitdiff.OpDelete:
				l.Op = gitdiff.OpAdd
			}
			u.Lines = append(u.Lines, l)
		}
		r.TextFragments = append(r.TextFragments, &u)
	}
	return r
}
