package pack

import (
	"archive/tar"
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/audit"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/testlong"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/licensecheck"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schema compiles CycloneDX's own schema, which the library that writes the bills carries in its module.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatalf("the schema's module: %v", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "schema")
	c := jsonschema.NewCompiler()
	for file, url := range map[string]string{"bom-1.6.schema.json": "bom-1.6.schema.json",
		"spdx.schema.json": "spdx.schema.json", "jsf-0.82.schemax.json": "jsf-0.82.schema.json"} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource("http://cyclonedx.org/schema/"+url, doc); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func apache(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile("../../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func tarOf(t *testing.T, files map[string][]byte) string {
	t.Helper()
	var es []archive.Entry
	for n, d := range files {
		es = append(es, archive.Entry{Name: n, Data: d, Mode: 0o644})
	}
	var b bytes.Buffer
	if err := archive.WriteTar(&b, es, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// linkedData is a Go file that is linked with two modules.
var linkedData = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "drydock-linked-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "runc")
	if out, err := exec.Command("go", "build", "-ldflags=-s -w -buildid=", "-o", file,
		"./testdata/linked").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(file)
})

// sample are the contents of a package with one Go file, linked with two modules, and a text in place of a C file.
func sample(t *testing.T) *Contents {
	t.Helper()
	dir := t.TempDir()
	runc := filepath.Join(dir, "runc")
	linked, err := linkedData()
	if err == nil {
		err = os.WriteFile(runc, linked, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	dockerInit, lib, source := filepath.Join(dir, "docker-init"), filepath.Join(dir, "libseccomp.a"), filepath.Join(dir,
		"libseccomp.tar.gz")
	for _, f := range []string{dockerInit, lib, source} {
		if err := os.WriteFile(f, []byte(filepath.Base(f)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sourceSum, err := archive.SHA256File(source)
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(runc)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string][]byte{"LICENSE": apache(t)}
	for _, d := range info.Deps {
		texts["vendor/"+d.Path+"/LICENSE"] = apache(t)
	}
	texts["vendor/golang.org/x/sys/LICENSE"] = []byte("Copyright 2009 The Go Authors.\n" + string(apache(t)))
	notices := tarOf(t, texts)
	file := func(component, name, path string) *File {
		return &File{Component: component, Digest: Digest{Name: name},
			Entry: archive.Entry{Name: name, Path: path, Mode: 0o755}, C: true, Kernel: "3.2.0"}
	}
	return &Contents{
		Drydock: "0.0.7", Stack: "docker-26.1", Version: "26.1.5", Arch: "amd64", Kernel: "3.10",
		Released: time.Unix(1721693000, 0).UTC(),
		Components: []*Part{
			{Name: "libseccomp", Version: "2.6.0",
				Facts: Facts{Upstream: "seccomp/libseccomp", License: "LGPL-2.1-only", Library: true, LGPL: true,
					SourceGoes: true}, Sources: []Digest{{Name: "libseccomp.tar.gz", SHA256: sourceSum}},
				Notices: notices, Libs: []string{lib}, Archives: []string{source}},
			{Name: "tini", Version: "0.19.0", Commit: "de40ad0",
				Sources: []Digest{{Name: "tini.tar.gz", SHA256: strings.Repeat("1", 64)}}, Notices: notices,
				Relink: tarOf(t,
					map[string][]byte{"docker-init/args": []byte("-static\ntini.o\n"), "docker-init/tini.o": {1}})},
			{Name: "runc", Version: "1.1.15", Facts: Facts{Upstream: "opencontainers/runc"},
				Sources: []Digest{{Name: "runc~1+ds.tar.xz", SHA256: strings.Repeat("2", 64)}},
				Links:   []string{"libseccomp"}, Notices: notices,
				Patches: []Digest{{Name: ">= 1/fix.patch", SHA256: strings.Repeat("3", 64)}},
				Relink:  tarOf(t, map[string][]byte{"runc/args": []byte("go.o\n"), "runc/go.o": {1}})},
		},
		Files:     []*File{file("runc", "docker/runc", runc), file("tini", "docker/docker-init", dockerInit)},
		CLib:      CLib{Name: "glibc", Version: "2.36", Build: "Debian GLIBC 2.36-9", GCC: "12.2.0"},
		Installer: []archive.Entry{{Name: "install.sh", Data: []byte("#!/bin/sh\n"), Mode: 0o755}},
	}
}

// write makes the package and gives its entries.
func write(t *testing.T, c *Contents) (file, relink string, entries map[string][]byte) {
	t.Helper()
	dir := t.TempDir()
	file, relink = filepath.Join(dir, "docker-26.1.5-linux-amd64.tar.gz"), filepath.Join(dir,
		"docker-26.1.5-linux-amd64-relink.tar.gz")
	if err := Write(file, relink, c); err != nil {
		t.Fatal(err)
	}
	return file, relink, entriesOf(t, file)
}

func entriesOf(t *testing.T, file string) map[string][]byte {
	t.Helper()
	r, err := archive.Open(file, "gz")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := map[string][]byte{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Format != tar.FormatUSTAR {
			t.Errorf("%s: format %v, want ustar: old tars know no other", h.Name, h.Format)
		}
		if got[h.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
}

// checkBill holds a bill against the schema, the files' own module lists, and the demand that all have a licence.
func checkBill(t *testing.T, entries map[string][]byte, bin string) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(entries[sbomName]))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema(t).Validate(doc); err != nil {
		t.Errorf("%s: %v", sbomName, err)
	}
	var bill cdx.BOM
	if err := json.Unmarshal(entries[sbomName], &bill); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, x := range *bill.Components {
		if x.Licenses == nil || len(*x.Licenses) == 0 {
			t.Errorf("%s: no licence", x.BOMRef)
		}
		names[x.BOMRef] = true
	}
	depends := map[string][]string{}
	for _, d := range *bill.Dependencies {
		depends[d.Ref] = *d.Dependencies
		for _, on := range *d.Dependencies {
			if !names[on] {
				t.Errorf("%s depends on %s, which is not in the bill", d.Ref, on)
			}
		}
	}
	seen := 0
	for name := range entries {
		if !strings.HasPrefix(name, BinDir) {
			continue
		}
		// "go version -m" is not our code: it may contradict it.
		out, err := exec.Command("go", "version", "-m", filepath.Join(bin, path.Base(name))).Output()
		if err != nil {
			continue // not Go
		}
		var want []string
		for line := range strings.Lines(string(out)) {
			f := strings.Fields(line)
			switch {
			case len(f) > 2 && f[0] == "dep":
				want = append(want, "pkg:golang/"+f[1]+"@"+f[2])
			case len(f) > 2 && f[0] == "=>":
				want[len(want)-1] = "pkg:golang/" + f[1] + "@" + f[2]
			}
		}
		got := slices.DeleteFunc(slices.Clone(depends["file:"+name]), func(s string) bool {
			return !strings.HasPrefix(s, "pkg:golang/") || strings.HasPrefix(s, "pkg:golang/stdlib@")
		})
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: modules: got %q, want those of \"go version -m\": %q", name, got, want)
		}
		seen += len(want)
	}
	if seen == 0 {
		t.Error("no file names a module")
	}
}

// checkSums holds every entry against SHA256SUMS with sha256sum's own eyes.
func checkSums(t *testing.T, file string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("tar", "xzf", file, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	cmd := exec.Command("sha256sum", "--strict", "-c", SumsName)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("sha256sum: %v\n%s", err, out)
	}
	listed := strings.Count(string(out), ": OK")
	found := 0
	filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasPrefix(d.Name(), SumsName) {
			found++
		}
		return err
	})
	if listed != found {
		t.Errorf("%s lists %d files, the package has %d", SumsName, listed, found)
	}
	return dir
}

func TestThePackageSaysWhatIsInIt(t *testing.T) {
	c := sample(t)
	file, relink, entries := write(t, c)
	checkBill(t, entries, filepath.Dir(c.Files[0].Entry.Path))
	checkSums(t, file)
	checkSums(t, relink)
	for _, n := range []string{"docker/runc", "docker/docker-init", "install.sh", "licenses/runc/LICENSE",
		"licenses/glibc/COPYING.LIB", "relink/README"} {
		if entries[n] == nil {
			t.Errorf("no %s in it", n)
		}
	}
	again, relinkAgain, _ := write(t, sample(t))
	for a, b := range map[string]string{file: again, relink: relinkAgain} {
		x, _ := os.ReadFile(a)
		y, _ := os.ReadFile(b)
		if !bytes.Equal(x, y) {
			t.Errorf("%s: the same contents gave other bytes", filepath.Base(a))
		}
	}
	var m Contents
	if err := json.Unmarshal(entries[manifestName], &m); err != nil {
		t.Fatal(err)
	}
	sum, err := archive.SHA256File(relink)
	if err != nil {
		t.Fatal(err)
	}
	var bill cdx.BOM
	if err := json.Unmarshal(entries[sbomName], &bill); err != nil || m.Drydock != c.Drydock ||
		(*bill.Metadata.Tools.Components)[0].Version != c.Drydock {
		t.Errorf("the tool: got %q and %+v, %v, want %s", m.Drydock, bill.Metadata.Tools, err, c.Drydock)
	}
	if m.Relink == nil || m.Relink.SHA256 != sum {
		t.Errorf("the manifest's digest of the relink file: got %+v, want %s", m.Relink, sum)
	}
}

func TestTheBillSaysWhatWasRaisedAndPatched(t *testing.T) {
	t.Parallel()
	c := sample(t)
	info, err := buildinfo.ReadFile(c.Files[0].Entry.Path)
	if err != nil {
		t.Fatal(err)
	}
	m, n := info.Deps[0], info.Deps[1]
	c.partNamed("runc").Raised = []stack.Raised{{Module: m.Path, From: "v0.0.1", To: m.Version},
		{Module: n.Path, To: n.Version}}
	c.partNamed("runc").Series = []Digest{{Name: "debian/patches/x-CVE-2025-31133-a.patch",
		SHA256: strings.Repeat("4", 64)}}
	_, _, got := write(t, c)
	var bill cdx.BOM
	if err := json.Unmarshal(got[sbomName], &bill); err != nil {
		t.Fatal(err)
	}
	props := map[string][]cdx.Property{}
	for _, x := range *bill.Components {
		if x.Properties != nil {
			props[x.BOMRef] = *x.Properties
		}
	}
	for d, from := range map[*debug.Module]string{m: "v0.0.1", n: "none"} {
		ref := "pkg:golang/" + d.Path + "@" + d.Version
		want := []cdx.Property{{Name: "drydock:raised-from:runc", Value: from}}
		if len(props) != 2 || !slices.Equal(props[ref], want) {
			t.Errorf("%s: got %v among %v, want %v", ref, props[ref], props, want)
		}
	}
	for _, x := range *bill.Components {
		if x.Name != "runc" || x.Pedigree == nil {
			continue
		}
		ps := *x.Pedigree.Patches
		if len(ps) != 2 || ps[0].Type != cdx.PatchTypeBackport || ps[0].Resolves == nil ||
			(*ps[0].Resolves)[0].ID != "CVE-2025-31133" || ps[1].Resolves != nil {
			t.Errorf("got patches %+v, want Debian's with what it closes, and ours", ps)
		}
	}
	if !bytes.Contains(got[manifestName], []byte(`"from": "v0.0.1"`)) {
		t.Errorf("no word of it in the manifest: %s", got[manifestName])
	}
}

func TestNothingIsPackedThatIsNotWhatItsDigestSays(t *testing.T) {
	for what, change := range map[string]func(c *Contents){
		"a file":   func(c *Contents) { c.Files[1].SHA256 = strings.Repeat("5", 64) },
		"a source": func(c *Contents) { c.Components[0].Sources[0].SHA256 = strings.Repeat("5", 64) },
		"in change": func(c *Contents) {
			c.Sign = func([]byte) []byte {
				overwrite(t,
					c.Files[1].Entry.Path)
				return nil
			}
		},
	} {
		c := sample(t)
		change(c)
		file := filepath.Join(t.TempDir(), "docker-26.1.5-linux-amd64.tar.gz")
		err := Write(file, strings.TrimSuffix(file, ".tar.gz")+"-relink.tar.gz", c)
		if err == nil || !strings.Contains(err.Error(), "sha256: got ") || !strings.Contains(err.Error(), ", want ") {
			t.Errorf("%s: got %v, want an error that names both digests", what, err)
		}
		if _, err := os.Stat(file); err == nil {
			t.Errorf("%s: it was packed", what)
		}
	}
}

// overwrite changes a byte of a file in place.
func overwrite(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Every licence that the library knows by its text is found, in its shortest form and below one that everybody has:
// what few leaves out is looked for with all of them.
func TestALicenceThatIsRareIsFoundToo(t *testing.T) { rareLicences(t, 10) }

func TestLongEachLicenceThatIsRareIsFoundToo(t *testing.T) {
	testlong.Skip(t)
	rareLicences(t, 1)
}

// rareLicences looks at every so manieth licence.
func rareLicences(t *testing.T, step int) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes more than a moment")
	}
	rare, all := 0, licensecheck.BuiltinLicenses()
	i := slices.IndexFunc(all, func(l licensecheck.License) bool { return l.ID == "Apache-2.0" && l.LRE != "" })
	apache := shortest(all[i].LRE)
	for n, l := range all {
		if l.LRE == "" || n%step != 0 {
			continue
		}
		text := []byte(apache + "\n\n" + shortest(l.LRE))
		full := licensecheck.Scan(text)
		if got := scan(text); !slices.Equal(got.Match, full.Match) {
			t.Errorf("%s: got %v, want %v", l.ID, got, full)
		}
		if !fewHas(l) {
			rare++
		}
	}
	if rare < 100/step {
		t.Errorf("few leaves out %d licences of each %d, want most of them", rare, step)
	}
}

// shortest gives a text that a licence's expression matches, without what may be left out: (( ))?? is that, || stands
// between alternatives, __20__ is for as many words, and {{ }} and //** **// are remarks.
func shortest(lre string) string {
	lre = regexp.MustCompile(`(?s)//\*\*.*?\*\*//|\{\{.*?\}\}|__\d+__`).ReplaceAllString(lre, " ")
	mark := regexp.MustCompile(`\(\(|\)\)(\?\?)?|\|\|`)
	var group func() (text string, end string)
	group = func() (string, string) {
		text, first := "", ""
		alternative := false
		for {
			m := mark.FindStringIndex(lre)
			if m == nil {
				text, lre = text+lre, ""
				return text, ""
			}
			sign := lre[m[0]:m[1]]
			text, lre = text+lre[:m[0]], lre[m[1]:]
			switch sign {
			case "((":
				if inner, end := group(); end == "))" {
					text += inner
				}
			case "||":
				if !alternative {
					first, alternative = text, true
				}
				text = ""
			default:
				if alternative {
					text = first
				}
				return text, sign
			}
		}
	}
	text, _ := group()
	return text
}

func TestWhatHasNoLicenceIsNotPacked(t *testing.T) {
	c := sample(t)
	c.Components[1].Notices = tarOf(t, map[string][]byte{"LICENSE": []byte("Do as you like, unless it is Tuesday.\n")})
	err := Write(filepath.Join(t.TempDir(), "p.tar.gz"), "", c)
	if err == nil || !strings.Contains(err.Error(), "tini 0.19.0: no licence that is known in LICENSE") {
		t.Errorf("got %v, want an error that names tini and its text", err)
	}
}

func TestWithMuslOnlyWhatLinksLibseccompIsForRelinking(t *testing.T) {
	c := sample(t)
	c.Components = append(c.Components,
		&Part{Name: "musl", Version: "1.2.5", Facts: Facts{License: "MIT", Library: true, CLibrary: true, Ground: true},
			Sources: []Digest{{Name: "musl.tar.gz", SHA256: strings.Repeat("4", 64)}},
			Notices: tarOf(t, map[string][]byte{"COPYRIGHT": []byte("musl\n")})})
	_, relink, entries := write(t, c)
	got := slices.Sorted(maps.Keys(entriesOf(t, relink)))
	if slices.Contains(got, "docker-init/args") || !slices.Contains(got, "runc/args") {
		t.Errorf("got %q, want the objects of runc and not those of docker-init", got)
	}
	if bytes.Contains(entries[sbomName], []byte("glibc")) || !bytes.Contains(entries[sbomName], []byte("musl@1.2.5")) {
		t.Error("the bill names glibc, or not musl")
	}
}

func TestATextBelongsToTheDeepestModule(t *testing.T) {
	ts := []text{{"LICENSE", nil}, {"vendor/a.b/c/LICENSE", nil}, {"vendor/a.b/c/d/LICENSE", nil},
		{"vendor/a.b/c/d/e/NOTICE", nil}, {"vendor/a.b/cc/LICENSE", nil}, {"vendor/a.b/c/v2/NOTICE", nil}}
	all := []string{"a.b/c", "a.b/c/d", "a.b/c/v2", "a.b/cc"}
	for module, want := range map[string][]string{"a.b/c": {"LICENSE"}, "a.b/c/d": {"LICENSE", "e/NOTICE"},
		"a.b/cc": {"LICENSE"}, "a.b/c/v2": {"NOTICE", "LICENSE"}, "x.y/z": nil} {
		var got []string
		for _, x := range textsOfModule(ts, module, all) {
			got = append(got, x.name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", module, got, want)
		}
	}
}

func TestVendorConfOfTreesOlderThanModules(t *testing.T) {
	got := vendorConf([]byte("# deps\ngithub.com/a/b  abc123 # comment\n\n" +
		"github.com/c/d v1 https://github.com/fork/d.git\nbroken\n"))
	want := []Module{{Path: "github.com/a/b", Version: "abc123"},
		{Path: "github.com/c/d", Version: "v1", Replaced: "github.com/fork/d"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDebianPackagesOfLibrariesTakeThePlaceOfModules(t *testing.T) {
	copyright := func(source, licence string) []byte {
		return []byte("Format: x\nSource: " + source + "\n\nFiles: *\nCopyright: x\nLicense: " + licence + "\n\n" +
			"Files: debian/*\nLicense: GPL-3+\n\nLicense: Expat\n text\n")
	}
	ts := []text{
		{libraryDocs + "golang-github-docker-go-units-dev/copyright",
			copyright("https://github.com/docker/go-units.git", "Apache-2.0")},
		{libraryDocs + "golang-golang-x-sys-dev/copyright",
			copyright("https://github.com/golang/sys", "BSD-3-clause~Google")},
		{libraryDocs + "golang-gopkg-yaml.v2-dev/copyright",
			copyright("https://github.com/go-yaml/yaml/tree/v2/", "Expat or Apache-2.0")},
		{libraryDocs + "golang-unused-dev/copyright", copyright("https://github.com/un/used", "Beer")},
		{LibraryList,
			[]byte("github.com/docker/go-units\ngithub.com/un/used\ngolang.org/x/sys/unix\ngopkg.in/yaml.v2\n" +
				"lost.example/a\n")},
	}
	data := []byte("github.com/docker/go-units.HumanSize\x00golang.org/x/sys/unix.Open\x00" +
		"gopkg.in/yaml%2ev2.Marshal\x00lost.example/a.F\x00")
	got, unknown := libraryModules(data, ts, map[string]string{"golang-github-docker-go-units-dev": "0.4.0-4"})
	want := []Module{{Path: "github.com/docker/go-units", Version: "0.4.0-4",
		Package: "golang-github-docker-go-units-dev"}, {Path: "golang.org/x/sys", Package: "golang-golang-x-sys-dev"},
		{Path: "gopkg.in/yaml.v2", Package: "golang-gopkg-yaml.v2-dev"}}
	if !slices.Equal(got, want) || !slices.Equal(unknown, []string{"lost.example/a"}) {
		t.Errorf("got %+v and %q, want %+v and lost.example/a", got, unknown, want)
	}
	for i, want := range []string{"Apache-2.0", "BSD-3-Clause", "(MIT OR Apache-2.0)", "LicenseRef-Beer"} {
		if got := debianLicence(ts[i].data); got != want {
			t.Errorf("%s: got %q, want %q", ts[i].name, got, want)
		}
	}
}

// The tests below look at a real package: DRYDOCK_PACKAGE names it. CI does, after the build.

func realPackage(t *testing.T) string {
	t.Helper()
	p := os.Getenv("DRYDOCK_PACKAGE")
	if p == "" {
		t.Skip("DRYDOCK_PACKAGE names no package")
	}
	return p
}

func TestRealPackage(t *testing.T) {
	file := realPackage(t)
	entries := entriesOf(t, file)
	dir := checkSums(t, file)
	checkBill(t, entries, filepath.Join(dir, BinDir))
	var bill cdx.BOM
	if err := json.Unmarshal(entries[sbomName], &bill); err != nil {
		t.Fatal(err)
	}
	for _, x := range *bill.Components {
		if x.Name == "libgcc" || x.Type == cdx.ComponentTypeFile {
			continue
		}
		have := false
		for n := range entries {
			have = have || strings.HasPrefix(n, licenceDir+x.Name+"/") ||
				strings.HasPrefix(n, licenceDir+"deb/"+x.Name+"/") ||
				strings.HasPrefix(n, licenceDir+"go/"+x.Name+"@"+x.Version+"/")
		}
		if !have {
			t.Errorf("%s: no licence text in the package", x.BOMRef)
		}
	}
}

func TestRealPackageRelinks(t *testing.T) {
	file := realPackage(t)
	dir := checkSums(t, strings.TrimSuffix(file, ".tar.gz")+"-relink.tar.gz")
	bin := filepath.Join(checkSums(t, file), BinDir)
	do := func(env []string, argv ...string) string {
		t.Helper()
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
		}
		return string(out)
	}
	do(nil, "sh", "./relink.sh")
	made, _ := filepath.Glob(filepath.Join(dir, "out/*"))
	if len(made) == 0 {
		t.Fatal("relink.sh made nothing")
	}
	for _, m := range made {
		got, err := os.ReadFile(m)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(bin, filepath.Base(m)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(withoutFips(t, got), withoutFips(t, want)) {
			t.Errorf("%s: linked again it is another file", filepath.Base(m))
		}
	}
	// Another libseccomp: the same source, but it says that it is 2.99.7.
	do(nil, "sh", "-c", `mkdir other && tar xzf source/libseccomp* -C other --strip-components=1 && cd other &&
		sed -i 's/^#define SCMP_VER_MAJOR.*/#define SCMP_VER_MAJOR 2/
			s/^#define SCMP_VER_MINOR.*/#define SCMP_VER_MINOR 99/
			s/^#define SCMP_VER_MICRO.*/#define SCMP_VER_MICRO 7/' include/seccomp.h.in include/seccomp.h 2>/dev/null
		mkdir stub && printf '#!/bin/sh\necho GNU gperf 3.1\n' >stub/gperf && chmod +x stub/gperf &&
		PATH=$PWD/stub:$PATH && sed -i 's/@VERSION_MINOR@/99/; s/@VERSION_MICRO@/7/' include/seccomp.h.in &&
		./configure --disable-shared --enable-static --with-pic >/dev/null && make -C src libseccomp.la >/dev/null`)
	do([]string{"LIBSECCOMP=other/src/.libs/libseccomp.a"}, "sh", "./relink.sh", "runc")
	if out := do(nil, "out/runc", "--version"); !strings.Contains(out, "libseccomp: 2.99.7") {
		t.Errorf("runc linked with another libseccomp: got %q, want it to say libseccomp: 2.99.7", out)
	}
}

// withoutFips blanks the checksum that Go's linker writes after linking.
func withoutFips(t *testing.T, data []byte) []byte {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if s := f.Section(".go.fipsinfo"); s != nil {
		clear(data[s.Offset : s.Offset+s.Size])
	}
	return data
}

// What is stated of advisories is in the bill, and in a document of OpenVEX with all that its specification asks for.
func TestStatementsAreInThePackage(t *testing.T) {
	t.Parallel()
	c := sample(t)
	info, err := buildinfo.ReadFile(c.Files[0].Entry.Path)
	if err != nil {
		t.Fatal(err)
	}
	module := info.Deps[0].Path
	c.Statements = []*audit.Statement{
		{ID: []string{"GO-2026-9001 CVE-2026-9001"}, Components: []string{"runc"}, Module: module,
			Status: audit.NotAffected, Justification: "vulnerable_code_not_in_execute_path", Reason: "nobody calls it"},
		{ID: []string{"CVE-2026-9002", "CVE-2026-9003"}, Status: audit.IsAffected, Action: "do not",
			Reason: "it is there"},
		{ID: []string{"CVE-2026-9004"}, Components: []string{"dbus"}, Status: audit.Fixed,
			Reason: "not in this package"},
	}
	file, _, got := write(t, c)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(got[sbomName]))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema(t).Validate(doc); err != nil {
		t.Errorf("%s: %v", sbomName, err)
	}
	var vex map[string]any
	if err := json.Unmarshal(got[vexName], &vex); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"@context", "@id", "author", "timestamp", "version", "statements"} {
		if vex[key] == nil {
			t.Errorf("no %s: %s", key, got[vexName])
		}
	}
	statements := vex["statements"].([]any)
	if len(statements) != 3 {
		t.Fatalf("got %d statements, want 3: %s", len(statements), got[vexName])
	}
	first := statements[0].(map[string]any)
	want := map[string]any{
		"vulnerability": map[string]any{"name": "GO-2026-9001", "aliases": []any{"CVE-2026-9001"}},
		"products": []any{map[string]any{"@id": "pkg:github/opencontainers/runc@v1.1.15", "subcomponents": []any{
			map[string]any{"@id": "pkg:golang/" + module + "@" + info.Deps[0].Version}}}},
		"status": "not_affected", "justification": "vulnerable_code_not_in_execute_path",
		"impact_statement": "nobody calls it",
	}
	if !reflect.DeepEqual(first, want) {
		t.Errorf("got %v, want %v", first, want)
	}
	for _, x := range statements {
		if x := x.(map[string]any); x["status"] == "affected" && x["action_statement"] == nil {
			t.Errorf("affected, and no action: %v", x)
		}
	}
	r, problems, err := ReadPackage(file)
	if err != nil || problems != nil {
		t.Fatal(err, problems)
	}
	if got := r.Stated["GO-2026-9001 in runc, "+module]; got != "not_affected code_not_reachable" {
		t.Errorf("got %q in %v", got, r.Stated)
	}
	if all := Diff(&Read{}, r); !slices.Contains(all,
		Change{"advisory", "GO-2026-9001 in runc, " + module, "", "not_affected code_not_reachable"}) {
		t.Errorf("no advisory in the difference: %v", all)
	}
}
