// Package source turns a line of a lock into a prepared source tree: it finds or downloads the archive, checks it,
// restores a stripped vendor tree, unpacks, and applies the patch series.
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/origins"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/ui"

	"golang.org/x/mod/module"
)

// Store is the directory that holds the archives, and the way to get those that it lacks.
type Store struct {
	origins.Places // where files can be had besides what a stack names

	Dir     string        // vendor-sources/
	Digests *Digests      // of files that did not change
	Client  *http.Client  // makes the requests; nil forbids them
	Meter   Meter         // shows what is transferred; it may be nil
	Backoff time.Duration // the wait before the first retry; it doubles with each. Zero is one second
	Limit   int64         // bytes, up to which a file is taken that the lock does not know. Zero is 1 GiB

	mu        sync.Mutex             // guards a lock that is being recorded
	busy      map[string]*sync.Mutex // by file name
	libraries sync.Mutex             // one at a time restores libraries
	gathering sync.Once              // says so
	restored  map[string]string      // in this run: the digests of the tars, by file name
	trees     map[string]*Digests    // of checkouts, by directory
}

// Meter is told of transfers as they go on.
type Meter interface {
	// Start names a file, the address that it is asked of, and its size in bytes (0 when unknown).
	Start(name, from string, size int64)
	// Add counts bytes of a file, from the network (or found in a part left by an earlier run).
	Add(name string, n int64)
	// Done ends it.
	Done(name string, err error)
}

// Found is a component's source on this machine: archives whose digests have been checked, or a checkout.
type Found struct {
	Origin    *stack.Origin     // nil for a checkout
	Path      string            // of the first archive; a checkout's directory
	SHA256    string            // of all that Found stands for: the archive's own where it is just one
	Signature string            // the path of the archive's signature; empty where the origin names no key
	With      []*Found          // the further archives of the tree
	Layout    map[string]string // the GOPATH that the tree is laid out as; empty for modules
	Edit      bool              // it is an open edit: a checkout with patches and libraries in it
	only      []string          // the parts of a directory that are used; by default those of Layout
	sum       string            // the digest of the archive at Path, as it was checked
}

// Checkout says that the source is the user's own directory.
func (f *Found) Checkout() bool { return f.Origin == nil }

// Archives are the archive and those with it.
func (f *Found) Archives() []*Found { return append([]*Found{f}, f.With...) }

// Member returns the content of the file with a name below any leading directories; an error where there is none.
func (f *Found) Member(name string) (data []byte, err error) {
	if !f.Checkout() {
		err = f.read(func(tar io.Reader) (err error) { data, err = archive.MemberOf(tar, name); return err })
		if err != nil {
			err = fmt.Errorf("%s: %w", f.Path, err)
		}
		return data, err
	}
	for _, d := range f.dirs() {
		if data, err := os.ReadFile(filepath.Join(f.Path, d, name)); !errors.Is(err, fs.ErrNotExist) {
			return data, err
		}
	}
	return nil, fmt.Errorf("%s: no %s in it: %w", f.Path, name, fs.ErrNotExist)
}

// dirs are the directories of the tree that are used, in order.
func (f *Found) dirs() []string {
	if f.only != nil {
		return f.only
	}
	dirs := slices.Sorted(maps.Values(f.Layout))
	if len(dirs) == 0 || f.Edit {
		return []string{"."}
	}
	return slices.Compact(dirs)
}

// whole makes one Found of an origin's archives: the first, and those with it.
func whole(c *stack.Component, fs []*Found) *Found {
	f := *fs[0]
	f.With, f.Layout = fs[1:], c.Layout(f.Origin)
	if len(f.With) > 0 {
		var all []string
		for _, x := range fs {
			all = append(all, x.SHA256+" "+x.Origin.Into)
		}
		f.SHA256, _ = archive.SHA256(strings.NewReader(strings.Join(all, "\n")))
	}
	return &f
}

// MissingError says that sources are not there and could not be had.
type MissingError struct{ Text string }

func (e *MissingError) Error() string { return e.Text }

func missing(format string, a ...any) error { return &MissingError{fmt.Sprintf(format, a...)} }

// moveAway says what is wrong with a file that bears the name of one that the lock knows: the user is to look at it.
func moveAway(file, format string, a ...any) error {
	return fmt.Errorf("%s: %w: move the file away, then run \"mage fetch\"", file, fmt.Errorf(format, a...))
}

// archives finds a component's archive among the files already there, without the network. It gives nil and no error
// when there is none. A file of the right name and the wrong content is an error, for it is the user's to look at.
func (s *Set) archives(c *stack.Component) (*Found, error) {
	var wrong error
	for _, o := range c.Origin {
		var fs []*Found
		for _, a := range o.Archives() {
			f, err := s.locateSigned(c.Name, a)
			wrong = errors.Join(wrong, err)
			if f != nil {
				fs = append(fs, f)
			}
		}
		if len(fs) == 1+len(o.With) {
			return whole(c, fs), nil
		}
	}
	return nil, wrong
}

// locateSigned finds an archive with its signature.
func (s *Set) locateSigned(owner string, o *stack.Origin) (*Found, error) {
	f, err := s.locate(owner, o)
	sig := o.Signature()
	if f == nil || sig == nil {
		return f, err
	}
	g, err := s.locate(owner, sig)
	if g == nil {
		return nil, err
	}
	f.Signature = g.Path
	return f, nil
}

// locate finds one archive of a component, or of the stack's packages.
func (s *Set) locate(owner string, o *stack.Origin) (*Found, error) {
	line := s.line(owner, o.Name())
	if line == nil {
		return nil, nil
	}
	p := filepath.Join(s.Dir, o.Name())
	got, err := s.Digests.Of(p)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case got != line.SHA256:
		return nil, moveAway(p, "sha256: got %s, want %s (from the lock)", got, line.SHA256)
	}
	return &Found{Origin: o, Path: p, SHA256: got, sum: got}, nil
}

// Unknown stands for the digest of what the lock does not know.
const Unknown = "unknown"

// Expected is what a fetch from an origin would bring, by the lock.
func Expected(c *stack.Component, o *stack.Origin, l *stack.Lock) *Found {
	var fs []*Found
	for _, a := range o.Archives() {
		f := &Found{Origin: a, SHA256: Unknown}
		sig := a.Signature()
		if line := l.FileFor(c.Name, a.Name()); line != nil && (sig == nil || l.FileFor(c.Name, sig.Name()) != nil) {
			f.SHA256 = line.SHA256
		}
		fs = append(fs, f)
	}
	all := whole(c, fs)
	if slices.ContainsFunc(fs, func(f *Found) bool { return f.SHA256 == Unknown }) {
		all.SHA256 = Unknown
	}
	return all
}

// Get returns a component's archive: one that is there already, or a download; a MissingError where no origin gives it.
// The site's mirror is asked for the files of all origins first. Where the lock is recorded, an origin without a line
// in it is used, and its line added.
func (s *Set) Get(ctx context.Context, c *stack.Component) (*Found, error) {
	if found, err := s.archives(c); found != nil || err != nil {
		return found, err
	}
	a := &asking{}
	for _, a.site = range []bool{true, false} {
		if a.site && (s.Site == "" || s.Record || s.Client == nil) {
			continue
		}
		for _, o := range c.Origin {
			var fs []*Found
			for _, x := range o.Archives() {
				f, err := s.getSigned(ctx, c.Name, x, a)
				if err != nil {
					return nil, err
				}
				if f == nil {
					break
				}
				fs = append(fs, f)
			}
			if len(fs) == 1+len(o.With) {
				return whole(c, fs), nil
			}
		}
	}
	return nil, s.notGiven(a)
}

// asking is what has been asked for a source so far.
type asking struct {
	site  bool     // only the site's mirror is asked
	asked []string // the addresses
	tried []string // what was in vain, and why
}

// note notes what was in vain, once.
func (a *asking) note(at, why string) {
	if text := ui.Masked(at + ": " + why); !slices.Contains(a.tried, text) {
		a.tried = append(a.tried, text)
	}
}

func (s *Store) notGiven(a *asking) error {
	return missing("no origin gave the source; tried:\n    %s\n  carry one of these files into %s and run again",
		strings.Join(a.tried, "\n    "), s.Dir)
}

// getSigned gets an archive, and its signature, which must be good.
func (s *Set) getSigned(ctx context.Context, owner string, o *stack.Origin, a *asking) (*Found, error) {
	sig := o.Signature()
	if sig == nil {
		return s.get(ctx, owner, o, a)
	}
	pinned := map[string]bool{o.Name(): s.line(owner, o.Name()) != nil, sig.Name(): s.line(owner, sig.Name()) != nil}
	f, err := s.get(ctx, owner, o, a)
	if f == nil {
		return nil, err
	}
	g, err := s.get(ctx, owner, sig, a)
	if g == nil {
		return nil, err
	}
	f.Signature = g.Path
	if _, err := s.CheckSignature(f); err != nil {
		s.mu.Lock() // nothing new of it becomes a pin; what was one stays
		l := s.Stack.Lock
		l.File = slices.DeleteFunc(l.File, func(x *stack.LockedFile) bool {
			was, ofThese := pinned[x.Name]
			return x.Component == owner && ofThese && !was
		})
		s.mu.Unlock()
		return nil, err
	}
	return f, nil
}

// get is locate, and a download where nothing is found. Without a file it notes what was tried, and why it was in vain.
func (s *Set) get(ctx context.Context, owner string, o *stack.Origin, a *asking) (*Found, error) {
	name := o.Name()
	defer s.alone(name)() // components may share an archive: the first one fetches it
	if found, err := s.locate(owner, o); found != nil || err != nil {
		return found, err
	}
	line := s.line(owner, name)
	if line == nil && !s.Record {
		if !a.site {
			a.note(name+" ("+o.Kind+")", "the lock has no digest for it (\"mage fetch -record\" would record one)")
		}
		return nil, nil
	}
	p := filepath.Join(s.Dir, name)
	if line == nil { // recorded on first use: a file that the user brought counts too
		if got, err := s.Digests.Of(p); err == nil {
			if err := complete(p, name); err != nil {
				err = fmt.Errorf("%s: not recorded: %w: move the file away, then run \"mage fetch -record\"", p, err)
				return nil, err
			}
			return s.record(owner, o, p, got)
		}
	}
	if s.Client == nil && o.Kind != stack.KindFile {
		a.note(name+" ("+o.Kind+")", "not fetched: OFFLINE")
		return nil, nil
	}
	if came, err := s.ask(ctx, o, line, a); !came || err != nil {
		return nil, err
	}
	got, err := s.Digests.Of(p)
	if err != nil {
		return nil, err
	}
	if line == nil {
		return s.record(owner, o, p, got)
	}
	if line.OnlyComputed() && s.UI != nil {
		s.UI.Line("notice    %s: nobody is known to publish its digest, which was computed from upstream's git", name)
	}
	return &Found{Origin: o, Path: p, SHA256: got, sum: got}, nil
}

// ask asks for an origin's file where it can be had, and reports whether it came: the site's mirror, the origin's own
// addresses, Debian's snapshot service. A place is asked once.
func (s *Set) ask(ctx context.Context, o *stack.Origin, line *stack.LockedFile, a *asking) (bool, error) {
	var urls []string
	if line != nil && s.Client != nil {
		urls = s.AtSite(o.Name(), line.SHA256)
	}
	if !a.site {
		own, err := s.addresses(ctx, o, a.note)
		if err != nil {
			return false, err
		}
		urls = append(urls, own...)
		if line != nil && o.Kind == stack.KindDebian {
			urls = append(urls, s.AtSnapshot(line.SHA1)...)
		}
	}
	for _, u := range urls {
		if slices.Contains(a.asked, u) {
			continue
		}
		a.asked = append(a.asked, u)
		var err error
		if o.Kind == stack.KindGit && u == o.Git {
			err = s.fromGit(ctx, o, line)
		} else { // plain http will do where the lock vouches for the bytes, or upstream's address is not asked
			plain := o.Kind != stack.KindURL || u != o.URL
			err = s.download(ctx, fetch{url: u, name: o.Name(), line: line, plain: plain})
		}
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if err == nil {
			return true, nil
		}
		a.note(shown(u), err.Error())
	}
	return false, nil
}

// addresses are where an origin itself says that its file can be had.
func (s *Set) addresses(ctx context.Context, o *stack.Origin, note func(at, why string)) (urls []string, err error) {
	switch o.Kind {
	case stack.KindFile:
		note(filepath.Join(s.Dir, o.Name()), "not there")
	case stack.KindGit:
		urls = []string{o.Git}
	case stack.KindDebian:
		for _, m := range s.Mirrors.Of(o.Path) {
			urls = append(urls, strings.TrimRight(m, "/")+"/"+o.Path)
		}
		if len(urls) == 0 {
			note(o.Path, "no Debian mirror is known that can have it: set "+origins.SettingOf(o.Path)+"=<base address>")
		}
	case stack.KindModule:
		g, err := s.Online(ctx)
		if err != nil {
			return nil, err
		}
		of, release, _ := strings.Cut(o.Module, "@")
		if of, err = module.EscapePath(of); err != nil {
			return nil, err
		}
		if release, err = module.EscapeVersion(release); err != nil {
			return nil, err
		}
		for _, p := range g.proxies() {
			urls = append(urls, strings.TrimRight(p, "/")+"/"+of+"/@v/"+release+".zip")
		}
		if len(urls) == 0 {
			note(o.Module, "no module proxy is known: set GOPROXY=<address>")
		}
	default:
		urls = []string{o.URL}
	}
	return urls, err
}

// alone waits until nobody else is after a file, and gives what lets the next one.
func (s *Store) alone(name string) func() {
	s.mu.Lock()
	if s.busy == nil {
		s.busy = map[string]*sync.Mutex{}
	}
	m := s.busy[name]
	if m == nil {
		m = &sync.Mutex{}
		s.busy[name] = m
	}
	s.mu.Unlock()
	m.Lock()
	return m.Unlock
}

func (s *Set) line(component, name string) *stack.LockedFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Stack.Lock.FileFor(component, name)
}

func (s *Set) record(owner string, o *stack.Origin, p, sha string) (*Found, error) {
	fi, err := os.Stat(p)
	if err != nil {
		return nil, err
	}
	line := &stack.LockedFile{Component: owner, Name: o.Name(), SHA256: sha, Size: fi.Size()}
	if o.Kind == stack.KindDebian {
		if line.SHA1, err = sha1File(p); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Stack.Lock.File = append(s.Stack.Lock.File, line)
	return &Found{Origin: o, Path: p, SHA256: sha, sum: sha}, nil
}

// FetchAll runs get for every name, width at a time, and returns all errors, each with its name.
func FetchAll(names []string, width int, get func(name string) error) error {
	var wg sync.WaitGroup
	sem := make(chan struct{}, width)
	errs := make([]error, len(names))
	for i, n := range names {
		wg.Go(func() {
			sem <- struct{}{}
			defer func() { <-sem }()
			if err := get(n); err != nil {
				errs[i] = fmt.Errorf("%s: %w", n, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
