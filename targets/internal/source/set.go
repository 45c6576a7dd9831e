package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/patch"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/ui"
)

// fetchWidth is how many components' sources are fetched at a time.
const fetchWidth = 4

// Set is what a stack is built from: a store, and the stack whose lock says what the files in it are. A copy of it
// shares the store.
type Set struct {
	*Store
	Stack *stack.Stack
	UI    *ui.UI
	Root  string // the repository: patches/ lies in it, and build/tmp, where trees are made and thrown away
	// Editing says that open edits take their components' place; Record, that what the lock does not know is added to
	// it, and then WriteLock writes it.
	Editing, Record bool
	Given           map[string]*Found // what settings name in place of components' sources, compiled already
	// VersionIn says in which file of a component's sources their version stands; nil where none says it.
	VersionIn func(component string) *stack.VersionFile
	// Online returns a go command that can reach modules, whatever its release; with no Path where there is none.
	Online func(context.Context) (Go, error)
	// Pick returns the go command of this machine that meets a constraint, and its release; empty where none does.
	Pick func(constraint string) (path, release string)
}

// Source is what one component is made from, as far as a key needs to know it.
type Source struct {
	*Found
	Vendor  string        // digest of the tar of its vendor tree; empty where it has none of ours
	Patches []patch.Patch // ours
}

// Libraries reports whether what a GOPATH source imports lies beside it.
func (s *Source) Libraries() bool { return s.Vendor != "" || s.Edit }

// Offline reports whether the network is forbidden.
func (s *Set) Offline() bool { return s.Client == nil }

// Fetch gets what components are made from. Its errors name the component; a MissingError is what could not be had.
func (s *Set) Fetch(ctx context.Context, names []string) (map[string]*Source, error) {
	// Runs on other stacks bring files into the same directory: one at a time. Offline, nothing will be written.
	var unlock func()
	lock := sync.OnceValue(func() (err error) {
		if !s.Offline() {
			waiting := func(h graph.Holder) { s.UI.Line("waiting   for the fetch of %s", h) }
			unlock, err = graph.Lock(ctx, filepath.Join(s.Dir, ".fetching"), strings.Join(os.Args, " "), waiting)
		}
		return err
	})
	var mu sync.Mutex
	all := map[string]*Source{}
	err := FetchAll(names, fetchWidth, func(n string) error {
		got, err := s.fetch(ctx, s.Stack.Component[n], lock)
		mu.Lock()
		defer mu.Unlock()
		all[n] = got
		return err
	})
	if unlock != nil {
		unlock()
	}
	return all, errors.Join(err, s.Digests.Save())
}

// fetch is Fetch for one component. lock is called before something is written.
func (s *Set) fetch(ctx context.Context, c *stack.Component, lock func() error) (*Source, error) {
	found, err := s.Locate(c)
	if err == nil && found == nil {
		if err = lock(); err == nil {
			found, err = s.Get(ctx, c)
		}
	}
	if err != nil {
		return nil, err
	}
	src := &Source{Found: found}
	if src.Patches, err = s.Patches(c, found); err != nil || !NeedsVendor(c, found) {
		return src, err
	}
	line, err := s.VendorFile(c, found)
	for _, bring := range []func() error{lock, func() error { return s.restore(ctx, c, found) }} {
		if err != nil || line != nil {
			break
		}
		if err = bring(); err == nil { // while it waited for the lock, another run may have
			line, err = s.VendorFile(c, found)
		}
	}
	if err == nil {
		src.Vendor = line.TarSHA256
	}
	return src, err
}

// Locate finds a component's source on this machine: the open edit where those count, the user's checkout where the
// stack names one and it is there or has no origins beside it, or an archive. It returns nil and no error where there
// is no archive yet.
func (s *Set) Locate(c *stack.Component) (*Found, error) {
	if given := s.Given[c.Name]; given != nil {
		return given, nil
	}
	if s.Editing {
		if found, err := s.edit(c); found != nil || err != nil {
			return found, err
		}
	}
	if !s.checksOut(c) {
		return s.archives(c)
	}
	found, err := s.Checkout(c)
	if err != nil {
		return nil, err
	}
	return found, s.fits(c, found)
}

// Survey is Fetch for one component, without the network: what a fetch would give, as far as the lock knows, and what
// it would have to bring; lacks is empty where that is nothing. was is the digest of the source of the last build. A
// file that is there and wrong is an error.
func (s *Set) Survey(c *stack.Component, was string) (src *Source, lacks string, err error) {
	src = &Source{}
	var missing *MissingError
	if src.Found, err = s.Locate(c); errors.As(err, &missing) {
		lacks, src.Found = missing.Text, &Found{Path: c.Checkout, SHA256: Unknown, Layout: c.Layout(nil)}
	} else if err != nil {
		return nil, "", err
	}
	if src.Found == nil {
		lacks, src.Found = "its source is not in vendor-sources/ and would be fetched", s.Expected(c, was)
	}
	if src.Patches, err = s.Patches(c, src.Found); err != nil || !NeedsVendor(c, src.Found) {
		return src, lacks, err
	}
	line, err := s.VendorFile(c, src.Found)
	if line == nil && err == nil {
		lacks = cmp.Or(lacks, "its vendor tree is not in vendor-sources/ and would be restored")
		if line = s.Stack.Lock.VendorFor(c, src.SHA256); line == nil {
			line = &stack.LockedVendor{TarSHA256: Unknown}
		}
	}
	if err == nil {
		src.Vendor = line.TarSHA256
	}
	return src, lacks, err
}

// Expected is the archive that a fetch would bring: the one whose digest was is, or the first that the lock knows.
func (s *Set) Expected(c *stack.Component, was string) *Found {
	best := Expected(c, c.Origin[0], s.Stack.Lock)
	for _, o := range c.Origin[1:] {
		want := Expected(c, o, s.Stack.Lock)
		if want.SHA256 != Unknown && (best.SHA256 == Unknown || want.SHA256 == was) {
			best = want
		}
	}
	return best
}

// Patches are those of ours that apply to a source: none where they are in it already, or where nothing is compiled.
// Its errors are patch.Series's.
func (s *Set) Patches(c *stack.Component, found *Found) ([]patch.Patch, error) {
	if found.Edit || found == s.Given[c.Name] {
		return nil, nil
	}
	return s.Series(c)
}

// Series are the patches below patches/ that a component's version meets. Its errors are patch.Series's.
func (s *Set) Series(c *stack.Component) ([]patch.Patch, error) {
	return patch.Series(filepath.Join(s.Root, "patches"), c.Name, c.Version)
}

// SeriesOf are the patches that belong to a source. Their files are gone when it returns. Its errors are SeriesIn's.
func (s *Set) SeriesOf(found *Found) ([]patch.Patch, error) {
	if found.Checkout() || found.Origin.Series == "" {
		return nil, nil
	}
	dir, done, err := s.Scratch("series-")
	if err != nil {
		return nil, err
	}
	defer done()
	return found.SeriesIn(dir)
}

// Tree makes a component's tree with these patches of ours in a directory that is there. It tells of all hunks that lie
// elsewhere than they say, those of the source's own series among them. Its errors are Prepare's and patch.Apply's.
func (s *Set) Tree(c *stack.Component, found *Found, ps []patch.Patch, dir string) (told []string, err error) {
	told, err = s.Prepare(c, found, dir)
	if err != nil {
		return nil, err
	}
	more, err := patch.Apply(dir, ps)
	return append(told, more...), err
}

// Scratch makes a directory that done removes; the error is the file system's.
func (s *Set) Scratch(prefix string) (dir string, done func(), err error) {
	base := filepath.Join(s.Root, "build/tmp")
	if err := os.MkdirAll(base, 0o755); err != nil {
		return "", nil, err
	}
	if dir, err = os.MkdirTemp(base, prefix); err != nil {
		return "", nil, err
	}
	return dir, func() { archive.RemoveAll(dir) }, nil
}

// restore makes a vendor tree that the origin strips.
func (s *Set) restore(ctx context.Context, c *stack.Component, found *Found) error {
	of := filepath.Base(found.Path)
	if s.Offline() {
		return missing("the vendor tree of %s is not in %s, and OFFLINE forbids to restore it: "+
			"run \"mage fetch\" on a connected machine and carry vendor-sources/ over", of, s.Dir)
	}
	if line := s.vendorLine(c, found); line != nil && !s.Record {
		if came, err := s.fromSite(ctx, line.Name, line.TarSHA256, sumOfTar); came || err != nil {
			return err
		}
	}
	if len(found.Layout) > 0 {
		s.gathering.Do(func() { // components of the same sources share it
			s.UI.Line("restore   what %s imports, from %d packages", of, len(s.Stack.Packages))
		})
		return s.restoreLibraries(ctx, c, found)
	}
	tool := Go{Constraint: s.Stack.GoConstraint(c), Toolchain: cmp.Or(c.Toolchain, s.Stack.Toolchain)}
	if tool.Path, tool.Version = s.Pick(tool.Constraint); tool.Path == "" {
		return fmt.Errorf("no Go meets %s, which restoring vendor/ needs", tool.Constraint)
	}
	s.UI.Line("restore   vendor/ of %s", of)
	start := time.Now()
	online, err := s.Online(ctx)
	if err != nil {
		return err
	}
	tool.Env = online.Env
	if err := s.restoreVendor(ctx, c, found, tool); err != nil {
		return err
	}
	s.UI.Line("restored  vendor/ of %s in %s", of, ui.Duration(time.Since(start)))
	if n := len(s.Stack.Raised(c.Name)); n > 0 {
		s.UI.Line("raised    %d modules of %s; \"mage patches\" lists them", n, c.Name)
	}
	return nil
}

// WriteLock writes the stack's lock, and returns its path, relative to the root, or the file system's error.
func (s *Set) WriteLock() (string, error) {
	file := strings.TrimSuffix(s.Stack.File, ".toml") + ".lock"
	return s.rel(file), archive.WriteBytes(file, 0o644, s.Stack.Lock.Encode())
}

func (s *Set) rel(p string) string {
	if r, err := filepath.Rel(s.Root, p); err == nil {
		return r
	}
	return p
}

// proxies are the addresses in GOPROXY.
func (g Go) proxies() (urls []string) {
	var list string
	for _, kv := range g.Env {
		if v, ok := strings.CutPrefix(kv, "GOPROXY="); ok {
			list = v
		}
	}
	for _, p := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == '|' }) {
		if strings.Contains(p, "://") {
			urls = append(urls, p)
		}
	}
	return urls
}
