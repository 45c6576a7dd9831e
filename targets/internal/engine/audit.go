package engine

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
	"drydock/targets/internal/failure"
	"drydock/targets/internal/pack"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
	"drydock/targets/internal/source"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/store"
	"drydock/targets/internal/ui"
)

// cTable is the table of what is known against components that are no Go.
const cTable = "advisories-c.toml"

// maxTexts is the size, in bytes, up to which statements and tables are read.
const maxTexts = 4 << 20

// AuditOptions are what an audit is of, and how it is shown.
type AuditOptions struct {
	File, Bin                string // a package, or a directory of files, in place of the stack's own
	JSON, Open, Draft, Write bool
}

// Audit compares the built files with what is published of holes in what they are made of, and with what is stated of
// each.
func Audit(ctx context.Context, opt AuditOptions) error {
	return command(ctx, func(ctx context.Context, e *Engine) error {
		r, err := e.audit(opt)
		if err = errors.Join(err, e.src.Digests.Save()); err != nil {
			return err
		}
		if opt.Write {
			err = e.writeAudit(r)
		} else {
			err = e.showAudit(r, opt)
		}
		if err != nil {
			return err
		}
		if r.Open > 0 {
			return failure.With(failure.Open, fmt.Errorf("audit: %s", r.Line()))
		}
		if !opt.JSON && !opt.Draft { // which are for programs to read
			e.UI.Line("drydock: %s: audit: %s", r.Stack, r.Line())
		}
		return nil
	})
}

// writeAudit makes docs/advisories.md of a report, and of what it has of other stacks.
func (e *Engine) writeAudit(r *audit.Report) error {
	file := filepath.Join(e.Root, "docs/advisories.md")
	page, err := archive.ReadFile(file, maxTexts)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return e.writeDoc("advisories.md", r.Page(string(page)))
}

// showAudit prints a report.
func (e *Engine) showAudit(r *audit.Report, opt AuditOptions) error {
	switch {
	case opt.JSON:
		data, err := json.MarshalIndent(r, "", "  ")
		fmt.Printf("%s\n", data)
		return err
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

// audit makes the report.
func (e *Engine) audit(opt AuditOptions) (*audit.Report, error) {
	lock, err := stack.LoadAdvisories(e.src.Dir)
	if err != nil {
		return nil, err
	}
	if lock == nil {
		return nil, failure.With(failure.Sources, &source.MissingError{Text: fmt.Sprintf("no %s in %s: run \"mage fetch -advisories\"",
			stack.AdvisoriesLock, e.rel(e.src.Dir))})
	}
	file, err := e.src.AdvisoriesFile(lock)
	if err != nil {
		return nil, failure.With(failure.Sources, err)
	}
	db, err := audit.Open(file, lock.Date())
	if err != nil {
		return nil, failure.With(failure.Sources, err)
	}
	var sub *audit.Subject
	if opt.File != "" {
		sub, err = e.packageSubject(opt.File)
	} else {
		sub, err = e.ownSubject(opt.Bin)
	}
	if err != nil {
		return nil, err
	}
	table, err := e.table()
	if err != nil {
		return nil, err
	}
	book, err := e.book(sub.Stack)
	if err != nil {
		return nil, err
	}
	r, ps := audit.Make(sub, db, table, book)
	if len(ps) > 0 {
		return nil, ps
	}
	return r, nil
}

// vexFile is the file with a stack's statements.
func (e *Engine) vexFile(name string) string { return filepath.Join(e.src.Dir, name+".vex.toml") }

// table reads the table of what is no Go, which may be missing.
func (e *Engine) table() (*audit.Table, error) {
	file := filepath.Join(e.src.Dir, cTable)
	data, err := archive.ReadFile(file, maxTexts)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	table, ps := audit.ParseTable(data, e.rel(file), e.Stack.Rows.Names())
	if len(ps) > 0 {
		return nil, ps
	}
	return table, nil
}

// book reads a stack's statements, which may be missing.
func (e *Engine) book(name string) (*audit.Book, error) {
	file := e.vexFile(name)
	data, err := archive.ReadFile(file, maxTexts)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	book, ps := audit.ParseStatements(data, e.rel(file))
	if len(ps) > 0 {
		return nil, ps
	}
	return book, nil
}

// checked are the statements that go into a package: those whose components and evidence are the stack's.
func (e *Engine) checked(book *audit.Book) ([]*audit.Statement, error) {
	if len(book.Statements) == 0 {
		return nil, nil
	}
	has, err := e.evidences()
	if err != nil {
		return nil, err
	}
	if ps := book.Check(e.Stack.Rows.Names(), has, nil, nil); len(ps) > 0 {
		return nil, ps
	}
	return book.Statements, nil
}

// ownSubject is the stack's own files, or those of a directory under their names.
func (e *Engine) ownSubject(bin string) (*audit.Subject, error) {
	sub := &audit.Subject{Stack: e.Stack.Name, Arch: e.Stack.Arch().GOARCH, Known: e.Stack.Rows.Names(), Raised: map[string][]stack.Raised{}}
	var err error
	if sub.Evidence, err = e.evidences(); err != nil {
		return nil, err
	}
	for _, n := range e.built() {
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
			file := e.output("bin", o.Name)
			if bin != "" {
				file = filepath.Join(bin, o.Name)
			}
			p, err := e.program(file, n, c.Version)
			if errors.Is(err, fs.ErrNotExist) && bin == "" {
				return nil, fmt.Errorf("%s: not built yet: run \"mage %s\"", e.rel(file), recipe.Row(n).Target)
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
func (e *Engine) program(file, component, version string) (*audit.Program, error) {
	p, err := audit.ReadProgramFile(file, component, version)
	if err != nil || !p.Unknown {
		return p, err
	}
	if rec := e.records().Load(component); rec != nil {
		notices := filepath.Join(e.out.Path(component, rec.Key), store.NoticesFile)
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

// evidences are those of all components of the stack, whether or not they are built.
func (e *Engine) evidences() (map[string]audit.Evidence, error) {
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
	ps, err := e.src.Series(c)
	if err != nil {
		return ev, err
	}
	for _, p := range ps {
		ev.Patches = append(ev.Patches, p.Name, filepath.Base(p.File))
	}
	own, err := e.ownNames(c)
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

// packageSubject is what a package has in it.
func (e *Engine) packageSubject(file string) (*audit.Subject, error) {
	r, problems, err := pack.ReadPackage(file)
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("%s is not as it was made:\n  %s", file, strings.Join(problems, "\n  "))
	}
	m := &r.Manifest
	sub := &audit.Subject{Stack: m.Stack, Arch: m.Arch, Known: e.Stack.Rows.Names(), Evidence: map[string]audit.Evidence{},
		Raised: map[string][]stack.Raised{}}
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
			own, err := e.ownNames(c)
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
	return sub, e.unpacked(file, r, func(x *pack.File, path string) error {
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
func (e *Engine) unpacked(file string, r *pack.Read, do func(x *pack.File, path string) error) error {
	tree, done, err := e.src.Scratch("audit-")
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
