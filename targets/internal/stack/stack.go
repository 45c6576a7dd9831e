// Package stack reads what is to be built: a stack file (versions, origins, constraints) and its lock (the digest of
// every byte that enters). It knows the two file formats and nothing else: no disk layout, no host, no compiler.
package stack

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	version "github.com/hashicorp/go-version"
	"golang.org/x/mod/module"
)

// Stack is one pinned set of versions that belong together.
type Stack struct {
	Name    string `toml:"-"`       // the file's name without ".toml", as STACK= selects it
	Version string `toml:"version"` // the release that the package is named after
	// Go constrains the toolchain that compiles the Go components, in hashicorp/go-version's syntax.
	Go string `toml:"go"`
	// Toolchain is the Go release that "mage fetch" brings to a machine where none fits; empty for none.
	Toolchain string `toml:"toolchain"`
	Epoch     int64  `toml:"epoch"` // SOURCE_DATE_EPOCH for every step, in seconds since 1970: the release's date
	// Libc is the C library of all that has C in it: a component, built with kernel headers of its own, or "host", the
	// build host's static one. Empty is "host".
	Libc   string   `toml:"libc"`
	Extras []string `toml:"extras"` // the words for what belongs to the stack and is made only where it is asked for
	Target Target   `toml:"target"` // the machine that will run the outputs
	// Packages are paths of Debian packages of Go libraries below a mirror's base: what the components of a GOPATH
	// import, where an origin strips their vendor/.
	Packages  []string              `toml:"packages"`
	Component map[string]*Component `toml:"component"` // by name: the parts of the stack

	Rows Rows   `toml:"-"` // the components that it can have
	File string `toml:"-"` // the path that the stack was read from
	Lock *Lock  `toml:"-"` // the lock beside it; empty, not nil, where there is none yet
}

// Target describes the host that runs the binaries; it need not be the one that builds them.
type Target struct {
	Kernel string `toml:"kernel"` // the oldest kernel release that the outputs must start on
	Init   string `toml:"init"`   // what starts services there: "sysv" or "systemd"; empty for both
	Cgroup string `toml:"cgroup"` // the layout of control groups there: "v1" or "v2"; empty for either
	// IPTables says whether dockerd makes iptables rules there; without it, the installer looks whether it can.
	IPTables *bool  `toml:"iptables"`
	Storage  string `toml:"storage"` // the storage driver that daemon.json names; empty leaves the choice to dockerd
	Arch     string `toml:"arch"`    // the name of a platform.Arch
}

// Component is one upstream part at one version.
type Component struct {
	Name    string `toml:"-"`
	Version string `toml:"version"`
	// Commit is upstream's commit of that release, at least seven hex digits; empty when it is not known.
	Commit string `toml:"commit"`
	// Go and Toolchain override the stack's for this component.
	Go        string `toml:"go"`
	Toolchain string `toml:"toolchain"`
	// Checkout is a directory in vendor-sources/ that takes the origins' place: the user's own, only read. Where the
	// component has origins too, it counts if it is there.
	Checkout string `toml:"checkout"`
	// Gopath says where the trees of import paths lie below the sources, for a component that is older than modules; an
	// origin of another layout has its own. Empty for a component with a go.mod.
	Gopath map[string]string `toml:"gopath"`
	// Quota keeps dockerd's XFS project quotas, which need cgo and kernel headers. Default true.
	Quota  *bool     `toml:"quota"`
	Vendor *Vendor   `toml:"vendor"` // how a Go vendor tree is restored for origins that strip it
	Origin []*Origin `toml:"origin"` // where the sources can be had, in the order in which they are tried
}

// VersionFile is where the sources of a component say their version.
type VersionFile struct {
	Path string
	// Pattern's group is the version; with Every, each match is one of its numbers.
	Pattern *regexp.Regexp
	Every   bool
}

// Vendor is the instruction for restoring a stripped vendor tree.
type Vendor struct {
	Modfile string `toml:"modfile"` // the module file that holds the dependencies: go.mod (the default) or vendor.mod
	// Replace are go.mod replace directives ("old => new version") for pins that no proxy serves any more.
	Replace []string `toml:"replace"`
	Raise   []Raise  `toml:"raise"` // the least versions of modules, where upstream pins older ones
}

// Kinds of origin.
const (
	KindFile   = "file"   // a file that the user puts into vendor-sources/
	KindDebian = "debian" // a path below a Debian mirror's base
	KindURL    = "url"    // upstream's own address
	KindModule = "module" // a release of a Go module, at a module proxy
	KindGit    = "git"    // a tag of a git repository, which git and gzip of the machine make an archive of
)

// Origin is one place that serves a component's sources, with its own bytes and layout.
type Origin struct {
	Kind   string `toml:"kind"`
	Path   string `toml:"path"`   // below the mirror's base for a Debian origin
	URL    string `toml:"url"`    // upstream's address for an url origin
	Module string `toml:"module"` // the module and its release for a module origin, such as example.org/x@v1.2.3
	// Git is the address or the directory of a git repository; Commit is the whole name of the commit that is wanted,
	// and Tag, where there is one, the tag of it, which says what the archive's bytes are. Prefix is the archive's
	// leading directory, by default the file's name without .tar.gz, and a slash.
	Git    string `toml:"git"`
	Tag    string `toml:"tag"`
	Commit string `toml:"commit"`
	Prefix string `toml:"prefix"`
	// File is the name in vendor-sources/; by default the last element of Path or URL, or <module's
	// name>-<release>.zip.
	File string `toml:"file"`
	// SignedBy is the fingerprint of the OpenPGP key that made upstream's signature of the archive: that of the subkey
	// where a subkey did. The signature lies beside the archive, under its name with ".asc". Empty where there is none
	// to check.
	SignedBy string `toml:"signed_by"`
	// Strip is how many leading directories the archive's names lose. Default 1, or those of the module's own path.
	Strip    *int   `toml:"strip"`
	Vendored bool   `toml:"vendored"` // the archive carries its vendor/ tree
	Into     string `toml:"into"`     // the directory of the tree that the archive is unpacked into; empty for its top
	// With are further archives of the same tree.
	With   []*Origin `toml:"with"`
	Series string    `toml:"series"` // the series file in the tree of the patches that belong to these sources
	// Skip are patches of the series that are left out, by their names in it; Only are all those that are applied.
	Skip []string `toml:"skip"`
	Only []string `toml:"only"`
	// SeriesDirs says where the directories of the tree that the patches are of lie in this one; "" leaves out what is
	// below, "." is all that is not named. The longest name that fits counts; a file may be named, too. Empty for the
	// same tree.
	SeriesDirs map[string]string `toml:"series_dirs"`
	// Gopath overrides the component's.
	Gopath map[string]string `toml:"gopath"`
}

// Name is the origin's file name in vendor-sources/.
func (o *Origin) Name() string {
	switch {
	case o.File != "":
		return o.File
	case o.Path != "":
		return path.Base(o.Path)
	case o.Module != "":
		of, release, _ := strings.Cut(o.Module, "@")
		of, _, _ = module.SplitPathVersion(of)
		return path.Base(of) + "-" + strings.TrimPrefix(release, "v") + ".zip"
	default:
		return path.Base(o.URL)
	}
}

// Archives are the origin's own archive and those with it.
func (o *Origin) Archives() []*Origin { return append([]*Origin{o}, o.With...) }

// Signature is where the signature of the archive can be had; nil where there is none to check.
func (o *Origin) Signature() *Origin {
	if o.SignedBy == "" {
		return nil
	}
	const ext = ".asc"
	s := &Origin{Kind: o.Kind, File: o.Name() + ext}
	if o.Path != "" {
		s.Path = o.Path + ext
	}
	if o.URL != "" {
		s.URL = o.URL + ext
	}
	return s
}

// Files are all that is fetched from an origin: the archives, each with its signature behind it.
func (o *Origin) Files() []*Origin {
	var all []*Origin
	for _, a := range o.Archives() {
		all = append(all, a, a.Signature())
	}
	return slices.DeleteFunc(all, func(o *Origin) bool { return o == nil })
}

// StripCount is the number of leading directories to drop.
func (o *Origin) StripCount() int {
	switch {
	case o.Strip != nil:
		return *o.Strip
	case o.Module != "":
		return 1 + strings.Count(o.Module, "/")
	}
	return 1
}

// Layout is the GOPATH that sources from an origin, or with nil a checkout, are laid out as; empty for modules.
func (c *Component) Layout(o *Origin) map[string]string {
	if o != nil && len(o.Gopath) > 0 {
		return o.Gopath
	}
	return c.Gopath
}

// Package is where one of the stack's packages can be had.
func Package(path string) *Origin { return &Origin{Kind: KindDebian, Path: path, Strip: new(int)} }

// PackageVersions are the releases of the stack's packages by their names.
func (s *Stack) PackageVersions() map[string]string {
	versions := map[string]string{}
	for _, p := range s.Packages {
		if name, rest, ok := strings.Cut(path.Base(p), "_"); ok {
			versions[name], _, _ = strings.Cut(rest, "_")
		}
	}
	return versions
}

// PackageOwner is the component that the lock's lines of packages name.
const PackageOwner = "packages"

// Toolchains are the Go releases that "mage fetch" brings, each once.
func (s *Stack) Toolchains() []string {
	all := []string{s.Toolchain}
	for _, n := range s.Parts() {
		all = append(all, s.Component[n].Toolchain)
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(r string) bool { return r == "" })
}

// WantsQuota says whether dockerd is to be built with project quotas.
func (c *Component) WantsQuota() bool { return c.Quota == nil || *c.Quota }

// GoConstraint is the constraint on the toolchain that compiles component c.
func (s *Stack) GoConstraint(c *Component) string { return cmp.Or(c.Go, s.Go) }

// satisfiable looks for a release that meets c among the bounds that c itself names and their neighbours.
func satisfiable(c string) bool {
	cs, err := version.NewConstraint(c)
	if err != nil {
		return false
	}
	for _, one := range cs {
		v, err := version.NewVersion(strings.TrimLeft(one.String(), "=!<>~ "))
		if err != nil {
			continue
		}
		seg := v.Segments()
		for i := range seg {
			for _, d := range []int{-1, 0, 1} {
				n := slices.Clone(seg)
				if n[i] += d; n[i] < 0 {
					continue
				}
				for j := i + 1; d < 0 && j < len(n); j++ {
					n[j] = 1 << 20
				}
				text := strings.ReplaceAll(strings.Trim(fmt.Sprint(n), "[]"), " ", ".")
				if w, err := version.NewVersion(text); err == nil && cs.Check(w) {
					return true
				}
			}
		}
	}
	return false
}

// Format names an archive's format by its file name: "gz", "xz", "tar", "zip", "deb", or "" for none that is known.
func Format(name string) string {
	switch {
	case strings.HasSuffix(name, ".tar.gz"), strings.HasSuffix(name, ".tgz"):
		return "gz"
	case strings.HasSuffix(name, ".tar.xz"):
		return "xz"
	case strings.HasSuffix(name, ".tar"):
		return "tar"
	case strings.HasSuffix(name, ".zip"):
		return "zip"
	case strings.HasSuffix(name, ".deb"):
		return "deb"
	}
	return ""
}

// HasSeries reports whether patches belong to the origin's sources.
func (o *Origin) HasSeries() bool { return o.Series != "" }
