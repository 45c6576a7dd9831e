package recipe

import (
	_ "embed"
	"fmt"
	"strings"
)

// The old host's network and bus: iptables (legacy, with every extension in it) and dbus (on expat).

// names looks users, hosts and services up in the files of /etc. It is linked before the C library, whose own ways do so
// through libraries that a static program would load at run time.
//
//go:embed source/names.c
var names string

// hardened are the flags of the C compiler for what is configured.
func (r request) hardened() string {
	flags := append([]string{"-O2", "-fstack-protector", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2", "-ffile-prefix-map=" + r.p.Work + "=."}, r.include()...)
	if r.own { // musl defines struct ethhdr itself, and does not tell the kernel's headers
		flags = append(flags, "-D__UAPI_DEF_ETHHDR=0")
	}
	return strings.Join(flags, " ")
}

// configured is the plan of a part with GNU's configure and make: generated are the files that autotools made, in the
// order in which they depend on each other, flags are configure's, targets are directories with what make makes in them,
// and take are directories of Stage with the files that go there.
func (r request) configured(generated, flags, env []string, targets, take [][]string, outputs []Output) Plan {
	// Without pkg-config: what it would be asked for is either said in the environment or not wanted.
	pkgConfig := r.p.Shims + "/pkg-config"
	env = append(append(r.configureEnv(), "CFLAGS="+r.hardened(), "CONFIG_SHELL="+r.t.Shell, "PKG_CONFIG="+pkgConfig), env...)
	object := r.p.Work + "/drydock-names.o"
	cc := append([]string{r.cc(), "-std=gnu99"}, strings.Fields(r.hardened())...)
	p := Plan{
		Files: []File{{Path: pkgConfig, Data: "#!/bin/sh\nexit 1\n", Exec: true}, {Path: r.p.Work + "/drydock-names.c", Data: names}},
		Steps: []Step{
			// Archives and patches leave times as they like: nothing may look older than what automake made it from.
			{Name: "mark generated files", Dir: r.p.Work, Env: env, Argv: append([]string{"touch", "-c"}, generated...)},
			{Name: "compile name lookups", Dir: r.p.Work, Env: env, Argv: append(cc, "-c", "-o", object, "drydock-names.c")},
			{Name: "configure", Dir: r.p.Work, Env: env, Argv: append([]string{r.t.Shell, "./configure", "--disable-shared", "--enable-static", "--disable-dependency-tracking"}, flags...)},
		},
		Outputs: outputs,
	}
	for _, t := range targets {
		// libtool knows -all-static; configure's own tests must not see it.
		argv := []string{r.t.Make, fmt.Sprintf("-j%d", max(1, r.t.Jobs)), "V=1", "LDFLAGS=-all-static -s -Wl,-z,relro -Wl,--build-id=none -Wl," + object}
		p.Steps = append(p.Steps, Step{Name: "make " + t[0], Dir: r.p.Work + "/" + t[0], Env: env, Compiles: true, Argv: append(argv, t[1:]...)})
	}
	dirs := []string{"mkdir", "-p"}
	for _, t := range take {
		dirs = append(dirs, r.p.Stage+"/"+t[0])
	}
	p.Steps = append(p.Steps, Step{Name: "make directories", Dir: r.p.Work, Env: env, Argv: dirs})
	for _, t := range take {
		p.Steps = append(p.Steps, Step{Name: "take " + t[1], Dir: r.p.Work, Env: env, Argv: append(append([]string{"cp"}, t[1:]...), r.p.Stage+"/"+t[0])})
	}
	return p
}

// iptables is the variant that speaks to the kernel's ip_tables, which 3.10 has and Docker of every version can use. It is
// one program, which looks at the name that it is called by.
func iptables(r request) Plan {
	const name = "xtables-legacy-multi"
	return r.configured(
		[]string{"aclocal.m4", "configure", "config.h.in", "libiptc/Makefile.in", "libxtables/Makefile.in", "iptables/Makefile.in", "extensions/GNUmakefile.in"},
		// /run is not there on old hosts; where it is, /var/run leads to it, and the lock is the one that the host's own iptables takes.
		[]string{"--prefix=/usr/local", "--sysconfdir=/etc", "--with-xt-lock-name=/var/run/xtables.lock",
			"--disable-nftables", "--disable-devel", "--disable-bpf-compiler", "--disable-nfsynproxy", "--disable-connlabel"},
		nil,
		[][]string{{"libiptc", "libip4tc.la", "libip6tc.la"}, {"libxtables", "libxtables.la"}, {"extensions", "libext.a", "libext4.a", "libext6.a"}, {"iptables", name}},
		[][]string{{".", "iptables/" + name}},
		[]Output{{Name: name, Bin: true, Ask: []string{"iptables", "--version"}, Want: []string{"iptables v" + r.c.Version + " (legacy)"},
			Links: []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"}}})
}

// expat is what dbus reads its configuration with. The archive has no configure; three files and what it would have
// written make the library. Entropy comes from /dev/urandom: getrandom is younger than the oldest kernels.
func expat(r request) Plan {
	cc := append([]string{r.cc(), "-std=gnu99", "-DXML_STATIC", "-I", "gen"}, strings.Fields(r.hardened())...)
	p := Plan{
		Files: []File{{Path: r.p.Work + "/gen/expat_config.h", Data: "#define BYTEORDER 1234\n#define HAVE_MEMORY_H 1\n#define XML_CONTEXT_BYTES 1024\n" +
			"#define XML_DEV_URANDOM 1\n#define XML_DTD 1\n#define XML_GE 1\n#define XML_NS 1\n"}},
		Outputs: []Output{{Name: "lib/libexpat.a"}, {Name: "include/expat.h"}, {Name: "include/expat_external.h"}},
	}
	step := func(name string, argv ...string) {
		p.Steps = append(p.Steps, Step{Name: name, Dir: r.p.Work, Env: r.env(), Argv: argv})
	}
	ar := []string{r.t.AR, "crD", r.p.Stage + "/lib/libexpat.a"}
	for _, f := range []string{"xmlparse", "xmlrole", "xmltok"} {
		step("compile "+f, append(cc[:len(cc):len(cc)], "-c", "-o", f+".o", "lib/"+f+".c")...)
		ar = append(ar, f+".o")
	}
	step("make directories", "mkdir", "-p", r.p.Stage+"/lib", r.p.Stage+"/include")
	step("archive", ar...)
	step("copy headers", "cp", "lib/expat.h", "lib/expat_external.h", r.p.Stage+"/include")
	return p
}

// dbus is the daemon and the two tools that a system bus needs, with its configuration below the prefix, so that the
// host's own in /etc stays out of it. The socket is where every client looks.
func dbus(r request) Plan {
	lib := r.p.Deps["expat"]
	return r.configured(
		[]string{"aclocal.m4", "configure", "config.h.in", "Makefile.in", "dbus/Makefile.in", "bus/Makefile.in", "tools/Makefile.in"},
		[]string{"--prefix=/usr/local", "--localstatedir=/var", "--with-system-socket=/var/run/dbus/system_bus_socket", "--with-system-pid-file=/var/run/dbus/pid",
			"--with-dbus-user=dbus", "--disable-maintainer-mode", "--disable-systemd", "--disable-xml-docs", "--disable-doxygen-docs", "--disable-ducktype-docs",
			"--disable-tests", "--disable-selinux", "--disable-apparmor", "--disable-libaudit", "--without-x"},
		[]string{"EXPAT_CFLAGS=-I" + lib + "/include -DXML_STATIC", "EXPAT_LIBS=-L" + lib + "/lib -lexpat"},
		[][]string{{"dbus", "libdbus-1.la", "libdbus-internal.la"}, {"bus", "dbus-daemon"}, {"tools", "dbus-send", "dbus-uuidgen"}},
		[][]string{{".", "bus/dbus-daemon", "tools/dbus-send", "tools/dbus-uuidgen"}, {"share/dbus-1", "bus/system.conf"}},
		[]Output{
			{Name: "dbus-daemon", Bin: true, Ask: []string{"--version"}, Want: []string{"D-Bus Message Bus Daemon " + r.c.Version}},
			{Name: "dbus-send", Bin: true}, // has no way to say its version
			{Name: "dbus-uuidgen", Bin: true, Ask: []string{"--version"}, Want: []string{"D-Bus UUID Generator " + r.c.Version}},
			{Name: "share/dbus-1/system.conf", Data: true},
		})
}
