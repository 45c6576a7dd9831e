package recipe

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"drydock/targets/internal/stack"
)

var _ = register(Component{
	Name: "tini", After: "libseccomp",
	Does:     "builds docker-init.",
	Upstream: "krallin/tini",
	C:        true, Plan: tini,
	VersionIn: &stack.VersionFile{Path: "CMakeLists.txt", Pattern: regexp.MustCompile(`tini_VERSION_\w+ (\d+)\)`),
		Every: true},
	Shown: "docker-init",
})

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
	// Headers older than Linux 3.4 lack PR_*; the numbers are the kernel's ABI.
	flags := []string{"-D_FORTIFY_SOURCE=2", "-fstack-protector",
		"-DPR_SET_CHILD_SUBREAPER=36", "-DPR_GET_CHILD_SUBREAPER=37",
		"-ffile-prefix-map=" + r.p.Work + "=.", "-I", "gen", "-c", "-o", again + "/tini.o", "src/tini.c"}
	argv := slices.Concat([]string{r.cc(), "-std=gnu99", "-O2"}, how[1:], flags, r.include())
	link := slices.Concat(how, []string{"-s", "-Wl,--build-id=none", "-o", r.p.Stage + "/docker-init",
		again + "/tini.o"})
	return Plan{
		Files: []File{{Path: r.p.Work + "/gen/tiniConfig.h",
			Data: fmt.Sprintf("#define TINI_VERSION \"%s\"\n#define TINI_GIT \"%s\"\n", r.c.Version, git)},
			{Path: again + "/args", Data: strings.Join(link, "\n") + "\n"}},
		Steps: []Step{{Name: "compile", Dir: r.p.Work, Env: r.env(), Argv: argv},
			{Name: "link", Dir: r.p.Work, Env: r.env(), Argv: append([]string{r.cc()}, link...)}},
		Relink: []string{"docker-init"},
		Outputs: []Output{{Name: "docker-init", Bin: true, Ask: []string{"--version"},
			Want: append([]string{"tini version " + r.c.Version}, nonEmpty(git)...)}},
	}
}
