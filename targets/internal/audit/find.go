package audit

import (
	"slices"
	"strings"

	version "github.com/hashicorp/go-version"
	"golang.org/x/mod/semver"
)

// stdlib is the name under which the database has Go's own library.
const stdlib = "stdlib"

// repositories are modules' repositories, where the database knows some advisories by their names alone.
var repositories = map[string][]string{"github.com/docker/docker": {"github.com/moby/moby"}}

// Reach reports whether the code with the hole is in a file.
type Reach string

// Reaches.
const (
	ReachYes     Reach = "yes"       // one of the functions that the advisory names is in the file
	ReachNo      Reach = "no"        // none of them is
	ReachUnknown Reach = "not known" // the advisory names no functions, or the file's cannot be read
)

// Finding is one advisory that is known against one module of one file, or against a component that is no Go.
type Finding struct {
	ID, CVE, Summary string
	names            []string
	raisedFrom       string // the version of a raised module that has the hole; empty where the file has it
	File             string // empty for a component that is no Go
	Component        string
	Module           string // where the code comes from; the component's name where it is no Go
	Version          string
	Reach            Reach
	Symbols          []string // at most five of the functions with the hole that are in the file, as path/to/pkg.T.M
	Fixed            string   // the lowest version without the hole; empty for none
}

// In finds what the database knows against a program.
func (db *Database) In(p *Program, arch string) []Finding {
	var all []Finding
	for _, m := range append(slices.Clone(p.Modules), Module{stdlib, stdlib, p.Go}) {
		seen := map[*Entry]bool{}
		for _, source := range append([]string{m.Source}, repositories[m.Source]...) {
			for _, e := range db.byModule[source] {
				if f, ok := p.find(e, Module{m.Path, source, m.Version}, arch); ok && !seen[e] {
					f.Module, seen[e] = m.Source, true
					all = append(all, f)
				}
			}
		}
	}
	return all
}

// find compares one advisory with one module.
func (p *Program) find(e *Entry, m Module, arch string) (Finding, bool) {
	f := Finding{ID: e.ID, CVE: e.CVE(), Summary: e.Summary, names: e.Names(), File: p.File, Component: p.Component,
		Module: m.Source, Version: m.Version, Reach: ReachNo}
	hit := false
	for _, a := range e.Affected {
		if a.Package.Name != m.Source || !a.affects(m.Version) {
			continue
		}
		imports := a.imports(arch)
		if len(imports) == 0 && len(a.Specific.Imports) > 0 {
			continue // another system's
		}
		hit = true
		if v := a.fixedIn(m.Version); v != "" && (f.Fixed == "" || semver.Compare(v, f.Fixed) < 0) {
			f.Fixed = v
		}
		switch r, symbols := p.reach(m, imports); {
		case r == ReachYes:
			f.Reach, f.Symbols = ReachYes, append(f.Symbols, symbols...)
		case r == ReachUnknown && f.Reach == ReachNo:
			f.Reach = ReachUnknown
		}
	}
	slices.Sort(f.Symbols)
	f.Symbols = slices.Compact(f.Symbols)
	f.Symbols = f.Symbols[:min(5, len(f.Symbols))]
	return f, hit
}

// reach looks for the functions that an advisory names.
func (p *Program) reach(m Module, imports []Import) (Reach, []string) {
	switch {
	case p.packages == nil:
		return ReachUnknown, nil
	case len(imports) == 0 && p.hasModule(m):
		return ReachUnknown, nil
	}
	var found []string
	for _, i := range imports {
		pkg := i.Path
		if m.Source != m.Path {
			pkg = m.Path + strings.TrimPrefix(pkg, m.Source)
		}
		if len(i.Symbols) == 0 && p.has(pkg, "") {
			found = append(found, i.Path)
		}
		for _, s := range i.Symbols {
			if p.has(pkg, s) {
				found = append(found, i.Path+"."+s)
			}
		}
	}
	if len(found) > 0 {
		return ReachYes, found
	}
	return ReachNo, nil
}

// Known is one entry of the table of what is no Go: advisories against a component's versions.
type Known struct {
	ID        []string `toml:"id"`
	Component string   `toml:"component"`
	From      string   `toml:"from"`  // the first version with the hole; empty: from the beginning
	Fixed     string   `toml:"fixed"` // the first version without it; empty for none
	Summary   string   `toml:"summary"`
	See       []string `toml:"see"` // where this comes from
}

// Table is what is known against the components that are no Go. No database has them: it is kept by hand.
type Table struct {
	// Covers are the components that somebody looked at, with where and until when.
	Covers []Cover `toml:"covers"`
	Known  []Known `toml:"advisory"`
}

// Cover says until when the advisories of a component were looked for.
type Cover struct {
	Component string `toml:"component"`
	Until     string `toml:"until"` // a day
	See       string `toml:"see"`
}

// In finds what the table knows against a version of a component.
func (t *Table) In(component, release string) []Finding {
	v, err := version.NewVersion(release)
	var all []Finding
	for _, k := range t.Known {
		if k.Component != component || err != nil {
			continue
		}
		from, _ := version.NewVersion(k.From)
		fixed, _ := version.NewVersion(k.Fixed)
		if from != nil && v.LessThan(from) || fixed != nil && !v.LessThan(fixed) {
			continue
		}
		for _, id := range k.ID {
			f := Finding{ID: id, Summary: k.Summary, names: []string{id}, Component: component, Module: component,
				Version: release, Reach: ReachUnknown, Fixed: k.Fixed}
			if strings.HasPrefix(id, "CVE-") {
				f.CVE = id
			}
			all = append(all, f)
		}
	}
	return all
}

// covers reports whether somebody looked for advisories of a component.
func (t *Table) covers(component string) bool {
	return slices.ContainsFunc(t.Covers, func(c Cover) bool { return c.Component == component })
}
