package source

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
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
	// Strip is -pN of the series line; 1 without one.
	Strip int
	// SHA256 is the digest of its bytes.
	SHA256 string
}

// Group is a constraint directory of a component: its patches, and whether a version meets it.
type Group struct {
	Constraint string
	Applies    bool
	Patches    []Patch
}

// Groups gives the constraint directories below dir (patches/) of a component, in the order of their names.
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
			return nil, fmt.Errorf("%s: the directory's name is no version constraint, want one such as \">= 20.10, < 23\"", d)
		}
		g := Group{Constraint: c.Name(), Applies: constraint.Check(v.Core())}
		if g.Patches, err = readSeries(d, c.Name()); err != nil {
			return nil, err
		}
		gs = append(gs, g)
	}
	return gs, nil
}

// Series gives the patches that apply to a component at a version: those of every constraint directory that it meets.
func Series(dir, component, ver string) ([]Patch, error) {
	gs, err := Groups(dir, component, ver)
	var ps []Patch
	for _, g := range gs {
		if g.Applies {
			ps = append(ps, g.Patches...)
		}
	}
	return ps, err
}

func readSeries(dir, label string) ([]Patch, error) {
	file := filepath.Join(dir, "series")
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var ps []Patch
	sc := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; sc.Scan(); n++ {
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
	return ps, sc.Err()
}

// Apply applies a series to the tree, in order, with no fuzz and no offset. Everything is worked out in memory first: a
// patch that does not fit leaves the tree as it was. Only a failing disk can leave a part.
func Apply(tree string, ps []Patch) error {
	root, err := os.OpenRoot(tree)
	if err != nil {
		return err
	}
	defer root.Close()
	o := &overlay{root: root, files: map[string]*patched{}}
	for _, p := range ps {
		data, err := os.ReadFile(p.File)
		if err == nil {
			err = o.apply(data, p.Strip)
		}
		if err != nil {
			return fmt.Errorf("patch %s: %w", p.Name, err)
		}
	}
	return o.write()
}

// patched is a file as a series leaves it; without data it is gone.
type patched struct {
	data []byte
	mode fs.FileMode
	gone bool
}

// overlay is a tree with changes that are not written yet.
type overlay struct {
	root  *os.Root
	files map[string]*patched
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

func (o *overlay) apply(data []byte, strip int) error {
	files, _, err := gitdiff.Parse(bytes.NewReader(data))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return errors.New("no file is changed by it: want a unified diff")
	}
	for _, f := range files {
		oldName, err := patchName(data, "--- ", f.OldName, strip)
		if err != nil {
			return err
		}
		newName, err := patchName(data, "+++ ", f.NewName, strip)
		if err != nil {
			return err
		}
		if err := o.file(f, oldName, newName); err != nil {
			return fmt.Errorf("%s: %w", cmp.Or(newName, oldName), err)
		}
	}
	return nil
}

// patchName drops the leading directories of a name in a patch. gitdiff has taken one off already where git's own
// header names the file; a plain header's name stands in the patch as it is.
func patchName(patch []byte, header, name string, strip int) (string, error) {
	if name == "" {
		return "", nil
	}
	plain := false
	for line := range bytes.Lines(patch) {
		if rest, ok := bytes.CutPrefix(line, []byte(header+name)); ok && (len(rest) == 0 || rest[0] <= ' ') {
			plain = true
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
			if fi, err := o.root.Stat(d); err == nil && !fi.IsDir() && (o.files[d] == nil || !o.files[d].gone) || o.files[d] != nil && !o.files[d].gone {
				return fmt.Errorf("%s is no directory", d)
			}
		}
	}
	mode := src.mode
	if f.NewMode != 0 {
		mode = f.NewMode.Perm()
	}
	dst, err := applied(src.data, f)
	if err != nil {
		return explainHunk(err, src.data, f)
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

// applied is the file after the patch. With no context, "-3,0" means after line 3, where gitdiff means before it, and
// "+0,0" need not empty the file.
func applied(src []byte, f *gitdiff.File) ([]byte, error) {
	g := *f
	g.TextFragments = nil
	for _, t := range f.TextFragments {
		u := *t
		if u.OldLines == 0 && u.OldPosition > 0 {
			u.OldPosition++
		}
		if u.NewLines == 0 && u.NewPosition == 0 && !f.IsDelete {
			u.NewPosition = 1
		}
		g.TextFragments = append(g.TextFragments, &u)
	}
	slices.SortStableFunc(g.TextFragments, func(a, b *gitdiff.TextFragment) int { return cmp.Compare(a.OldPosition, b.OldPosition) })
	var dst bytes.Buffer
	err := gitdiff.Apply(&dst, bytes.NewReader(src), &g)
	return dst.Bytes(), err
}

// explainHunk adds to gitdiff's error which hunk and line it is, what the patch expects there and what the file has.
func explainHunk(err error, src []byte, f *gitdiff.File) error {
	var e *gitdiff.ApplyError
	if !errors.As(err, &e) || e.Fragment < 1 || e.Fragment > len(f.TextFragments) {
		return err
	}
	frags := slices.SortedStableFunc(slices.Values(f.TextFragments), func(a, b *gitdiff.TextFragment) int { return cmp.Compare(a.OldPosition, b.OldPosition) })
	h := frags[e.Fragment-1]
	text := fmt.Sprintf("hunk %d (%s): %v", e.Fragment, strings.TrimSpace(h.Header()), err)
	if i := e.FragmentLine - 1; i >= 0 && i < len(h.Lines) {
		have := "the end of the file"
		if lines := bytes.SplitAfter(src, []byte("\n")); e.Line >= 1 && e.Line <= int64(len(lines)) {
			have = fmt.Sprintf("%q", lines[e.Line-1])
		}
		text += fmt.Sprintf(": line %d: got %s, want %q", e.Line, have, h.Lines[i].Line)
	}
	if _, err := applied(src, reversed(f)); err == nil {
		text += ": it fits backwards: already applied, or reversed?"
	}
	return errors.New(text)
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

func copyFrom(r io.Reader) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	}
}
