package source

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/patch"
)

// Series are the patches of the series that belongs to a source, as its unpacked tree has them: those that are applied,
// in order; none without a series. It returns an error where the stack names a patch that the series does not.
func (f *Found) Series(tree string) ([]patch.Patch, error) {
	if f.Checkout() || f.Origin.Series == "" {
		return nil, nil
	}
	o, d := f.Origin, path.Dir(f.Origin.Series)
	all, err := patch.ReadSeries(filepath.Join(tree, d), d)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for verb, names := range map[string][]string{"skip": o.Skip, "only": o.Only} {
		for _, name := range names {
			name := path.Join(d, name)
			if !slices.ContainsFunc(all, func(p patch.Patch) bool { return p.Name == name }) {
				return nil, fmt.Errorf("%s: %s: %s names %s, which is not in it",
					filepath.Base(f.Path), o.Series, verb, path.Base(name))
			}
			wanted[name] = true
		}
	}
	var ps []patch.Patch
	for _, p := range all {
		if wanted[p.Name] == (len(o.Only) > 0) {
			p.Place = o.SeriesPlace
			ps = append(ps, p)
		}
	}
	return ps, nil
}

// patch applies the series that belongs to a source to its tree.
func (f *Found) patch(tree string) (told []string, err error) {
	ps, err := f.Series(tree)
	if err != nil || ps == nil {
		return nil, err
	}
	return patch.Apply(tree, ps)
}

// SeriesIn is Series, errors too, without a tree: it unpacks no more of the archives than the patches, into dir.
func (f *Found) SeriesIn(dir string) ([]patch.Patch, error) {
	if f.Checkout() || f.Origin.Series == "" {
		return nil, nil
	}
	in := path.Dir(f.Origin.Series) + "/"
	for _, a := range slices.Backward(f.Archives()) { // Debian's own archive comes last, and is small
		want := func(name string) bool { return strings.HasPrefix(path.Join(a.Origin.Into, name), in) }
		if err := unpack(a, filepath.Join(dir, a.Origin.Into), want); err != nil {
			return nil, fmt.Errorf("unpack %s: %w", a.Path, err)
		}
		if ps, err := f.Series(dir); !errors.Is(err, fs.ErrNotExist) {
			return ps, err
		}
	}
	return f.Series(dir)
}
