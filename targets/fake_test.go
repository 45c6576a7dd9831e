package targets

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/testlong"

	"github.com/rogpeppe/go-internal/testscript"
)

// These tests drive the compiled runner against tiny upstreams that they make themselves: a few Go and C files, in the
// layouts of the real ones.

// upstreams are the fakes' files by component. Their names have a leading directory, as real archives have.
func upstreams() map[string]map[string]string {
	mod := func(m string) string { return "module " + m + "\n\ngo 1.21\n" }
	versionPkg := func(pkg string) string {
		return "package " + pkg + "\n\nvar Version, GitCommit, Revision, Package, BuildTime, ProductName, " +
			"IAmStatic string\n"
	}
	// Without fmt, a program links in half the time, and is a third smaller to pack.
	tool := func(imp, says string) string {
		return fmt.Sprintf("package main\n\nimport (\n\t\"syscall\"\n\n\tv %q\n)\n\n"+
			"func main() { syscall.Write(1, []byte(%s+\"\\n\")) }\n", imp, says)
	}
	cd := "github.com/containerd/containerd/version"
	dd := "github.com/docker/docker/dockerversion"
	fakes := map[string]map[string]string{
		"libseccomp": {
			"configure": "#!/bin/sh\ngperf --version >/dev/null || exit 1\necho configured\n",
			"src/Makefile": "libseccomp.la: s.c\n\t$(CC) $(CFLAGS) -fPIC -c -o s.o s.c\n\trm -f " +
				"libseccomp.a\n\t$(AR) $(AR_FLAGS) libseccomp.a s.o\n" +
				"install-libLTLIBRARIES:\n\tmkdir -p $(DESTDIR)/lib\n\tcp libseccomp.a $(DESTDIR)/lib/\n",
			"src/s.c": "const char *seccomp_fake(void) { return \"2.6.0\"; }\n",
			"include/Makefile": "install-includeHEADERS:\n\tmkdir -p $(DESTDIR)/include\n\tcp seccomp.h " +
				"seccomp-syscalls.h $(DESTDIR)/include/\n",
			"include/seccomp.h":          "const char *seccomp_fake(void);\n",
			"include/seccomp-syscalls.h": "\n",
		},
		"tini": {"src/tini.c": "#include <stdio.h>\n#include <tiniConfig.h>\n" +
			"int main(void) { printf(\"tini version %s%s\\n\", TINI_VERSION, TINI_GIT); return 0; }\n"},
		"runc": {
			"go.mod": mod("github.com/opencontainers/runc"),
			"main.go": "package main\n\n// #cgo pkg-config: libseccomp\n// #include <seccomp.h>\nimport \"C\"\n\n" +
				"import \"syscall\"\n\nvar version, gitCommit string\n\n" +
				"func main() {\n\tsyscall.Write(1, []byte(\"runc version \" + version + \"\\ncommit: \" + " +
				"gitCommit + \"\\nlibseccomp: \" + C.GoString(C.seccomp_fake()) + \"\\n\"))\n}\n",
		},
		"containerd": {
			"go.mod":                              mod("github.com/containerd/containerd"),
			"version/version.go":                  versionPkg("version"),
			"cmd/containerd/main.go":              tool(cd, `"containerd "+v.Version+" "+v.Revision`),
			"cmd/ctr/main.go":                     tool(cd, `"ctr "+v.Version`),
			"cmd/containerd-shim-runc-v2/main.go": tool(cd, `"shim "+v.Version+" "+v.Revision`),
		},
		"dockerd": {
			"vendor.mod": mod("github.com/docker/docker"), "vendor.sum": "",
			"dockerversion/v.go":       versionPkg("dockerversion"),
			"cmd/dockerd/main.go":      tool(dd, `"Docker version "+v.Version+", build "+v.GitCommit`),
			"cmd/docker-proxy/main.go": tool(dd, `"docker-proxy "+v.GitCommit+" "+v.Version`),
		},
		"docker-cli": {
			"vendor.mod": mod("github.com/docker/cli"), "vendor.sum": "",
			"cli/version/v.go": versionPkg("version"),
			"cmd/docker/main.go": tool("github.com/docker/cli/cli/version",
				`"Docker version "+v.Version+", build "+v.GitCommit`),
		},
	}
	// With a configure that wants no pkg-config, and a link that knows libtool's flag.
	const link = "FLAGS = $(filter-out -all-static,$(LDFLAGS)) -static\n"
	configure := "#!/bin/sh\n$PKG_CONFIG --exists anything && exit 1\n" +
		"sed 's/@ARGS@/configured/' bus.in >bus.out || exit 1\necho \"configured with $*\"\n"
	fakes["iptables"] = map[string]string{
		"configure": configure, "bus.in": "", "configure.ac": "newer than configure, if times were believed\n",
		"libiptc/Makefile":    "libip4tc.la libip6tc.la:\n\ttouch $@\n",
		"libxtables/Makefile": "libxtables.la:\n\ttouch $@\n",
		"extensions/Makefile": "libext.a libext4.a libext6.a:\n\ttouch $@\n",
		"iptables/Makefile": link + "xtables-legacy-multi: m.c ../libiptc/libip4tc.la " +
			"../extensions/libext6.a\n\t$(CC) $(CFLAGS) -o $@ m.c $(FLAGS)\n",
		"iptables/m.c": "#include <pwd.h>\n#include <stdio.h>\n" +
			"int main(int n, char **v) { printf(\"%s v1.8.11 (legacy), root %s\\n\", v[n > 1 ? 1 : 0], " +
			"getpwnam(\"root\") ? \"there\" : \"gone\"); return 0; }\n",
	}
	fakes["expat"] = map[string]string{
		"lib/expat.h": "#include \"expat_external.h\"\n", "lib/expat_external.h": "int expat_fake(void);\n",
		"lib/xmlparse.c": "#include <expat_config.h>\n#include \"expat.h\"\n" +
			"int expat_fake(void) { return XML_CONTEXT_BYTES; }\n",
		"lib/xmlrole.c": "int role;\n", "lib/xmltok.c": "int tok;\n",
	}
	fakes["dbus"] = map[string]string{
		"configure": strings.Replace(configure, "bus.in >bus.out", "bus/system.conf.in >bus/system.conf", 1) +
			"printf '%s\\n' \"EXPAT = $EXPAT_CFLAGS $EXPAT_LIBS\" >config.mk\n",
		"dbus/Makefile":      "libdbus-1.la libdbus-internal.la:\n\ttouch $@\n",
		"bus/system.conf.in": "<busconfig><!-- @ARGS@ --></busconfig>\n",
		"bus/Makefile": "include ../config.mk\n" + link + "dbus-daemon: d.c\n\t$(CC) $(CFLAGS) -o $@ " +
			"d.c $(EXPAT) $(FLAGS)\n",
		"bus/d.c": "#include <expat.h>\n#include <stdio.h>\n" +
			"int main(void) { printf(\"D-Bus Message Bus Daemon 1.14.10 %d\\n\", expat_fake()); return 0; }\n",
		"tools/Makefile": link + "dbus-send dbus-uuidgen: t.c\n\t$(CC) $(CFLAGS) -o $@ t.c $(FLAGS)\n",
		"tools/t.c": "#include <stdio.h>\nint main(void) { puts(\"D-Bus UUID Generator " +
			"1.14.10\"); return 0; }\n",
	}
	for _, f := range fakes {
		f["LICENSE"] = licence()
	}
	// As in upstream's own archives, what they need lies in vendor/; it can be had from nowhere else.
	for component, modfile := range map[string]string{"containerd": "go.mod", "dockerd": "vendor.mod"} {
		f := fakes[component]
		f[modfile] += "\nrequire example.invalid/dep v1.0.0\n"
		f["vendor/modules.txt"] = "# example.invalid/dep v1.0.0\n## explicit; go 1.21\nexample.invalid/dep\n"
		f["vendor/example.invalid/dep/dep.go"] = "package dep\n\nfunc init() {}\n"
		f["vendor/example.invalid/dep/LICENSE"] = licence()
		main := "cmd/" + component + "/main.go"
		f[main] = strings.Replace(f[main], "import (\n", "import (\n\t_ \"example.invalid/dep\"\n", 1)
	}
	return fakes
}

// licence is the text of this repository's own: a package of something without one is refused.
var licence = sync.OnceValue(func() string {
	data, err := os.ReadFile("../LICENSE")
	if err != nil {
		panic(err)
	}
	return string(data)
})

var fakeVersions = map[string]string{"libseccomp": "2.6.0", "tini": "0.19.0", "runc": "1.1.15", "containerd": "1.7.24",
	"dockerd": "26.1.5", "docker-cli": "26.1.5", "iptables": "1.8.11", "expat": "2.7.1", "dbus": "1.14.10"}

// writeFakes makes archives in dir and gives the stack file and the lock for them.
func writeFakes(dir, base string,
	edit func(component string, files map[string]string)) (stackTOML, lock string, err error) {
	var s, l strings.Builder
	s.WriteString("version = \"26.1.5\"\ngo = \">= 1.21\"\nepoch = 1700000000\n\n[target]\nkernel = \"3.10\"\n" +
		"arch = \"amd64\"\n")
	for _, c := range []string{"libseccomp", "tini", "runc", "containerd", "dockerd", "docker-cli", "iptables",
		"expat", "dbus"} {
		files := upstreams()[c]
		if edit != nil {
			edit(c, files)
		}
		var es []archive.Entry
		for n, data := range files {
			e := archive.Entry{Name: c + "-src/" + n, Data: []byte(data), Mode: 0o644}
			if target, ok := strings.CutPrefix(data, "link:"); ok && target != "" {
				e.Link = target
			}
			if n == "configure" {
				e.Mode = 0o755
			}
			es = append(es, e)
		}
		name := c + "-fake.tar.gz"
		if _, err := archive.WriteTarGz(filepath.Join(dir, name), es, time.Unix(1600000000, 0)); err != nil {
			return "", "", err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "", "", err
		}
		sum := sha256.Sum256(data)
		fmt.Fprintf(&l, "\n[[file]]\ncomponent = %q\nname = %q\nsha256 = %q\nsize = %d\n", c, name,
			hex.EncodeToString(sum[:]), len(data))
		fmt.Fprintf(&s, "\n[component.%s]\nversion = %q\n", c, fakeVersions[c])
		switch c {
		case "tini", "dockerd", "docker-cli", "containerd", "runc":
			fmt.Fprintln(&s, `commit = "abcdef0123"`)
		}
		if c == "dockerd" { // docker.txtar and old.txtar have it with C
			fmt.Fprintln(&s, "quota = false")
		}
		if c == "dockerd" || c == "docker-cli" {
			fmt.Fprintf(&s, "\n[component.%s.vendor]\nmodfile = \"vendor.mod\"\n", c)
		}
		fmt.Fprintf(&s, "\n[[component.%s.origin]]\nkind = \"url\"\nurl = %q\nvendored = true\n", c, base+"/"+name)
	}
	return s.String(), l.String(), nil
}

var (
	runner  string
	goCache string // build/cache of every fake repository: Go's own library is compiled once
)

func TestMain(m *testing.M) {
	line, _ := os.ReadFile("/proc/self/cmdline") // os.Args are what a command of ours makes of them
	if args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00"); len(args) > 3 &&
		slices.Contains([]string{"as", "refusing", "silent", "hearing"}, args[1]) {
		play(args[1:])
	}
	flag.Parse()
	if want := componentCommands(recipe.Components()); *update && componentsIn() != want {
		if err := os.WriteFile(componentsFile, []byte(want), 0o644); err != nil {
			panic(err)
		}
		fmt.Println(componentsFile + " is new, which is compiled into this: the same again writes the rest")
		os.Exit(1)
	}
	dir, err := os.MkdirTemp("", "drydock-test-")
	if err != nil {
		panic(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // for other users, too
		panic(err)
	}
	// It lies alone, for a directory of PATH is looked at again when something comes into it.
	runner = filepath.Join(dir, "bin/drydock")
	// Mage names a program in its help as the file into which it compiled it.
	compiled := filepath.Join(dir, "bin/mage")
	if err := compileRunner(compiled, ".."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := os.Rename(compiled, runner); err != nil {
		panic(err)
	}
	// It outlives a test run: it is found by content, and only Go's own library is in it that costs time.
	goCache = filepath.Join(dir, "cache")
	if user, err := os.UserCacheDir(); err == nil && os.MkdirAll(filepath.Join(user, "drydock-test"), 0o755) == nil {
		goCache = filepath.Join(user, "drydock-test")
	}
	if err := os.MkdirAll(goCache, 0o755); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func TestScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("builds made-up stacks")
	}
	t.Parallel()
	testscript.Run(t, scripts("testdata/script"))
}

func TestLongScripts(t *testing.T) {
	testlong.Skip(t)
	if found, _ := filepath.Glob("testdata/long/*.txtar"); len(found) == 0 {
		t.Skip("no long scripts")
	}
	testscript.Run(t, scripts("testdata/long"))
}

func scripts(dir string) testscript.Params {
	return testscript.Params{
		Dir: dir,
		Setup: func(e *testscript.Env) error {
			served := filepath.Join(e.WorkDir, "served")
			root := filepath.Join(e.WorkDir, "repo")
			for _, d := range []string{served, root + "/vendor-sources", root + "/patches", root + "/build"} {
				if err := os.MkdirAll(d, 0o755); err != nil {
					return err
				}
			}
			if err := os.Symlink(goCache, root+"/build/cache"); err != nil {
				return err
			}
			if err := os.WriteFile(root+"/mage", nil, 0o755); err != nil {
				return err
			}
			srv := httptest.NewServer(http.FileServer(http.Dir(served)))
			e.Defer(srv.Close)
			s, l, err := writeFakes(served, srv.URL, nil)
			if err != nil {
				return err
			}
			for name, data := range map[string]string{"fake.toml": s, "fake.lock": l} {
				if err := os.WriteFile(root+"/vendor-sources/"+name, []byte(data), 0o644); err != nil {
					return err
				}
			}
			e.Setenv("DRYDOCK_ROOT", root)
			e.Setenv("STACK", "fake")
			e.Setenv("URL", srv.URL)
			e.Setenv("HOST", srv.Listener.Addr().String())
			e.Setenv("PATH", testPath())
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("RUNNER", runner)
			looked, err := lookedRepo()
			if err != nil {
				return err
			}
			if err := looked.giveFacts(root, e.WorkDir); err != nil {
				return err
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			e.Setenv("PLAY", self)
			gotool, err := exec.LookPath("go")
			if err != nil {
				return err
			}
			e.Setenv("GO", gotool)
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"posed": posed, "twogos": twogos, "servego": servego, "withscript": withscript, "withground": withground,
			"signed": signed, "flip": flip, "machine": machine, "built": built, "madeup": madeup,
			"gocached":   gocached,
			"proxy":      proxy,
			"advisories": advisories, "attacked": attacked, "owned": owned, "kept": kept,
			// toolchain RELEASE makes the stack name a release to fetch.
			"toolchain": func(ts *testscript.TestScript, neg bool, args []string) {
				p := ts.MkAbs("repo/vendor-sources/fake.toml")
				data := ts.ReadFile(p)
				ts.Check(os.WriteFile(p, []byte("toolchain = \""+args[0]+"\"\n"+data), 0o644))
			},
			// replace FILE OLD NEW changes a text in a file; OLD must be there, and \n in NEW begins a line.
			"replace": func(ts *testscript.TestScript, neg bool, args []string) {
				p := ts.MkAbs(args[0])
				data, err := os.ReadFile(p)
				ts.Check(err)
				if !bytes.Contains(data, []byte(args[1])) {
					ts.Fatalf("%s: %q is not in it", args[0], args[1])
				}
				now := strings.ReplaceAll(args[2], `\n`, "\n")
				ts.Check(os.WriteFile(p, bytes.Replace(data, []byte(args[1]), []byte(now), 1), 0o644))
			},
			// slow makes libseccomp's configure hang, as a run that takes long.
			"slow": func(ts *testscript.TestScript, neg bool, args []string) {
				rewrite(ts, "libseccomp", map[string]string{"configure": "#!/bin/sh\nsleep 4321\n"})
			},
			// hostile COMPONENT NAME TARGET puts an entry into a component's archive: a link to TARGET, or a file
			// without one.
			"hostile": func(ts *testscript.TestScript, neg bool, args []string) {
				rewrite(ts, args[0], map[string]string{args[1]: "link:" + strings.Join(args[2:], "")})
			},
			// respoil ARCHIVE COPY NAME copies an archive whose entry NAME has other bytes of the same length.
			"respoil": func(ts *testscript.TestScript, neg bool, args []string) {
				r, err := archive.Open(ts.MkAbs(args[0]), "gz")
				ts.Check(err)
				defer r.Close()
				var b bytes.Buffer
				zw := gzip.NewWriter(&b)
				tw := tar.NewWriter(zw)
				found := false
				for tr := tar.NewReader(r); ; {
					h, err := tr.Next()
					if errors.Is(err, io.EOF) {
						break
					}
					ts.Check(err)
					data, err := io.ReadAll(tr)
					ts.Check(err)
					if h.Name == args[2] {
						found = true
						data[len(data)/2] ^= 1
					}
					ts.Check(tw.WriteHeader(h))
					_, err = tw.Write(data)
					ts.Check(err)
				}
				if !found {
					ts.Fatalf("%s: no %s in it", args[0], args[2])
				}
				ts.Check(errors.Join(tw.Close(), zw.Close()))
				ts.Check(os.WriteFile(ts.MkAbs(args[1]), b.Bytes(), 0o644))
			},
			// gone DIR waits until nothing is at work below a directory; with a "!", until something is.
			"gone": func(ts *testscript.TestScript, neg bool, args []string) {
				for r := (&fakeRepo{root: ts.MkAbs(args[0])}); (len(r.orphans()) == 0) == neg; {
					time.Sleep(10 * time.Millisecond)
				}
			},
			// exits CODE COMMAND… runs a command and holds its exit code.
			"exits": func(ts *testscript.TestScript, neg bool, args []string) {
				err := ts.Exec(args[1], args[2:]...)
				got := "0"
				if ee := (*exec.ExitError)(nil); errors.As(err, &ee) {
					got = fmt.Sprint(ee.ExitCode())
				}
				if got != args[0] {
					ts.Fatalf("exit code: got %s (%v), want %s", got, err, args[0])
				}
			},
		},
	}
}
