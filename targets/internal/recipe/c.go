package recipe

import (
	"fmt"
	"slices"
	"strings"
)

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
	env := append(r.configureEnv(), "AR_FLAGS=crD", "CFLAGS=-O2 -fstack-protector -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2", "CONFIG_SHELL="+r.t.Shell)
	jobs := fmt.Sprintf("-j%d", max(1, r.t.Jobs))
	return Plan{
		Files: []File{{Path: r.p.Shims + "/gperf", Data: gperf, Exec: true}},
		Steps: []Step{
			{Name: "configure", Dir: r.p.Work, Env: env, Argv: []string{r.t.Shell, "./configure", "--prefix=/", "--disable-shared",
				"--enable-static", "--with-pic", "--disable-dependency-tracking", "--disable-python"}},
			{Name: "make", Dir: r.p.Work + "/src", Env: env, Argv: []string{r.t.Make, jobs, "libseccomp.la"}},
			{Name: "install library", Dir: r.p.Work + "/src", Env: env, Argv: []string{r.t.Make, "DESTDIR=" + r.p.Stage, "install-libLTLIBRARIES"}},
			{Name: "install headers", Dir: r.p.Work + "/include", Env: env, Argv: []string{r.t.Make, "DESTDIR=" + r.p.Stage, "install-includeHEADERS"}},
		},
		Outputs: outputs,
	}
}

// tini is docker-init: one C file, one command. CMakeLists.txt of tini 0.19.0 names the same definitions.
func tini(r request) Plan {
	git := ""
	if r.c.Commit != "" {
		git = " - git." + short(r.c.Commit, 7)
	}
	how := []string{"-static"}
	if r.own && r.t.StaticPIE {
		how = []string{"-static-pie", "-fPIE"}
	}
	again := RelinkDir(r.p.Stage, "docker-init")
	argv := slices.Concat([]string{r.cc(), "-std=gnu99", "-O2"}, how[1:], []string{"-D_FORTIFY_SOURCE=2", "-fstack-protector",
		// Headers older than Linux 3.4 lack these; the numbers are the kernel's ABI.
		"-DPR_SET_CHILD_SUBREAPER=36", "-DPR_GET_CHILD_SUBREAPER=37",
		"-ffile-prefix-map=" + r.p.Work + "=.", "-I", "gen", "-c", "-o", again + "/tini.o", "src/tini.c"}, r.include())
	link := slices.Concat(how, []string{"-s", "-Wl,--build-id=none", "-o", r.p.Stage + "/docker-init", again + "/tini.o"})
	return Plan{
		Files: []File{{Path: r.p.Work + "/gen/tiniConfig.h", Data: fmt.Sprintf("#define TINI_VERSION \"%s\"\n#define TINI_GIT \"%s\"\n", r.c.Version, git)},
			{Path: again + "/args", Data: strings.Join(link, "\n") + "\n"}},
		Steps: []Step{{Name: "compile", Dir: r.p.Work, Env: r.env(), Argv: argv},
			{Name: "link", Dir: r.p.Work, Env: r.env(), Argv: append([]string{r.cc()}, link...)}},
		Relink: []string{"docker-init"},
		Outputs: []Output{{Name: "docker-init", Bin: true, Ask: []string{"--version"}, Want: append([]string{"tini version " + r.c.Version},
			nonEmpty(git)...)}},
	}
}

func nonEmpty(s ...string) []string {
	var out []string
	for _, x := range s {
		if x != "" {
			out = append(out, x)
		}
	}
	return out
}
