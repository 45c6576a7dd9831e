package audit

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/stack"

	version "github.com/hashicorp/go-version"
	"golang.org/x/mod/module"
)

// Status of an advisory in a stack, in VEX's words.
const (
	Fixed       = "fixed"        // a patch or a raised module mends it
	NotAffected = "not_affected" // the hole cannot be used, for the reason that is the justification
	IsAffected  = "affected"     // it is there; the action says what to do on a host
	Unstated    = "open"         // nothing is stated of it
)

// NotPresent is the justification that audit finds by itself.
const NotPresent = "vulnerable_code_not_present"

// justifications are the reasons that VEX knows for "not affected" (CISA, Vulnerability Exploitability eXchange, 2022;
// OpenVEX 0.2.0).
var justifications = []string{"component_not_present", NotPresent, "vulnerable_code_not_in_execute_path",
	"vulnerable_code_cannot_be_controlled_by_adversary", "inline_mitigations_already_exist"}

// Statement is what is said of advisories in a stack.
type Statement struct {
	// ID names advisories, one in each element: its names, of any kind, separated by spaces.
	ID []string `toml:"id"`
	// Components and Module narrow the statement down; empty for wherever the advisories are found.
	Components []string `toml:"components"`
	Module     string   `toml:"module"`
	Status     string   `toml:"status"`
	// Justification is one of justifications, of what is not affected.
	Justification string `toml:"justification"`
	// Action is what to do on a host that is affected.
	Action string `toml:"action"`
	Reason string `toml:"reason"`
	// The evidence: names of patches that apply to the components, raised modules ("module@version"), build tags,
	// tests, addresses of upstream's words.
	Patch []string `toml:"patch"`
	Raise []string `toml:"raise"`
	Tag   []string `toml:"tag"`
	Test  []string `toml:"test"`
	See   []string `toml:"see"`

	line int
}

// Names are the names of all advisories that the statement is of.
func (s *Statement) Names() []string { return strings.Fields(strings.Join(s.ID, " ")) }

// of reports whether the statement is of what was found.
func (s *Statement) of(f *Finding) bool {
	if len(s.Components) > 0 && !slices.Contains(s.Components, f.Component) || s.Module != "" && s.Module != f.Module {
		return false
	}
	return slices.ContainsFunc(s.Names(), func(n string) bool { return slices.Contains(f.names, n) })
}

// Evidence is what a component of the stack really has, which statements may name.
type Evidence struct {
	Patches []string // names of the files
	Raises  []string // "module@version"
	Tags    []string
}

// mends reports whether something that a statement calls the fix is in the component.
func (e Evidence) mends(s *Statement) bool {
	return slices.ContainsFunc(s.Patch, func(p string) bool { return slices.Contains(e.Patches, p) }) ||
		slices.ContainsFunc(s.Raise, func(r string) bool { return slices.Contains(e.Raises, r) })
}

// Book is the file with a stack's statements.
type Book struct {
	File       string
	SHA256     string // of its content
	Statements []*Statement
}

var (
	advisoryName = regexp.MustCompile(`^(GO-\d{4}-\d{4,}|CVE-\d{4}-\d{4,}|GHSA(-[23456789cfghjmpqrvwx]{4}){3}|` +
		`[A-Z]{2,10}-[0-9A-Za-z][0-9A-Za-z-]{2,60})$`)
	day = regexp.MustCompile(`^\d{4}-\d\d-\d\d$`)
)

// problems collects what is wrong with a file, with lines.
type problems struct {
	file  string
	lines map[string]int
	all   stack.Problems
}

func (p *problems) bad(table, key, format string, a ...any) {
	line, ok := p.lines[table+"."+key]
	if !ok {
		line = p.lines[table]
	}
	p.all = append(p.all, stack.Problem{File: p.file, Line: line, Text: fmt.Sprintf(format, a...)})
}

// parseStatements reads a file of statements, and returns all that is wrong with it by itself.
func parseStatements(data []byte, file string) (*Book, stack.Problems) {
	var content struct {
		Statement []*Statement `toml:"statement"`
	}
	lines, ps := stack.Decode(data, file, &content)
	p := &problems{file, lines, ps}
	if len(ps) > 0 {
		return &Book{File: file}, ps
	}
	said := map[string]int{}
	for i, s := range content.Statement {
		t := fmt.Sprintf("statement[%d]", i)
		s.line = lines[t]
		s.check(p, t)
		for _, n := range s.Names() {
			key := fmt.Sprint(n, s.Module, " ")
			for _, c := range append(slices.Clone(s.Components), "*") {
				if was := said[key+c]; was > 0 && (c != "*" || len(s.Components) == 0) {
					p.bad(t, "id", "id: %s is in the statement of line %d already, for the same components", n, was)
				}
				if c != "*" || len(s.Components) == 0 {
					said[key+c] = s.line
				}
			}
		}
	}
	sum := sha256.Sum256(data)
	return &Book{file, hex.EncodeToString(sum[:]), content.Statement}, sorted(p.all)
}

func sorted(ps stack.Problems) stack.Problems {
	slices.SortStableFunc(ps, func(a, b stack.Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text))
	})
	return ps
}

// check compares a statement with the form.
func (s *Statement) check(p *problems, t string) {
	if len(s.Names()) == 0 {
		p.bad(t, "id", "id: missing, want the names of advisories, such as [\"GO-2025-4096 CVE-2025-31133\"]")
	}
	for _, n := range s.Names() {
		if !advisoryName.MatchString(n) {
			p.bad(t, "id", "id: got %q, want a name such as GO-2025-4096, CVE-2025-31133 or GHSA-9493-h29p-rfm2", n)
		}
	}
	if strings.TrimSpace(s.Reason) == "" {
		p.bad(t, "reason", "reason: missing, want why it is so, in words that a reader can check")
	}
	for _, r := range s.Raise {
		if m, v, ok := strings.Cut(r, "@"); !ok || module.CheckPath(m) != nil || v == "" {
			p.bad(t, "raise", "raise: got %q, want module@version", r)
		}
	}
	if s.Justification != "" && s.Status != NotAffected {
		p.bad(t, "justification", "justification: got one with status %q, want it with %q only", s.Status, NotAffected)
	}
	if s.Action != "" && s.Status != IsAffected {
		p.bad(t, "action", "action: got one with status %q, want it with %q only", s.Status, IsAffected)
	}
	switch s.Status {
	case Fixed:
		if len(s.Patch)+len(s.Raise) == 0 {
			p.bad(t, "status", "status: got %q without evidence, want patch or raise, which mends it", s.Status)
		}
	case NotAffected:
		if !slices.Contains(justifications, s.Justification) {
			p.bad(t, "justification", "justification: got %q, want one of %s", s.Justification,
				strings.Join(justifications, ", "))
		}
		if len(s.Patch)+len(s.Raise)+len(s.Tag)+len(s.Test)+len(s.See) == 0 {
			p.bad(t, "status", "status: got %q without evidence, want some of patch, raise, tag, test, see", s.Status)
		}
	case IsAffected:
		if strings.TrimSpace(s.Action) == "" {
			p.bad(t, "action", "action: missing, want what to do on a host that is affected")
		}
	default:
		p.bad(t, "status", "status: got %q, want %q, %q or %q", s.Status, Fixed, NotAffected, IsAffected)
	}
}

// Check compares the statements with what the components really have and, where there is one, with the database and the
// table; known are the names that a component can have.
func (b *Book) Check(known []string, has map[string]Evidence, db *Database, t *Table) stack.Problems {
	var ps stack.Problems
	bad := func(s *Statement, format string, a ...any) {
		ps = append(ps, stack.Problem{File: b.File, Line: s.line, Text: fmt.Sprintf(format, a...)})
	}
	for _, s := range b.Statements {
		var of []string
		for _, c := range s.Components {
			e, ok := has[c]
			if ok {
				of = append(of, c)
			}
			switch {
			case !ok && slices.Contains(known, c): // a package may be made without the extras
			case !ok:
				bad(s, "components: got %q, want a component of the stack", c)
			case s.Status == Fixed && !e.mends(s):
				bad(s, "status: got %q, but none of its patches and raises is in %s", s.Status, c)
			}
		}
		if len(s.Components) == 0 {
			of = slices.Collect(maps.Keys(has))
		} else if len(of) == 0 {
			continue
		}
		for key, x := range map[string]struct {
			want []string
			in   func(Evidence) []string
		}{
			"patch": {s.Patch, func(e Evidence) []string { return e.Patches }},
			"raise": {s.Raise, func(e Evidence) []string { return e.Raises }},
			"tag":   {s.Tag, func(e Evidence) []string { return e.Tags }},
		} {
			for _, w := range x.want {
				if !slices.ContainsFunc(of, func(c string) bool { return slices.Contains(x.in(has[c]), w) }) {
					bad(s, "%s: got %q, which is in none of %s", key, w,
						strings.Join(slices.Sorted(slices.Values(of)), ", "))
				}
			}
		}
		for _, id := range s.ID {
			b.known(s, strings.Fields(id), db, t, bad)
		}
	}
	return sorted(ps)
}

// known compares the names of one advisory with the database.
func (b *Book) known(s *Statement, names []string, db *Database, t *Table, bad func(*Statement, string, ...any)) {
	if db == nil {
		return
	}
	var first *Entry
	for i, n := range names {
		e := db.Named(n)
		listed := slices.ContainsFunc(t.Known, func(k Known) bool { return slices.Contains(k.ID, n) })
		switch {
		case e == nil && !listed:
			bad(s, "id: %s is no advisory that the database of %s or the table of what is no Go knows", n, db.Date)
		case i > 0 && e != first:
			bad(s, "id: %s is no other name of %s: want each advisory in an element of its own", n, names[0])
		}
		if i == 0 {
			first = e
		}
	}
}

// parseTable reads the table of what is no Go; components are the names that one can have.
func parseTable(data []byte, file string, components []string) (*Table, stack.Problems) {
	t := &Table{}
	lines, ps := stack.Decode(data, file, t)
	p := &problems{file, lines, ps}
	if len(ps) > 0 {
		return &Table{}, ps
	}
	known := func(table, component string) {
		if !slices.Contains(components, component) {
			p.bad(table, "component", "component: got %q, want one of %s", component,
				strings.Join(components, ", "))
		}
	}
	for i, c := range t.Covers {
		table := fmt.Sprintf("covers[%d]", i)
		known(table, c.Component)
		if !day.MatchString(c.Until) || c.See == "" {
			p.bad(table, "until", "until, see: got %q and %q, want the day until which was looked, such "+
				"as 2026-11-05, and where", c.Until, c.See)
		}
	}
	for i, k := range t.Known {
		table := fmt.Sprintf("advisory[%d]", i)
		known(table, k.Component)
		for _, id := range k.ID {
			if !advisoryName.MatchString(id) {
				p.bad(table, "id", "id: got %q, want a name such as CVE-2025-59375", id)
			}
		}
		if len(k.ID) == 0 || k.Summary == "" || len(k.See) == 0 {
			p.bad(table, "summary", "id, summary, see: missing, want its names, what it is, and where that comes from")
		}
		for key, v := range map[string]string{"from": k.From, "fixed": k.Fixed} {
			if _, err := version.NewVersion(v); err != nil && v != "" {
				p.bad(table, key, "%s: got %q, want a release such as 1.2.3", key, v)
			}
		}
	}
	return t, sorted(p.all)
}

// maxTexts is the size, in bytes, up to which statements and tables are read.
const maxTexts = 4 << 20

// ReadText reads a file of statements or a table; empty where it is not there. It fails on one above maxTexts.
func ReadText(file string) ([]byte, error) {
	data, err := archive.ReadFile(file, maxTexts)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// TableFile is the name of the table of what is no Go.
const TableFile = "advisories-c.toml"

// StatementsFile is the name of the file with a stack's statements.
func StatementsFile(stack string) string { return stack + ".vex.toml" }

// ReadTable reads the table in a directory, which may be missing; shown is how errors name the directory. What is wrong
// in it is stack.Problems.
func ReadTable(dir, shown string, components []string) (*Table, error) {
	return readIn(dir, shown, TableFile, func(data []byte, file string) (*Table, stack.Problems) {
		return parseTable(data, file, components)
	})
}

// ReadBook reads a stack's statements in a directory, which may be missing; shown is how errors name the directory.
// What is wrong in them is stack.Problems.
func ReadBook(dir, shown, name string) (*Book, error) {
	return readIn(dir, shown, StatementsFile(name), parseStatements)
}

func readIn[T any](dir, shown, name string, parse func([]byte, string) (*T, stack.Problems)) (*T, error) {
	data, err := ReadText(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	read, ps := parse(data, filepath.Join(shown, name))
	if len(ps) > 0 {
		return nil, ps
	}
	return read, nil
}
