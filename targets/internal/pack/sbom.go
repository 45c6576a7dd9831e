package pack

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/stack"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// billOf is a bill of materials in the making, with the licence texts that go with it.
type billOf struct {
	json  []byte
	texts []archive.Entry

	parts   map[string]*cdx.Component // by bom-ref
	depends map[string][]string
	errs    []error
}

// bom lists everything that is linked: the components, every Go module that their files name, Go's own library, the C
// library.
func bom(c *Contents) (*billOf, error) {
	b := &billOf{parts: map[string]*cdx.Component{}, depends: map[string][]string{}}
	root := fmt.Sprintf("docker@%s", c.Version)
	texts := map[string][]text{}
	for _, p := range c.Components {
		ts, err := readTexts(p.Notices)
		if err != nil {
			return nil, err
		}
		texts[p.Name] = ts
		b.component(p, ts)
		b.need(root, p.ref())
	}
	for _, f := range c.Files {
		p := c.partNamed(f.Component)
		if f.Link != "" {
			continue
		}
		ref := "file:" + f.Name
		b.parts[ref] = &cdx.Component{BOMRef: ref, Type: cdx.ComponentTypeFile, Name: f.Name, Version: p.Version,
			Licenses: b.parts[p.ref()].Licenses, Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: f.SHA256}}}
		b.need(root, ref)
		b.need(ref, p.ref())
		for _, l := range p.Links {
			if on := c.partNamed(l); f.C && !on.Ground {
				b.need(ref, on.ref())
			}
		}
		if f.C {
			b.libc(c, ref, texts)
		}
		g, err := readGo(f.Entry.Path, texts[p.Name], c.Packages)
		if errors.Is(err, errNotGo) {
			continue
		}
		if err != nil {
			return nil, err
		}
		b.goLibrary(c, ref, g.version, texts)
		var paths []string
		for _, m := range g.modules {
			paths = append(paths, m.Path)
		}
		for _, m := range g.modules {
			ts := texts[p.Name]
			if m.Package == "" {
				ts = textsOfModule(ts, m.Path, paths)
			}
			b.module(ref, m, ts)
			b.raised(p, m)
		}
	}
	b.installer(c, root, texts)
	if err := errors.Join(b.errs...); err != nil {
		return nil, err
	}
	var err error
	if b.json, err = b.encode(c, root); err != nil {
		return nil, err
	}
	slices.SortFunc(b.texts, func(x, y archive.Entry) int { return strings.Compare(x.Name, y.Name) })
	b.texts = slices.CompactFunc(b.texts, func(x, y archive.Entry) bool { return x.Name == y.Name })
	return b, nil
}

// installer lists the installer's own programs, which are drydock's and need Go's library alone.
func (b *billOf) installer(c *Contents, root string, texts map[string][]text) {
	for _, e := range c.Installer {
		info, err := buildinfo.Read(bytes.NewReader(e.Data))
		if err != nil {
			continue // a script
		}
		if len(info.Deps) > 0 {
			b.errs = append(b.errs,
				fmt.Errorf("%s: is linked with %s, whose licence is not at hand", e.Name, info.Deps[0].Path))
		}
		sum := sha256.Sum256(e.Data)
		x := &cdx.Component{BOMRef: "file:" + e.Name, Type: cdx.ComponentTypeFile, Name: e.Name, Version: c.Version,
			Description: "drydock's own",
			Hashes:      &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}}}
		b.take(x, "Apache-2.0", "drydock", b.files(c.OwnTexts))
		b.need(root, x.BOMRef)
		b.goLibrary(c, x.BOMRef, strings.TrimPrefix(strings.Fields(info.GoVersion)[0], "go"), texts)
	}
}

func (p *Part) ref() string { return p.Name + "@" + p.Version }

// need notes that one thing depends on another.
func (b *billOf) need(from, to string) {
	if !slices.Contains(b.depends[from], to) {
		b.depends[from] = append(b.depends[from], to)
	}
}

// add takes something into the bill, with its licence and texts.
func (b *billOf) add(x *cdx.Component, name, dir string, ts []text) {
	if b.parts[x.BOMRef] != nil {
		return
	}
	expr, err := licenceOf(name, ts)
	if err != nil {
		b.errs = append(b.errs,
			fmt.Errorf("%s %s: %w: nobody may pass on what has no licence; if it has one, state it in its row of "+
				"room recipe, or that of a module in pack/licence.go", x.Name, x.Version, err))
	}
	b.take(x, expr, dir, ts)
}

func (b *billOf) take(x *cdx.Component, expr, dir string, ts []text) {
	if expr == "" && b.errs == nil {
		b.errs = append(b.errs, fmt.Errorf("%s %s: no licence that is known in its texts", x.Name, x.Version))
	}
	if strings.Contains(expr, " ") {
		x.Licenses = &cdx.Licenses{{Expression: expr}}
	} else {
		x.Licenses = &cdx.Licenses{{License: &cdx.License{ID: expr}}}
	}
	b.parts[x.BOMRef] = x
	for _, t := range ts {
		b.texts = append(b.texts, archive.Entry{Name: licenceDir + dir + "/" + t.name, Data: t.data, Mode: 0o644})
	}
}

func (b *billOf) component(p *Part, ts []text) {
	x := &cdx.Component{BOMRef: p.ref(), Type: cdx.ComponentTypeApplication, Name: p.Name, Version: p.Version}
	if p.Library {
		x.Type = cdx.ComponentTypeLibrary
	}
	if p.Upstream != "" {
		x.PackageURL = "pkg:github/" + p.Upstream + "@v" + p.Version
	}
	var refs []cdx.ExternalReference
	for _, d := range p.Sources {
		refs = append(refs, cdx.ExternalReference{Type: cdx.ERTypeSourceDistribution, URL: d.Name,
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: d.SHA256}}})
	}
	x.ExternalReferences = &refs
	if p.Commit != "" {
		x.Pedigree = &cdx.Pedigree{Commits: &[]cdx.Commit{{UID: p.Commit}}}
	}
	ps := slices.Concat(patches(cdx.PatchTypeBackport, p.Series), patches(cdx.PatchTypeUnofficial, p.Patches))
	if ps != nil {
		if x.Pedigree == nil {
			x.Pedigree = &cdx.Pedigree{}
		}
		x.Pedigree.Patches = &ps
	}
	if ts = textsOf(ts); p.License != "" {
		b.take(x, p.License, p.Name, ts)
		return
	}
	b.add(x, p.Name, p.Name, ts)
}

// cve finds the identifiers of advisories in a patch's name.
var cve = regexp.MustCompile(`CVE-[0-9]{4}-[0-9]{4,}`)

// patches lists patches of a kind, and what they close by their names.
func patches(kind cdx.PatchType, ds []Digest) (ps []cdx.Patch) {
	for _, d := range ds {
		text := &cdx.AttachedText{Content: d.Name + " sha256:" + d.SHA256}
		p := cdx.Patch{Type: kind, Diff: &cdx.Diff{Text: text}}
		if id := cve.FindString(d.Name); id != "" {
			p.Resolves = &[]cdx.Issue{{Type: cdx.IssueTypeSecurity, ID: id}}
		}
		ps = append(ps, p)
	}
	return ps
}

func (b *billOf) module(from string, m Module, ts []text) {
	if m.Package != "" {
		b.debian(from, m, ts)
		return
	}
	purl := m.purl()
	x := &cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: m.source(), Version: m.Version,
		PackageURL: strings.ReplaceAll(purl, "+", "%2B")}
	b.add(x, m.source(), "go/"+m.source()+"@"+m.Version, ts)
	b.need(from, purl)
}

// raised notes that a component has a module at another version than upstream pins, and which that is.
func (b *billOf) raised(p *Part, m Module) {
	i := slices.IndexFunc(p.Raised, func(r stack.Raised) bool { return r.Module == m.Path })
	if i < 0 || m.Package != "" {
		return
	}
	x := b.parts[m.purl()]
	note := cdx.Property{Name: "drydock:raised-from:" + p.Name, Value: cmp.Or(p.Raised[i].From, "none")}
	if x.Properties == nil {
		x.Properties = &[]cdx.Property{}
	}
	if !slices.Contains(*x.Properties, note) { // several files of the component have it
		*x.Properties = append(*x.Properties, note)
	}
}

// debian takes a Debian package in: its copyright file is the licence's text.
func (b *billOf) debian(from string, m Module, ts []text) {
	purl := "pkg:deb/debian/" + m.Package + "@" + strings.ReplaceAll(m.Version, "+", "%2B") + "?arch=all"
	b.need(from, purl)
	if b.parts[purl] != nil {
		return
	}
	x := &cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: m.Package, Version: m.Version,
		PackageURL: purl, Description: m.Path}
	i := slices.IndexFunc(ts, func(t text) bool { return t.name == libraryDocs+m.Package+"/copyright" })
	b.take(x, debianLicence(ts[i].data), "deb/"+m.Package, []text{{"copyright", ts[i].data}})
}

// goLibrary is Go's own library and runtime. Its licence lies in the toolchain; where it does not, the same text goes
// with golang.org/x modules.
func (b *billOf) goLibrary(c *Contents, from, release string, texts map[string][]text) {
	purl := "pkg:golang/stdlib@" + release
	b.need(from, purl)
	if b.parts[purl] != nil {
		return
	}
	ts := b.files(c.GoTexts[release])
	for _, p := range c.Components {
		for _, t := range texts[p.Name] {
			if _, ok := belowModule(t.name, "golang.org/x/sys"); ok && ts == nil && isGoLicence(t.data) {
				ts = []text{{"LICENSE", t.data}}
			}
		}
	}
	b.add(&cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: "stdlib", Version: release,
		PackageURL: purl}, "stdlib", "go/stdlib@"+release, ts)
}

// libc is the C library that a file is linked with, and libgcc.
func (b *billOf) libc(c *Contents, from string, texts map[string][]text) {
	if own := c.part(isCLibrary); own != nil {
		b.need(from, own.ref())
	} else {
		if c.CLib.Name == "" {
			b.errs = append(b.errs, errNoLibc)
			return
		}
		purl := "pkg:generic/" + c.CLib.Name + "@" + c.CLib.Version
		ts := b.files(c.CLib.Texts)
		if lib := c.part(isLGPL); lib != nil && c.CLib.Name == "glibc" { // the same LGPL 2.1
			for _, t := range texts[lib.Name] {
				if t.name == "LICENSE" {
					ts = append(ts, text{"COPYING.LIB", t.data})
				}
			}
		}
		b.add(&cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: c.CLib.Name, Version: c.CLib.Version,
			Description: c.CLib.Build, PackageURL: purl}, c.CLib.Name, c.CLib.Name, ts)
		b.need(from, purl)
	}
	purl := "pkg:generic/libgcc@" + c.CLib.GCC
	b.add(&cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: "libgcc", Version: c.CLib.GCC,
		PackageURL: purl}, "libgcc", "libgcc", nil)
	b.need(from, purl)
}

// files reads texts of this machine.
func (b *billOf) files(names []string) []text {
	var ts []text
	for _, n := range names {
		data, err := os.ReadFile(n)
		if err != nil {
			b.errs = append(b.errs, err)
			continue
		}
		ts = append(ts, text{filepath.Base(n), data})
	}
	return ts
}

// encode writes the bill: sorted, of the stack's time, and with a serial number that follows from the rest.
func (b *billOf) encode(c *Contents, root string) ([]byte, error) {
	doc := cdx.NewBOM()
	doc.JSONSchema = "http://cyclonedx.org/schema/bom-1.6.schema.json"
	doc.Metadata = &cdx.Metadata{
		Timestamp:  c.Released.UTC().Format(time.RFC3339),
		Lifecycles: &[]cdx.Lifecycle{{Phase: cdx.LifecyclePhaseBuild}},
		Tools: &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "drydock",
			Version: c.Drydock}}},
		Component: &cdx.Component{BOMRef: root, Type: cdx.ComponentTypeApplication, Name: "docker", Version: c.Version,
			Description: "stack " + c.Stack},
	}
	var parts []cdx.Component
	for _, x := range b.parts {
		parts = append(parts, *x)
	}
	slices.SortFunc(parts, func(x, y cdx.Component) int { return strings.Compare(x.BOMRef, y.BOMRef) })
	doc.Components = &parts
	var deps []cdx.Dependency
	for ref, on := range b.depends {
		slices.Sort(on)
		deps = append(deps, cdx.Dependency{Ref: ref, Dependencies: &on})
	}
	slices.SortFunc(deps, func(x, y cdx.Dependency) int { return strings.Compare(x.Ref, y.Ref) })
	doc.Dependencies = &deps
	doc.Vulnerabilities = b.advisories(c)
	write := func() ([]byte, error) {
		var out bytes.Buffer
		e := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON)
		e.SetPretty(true)
		e.SetEscapeHTML(false)
		err := e.EncodeVersion(doc, cdx.SpecVersion1_6)
		return out.Bytes(), err
	}
	data, err := write()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // a UUID of version 8: the maker's own way
	doc.SerialNumber = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
	return write()
}
