package pack

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
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
// in it. Names in it, below BundleDir:
const (
	BundleDir  = "drydock/"
	BundleSums = "BUNDLE.sha256" // of every other file, also of those that a difference leaves out
	BundleText = "BUNDLE.txt"    // for people
	// BundleStack holds the name of the stack that it was made for, which is built there when STACK does not say otherwise.
	BundleStack = "BUNDLE.stack"
)

// Sums are digests by name.
type Sums map[string]string

var sumLine = regexp.MustCompile(`^([0-9a-f]{64}) [ *](.+)$`)

// ParseSums reads what sha256sum writes.
func ParseSums(data []byte) (Sums, error) {
	sums := Sums{}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimRight(line, "\r\n")
		m := sumLine.FindStringSubmatch(line)
		switch {
		case line == "":
		case m == nil || !filepath.IsLocal(m[2]) || strings.ContainsFunc(m[2], func(r rune) bool { return r < ' ' }):
			return nil, fmt.Errorf("line %d: got %.80q, want 64 hex digits, two spaces and a name below the directory", n, line)
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

// WriteBundle writes a bundle of entries, whose names are those below BundleDir, without what old has already. text makes
// BUNDLE.txt from the digests. file.sha256 goes with it.
func WriteBundle(file string, es []archive.Entry, old Sums, text func(Sums) []byte, t time.Time) (*Bundled, error) {
	data, err := sumsOf(es, nil)
	if err != nil {
		return nil, err
	}
	sums, err := ParseSums(data)
	if err != nil {
		return nil, err
	}
	about := archive.Entry{Name: BundleText, Data: text(sums), Mode: 0o644}
	line, err := sumsOf([]archive.Entry{about}, nil)
	if err != nil {
		return nil, err
	}
	data = append(line, data...)
	b := &Bundled{}
	es = slices.DeleteFunc(slices.Clone(es), func(e archive.Entry) bool { return old[e.Name] != "" && old[e.Name] == sums[e.Name] })
	b.Left, b.Files = len(sums)-len(es), len(es)+2
	es = append(es, about, archive.Entry{Name: BundleSums, Data: data, Mode: 0o644})
	for i := range es {
		es[i].Name = BundleDir + es[i].Name
	}
	if err := plainNames(es); err != nil {
		return nil, err
	}
	// Most of it is compressed already.
	if _, err := archive.WriteTarGzLevel(file, es, t, gzip.BestSpeed); err != nil {
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

// OldSums gives what an older bundle has: from the bundle itself, or from its BUNDLE.sha256 alone.
func OldSums(file string) (Sums, error) {
	data, err := archive.Member(file, "gz", BundleSums)
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, io.EOF) {
		if data, err = os.ReadFile(file); err == nil && len(data) > maxSums {
			err = fmt.Errorf("%d bytes: neither a bundle nor a list of digests", len(data))
		}
	}
	if err != nil {
		return nil, err
	}
	sums, err := ParseSums(data)
	if err == nil && len(sums) == 0 {
		err = errors.New("no digest in it")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: neither a bundle nor its %s: %w", file, BundleSums, err)
	}
	return sums, nil
}

// maxSums is the size, in bytes, of the largest list of digests.
const maxSums = 8 << 20

// VerifyBundle reads a bundle to its end and gives what is wrong with it, file by file, and the files that its list names and
// a difference leaves out. It unpacks nothing.
func VerifyBundle(file string) (problems, left []string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	last := "" // the entry that was read last
	broken := func(err error) ([]string, []string, error) {
		where := "before its first file"
		if last != "" {
			where = "in or after " + last
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return []string{fmt.Sprintf("%s: cut off, %s: carry it again", filepath.Base(file), where)}, nil, nil
		}
		return []string{fmt.Sprintf("%s: damaged, %s (%v): carry it again", filepath.Base(file), where, err)}, nil, nil
	}
	zr, err := gzip.NewReader(f)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return broken(err)
	}
	got := Sums{}
	var list []byte
	tr := tar.NewReader(zr)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return broken(err)
		}
		last = h.Name
		name, ok := strings.CutPrefix(h.Name, BundleDir)
		switch {
		case !ok || !filepath.IsLocal(name) || h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeSymlink || got[name] != "":
			return []string{fmt.Sprintf("%.200q: no file of a bundle: want names below %s, each once: this is no bundle of drydock's, or a damaged one", h.Name, BundleDir)}, nil, nil
		case name == BundleSums && h.Size > maxSums:
			return nil, nil, fmt.Errorf("%s: %d bytes, want at most %d", h.Name, h.Size, maxSums)
		case name == BundleSums:
			if list, err = io.ReadAll(tr); err != nil {
				return broken(err)
			}
		default:
			if h.Typeflag == tar.TypeSymlink { // of a checkout; the lists have files only
				continue
			}
			sum := sha256.New()
			if _, err := io.Copy(sum, tr); err != nil {
				return broken(err)
			}
			got[name] = hex.EncodeToString(sum.Sum(nil))
		}
	}
	if _, err := io.Copy(io.Discard, zr); err != nil { // gzip's own checksum comes last
		return broken(err)
	}
	want, err := ParseSums(list)
	if err != nil || list == nil {
		return []string{fmt.Sprintf("%s%s: damaged or missing: %v", BundleDir, BundleSums, cmp.Or(err, errors.New("it lists what is in the bundle")))}, nil, nil
	}
	for name, sum := range want {
		switch g := got[name]; {
		case g == "":
			left = append(left, name)
		case g != sum:
			problems = append(problems, fmt.Sprintf("%s: sha256: got %s, want %s: carry it again", name, g, sum))
		}
	}
	for name := range got {
		if want[name] == "" {
			problems = append(problems, fmt.Sprintf("%s: not in %s: this is not what was bundled", name, BundleSums))
		}
	}
	slices.Sort(problems)
	slices.Sort(left)
	return problems, left, nil
}

// CheckUnpacked holds an unpacked bundle in root against its list, and gives what is wrong, by file. was is the list that
// held before a newer bundle was unpacked over it, or nil: what is only in that is outdated.
func CheckUnpacked(root string, was Sums) (problems, outdated []string, list []byte, err error) {
	list, err = os.ReadFile(filepath.Join(root, BundleSums))
	if err != nil {
		return nil, nil, nil, err
	}
	want, err := ParseSums(list)
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
