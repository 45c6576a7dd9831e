package stack

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"drydock/targets/internal/archive"

	"github.com/pelletier/go-toml/v2"
)

// Recorded are the digests of what some toolchain made of a stack, twice and bit for bit the same: the file
// <stack>.digests beside the stack file.
type Recorded struct {
	Build []*RecordedBuild `toml:"build"`
}

// RecordedBuild is one component by one toolchain.
type RecordedBuild struct {
	Component string `toml:"component"`
	// Go and CC are the identities of what compiled it; empty for what it does not need.
	Go    string            `toml:"go"`
	CC    string            `toml:"cc"`
	Key   string            `toml:"key"`   // the digest of all inputs
	Files map[string]string `toml:"files"` // the SHA-256 of its files, by name
}

// LoadRecorded reads the file; none is no error, and what is wrong with one names it.
func LoadRecorded(file string) (*Recorded, error) {
	data, err := archive.ReadFile(file, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return &Recorded{}, nil
	}
	var r Recorded
	if err == nil {
		err = toml.Unmarshal(data, &r)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &r, nil
}

// Put adds a build, in place of one of the same component by the same toolchain.
func (r *Recorded) Put(b *RecordedBuild) {
	r.Build = slices.DeleteFunc(r.Build, func(o *RecordedBuild) bool { return o.by(b.Component, b.Go, b.CC) })
	r.Build = append(r.Build, b)
}

// Find returns the build of a component by that toolchain; nil when there is none.
func (r *Recorded) Find(component, goID, cc string) *RecordedBuild {
	return first(r.Build, func(b *RecordedBuild) bool { return b.by(component, goID, cc) })
}

func (b *RecordedBuild) by(component, goID, cc string) bool {
	return b.Component == component && b.Go == goID && b.CC == cc
}

// Of lists the builds of a component.
func (r *Recorded) Of(component string) []*RecordedBuild {
	return slices.DeleteFunc(slices.Clone(r.Build), func(b *RecordedBuild) bool { return b.Component != component })
}

// Encode writes the file, in an order of its own.
func (r *Recorded) Encode() []byte {
	slices.SortFunc(r.Build, func(a, b *RecordedBuild) int {
		return cmp.Or(cmp.Compare(a.Go, b.Go), cmp.Compare(a.CC, b.CC), cmp.Compare(a.Component, b.Component))
	})
	var s strings.Builder
	s.WriteString("# What the toolchains made of this stack, twice and bit for bit the same. " +
		"Written by \"mage reproduce -record\".\n")
	for _, b := range r.Build {
		fmt.Fprintf(&s, "\n[[build]]\ncomponent = %q\ngo = %q\ncc = %q\nkey = %q\n[build.files]\n",
			b.Component, b.Go, b.CC, b.Key)
		for _, n := range slices.Sorted(maps.Keys(b.Files)) {
			fmt.Fprintf(&s, "%q = %q\n", n, b.Files[n])
		}
	}
	return []byte(s.String())
}
