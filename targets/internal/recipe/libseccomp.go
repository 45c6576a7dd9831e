package recipe

import (
	"fmt"
	"regexp"
	"strings"

	"drydock/targets/internal/stack"
)

var _ = register(Component{
	Name: "libseccomp", After: "musl",
	Does:     "builds the library that runc is linked with.",
	Upstream: "seccomp/libseccomp",
	License:  "LGPL-2.1-only", // its sources say "version 2.1"; the text that goes with them is the same for "or later"
	Relink:   true, SourceGoes: true, Library: true, Libs: []string{"lib/*.a"},
	C: true, Make: true, Prefix: "LIBSECCOMP_PREFIX", Plan: libseccomp,
	VersionIn: &stack.VersionFile{Path: "configure.ac",
		Pattern: regexp.MustCompile(`AC_INIT\(\[?libseccomp\]?,\s*\[?([0-9.]+)`)},
})

// libseccomp keeps its own configure and make; everything else here is compiled by direct commands.
func libseccomp(r request) Plan {
	outputs := []Output{{Name: "lib/libseccomp.a"}, {Name: "include/seccomp.h"}, {Name: "include/seccomp-syscalls.h"}}
	if r.t.Library != "" { // the user's own, of LIBSECCOMP_PREFIX
		take := func(name string, argv ...string) Step {
			return Step{Name: name, Dir: r.p.Work, Env: r.env(), Argv: argv}
		}
		return Plan{Outputs: outputs, Steps: []Step{
			take("make room", "mkdir", "-p", r.p.Stage+"/lib", r.p.Stage+"/include"),
			take("take library", "cp", r.t.Library, r.p.Stage+"/lib/libseccomp.a"),
			take("take headers", "cp", "include/seccomp.h", "include/seccomp-syscalls.h", r.p.Stage+"/include/"),
		}}
	}
	// configure demands gperf, though the release carries what gperf makes (src/syscalls.perf.c). The stand-in serves
	// the question; if make ever called it, it would fail and say why.
	gperf := "#!/bin/sh\ncase \"$1\" in --version) echo 'GNU gperf 3.1'; exit 0;; esac\n" +
		"echo 'drydock: make wants to run gperf, but src/syscalls.perf.c should be newer than its source' >&2\nexit 1\n"
	// A .c file that looks older than what it is made from sends make to gperf: archives do not keep times exactly.
	env := append(r.configureEnv(), "AR_FLAGS=crD",
		"CFLAGS=-O2 -fstack-protector -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2", "CONFIG_SHELL="+r.t.Shell)
	jobs := fmt.Sprintf("-j%d", max(1, r.t.Jobs))
	return Plan{
		Files: []File{{Path: r.p.Shims + "/gperf", Data: gperf, Exec: true}},
		Steps: []Step{
			{Name: "configure", Dir: r.p.Work, Env: env,
				Argv: append([]string{r.t.Shell, "./configure", "--prefix=/", "--disable-shared", "--enable-static",
					"--with-pic", "--disable-dependency-tracking", "--disable-python"}, r.cross()...)},
			{Name: "make", Dir: r.p.Work + "/src", Env: env, Argv: []string{r.t.Make, jobs, "libseccomp.la"}},
			{Name: "install library", Dir: r.p.Work + "/src", Env: env,
				Argv: []string{r.t.Make, "DESTDIR=" + r.p.Stage, "install-libLTLIBRARIES"}},
			{Name: "install headers", Dir: r.p.Work + "/include", Env: env,
				Argv: []string{r.t.Make, "DESTDIR=" + r.p.Stage, "install-includeHEADERS"}},
		},
		Outputs: outputs,
	}
}

// seccompEnv makes cgo find libseccomp. The path of the library is part of the two variables, and carries its key: Go
// does not see that a .a changed, but it does see another flag. The stand-in for pkg-config then only names the
// library.
func (r request) seccompEnv() []string {
	lib := r.p.Deps["libseccomp"]
	cflags := strings.Join(append([]string{"-O2", "-I" + lib + "/include"}, r.include()...), " ")
	return []string{"CGO_CFLAGS=" + cflags, "CGO_LDFLAGS=-L" + lib + "/lib"}
}

func (r request) pkgConfig() File {
	return File{Path: r.p.Shims + "/pkg-config", Data: "#!/bin/sh\n" +
		"case \"$*\" in *--libs*) echo -lseccomp;; *) echo;; esac\n", Exec: true}
}
