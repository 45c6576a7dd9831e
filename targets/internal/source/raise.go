package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/version"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/run"
	"drydock/targets/internal/stack"

	constraint "github.com/hashicorp/go-version"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// Go is a go command that can reach modules, and what the stack asks of the one that compiles.
type Go struct {
	// Path is its file, Version its release, Env its environment.
	Path, Version string
	Env           []string
	// Constraint is on the release that compiles the component; Toolchain is the one that the stack brings, or empty.
	Constraint, Toolchain string
}

// modules is a tree of a module whose requirements are in the file mod.
type modules struct {
	dir, mod string
	tool     Go
	cache    string // its GOMODCACHE
}

// run runs a go command in the tree.
func (m modules) run(ctx context.Context, args ...string) (string, error) {
	cmd := run.Cmd{Argv: append([]string{m.tool.Path}, args...), Dir: m.dir, Env: m.tool.Env}
	out, err := cmd.Output(ctx)
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, tail(out, 20))
	}
	return out, nil
}

// unraised is what a tree was before: the versions of all its modules, and its module file.
type unraised struct {
	versions map[string]string
	file     *modfile.File
}

// raise makes the module file ask for the versions that are raised to, at least, and for what these need. Of each
// module that is asked for twice the higher version counts; one that is raised must come out as it is named.
func (m modules) raise(ctx context.Context, raises []stack.Raise) (*unraised, error) {
	was := &unraised{}
	var err error
	if was.file, err = m.read(); err != nil {
		return nil, err
	}
	if was.versions, err = m.versions(ctx); err != nil {
		return nil, fmt.Errorf("list its modules: %w", err)
	}
	for _, r := range raises {
		if why := cannotRaise(r, was.versions); why != "" {
			return nil, fmt.Errorf("%s: raise %s: %s", r.At, r, why)
		}
		if err := m.compilable(ctx, r); err != nil {
			return nil, fmt.Errorf("%s: raise %s: %w", r.At, r, err)
		}
	}
	err = m.edit(func(f *modfile.File) error {
		for _, r := range raises {
			if err := f.AddRequire(r.Module, r.Version); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	now, err := m.settle(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: raise: %w", raises[0].At, err)
	}
	for _, r := range raises {
		if now[r.Module] == r.Version {
			continue
		}
		wants, err := m.requirer(ctx, r.Module, now)
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s: raise %s: it comes out as %s, which %s requires: "+
			"raise it to that, or leave the line out", r.At, r, now[r.Module], wants)
	}
	return was, m.sums(ctx, now)
}

// cannotRaise says why a module that has these versions beside it cannot be raised; empty when it can.
func cannotRaise(r stack.Raise, have map[string]string) string {
	is, ok := have[r.Module]
	_, by, replaced := strings.Cut(is, " => ")
	switch {
	case !ok || is == "":
		return "the component does not have this module"
	case replaced:
		return fmt.Sprintf("the module is replaced by %s, whatever version is asked for", by)
	case semver.Compare(r.Version, is) < 0:
		return fmt.Sprintf("that is lower than %s, which upstream has", is)
	case r.Version == is:
		return "upstream has that version already: leave the line out"
	}
	return ""
}

// compilable gets a module, and holds what its go line asks for against the Go that compiles.
func (m modules) compilable(ctx context.Context, r stack.Raise) error {
	// A Go that is too old for it fails, after it has the module file.
	_, failed := m.run(ctx, "mod", "download", r.String())
	p, err := module.EscapePath(r.Module)
	if err != nil {
		return err
	}
	v, err := module.EscapeVersion(r.Version)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(m.cache, "cache/download", p, "@v", v+".mod"))
	if err != nil {
		return cmp.Or(failed, err)
	}
	if f, err := modfile.ParseLax(r.Module+"/go.mod", data, nil); err == nil && f.Go != nil {
		if err := m.tool.compiles(f.Go.Version); err != nil {
			return err
		}
	}
	return failed
}

// compiles returns an error that says why a module of a go line may be too new.
func (g Go) compiles(line string) error {
	type release struct{ what, release string }
	for _, have := range []release{{"the stack's toolchain", g.Toolchain}, {"the Go that is here", g.Version}} {
		if have.release != "" && version.Compare("go"+have.release, "go"+line) < 0 {
			return fmt.Errorf("it wants Go %s, and %s is %s", line, have.what, have.release)
		}
	}
	c, err := constraint.NewConstraint(g.Constraint)
	if err != nil {
		return err
	}
	v, err := constraint.NewVersion(line)
	if err != nil {
		return err
	}
	s := v.Segments() // three, and the release before them
	if s[2]--; s[2] < 0 {
		s[1], s[2] = s[1]-1, 999
	}
	if older, err := constraint.NewVersion(fmt.Sprintf("%d.%d.%d", s[0], s[1], s[2])); err != nil || c.Check(older) {
		return fmt.Errorf("it wants Go %s, and go = %q lets an older one compile it: want go = \">= %s\" in the stack",
			line, g.Constraint, line)
	}
	return nil
}

// versions are those of all modules that the tree's module requires, itself or through others. A module that is
// replaced has "version => path version", the module itself nothing.
func (m modules) versions(ctx context.Context) (map[string]string, error) {
	const format = "{{.Path}} {{.Version}}{{with .Replace}} => {{.Path}} {{.Version}}{{end}}"
	out, err := m.run(ctx, "list", "-m", "-f", format, "all")
	all := map[string]string{}
	for line := range strings.Lines(out) {
		name, v, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		all[name] = v
	}
	return all, err
}

// requirer names what requires a module at the version that was chosen.
func (m modules) requirer(ctx context.Context, name string, now map[string]string) (string, error) {
	out, err := m.run(ctx, "mod", "graph")
	found := m.mod
	for line := range strings.Lines(out) {
		from, to, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		p, v, _ := strings.Cut(from, "@")
		if to == name+"@"+now[name] && v != "" {
			if found = from; now[p] == v {
				break
			}
		}
	}
	return found, err
}

// settle adds the modules that are imported only now to the module file, and returns the versions that come out of it.
// What an added module requires counts from then on, and may raise others, so it goes on until nothing changes.
func (m modules) settle(ctx context.Context) (map[string]string, error) {
	now, err := m.versions(ctx)
	for err == nil {
		if err = m.addImported(ctx, now); err != nil {
			break
		}
		var next map[string]string
		if next, err = m.versions(ctx); err == nil && maps.Equal(now, next) {
			break
		}
		now = next
	}
	return now, err
}

// addImported adds the modules that have an imported package and that the module file does not require.
func (m modules) addImported(ctx context.Context, now map[string]string) error {
	f, err := m.read()
	if err != nil {
		return err
	}
	has := required(f)
	why := []string{"mod", "why", "-m", "-vendor"}
	for name, v := range now {
		if !has[name] && v != "" {
			why = append(why, name)
		}
	}
	if slices.Sort(why[4:]); len(why) == 4 {
		return nil
	}
	out, err := m.run(ctx, why...)
	if err != nil {
		return err
	}
	return m.edit(func(f *modfile.File) error {
		for _, name := range vendored(out) {
			v, _, _ := strings.Cut(now[name], " => ")
			f.AddNewRequire(name, v, true)
		}
		return nil
	})
}

// sums gets the sums that the module file's modules lack, for "go mod vendor" gets none. A replacement may have moved
// some before anything was raised.
func (m modules) sums(ctx context.Context, now map[string]string) error {
	f, err := m.read()
	if err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(m.dir, strings.TrimSuffix(m.mod, ".mod")+".sum"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	have := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if w := strings.Fields(line); len(w) == 3 {
			have[w[0]+" "+w[1]] = true
		}
	}
	get := []string{"mod", "download"}
	for name := range required(f) {
		of := name + " " + now[name]
		if _, by, replaced := strings.Cut(of, " => "); replaced {
			of = by
		}
		if !have[of] {
			get = append(get, name)
		}
	}
	if slices.Sort(get[2:]); len(get) == 2 {
		return nil
	}
	_, err = m.run(ctx, get...)
	return err
}

// required are the modules that a module file names.
func required(f *modfile.File) map[string]bool {
	all := map[string]bool{}
	for _, r := range f.Require {
		all[r.Mod.Path] = true
	}
	return all
}

// vendored are the modules of which "go mod why" says that a package is imported.
func vendored(why string) (names []string) {
	name := ""
	for line := range strings.Lines(why) {
		line = strings.TrimSpace(line)
		head, ok := strings.CutPrefix(line, "# ")
		switch {
		case ok:
			name = head
		case name != "" && line != "":
			if !strings.HasPrefix(line, "(") {
				names = append(names, name)
			}
			name = ""
		}
	}
	return names
}

func (m modules) read() (*modfile.File, error) {
	data, err := os.ReadFile(filepath.Join(m.dir, m.mod))
	if err != nil {
		return nil, err
	}
	return modfile.Parse(m.mod, data, nil)
}

func (m modules) edit(do func(*modfile.File) error) error {
	f, err := m.read()
	if err == nil {
		err = do(f)
	}
	if err != nil {
		return err
	}
	f.Cleanup()
	data, err := f.Format()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(m.dir, m.mod), data, 0o644)
}

// outcome lists what is raised in the vendor tree, and gives the module file upstream's go line again. That of a
// module which is raised says what its own code wants; upstream's, what the component's does: how its loops work,
// GODEBUG's defaults.
func (m modules) outcome(was *unraised, v *stack.Vendor) ([]stack.Raised, error) {
	data, err := os.ReadFile(filepath.Join(m.dir, "vendor/modules.txt"))
	if err != nil {
		return nil, err
	}
	is := inVendor(string(data))
	for _, r := range v.Raise {
		if is[r.Module] == "" {
			return nil, fmt.Errorf("%s: raise %s: the component does not have this module: it imports no package of it",
				r.At, r)
		}
	}
	var all []stack.Raised
	for name, now := range is {
		from := linked(was.versions[name])
		if replaces(v, name) { // upstream did not
			from, _, _ = strings.Cut(was.versions[name], " => ")
		}
		if to := linked(now); to != from {
			all = append(all, stack.Raised{Module: name, From: from, To: to})
		}
	}
	slices.SortFunc(all, func(a, b stack.Raised) int { return strings.Compare(a.Module, b.Module) })
	return all, m.edit(func(f *modfile.File) error {
		f.DropGoStmt()
		f.DropToolchainStmt()
		if was.file.Go != nil {
			if err := f.AddGoStmt(was.file.Go.Version); err != nil {
				return err
			}
		}
		if was.file.Toolchain != nil {
			return f.AddToolchainStmt(was.file.Toolchain.Name)
		}
		return nil
	})
}

// linked is the version of a module that is linked: that of what replaces it, if anything does.
func linked(version string) string {
	own, by, _ := strings.Cut(version, " => ")
	if _, v, _ := strings.Cut(by, " "); v != "" {
		return v
	}
	return own
}

// replaces says that the stack replaces a module, at all versions or at one.
func replaces(v *stack.Vendor, name string) bool {
	return slices.ContainsFunc(v.Replace, func(r string) bool {
		old, _, _ := strings.Cut(r, "=>")
		return strings.Fields(old)[0] == name
	})
}

// inVendor are the modules with a package in a vendor tree, by its modules.txt, and their versions.
func inVendor(list string) map[string]string {
	all := map[string]string{}
	name, v := "", ""
	for line := range strings.Lines(list) {
		line = strings.TrimSpace(line)
		if head, ok := strings.CutPrefix(line, "# "); ok {
			name, v, _ = strings.Cut(head, " ")
		} else if !strings.HasPrefix(line, "#") && name != "" {
			all[name] = v
		}
	}
	return all
}
