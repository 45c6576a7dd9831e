package targets

import (
	"archive/zip"
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// advisories DAY FILE… serves a database of that day ("20261105") with these advisories as the newest, as a module proxy does, and
// makes that the proxy of all that follows.
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
	for name, data := range map[string][]byte{"../@latest": info, version + ".info": info, version + ".mod": []byte("module golang.org/x/vulndb\n"),
		version + ".zip": b.Bytes(), "list": nil} {
		ts.Check(os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	ts.Setenv("GOPROXY", ts.Getenv("URL"))
	ts.Setenv("GOSUMDB", "off")
}
