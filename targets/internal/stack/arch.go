package stack

import (
	"path"
	"slices"
	"strings"

	"drydock/targets/internal/platform"
)

// Arch is the architecture of the machine that will run the outputs.
func (s *Stack) Arch() platform.Arch { return platform.Must(s.Target.Arch) }

// Beside is the path of a file beside the stack's, such as its ".digests": what was seen of another architecture than
// the default one has its name, too.
func (s *Stack) Beside(ending string) string {
	base := strings.TrimSuffix(s.File, ".toml")
	if a := s.Arch().Below(); a != "" {
		base += "." + a
	}
	return base + ending
}

// of returns the origin for an architecture: a package of Debian's for one architecture is there for each, under its
// name and release. The origin itself stays as it is.
func (o *Origin) of(arch platform.Arch) *Origin {
	name := o.Name()
	for _, a := range platform.All() {
		end := "_" + a.Debian + ".deb"
		if a.Name == arch.Name || !strings.HasSuffix(name, end) {
			continue
		}
		now := *o
		for _, field := range []*string{&now.Path, &now.URL, &now.File} {
			if base, ok := strings.CutSuffix(*field, end); ok {
				*field = base + "_" + arch.Debian + ".deb"
			}
		}
		return &now
	}
	return o
}

// Dir is where the stack's outputs, records and logs lie below build/ and output/: its name and, of another
// architecture than the default one, that.
func (s *Stack) Dir() string { return path.Join(s.Name, s.Arch().Below()) }

// Uses reports whether a file of the lock is one of the stack's components' own: that of another architecture is not.
func (s *Stack) Uses(f *LockedFile) bool {
	c := s.Component[f.Component]
	return c != nil && slices.ContainsFunc(c.Origin, func(o *Origin) bool {
		return slices.ContainsFunc(o.Files(), func(x *Origin) bool { return x.Name() == f.Name })
	})
}

// Tag is Dir as one word, for the names of files and in registries.
func (s *Stack) Tag() string { return strings.ReplaceAll(s.Dir(), "/", "-") }
