package recipe

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

// names looks users, hosts and services up in the files of /etc. It is linked before the C library, whose own ways do
// so through libraries that a static program would load at run time.
//
//go:embed source/names.c
var names string

// hardened are the flags of the C compiler for what is configured.
func (r request) hardened() string {
	flags := append([]string{"-O2", "-fstack-protector", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2",
		"-ffile-prefix-map=" + r.p.Work + "=."}, r.include()...)
	if r.own { // musl defines struct ethhdr itself, and does not tell the kernel's headers
		flags = append(flags, "-D__UAPI_DEF_ETHHDR=0")
	}
	return strings.Join(flags, " ")
}

// configure is a part with GNU's configure and make.
type configure struct {
	generated  []string   // the files that autotools made, in the order in which they depend on each other
	flags, env []string   // of configure
	targets    [][]string // directories, each with what make makes in it
	take       [][]string // directories of Stage, each with the files that go there
}

// configured is its plan.
func (r request) configured(c configure, outputs []Output) Plan {
	// Without pkg-config: what it would be asked for is either said in the environment or not wanted.
	pkgConfig := r.p.Shims + "/pkg-config"
	env := slices.Concat(r.configureEnv(),
		[]string{"CFLAGS=" + r.hardened(), "CONFIG_SHELL=" + r.t.Shell, "PKG_CONFIG=" + pkgConfig}, c.env)
	object := r.p.Work + "/drydock-names.o"
	cc := append([]string{r.cc(), "-std=gnu99"}, strings.Fields(r.hardened())...)
	p := Plan{
		Files: []File{{Path: pkgConfig, Data: "#!/bin/sh\nexit 1\n", Exec: true},
			{Path: r.p.Work + "/drydock-names.c", Data: names}},
		Steps: []Step{
			// Archives and patches leave times as they like: nothing may look older than what automake made it from.
			{Name: "mark generated files", Dir: r.p.Work, Env: env,
				Argv: append([]string{"touch", "-c"}, c.generated...)},
			{Name: "compile name lookups", Dir: r.p.Work, Env: env,
				Argv: append(cc, "-c", "-o", object, "drydock-names.c")},
			{Name: "configure", Dir: r.p.Work, Env: env,
				Argv: slices.Concat([]string{r.t.Shell, "./configure", "--disable-shared", "--enable-static",
					"--disable-dependency-tracking"}, r.cross(), c.flags)},
		},
		Outputs: outputs,
	}
	for _, t := range c.targets {
		// libtool knows -all-static; configure's own tests must not see it.
		argv := []string{r.t.Make, fmt.Sprintf("-j%d", max(1, r.t.Jobs)), "V=1",
			"LDFLAGS=-all-static -s -Wl,-z,relro -Wl,--build-id=none -Wl," + object}
		p.Steps = append(p.Steps, Step{Name: "make " + t[0], Dir: r.p.Work + "/" + t[0], Env: env, Compiles: true,
			Argv: append(argv, t[1:]...)})
	}
	dirs := []string{"mkdir", "-p"}
	for _, t := range c.take {
		dirs = append(dirs, r.p.Stage+"/"+t[0])
	}
	p.Steps = append(p.Steps, Step{Name: "make directories", Dir: r.p.Work, Env: env, Argv: dirs})
	for _, t := range c.take {
		p.Steps = append(p.Steps, Step{Name: "take " + t[1], Dir: r.p.Work, Env: env,
			Argv: append(append([]string{"cp"}, t[1:]...), r.p.Stage+"/"+t[0])})
	}
	return p
}
