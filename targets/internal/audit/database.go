// Package audit compares built files with what is published of holes in what they are made of, and with what is stated
// of each.
//
// What is compiled into a Go file is read from the file itself: the modules' versions, and the names of all functions
// whose code is in it. golang.org/x/vuln does not do that with stripped files; it needs Go 1.26, a compiler's front end
// and telemetry besides.
package audit

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/semver"
)

// Limits of a database, whose zip may be anybody's: that of 2026-11-05 has 4789 entries, the largest of 32 kB, 20 MB in
// all.
const (
	maxEntries = 100_000
	maxEntry   = 4 << 20   // bytes
	maxAll     = 512 << 20 // bytes
)

// Entry is one advisory, in the form of OSV as the Go vulnerability database has it
// (https://go.dev/doc/security/vuln/database).
type Entry struct {
	ID        string     `json:"id"`
	Aliases   []string   `json:"aliases"`
	Summary   string     `json:"summary"`
	Withdrawn string     `json:"withdrawn"`
	Affected  []Affected `json:"affected"`
}

// Affected is what an advisory says of one module.
type Affected struct {
	Package struct {
		Name string `json:"name"`
	} `json:"package"`
	Ranges   []Range `json:"ranges"`
	Specific struct {
		Imports []Import `json:"imports"`
	} `json:"ecosystem_specific"`
}

// Range is a set of versions: each event begins or ends one.
type Range struct {
	Type   string  `json:"type"`
	Events []Event `json:"events"`
}

// Event is a version from which on there is a hole, or none.
type Event struct {
	Introduced string `json:"introduced"`
	Fixed      string `json:"fixed"`
}

// Import is a package with a hole, and the functions that have it; all of them where none is named.
type Import struct {
	Path    string   `json:"path"`
	GOOS    []string `json:"goos"`
	GOARCH  []string `json:"goarch"`
	Symbols []string `json:"symbols"`
}

// Names are the advisory's own name and its others, its own first.
func (e *Entry) Names() []string { return append([]string{e.ID}, e.Aliases...) }

// CVE is the advisory's first name of that kind; empty where it has none.
func (e *Entry) CVE() string {
	for _, n := range e.Names() {
		if strings.HasPrefix(n, "CVE-") {
			return n
		}
	}
	return ""
}

// Database is what is published, at one time.
type Database struct {
	Date     string // "2026-11-05"
	byModule map[string][]*Entry
	byName   map[string]*Entry
}

// newDatabase makes a database of entries.
func newDatabase(date string, entries []*Entry) *Database {
	db := &Database{Date: date, byModule: map[string][]*Entry{}, byName: map[string]*Entry{}}
	for _, e := range entries {
		for _, n := range e.Names() {
			if db.byName[n] == nil {
				db.byName[n] = e
			}
		}
		if e.Withdrawn != "" {
			continue
		}
		for _, a := range e.Affected {
			if of := db.byModule[a.Package.Name]; !slices.Contains(of, e) {
				db.byModule[a.Package.Name] = append(of, e)
			}
		}
	}
	return db
}

// Named returns the advisory with a name of any kind, or nil.
func (db *Database) Named(name string) *Entry { return db.byName[name] }

// Open reads the database out of the zip of its module. It fails on a file that is no such zip, and on a report or
// VERSION in it that cannot be read.
func Open(file, date string) (*Database, error) {
	z, err := zip.OpenReader(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	defer z.Close()
	entries, err := readEntries(&z.Reader)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return newDatabase(date, entries), nil
}

// readEntries reads what lies in data/osv/.
func readEntries(z *zip.Reader) ([]*Entry, error) {
	var entries []*Entry
	left := int64(maxAll)
	for _, f := range z.File {
		_, name, ok := strings.Cut(f.Name, "/data/osv/")
		if !ok || strings.Contains(name, "/") || path.Ext(name) != ".json" {
			continue
		}
		e, size, err := readEntry(f, min(maxEntry, left))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		if left -= size; len(entries) == maxEntries {
			return nil, fmt.Errorf("got more than %d advisories, want fewer", maxEntries)
		}
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return nil, errors.New("got no data/osv/*.json in it, want a database of advisories")
	}
	slices.SortFunc(entries, func(a, b *Entry) int { return strings.Compare(a.ID, b.ID) })
	return entries, nil
}

func readEntry(f *zip.File, limit int64) (*Entry, int64, error) {
	r, err := f.Open()
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, 0, err
	}
	if int64(len(data)) > limit {
		return nil, 0, fmt.Errorf("got more than %d bytes, want at most that", limit)
	}
	e, err := parseEntry(data)
	return e, int64(len(data)), err
}

// parseEntry reads one advisory.
func parseEntry(data []byte) (*Entry, error) {
	e := &Entry{}
	if err := json.Unmarshal(data, e); err != nil {
		return nil, err
	}
	for _, n := range e.Names() {
		if !advisoryName.MatchString(n) {
			return nil, fmt.Errorf("id, aliases: got %q, want a name such as GO-2025-4096", n)
		}
	}
	return e, nil
}

// affects reports whether a version ("v1.2.3") is one of those with the hole, as golang.org/x/vuln does: an advisory
// that names no range of versions means all.
func (a *Affected) affects(v string) bool {
	all := true
	for _, r := range a.Ranges {
		if r.Type != "SEMVER" {
			continue
		}
		all = false
		if r.has(v) {
			return true
		}
	}
	return all
}

// has reports whether a version is in the range.
func (r *Range) has(v string) bool {
	if len(r.Events) == 0 {
		return true
	}
	events := slices.Clone(r.Events)
	slices.SortStableFunc(events, func(a, b Event) int {
		return semver.Compare(canonical(a.Introduced+a.Fixed), canonical(b.Introduced+b.Fixed))
	})
	in := false
	for _, e := range events {
		switch {
		case !in && e.Introduced != "":
			in = semver.Compare(v, canonical(e.Introduced)) >= 0
		case in && e.Fixed != "":
			in = semver.Compare(v, canonical(e.Fixed)) < 0
		}
	}
	return in
}

// canonical returns a version of the database in the form that semver compares; "0", from the beginning, is before all.
func canonical(v string) string {
	if v == "" || v == "0" {
		return ""
	}
	return "v" + strings.TrimPrefix(v, "v")
}

// fixedIn is the lowest version above v that has no hole, by what the advisory says of the module; empty for none.
func (a *Affected) fixedIn(v string) string {
	best := ""
	for _, r := range a.Ranges {
		for _, e := range r.Events {
			f := canonical(e.Fixed)
			if r.Type != "SEMVER" || f == "" || semver.Compare(f, v) <= 0 || a.affects(f) {
				continue
			}
			if best == "" || semver.Compare(f, best) < 0 {
				best = f
			}
		}
	}
	return best
}

// imports are the packages of an advisory that Linux on the machine has.
func (a *Affected) imports(arch string) []Import {
	return slices.DeleteFunc(slices.Clone(a.Specific.Imports), func(i Import) bool {
		return len(i.GOOS) > 0 && !slices.Contains(i.GOOS, "linux") ||
			len(i.GOARCH) > 0 && !slices.Contains(i.GOARCH, arch)
	})
}
