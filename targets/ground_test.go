package targets

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	test "$(RANLIB)" = : && test -x "$(AR)"
install:
	mkdir -p $(DESTDIR)
	cp -R lib include $(DESTDIR)/
`,
}

// headersOfC are the headers of this machine that are asked for by what the tests compile, Go's own C included: those
// of the kernel, and the C library's.
func headersOfC() (kernel, libc []archive.Entry, err error) {
	var asked strings.Builder
	for h := range strings.FieldsSeq("dlfcn errno fcntl grp pthread pwd signal stdint stdio stdlib string sys/mman " +
		"sys/prctl sys/stat sys/syscall sys/types time unistd linux/dqblk_xfs linux/quota linux/types linux/version") {
		fmt.Fprintf(&asked, "#include <%s.h>\n", h)
	}
	var files []string
	for _, flag := range []string{"-D_FORTIFY_SOURCE=2", "-D_GNU_SOURCE"} {
		cmd := exec.Command("gcc", "-O2", flag, "-M", "-xc", "-")
		cmd.Stdin = strings.NewReader(asked.String())
		out, err := cmd.Output()
		if err != nil {
			return nil, nil, fmt.Errorf("%v: %w", cmd, err)
		}
		files = append(files, strings.Fields(string(out))...)
	}
	slices.Sort(files)
	for _, f := range slices.Compact(files) {
		name, ok := strings.CutPrefix(f, "/usr/include/")
		if !ok {
			continue
		}
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, nil, err
		}
		ofC := strings.TrimPrefix(name, "x86_64-linux-gnu/")
		switch dir, _, _ := strings.Cut(ofC, "/"); dir {
		case "linux", "asm", "asm-generic":
			kernel = append(kernel, archive.Entry{Name: "./usr/include/" + name, Data: data, Mode: 0o644})
		default:
			libc = append(libc, archive.Entry{Name: "musl-1/include/" + ofC, Data: data, Mode: 0o644})
		}
	}
	return kernel, libc, nil
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
	kernel, es, err := headersOfC()
	ts.Check(err)
	for n, data := range fakeMusl {
		es = append(es, archive.Entry{Name: "musl-1/" + n, Data: []byte(data), Mode: 0o755})
	}
	_, err = archive.WriteTarGz(filepath.Join(served, "musl-fake.tar.gz"), es, time.Unix(1600000000, 0))
	ts.Check(err)
	ts.Check(fakeDeb(filepath.Join(served, "headers-fake.deb"), kernel))
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
