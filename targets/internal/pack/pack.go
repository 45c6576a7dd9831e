// Package pack turns published files into the package that a user takes away: a deterministic tar of the files, a
// manifest of what they were made from, a bill of materials, the licence texts, and checksums; and beside it what
// linking the LGPL's libraries again needs.
package pack

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/audit"
	"drydock/targets/internal/stack"
)

// Names in a package.
const (
	BinDir       = "docker/" // as in upstream's static archive
	manifestName = "manifest.json"
	sbomName     = "sbom.cdx.json"
	SumsName     = "SHA256SUMS"
	licenceDir   = "licenses/"
)

// Contents are what a package is made from. What the manifest says as it is has a JSON name.
type Contents struct {
	Format     int         `json:"format"`
	Drydock    string      `json:"drydock"` // the release of drydock that made it
	Stack      string      `json:"stack"`
	Version    string      `json:"version"`
	Arch       string      `json:"arch"`
	Kernel     string      `json:"kernel"`   // the oldest that the stack is for
	Released   time.Time   `json:"released"` // the stack's epoch, and the time of every file
	Components []*Part     `json:"components"`
	Toolchains []Toolchain `json:"toolchains"`
	Features   []string    `json:"features"`
	Files      []*File     `json:"files"`
	Relink     *Digest     `json:"relink,omitempty"` // the file beside the package

	// Installer are the entries that install the package.
	Installer []archive.Entry `json:"-"`
	// OwnTexts are drydock's own licence, for the programs among them.
	OwnTexts []string `json:"-"`
	// CLib is the C library of the compiler; the stack's own, where Parts has one, goes first.
	CLib CLib `json:"-"`
	// Specs are what makes gcc link with the stack's own C library, whose directory MUSL/lib stands for; empty without
	// one.
	Specs string `json:"-"`
	// Packages are the releases of Debian's packages of Go libraries, where those take the place of modules.
	Packages map[string]string `json:"-"`
	// GoTexts are Go's own licence texts by its release.
	GoTexts map[string][]string `json:"-"`
	// Statements are what is stated of advisories.
	Statements []*audit.Statement `json:"-"`
	// Sign signs SHA256SUMS; nil without a key.
	Sign func(list []byte) []byte `json:"-"`
}

// Part is one component.
type Part struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Commit  string   `json:"commit,omitempty"` // upstream's; empty when it is not known
	Sources []Digest `json:"sources"`          // archives, with what Debian adds to them; or one checkout
	// Signatures are upstream's own of the archives, each checked against a pinned key when the package was made.
	Signatures []Signature `json:"signatures,omitempty"`
	Vendor     *Digest     `json:"vendor,omitempty"` // the digest is that of the uncompressed tar
	// Raised are the modules that the vendor tree has at other versions than upstream's.
	Raised []stack.Raised `json:"raised,omitempty"`
	// Series are the patches that came with the sources and were applied, Patches those of ours.
	Series  []Digest `json:"series,omitempty"`
	Patches []Digest `json:"patches,omitempty"`
	Go      string   `json:"go,omitempty"` // release and identity of what compiled it
	CC      string   `json:"cc,omitempty"`
	Links   []string `json:"links,omitempty"` // components that are linked into it
	Steps   []Step   `json:"steps"`

	Facts `json:"-"`
	// Notices is the tar of its licence texts and lists of modules, Relink that of its objects; Relink may be empty.
	Notices string `json:"-"`
	Relink  string `json:"-"`
	// Libs are the static libraries that it gives to others, for relinking.
	Libs []string `json:"-"`
	// Archives and PatchFiles are Sources and Patches as they lie on this machine; a checkout is none.
	Archives   []string `json:"-"`
	PatchFiles []string `json:"-"`
}

// Facts are of a component's row in room recipe, whatever its version.
type Facts struct {
	// Upstream is its repository on GitHub, License what its texts do not say alone, as an SPDX expression; both may be
	// empty.
	Upstream, License string
	// Library reports whether it is linked into others, CLibrary whether it is the C library, Ground whether it is that
	// or what it stands on, which every file with C in it has.
	Library, CLibrary, Ground bool
	// LGPL says that who gets a file with it must be able to link it again, SourceGoes that its source goes with the
	// package.
	LGPL, SourceGoes bool
}

// Step is one command, with symbolic paths.
type Step struct {
	Command     string   `json:"command"`
	Environment []string `json:"environment,omitempty"`
}

// Digest names a file and its content.
type Digest struct {
	Name   string `json:"name"`
	Size   int64  `json:"size,omitempty"`
	SHA256 string `json:"sha256"`
}

// Signature is upstream's of one archive, in OpenPGP's detached form.
type Signature struct {
	Digest
	// Of is the archive's name, Key the fingerprint of the key that made it, Made when, by its own word.
	Of   string    `json:"of"`
	Key  string    `json:"key"`
	Made time.Time `json:"made"`
}

// File is one file of the package. A digest that it has already is what its content must be.
type File struct {
	Digest
	Component string `json:"component"`
	// Kernel is the oldest that the C library in it runs on; "any" without one; empty for what is no program.
	Kernel string `json:"kernel,omitempty"`
	// Linked is "static" or "static-pie"; empty for what is no program.
	Linked string `json:"linked,omitempty"`
	// C reports whether it is linked with a C library.
	C bool `json:"c_library,omitempty"`
	// Link is the name beside it that it is another name of.
	Link string `json:"link,omitempty"`

	Entry archive.Entry `json:"-"`
}

// Toolchain is a compiler.
type Toolchain struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	ID      string `json:"id"` // the digest over all of it that can show in what it makes
}

// CLib is a C library that is linked statically, and the compiler's own support library.
type CLib struct {
	Name    string // glibc
	Version string // 2.36
	Build   string // what it calls itself
	GCC     string // the compiler's release
	// Texts are its notices on this machine; none is no error, for the licence's text goes with libseccomp.
	Texts []string
}

// Write makes the package, its checksum in file.sha256 (in sha256sum's format), and relink, which may be empty when
// nothing of it is under the LGPL. It fails where a file cannot be read or is not what its digest says, or a licence is
// not known.
func Write(file, relink string, c *Contents) error {
	c.Format = 1
	for _, f := range c.Files {
		if f.Link != "" {
			continue
		}
		fi, err := os.Stat(f.Entry.Path)
		if err != nil {
			return err
		}
		f.Size = fi.Size()
		if f.SHA256 == "" {
			if f.SHA256, err = archive.SHA256File(f.Entry.Path); err != nil {
				return err
			}
		}
		f.Entry.SHA256 = f.SHA256
	}
	slices.SortFunc(c.Files, func(a, b *File) int { return strings.Compare(a.Name, b.Name) })
	b, err := bom(c)
	if err != nil {
		return err
	}
	es := slices.Concat(c.Installer, b.texts)
	for _, f := range c.Files {
		es = append(es, f.Entry)
	}
	again, err := writeRelink(relink, c)
	if err != nil {
		return err
	}
	c.Relink = again
	if again != nil {
		es = append(es, archive.Entry{Name: "relink/README", Data: relinkReadme(c), Mode: 0o644})
	}
	manifest, err := encode(c)
	if err != nil {
		return err
	}
	vex, err := b.vex(c)
	if err != nil {
		return err
	}
	if vex != nil {
		es = append(es, archive.Entry{Name: vexName, Data: vex, Mode: 0o644})
	}
	es = append(es,
		archive.Entry{Name: manifestName, Data: manifest, Mode: 0o644},
		archive.Entry{Name: sbomName, Data: b.json, Mode: 0o644})
	if err := writeListed(file, es, c.Released, c.Sign); err != nil {
		return err
	}
	return writeSum(file)
}

// writeListed writes an archive with the list of its files in it, which is signed where sign is not nil.
func writeListed(file string, es []archive.Entry, released time.Time, sign func(list []byte) []byte) error {
	sums, err := sumsOf(es)
	if err != nil {
		return err
	}
	es = append(es, archive.Entry{Name: SumsName, Data: sums, Mode: 0o644})
	if sign != nil {
		es = append(es, archive.Entry{Name: signatureName, Data: sign(sums), Mode: 0o644})
	}
	if err := plainNames(es); err != nil {
		return err
	}
	_, err = archive.WriteTarGz(file, es, released)
	return err
}

// signatureName is the signature of SHA256SUMS, in minisign's format.
const signatureName = SumsName + ".minisig"

// encode writes JSON for people and machines.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}

// sumsOf lists the digests of entries as sha256sum does, by name, without links. An entry without a digest gets the one
// that is listed: it is not written with another content.
func sumsOf(es []archive.Entry) ([]byte, error) {
	var lines []string
	for i := range es {
		e := &es[i]
		if e.Link != "" {
			continue
		}
		if e.SHA256 == "" {
			var err error
			if e.SHA256, err = sumOf(*e); err != nil {
				return nil, err
			}
		}
		lines = append(lines, e.SHA256+"  "+e.Name+"\n")
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[66:], b[66:]) })
	for i := 1; i < len(lines); i++ {
		if lines[i][66:] == lines[i-1][66:] {
			return nil, fmt.Errorf("%s is there twice", strings.TrimSpace(lines[i][66:]))
		}
	}
	return []byte(strings.Join(lines, "")), nil
}

func sumOf(e archive.Entry) (string, error) {
	r, _, err := e.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	return archive.SHA256(r)
}

// plainNames refuses what would need pax headers, which an old tar does not know.
func plainNames(es []archive.Entry) error {
	for _, e := range es {
		dir, base := path.Split(e.Name)
		if len(base) > 100 || len(e.Name) > 100 && len(dir) > 156 ||
			strings.ContainsFunc(e.Name, func(r rune) bool { return r < ' ' || r > '~' }) {
			return fmt.Errorf("%s: the name is too long for an old tar (100 bytes after the last slash, 155 before), "+
				"or not plain ASCII", e.Name)
		}
	}
	return nil
}

// writeSum writes file.sha256.
func writeSum(file string) error {
	sum, err := archive.SHA256File(file)
	if err != nil {
		return err
	}
	return archive.WriteBytes(file+".sha256", 0o644, fmt.Appendf(nil, "%s  %s\n", sum, filepath.Base(file)))
}

// partNamed returns a component; nil where there is none.
func (c *Contents) partNamed(name string) *Part {
	if i := slices.IndexFunc(c.Components, func(p *Part) bool { return p.Name == name }); i >= 0 {
		return c.Components[i]
	}
	return nil
}

// part returns the first component that has a property; nil for none.
func (c *Contents) part(has func(Facts) bool) *Part {
	if i := slices.IndexFunc(c.Components, func(p *Part) bool { return has(p.Facts) }); i >= 0 {
		return c.Components[i]
	}
	return nil
}

func isCLibrary(f Facts) bool { return f.CLibrary }
func isLGPL(f Facts) bool     { return f.LGPL }

// linkedAgain reports whether those who get the files of a component must be able to link them again: they have
// something under the LGPL in them, be it the compiler's C library.
func (c *Contents) linkedAgain(p *Part) bool {
	lib := c.part(isLGPL)
	return lib != nil && slices.Contains(p.Links, lib.Name) || c.part(isCLibrary) == nil && c.CLib.Name == "glibc"
}

var errNoLibc = errors.New("nothing is known of the C library that the compiler links with: " +
	"its libc.a does not say what it is")

//go:embed relink/relink.sh
var relinkScript []byte

// RelinkScript returns the digest of the script that links again.
func RelinkScript() string { return fmt.Sprintf("%x", sha256.Sum256(relinkScript)) }

// writeRelink packs what linking needs again of every file that carries something under the LGPL; nil when none does.
func writeRelink(file string, c *Contents) (*Digest, error) {
	var es []archive.Entry
	for _, p := range c.Components {
		if p.Relink == "" || !c.linkedAgain(p) {
			continue
		}
		objects, err := archive.InTar(p.Relink)
		if err != nil {
			return nil, err
		}
		es = append(es, objects...)
	}
	if es == nil {
		return nil, os.RemoveAll(file)
	}
	for _, p := range c.Components {
		for _, l := range p.Libs {
			es = append(es, archive.Entry{Name: "lib/" + p.Name + "/" + filepath.Base(l), Path: l, Mode: 0o644})
		}
		if p.CLibrary {
			es = append(es, archive.Entry{Name: "lib/" + p.Name + "/specs.in", Data: []byte(c.Specs), Mode: 0o644})
		}
		if !p.SourceGoes {
			continue
		}
		for i, a := range p.Archives {
			es = append(es, archive.Entry{Name: "source/" + filepath.Base(a), Path: a, Mode: 0o644,
				SHA256: p.Sources[i].SHA256})
		}
		for i, x := range p.PatchFiles {
			name := fmt.Sprintf("source/patches/%s-%02d-%s", p.Name, i+1, filepath.Base(x))
			es = append(es, archive.Entry{Name: name, Path: x, Mode: 0o644, SHA256: p.Patches[i].SHA256})
		}
	}
	es = append(es,
		archive.Entry{Name: "relink.sh", Data: relinkScript, Mode: 0o755},
		archive.Entry{Name: "README", Data: relinkReadme(c), Mode: 0o644})
	if err := writeListed(file, es, c.Released, nil); err != nil {
		return nil, err
	}
	fi, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	sum, err := archive.SHA256File(file)
	return &Digest{Name: filepath.Base(file), Size: fi.Size(), SHA256: sum}, err
}

//go:embed relink/readme
var relinkText string

// relinkReadme says what the file beside the package is for.
func relinkReadme(c *Contents) []byte {
	var bins []string
	for _, f := range c.Files {
		if f.C && c.linkedAgain(c.partNamed(f.Component)) {
			bins = append(bins, path.Base(f.Name))
		}
	}
	lib, own := c.part(isLGPL), c.part(isCLibrary)
	libs := lib.Name + " " + lib.Version + " (LGPL 2.1)"
	clib := c.CLib.Name + " " + c.CLib.Version
	source := " and as source, with its patches"
	also := ""
	for _, p := range c.Components {
		if p.SourceGoes && !p.LGPL {
			also = "It has the sources of what is under the GPL, too; the commands that compiled them stand in " +
				"manifest.json. "
		}
	}
	if lib.Archives == nil {
		source = " (it came from a directory of the builder's: ask there for its source)"
	}
	if own != nil {
		clib = own.Name + " " + own.Version + ", which is in lib/" + own.Name
	} else if c.CLib.Name == "glibc" {
		libs += " and glibc " + c.CLib.Version + " (LGPL 2.1 or later; " + c.CLib.Build + ", whose source its " +
			"distribution gives)"
	}
	return fmt.Appendf(nil, relinkText, c.Version, c.Stack, strings.Join(bins, ", "), libs, c.Version, c.Arch,
		source, also, clib)
}
