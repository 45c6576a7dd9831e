// Package stack reads what is to be built: a stack file (versions, origins, constraints) and its lock (the digest of
// every byte that enters). It knows the two file formats and nothing else: no disk layout, no host, no compiler.
package stack

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/ui"

	version "github.com/hashicorp/go-version"
	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
	"golang.org/x/mod/module"
)

// Stack is one pinned set of versions that belong together.
type Stack struct {
	// Name is the file's name without ".toml", as STACK= selects it.
	Name string `toml:"-"`
	// Version is the release that the package is named after.
	Version string `toml:"version"`
	// Go constrains the toolchain that compiles the Go components, in hashicorp/go-version's syntax.
	Go string `toml:"go"`
	// Toolchain is the Go release that "mage fetch" brings to a machine where none fits; empty for none.
	Toolchain string `toml:"toolchain"`
	// Epoch is SOURCE_DATE_EPOCH for every step, in seconds since 1970: the release's date.
	Epoch int64 `toml:"epoch"`
	// Libc is the C library of all that has C in it: a component, built with kernel headers of its own, or "host", the build
	// host's static one. Empty is "host".
	Libc string `toml:"libc"`
	// Extras are the words for what belongs to the stack and is made only where it is asked for.
	Extras []string `toml:"extras"`
	// Target is the machine that will run the outputs.
	Target Target `toml:"target"`
	// Packages are paths of Debian packages of Go libraries below a mirror's base: what the components of a GOPATH
	// import, where an origin strips their vendor/.
	Packages []string `toml:"packages"`
	// Component has one entry for each part of the stack.
	Component map[string]*Component `toml:"component"`

	// Rows are the components that it can have.
	Rows Rows `toml:"-"`
	// File is the path that the stack was read from.
	File string `toml:"-"`
	// Lock is the lock beside it; empty, not nil, where there is none yet.
	Lock *Lock `toml:"-"`
}

// Target describes the host that runs the binaries; it need not be the one that builds them.
type Target struct {
	// Kernel is the oldest kernel release that the outputs must start on.
	Kernel string `toml:"kernel"`
	// Init is what starts services there: "sysv" or "systemd"; empty for both.
	Init string `toml:"init"`
	// Cgroup is the layout of control groups there: "v1" or "v2"; empty for either.
	Cgroup string `toml:"cgroup"`
	// IPTables says whether dockerd makes iptables rules there; without it, the installer looks whether it can.
	IPTables *bool `toml:"iptables"`
	// Storage is the storage driver that daemon.json names; empty leaves the choice to dockerd.
	Storage string `toml:"storage"`
	// Arch is a GOARCH. Only amd64 has recipes.
	Arch string `toml:"arch"`
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
	// Checkout is a directory in vendor-sources/ that takes the origins' place: the user's own, only read.
	Checkout string `toml:"checkout"`
	// Gopath says where the trees of import paths lie below the sources, for a component that is older than modules; an
	// origin of another layout has its own. Empty for a component with a go.mod.
	Gopath map[string]string `toml:"gopath"`
	// Quota keeps dockerd's XFS project quotas, which need cgo and kernel headers. Default true.
	Quota *bool `toml:"quota"`
	// Vendor says how a Go vendor tree is restored for origins that strip it.
	Vendor *Vendor `toml:"vendor"`
	// Origin lists where the sources can be had, in the order in which they are tried.
	Origin []*Origin `toml:"origin"`
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
	// Modfile is the module file that holds the dependencies: go.mod (the default) or vendor.mod.
	Modfile string `toml:"modfile"`
	// Replace are go.mod replace directives ("old => new version") for pins that no proxy serves any more.
	Replace []string `toml:"replace"`
	// Raise are the least versions of modules, where upstream pins older ones.
	Raise []Raise `toml:"raise"`
}

// Kinds of origin.
const (
	KindFile   = "file"   // a file that the user puts into vendor-sources/
	KindDebian = "debian" // a path below a Debian mirror's base
	KindURL    = "url"    // upstream's own address
	KindModule = "module" // a release of a Go module, at a module proxy
)

// Origin is one place that serves a component's sources, with its own bytes and layout.
type Origin struct {
	Kind string `toml:"kind"`
	// Path is below the mirror's base for a Debian origin.
	Path string `toml:"path"`
	// URL is upstream's address for an url origin.
	URL string `toml:"url"`
	// Module is the module and its release for a module origin, such as example.org/x@v1.2.3.
	Module string `toml:"module"`
	// File is the name in vendor-sources/; by default the last element of Path or URL, or <module's name>-<release>.zip.
	File string `toml:"file"`
	// SignedBy is the fingerprint of the OpenPGP key that made upstream's signature of the archive: that of the subkey where a
	// subkey did. The signature lies beside the archive, under its name with ".asc". Empty where there is none to check.
	SignedBy string `toml:"signed_by"`
	// Strip is the number of leading directories that the archive's names lose. Default 1, or those of the module's own path.
	Strip *int `toml:"strip"`
	// Vendored says that the archive carries its vendor/ tree.
	Vendored bool `toml:"vendored"`
	// Into is the directory of the tree that the archive is unpacked into; empty for its top.
	Into string `toml:"into"`
	// With are further archives of the same tree.
	With []*Origin `toml:"with"`
	// Series is the series file in the tree of the patches that belong to these sources.
	Series string `toml:"series"`
	// Skip are patches of the series that are left out, by their names in it; Only are those that are applied, and no others.
	Skip []string `toml:"skip"`
	Only []string `toml:"only"`
	// SeriesDirs says where the directories of the tree that the patches are of lie in this one; "" leaves out what is below,
	// "." is all that is not named. The longest name that fits counts; a file may be named, too. Empty for the same tree.
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
		all = append(all, a)
		if s := a.Signature(); s != nil {
			all = append(all, s)
		}
	}
	return all
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
func Package(path string) *Origin { return &Origin{Kind: KindDebian, Path: path} }

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
	// SHA256 is the digest of the tree: names, modes and contents.
	SHA256 string `toml:"sha256"`
}

// CheckoutFor gives the lock's line for a component's checkout, or nil.
func (l *Lock) CheckoutFor(component string) *LockedCheckout {
	for _, c := range l.Checkout {
		if c.Component == component {
			return c
		}
	}
	return nil
}

// LockedFile pins one source file of one component.
type LockedFile struct {
	Component string `toml:"component"`
	Name      string `toml:"name"`
	SHA256    string `toml:"sha256"`
	// Size is in bytes; it lets a download show its progress and stop early.
	Size int64 `toml:"size"`
}

// LockedVendor pins one restored vendor tree, made from the archive whose digest is Source.
type LockedVendor struct {
	Component string `toml:"component"`
	Name      string `toml:"name"`
	// Source is the SHA-256 of the archive that the vendor tree was restored for.
	Source string `toml:"source"`
	// TarSHA256 is the digest of the uncompressed tar: gzip's bytes depend on the Go that wrote them.
	TarSHA256 string `toml:"tar_sha256"`
	// Raise is what the stack asked to be raised in it, Raised what came of that.
	Raise  []string `toml:"raise"`
	Raised []Raised `toml:"raised"`
}

// of reports whether a vendor tree is one that c asks for.
func (v *LockedVendor) of(c *Component) bool {
	return v.Component == c.Name && slices.Equal(v.Raise, c.Raises())
}

// LockedGo pins one Go toolchain by its module sum.
type LockedGo struct {
	Version string `toml:"version"`
	Sum     string `toml:"h1"`
}

// GoFor gives the lock's line for a Go release, or nil.
func (l *Lock) GoFor(release string) *LockedGo {
	for _, g := range l.Go {
		if g.Version == release {
			return g
		}
	}
	return nil
}

// FileFor gives the lock's line for a file of a component, or nil.
func (l *Lock) FileFor(component, name string) *LockedFile {
	for _, f := range l.File {
		if f.Component == component && f.Name == name {
			return f
		}
	}
	return nil
}

// VendorFor gives the lock's line for the vendor tree of a component's archive, or nil.
func (l *Lock) VendorFor(c *Component, sourceSHA string) *LockedVendor {
	for _, v := range l.Vendor {
		if v.of(c) && v.Source == sourceSHA {
			return v
		}
	}
	return nil
}

// Problems are all that is wrong with a file, in the file's order.
type Problems []Problem

// Problem is one thing that is wrong at one place.
type Problem struct {
	File string
	Line int // from 1; 0 where the file as a whole is meant
	Text string
}

func (p Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

func (ps Problems) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d problem(s) in the stack's files:", len(ps))
	for _, p := range ps {
		b.WriteString("\n  " + p.Error())
	}
	return b.String()
}

// List gives the names of the stacks in dir, sorted.
func List(dir string) ([]string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), ".toml"); ok && isStack(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// maxFile is the size, in bytes, up to which a stack file or a lock is read. The largest lock has 31 kB.
const maxFile = 4 << 20

// Load reads and validates dir/name.toml and, where it exists, dir/name.lock; rows are the components that it can name. An error that comes from the files'
// content is a Problems with all that is wrong; an unknown name lists the known ones.
func Load(dir, name string, rows Rows) (*Stack, error) {
	file := filepath.Join(dir, name+".toml")
	data, err := archive.ReadFile(file, maxFile)
	if errors.Is(err, os.ErrNotExist) || filepath.Base(name) != name {
		names, _ := List(dir)
		return nil, fmt.Errorf("stack %q: no such file %s.toml in %s; known stacks: %s (select one with STACK=<name>)",
			name, name, dir, strings.Join(names, ", "))
	} else if err != nil {
		return nil, err
	}
	s := &Stack{Name: name, File: file, Lock: &Lock{}, Rows: rows}
	ps := Parse(data, file, s)

	lockFile := filepath.Join(dir, name+".lock")
	if data, err := archive.ReadFile(lockFile, maxFile); err == nil {
		ps = append(ps, ParseLock(data, lockFile, s.Lock)...)
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if len(ps) > 0 {
		return nil, ps
	}
	return s, nil
}

// decode unmarshals strictly and gives the line of every key.
func decode(data []byte, file string, v any) (map[string]int, Problems) {
	lines := keyLines(data)
	dec := toml.NewDecoder(strings.NewReader(string(data))).DisallowUnknownFields()
	err := dec.Decode(v)
	var strict *toml.StrictMissingError
	var de *toml.DecodeError
	switch {
	case err == nil:
		return lines, nil
	case errors.As(err, &strict):
		var ps Problems
		for _, e := range strict.Errors {
			row, _ := e.Position()
			ps = append(ps, Problem{file, row, fmt.Sprintf("unknown key %q; see README.md for the keys of a stack", strings.Join(e.Key(), "."))})
		}
		return lines, ps
	case errors.As(err, &de):
		row, _ := de.Position()
		return lines, Problems{{file, row, strings.TrimPrefix(de.Error(), "toml: ")}}
	default:
		return lines, Problems{{file, 0, err.Error()}}
	}
}

// keyLines maps "table.key" to its line, with "[i]" behind the name of an array table, and for the elements of an array.
func keyLines(data []byte) map[string]int {
	lines := map[string]int{}
	count := map[string]int{}
	var p unstable.Parser
	p.Reset(data)
	prefix := ""
	for p.NextExpression() {
		e := p.Expression()
		var parts []string
		line := 0
		for it := e.Key(); it.Next(); {
			n := it.Node()
			if line == 0 {
				line = p.Shape(n.Raw).Start.Line
			}
			parts = append(parts, string(n.Data))
		}
		key := strings.Join(parts, ".")
		switch e.Kind {
		case unstable.Table:
			prefix = key
			lines[prefix] = line
		case unstable.ArrayTable:
			prefix = fmt.Sprintf("%s[%d]", key, count[key])
			count[key]++
			lines[prefix] = line
		case unstable.KeyValue:
			if prefix != "" {
				key = prefix + "." + key
			}
			lines[key] = line
			for it, i := e.Value().Children(), 0; e.Value().Kind == unstable.Array && it.Next(); i++ {
				if raw := it.Node().Raw; raw.Length > 0 {
					lines[fmt.Sprintf("%s[%d]", key, i)] = p.Shape(raw).Start.Line
				}
			}
		}
	}
	return lines
}

var (
	hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)
	commitRE  = regexp.MustCompile(`^[0-9a-f]{7,40}$`)
	// A fingerprint of OpenPGP's version 4 keys, or of version 6.
	fingerprint = regexp.MustCompile(`^[0-9A-F]{40}([0-9A-F]{24})?$`)
	fileName    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._~+@-]*$`)
)

// Parse reads a stack file's bytes into s, which has its Rows, and gives all problems that they have.
func Parse(data []byte, file string, s *Stack) Problems {
	lines, ps := decode(data, file, s)
	if len(ps) > 0 {
		return ps
	}
	at := func(keys ...string) int { // the first key that the file has
		for _, k := range keys {
			if n, ok := lines[k]; ok {
				return n
			}
		}
		return 0
	}
	bad := func(line int, format string, a ...any) {
		ps = append(ps, Problem{file, line, fmt.Sprintf(format, a...)})
	}
	wantVersion := func(v, key, table string) {
		if v == "" {
			bad(at(key, table), "%s: missing, want a release such as 1.2.3", key)
		} else if _, err := version.NewSemver(v); err != nil || v[0] == 'v' {
			bad(at(key), "%s: got %q, want a release such as 1.2.3", key, v)
		}
	}
	wantConstraint := func(c, key string) {
		if c == "" {
			return
		}
		if _, err := version.NewConstraint(c); err != nil {
			bad(at(key), "%s: got %q, want a constraint such as \">= 1.21, < 1.30\"", key, c)
		} else if !satisfiable(c) {
			bad(at(key), "%s: got %q, which no release can meet", key, c)
		}
	}
	wantVersion(s.Version, "version", "")
	wantVersion(s.Target.Kernel, "target.kernel", "target")
	if s.Target.Arch != "amd64" {
		bad(at("target.arch", "target"), "target.arch: got %q, want \"amd64\" (the only one with recipes)", s.Target.Arch)
	}
	if s.Go == "" {
		bad(0, "go: missing, want a constraint such as \">= 1.21\"")
	}
	wantConstraint(s.Go, "go")
	wantToolchain := func(release, constraint, key string) {
		if release == "" {
			return
		}
		wantVersion(release, key, "")
		if c, err := version.NewConstraint(constraint); err == nil {
			if v, err := version.NewVersion(release); err == nil && !c.Check(v) {
				bad(at(key), "%s: got %q, want a release that meets go = %q", key, release, constraint)
			}
		}
	}
	wantToolchain(s.Toolchain, s.Go, "toolchain")
	for _, p := range s.Packages {
		if o := Package(p); !isPoolPath(p) || Format(o.Name()) != "deb" || !fileName.MatchString(o.Name()) {
			bad(at("packages"), "packages: got %q, want a path below a mirror's base, such as pool/main/g/golang-x/golang-x-dev_1.0-1_all.deb", p)
		}
	}
	wantGopath := func(layout map[string]string, line int, key string) {
		for _, imp := range slices.Sorted(maps.Keys(layout)) {
			if module.CheckImportPath(imp) != nil || !filepath.IsLocal(layout[imp]) {
				bad(line, "%s: got %q = %q, want an import path and a directory of the tree (\".\" for all of it)", key, imp, layout[imp])
			}
		}
	}
	for _, k := range []struct {
		key, got string
		want     []string
	}{{"init", s.Target.Init, []string{"", "sysv", "systemd"}}, {"cgroup", s.Target.Cgroup, []string{"", "v1", "v2"}}} {
		if !slices.Contains(k.want, k.got) {
			bad(at("target."+k.key), "target.%s: got %q, want %q or %q", k.key, k.got, k.want[1], k.want[2])
		}
	}
	if why := s.libcProblem(s.Libc); why != "" {
		bad(at("libc"), "libc: %s", why)
	}
	if drivers := []string{"", "overlay2", "overlay", "fuse-overlayfs", "btrfs", "zfs", "devicemapper", "aufs", "vfs"}; !slices.Contains(drivers, s.Target.Storage) {
		bad(at("target.storage"), "target.storage: got %q, want one of %s", s.Target.Storage, strings.Join(drivers[1:], ", "))
	}
	if s.Epoch <= 0 {
		bad(at("epoch"), "epoch: got %d, want the release's date in seconds since 1970", s.Epoch)
	}
	s.lacking(bad, at)
	if err := s.CheckExtras(s.Extras); err != nil {
		bad(at("extras"), "extras: %s", err)
	}
	for name, c := range s.Component {
		t := "component." + name
		c.Name = name
		if s.Rows.of(name).Name == "" {
			bad(at(t), "%s: unknown component, want one of %s", t, strings.Join(s.Rows.Names(), ", "))
		}
		wantVersion(c.Version, t+".version", t)
		wantConstraint(c.Go, t+".go")
		wantToolchain(c.Toolchain, s.GoConstraint(c), t+".toolchain")
		wantGopath(c.Gopath, at(t+".gopath", t), t+".gopath")
		if c.Checkout != "" && !fileName.MatchString(c.Checkout) {
			bad(at(t+".checkout"), "%s.checkout: got %q, want the name of a directory in vendor-sources", t, c.Checkout)
		}
		if c.Commit != "" && !commitRE.MatchString(c.Commit) {
			bad(at(t+".commit"), "%s.commit: got %q, want 7 to 40 hex digits, or no such line when it is unknown", t, c.Commit)
		}
		if c.Vendor != nil && !slices.Contains([]string{"", "go.mod", "vendor.mod"}, c.Vendor.Modfile) {
			bad(at(t+".vendor.modfile", t+".vendor"), "%s.vendor.modfile: got %q, want \"go.mod\" or \"vendor.mod\"", t, c.Vendor.Modfile)
		}
		if c.Vendor != nil {
			for _, r := range c.Vendor.Replace {
				if l, _, ok := strings.Cut(r, "=>"); !ok || strings.TrimSpace(l) == "" || strings.ContainsAny(r, "\n()") {
					bad(at(t+".vendor.replace", t+".vendor"), "%s.vendor.replace: got %q, want \"module => module version\"", t, r)
				}
			}
		}
		if c.Vendor != nil {
			for i := range c.Vendor.Raise {
				r := &c.Vendor.Raise[i]
				line := at(fmt.Sprintf("%s.vendor.raise[%d]", t, i), t+".vendor.raise", t+".vendor")
				r.At = fmt.Sprintf("%s:%d", file, line)
				if why := raiseProblem(c, *r); why != "" {
					bad(line, "%s.vendor.raise: got %q: %s", t, strings.TrimSuffix(r.String(), "@"), why)
				}
			}
		}
		if len(c.Origin) == 0 && c.Checkout == "" {
			bad(at(t), "%s.origin: missing, want at least one [[%s.origin]], or a checkout", t, t)
		}
		var origins []*Origin
		var tables []string // where they stand
		for i, o := range c.Origin {
			origins, tables = append(origins, o), append(tables, fmt.Sprintf("%s.origin[%d]", t, i))
			for _, w := range o.With {
				origins, tables = append(origins, w), append(tables, fmt.Sprintf("%s.origin[%d]", t, i))
				if w.ofSeries() || w.Vendored || len(w.With) > 0 || len(w.Gopath) > 0 {
					bad(at(tables[len(tables)-1]), "%s.origin.with: got a series, skip, only, series_dirs, gopath, vendored or with of its own, want these in the origin", t)
				}
			}
		}
		for i, o := range origins {
			ot := tables[i]
			wantGopath(o.Gopath, at(ot+".gopath", ot), t+".origin.gopath")
			for key, p := range map[string]string{"into": o.Into, "series": o.Series} {
				if p != "" && (!filepath.IsLocal(p) || key == "series" && path.Base(p) != "series") {
					bad(at(ot+"."+key, ot), "%s.origin.%s: got %q, want a path in the tree (of a file named series)", t, key, p)
				}
			}
			if why := seriesProblem(o); why != "" {
				bad(at(ot+".only", ot+".series_dirs", ot+".skip", ot), "%s.origin.%s", t, why)
			}
			switch {
			case o.Kind == KindFile && o.File == "":
				bad(at(ot), "%s.origin: kind \"file\" wants file = \"<name in vendor-sources>\"", t)
			case o.Kind == KindDebian && !isPoolPath(o.Path):
				bad(at(ot+".path", ot), "%s.origin: path: got %q, want a path below a mirror's base, such as pool/main/r/runc/…", t, o.Path)
			case o.Kind == KindURL && urlProblem(o.URL) != "":
				bad(at(ot+".url", ot), "%s.origin: url: got %q, want %s", t, ui.Masked(o.URL), urlProblem(o.URL))
			case o.Kind == KindModule && moduleProblem(o) != "":
				bad(at(ot+".module", ot), "%s.origin: module: got %q, want %s", t, o.Module, moduleProblem(o))
			case !slices.Contains([]string{KindFile, KindDebian, KindURL, KindModule}, o.Kind):
				bad(at(ot+".kind", ot), "%s.origin: kind: got %q, want \"file\", \"debian\", \"url\" or \"module\"", t, o.Kind)
			case !fileName.MatchString(o.Name()) || Format(o.Name()) == "":
				bad(at(ot+".file", ot), "%s.origin: file: got %q, want a plain name that ends in .tar.gz, .tgz, .tar.xz, .tar, .zip or .deb", t, o.Name())
			case o.SignedBy != "" && !fingerprint.MatchString(o.SignedBy):
				bad(at(ot+".signed_by", ot), "%s.origin: signed_by: got %q, want the 40 hex digits, in upper case, of the fingerprint of the key that signs", t, o.SignedBy)
			case o.StripCount() < 0 || o.StripCount() > 8:
				bad(at(ot+".strip", ot), "%s.origin: strip: got %d, want 0 to 8", t, o.StripCount())
			}
		}
	}
	slices.SortStableFunc(ps, func(a, b Problem) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text)) })
	return ps
}

// isPoolPath says whether p is a path below a mirror's base.
func isPoolPath(p string) bool { return path.Clean(p) == p && filepath.IsLocal(p) && p != "." }

// urlProblem says what an origin's address must be where it is not; empty when all is well. A stack file is for everybody, so
// no password belongs in it.
func urlProblem(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "":
		return "an https address"
	case u.User != nil:
		return "an address without a user or a password"
	case u.Scheme != "https" && (u.Scheme != "http" || !IsLoopback(u.Hostname())):
		return "an https address"
	}
	return ""
}

// moduleProblem says what a module origin must be where it is not; empty when all is well.
func moduleProblem(o *Origin) string {
	of, release, _ := strings.Cut(o.Module, "@")
	if module.Check(of, strings.TrimSuffix(release, "+incompatible")) != nil && module.Check(of, release) != nil {
		return "a module and its release, such as example.org/x@v1.2.3"
	}
	switch {
	case o.Vendored:
		return "no vendored = true: a module's zip has no vendor/"
	case o.SignedBy != "":
		return "no signed_by: a module's zip has no signature"
	}
	return ""
}

// IsLoopback says whether a host is this very machine, which may be asked in plain http: tests do.
func IsLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
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

// satisfiable looks for a release that meets c among the bounds that c itself names and their neighbours.
func satisfiable(c string) bool {
	cs, err := version.NewConstraint(c)
	if err != nil {
		return false
	}
	for _, one := range cs {
		bound := strings.TrimLeft(one.String(), "=!<>~ ")
		v, err := version.NewVersion(bound)
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
				if d < 0 {
					for j := i + 1; j < len(n); j++ {
						n[j] = 1 << 20
					}
				}
				parts := make([]string, len(n))
				for j, x := range n {
					parts[j] = fmt.Sprint(x)
				}
				if w, err := version.NewVersion(strings.Join(parts, ".")); err == nil && cs.Check(w) {
					return true
				}
			}
		}
	}
	return false
}

// ParseLock reads a lock's bytes into l and gives all problems that they have.
func ParseLock(data []byte, file string, l *Lock) Problems {
	lines, ps := decode(data, file, l)
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
			bad(table, i, key, "%s %s: %s: missing, want 64 hex digits; run \"mage fetch -record\" to record it", table, name, key)
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
			bad(table, i, key, "%s: got %s here and %s in line %d: one of them is wrong", subject, value, was.value, was.line)
		}
	}
	for i, f := range l.File {
		plain("file", i, f.Name)
		digest("file", i, "sha256", f.Name, f.SHA256)
		if f.Size <= 0 {
			bad("file", i, "size", "file %s: size: got %d, want its bytes", f.Name, f.Size)
		}
		once("file", i, "sha256", "file "+f.Name, f.SHA256)
		once("file", i, "size", "size of file "+f.Name, fmt.Sprint(f.Size))
	}
	for i, v := range l.Vendor {
		plain("vendor", i, v.Name)
		digest("vendor", i, "tar_sha256", v.Name, v.TarSHA256)
		digest("vendor", i, "source", v.Name, v.Source)
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

// Encode gives the lock's file content, sorted, so that two recordings of the same facts are the same bytes.
func (l *Lock) Encode() []byte {
	byName := func(a, b string) int { return cmp.Compare(a, b) }
	slices.SortFunc(l.File, func(a, b *LockedFile) int {
		return cmp.Or(byName(a.Component, b.Component), byName(a.Name, b.Name))
	})
	slices.SortFunc(l.Vendor, func(a, b *LockedVendor) int {
		return cmp.Or(byName(a.Component, b.Component), byName(a.Name, b.Name))
	})
	slices.SortFunc(l.Go, func(a, b *LockedGo) int { return byName(a.Version, b.Version) })
	slices.SortFunc(l.Checkout, func(a, b *LockedCheckout) int { return byName(a.Component, b.Component) })
	var b strings.Builder
	b.WriteString("# Every byte that enters this stack, by digest. Written by \"mage fetch -record\"; do not edit.\n")
	for _, f := range l.File {
		fmt.Fprintf(&b, "\n[[file]]\ncomponent = %q\nname = %q\nsha256 = %q\nsize = %d\n", f.Component, f.Name, f.SHA256, f.Size)
	}
	for _, v := range l.Vendor {
		fmt.Fprintf(&b, "\n[[vendor]]\ncomponent = %q\nname = %q\nsource = %q\ntar_sha256 = %q\n", v.Component, v.Name, v.Source, v.TarSHA256)
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
