package engine

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/recipe"
	"drydock/targets/internal/source"
	"drydock/targets/internal/stack"

	version "github.com/hashicorp/go-version"
)

// locate finds a component's source on this machine: the user's checkout where the stack names one, or an archive. It
// gives nil and no error when there is no archive yet.
func (e *Engine) locate(c *stack.Component) (*source.Found, error) {
	if given := e.given(c.Name); given != nil {
		return given, nil
	}
	if e.editing {
		if found, err := e.editFound(c); found != nil || err != nil {
			return found, err
		}
	}
	if c.Checkout == "" {
		return e.store.Locate(c, e.Stack.Lock)
	}
	found, err := e.store.Checkout(c)
	if err != nil {
		return nil, err
	}
	return found, e.holds(c, found)
}

// holds compares what a checkout says of itself with the stack.
func (e *Engine) holds(c *stack.Component, found *source.Found) error {
	r, err := found.Release(c, recipe.Row(c.Name).VersionIn)
	if err != nil || r.Version == "" {
		return err
	}
	got, err := version.NewVersion(r.Version)
	if err != nil {
		return nil // no release: nothing to hold
	}
	if want := version.Must(version.NewVersion(c.Version)); !got.Equal(want) {
		return fmt.Errorf("%s: %s: got %s, want %s: check out that release, or correct component.%s.version in %s",
			e.rel(found.Path), r.File, r.Version, c.Version, c.Name, e.rel(e.Stack.File))
	}
	return nil
}

// adoptCommits takes the commits of checkouts from git's metadata, where it is there: that is what will be built,
// whatever the stack says.
func (e *Engine) adoptCommits() {
	for _, n := range e.Stack.Parts() {
		c := e.Stack.Component[n]
		if c.Checkout == "" {
			continue
		}
		found := &source.Found{Path: filepath.Join(e.store.Dir, c.Checkout)}
		r, err := found.Release(c, recipe.Row(c.Name).VersionIn)
		if err != nil || r.Commit == "" {
			continue
		}
		if c.Commit != "" && !strings.HasPrefix(r.Commit, c.Commit) {
			e.UI.Line("notice    %s: %s is at commit %s, the stack says %s: what is built says the first", n, e.rel(found.Path), r.Commit[:12], c.Commit)
		}
		if c.Commit == "" || !strings.HasPrefix(r.Commit, c.Commit) {
			c.Commit = r.Commit
		}
	}
}

// noteCheckouts records what the checkouts were at their first build, and tells of those that have moved on since.
func (e *Engine) noteCheckouts(inputs map[string]*input) error {
	var first, moved []string
	for n, in := range inputs {
		if in.found.Edit {
			e.UI.Line("notice    %s is built from the open edit in %s", n, e.rel(in.found.Path))
		}
		if !in.found.Checkout() || in.found.Edit || in.found == e.prefix {
			continue
		}
		name := e.Stack.Component[n].Checkout
		switch line := e.Stack.Lock.CheckoutFor(n); {
		case line == nil:
			e.Stack.Lock.Checkout = append(e.Stack.Lock.Checkout, &stack.LockedCheckout{Component: n, Name: name, SHA256: in.found.SHA256})
			first = append(first, n)
		case line.SHA256 != in.found.SHA256:
			moved = append(moved, n)
		}
	}
	slices.Sort(moved)
	if moved != nil {
		e.UI.Line("notice    edited since the first build: the checkouts of %s", strings.Join(moved, ", "))
	}
	if first == nil {
		return nil
	}
	slices.Sort(first)
	file, err := e.writeLock()
	if err != nil {
		return errors.Join(fmt.Errorf("record the checkouts of %s", strings.Join(first, ", ")), err)
	}
	e.UI.Line("recorded  the checkouts of %s in %s", strings.Join(first, ", "), e.rel(file))
	return nil
}
