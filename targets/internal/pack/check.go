package pack

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/platform"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// maxText is the size, in bytes, of the largest text that is read out of a package or bundle.
const maxText = 16 << 20

// contained is what was found in an archive that lists its own files.
type contained struct {
	problems []string // by file
	left     []string // listed and not there
	sha256   string   // of the archive
	texts    map[string][]byte
	links    map[string]string // targets by name
	heads    map[string][]byte // how programs begin, by name
	order    string            // what is not where or when it was written; empty for nothing
}

// form is how an archive lists its own files.
type form struct {
	prefix string   // before all names
	list   string   // the name of the list
	alone  []string // names that the list need not have
	texts  []string // names whose content is kept
}

// lister reads an archive to its end and compares its files with its own list. It unpacks nothing.
type lister struct {
	form
	contained
	file string
	in   *position
	want Sums // nil until the list was read
	got  Sums
	last string    // the entry that was read last
	time time.Time // of the first entry, and so of all
}

// position is a buffered reader that knows how much was taken out of it.
type position struct {
	*bufio.Reader
	read int64
}

func (p *position) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.read += int64(n)
	return n, err
}

func (p *position) ReadByte() (byte, error) {
	c, err := p.Reader.ReadByte()
	if err == nil {
		p.read++
	}
	return c, err
}

// readListed reads an archive. What is wrong in it is in the problems; the error is one of reading the file.
func readListed(file string, form form) (*contained, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	l := &lister{form: form, file: file, in: &position{Reader: bufio.NewReader(io.TeeReader(f, sum))}, got: Sums{}}
	l.contained.texts, l.links, l.heads = map[string][]byte{}, map[string]string{}, map[string][]byte{}
	var broken *brokenError
	if err := l.read(); errors.As(err, &broken) {
		// What comes after damage to the compressed data is noise. A file whose digest was wrong before is where it
		// began.
		l.problems = append(l.problems, l.where(broken.err))[:1]
		return &l.contained, nil
	} else if err != nil {
		return nil, err
	}
	l.compare()
	_, err = io.Copy(io.Discard, l.in)
	l.sha256 = hex.EncodeToString(sum.Sum(nil))
	return &l.contained, err
}

// brokenError is damage to an archive as such.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }

// where says what can be said of damage that no digest has found.
func (l *lister) where(err error) string {
	at := "in its first file"
	if l.last != "" {
		at = "in or after " + l.last
		if l.want == nil {
			at = "in or before " + l.last
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Sprintf("%s: cut off at byte %d, %s: carry it again", filepath.Base(l.file), l.in.read, at)
	}
	return fmt.Sprintf("%s: damaged, %s, which shows at byte %d (%v): carry it again", filepath.Base(l.file), at,
		l.in.read, err)
}

// read reads all entries.
func (l *lister) read() error {
	zr, err := gzip.NewReader(l.in)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return &brokenError{err}
	}
	tr := tar.NewReader(zr)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return &brokenError{err}
		}
		if err := l.entry(h, tr); err != nil {
			return err
		}
		l.last = h.Name
	}
	// gzip's own checksum comes last, and nothing but a tar's padding before it.
	rest := make([]byte, 1<<16)
	for n := 0; ; {
		k, err := zr.Read(rest)
		if n += k; n > maxPadding || bytes.ContainsFunc(rest[:k], func(r rune) bool { return r != 0 }) {
			return &brokenError{fmt.Errorf("%d bytes or more behind the last file", n)}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &brokenError{err}
		}
	}
}

// maxPadding is how many zero bytes may follow a tar's end: tars are padded to 10 KiB.
const maxPadding = 64 << 10

// entry reads one entry. It must have the form that WriteTar gives it: whoever unpacks the archive as root gets no
// other modes and owners than those that drydock wrote.
func (l *lister) entry(h *tar.Header, r io.Reader) error {
	name, ok := strings.CutPrefix(h.Name, l.prefix)
	if !ok || !filepath.IsLocal(name) || h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeSymlink ||
		l.got[name] != "" || l.links[name] != "" {
		return &brokenError{fmt.Errorf("%.200q: not a file of such an archive, which has files below %q, each once: "+
			"not one of drydock's, or a damaged one", h.Name, cmp.Or(l.prefix, "."))}
	}
	if p := strange(h); p != "" {
		l.problems = append(l.problems, fmt.Sprintf("%s: %s", h.Name, p))
	}
	l.inOrder(h, name)
	if h.Typeflag == tar.TypeSymlink { // the lists have files only
		l.links[name] = h.Linkname
		return nil
	}
	sum := sha256.New()
	if name == l.list || slices.Contains(l.form.texts, name) {
		if h.Size > maxText {
			return fmt.Errorf("%s: %s: got %d bytes, want at most %d", l.file, h.Name, h.Size, maxText)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return &brokenError{err}
		}
		l.contained.texts[name] = text
		sum.Write(text)
	} else {
		head := make([]byte, platform.HeadSize)
		n, _ := io.ReadFull(r, head) // what is wrong is wrong of what follows, too
		if sum.Write(head[:n]); bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
			l.heads[name] = head[:n]
		}
		if _, err := io.Copy(sum, r); err != nil {
			return &brokenError{err}
		}
	}
	l.got[name] = hex.EncodeToString(sum.Sum(nil))
	if name == l.list {
		want, err := parseSums(l.contained.texts[name])
		if err != nil {
			return &brokenError{fmt.Errorf("%s: %w", l.list, err)}
		}
		l.want = want
	} else if want := l.want[name]; want != "" && want != l.got[name] {
		l.differs(name)
	}
	return nil
}

// inOrder notes the first entry that WriteTar would have written elsewhere, or with another time.
func (l *lister) inOrder(h *tar.Header, name string) {
	last := strings.TrimPrefix(l.last, l.prefix)
	first := last == l.list || slices.Contains(l.alone, last)
	switch {
	case l.order != "":
	case l.last == "":
		l.time = h.ModTime
	case !first && name <= last:
		l.order = fmt.Sprintf("%s: got it after %s, want entries in the order of their names", h.Name, l.last)
	case !h.ModTime.Equal(l.time):
		l.order = fmt.Sprintf("%s: time: got %s, want %s as all others", h.Name, h.ModTime.UTC().Format(time.RFC3339),
			l.time.UTC().Format(time.RFC3339))
	}
}

func (l *lister) differs(name string) {
	l.problems = append(l.problems,
		fmt.Sprintf("%s: sha256: got %s, want %s: carry it again", name, l.got[name], l.want[name]))
}

// strange says what an entry has that WriteTar does not write; empty for nothing.
func strange(h *tar.Header) string {
	want := int64(0o644)
	switch {
	case h.Typeflag == tar.TypeSymlink:
		want = 0o777
	case h.Mode == 0o755:
		want = 0o755
	}
	switch {
	case h.Mode != want:
		return fmt.Sprintf("mode: got %04o, want 0644 or 0755", h.Mode)
	case h.Uid != 0 || h.Gid != 0:
		return fmt.Sprintf("owner: got %d:%d, want 0:0", h.Uid, h.Gid)
	case h.Uname != "" || h.Gname != "":
		return fmt.Sprintf("owner: got %q:%q, want no names", h.Uname, h.Gname)
	case len(h.PAXRecords) > 0:
		return "it has extended attributes, want none"
	}
	return ""
}

// compare completes what was found while reading.
func (l *lister) compare() {
	if l.want == nil {
		l.problems = append(l.problems, l.prefix+l.list+": not there, though it lists what is")
		return
	}
	for name, sum := range l.want {
		told := func(problem string) bool { return strings.HasPrefix(problem, name+": sha256") }
		switch g := l.got[name]; {
		case g == "":
			l.left = append(l.left, name)
		case g != sum && !slices.ContainsFunc(l.problems, told): // it was listed before it was hashed
			l.differs(name)
		}
	}
	for name := range l.got {
		if l.want[name] == "" && name != l.list && !slices.Contains(l.alone, name) {
			l.problems = append(l.problems, fmt.Sprintf("%s: not in %s: it does not belong here", name, l.list))
		}
	}
	slices.Sort(l.problems)
	slices.Sort(l.left)
}

// ReadBundle reads a bundle and returns its list and that list's signature (nil without), what is wrong with it, file
// by file, and the files that its list names and a difference leaves out. It fails only where the file cannot be read.
func ReadBundle(file string) (list, signature []byte, problems, left []string, err error) {
	c, err := readListed(file,
		form{bundleDir, BundleSums, []string{bundleSignature}, []string{bundleSignature, bundleLinks}})
	if err != nil {
		return nil, nil, nil, nil, err
	}
	if len(c.problems) == 0 {
		c.problems = c.closed()
	}
	return c.texts[BundleSums], c.texts[bundleSignature], c.problems, c.left, nil
}

// CheckSum returns an error when a file's digest is none of those in file.sha256, where that is there.
func CheckSum(file, sum string) error {
	data, err := os.ReadFile(file + ".sha256")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	sums, err := parseSums(data)
	if err != nil {
		return fmt.Errorf("%s.sha256: %w", file, err)
	}
	var want []string
	for _, s := range sums { // whatever the file is called by now
		if want = append(want, s); s == sum {
			return nil
		}
	}
	return fmt.Errorf("%s: sha256: got %s, want %s, which %s.sha256 has", file, sum, strings.Join(want, " or "),
		filepath.Base(file))
}

// closed says what is wrong with a bundle whose files are those of its list: links that are not in theirs, and what is
// not where it was written.
func (c *contained) closed() (problems []string) {
	want, err := parseLinks(c.texts[bundleLinks])
	if err != nil {
		return []string{err.Error()}
	}
	for _, name := range slices.Sorted(maps.Keys(c.links)) {
		if to, ok := want[name]; !ok || to != c.links[name] {
			problems = append(problems,
				fmt.Sprintf("%s: a link to %q that %s does not have", name, c.links[name], bundleLinks))
		}
		delete(want, name)
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		problems = append(problems, fmt.Sprintf("%s: not there, want a link to %q", name, want[name]))
	}
	if problems == nil && c.order != "" {
		problems = []string{c.order}
	}
	return problems
}

// Read is what a package says of itself.
type Read struct {
	SHA256   string // of the package
	Manifest Contents
	Modules  map[string]string // of the bill of materials: versions by name
	// Linked are the modules of each file ("file:docker/dockerd"), by the bill of materials.
	Linked map[string][]Module
	// Stated is what is stated of advisories, by name and parts.
	Stated map[string]string
	Sums   Sums
	// List and Signature are SHA256SUMS and its signature; the latter is nil without.
	List, Signature []byte
}

// linkedBy reads the modules of each file out of a bill of materials.
func linkedBy(bill *cdx.BOM) map[string][]Module {
	if bill.Components == nil || bill.Dependencies == nil {
		return nil
	}
	modules := map[string]Module{}
	for _, x := range *bill.Components {
		switch {
		case strings.HasPrefix(x.PackageURL, "pkg:deb/"):
			modules[x.BOMRef] = Module{Path: x.Description, Version: x.Version, Package: x.Name}
		case strings.HasPrefix(x.PackageURL, "pkg:golang/") && x.Name != "stdlib":
			modules[x.BOMRef] = Module{Path: x.Name, Version: x.Version}
		}
	}
	linked := map[string][]Module{}
	for _, d := range *bill.Dependencies {
		if !strings.HasPrefix(d.Ref, "file:") || d.Dependencies == nil {
			continue
		}
		for _, on := range *d.Dependencies {
			if m, ok := modules[on]; ok {
				linked[d.Ref] = append(linked[d.Ref], m)
			}
		}
	}
	return linked
}

// ReadPackage reads a package to its end and returns what it says of itself, and what is wrong with it, file by file.
// It fails only where the file or its list cannot be read.
func ReadPackage(file string) (*Read, []string, error) {
	c, err := readListed(file,
		form{"", SumsName, []string{signatureName}, []string{manifestName, sbomName, signatureName}})
	if err != nil {
		return nil, nil, err
	}
	for _, n := range c.left {
		c.problems = append(c.problems, n+": not there")
	}
	if len(c.problems) > 0 {
		return nil, c.problems, nil
	}
	r := &Read{SHA256: c.sha256, Modules: map[string]string{}, List: c.texts[SumsName],
		Signature: c.texts[signatureName]}
	if r.Sums, err = parseSums(r.List); err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(c.texts[manifestName], &r.Manifest); err != nil {
		return nil, []string{manifestName + ": " + err.Error()}, nil
	}
	var bill cdx.BOM
	if err := json.Unmarshal(c.texts[sbomName], &bill); err != nil {
		return nil, []string{sbomName + ": " + err.Error()}, nil
	}
	if bill.Components != nil {
		for _, x := range *bill.Components {
			if x.Type == cdx.ComponentTypeLibrary {
				r.Modules[x.Name] = strings.TrimSpace(r.Modules[x.Name] + " " + x.Version)
			}
		}
	}
	r.Linked, r.Stated = linkedBy(&bill), statedIn(&bill)
	broken := func(format string, a ...any) (*Read, []string, error) {
		return nil, []string{fmt.Sprintf(format, a...)}, nil
	}
	for _, f := range r.Manifest.Files {
		switch {
		case f.Link == "" && r.Sums[f.Name] != f.SHA256:
			return broken("%s: %s has %s, %s has %s", f.Name, SumsName, r.Sums[f.Name], manifestName, f.SHA256)
		case f.Link != c.links[f.Name]:
			return broken("%s: got a link to %q, %s has %q", f.Name, c.links[f.Name], manifestName, f.Link)
		}
		delete(c.links, f.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(c.links)) {
		return broken("%s: a link to %q that %s does not have", name, c.links[name], manifestName)
	}
	if c.order != "" {
		return nil, []string{c.order}, nil
	}
	return r, r.foreign(c.heads), nil
}

// foreign says which of a package's programs are of another machine than its manifest says, by how they begin; nil
// where none is.
func (r *Read) foreign(heads map[string][]byte) (problems []string) {
	a, err := platform.Of(r.Manifest.Arch)
	if err != nil {
		return []string{fmt.Sprintf("%s: arch: %v", manifestName, err)}
	}
	for _, name := range slices.Sorted(maps.Keys(heads)) {
		if why := a.Foreign(heads[name]); why != "" {
			problems = append(problems,
				fmt.Sprintf("%s: %s, which is %s's: %s says arch %q", name, why, a.Name, manifestName, a.Name))
		}
	}
	return problems
}
