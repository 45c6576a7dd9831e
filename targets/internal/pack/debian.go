package pack

import (
	"bytes"
	_ "embed"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A source that is older than modules may be compiled with Debian's packages of Go libraries in place of its vendor
// tree. Then these, at their own versions, are what is linked, and each says in its copyright file where it comes from
// and on which terms.

// LibraryList is the text in which the collector lists the import paths of such libraries.
const LibraryList = "libraries.txt"

// libraryDocs is where their copyright files lie in a tree, below a directory named after the package.
const libraryDocs = ".libraries/doc/"

// homesText has import paths whose packages name another place as their source: that place, and the path.
//
//go:embed homes.txt
var homesText string

// older are earlier names of the same import paths.
var older = map[string]string{
	"go.etcd.io/etcd": "github.com/coreos/etcd", "go.etcd.io/bbolt": "github.com/coreos/bbolt"}

var (
	sourceField = regexp.MustCompile(`(?m)^Source:\s*(\S+)`)
	googleRepo  = regexp.MustCompile(`^(?:github\.com/golang|go\.googlesource\.com|godoc\.org/golang\.org/x)/`)
)

// importPath tells from a package's copyright file which import path it provides.
func importPath(copyright []byte) string {
	m := sourceField.FindSubmatch(copyright)
	if m == nil {
		return ""
	}
	p := string(m[1])
	if _, rest, ok := strings.Cut(p, "://"); ok {
		p = rest
	}
	p = strings.TrimSuffix(strings.TrimRight(p, "/"), ".git")
	for line := range strings.Lines(homesText) {
		if place, home, _ := strings.Cut(strings.TrimSpace(line), " "); place == p {
			return home
		}
	}
	if !strings.HasPrefix(p, "github.com/golang/protobuf") && !strings.HasPrefix(p, "github.com/golang/groupcache") &&
		!strings.HasPrefix(p, "github.com/golang/snappy") {
		p = googleRepo.ReplaceAllString(p, "golang.org/x/")
	}
	return p
}

// libraryModules returns the packages whose code is in a Go file, and the import paths in it that no package accounts
// for.
func libraryModules(data []byte, ts []text, versions map[string]string) (ms []Module, unknown []string) {
	provides := map[string]string{} // import path → packages, separated by spaces: some share a source
	var dirs []string
	for _, t := range ts {
		if rest, ok := strings.CutPrefix(t.name, libraryDocs); ok && path.Base(rest) == "copyright" {
			pkg := path.Dir(rest)
			p := importPath(t.data)
			provides[p] = strings.TrimSpace(provides[p] + " " + pkg)
			if o, ok := older[p]; ok {
				provides[o] = provides[p]
			}
		}
		if t.name == LibraryList {
			dirs = strings.Fields(string(t.data))
		}
	}
	for _, d := range dirs {
		if !linked(data, d) {
			continue
		}
		root := d
		for root != "." && provides[root] == "" {
			root = path.Dir(root)
		}
		if root == "." {
			unknown = append(unknown, d)
			continue
		}
		for pkg := range strings.FieldsSeq(provides[root]) {
			ms = append(ms, Module{Path: root, Version: versions[pkg], Package: pkg})
		}
	}
	slices.SortFunc(ms, func(a, b Module) int { return strings.Compare(a.Package, b.Package) })
	return slices.CompactFunc(ms, func(a, b Module) bool { return a.Package == b.Package }), unknown
}

// linked reports whether a file has functions of the package with that import path: the table of their names stays when
// all symbols are stripped. Dots in the last element are written %2e there.
func linked(data []byte, imp string) bool {
	dir, base := path.Split(imp)
	return bytes.Contains(data, []byte(dir+strings.ReplaceAll(base, ".", "%2e")+"."))
}

// debianNames are short names of licences in copyright files that SPDX calls otherwise.
var debianNames = map[string]string{"expat": "MIT", "go": "BSD-3-Clause", "gpl-3+": "GPL-3.0-or-later",
	"gpl-2+": "GPL-2.0-or-later", "lgpl-2.1+": "LGPL-2.1-or-later", "bsd-2-clause": "BSD-2-Clause",
	"bsd-3-clause": "BSD-3-Clause", "apache-2.0": "Apache-2.0", "mpl-2.0": "MPL-2.0", "isc": "ISC", "w3c": "W3C",
	"cc-by-3.0": "CC-BY-3.0", "cc-by-sa-4.0": "CC-BY-SA-4.0"}

// debianLicence reads the licences of a package's own files from its copyright file, as an SPDX expression.
func debianLicence(copyright []byte) string {
	var all []string
	for para := range strings.SplitSeq(strings.ReplaceAll(string(copyright), "\r", ""), "\n\n") {
		files, licence := "", ""
		for line := range strings.Lines(strings.ReplaceAll(para, ":\n ", ": ")) {
			if v, ok := strings.CutPrefix(line, "Files:"); ok {
				files = strings.TrimSpace(v)
			}
			if v, ok := strings.CutPrefix(line, "License:"); ok {
				licence = strings.TrimSpace(v)
			}
		}
		if files == "" || licence == "" || strings.HasPrefix(files, "debian/") {
			continue
		}
		var words []string
		for w := range strings.FieldsSeq(licence) {
			lower := strings.ToLower(strings.TrimRight(w, ","))
			base, _, _ := strings.Cut(lower, "~")
			switch {
			case lower == "or" || lower == "and":
				words = append(words, strings.ToUpper(lower))
			case debianNames[base] != "":
				words = append(words, debianNames[base])
			case strings.HasPrefix(lower, "expat"):
				words = append(words, "MIT")
			default:
				words = append(words, "LicenseRef-"+notInRef.ReplaceAllString(w, "-"))
			}
		}
		x := strings.Join(words, " ")
		if strings.Contains(x, " OR ") {
			all = append(all, "("+x+")")
		} else if x != "" {
			all = append(all, strings.Split(x, " AND ")...)
		}
	}
	if all == nil { // not every such file is in the machine-readable form
		all = licencesIn(copyright)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " AND ")
}

var notInRef = regexp.MustCompile(`[^A-Za-z0-9.-]+`)
