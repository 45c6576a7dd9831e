package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"drydock/targets/internal/stack"

	"github.com/hashicorp/go-version"
)

// Row is what is known against one module, and what is said of it.
type Row struct {
	ID            string   `json:"id"`
	CVE           string   `json:"cve,omitempty"`
	Summary       string   `json:"summary"`
	Component     string   `json:"component"`
	Files         []string `json:"files,omitempty"`
	Module        string   `json:"module"`
	Version       string   `json:"version"`
	Reach         Reach    `json:"reachable"`
	Symbols       []string `json:"symbols,omitempty"`
	Fixed         string   `json:"fixed_in,omitempty"`
	Verdict       string   `json:"verdict"`
	Justification string   `json:"justification,omitempty"`
	Why           string   `json:"why,omitempty"`
	Action        string   `json:"action,omitempty"`
}

// Report is an audit of a stack's files.
type Report struct {
	Stack    string `json:"stack"`
	Database string `json:"database"` // its date
	// Advisories are how many different ones there are, and of those how many of each verdict; one with several counts
	// as the worst.
	Advisories  int   `json:"advisories"`
	Open        int   `json:"open"`
	Affected    int   `json:"affected"`
	Fixed       int   `json:"fixed"`
	NotAffected int   `json:"not_affected"`
	Rows        []Row `json:"rows"`
	// Unneeded are statements of what is known against nothing in the files any more.
	Unneeded []string `json:"unneeded,omitempty"`
	// Gaps are what the audit cannot see.
	Gaps []string `json:"not_covered,omitempty"`
}

// Part is a component of the stack that is no Go, or has parts that are not.
type Part struct{ Name, Version string }

// Subject is what an audit is of.
type Subject struct {
	Stack, Arch string
	Known       []string // the names that a component can have
	Programs    []*Program
	Parts       []Part // those that are no Go
	Evidence    map[string]Evidence
	Raised      map[string][]stack.Raised // by component
}

// has reports whether some of the components are audited; none means all.
func (sub *Subject) has(components []string) bool {
	return len(components) == 0 || slices.ContainsFunc(components, func(n string) bool {
		return slices.ContainsFunc(sub.Programs, func(p *Program) bool { return p.Component == n }) ||
			slices.ContainsFunc(sub.Parts, func(p Part) bool { return p.Name == n })
	})
}

// worst orders verdicts, the worst first.
var worst = []string{Unstated, IsAffected, Fixed, NotAffected}

// Make compares the files with all that is known, and with what is stated. What is wrong with the statements is in the
// problems.
func Make(sub *Subject, db *Database, t *Table, b *Book) (*Report, stack.Problems) {
	r := &Report{Stack: sub.Stack, Database: db.Date}
	ps := append(b.Check(sub.Known, sub.Evidence, db, t), b.resolved(sub)...)
	var all []Finding
	asked := map[string]bool{}
	for _, p := range sub.Programs {
		all = append(append(all, db.In(p, sub.Arch)...), db.raised(p, sub.Raised[p.Component])...)
		if !asked[p.Component] { // what Go's database does not name: once for all files of a component
			asked[p.Component] = true
			all = append(all, t.In(p.Component, p.Version)...)
		}
		if p.Unknown {
			r.Gaps = append(r.Gaps, p.File+": its modules are not known; only Go's own library was looked at")
		}
		if p.Unread != "" {
			r.Gaps = append(r.Gaps, p.File+": which functions are in it is not known: "+p.Unread)
		}
	}
	for _, p := range sub.Parts {
		all = append(all, t.In(p.Name, p.Version)...)
		if !t.covers(p.Name) {
			r.Gaps = append(r.Gaps, p.Name+" "+p.Version+": no Go, and nobody looked for its advisories")
		}
	}
	used := map[*Statement]bool{}
	for _, f := range all {
		r.add(&f, b, sub.Evidence[f.Component], used)
	}
	for _, s := range b.Statements {
		if !used[s] && sub.has(s.Components) {
			r.Unneeded = append(r.Unneeded, fmt.Sprintf("%s:%d: %s: is known against nothing in the files any more: "+
				"take the statement out", b.File, s.line, strings.Join(s.Names(), " ")))
		}
	}
	r.order()
	return r, sorted(ps)
}

// add takes a finding in, with what is stated of it.
func (r *Report) add(f *Finding, b *Book, has Evidence, used map[*Statement]bool) {
	row := Row{ID: f.ID, CVE: f.CVE, Summary: f.Summary, Component: f.Component, Module: f.Module, Version: f.Version,
		Reach: f.Reach, Symbols: f.Symbols, Fixed: f.Fixed, Verdict: Unstated}
	if f.File != "" {
		row.Files = []string{f.File}
	}
	switch {
	case f.raisedFrom != "":
		row.Verdict, row.Why = Fixed, "raised from "+f.raisedFrom
	case f.Reach == ReachNo:
		row.Verdict, row.Justification = NotAffected, NotPresent
		row.Why = "none of the functions that the advisory names is in the file"
	}
	for _, s := range b.Statements {
		if !s.of(f) || s.Status == Fixed && !has.mends(s) {
			continue
		}
		used[s] = true
		// whatever is said of other files: what is not in this one harms nobody
		if s.Status != IsAffected || row.Verdict == Unstated {
			row.state(s)
		}
		break
	}
	for i := range r.Rows {
		if x := &r.Rows[i]; x.same(&row) {
			x.Files = append(x.Files, row.Files...)
			x.Symbols = slices.Compact(slices.Sorted(slices.Values(append(x.Symbols, row.Symbols...))))
			return
		}
	}
	r.Rows = append(r.Rows, row)
}

// state gives a row the verdict of a statement.
func (x *Row) state(s *Statement) {
	x.Verdict, x.Justification, x.Why, x.Action = s.Status, s.Justification, s.Reason, s.Action
	for _, by := range [][]string{s.Patch, s.Raise} {
		if len(by) > 0 && s.Status == Fixed {
			x.Why = strings.Join(by, ", ") + ": " + x.Why
		}
	}
}

func (x *Row) same(y *Row) bool {
	return x.ID == y.ID && x.Component == y.Component && x.Module == y.Module && x.Version == y.Version &&
		x.Reach == y.Reach && x.Verdict == y.Verdict && x.Why == y.Why
}

// raised finds what a component's raised modules mended: what is known against the versions that upstream has, and not
// against those that are in the files.
func (db *Database) raised(p *Program, raised []stack.Raised) []Finding {
	var all []Finding
	for _, r := range raised {
		here := func(m Module) bool { return m.Source == r.Module && m.Version == r.To }
		if r.From == "" || !slices.ContainsFunc(p.Modules, here) {
			continue
		}
		for _, e := range db.byModule[r.Module] {
			of := func(v string) bool {
				return slices.ContainsFunc(e.Affected, func(a Affected) bool {
					return a.Package.Name == r.Module && a.affects(v)
				})
			}
			if of(r.From) && !of(r.To) {
				all = append(all, Finding{ID: e.ID, CVE: e.CVE(), Summary: e.Summary, names: e.Names(), File: p.File,
					Component: p.Component, Module: r.Module, Version: r.To, Reach: ReachNo, raisedFrom: r.From})
			}
		}
	}
	return all
}

// componentsWith are the components of a statement for which a module is raised.
func componentsWith(sub *Subject, s *Statement, raise string) (names []string) {
	for n, e := range sub.Evidence {
		if slices.Contains(e.Raises, raise) && (len(s.Components) == 0 || slices.Contains(s.Components, n)) {
			names = append(names, n)
		}
	}
	return slices.Sorted(slices.Values(names))
}

// resolved compares the raised modules that statements name with those that are in the files.
func (b *Book) resolved(sub *Subject) (ps stack.Problems) {
	for _, s := range b.Statements {
		for _, raise := range s.Raise {
			path, v, _ := strings.Cut(raise, "@")
			for _, p := range sub.Programs {
				i := slices.IndexFunc(p.Modules, func(m Module) bool { return m.Source == path })
				if i < 0 || !slices.Contains(componentsWith(sub, s, raise), p.Component) {
					continue
				}
				if got := p.Modules[i].Version; got != v {
					text := fmt.Sprintf("raise: got %s, but %s is linked with %s", raise, p.File, got)
					ps = append(ps, stack.Problem{File: b.File, Line: s.line, Text: text})
				}
			}
		}
	}
	return ps
}

// order sorts the rows, the open ones first, and counts.
func (r *Report) order() {
	slices.SortStableFunc(r.Rows, func(a, b Row) int {
		return cmp.Or(slices.Index(worst, a.Verdict)-slices.Index(worst, b.Verdict),
			cmp.Compare(a.Component, b.Component), cmp.Compare(a.Module, b.Module), cmp.Compare(a.ID, b.ID),
			cmp.Compare(a.Version, b.Version))
	})
	verdict := map[string]string{}
	for _, x := range r.Rows {
		slices.Sort(x.Files)
		if _, ok := verdict[x.ID]; !ok { // the rows are in order: the first is the worst
			verdict[x.ID] = x.Verdict
		}
	}
	r.Advisories = len(verdict)
	for _, v := range verdict {
		*map[string]*int{Unstated: &r.Open, IsAffected: &r.Affected, Fixed: &r.Fixed, NotAffected: &r.NotAffected}[v]++
	}
	slices.Sort(r.Gaps)
}

// Line says the result in one line.
func (r *Report) Line() string {
	affected := ""
	if r.Affected > 0 {
		affected = fmt.Sprintf(", %d affected", r.Affected)
	}
	return fmt.Sprintf("%d open%s of %d, database of %s", r.Open, affected, r.Advisories, r.Database)
}

// Draft makes statements of what is open, to be completed: one for each component, module and way to mend it.
func (r *Report) Draft() string {
	var b strings.Builder
	type group struct{ component, module, version, fixed string }
	ids := map[group][]string{}
	var groups []group
	for _, x := range r.Rows {
		if x.Verdict != Unstated {
			continue
		}
		g := group{x.Component, x.Module, x.Version, x.Fixed}
		if ids[g] == nil {
			groups = append(groups, g)
		}
		what := strings.Join(append([]string{x.Summary}, x.Symbols...), "; ")
		ids[g] = append(ids[g], fmt.Sprintf("  %q, # %s\n", x.names(), what))
	}
	for _, g := range groups {
		of := slices.Compact(slices.Sorted(slices.Values(ids[g])))
		fmt.Fprintf(&b, "\n# %s %s in %s; fixed in %s\n[[statement]]\nid = [\n%s]\ncomponents = [%q]\nmodule = %q\n"+
			"status = \"\"\nreason = \"\"\n", g.module, g.version, g.component, cmp.Or(g.fixed, "no version"),
			strings.Join(of, ""), g.component, g.module)
	}
	return b.String()
}

// Table has a row for each advisory, or for each of which nothing is stated; bad paints those.
func (r *Report) Table(open bool, bad func(string) string) [][]string {
	rows := [][]string{{"ADVISORY", "CVE", "WHERE", "MODULE", "REACHABLE", "FIXED IN", "VERDICT"}}
	for _, x := range r.Rows {
		if open && x.Verdict != Unstated {
			continue
		}
		verdict := x.Verdict
		if x.Verdict == Unstated {
			verdict = bad(verdict)
		}
		if x.Why != "" {
			verdict += ": " + x.Why
		}
		where := cmp.Or(strings.Join(x.Files, " "), x.Component)
		rows = append(rows, []string{x.ID, x.CVE, where, x.Module + "@" + x.Version, string(x.Reach), x.Fixed, verdict})
	}
	return rows
}

// Closes names the advisories against a component's own module that a release has mended, and that are open here or
// affect it.
func (r *Report) Closes(component, module, release string) (ids []string) {
	at, err := version.NewVersion(release)
	for _, x := range r.Rows {
		fixed, ferr := version.NewVersion(x.Fixed)
		if module != "" && err == nil && ferr == nil && x.Component == component &&
			strings.HasPrefix(x.Module+"/", module+"/") && !fixed.GreaterThan(at) &&
			(x.Verdict == Unstated || x.Verdict == IsAffected) {
			ids = append(ids, cmp.Or(x.CVE, x.ID))
		}
	}
	return ids
}
