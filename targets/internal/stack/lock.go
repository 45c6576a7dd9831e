package stack

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Lock holds the digests of a stack's inputs.
type Lock struct {
	File     []*LockedFile     `toml:"file"`
	Vendor   []*LockedVendor   `toml:"vendor"`
	Go       []*LockedGo       `toml:"toolchain"`
	Checkout []*LockedCheckout `toml:"checkout"`
}

// LockedCheckout notes what a checkout was when it was first built. It may go on from there.
type LockedCheckout struct {
	Component string `toml:"component"`
	Name      string `toml:"name"`
	SHA256    string `toml:"sha256"` // the digest of the tree: names, modes and contents
}

// CheckoutFor returns the lock's line for a component's checkout, or nil.
func (l *Lock) CheckoutFor(component string) *LockedCheckout {
	return first(l.Checkout, func(c *LockedCheckout) bool { return c.Component == component })
}

// first returns the first of a list that fits, or nil.
func first[T any](list []*T, fits func(*T) bool) *T {
	if i := slices.IndexFunc(list, fits); i >= 0 {
		return list[i]
	}
	return nil
}

// LockedFile pins one source file of one component.
type LockedFile struct {
	Component string `toml:"component"`
	Name      string `toml:"name"`
	SHA256    string `toml:"sha256"`
	// Size is in bytes; it lets a download show its progress and stop early. It is 0 where only the digest is known.
	Size int64 `toml:"size"`
	// SHA1 is what Debian's snapshot service calls a file that came from Debian. It proves nothing: SHA256 does.
	SHA1 string `toml:"sha1"`
	// Publishers is how many independent packagers publish the same digest of upstream's file; 0 where it was computed
	// from upstream's git alone, nil where it is that of a file that was downloaded.
	Publishers *int `toml:"publishers"`
}

// OnlyComputed reports whether nobody is known to have published the digest: it was computed from upstream's git.
func (f *LockedFile) OnlyComputed() bool { return f.Publishers != nil && *f.Publishers == 0 }

// LockedVendor pins one restored vendor tree, made from the archive whose digest is Source.
type LockedVendor struct {
	Component string `toml:"component"`
	Name      string `toml:"name"`
	Source    string `toml:"source"` // the SHA-256 of the archive that the vendor tree was restored for
	// Also are the digests of further archives, of the same tree but for vendor/, that the vendor tree is for.
	Also []string `toml:"also"`
	// TarSHA256 is the digest of the uncompressed tar: gzip's bytes depend on the Go that wrote them.
	TarSHA256 string   `toml:"tar_sha256"`
	Raise     []string `toml:"raise"` // what the stack asked to be raised in it, Raised what came of that
	Raised    []Raised `toml:"raised"`
}

// of reports whether a vendor tree is one that c asks for.
func (v *LockedVendor) of(c *Component) bool {
	return v.Component == c.Name && slices.Equal(v.Raise, c.Raises())
}

// For reports whether the vendor tree belongs to the source with that digest.
func (v *LockedVendor) For(sourceSHA string) bool {
	return v.Source == sourceSHA || slices.Contains(v.Also, sourceSHA)
}

// LockedGo pins one Go toolchain by its module sum.
type LockedGo struct {
	Version string `toml:"version"`
	Sum     string `toml:"h1"`
}

// GoFor returns the lock's line for a Go release, or nil.
func (l *Lock) GoFor(release string) *LockedGo {
	return first(l.Go, func(g *LockedGo) bool { return g.Version == release })
}

// FileFor returns the lock's line for a file of a component, or nil.
func (l *Lock) FileFor(component, name string) *LockedFile {
	return first(l.File, func(f *LockedFile) bool { return f.Component == component && f.Name == name })
}

// VendorFor returns the lock's line for the vendor tree of a component's archive, or nil.
func (l *Lock) VendorFor(c *Component, sourceSHA string) *LockedVendor {
	return first(l.Vendor, func(v *LockedVendor) bool { return v.of(c) && v.For(sourceSHA) })
}

// VendorOf returns the lock's line for a vendor tree of a component, by the digest of its tar, or nil.
func (l *Lock) VendorOf(c *Component, tarSHA string) *LockedVendor {
	return first(l.Vendor, func(v *LockedVendor) bool { return v.of(c) && v.TarSHA256 == tarSHA })
}

// ParseLock reads a lock's bytes into l and returns all problems that they have.
func ParseLock(data []byte, file string, l *Lock) Problems {
	lines, ps := Decode(data, file, l)
	bad := func(table string, i int, key, format string, a ...any) {
		k := fmt.Sprintf("%s[%d]", table, i)
		line := lines[k]
		if n, ok := lines[k+"."+key]; ok {
			line = n
		}
		ps = append(ps, Problem{file, line, fmt.Sprintf(format, a...)})
	}
	digest := func(table string, i int, key, name, got string) {
		if got == "" {
			bad(table, i, key, "%s %s: %s: missing, want 64 hex digits; run \"mage fetch -record\" to record it",
				table, name, key)
		} else if !hexDigest.MatchString(got) {
			bad(table, i, key, "%s %s: %s: got %q, want 64 hex digits", table, name, key, got)
		}
	}
	plain := func(table string, i int, name string) {
		if !fileName.MatchString(name) {
			bad(table, i, "name", "%s: name: got %q, want a plain file name", table, name)
		}
	}
	said := map[string]saying{}
	once := func(table string, i int, key, subject, value string) {
		line := lines[fmt.Sprintf("%s[%d].%s", table, i, key)]
		if was, ok := said[subject]; !ok {
			said[subject] = saying{line, value}
		} else if was.value != value {
			bad(table, i, key, "%s: got %s here and %s in line %d: one of them is wrong",
				subject, value, was.value, was.line)
		}
	}
	for i, f := range l.File {
		plain("file", i, f.Name)
		digest("file", i, "sha256", f.Name, f.SHA256)
		if _, known := lines[fmt.Sprintf("file[%d].size", i)]; known && f.Size <= 0 {
			bad("file", i, "size", "file %s: size: got %d, want its bytes, or no such line", f.Name, f.Size)
		}
		if f.SHA1 != "" && !hexSHA1.MatchString(f.SHA1) {
			bad("file", i, "sha1", "file %s: sha1: got %q, want 40 hex digits", f.Name, f.SHA1)
		}
		if f.Publishers != nil && *f.Publishers < 0 {
			bad("file", i, "publishers", "file %s: publishers: got %d, want 0 or more", f.Name, *f.Publishers)
		}
		once("file", i, "sha256", "file "+f.Name, f.SHA256)
		once("file", i, "size", "size of file "+f.Name, fmt.Sprint(f.Size))
	}
	for i, v := range l.Vendor {
		plain("vendor", i, v.Name)
		digest("vendor", i, "tar_sha256", v.Name, v.TarSHA256)
		digest("vendor", i, "source", v.Name, v.Source)
		for _, a := range v.Also {
			digest("vendor", i, "also", v.Name, a)
			once("vendor", i, "also", "vendor tree of "+v.Component+" for "+a, v.Name)
		}
		once("vendor", i, "tar_sha256", "vendor "+v.Name, v.TarSHA256)
		once("vendor", i, "name", "vendor tree of "+v.Component+" for "+v.Source, v.Name)
	}
	for i, c := range l.Checkout {
		plain("checkout", i, c.Name)
		digest("checkout", i, "sha256", c.Name, c.SHA256)
		once("checkout", i, "sha256", "checkout of "+c.Component, c.SHA256)
	}
	for i, g := range l.Go {
		if g.Version == "" || !strings.HasPrefix(g.Sum, "h1:") {
			bad("toolchain", i, "h1", "toolchain %q: h1: got %q, want the module's h1: sum", g.Version, g.Sum)
		}
		once("toolchain", i, "h1", "toolchain "+g.Version, g.Sum)
	}
	return ps
}

// saying is what a lock says of something, and where.
type saying struct {
	line  int
	value string
}

// Encode returns the lock's file content, sorted, so that two recordings of the same facts are the same bytes.
func (l *Lock) Encode() []byte {
	slices.SortFunc(l.File, func(a, b *LockedFile) int {
		return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(l.Vendor, func(a, b *LockedVendor) int {
		return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(l.Go, func(a, b *LockedGo) int { return cmp.Compare(a.Version, b.Version) })
	slices.SortFunc(l.Checkout, func(a, b *LockedCheckout) int { return cmp.Compare(a.Component, b.Component) })
	var b strings.Builder
	b.WriteString("# Every byte that enters this stack, by digest. Written by \"mage fetch -record\"; do not edit.\n")
	for _, f := range l.File {
		fmt.Fprintf(&b, "\n[[file]]\ncomponent = %q\nname = %q\nsha256 = %q\n", f.Component, f.Name, f.SHA256)
		if f.Size > 0 {
			fmt.Fprintf(&b, "size = %d\n", f.Size)
		}
		if f.SHA1 != "" {
			fmt.Fprintf(&b, "sha1 = %q\n", f.SHA1)
		}
		if f.Publishers != nil {
			fmt.Fprintf(&b, "publishers = %d\n", *f.Publishers)
		}
	}
	for _, v := range l.Vendor {
		fmt.Fprintf(&b, "\n[[vendor]]\ncomponent = %q\nname = %q\nsource = %q\n", v.Component, v.Name, v.Source)
		if len(v.Also) > 0 {
			fmt.Fprintf(&b, "also = [\n  \"%s\",\n]\n", strings.Join(v.Also, "\",\n  \""))
		}
		fmt.Fprintf(&b, "tar_sha256 = %q\n", v.TarSHA256)
		v.encodeRaises(&b)
	}
	for _, c := range l.Checkout {
		fmt.Fprintf(&b, "\n[[checkout]]\ncomponent = %q\nname = %q\nsha256 = %q\n", c.Component, c.Name, c.SHA256)
	}
	for _, g := range l.Go {
		fmt.Fprintf(&b, "\n[[toolchain]]\nversion = %q\nh1 = %q\n", g.Version, g.Sum)
	}
	return []byte(b.String())
}
