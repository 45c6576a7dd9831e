// Package source turns a line of a lock into a prepared source tree: it finds or downloads the archive, checks it,
// restores a stripped vendor tree, unpacks, and applies the patch series.
package source

import (
	"bytes"
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
	"drydock/targets/internal/stack"
)

// Store is the directory that holds the archives, and the way to get those that it lacks.
type Store struct {
	// Dir is vendor-sources/.
	Dir string
	// Digests remembers the digests of files that did not change.
	Digests *Digests
	// Mirrors are Debian mirrors' bases, in the order in which they are tried.
	Mirrors []string
	// Client makes the requests; nil forbids them.
	Client *http.Client
	// Meter shows what is transferred; it may be nil.
	Meter Meter
	// Backoff is the wait before the first retry; it doubles with each. Zero is one second.
	Backoff time.Duration

	mu        sync.Mutex             // guards a lock that is being recorded
	busy      map[string]*sync.Mutex // by file name
	libraries sync.Mutex             // one at a time restores libraries
	restored  map[string]string      // in this run: the digests of the tars, by file name
	trees     map[string]*Digests    // of checkouts, by directory
}

// Meter is told of transfers as they go on.
type Meter interface {
	// Start names a file and its size in bytes (0 when unknown).
	Start(name string, size int64)
	// Add counts bytes of a file, from the network (or found in a part left by an earlier run).
	Add(name string, n int64)
	// Done ends it.
	Done(name string, err error)
}

// Found is a component's source on this machine: archives whose digests have been checked, or a checkout.
type Found struct {
	Origin *stack.Origin // nil for a checkout
	Path   string        // of the first archive; a checkout's directory
	// SHA256 is the digest of all that Found stands for: the archive's own where it is just one.
	SHA256 string
	// Signature is the path of the archive's signature; empty where the origin names no key.
	Signature string
	// With are the further archives of the tree.
	With []*Found
	// Layout is the GOPATH that the tree is laid out as; empty for modules.
	Layout map[string]string
	// Edit says that it is an open edit: a checkout with patches and libraries in it.
	Edit bool
	only []string // the parts of a directory that are used; by default those of Layout
}

// Checkout says that the source is the user's own directory.
func (f *Found) Checkout() bool { return f.Origin == nil }

// Archives are the archive and those with it.
func (f *Found) Archives() []*Found { return append([]*Found{f}, f.With...) }

// Member gives the content of the file whose name is name below any leading directories.
func (f *Found) Member(name string) ([]byte, error) {
	if !f.Checkout() {
		return archive.Member(f.Path, stack.Format(f.Path), name)
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

// tries is how often one address is asked before the next origin gets its turn.
const tries = 4

// stall is how long a server may send nothing.
const stall = 60 * time.Second

// Locate finds a component's archive among the files already there, without the network. It gives nil and no error
// when there is none. A file of the right name and the wrong content is an error, for it is the user's to look at.
func (s *Store) Locate(c *stack.Component, l *stack.Lock) (*Found, error) {
	var wrong error
	for _, o := range c.Origin {
		var fs []*Found
		for _, a := range o.Archives() {
			f, err := s.locateSigned(c.Name, a, l)
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
func (s *Store) locateSigned(owner string, o *stack.Origin, l *stack.Lock) (*Found, error) {
	f, err := s.locate(owner, o, l)
	sig := o.Signature()
	if f == nil || sig == nil {
		return f, err
	}
	g, err := s.locate(owner, sig, l)
	if g == nil {
		return nil, err
	}
	f.Signature = g.Path
	return f, nil
}

// locate finds one archive of a component, or of the stack's packages.
func (s *Store) locate(owner string, o *stack.Origin, l *stack.Lock) (*Found, error) {
	line := s.line(l, owner, o.Name())
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
		return nil, fmt.Errorf("%s: sha256: got %s, want %s (from the lock): move the file away, then run \"mage fetch\"", p, got, line.SHA256)
	}
	return &Found{Origin: o, Path: p, SHA256: got}, nil
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

// Get is Locate, and a download where nothing is found. With record, an origin without a line in the lock is used and
// its line added to the lock; the caller writes the lock.
func (s *Store) Get(ctx context.Context, c *stack.Component, l *stack.Lock, record bool) (*Found, error) {
	if found, err := s.Locate(c, l); found != nil || err != nil {
		return found, err
	}
	var tried []string
	for _, o := range c.Origin {
		var fs []*Found
		for _, a := range o.Archives() {
			f, why, err := s.getSigned(ctx, c.Name, a, l, record)
			if err != nil {
				return nil, err
			}
			tried = append(tried, why...)
			if f == nil {
				break
			}
			fs = append(fs, f)
		}
		if len(fs) == 1+len(o.With) {
			return whole(c, fs), nil
		}
	}
	return nil, s.missing(tried)
}

func (s *Store) missing(tried []string) error {
	return &MissingError{fmt.Sprintf("no origin gave the source; tried:\n    %s\n  carry one of these files into %s and run again",
		strings.Join(tried, "\n    "), s.Dir)}
}

// getSigned gets an archive, and its signature, which must be good.
func (s *Store) getSigned(ctx context.Context, owner string, o *stack.Origin, l *stack.Lock, record bool) (*Found, []string, error) {
	sig := o.Signature()
	if sig == nil {
		return s.get(ctx, owner, o, l, record)
	}
	pinned := map[string]bool{o.Name(): s.line(l, owner, o.Name()) != nil, sig.Name(): s.line(l, owner, sig.Name()) != nil}
	f, tried, err := s.get(ctx, owner, o, l, record)
	if f == nil {
		return nil, tried, err
	}
	g, more, err := s.get(ctx, owner, sig, l, record)
	if g == nil {
		return nil, append(tried, more...), err
	}
	f.Signature = g.Path
	if _, err := s.CheckSignature(f); err != nil {
		s.mu.Lock() // nothing new of it becomes a pin; what was one stays
		l.File = slices.DeleteFunc(l.File, func(x *stack.LockedFile) bool {
			was, ofThese := pinned[x.Name]
			return x.Component == owner && ofThese && !was
		})
		s.mu.Unlock()
		return nil, nil, err
	}
	return f, nil, nil
}

// get is locate, and a download where nothing is found. Without a file it gives what was tried, and why it was in vain.
func (s *Store) get(ctx context.Context, owner string, o *stack.Origin, l *stack.Lock, record bool) (found *Found, tried []string, err error) {
	name := o.Name()
	defer s.alone(name)() // components may share an archive: the first one fetches it
	if found, err := s.locate(owner, o, l); found != nil || err != nil {
		return found, nil, err
	}
	line := s.line(l, owner, name)
	note := func(at, why string) { tried = append(tried, fmt.Sprintf("%s: %s", at, why)) }
	if line == nil && !record {
		note(name+" ("+o.Kind+")", "the lock has no digest for it (\"mage fetch -record\" would record one)")
		return nil, tried, nil
	}
	p := filepath.Join(s.Dir, name)
	if line == nil { // recorded on first use: a file that the user brought counts too
		if got, err := s.Digests.Of(p); err == nil {
			found, err := s.record(owner, l, o, p, got)
			return found, nil, err
		}
	}
	if o.Kind == stack.KindFile {
		note(p, "not there")
		return nil, tried, nil
	}
	if s.Client == nil {
		note(name+" ("+o.Kind+")", "not fetched: OFFLINE")
		return nil, tried, nil
	}
	urls := []string{o.URL}
	if o.Kind == stack.KindDebian {
		urls = nil
		for _, m := range s.Mirrors {
			urls = append(urls, strings.TrimRight(m, "/")+"/"+o.Path)
		}
		if len(urls) == 0 {
			note(o.Path, "no Debian mirror is known: set DEBIAN_MIRROR=<base address>")
		}
	}
	for _, u := range urls {
		err := s.download(ctx, u, name, line)
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		if err != nil {
			note(u, err.Error())
			continue
		}
		got, err := s.Digests.Of(p)
		if err != nil {
			return nil, nil, err
		}
		if line == nil {
			found, err := s.record(owner, l, o, p, got)
			return found, nil, err
		}
		return &Found{Origin: o, Path: p, SHA256: got}, nil, nil
	}
	return nil, tried, nil
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

func (s *Store) line(l *stack.Lock, component, name string) *stack.LockedFile {
	s.mu.Lock()
	defer s.mu.Unlock()
	return l.FileFor(component, name)
}

func (s *Store) record(owner string, l *stack.Lock, o *stack.Origin, p, sha string) (*Found, error) {
	fi, err := os.Stat(p)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l.File = append(l.File, &stack.LockedFile{Component: owner, Name: o.Name(), SHA256: sha, Size: fi.Size()})
	return &Found{Origin: o, Path: p, SHA256: sha}, nil
}

// download brings one file into the store. Its name appears only after its digest matched (or with none to match).
func (s *Store) download(ctx context.Context, url, name string, line *stack.LockedFile) (err error) {
	part := filepath.Join(s.Dir, "."+name+".part")
	size := int64(0)
	if line != nil {
		size = line.Size
	}
	if s.Meter != nil {
		s.Meter.Start(name, size)
		defer func() { s.Meter.Done(name, err) }()
	}
	wait := s.Backoff
	if wait == 0 {
		wait = time.Second
	}
	for try := 1; ; try++ {
		var again bool
		again, err = s.attempt(ctx, url, name, part, size)
		if err == nil || !again || try == tries {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
			wait *= 2
		}
	}
	if err != nil {
		return err
	}
	got, err := archive.SHA256File(part)
	if err != nil {
		return err
	}
	if line != nil && got != line.SHA256 {
		os.Remove(part)
		return fmt.Errorf("sha256: got %s, want %s", got, line.SHA256)
	}
	f, err := os.OpenFile(part, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(part, filepath.Join(s.Dir, name)); err != nil {
		return err
	}
	return archive.SyncDir(s.Dir)
}

// attempt makes one request, from where the part file ends. It says whether another try may help.
func (s *Store) attempt(ctx context.Context, url, name, part string, size int64) (again bool, err error) {
	f, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return false, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return false, err
	}
	have := fi.Size()
	if size > 0 && have > size { // not a beginning of this file
		have = 0
		if err := f.Truncate(0); err != nil {
			return false, err
		}
	}
	if size > 0 && have == size {
		return false, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alarm := time.AfterFunc(stall, func() { cancel(fmt.Errorf("nothing received for %v", stall)) })
	defer alarm.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	resp, err := s.Client.Do(req)
	if err != nil {
		return true, errors.Join(unwrapURL(err), context.Cause(ctx))
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK:
		if have > 0 { // the server starts again from the beginning
			if err := f.Truncate(0); err != nil {
				return false, err
			}
			have = 0
		}
	case resp.StatusCode == http.StatusPartialContent && strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have)):
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable, resp.StatusCode == http.StatusPartialContent:
		f.Truncate(0)
		return true, errors.New(resp.Status)
	default:
		return resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests, errors.New(resp.Status)
	}
	if s.Meter != nil {
		s.Meter.Add(name, have)
	}
	var body io.Reader = resp.Body
	if size > 0 {
		body = io.LimitReader(body, size-have+1) // one more tells a file that is too long
	}
	n, err := io.Copy(f, &counted{body, func(n int) {
		alarm.Reset(stall)
		if s.Meter != nil {
			s.Meter.Add(name, int64(n))
		}
	}})
	if err != nil {
		return true, errors.Join(unwrapURL(err), context.Cause(ctx))
	}
	if size > 0 && have+n < size {
		return true, fmt.Errorf("ended after %d of %d bytes", have+n, size)
	}
	return false, nil
}

// unwrapURL drops net/http's repetition of the address, which the caller prints already.
func unwrapURL(err error) error {
	if u := errors.Unwrap(err); u != nil {
		return u
	}
	return err
}

type counted struct {
	r   io.Reader
	got func(int)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.got(n)
	return n, err
}

// Mirrors gives the Debian mirrors that this machine's own apt sources name, below etc ("/etc" on a real machine), in
// both of apt's forms; a non-empty override replaces them.
func Mirrors(etc, override string) []string {
	if override != "" {
		return []string{override}
	}
	var found []string
	add := func(u string) {
		u = strings.TrimRight(u, "/")
		if (strings.HasPrefix(u, "http://") || strings.HasPrefix(u, "https://")) && !strings.Contains(u, "security") {
			for _, f := range found {
				if f == u {
					return
				}
			}
			found = append(found, u)
		}
	}
	for _, file := range append([]string{filepath.Join(etc, "apt/sources.list")}, archive.Glob(etc, "apt/sources.list.d/*")...) {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		deb822 := strings.HasSuffix(file, ".sources")
		if !deb822 && strings.HasSuffix(file, "sources.list.d") {
			continue
		}
		for line := range bytes.Lines(data) {
			f := strings.Fields(string(line))
			switch {
			case len(f) == 0 || strings.HasPrefix(f[0], "#"):
			case deb822 && strings.EqualFold(f[0], "URIs:"):
				for _, u := range f[1:] {
					add(u)
				}
			case !deb822 && (f[0] == "deb" || f[0] == "deb-src"):
				for _, u := range f[1:] {
					if strings.Contains(u, "://") {
						add(u)
						break
					}
				}
			}
		}
	}
	return found
}

// FetchAll runs get for every name, some at a time, and gives all errors.
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
