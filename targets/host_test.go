package targets

import (
	"archive/zip"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"drydock/targets/internal/testprog"

	"github.com/rogpeppe/go-internal/goproxytest"
	"github.com/rogpeppe/go-internal/testscript"
)

// posingGo is a go command that says it is another release, and compiles as the real one does.
func posingGo(real, root, release string) map[string]string {
	go1 := fmt.Sprintf("#!/bin/sh\ncase \"$1 $2\" in 'version ') echo go version go%s linux/amd64;; 'env GOROOT') "+
		"echo ${0%%/bin/go};; *) GOROOT=%s exec %s \"$@\";; esac\n", release, root, real)
	return map[string]string{"bin/go": go1, "pkg/tool/linux_amd64/compile": "compile " + release,
		"pkg/tool/linux_amd64/link": "link " + release}
}

// realGo gives the go command of the tests and its root.
func realGo(ts *testscript.TestScript) (string, string) {
	real := ts.Getenv("REAL")
	out, err := exec.Command(real, "env", "GOROOT").Output()
	ts.Check(err)
	return real, strings.TrimSpace(string(out))
}

// posed COMMAND: all building commands are refused on this host, with lines that match, and touch nothing.
func posed(ts *testscript.TestScript, neg bool, args []string) {
	for _, command := range []string{"check", "all"} {
		err := ts.Exec("drydock", command)
		var ee *exec.ExitError
		if !errors.As(err, &ee) || ee.ExitCode() != 3 {
			ts.Fatalf("%s: got %v, want exit code 3", command, err)
		}
		out := ts.ReadFile("stdout")
		for _, want := range args {
			if !regexp.MustCompile(want).MatchString(out) {
				ts.Fatalf("%s: nothing matches %q in:\n%s", command, want, out)
			}
		}
	}
	before := ts.ReadFile("before")
	ts.Check(ts.Exec("find", "repo/build", "-mindepth", "1"))
	if after := ts.ReadFile("stdout"); after != before {
		ts.Fatalf("build/: got\n%s\nwant\n%s", after, before)
	}
}

// twogos makes toolchains that pose as two releases in HOME/sdk, and a PATH directory without a go command.
func twogos(ts *testscript.TestScript, neg bool, args []string) {
	real, root := realGo(ts)
	for _, r := range []string{"1.19.13", "1.26.99"} {
		for name, data := range posingGo(real, root, r) {
			p := ts.MkAbs(filepath.Join("sdk/go"+r, name))
			ts.Check(os.MkdirAll(filepath.Dir(p), 0o755))
			ts.Check(testprog.Write(p, data))
		}
	}
}

// servego RELEASE puts a toolchain's module zip where a module proxy would serve it.
func servego(ts *testscript.TestScript, neg bool, args []string) {
	real, root := realGo(ts)
	version := "v0.0.1-go" + args[0] + ".linux-amd64"
	p := ts.MkAbs("served/golang.org/toolchain/@v/" + version + ".zip")
	ts.Check(os.MkdirAll(filepath.Dir(p), 0o755))
	f, err := os.Create(p)
	ts.Check(err)
	defer f.Close()
	z := zip.NewWriter(f)
	for name, data := range posingGo(real, root, args[0]) {
		w, err := z.Create("golang.org/toolchain@" + version + "/" + name)
		ts.Check(err)
		_, err = w.Write([]byte(data))
		ts.Check(err)
	}
	ts.Check(z.Close())
}

// withscript puts a check-config.sh of fifty options into dockerd's archive, and configurations beside the repository:
// one that has the first forty-nine, and one of an old kernel, for which the script asks for one more.
func withscript(ts *testscript.TestScript, neg bool, args []string) {
	var script, config strings.Builder
	script.WriteString("echo 'Generally Necessary:'\nif [ \"$kernelMajor\" -lt 4 ]; then\n\tcheck_flags OLD\nfi\n" +
		"check_flags \\\n")
	for i := 1; i < 50; i++ {
		fmt.Fprintf(&script, "\tOPT_%d", i)
		fmt.Fprintf(&config, "CONFIG_OPT_%d=y\n", i)
	}
	script.WriteString("\necho 'Optional Features:'\necho '- Storage Drivers:'\n" +
		"echo \"  - \\\"$(wrap_color 'overlay' blue)\\\":\"\ncheck_flags OPT_50 | sed 's/^/    /'\n")
	s, l, err := writeFakes(ts.MkAbs("served"), ts.Getenv("URL"), func(c string, files map[string]string) {
		if c == "dockerd" {
			files["contrib/check-config.sh"] = script.String()
		}
	})
	ts.Check(err)
	for name, data := range map[string]string{"repo/vendor-sources/fake.toml": s, "repo/vendor-sources/fake.lock": l,
		"good": config.String(), "old": "# Linux/x86_64 3.10.0-1160.el7.x86_64 Kernel " +
			"Configuration\n" + config.String()} {
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(data), 0o644))
	}
}

// proxy serves made-up modules, at $PROXY and to all that follows.
func proxy(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs("proxy")
	ts.Check(os.Mkdir(dir, 0o755))
	files, err := filepath.Glob("internal/source/testdata/proxy/*.txtar")
	ts.Check(err)
	for _, f := range files {
		text, err := os.ReadFile(f)
		ts.Check(err)
		ts.Check(os.WriteFile(filepath.Join(dir, filepath.Base(f)),
			append(text, "-- LICENSE --\n"+licence()...), 0o644))
	}
	srv, err := goproxytest.NewServer(dir, "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(srv.Close)
	for _, k := range []string{"PROXY", "GOPROXY"} {
		ts.Setenv(k, srv.URL)
	}
	ts.Setenv("GOSUMDB", "off")
}
