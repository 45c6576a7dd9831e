package pack

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/archive"
)

// A bundle is what is carried to a host without a network: a repository with the runner, the sources and the toolchain
// in it. Names in it, below bundleDir:
const (
	bundleDir  = "drydock/"
	BundleSums = "BUNDLE.sha256" // of every other file, also of those that a difference leaves out
	bundleText = "BUNDLE.txt"    // for people
	// bundleSignature is that of BundleSums, in minisign's format.
	bundleSignature = BundleSums + ".minisig"
	// BundleStack holds what it was made for, as stack or stack/architecture, which is built there when STACK does not
	// say otherwise.
	BundleStack = "BUNDLE.stack"
	bundleLinks = "BUNDLE.links" // its links: BUNDLE.sha256 has this file's digest, and says nothing of links
)

// linksOf is the list of the links among entries: a line for each, with target and name; nil without any.
func linksOf(es []archive.Entry) []byte {
	var lines []string
	for _, e := range es {
		if e.Link != "" {
			lines = append(lines, fmt.Sprintf("%q %q\n", e.Link, e.Name))
		}
	}
	if lines == nil {
		return nil
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, ""))
}

// parseLinks reads BUNDLE.links: targets by name. The error names the line that is none.
func parseLinks(data []byte) (map[string]string, error) {
	links := map[string]string{}
	for line := range strings.Lines(string(data)) {
		var target, name string
		if _, err := fmt.Sscanf(line, "%q %q\n", &target, &name); err != nil || !filepath.IsLocal(name) {
			return nil, fmt.Errorf("%s: got %.80q, want a target and a name below the directory", bundleLinks, line)
		}
		links[name] = target
	}
	return links, nil
}

// Sums are digests by name.
type Sums map[string]string

var sumLine = regexp.MustCompile(`^([0-9a-f]{64}) [ *](.+)$`)

// parseSums reads what sha256sum writes. The error names the line that is none.
func parseSums(data []byte) (Sums, error) {
	sums := Sums{}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimRight(line, "\r\n")
		m := sumLine.FindStringSubmatch(line)
		switch {
		case line == "":
		case m == nil || !filepath.IsLocal(m[2]) || strings.ContainsFunc(m[2], func(r rune) bool { return r < ' ' }):
			return nil, fmt.Errorf("line %d: got %.80q, want 64 hex digits, two spaces and a name below the directory",
				n, line)
		default:
			sums[m[2]] = m[1]
		}
	}
	return sums, nil
}

// Bundled is what a bundle came to.
type Bundled struct {
	Files  int   // in it
	Left   int   // that the older one has already
	Size   int64 // of the file
	SHA256 string
}

// Bundle is what a bundle is made from.
type Bundle struct {
	Entries []archive.Entry          // with names below bundleDir
	Old     Sums                     // what is there already, and left out; nil for nothing
	Text    func(Sums) []byte        // makes BUNDLE.txt from the digests
	Sign    func(list []byte) []byte // signs BUNDLE.sha256; nil without a key
	Time    time.Time                // of every file
}

// Write writes the bundle, and file.sha256. The list of digests comes first: whoever reads the bundle knows of each
// file, as soon as it is read, whether it is the one that was bundled. It fails where a file cannot be read, or its
// name is too long for an old tar.
func (x Bundle) Write(file string) (*Bundled, error) {
	es, old := slices.Clone(x.Entries), x.Old
	if links := linksOf(es); links != nil {
		es = append(es, archive.Entry{Name: bundleLinks, Data: links, Mode: 0o644})
	}
	data, err := sumsOf(es)
	if err != nil {
		return nil, err
	}
	sums, err := parseSums(data)
	if err != nil {
		return nil, err
	}
	about := archive.Entry{Name: bundleText, Data: x.Text(sums), Mode: 0o644}
	line, err := sumsOf([]archive.Entry{about})
	if err != nil {
		return nil, err
	}
	data = append(line, data...)
	b := &Bundled{}
	all := len(es)
	es = slices.DeleteFunc(es, func(e archive.Entry) bool {
		return old[e.Name] != "" && old[e.Name] == sums[e.Name] && e.Name != bundleLinks
	})
	b.Left, b.Files = all-len(es), len(es)+2
	es = append(es, about, archive.Entry{Name: BundleSums, Data: data, Mode: 0o644, First: true})
	if x.Sign != nil {
		es = append(es, archive.Entry{Name: bundleSignature, Data: x.Sign(data), Mode: 0o644, First: true})
		b.Files++
	}
	for i := range es {
		es[i].Name = bundleDir + es[i].Name
	}
	if err := plainNames(es); err != nil {
		return nil, err
	}
	// Most of it is compressed already.
	if _, err := archive.WriteTarGzLevel(file, es, x.Time, gzip.BestSpeed); err != nil {
		return nil, err
	}
	fi, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	b.Size = fi.Size()
	if err := writeSum(file); err != nil {
		return nil, err
	}
	b.SHA256, err = archive.SHA256File(file)
	return b, err
}

// OldSums returns what an older bundle has: from the bundle itself, or from its BUNDLE.sha256 alone. It fails on a file
// that is neither.
func OldSums(file string) (Sums, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	magic := make([]byte, 2)
	var data []byte
	if _, err := io.ReadFull(f, magic); err == nil && string(magic) == "\x1f\x8b" {
		if data, err = archive.Member(file, "gz", BundleSums); err != nil {
			return nil, err
		}
	} else if data, err = os.ReadFile(file); err != nil {
		return nil, err
	}
	sums, err := parseSums(data)
	if err == nil && len(sums) == 0 {
		err = errors.New("no digest in it")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: neither a bundle nor its %s: %w", file, BundleSums, err)
	}
	return sums, nil
}

// checkUnpacked compares an unpacked bundle in root with its list, and returns what is wrong, by file. was is the list
// that held before a newer bundle was unpacked over it, or nil: what is only in that is outdated.
func checkUnpacked(root string, was Sums) (problems, outdated []string, list []byte, err error) {
	list, err = os.ReadFile(filepath.Join(root, BundleSums))
	if err != nil {
		return nil, nil, nil, err
	}
	want, err := parseSums(list)
	if err != nil {
		return []string{BundleSums + ": " + err.Error()}, nil, list, nil
	}
	for name, sum := range want {
		switch got, err := archive.SHA256File(filepath.Join(root, name)); {
		case errors.Is(err, fs.ErrNotExist):
			problems = append(problems, name+": not there")
		case err != nil:
			problems = append(problems, fmt.Sprintf("%s: %v", name, err))
		case got != sum:
			problems = append(problems, fmt.Sprintf("%s: sha256: got %s, want %s", name, got, sum))
		}
	}
	links, err := readLinks(root, want)
	if err != nil {
		return []string{err.Error()}, nil, list, nil
	}
	for name, to := range links {
		if got, _ := os.Readlink(filepath.Join(root, name)); got != to {
			problems = append(problems, fmt.Sprintf("%s: got a link to %q, want one to %q", name, got, to))
		}
	}
	for name, sum := range was {
		if want[name] == "" {
			if got, err := archive.SHA256File(filepath.Join(root, name)); err == nil && got == sum {
				outdated = append(outdated, name)
			}
		}
	}
	slices.Sort(problems)
	slices.Sort(outdated)
	return problems, outdated, list, nil
}

// readLinks reads the list of links of an unpacked bundle; nil where it has none.
func readLinks(root string, listed Sums) (map[string]string, error) {
	if listed[bundleLinks] == "" {
		return nil, nil
	}
	data, err := os.ReadFile(filepath.Join(root, bundleLinks))
	if err != nil {
		return nil, err
	}
	return parseLinks(data)
}

// listed are the names that an unpacked bundle in root has by its list: files and links.
func listed(root string, list []byte) (map[string]bool, error) {
	sums, err := parseSums(list)
	if err != nil {
		return nil, err
	}
	links, err := readLinks(root, sums)
	names := map[string]bool{}
	for n := range sums {
		names[n] = true
	}
	for n := range links {
		names[n] = true
	}
	return names, err
}

// BundledFor is the stack that the bundle in root was made for, and its architecture; empty where it is none.
func BundledFor(root string) (name, arch string) {
	data, _ := os.ReadFile(filepath.Join(root, BundleStack))
	name, arch, _ = strings.Cut(strings.TrimSpace(string(data)), "/")
	return name, arch
}
