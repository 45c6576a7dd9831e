package pack

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// maxText is the size, in bytes, of the largest text that is read out of a package or bundle.
const maxText = 16 << 20

// contained is what was found in an archive that lists its own files.
type contained struct {
	problems []string // by file
	left     []string // listed and not there
	texts    map[string][]byte
}

// readListed reads an archive to its end, and holds its files (below prefix) against its own list. It unpacks nothing. alone are the
// names that the list need not have; texts are those whose content is kept.
func readListed(file, prefix, list string, alone, texts []string) (*contained, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := &contained{texts: map[string][]byte{}}
	last := "" // the entry that was read last
	broken := func(err error) (*contained, error) {
		where := "before its first file"
		if last != "" {
			where = "in or after " + last
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			c.problems = []string{fmt.Sprintf("%s: cut off, %s: carry it again", filepath.Base(file), where)}
		} else {
			c.problems = []string{fmt.Sprintf("%s: damaged, %s (%v): carry it again", filepath.Base(file), where, err)}
		}
		return c, nil
	}
	zr, err := gzip.NewReader(f)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return broken(err)
	}
	got := Sums{}
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
		name, ok := strings.CutPrefix(h.Name, prefix)
		if !ok || !filepath.IsLocal(name) || h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeSymlink || got[name] != "" {
			c.problems = []string{fmt.Sprintf("%.200q: not a file of such an archive, which has files below %q, each once: not one of drydock's, or a damaged one", h.Name, cmp.Or(prefix, "."))}
			return c, nil
		}
		if h.Typeflag == tar.TypeSymlink { // the lists have files only
			continue
		}
		sum := sha256.New()
		if name == list || slices.Contains(texts, name) {
			if h.Size > maxText {
				return nil, fmt.Errorf("%s: %s: got %d bytes, want at most %d", file, h.Name, h.Size, maxText)
			}
			if c.texts[name], err = io.ReadAll(tr); err != nil {
				return broken(err)
			}
			sum.Write(c.texts[name])
		} else if _, err := io.Copy(sum, tr); err != nil {
			return broken(err)
		}
		got[name] = hex.EncodeToString(sum.Sum(nil))
	}
	if _, err := io.Copy(io.Discard, zr); err != nil { // gzip's own checksum comes last
		return broken(err)
	}
	want, err := ParseSums(c.texts[list])
	if err == nil && got[list] == "" {
		err = errors.New("not there, though it lists what is")
	}
	if err != nil {
		c.problems = []string{prefix + list + ": " + err.Error()}
		return c, nil
	}
	for name, sum := range want {
		switch g := got[name]; {
		case g == "":
			c.left = append(c.left, name)
		case g != sum:
			c.problems = append(c.problems, fmt.Sprintf("%s: sha256: got %s, want %s: carry it again", name, g, sum))
		}
	}
	for name := range got {
		if want[name] == "" && name != list && !slices.Contains(alone, name) {
			c.problems = append(c.problems, fmt.Sprintf("%s: not in %s: it does not belong here", name, list))
		}
	}
	slices.Sort(c.problems)
	slices.Sort(c.left)
	return c, nil
}

// VerifyBundle reads a bundle and gives what is wrong with it, file by file, and the files that its list names and a difference
// leaves out.
func VerifyBundle(file string) (problems, left []string, err error) {
	c, err := readListed(file, BundleDir, BundleSums, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	return c.problems, c.left, nil
}

// Read is what a package says of itself.
type Read struct {
	Manifest Contents
	Modules  map[string]string // of the bill of materials: versions by name
	Sums     Sums
	// List and Signature are SHA256SUMS and its signature; the latter is nil without.
	List, Signature []byte
}

// ReadPackage reads a package to its end and gives what it says of itself, and what is wrong with it, file by file.
func ReadPackage(file string) (*Read, []string, error) {
	c, err := readListed(file, "", SumsName, []string{SignatureName}, []string{ManifestName, SBOMName, SignatureName})
	if err != nil {
		return nil, nil, err
	}
	for _, n := range c.left {
		c.problems = append(c.problems, n+": not there")
	}
	if len(c.problems) > 0 {
		return nil, c.problems, nil
	}
	r := &Read{Modules: map[string]string{}, List: c.texts[SumsName], Signature: c.texts[SignatureName]}
	if r.Sums, err = ParseSums(r.List); err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(c.texts[ManifestName], &r.Manifest); err != nil {
		return nil, []string{ManifestName + ": " + err.Error()}, nil
	}
	var bill cdx.BOM
	if err := json.Unmarshal(c.texts[SBOMName], &bill); err != nil {
		return nil, []string{SBOMName + ": " + err.Error()}, nil
	}
	if bill.Components != nil {
		for _, x := range *bill.Components {
			if x.Type == cdx.ComponentTypeLibrary {
				r.Modules[x.Name] = strings.TrimSpace(r.Modules[x.Name] + " " + x.Version)
			}
		}
	}
	for _, f := range r.Manifest.Files {
		if f.Link == "" && r.Sums[f.Name] != f.SHA256 {
			return nil, []string{fmt.Sprintf("%s: %s has %s, %s has %s", f.Name, SumsName, r.Sums[f.Name], ManifestName, f.SHA256)}, nil
		}
	}
	return r, nil, nil
}
