package forge

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/source"
	"drydock/targets/internal/stack"

	version "github.com/hashicorp/go-version"
)

// locate finds a component's source on this machine: the user's checkout where the stack names one, or an archive. It
// gives nil and no error when there is no archive yet.
func (f *Forge) locate(c *stack.Component) (*source.Found, error) {
	if f.prefix != nil && c.Name == "libseccomp" {
		return f.prefix, nil
	}
	if f.editing {
		if found, err := f.editFound(c); found != nil || err != nil {
			return found, err
		}
	}
	if c.Checkout == "" {
		return f.store.Locate(c, f.Stack.Lock)
	}
	found, err := f.store.Checkout(c)
	if err != nil {
		return nil, err
	}
	return found, f.holds(c, found)
}

// holds compares what a checkout says of itself with the stack.
func (f *Forge) holds(c *stack.Component, found *source.Found) error {
	r, err := found.Release(c)
	if err != nil || r.Version == "" {
		return err
	}
	got, err := version.NewVersion(r.Version)
	if err != nil {
		return nil // no release: nothing to hold
	}
	if want := version.Must(version.NewVersion(c.Version)); !got.Equal(want) {
		return fmt.Errorf("%s: %s: got %s, want %s: check out that release, or correct component.%s.version in %s",
			f.rel(found.Path), r.File, r.Version, c.Version, c.Name, f.rel(f.Stack.File))
	}
	return nil
}

// adoptCommits takes the commits of checkouts from git's metadata, where it is there: that is what will be built,
// whatever the stack says.
func (f *Forge) adoptCommits() {
	for _, n := range f.Stack.Parts() {
		c := f.Stack.Component[n]
		if c.Checkout == "" {
			continue
		}
		found := &source.Found{Path: filepath.Join(f.store.Dir, c.Checkout)}
		r, err := found.Release(c)
		if err != nil || r.Commit == "" {
			continue
		}
		if c.Commit != "" && !strings.HasPrefix(r.Commit, c.Commit) {
			f.UI.Line("notice    %s: %s is at commit %s, the stack says %s: what is built says the first", n, f.rel(found.Path), r.Commit[:12], c.Commit)
		}
		if c.Commit == "" || !strings.HasPrefix(r.Commit, c.Commit) {
			c.Commit = r.Commit
		}
	}
}

// noteCheckouts records what the checkouts were at their first build, and tells of those that have moved on since.
func (f *Forge) noteCheckouts(inputs map[string]*input) error {
	var first, moved []string
	for n, in := range inputs {
		if in.found.Edit {
			f.UI.Line("notice    %s is built from the open edit in %s", n, f.rel(in.found.Path))
		}
		if !in.found.Checkout() || in.found.Edit || in.found == f.prefix {
			continue
		}
		name := f.Stack.Component[n].Checkout
		switch line := f.Stack.Lock.CheckoutFor(n); {
		case line == nil:
			f.Stack.Lock.Checkout = append(f.Stack.Lock.Checkout, &stack.LockedCheckout{Component: n, Name: name, SHA256: in.found.SHA256})
			first = append(first, n)
		case line.SHA256 != in.found.SHA256:
			moved = append(moved, n)
		}
	}
	slices.Sort(moved)
	if moved != nil {
		f.UI.Line("notice    edited since the first build: the checkouts of %s", strings.Join(moved, ", "))
	}
	if first == nil {
		return nil
	}
	slices.Sort(first)
	file, err := f.writeLock()
	if err != nil {
		return errors.Join(fmt.Errorf("record the checkouts of %s", strings.Join(first, ", ")), err)
	}
	f.UI.Line("recorded  the checkouts of %s in %s", strings.Join(first, ", "), f.rel(file))
	return nil
}
