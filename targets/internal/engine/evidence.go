package engine

import (
	"path"
	"path/filepath"
	"slices"

	"drydock/targets/internal/audit"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
	"drydock/targets/internal/stack"
)

// Evidence returns, by component of the stack, what statements of advisories may name. It fails on a series that cannot
// be read.
func (e *Engine) Evidence() (map[string]audit.Evidence, error) {
	has := map[string]audit.Evidence{}
	for n, c := range e.Stack.Component {
		var err error
		if has[n], err = e.evidence(c); err != nil {
			return nil, err
		}
	}
	return has, nil
}

// evidence is what a component has that statements may name.
func (e *Engine) evidence(c *stack.Component) (ev audit.Evidence, err error) {
	ps, err := e.Sources.Series(c)
	if err != nil {
		return ev, err
	}
	for _, p := range ps {
		ev.Patches = append(ev.Patches, p.Name, filepath.Base(p.File))
	}
	own, err := e.SeriesNames(c)
	if err != nil {
		return ev, err
	}
	for _, name := range own {
		ev.Patches = append(ev.Patches, name, path.Base(name))
	}
	ev.Raises = c.Raises()
	for _, r := range e.Stack.Raised(c.Name) {
		ev.Raises = append(ev.Raises, r.Module+"@"+r.To)
	}
	for _, s := range recipe.Of(e.Stack, c.Name, recipe.Tools{}, recipe.Symbolic(e.needs(c.Name))).Steps {
		ev.Tags = append(ev.Tags, audit.TagsOf(run.Quote(s.Argv))...)
	}
	return ev, nil
}

// SeriesNames are the names of the patches that belong to a component's source and are applied. Where the stack does
// not name them, the source must be here.
func (e *Engine) SeriesNames(c *stack.Component) (names []string, err error) {
	if !slices.ContainsFunc(c.Origin, (*stack.Origin).HasSeries) {
		return nil, nil
	}
	found, err := e.Sources.Locate(c)
	if err != nil {
		return nil, err
	}
	if found == nil {
		found = e.Sources.Expected(c, e.sourceOf(c.Name))
	}
	if o := found.Origin; o != nil && len(o.Only) > 0 {
		for _, name := range o.Only {
			names = append(names, path.Join(path.Dir(o.Series), name))
		}
		return names, nil
	}
	if found.Path == "" {
		return nil, nil
	}
	ps, err := e.Sources.SeriesOf(found)
	for _, p := range ps {
		names = append(names, p.Name)
	}
	return names, err
}
