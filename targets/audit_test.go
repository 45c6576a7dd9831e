package targets

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/audit"

	"github.com/rogpeppe/go-internal/testscript"
)

// advisories DAY FILE… serves a database of that day ("20261105") with these advisories as the newest, as a module
// proxy does, and makes that the proxy of all that follows.
func advisories(ts *testscript.TestScript, neg bool, args []string) {
	version := fmt.Sprintf("v0.0.0-%s234957-%012s", args[0], args[0])
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	add := func(name string, data []byte) {
		w, err := z.Create("golang.org/x/vulndb@" + version + "/" + name)
		ts.Check(err)
		_, err = w.Write(data)
		ts.Check(err)
	}
	add("go.mod", []byte("module golang.org/x/vulndb\n"))
	add("data/osv/README", []byte("not an advisory"))
	for _, name := range args[1:] {
		add("data/osv/"+filepath.Base(name), []byte(ts.ReadFile(name)))
	}
	ts.Check(z.Close())
	dir := ts.MkAbs("served/golang.org/x/vulndb/@v")
	ts.Check(os.MkdirAll(dir, 0o755))
	info := fmt.Appendf(nil, `{"Version":%q,"Time":"2026-11-05T23:49:57Z"}`, version)
	mod := []byte("module golang.org/x/vulndb\n")
	for name, data := range map[string][]byte{"../@latest": info, version + ".info": info, version + ".mod": mod,
		version + ".zip": b.Bytes(), "list": nil} {
		ts.Check(os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	ts.Setenv("GOPROXY", ts.Getenv("URL"))
	ts.Setenv("GOSUMDB", "off")
}

// TestRealPackageHasAVerdictForAllThatGovulncheckNames compares the audit of the package that DRYDOCK_PACKAGE names
// with golang.org/x/vuln's own judgement of its files, by the same database. It takes that program from the module
// proxy.
func TestRealPackageHasAVerdictForAllThatGovulncheckNames(t *testing.T) {
	file := os.Getenv("DRYDOCK_PACKAGE")
	if file == "" {
		t.Skip("DRYDOCK_PACKAGE names no package")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(runner, "audit", "-json", "-file="+file)
	cmd.Env = append(os.Environ(), "DRYDOCK_ROOT="+root, "OFFLINE=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 8) {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var report audit.Report
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if report.Open > 0 || len(report.Unneeded) > 0 {
		t.Errorf("audit: %s; statements that nobody needs: %q", report.Line(), report.Unneeded)
	}
	verdicts := map[string][]string{} // by file
	for _, x := range report.Rows {
		for _, f := range x.Files {
			verdicts[f] = append(verdicts[f], x.ID)
		}
	}
	dir := t.TempDir()
	extract(t, root, dir, file)
	govulncheck := filepath.Join(dir, "govulncheck")
	install := exec.Command("go", "install", "golang.org/x/vuln/cmd/govulncheck@v1.9.0")
	install.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "docker/*"))
	judged := 0
	for _, f := range files {
		if filepath.Base(f) == "docker-init" {
			continue // no Go
		}
		judged++
		cmd := exec.Command(govulncheck, "-mode=binary", "-format=json", "-db=file://"+dir+"/osv", f)
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("govulncheck %s: %v", f, err)
			continue
		}
		for _, id := range named(t, out) {
			if !slices.Contains(verdicts[filepath.Base(f)], id) {
				t.Errorf("%s: govulncheck names %s, of which the audit says nothing", filepath.Base(f), id)
			}
		}
	}
	if judged == 0 {
		t.Error("no file with Go in it")
	}
}

// named are the advisories that govulncheck found.
func named(t *testing.T, out []byte) (ids []string) {
	t.Helper()
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var m struct {
			Finding *struct{ OSV string }
		}
		if err := dec.Decode(&m); err == io.EOF {
			return ids
		} else if err != nil {
			t.Fatal(err)
		}
		if m.Finding != nil {
			ids = append(ids, m.Finding.OSV)
		}
	}
}

// extract unpacks a package into dir, and the repository's database into dir/osv.
func extract(t *testing.T, root, dir, file string) {
	t.Helper()
	tar, err := archive.Open(file, "gz")
	if err != nil {
		t.Fatal(err)
	}
	defer tar.Close()
	programs := func(name string) bool { return strings.HasPrefix(name, "docker/") }
	if err := archive.ExtractOnly(tar, dir, 0, programs); err != nil {
		t.Fatal(err)
	}
	found, _ := filepath.Glob(filepath.Join(root, "vendor-sources/vulndb_*.zip"))
	if len(found) != 1 {
		t.Fatalf("got %v, want one database of advisories: run \"mage fetch\"", found)
	}
	z, err := zip.OpenReader(found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if err := os.Mkdir(filepath.Join(dir, "osv"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		if !strings.Contains(f.Name, "/data/osv/") || path.Ext(f.Name) != ".json" {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		to := filepath.Join(dir, "osv", path.Base(f.Name))
		if err := errors.Join(err, r.Close(), os.WriteFile(to, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}
