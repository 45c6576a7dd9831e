package source

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/stack"

	version "github.com/hashicorp/go-version"
)

// fits compares what a checkout says of itself with the stack.
func (s *Set) fits(c *stack.Component, found *Found) error {
	r, err := found.Release(c, s.VersionIn(c.Name))
	if err != nil || r.Version == "" {
		return err
	}
	want := version.Must(version.NewVersion(c.Version))
	if got, err := version.NewVersion(r.Version); err == nil && !got.Equal(want) { // else it is no release
		return fmt.Errorf("%s: %s: got %s, want %s: check out that release, or correct component.%s.version in %s",
			s.rel(found.Path), r.File, r.Version, c.Version, c.Name, s.rel(s.Stack.File))
	}
	return nil
}

// Commits are those of the checkouts, by component, from git's metadata where it is there: that is what will be built,
// whatever the stack says.
func (s *Set) Commits() map[string]string {
	all := map[string]string{}
	for _, n := range s.Stack.Parts() {
		c := s.Stack.Component[n]
		if c.Checkout == "" {
			continue
		}
		found := &Found{Path: filepath.Join(s.Dir, c.Checkout)}
		r, err := found.Release(c, s.VersionIn(c.Name))
		if err != nil || r.Commit == "" || c.Commit != "" && strings.HasPrefix(r.Commit, c.Commit) {
			continue
		}
		if all[n] = r.Commit; c.Commit != "" {
			s.UI.Line("notice    %s: %s is at commit %s, the stack says %s: what is built says the first", n,
				s.rel(found.Path), r.Commit[:12], c.Commit)
		}
	}
	return all
}

// NoteCheckouts writes into the lock what the checkouts were at their first build, and tells of those that have moved
// on since. Its errors name the checkouts that could not be recorded.
func (s *Set) NoteCheckouts(sources map[string]*Source) error {
	var first, moved []string
	for _, n := range slices.Sorted(maps.Keys(sources)) {
		src := sources[n]
		if src.Edit {
			s.UI.Line("notice    %s is built from the open edit in %s", n, s.rel(src.Path))
		}
		if !src.Checkout() || src.Edit || src.Found == s.Given[n] {
			continue
		}
		name := s.Stack.Component[n].Checkout
		switch line := s.Stack.Lock.CheckoutFor(n); {
		case line == nil:
			s.Stack.Lock.Checkout = append(s.Stack.Lock.Checkout,
				&stack.LockedCheckout{Component: n, Name: name, SHA256: src.SHA256})
			first = append(first, n)
		case line.SHA256 != src.SHA256:
			moved = append(moved, n)
		}
	}
	if moved != nil {
		s.UI.Line("notice    edited since the first build: the checkouts of %s", strings.Join(moved, ", "))
	}
	if first == nil {
		return nil
	}
	file, err := s.WriteLock()
	if err != nil {
		return fmt.Errorf("record the checkouts of %s\n%w", strings.Join(first, ", "), err)
	}
	s.UI.Line("recorded  the checkouts of %s in %s", strings.Join(first, ", "), file)
	return nil
}

// UnpackToolchains unpacks the stack's Gos whose zips were carried to this machine and are not unpacked yet. A zip that
// is not what the lock says is an error.
func (s *Set) UnpackToolchains() error {
	for _, r := range s.Stack.Toolchains() {
		if exists(s.ToolchainDir(r)) || !exists(s.ToolchainFile(r)) {
			continue
		}
		s.UI.Line("unpack    Go %s", r)
		if err := s.unpackToolchain(r); err != nil {
			return err
		}
	}
	return nil
}
