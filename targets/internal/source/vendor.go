package source

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/stack"

	"golang.org/x/mod/modfile"
)

// NeedsVendor says whether a source lacks the vendor tree that the stack asks for, so that one must be restored for it:
// from modules, or for a GOPATH from the stack's packages.
func NeedsVendor(c *stack.Component, f *Found) bool {
	if f.Checkout() || f.Origin.Vendored && c.Raises() == nil {
		return false
	}
	return c.Vendor != nil || len(f.Layout) > 0
}

// vendorLine is the lock's line for the vendor tree of a found archive; nil where it has none.
func (s *Set) vendorLine(c *stack.Component, f *Found) *stack.LockedVendor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Stack.Lock.VendorFor(c, f.SHA256)
}

// VendorFile returns the restored vendor tree of a found archive; nil and no error when it is not there, and an error
// where it is not what the lock says.
func (s *Set) VendorFile(c *stack.Component, f *Found) (*stack.LockedVendor, error) {
	line := s.vendorLine(c, f)
	if line == nil {
		return nil, nil
	}
	p := filepath.Join(s.Dir, line.Name)
	got, err := s.Digests.OfTar(p)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, moveAway(p, "%w", err)
	case got != line.TarSHA256:
		return nil, moveAway(p, "sha256 of the tar in it: got %s, want %s (from the lock)", got, line.TarSHA256)
	}
	return line, nil
}

// restoreVendor makes the vendor tree of a found archive with a go command and the module proxy that this machine is
// set up with, raises the modules that the stack names, checks every module against go.sum, and stores the tree as an
// archive. A missing or other digest is written into the lock where that is recorded; else it is an error.
func (s *Set) restoreVendor(ctx context.Context, c *stack.Component, f *Found, g Go) error {
	tmp, done, err := s.Scratch("vendor-" + c.Name + "-")
	if err != nil {
		return err
	}
	defer done()
	tree := filepath.Join(tmp, "tree")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return err
	}
	if err := Unpack(f, tree); err != nil {
		return err
	}
	shipped, _ := os.ReadFile(filepath.Join(tree, "vendor/modules.txt"))
	raised, err := makeVendor(ctx, c.Vendor, g, tree, tmp)
	if err != nil {
		return fmt.Errorf("restore vendor/: %w", err)
	}
	made, err := os.ReadFile(filepath.Join(tree, "vendor/modules.txt"))
	if err != nil {
		return err
	}
	changes := len(c.Vendor.Replace) + len(c.Vendor.Raise)
	if len(shipped) > 0 && changes == 0 && !bytes.Equal(shipped, made) {
		return fmt.Errorf("restore vendor/: vendor/modules.txt differs from the one in %s: "+
			"the module proxy served other modules than upstream vendored", filepath.Base(f.Path))
	}
	es, err := archive.Tree(filepath.Join(tree, "vendor"), "vendor")
	if err != nil {
		return err
	}
	for _, n := range []string{"go.mod", "go.sum"} {
		es = append(es, archive.Entry{Name: n, Path: filepath.Join(tree, n), Mode: 0o644})
	}
	name := s.vendorName(c, f)
	staged := filepath.Join(tmp, name)
	sum, err := archive.WriteTarGz(staged, es, time.Unix(0, 0))
	if err != nil {
		return err
	}
	line := &stack.LockedVendor{Component: c.Name, Name: name, Source: f.SHA256, TarSHA256: sum,
		Raise: c.Raises(), Raised: raised}
	if s.Record && s.shareVendor(c, f, sum) { // which is here already
		return nil
	}
	if err := s.noteVendor(c, f, line); err != nil {
		return err
	}
	return s.keep(staged, name)
}

// vendorName is the file name of a vendor tree: the lock's, or one that follows from the source and what is raised.
func (s *Set) vendorName(c *stack.Component, f *Found) string {
	if line := s.vendorLine(c, f); line != nil {
		return line.Name
	}
	of := f.SHA256
	if r := c.Raises(); r != nil {
		of, _ = archive.SHA256(strings.NewReader(of + "\n" + strings.Join(r, "\n")))
	}
	return fmt.Sprintf("%s_%s_vendor-%s.tar.gz", c.Name, c.Version, of[:8])
}

// noteVendor holds a vendor tree that was made against the lock, or writes it there where that is recorded.
func (s *Set) noteVendor(c *stack.Component, f *Found, made *stack.LockedVendor) error {
	l := s.Stack.Lock
	s.mu.Lock()
	defer s.mu.Unlock()
	line := l.VendorFor(c, f.SHA256)
	switch {
	case line == nil && !s.Record:
		return missing("the lock has no digest for the vendor tree of %s%s: run \"mage fetch -record\"",
			filepath.Base(f.Path), withRaises(c))
	case line != nil && line.TarSHA256 != made.TarSHA256 && !s.Record:
		return fmt.Errorf("restored vendor tree: sha256 of the tar: got %s, want %s (from the lock): this go command "+
			"vendors other files; \"mage fetch -record\" records them", made.TarSHA256, line.TarSHA256)
	case line != nil && !s.Record && !slices.Equal(line.Raised, made.Raised):
		return fmt.Errorf("restored vendor tree: its raised modules are %s, where the lock has %s: the tree is the "+
			"recorded one, the list is not: \"mage fetch -record\" records it",
			differing(made.Raised, line.Raised), differing(line.Raised, made.Raised))
	case line != nil && s.Record:
		if line.TarSHA256 != made.TarSHA256 { // not of the other archives, whose tree this no longer is
			line.Source, line.Also = made.Source, nil
		}
		line.Name, line.TarSHA256, line.Raised = made.Name, made.TarSHA256, made.Raised
	case line != nil: // and says the same
	default: // what was raised otherwise is not asked for any more
		of := func(v *stack.LockedVendor) bool { return v.Component == c.Name && v.Source == f.SHA256 }
		l.Vendor = append(slices.DeleteFunc(l.Vendor, of), made)
	}
	return nil
}

// differing names the raised modules of a list that another does not have so; "none more" where there are none.
func differing(list, other []stack.Raised) string {
	var all []string
	for _, r := range list {
		if !slices.Contains(other, r) {
			all = append(all, fmt.Sprintf("%s %s => %s", r.Module, cmp.Or(r.From, "none"), r.To))
		}
	}
	return cmp.Or(strings.Join(all, ", "), "none more")
}

// withRaises says what is raised in a vendor tree, if anything is.
func withRaises(c *stack.Component) string {
	if r := c.Raises(); r != nil {
		return " with " + strings.Join(r, ", ")
	}
	return ""
}

// makeVendor makes vendor/, go.mod and go.sum of a tree, whatever was there, and returns what is raised.
func makeVendor(ctx context.Context, v *stack.Vendor, g Go, tree, tmp string) (raised []stack.Raised, err error) {
	if err := os.RemoveAll(filepath.Join(tree, "vendor")); err != nil {
		return nil, err
	}
	m := modules{dir: tree, mod: cmp.Or(v.Modfile, "go.mod"), tool: g, cache: filepath.Join(tmp, "mod")}
	if err := replaceModules(filepath.Join(tree, m.mod), v.Replace); err != nil {
		return nil, err
	}
	flags := "GOFLAGS=-modcacherw -mod=mod"
	if m.mod != "go.mod" {
		flags += " -modfile=" + m.mod
		if err := stubMod(tree, m.mod); err != nil {
			return nil, err
		}
	}
	m.tool.Env = append(slices.Clip(g.Env), "GOMODCACHE="+m.cache, flags, "GOTOOLCHAIN=local", "GOWORK=off",
		"GOPATH="+filepath.Join(tmp, "gopath"), "CGO_ENABLED=0")
	if !slices.ContainsFunc(g.Env, func(kv string) bool { return strings.HasPrefix(kv, "GOCACHE=") }) {
		m.tool.Env = append(m.tool.Env, "GOCACHE="+filepath.Join(tmp, "cache"))
	}
	// go.sum cannot know a replacement: the checksum database answers for it.
	for _, r := range slices.Backward(v.Replace) {
		old, _, _ := strings.Cut(r, "=>")
		if _, err := m.run(ctx, "mod", "download", strings.TrimSpace(old)); err != nil {
			return nil, err
		}
	}
	var was *unraised
	if len(v.Raise) > 0 {
		if was, err = m.raise(ctx, v.Raise); err != nil {
			return nil, err
		}
	}
	for _, a := range []string{"vendor", "verify"} {
		if _, err := m.run(ctx, "mod", a); err != nil {
			return nil, err
		}
	}
	if was != nil {
		if raised, err = m.outcome(was, v); err != nil {
			return nil, err
		}
	}
	return raised, modFiles(tree, m.mod)
}

// Unpack makes the tree of a source in dir: its archives, without their patches, or a copy of a checkout. It returns an
// error where an archive is not the one that was checked, or has what leads out of dir.
func Unpack(f *Found, dir string) error {
	if f.Checkout() {
		return f.copyTo(dir)
	}
	for _, a := range f.Archives() {
		if err := unpack(a, filepath.Join(dir, a.Origin.Into), nil); err != nil {
			return fmt.Errorf("unpack %s: %w", a.Path, err)
		}
	}
	if len(f.With) > 0 {
		return archive.CheckLinks(dir)
	}
	return nil
}

// Prepare makes the private tree of a component: archive, vendor tree, module files, and the patches that belong to the
// archive, which may be of the vendor tree; without patches of ours. Its errors are Unpack's and patch.Apply's, and
// what is told is Apply's.
func (s *Set) Prepare(c *stack.Component, f *Found, dir string) (told []string, err error) {
	err = Unpack(f, dir)
	switch {
	case err != nil:
	case NeedsVendor(c, f):
		err = s.unpackVendor(c, f, dir)
	case c.Vendor != nil && len(f.Layout) == 0 && c.Vendor.Modfile == "vendor.mod":
		err = modFiles(dir, "vendor.mod")
	}
	if err != nil {
		return nil, err
	}
	return f.patch(dir)
}

// stubMod writes the go.mod that -modfile wants beside it: the module and go lines of the other file.
func stubMod(tree, mod string) error {
	data, err := os.ReadFile(filepath.Join(tree, mod))
	if err != nil {
		return err
	}
	m, err := modfile.ParseLax(mod, data, nil)
	if err != nil {
		return err
	}
	if m.Module == nil || m.Go == nil {
		return fmt.Errorf("%s: no module or go line", mod)
	}
	text := fmt.Appendf(nil, "module %s\n\ngo %s\n", m.Module.Mod.Path, m.Go.Version)
	return os.WriteFile(filepath.Join(tree, "go.mod"), text, 0o644)
}

// modFiles moves vendor.mod and vendor.sum over go.mod and go.sum: afterwards a plain -mod=vendor build works.
func modFiles(tree, mod string) error {
	if mod == "go.mod" {
		return nil
	}
	for from, to := range map[string]string{mod: "go.mod", strings.TrimSuffix(mod, ".mod") + ".sum": "go.sum"} {
		if err := os.Rename(filepath.Join(tree, from), filepath.Join(tree, to)); err != nil {
			return err
		}
	}
	return nil
}

func replaceModules(file string, replace []string) error {
	if len(replace) == 0 {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	for _, r := range replace {
		data = append(data, "replace "+r+"\n"...)
	}
	return os.WriteFile(file, data, 0o644)
}

// keep moves a file that is whole into the store.
func (s *Store) keep(file, name string) error {
	to := filepath.Join(s.Dir, name)
	err := os.Rename(file, to)
	if err != nil { // another file system
		err = archive.CopyFile(file, to, 0o644)
	}
	return errors.Join(err, archive.SyncDir(s.Dir))
}

func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
