package boot

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"drydock/targets/internal/archive"
)

//go:embed files
var files embed.FS

// Contents are what is in the machine beside its kernel.
type Contents struct {
	Busybox string // the static program
	Runner  string // this program, static
	Guest   string // what the containers run: see smoke.CompileGuest
	Package string // the package's tar.gz
	To      string // a later package; empty without
}

// image is the first root of the machine: what loads the modules, and below tree what becomes its root. It is the same
// for the same files, but for the order.
func image(t *Target, k Kernel, c Contents, order []byte) ([]archive.Entry, error) {
	modules, err := loadable(k.Modules, t.loads())
	if err != nil {
		return nil, err
	}
	var inOrder strings.Builder
	var es []archive.Entry
	add := func(name string, mode uint32, data []byte) {
		e := archive.Entry{Name: name, Data: data, Mode: 0o644}
		if mode&0o111 != 0 {
			e.Mode = 0o755
		}
		es = append(es, e)
	}
	for _, m := range modules {
		add("modules/"+m.name+".ko", 0o644, m.data)
		fmt.Fprintf(&inOrder, "%s.ko\n", m.name)
	}
	add("modules/order", 0o644, []byte(inOrder.String()))
	for name, at := range map[string]string{"init": "init", "boot": "tree/etc/boot", "rc": "tree/etc/rc",
		"cgroups": "tree/srv/cgroups", "update-rc.d": "tree/usr/sbin/update-rc.d", "inittab": "tree/etc/inittab"} {
		data, err := files.ReadFile("files/" + name)
		if err != nil {
			return nil, err
		}
		add(at, 0o755, data)
	}
	for name, text := range map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/sh\n", "group": "root:x:0:\n", "hosts": "127.0.0.1 localhost\n",
		"os-release":  "NAME=drydock\nPRETTY_NAME=\"busybox with a SysV init\"\n",
		"resolv.conf": "", "init.d/.keep": "", "default/.keep": "",
	} {
		add("tree/etc/"+name, 0o644, []byte(text))
	}
	add("tree/srv/order.json", 0o644, order)
	for _, d := range []string{"proc", "sys", "dev", "root", "run"} {
		add(d+"/.keep", 0o644, nil)
	}
	file := func(name, path string, mode uint32) {
		if path != "" {
			add(name, mode, nil)
			es[len(es)-1].Path = path
		}
	}
	file("bin/busybox", c.Busybox, 0o755)
	file("tree/bin/busybox", c.Busybox, 0o755)
	file("tree/srv/runner", c.Runner, 0o755)
	file("tree/srv/guest", c.Guest, 0o755)
	file("tree/srv/package.tar.gz", c.Package, 0o644)
	file("tree/srv/to.tar.gz", c.To, 0o644)
	file("tree/boot/config-"+k.Release, k.Config, 0o644)
	for name, to := range map[string]string{"bin/sh": "busybox", "tree/bin/sh": "busybox",
		"tree/sbin/init": "../bin/busybox", "tree/srv/" + insideName: "runner"} {
		es = append(es, archive.Entry{Name: name, Link: to})
	}
	return es, nil
}

// writeImage writes the machine's first root into a file.
func writeImage(file string, t *Target, k Kernel, c Contents, order []byte) error {
	es, err := image(t, k, c, order)
	if err != nil {
		return err
	}
	return archive.WriteFile(file, 0o644, func(w io.Writer) error { return writeCpio(w, es) })
}

// busyboxIn returns the program in the unpacked package; an error where it has none.
func busyboxIn(dir string) (string, error) {
	for _, p := range []string{"bin/busybox", "usr/bin/busybox"} {
		if isThere(filepath.Join(dir, p)) {
			return filepath.Join(dir, p), nil
		}
	}
	return "", errors.New(dir + ": no busybox in it")
}
