package prove

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/audit"
	"drydock/targets/internal/engine"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/pack"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/source"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/store"
	"drydock/targets/internal/ui"
	"drydock/targets/internal/version"
)

// AuditOptions are what an audit is of, and how it is shown.
type AuditOptions struct {
	File, Bin                string // a package, or a directory of files, in place of the stack's own
	JSON, Open, Draft, Write bool
}

// Audit compares the built files with what is published of holes in what they are made of, and with what is stated of
// each. An advisory of which nothing is stated is failure.Open, a database that is not here failure.Sources.
func Audit(ctx context.Context, opt AuditOptions) error {
	return engine.Command(ctx, func(ctx context.Context, e *engine.Engine) error {
		r, err := AuditReport(e, opt)
		if err = errors.Join(err, e.Sources.Digests.Save()); err != nil {
			return err
		}
		if opt.Write {
			err = writeAudit(e, r)
		} else {
			err = showAudit(e, r, opt)
		}
		if err != nil {
			return err
		}
		if r.Open > 0 {
			return failure.Errorf(failure.Open, "audit: %s", r.Line())
		}
		if !opt.JSON && !opt.Draft { // which are for programs to read
			e.UI.Line("drydock: %s: audit: %s", r.Stack, r.Line())
		}
		return nil
	})
}

// writeAudit makes docs/advisories.md of a report, and of what it has of other stacks.
func writeAudit(e *engine.Engine, r *audit.Report) error {
	file := filepath.Join(e.Root, "docs/advisories.md")
	page, err := audit.ReadText(file)
	if err != nil {
		return err
	}
	return writeDoc(e, "advisories.md", r.Page(string(page)))
}

// showAudit prints a report.
func showAudit(e *engine.Engine, r *audit.Report, opt AuditOptions) error {
	switch {
	case opt.JSON:
		return ui.JSON(r)
	case opt.Draft:
		fmt.Print(r.Draft())
		return nil
	}
	if rows := r.Table(opt.Open, e.UI.Bad); len(rows) > 1 {
		e.UI.Text(ui.Table(rows))
	}
	for _, g := range r.Gaps {
		e.UI.Line("not covered  %s", g)
	}
	for _, u := range r.Unneeded {
		e.UI.Line("notice    %s", u)
	}
	return nil
}

// AuditReport makes the report. A database that is not here is failure.Sources.
func AuditReport(e *engine.Engine, opt AuditOptions) (*audit.Report, error) {
	lock, err := stack.LoadAdvisories(e.Sources.Dir)
	if err != nil {
		return nil, err
	}
	if lock == nil {
		return nil, failure.With(failure.Sources, &source.MissingError{
			Text: fmt.Sprintf("no %s in %s: run \"mage fetch -advisories\"",
				stack.AdvisoriesLock, e.Rel(e.Sources.Dir))})
	}
	file, err := e.Sources.AdvisoriesFile(lock)
	if err != nil {
		return nil, failure.With(failure.Sources, err)
	}
	db, err := audit.Open(file, lock.Date())
	if err != nil {
		return nil, failure.With(failure.Sources, err)
	}
	var sub *audit.Subject
	if opt.File != "" {
		sub, err = packageSubject(e, opt.File)
	} else {
		sub, err = ownSubject(e, opt.Bin)
	}
	if err != nil {
		return nil, err
	}
	table, err := audit.ReadTable(e.Sources.Dir, e.Rel(e.Sources.Dir), e.Stack.Rows.Names())
	if err != nil {
		return nil, err
	}
	book, err := audit.ReadBook(e.Sources.Dir, e.Rel(e.Sources.Dir), sub.Stack)
	if err != nil {
		return nil, err
	}
	r, ps := audit.Make(sub, db, table, book)
	if len(ps) > 0 {
		return nil, ps
	}
	return r, nil
}

// ownSubject is the stack's own files, or those of a directory under their names.
func ownSubject(e *engine.Engine, bin string) (*audit.Subject, error) {
	sub := &audit.Subject{Stack: e.Stack.Name, Arch: e.Stack.Arch().GOARCH, Known: e.Stack.Rows.Names(),
		Raised: map[string][]stack.Raised{}}
	var err error
	if sub.Evidence, err = e.Evidence(); err != nil {
		return nil, err
	}
	for _, n := range e.Built() {
		c := e.Stack.Component[n]
		sub.Raised[n] = e.Stack.Raised(n)
		if !recipe.Row(n).Go {
			sub.Parts = append(sub.Parts, audit.Part{Name: n, Version: c.Version})
			continue
		}
		for _, o := range recipe.Outputs(e.Stack, n) {
			if !o.Bin {
				continue
			}
			file := e.OutputDir("bin", o.Name)
			if bin != "" {
				file = filepath.Join(bin, o.Name)
			}
			p, err := program(e, file, n, c.Version)
			if errors.Is(err, fs.ErrNotExist) && bin == "" {
				return nil, fmt.Errorf("%s: not built yet: run \"mage %s\"", e.Rel(file), recipe.Row(n).Target)
			} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			if p != nil {
				sub.Programs = append(sub.Programs, p)
			}
		}
	}
	if len(sub.Programs) == 0 {
		return nil, fmt.Errorf("%s: none of the stack's files is in it", bin)
	}
	return sub, nil
}

// program reads a built file; where it names no modules, what a package lists of it.
func program(e *engine.Engine, file, component, version string) (*audit.Program, error) {
	p, err := audit.ReadProgramFile(file, component, version)
	if err != nil || !p.Unknown {
		return p, err
	}
	if rec := e.Records().Load(component); rec != nil {
		notices := filepath.Join(e.Store.Path(component, rec.Key), store.NoticesFile)
		ms, err := pack.Linked(file, notices, e.Stack.PackageVersions())
		if err != nil {
			return nil, err
		}
		p.Take(linkedModules(ms))
	}
	return p, nil
}

// linkedModules are modules as an audit knows them.
func linkedModules(ms []pack.Module) []audit.Module {
	var all []audit.Module
	for _, m := range ms {
		x := audit.Module{Path: m.Path, Source: m.Path, Version: m.Version}
		if m.Replaced != "" {
			x.Source = m.Replaced
		}
		if m.Package != "" {
			x.Version = audit.DebianVersion(m.Version)
		}
		all = append(all, x)
	}
	return all
}

// packageSubject is what a package has in it.
func packageSubject(e *engine.Engine, file string) (*audit.Subject, error) {
	r, problems, err := pack.ReadPackage(file)
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("%s is not as it was made:\n  %s", file, strings.Join(problems, "\n  "))
	}
	m := &r.Manifest
	sub := &audit.Subject{Stack: m.Stack, Arch: m.Arch, Known: e.Stack.Rows.Names(),
		Evidence: map[string]audit.Evidence{},
		Raised:   map[string][]stack.Raised{}}
	if m.Stack != e.Stack.Name {
		return nil, fmt.Errorf("%s is of the stack %s: want STACK=%s, whose statements count", file, m.Stack, m.Stack)
	}
	versions := map[string]string{}
	for _, p := range m.Components {
		versions[p.Name] = p.Version
		var ev audit.Evidence
		for _, d := range slices.Concat(p.Series, p.Patches) {
			ev.Patches = append(ev.Patches, d.Name, filepath.Base(d.Name))
		}
		for _, s := range p.Steps {
			ev.Tags = append(ev.Tags, audit.TagsOf(s.Command)...)
		}
		if c := e.Stack.Component[p.Name]; c != nil { // the manifest does not list what comes with a source
			own, err := e.SeriesNames(c)
			if err != nil {
				return nil, err
			}
			for _, name := range own {
				ev.Patches = append(ev.Patches, name, path.Base(name))
			}
		}
		for _, r := range p.Raised {
			ev.Raises = append(ev.Raises, r.Module+"@"+r.To)
		}
		sub.Evidence[p.Name], sub.Raised[p.Name] = ev, p.Raised
		if !recipe.Row(p.Name).Go {
			sub.Parts = append(sub.Parts, audit.Part{Name: p.Name, Version: p.Version})
		}
	}
	return sub, unpacked(e, file, r, func(x *pack.File, path string) error {
		p, err := audit.ReadProgramFile(path, x.Component, versions[x.Component])
		if errors.Is(err, audit.ErrNotGo) {
			return nil
		} else if err != nil {
			return err
		}
		if p.Unknown {
			p.Take(linkedModules(r.Linked["file:"+x.Name]))
		}
		sub.Programs = append(sub.Programs, p)
		return nil
	})
}

// unpacked gives each file of a package to do, by where it lies on disk for that moment.
func unpacked(e *engine.Engine, file string, r *pack.Read, do func(x *pack.File, path string) error) error {
	tree, done, err := e.Sources.Scratch("audit-")
	if err != nil {
		return err
	}
	defer done()
	tar, err := archive.Open(file, "gz")
	if err != nil {
		return err
	}
	defer tar.Close()
	listed := func(name string) bool {
		return slices.ContainsFunc(r.Manifest.Files, func(x *pack.File) bool { return x.Name == name && x.Link == "" })
	}
	if err := archive.ExtractOnly(tar, tree, 0, listed); err != nil {
		return err
	}
	for _, x := range r.Manifest.Files {
		if x.Link == "" {
			err = errors.Join(err, do(x, filepath.Join(tree, x.Name)))
		}
	}
	return err
}

// audited is the result of the last audit of a run, and the key of what it was made from: a run with nothing to do
// makes none.
type audited struct {
	Key  string `json:"key"`
	Open int    `json:"open"`
	Line string `json:"line"`
}

// auditKey is of all that the result of an audit depends on; empty where there is no database.
func auditKey(e *engine.Engine) (string, error) {
	inputs := []graph.Input{{Name: "format", Value: "1"}, {Name: "drydock", Value: version.Drydock}}
	for _, name := range []string{stack.AdvisoriesLock, audit.TableFile, audit.StatementsFile(e.Stack.Name)} {
		data, err := audit.ReadText(filepath.Join(e.Sources.Dir, name))
		if err != nil || data == nil && name == stack.AdvisoriesLock {
			return "", err
		}
		inputs = append(inputs, graph.Input{Name: name, Value: string(data)})
	}
	for _, n := range e.Built() {
		rec := e.Record(n)
		if rec == nil {
			return "", fmt.Errorf("no record of %s", n)
		}
		inputs = append(inputs, graph.Input{Name: n, Value: e.Stack.Component[n].Version + " " + rec.Key})
	}
	return graph.Key(inputs), nil
}

// AuditLine says in one line what is known against what was built, for the end of a run: the result of the last run
// where nothing changed since. An audit that cannot be made fails no build.
func AuditLine(e *engine.Engine) {
	key, err := auditKey(e)
	if key == "" && err == nil {
		return // nobody asked for one
	}
	var last audited
	file := e.BuildDir("audit.json")
	data, rerr := audit.ReadText(file)
	if rerr != nil || json.Unmarshal(data, &last) != nil || last.Key != key {
		last = audited{Key: key}
		r, aerr := AuditReport(e, AuditOptions{})
		if err = errors.Join(err, aerr); err == nil {
			last.Open, last.Line = r.Open, r.Line()
			data, _ := json.Marshal(last)
			err = archive.WriteBytes(file, 0o644, data)
		}
	}
	switch {
	case err != nil:
		e.UI.Line("audit: not done: %s", failure.OneLine(err.Error()))
	case last.Open > 0:
		e.AtEnd("audit: " + last.Line)
		e.UI.Line("audit: %s: \"mage audit -open\" names them", e.UI.Bad(last.Line))
	default:
		e.UI.Line("audit: %s", last.Line)
	}
}
