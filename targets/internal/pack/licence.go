package pack

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/google/licensecheck"
)

// text is one licence text, notice or list of modules in a source tree.
type text struct {
	name string // in the tree
	data []byte
}

// readTexts reads the tar that was kept of a component's tree.
func readTexts(file string) ([]text, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var ts []text
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return ts, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		data := make([]byte, h.Size)
		if _, err := io.ReadFull(tr, data); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		ts = append(ts, text{h.Name, data})
	}
}

// licenceName is how a text that is the licence itself is named; the others (NOTICE, PATENTS) go with it.
var licenceName = regexp.MustCompile(`(?i)^((un)?licen[cs]es?|copying|copyright)([-._].*)?$`)

// forDocs are licences of a project's documentation, which is not linked.
var forDocs = regexp.MustCompile(`(?i)[-._]docs?$`)

// stated are licences that cannot be told from a text alone, by module, each with the reason; a component's stands in
// its row.
var stated = map[string]string{
	"glibc":  "LGPL-2.1-or-later",
	"libgcc": "GPL-3.0-or-later WITH GCC-exception-3.1", // linking with it puts no terms on the result
	"stdlib": "BSD-3-Clause",                            // Go's LICENSE
	// One of the two, as its LICENSE.code says; the texts of both are in it.
	"github.com/spdx/tools-golang": "Apache-2.0 OR GPL-2.0-or-later",
}

// names that licensecheck has for what SPDX calls otherwise.
var spdx = map[string]string{"LGPL-2.1": "LGPL-2.1-only", "GPL-2.0": "GPL-2.0-only", "GPL-3.0": "GPL-3.0-only",
	"MPL-2.0-no-copyleft-exception": "MPL-2.0"}

// scanned are the texts that were looked at: most are there many times over.
var scanned sync.Map

// common are the beginnings of licensecheck's names of licences that nearly everything has, and of those that have a
// short form beside a long one.
var common = []string{"Apache-2.0", "BSD-", "CDDL-1.0", "GPL-2.0", "HPND", "Intel", "LGPL-2.1", "MIT",
	"MPL-", "Multics"}

// shortLicence is the length, in words, below which a licence is looked for always.
const shortLicence = 250

// few looks for the common licences and for all short ones: to look for every licence that is known takes two seconds
// and 60 MB, which no text here needs. Words of a text that few leaves over can be a licence only if they are many.
var few = sync.OnceValue(func() *licensecheck.Scanner {
	s, err := licensecheck.NewScanner(slices.DeleteFunc(licensecheck.BuiltinLicenses(),
		func(l licensecheck.License) bool { return !fewHas(l) }))
	if err != nil { // of the library's own licences
		return nil
	}
	return s
})

func fewHas(l licensecheck.License) bool {
	return l.LRE != "" &&
		(slices.ContainsFunc(common, func(c string) bool { return strings.HasPrefix(l.ID, c) }) ||
			len(strings.Fields(l.LRE)) < shortLicence)
}

// leftOver is the number of unknown words above which a text is compared with every known licence: fewer than a licence
// has that few does not look for, with some to spare.
const leftOver = shortLicence * 4 / 5

func scan(data []byte) licensecheck.Coverage {
	if few() == nil {
		return licensecheck.Scan(data)
	}
	c := few().Scan(data)
	if float64(len(bytes.Fields(data)))*(100-c.Percent)/100 > leftOver {
		c = licensecheck.Scan(data)
	}
	return c
}

// licencesIn returns the SPDX identifiers of the licences that a text contains, sorted.
func licencesIn(data []byte) []string {
	if ids, ok := scanned.Load(string(data)); ok {
		return ids.([]string)
	}
	var ids []string
	for _, m := range scan(data).Match {
		if m.IsURL { // a mention, not the text
			continue
		}
		id := m.ID
		if s, ok := spdx[id]; ok {
			id = s
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	scanned.Store(string(data), ids)
	return ids
}

// licenceOf joins the licences of a name's texts into one SPDX expression. No licence is an error: nobody may pass it
// on.
func licenceOf(name string, ts []text) (string, error) {
	if s, ok := stated[name]; ok {
		return s, nil
	}
	var ids, looked []string
	for _, t := range ts {
		base := path.Base(t.name)
		if !licenceName.MatchString(base) || forDocs.MatchString(base) {
			continue
		}
		looked = append(looked, t.name)
		ids = append(ids, licencesIn(t.data)...)
	}
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) > 0 {
		return strings.Join(ids, " AND "), nil
	}
	if looked == nil {
		return "", errors.New("no licence text in its tree")
	}
	return "", fmt.Errorf("no licence that is known in %s", strings.Join(looked, ", "))
}

// textsOf returns the texts that belong to a component's own tree: those outside of its vendor trees, and of
// directories that are not compiled in.
func textsOf(ts []text) []text {
	return slices.DeleteFunc(slices.Clone(ts), func(t text) bool {
		for dir := range strings.SplitSeq(path.Dir(t.name), "/") {
			if slices.Contains([]string{"vendor", ".libraries", "testdata", "contrib", "docs", "man", "hack",
				"integration", "integration-cli", "project"}, dir) {
				return true
			}
		}
		return isList(t.name)
	})
}

// isList reports whether a kept file is a list of modules, not a licence text.
func isList(name string) bool {
	return path.Base(name) == "modules.txt" || path.Base(name) == "vendor.conf"
}

// textsOfModule returns the texts that belong to a vendored module, with names below the module's directory. modules
// are all modules of the tree: what lies in the directory of a deeper one belongs to that. Where the module has none,
// those of the directories above it count: one licence at a repository's top is for all modules in it.
func textsOfModule(ts []text, module string, modules []string) []text {
	inner := slices.DeleteFunc(slices.Clone(modules), func(m string) bool { return !strings.HasPrefix(m, module+"/") })
	var own []text
	for _, t := range ts {
		rest, ok := belowModule(t.name, module)
		if ok && !isList(t.name) &&
			!slices.ContainsFunc(inner, func(m string) bool { return strings.HasPrefix(module+"/"+rest, m+"/") }) {
			own = append(own, text{rest, t.data})
		}
	}
	if slices.ContainsFunc(own, func(t text) bool { return licenceName.MatchString(path.Base(t.name)) }) {
		return own
	}
	for up := path.Dir(module); strings.Count(up, "/") > 0; up = path.Dir(up) {
		for _, t := range ts {
			if rest, ok := belowModule(t.name, up); ok && !strings.Contains(rest, "/") && !isList(t.name) {
				own = append(own, text{rest, t.data})
			}
		}
		if len(own) > 0 {
			break
		}
	}
	return own
}

// belowModule cuts a module's directory off a name: vendor/<module>/ in a module's tree, src/<module>/ in a GOPATH.
func belowModule(name, module string) (string, bool) {
	for _, root := range []string{"vendor/", "src/"} {
		if _, rest, ok := strings.Cut("/"+name, "/"+root+module+"/"); ok {
			return rest, true
		}
	}
	return "", false
}

// isGoLicence reports whether a text is the licence of Go itself: golang.org/x modules carry the same.
func isGoLicence(data []byte) bool {
	return bytes.Contains(data, []byte("Go Authors")) || bytes.Contains(data, []byte("Google LLC"))
}
