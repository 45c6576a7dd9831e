package audit

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drydock/targets/internal/recipe"
	"drydock/targets/internal/stack"
)

// entry makes an advisory against a module.
func entry(t *testing.T, text string) *Entry {
	t.Helper()
	e, err := parseEntry([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

const inDep = `{"id": "GO-2026-9001", "aliases": ["CVE-2026-9001"], "summary": "hole",
	"affected": [{"package": {"name": "example.invalid/dep"}, "ranges": [{"type": "SEMVER",
	"events": [{"introduced": "0"}, {"fixed": "1.2.0"}, {"introduced": "1.3.0-rc.1"}, {"fixed": "1.3.3"}]}],
	"ecosystem_specific": {"imports": [{"path": "example.invalid/dep", "symbols": ["Bad", "T.Bad"]}]}}]}`

func TestRangesOfVersions(t *testing.T) {
	t.Parallel()
	a := entry(t, inDep).Affected[0]
	for v, want := range map[string]string{"v1.1.9": "v1.2.0", "v1.2.0": "", "v1.2.9": "", "v1.3.0-rc.1": "v1.3.3",
		"v1.3.2": "v1.3.3", "v1.3.3": "", "v0.0.0-20200121000000-8c9f03a": "v1.2.0"} {
		if got := a.affects(v); got != (want != "") {
			t.Errorf("%s: got %v", v, got)
		}
		if got := a.fixedIn(v); want != "" && got != want {
			t.Errorf("%s: fixed in: got %s, want %s", v, got, want)
		}
	}
	if !(&Affected{}).affects("v1.0.0") {
		t.Error("an advisory without ranges is of all versions")
	}
}

func TestVersionsOfOtherKinds(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"1.2.3+ds1-2": "v1.2.3", "1:0.7.0+dfsg-1": "v0.7.0",
		"0.0~git20200121.8c9f03a-1": "v0.0.0-20200121000000-8c9f03a", "1.0.0~rc92-1": "v1.0.0-rc92"} {
		if got := DebianVersion(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{"go1.26.8": "v1.26.8", "go1.27rc1": "v1.27.0-rc.1",
		"go1.26.8 X:nodwarf5": "v1.26.8"} {
		if got := goVersion(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{"github.com/docker/docker": "v26.1.5+incompatible",
		"github.com/containerd/containerd/v2": "v26.1.5"} {
		if got := mainVersion(in, "26.1.5"); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestNamesInGosTable(t *testing.T) {
	t.Parallel()
	p := &Program{packages: map[string]map[string]bool{}}
	for _, n := range []string{"golang.org/x/net/http2.(*Transport).RoundTrip.func1", "gopkg.in/yaml%2ev3.Unmarshal",
		"slices.SortFunc[...]", "a.b/c.T[...].M-fm", "a.b/m/vendor/golang.org/x/net/html.Parse", "main.run",
		"type:.eq.a.b/x.T",
		"vendor/golang.org/x/text.F"} {
		p.note(n, "a.b/cmd/x")
	}
	for _, want := range []string{"golang.org/x/net/http2 Transport.RoundTrip", "gopkg.in/yaml.v3 Unmarshal",
		"slices SortFunc", "a.b/c T.M", "golang.org/x/net/html Parse", "a.b/cmd/x run", "vendor/golang.org/x/text F"} {
		if pkg, symbol, _ := strings.Cut(want, " "); !p.has(pkg, symbol) {
			t.Errorf("no %s in %v", want, p.packages)
		}
	}
	if p.has("a.b/x", "") {
		t.Error("an equality of types is no function of the package")
	}
}

// compiled makes a stripped program of which Good is called, Bad not, and Small compiled into main.
func compiled(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module a.b/x\n\ngo 1.21\n\nrequire example.invalid/dep v1.1.0\n",
		"main.go": "package main\n\nimport (\n\t\"os\"\n\n\t\"example.invalid/dep\"\n)\n\n" +
			"func main() { dep.Good(); println(dep.Small(len(os.Args))) }\n",
		"vendor/modules.txt": "# example.invalid/dep v1.1.0\n## explicit; go 1.21\nexample.invalid/dep\n",
		"vendor/example.invalid/dep/dep.go": "package dep\n\n//go:noinline\nfunc Good() {}\n\n//go:noinline\n" +
			"func Bad() {}\n\n" +
			"func Small(n int) int { return n*7 + 1 }\n",
	} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", append(append([]string{"build", "-mod=vendor", "-o", "x"}, args...), ".")...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "x")
}

func TestFunctionsOfAStrippedFile(t *testing.T) {
	t.Parallel()
	p, err := ReadProgramFile(compiled(t, "-ldflags=-s -w"), "runc", "1.1.15")
	if err != nil {
		t.Fatal(err)
	}
	dep := Module{"example.invalid/dep", "example.invalid/dep", "v1.1.0"}
	if !slices.Contains(p.Modules, dep) || p.Modules[0].Version != "v1.1.15" {
		t.Errorf("modules: got %v", p.Modules)
	}
	for f, want := range map[string]bool{"Good": true, "Bad": false, "Small": true} {
		if got := p.has("example.invalid/dep", f); got != want {
			t.Errorf("%s: got %v, want %v", f, got, want)
		}
	}
	reach := func(text string) Reach {
		db := newDatabase("2026-11-05", []*Entry{entry(t, text)})
		all := db.In(p, "amd64")
		if len(all) != 1 || all[0].Fixed != "v1.2.0" || all[0].CVE != "CVE-2026-9001" {
			t.Fatalf("got %+v, want one finding", all)
		}
		return all[0].Reach
	}
	for symbols, want := range map[string]Reach{`"Bad", "T.Bad"`: ReachNo, `"Small"`: ReachYes, ``: ReachYes} {
		if got := reach(strings.Replace(inDep, `"Bad", "T.Bad"`, symbols, 1)); got != want {
			t.Errorf("%s: got %s, want %s", symbols, got, want)
		}
	}
	if got := reach(strings.Replace(inDep, `"imports"`, `"nothing"`, 1)); got != ReachUnknown {
		t.Errorf("an advisory that names no packages: got %s", got)
	}
}

// The repository's own files must be read without a problem; what they say of a stack is the audit's to compare.
func TestTheRepositorysOwnFiles(t *testing.T) {
	t.Parallel()
	dir := "../../../vendor-sources"
	data, err := os.ReadFile(filepath.Join(dir, "advisories-c.toml"))
	if err != nil {
		t.Fatal(err)
	}
	table, ps := parseTable(data, "advisories-c.toml", recipe.Rows().Names())
	for _, p := range ps {
		t.Error(p)
	}
	books, _ := filepath.Glob(filepath.Join(dir, "*.vex.toml"))
	for _, file := range books {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, ps := parseStatements(data, file)
		for _, p := range ps {
			t.Error(p)
		}
	}
	for version, want := range map[string]int{"1.2.4": 3, "1.2.6": 2, "0.9.12": 2} {
		if got := table.In("musl", version); len(got) != want {
			t.Errorf("musl %s: got %+v, want %d", version, got, want)
		}
	}
	if !table.covers("tini") || table.covers("runc") {
		t.Error("covers: got something else than the table has")
	}
}

// Some advisories on the engine name its repository, and not the module that its files say they are of.
func TestTheEngineIsKnownByItsRepositoryToo(t *testing.T) {
	t.Parallel()
	p := &Program{Modules: []Module{{"github.com/docker/docker", "github.com/docker/docker", "v20.10.24+incompatible"}},
		packages: map[string]map[string]bool{"github.com/docker/docker/daemon": {"Bad": true}}}
	text := `{"id": "GO-2026-9003", "affected": [{"package": {"name": "github.com/moby/moby"},
		"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "26.0.0+incompatible"}]}],
		"ecosystem_specific": {"imports": [{"path": "github.com/moby/moby/daemon", "symbols": ["Bad"]}]}}]}`
	all := newDatabase("", []*Entry{entry(t, text)}).In(p, "amd64")
	if len(all) != 1 || all[0].Reach != ReachYes || all[0].Module != "github.com/docker/docker" ||
		all[0].Fixed != "v26.0.0+incompatible" {
		t.Errorf("got %+v", all)
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	book, ps := parseStatements([]byte(`
[[statement]]
id = ["GO-2026-9001 CVE-2026-9001"]
status = "fixed"
patch = ["fix.patch"]
reason = "checks it"

[[statement]]
id = ["CVE-2026-40200"]
components = ["musl"]
status = "affected"
action = "sort less"
reason = "it sorts"

[[statement]]
id = ["CVE-2025-26519"]
components = ["expat"]
status = "not_affected"
justification = "component_not_present"
see = ["x"]
reason = "of a component that is not looked at"
`), "a.vex.toml")
	if ps != nil {
		t.Fatal(ps)
	}
	dep := Module{"example.invalid/dep", "example.invalid/dep", "v1.1.0"}
	calls := map[string]map[string]bool{"example.invalid/dep": {"Bad": true}}
	raised := dep
	raised.Version = "v1.2.0"
	sub := &Subject{Known: recipe.Rows().Names(), Stack: "s", Arch: "amd64",
		Programs: []*Program{{File: "runc", Component: "runc", Modules: []Module{dep}, packages: calls},
			{File: "ctr", Component: "containerd", Modules: []Module{dep}, packages: calls},
			{File: "docker", Component: "docker-cli", Modules: []Module{raised}, packages: calls}},
		Parts: []Part{{"musl", "1.2.5"}},
		Evidence: map[string]Evidence{"runc": {Patches: []string{"fix.patch"}}, "containerd": {}, "musl": {},
			"expat": {}, "docker-cli": {Raises: []string{"example.invalid/dep@v1.2.0"}}},
		Raised: map[string][]stack.Raised{"docker-cli": {{Module: "example.invalid/dep", From: "v1.1.0",
			To: "v1.2.0"}}}}
	table := &Table{Covers: []Cover{{Component: "musl"}},
		Known: []Known{{ID: []string{"CVE-2026-40200"}, Component: "musl"},
			{ID: []string{"CVE-2025-26519"}, Component: "expat"}}}
	r, ps := Make(sub, newDatabase("2026-11-05", []*Entry{entry(t, inDep)}), table, book)
	if ps != nil {
		t.Fatal(ps)
	}
	got := map[string]string{}
	for _, x := range r.Rows {
		got[x.Component] = x.Verdict + ": " + x.Why
	}
	want := map[string]string{"runc": "fixed: fix.patch: checks it", "containerd": "open: ",
		"musl": "affected: it sorts", "docker-cli": "fixed: raised from v1.1.0"}
	if !maps.Equal(got, want) || r.Unneeded != nil || r.Line() != "1 open, 1 affected of 2, database of 2026-11-05" {
		t.Errorf("got %v, %v, %s, want %v", got, r.Unneeded, r.Line(), want)
	}

	// What a statement calls the fix must be in each component that it names, and a raise in the files at that version.
	book.Statements[0].Components = []string{"runc", "containerd"}
	sub.Evidence["containerd"] = Evidence{Raises: []string{"example.invalid/dep@v1.2.0"}}
	book.Statements[1].Raise = []string{"example.invalid/dep@v1.2.0"}
	book.Statements[1].Components = []string{"containerd"}
	_, ps = Make(sub, newDatabase("2026-11-05", []*Entry{entry(t, inDep)}), table, book)
	if len(ps) != 2 ||
		!strings.Contains(ps.Error(), "a.vex.toml:2: status: got \"fixed\", but none of its patches and raises "+
			"is in containerd") ||
		!strings.Contains(ps.Error(), "a.vex.toml:8: raise: got example.invalid/dep@v1.2.0, but ctr is "+
			"linked with v1.1.0") {
		t.Error(ps)
	}
}

func TestAStatementOfAnExtraHoldsForAPackageWithoutIt(t *testing.T) {
	t.Parallel()
	table := &Table{Known: []Known{{ID: []string{"CVE-2025-59375"}, Component: "expat"}}}
	for component, want := range map[string]string{"expat": "", "expta": "want a component of the stack"} {
		book, ps := parseStatements([]byte("[[statement]]\nid = ['CVE-2025-59375']\ncomponents = ['"+component+"']\n"+
			"status = 'not_affected'\njustification = 'vulnerable_code_cannot_be_controlled_by_adversary'\n"+
			"see = ['x']\nreason = 'y'\n"), "a.vex.toml")
		if ps != nil {
			t.Fatal(ps)
		}
		sub := &Subject{Known: recipe.Rows().Names(), Stack: "s", Arch: "amd64",
			Evidence: map[string]Evidence{"musl": {}}, Parts: []Part{{"musl", "1.2.5"}}}
		r, ps := Make(sub, newDatabase("2026-11-05", nil), table, book)
		if want == "" && (ps != nil || r.Unneeded != nil) || want != "" && !strings.Contains(ps.Error(), want) {
			t.Errorf("%s: got %v, %v", component, ps, r.Unneeded)
		}
	}
}

func TestWhatGosDatabaseDoesNotNameOfAComponentIsFoundOnceForItsFiles(t *testing.T) {
	t.Parallel()
	table := &Table{Known: []Known{{ID: []string{"CVE-2026-17106"}, Component: "docker-cli", Fixed: "28.1"}}}
	for version, want := range map[string]string{"26.1.5": "1 open of 1", "28.5.2": "0 open"} {
		sub := &Subject{Known: recipe.Rows().Names(), Stack: "s", Arch: "amd64",
			Programs: []*Program{{File: "docker", Component: "docker-cli", Version: version},
				{File: "docker-2", Component: "docker-cli", Version: version}}}
		r, ps := Make(sub, newDatabase("2026-11-05", nil), table, &Book{})
		if ps != nil || !strings.HasPrefix(r.Line(), want) {
			t.Errorf("%s: got %s, %v, want %s", version, r.Line(), ps, want)
		}
	}
}

func FuzzStatements(f *testing.F) {
	f.Add("[[statement]]\nid = ['GO-2026-9001 CVE-2026-9001']\nstatus = 'fixed'\npatch = ['a.patch']\nreason = 'x'\n")
	f.Add("[[statement]]\nid = ['GO-2026-9001']\nstatus = 'not_affected'\njustification = 'component_not_present'\n")
	f.Add("[[advisory]]\nid = ['CVE-2025-59375']\ncomponent = 'expat'\nfixed = '2.7.2'\nsummary = 'x'\nsee = ['y']\n")
	f.Fuzz(func(t *testing.T, text string) {
		book, ps := parseStatements([]byte(text), "x")
		table, more := parseTable([]byte(text), "x", recipe.Rows().Names())
		for _, p := range append(ps, more...) {
			if p.Line < 0 || p.Line > strings.Count(text, "\n")+1 {
				t.Errorf("line %d of %q", p.Line, text)
			}
		}
		table.In("expat", "2.7.1")
		book.Check(recipe.Rows().Names(), map[string]Evidence{"runc": {}}, newDatabase("", nil), table)
	})
}

func FuzzEntry(f *testing.F) {
	f.Add(inDep, "v1.1.0")
	f.Add(`{"id": "GO-2026-9001",
		"affected": [{"ranges": [{"type": "SEMVER", "events": [{"fixed": "1"}, {"introduced": "x"}]}]}]}`, "")
	f.Fuzz(func(t *testing.T, text, v string) {
		e, err := parseEntry([]byte(text))
		if err != nil {
			return
		}
		p := &Program{Modules: []Module{{"example.invalid/dep", "example.invalid/dep", v}}}
		for _, found := range newDatabase("", []*Entry{e}).In(p, "amd64") {
			if found.Fixed != "" && !strings.HasPrefix(found.Fixed, "v") {
				t.Errorf("fixed in %q", found.Fixed)
			}
		}
	})
}

func FuzzTableOfFunctions(f *testing.F) {
	f.Add(append([]byte{0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8}, make([]byte, 80)...))
	f.Add(append([]byte{0xfb, 0xff, 0xff, 0xff, 0, 0, 1, 8}, make([]byte, 80)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		names, err := functionNames(data, 0)
		p := &Program{packages: map[string]map[string]bool{}}
		for _, n := range names {
			p.note(n, "main")
		}
		if err != nil && names != nil {
			t.Error("names beside an error")
		}
	})
}

func TestAHostileDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	for what, files := range map[string]map[string]string{
		"no data/osv":    {"vulndb/data/reports/x.json": "{}"},
		"at most":        {"vulndb/data/osv/x.json": `{"id":"` + strings.Repeat("x", maxEntry) + `"}`},
		"want a name":    {"vulndb/data/osv/x.json": `{"id":"GO-2026-9001 | x\u001b[2J"}`},
		"unexpected end": {"vulndb/data/osv/x.json": `{"id":`},
	} {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for name, text := range files {
			w, err := z.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readEntries(r); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want an error that says %q", err, what)
		}
	}
}

func TestATableOfFunctionsHasWordsOfFourBytesOrEight(t *testing.T) {
	for _, size := range []int{4, 8} {
		names := "main.main\x00example.com/m.(*T).M\x00"
		data := binary.LittleEndian.AppendUint32(nil, magic120)
		data = append(data, 0, 0, 4, byte(size))
		at := 8 + 9*size
		for _, w := range []int{2, 1, 0, at, at + len(names), 0, 0, 0, 0} {
			if size == 4 {
				data = binary.LittleEndian.AppendUint32(data, uint32(w))
			} else {
				data = binary.LittleEndian.AppendUint64(data, uint64(w))
			}
		}
		got, err := functionNames(append(append(data, names...), make([]byte, 64)...), 0)
		if err != nil || !slices.Equal(got, []string{"main.main", "example.com/m.(*T).M"}) {
			t.Errorf("%d bytes: got %q, %v", size, got, err)
		}
	}
}
