package stack

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// ofSeries reports whether an origin names a series, or what is to be done with one.
func (o *Origin) ofSeries() bool {
	return o.Series != "" || len(o.Skip) > 0 || len(o.Only) > 0 || len(o.SeriesDirs) > 0
}

// SeriesID says, for a key, which patches of the series are applied, and how; empty without a series.
func (o *Origin) SeriesID() string {
	id := strings.Join(append([]string{o.Series}, o.Skip...), " without ")
	if len(o.Only) > 0 {
		id += " with only " + strings.Join(o.Only, ", ")
	}
	for _, d := range slices.Sorted(maps.Keys(o.SeriesDirs)) {
		id += fmt.Sprintf(" with %q at %q", d, o.SeriesDirs[d])
	}
	return id
}

// SeriesPlace is where a file of the tree that the patches are of lies in the origin's; out says that it is left out.
// Where series_dirs does not say where, it is an error.
func (o *Origin) SeriesPlace(name string) (place string, out bool, err error) {
	if len(o.SeriesDirs) == 0 {
		return name, false, nil
	}
	for d := name; ; d = path.Dir(d) {
		if to, ok := o.SeriesDirs[d]; ok {
			return path.Join(to, strings.TrimPrefix(name, d)), to == "", nil
		}
		if d == "." {
			first, _, _ := strings.Cut(name, "/")
			return "", false, fmt.Errorf("%s: series_dirs does not say where %s lies", name, first)
		}
	}
}

// seriesProblem says what is wrong with what an origin wants of its series; empty when all is well.
func seriesProblem(o *Origin) string {
	switch {
	case o.Series == "" && len(o.Skip) > 0:
		return "skip: got patches to leave out, want a series that they are in"
	case o.Series == "" && len(o.Only) > 0:
		return "only: got patches to apply, want a series that they are in"
	case o.Series == "" && len(o.SeriesDirs) > 0:
		return "series_dirs: got directories, want a series of patches that are of them"
	case len(o.Skip) > 0 && len(o.Only) > 0:
		return "only: got skip beside it, want one of the two"
	}
	for _, d := range slices.Sorted(maps.Keys(o.SeriesDirs)) {
		to := o.SeriesDirs[d]
		if !filepath.IsLocal(d) || path.Clean(d) != d || to != "" && (!filepath.IsLocal(to) || path.Clean(to) != to) {
			return fmt.Sprintf("series_dirs: got %q = %q, want directories of the trees, "+
				"\".\" for the top of one, or \"\" to leave it out", d, to)
		}
	}
	return ""
}
