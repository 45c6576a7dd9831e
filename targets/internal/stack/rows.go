package stack

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"drydock/targets/internal/platform"
)

// Row is what this room knows of a component that a stack file can name. Its whole row, and where it comes from, is in
// room recipe.
type Row struct {
	Name     string
	Optional bool // a stack may lack it
	// Extra is the word by which a stack asks for it, where it is made only then; components with the same word go
	// together.
	Extra string
	Needs []string // the components that it is always compiled with
	// Ground says that it takes the place of something of the host's that all C is compiled with: its kernel headers,
	// or, with Libc, its C library, whose name libc = "…" is then.
	Ground, Libc bool
}

// Rows are the components that a stack file can name, in the order in which tables list them.
type Rows []Row

// Names are the components' names.
func (rs Rows) Names() []string {
	return rs.where(func(Row) bool { return true })
}

// where are the names of those that have a property.
func (rs Rows) where(has func(Row) bool) (names []string) {
	for _, r := range rs {
		if has(r) {
			names = append(names, r.Name)
		}
	}
	return names
}

// of is a component's row; empty for one that is not known.
func (rs Rows) of(name string) Row {
	if i := slices.IndexFunc(rs, func(r Row) bool { return r.Name == name }); i >= 0 {
		return rs[i]
	}
	return Row{}
}

// extras are the words for what is made only where a stack asks for it, sorted.
func (rs Rows) extras() (words []string) {
	for _, r := range rs {
		if r.Extra != "" {
			words = append(words, r.Extra)
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// LibcHost is the word for the build host's own C library.
const LibcHost = "host"

// Ground names the components that stand in for the host's C library and kernel headers; none where the stack takes
// those.
func (s *Stack) Ground() []string {
	if !s.OwnLibc() {
		return nil
	}
	return s.Rows.where(func(r Row) bool { return r.Ground })
}

// OwnLibc reports whether the stack brings its C library and kernel headers.
func (s *Stack) OwnLibc() bool { return s.Libc != "" && s.Libc != LibcHost }

// Settings are what one run wants otherwise than a stack's file says.
type Settings struct {
	Arch   string // in place of the file's, as Libc; empty leaves it
	Libc   string
	Extras []string // beside the file's
	// Versions and Commits are those of components whose sources are the user's own, by name.
	Versions, Commits map[string]string
}

// With returns the stack as settings have it. The stack itself stays as it is, and the lock is the same one. An error
// names the setting that cannot be.
func (s *Stack) With(set Settings) (*Stack, error) {
	arch, err := platform.Of(cmp.Or(set.Arch, s.Target.Arch))
	if err != nil {
		return nil, fmt.Errorf("ARCH: %w", err)
	}
	if why := s.libcProblem(set.Libc); why != "" {
		return nil, fmt.Errorf("LIBC: %s", why)
	}
	if err := s.checkExtras(set.Extras); err != nil {
		return nil, fmt.Errorf("EXTRAS: %w", err)
	}
	now := *s
	now.Target.Arch, now.Component = arch.Name, map[string]*Component{}
	now.Libc, now.Extras = cmp.Or(set.Libc, s.Libc), slices.Concat(s.Extras, set.Extras)
	for n, c := range s.Component {
		own := *c
		own.Version, own.Commit = cmp.Or(set.Versions[n], c.Version), cmp.Or(set.Commits[n], c.Commit)
		own.Origin = nil
		for _, o := range c.Origin {
			own.Origin = append(own.Origin, o.of(arch))
		}
		now.Component[n] = &own
	}
	return &now, nil
}

// libcProblem says why the stack cannot have a C library; empty when it can.
func (s *Stack) libcProblem(libc string) string {
	libraries := s.Rows.where(func(r Row) bool { return r.Libc })
	switch {
	case libc == "" || libc == LibcHost:
		return ""
	case !slices.Contains(libraries, libc):
		return fmt.Sprintf("got %q, want %q or %q", libc, strings.Join(libraries, `", "`), LibcHost)
	}
	for _, n := range s.Rows.where(func(r Row) bool { return r.Ground && (!r.Libc || r.Name == libc) }) {
		if s.Component[n] == nil {
			return fmt.Sprintf("got %q, but the stack has no component.%s: want one, or %q", libc, n, LibcHost)
		}
	}
	return ""
}

// Parts are the components that the stack is made of, in the order of its rows: those that it names, without the extras
// that it does not ask for, and without what would stand in for a C library of the host's.
func (s *Stack) Parts() []string {
	return s.Rows.where(func(r Row) bool {
		unused := r.Extra != "" && !slices.Contains(s.Extras, r.Extra) || r.Ground && !s.OwnLibc() ||
			r.Libc && r.Name != s.Libc
		return s.Component[r.Name] != nil && !unused
	})
}

// checkExtras says what is wrong with names of extras: nil when each is one that the stack has components for.
func (s *Stack) checkExtras(words []string) error {
	for _, e := range words {
		parts := s.Rows.where(func(r Row) bool { return r.Extra == e && e != "" })
		if parts == nil {
			return fmt.Errorf("got %q, want some of %s", e, strings.Join(s.Rows.extras(), ", "))
		}
		for _, n := range parts {
			if s.Component[n] == nil {
				return fmt.Errorf("%q: the stack has no [component.%s]", e, n)
			}
		}
	}
	return nil
}

// lacking are the problems of components that are not there: those that every stack has, and those that others need.
func (s *Stack) lacking(bad func(line int, format string, a ...any), at func(keys ...string) int) {
	optional := func(r Row) bool { return r.Optional || r.Ground || r.Extra != "" }
	for _, r := range s.Rows {
		if s.Component[r.Name] == nil && !optional(r) {
			bad(0, "component.%s: missing", r.Name)
		}
		for _, n := range r.Needs {
			if s.Component[r.Name] != nil && s.Component[n] == nil && optional(s.Rows.of(n)) {
				bad(at("component."+r.Name), "component.%s: missing, which %s needs", n, r.Name)
			}
		}
	}
}
