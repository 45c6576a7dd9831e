package targets

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drydock/targets/internal/archive"

	"github.com/rogpeppe/go-internal/testscript"
)

// fakeMusl has musl's way of being built and its layout, and hands out this machine's own static C library: what is
// tried is how drydock builds, keys and uses a library that a stack brings, not what is in it.
var fakeMusl = map[string]string{
	"configure": "#!/bin/sh\ncase $CC in *specs*) echo 'musl cannot be compiled with itself' >&2; exit 1;; esac\n" +
		"echo configured\n",
	"Makefile": `all:
	mkdir -p lib include
	for f in crt1.o Scrt1.o rcrt1.o crti.o crtn.o libc.a libpthread.a; do \
		cp $$(gcc -print-file-name=$$f) lib/ || exit 1; done
	for d in /usr/include /usr/include/$$(gcc -print-multiarch); do \
		cp -R -L $$d/*.h $$d/bits $$d/sys $$d/gnu include/ 2>/dev/null; done; test -f include/stdio.h
	test "$(RANLIB)" = : && test -x "$(AR)"
install:
	mkdir -p $(DESTDIR)
	cp -R lib include $(DESTDIR)/
`,
}

// fakeDeb writes a Debian package of files.
func fakeDeb(file string, es []archive.Entry) error {
	data := filepath.Join(filepath.Dir(file), "data.tar.gz")
	if _, err := archive.WriteTarGz(data, es, time.Unix(1600000000, 0)); err != nil {
		return err
	}
	body, err := os.ReadFile(data)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range []struct{ name, body string }{{"debian-binary", "2.0\n"}, {"control.tar.gz", "not read"},
		{"data.tar.gz", string(body)}} {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n%s", m.name, 0, 0, 0, "100644", len(m.body), m.body)
		if len(m.body)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// withground makes the stack bring a C library and kernel headers, those of this machine in a package as Debian's.
func withground(ts *testscript.TestScript, neg bool, args []string) {
	served, vendor := ts.MkAbs("served"), ts.MkAbs("repo/vendor-sources")
	var es []archive.Entry
	for n, data := range fakeMusl {
		es = append(es, archive.Entry{Name: "musl-1/" + n, Data: []byte(data), Mode: 0o755})
	}
	_, err := archive.WriteTarGz(filepath.Join(served, "musl-fake.tar.gz"), es, time.Unix(1600000000, 0))
	ts.Check(err)
	es = nil
	for from, to := range map[string]string{"/usr/include/linux": "linux", "/usr/include/asm-generic": "asm-generic",
		"/usr/include/x86_64-linux-gnu/asm": "x86_64-linux-gnu/asm"} {
		tree, err := archive.Tree(from, "./usr/include/"+to)
		ts.Check(err)
		es = append(es, tree...)
	}
	ts.Check(fakeDeb(filepath.Join(served, "headers-fake.deb"), es))
	stack, lock := ts.ReadFile(vendor+"/fake.toml"), ts.ReadFile(vendor+"/fake.lock")
	stack = "libc = \"musl\"\n" + stack
	for component, name := range map[string]string{"musl": "musl-fake.tar.gz", "linux-headers": "headers-fake.deb"} {
		data, err := os.ReadFile(filepath.Join(served, name))
		ts.Check(err)
		stack += fmt.Sprintf("\n[component.%s]\nversion = \"1.2.5\"\n\n[[component.%s.origin]]\nkind = \"url\"\n"+
			"url = %q\n", component, component, ts.Getenv("URL")+"/"+name)
		lock += fmt.Sprintf("\n[[file]]\ncomponent = %q\nname = %q\nsha256 = \"%x\"\nsize = %d\n", component, name,
			sha256.Sum256(data), len(data))
	}
	ts.Check(os.WriteFile(vendor+"/fake.toml", []byte(stack), 0o644))
	ts.Check(os.WriteFile(vendor+"/fake.lock", []byte(strings.TrimLeft(lock, "\n")), 0o644))
}
