package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/origins"
	"drydock/targets/internal/stack"

	"golang.org/x/mod/sumdb/dirhash"
)

// fromGit brings the archive of a git origin into the store.
func (s *Set) fromGit(ctx context.Context, o *stack.Origin, line *stack.LockedFile) (err error) {
	want := fetch{url: o.Git, name: o.Name(), line: line}
	if s.Meter != nil {
		s.Meter.Start(o.Name(), shown(o.Git), want.size())
		defer func() { s.Meter.Done(o.Name(), err) }()
	}
	dir, done, err := s.Scratch("git-")
	if err != nil {
		return err
	}
	defer done()
	file, err := origins.Git(ctx, o, dir)
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if s.Meter != nil {
		s.Meter.Add(o.Name(), fi.Size())
	}
	if err := (&transfer{fetch: want, s: s.Store, f: f}).check(file); err != nil {
		return fmt.Errorf("git archive and gzip of this machine: %w", err)
	}
	return s.keep(file, o.Name())
}

// fromSite asks the site's mirror for a file of a name, and reports whether it came: what is made on this machine
// otherwise, or comes from a module proxy. Only what sum says to be want gets the name.
func (s *Store) fromSite(ctx context.Context, name, want string, sum func(file string) (string, error)) (bool, error) {
	if s.Client == nil || s.Site == "" {
		return false, nil
	}
	defer s.alone(name)()
	check := func(file string) error {
		got, err := sum(file)
		if err == nil && got != want {
			err = fmt.Errorf("got %s, want %s (from the lock)", got, want)
		}
		return err
	}
	if p := filepath.Join(s.Dir, name); exists(p) && check(p) == nil { // another component has brought it
		return true, nil
	}
	for _, u := range s.AtSite(name, "") {
		err := s.download(ctx, fetch{url: u, name: name, plain: true, check: check})
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if err == nil {
			return true, nil
		}
	}
	return false, nil
}

// sumOfTar is the digest of the tar in a .tar.gz.
func sumOfTar(file string) (string, error) {
	r, err := archive.Open(file, "gz")
	if err != nil {
		return "", err
	}
	defer r.Close()
	return archive.SHA256(r)
}

// sumOfModule is the h1: sum of a module's zip.
func sumOfModule(file string) (string, error) { return dirhash.HashZip(file, dirhash.Hash1) }

// Kept are the files in the store that the stack's lock, and that of the advisories, know. The error names all that are
// not what these say.
func (s *Set) Kept(a *stack.Advisories) (files []string, err error) {
	seen := map[string]bool{}
	keep := func(name, want string, sum func(file string) (string, error)) {
		p := filepath.Join(s.Dir, name)
		if seen[name] || !exists(p) {
			return
		}
		seen[name] = true
		got, serr := sum(p)
		if serr == nil && got != want {
			serr = moveAway(p, "got %s, want %s (from the lock)", got, want)
		}
		files, err = append(files, p), errors.Join(err, serr)
	}
	for _, f := range s.Stack.Lock.File {
		keep(f.Name, f.SHA256, s.Digests.Of)
	}
	for _, v := range s.Stack.Lock.Vendor {
		keep(v.Name, v.TarSHA256, s.Digests.OfTar)
	}
	for _, g := range s.Stack.Lock.Go {
		keep(filepath.Base(s.ToolchainFile(g.Version)), g.Sum, s.Digests.OfModule)
	}
	if a != nil {
		keep(a.Name(), a.Sum, s.Digests.OfModule)
	}
	return files, err
}
