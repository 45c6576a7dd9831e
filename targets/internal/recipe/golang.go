package recipe

import (
	"strings"

	version "github.com/hashicorp/go-version"
)

// runc cannot do without cgo: its first stage (nsexec) is C, and libseccomp is linked into it.
func runc(r request) Plan {
	lib := r.p.Deps["libseccomp"]
	// The path of the library is part of these two variables, and carries its key: Go does not see that a .a changed,
	// but it does see another flag. The stand-in for pkg-config then only names the library.
	cflags := strings.Join(append([]string{"-O2", "-I" + lib + "/include"}, r.include()...), " ")
	env := []string{"CGO_CFLAGS=" + cflags, "CGO_LDFLAGS=-L" + lib + "/lib"}
	pkgConfig := "#!/bin/sh\ncase \"$*\" in *--libs*) echo -lseccomp;; *) echo;; esac\n"
	commit := r.c.Commit
	if commit != "" { // as git describe --long writes it, which is what upstream's Makefile passes
		commit = "v" + r.c.Version + "-0-g" + short(r.c.Commit, 8)
	}
	ld := xs("main", "gitCommit", commit)
	if !r.atLeast("1.2") {
		ld = append(ld, xs("main", "version", r.c.Version)...)
	}
	var flags []string
	if r.t.StaticPIE {
		flags = []string{"-buildmode=pie"}
		ld = append(ld, "-linkmode", "external", "-extldflags", "'-static-pie -Wl,--build-id=none'")
	} else {
		ld = append(ld, "-linkmode", "external", "-extldflags", "'-static -Wl,--build-id=none'")
	}
	tags := "seccomp netgo osusergo urfave_cli_no_docs"
	if r.leaksKernelMemory() {
		tags += " nokmem"
	}
	return Plan{
		Files: []File{{r.p.Shims + "/pkg-config", pkgConfig, true}},
		Steps: r.goBuild("runc", true, r.p.Work, tags, ld, flags, env, "."),
		Outputs: []Output{{Name: "runc", Bin: true, Ask: []string{"--version"},
			Want: append([]string{"runc version " + r.c.Version, "libseccomp: " + r.s.Component["libseccomp"].Version}, nonEmpty(commit)...)}},
	}
}

// leaksKernelMemory says that kernel memory accounting, which leaks on a 3.10 kernel, must be left out: runc up to
// 1.0.0-rc93 has it and knows the tag nokmem (runc#1725, #1921); later ones have none.
func (r request) leaksKernelMemory() bool {
	v, kernel := version.Must(version.NewVersion(r.c.Version)), version.Must(version.NewVersion(r.s.Target.Kernel))
	return v.LessThanOrEqual(version.Must(version.NewVersion("1.0.0-rc93"))) && kernel.LessThan(version.Must(version.NewVersion("4.0")))
}

func containerd(r request) Plan {
	module := "github.com/containerd/containerd"
	if r.atLeast("2.0") {
		module += "/v2"
	}
	ld := xs(module+"/version", "Version", "v"+r.c.Version, "Revision", r.c.Commit, "Package", module)
	want := append([]string{"v" + r.c.Version}, nonEmpty(r.c.Commit)...)
	return Plan{
		Steps: r.goBuild("containerd", false, r.p.Work, "netgo osusergo static_build no_btrfs urfave_cli_no_docs", ld, nil, nil,
			"./cmd/containerd", "./cmd/ctr", "./cmd/containerd-shim-runc-v2"),
		Outputs: []Output{
			{Name: "containerd", Bin: true, Ask: []string{"--version"}, Want: want},
			{Name: "ctr", Bin: true, Ask: []string{"--version"}, Want: want[:1]},
			{Name: "containerd-shim-runc-v2", Bin: true, Ask: []string{"-v"}, Want: want},
		},
	}
}

// dockerd and docker-proxy come from the engine's tree.
func dockerd(r request) Plan {
	const v = "github.com/docker/docker/dockerversion"
	ld := xs(v, "Version", r.c.Version, "GitCommit", short(r.c.Commit, 7), "BuildTime", r.buildTime(), "ProductName", "docker", "IAmStatic", "true")
	tags := "netgo osusergo static_build exclude_graphdriver_btrfs"
	var p Plan
	daemon := func(cgo bool, tags string, ld []string) []Step {
		var env []string
		if i := r.include(); cgo && len(i) > 0 {
			env = []string{"CGO_CFLAGS=-O2 " + strings.Join(i, " ")}
		}
		return r.goBuild("dockerd", cgo, r.p.Work, tags, ld, nil, env, "./cmd/dockerd")
	}
	if r.c.WantsQuota() && r.t.Quota {
		p.Steps = daemon(true, tags, append(ld[:len(ld):len(ld)], "-linkmode", "external", "-extldflags", "'-static -Wl,--build-id=none'"))
	} else {
		if r.c.WantsQuota() {
			p.Notes = append(p.Notes, "no kernel headers (linux/quota.h, linux/dqblk_xfs.h): dockerd is built without project quotas on XFS "+
				"(--storage-opt size=); install the kernel's headers, or say quota = false in the stack")
		}
		p.Steps = daemon(false, tags+" exclude_disk_quota", ld)
	}
	p.Steps = append(p.Steps, r.goBuild("docker-proxy", false, r.p.Work, tags, ld, nil, nil, "./cmd/docker-proxy")...)
	p.Outputs = []Output{
		{Name: "dockerd", Bin: true, Ask: []string{"--version"}, Want: append([]string{"Docker version " + r.c.Version}, nonEmpty(short(r.c.Commit, 7))...)},
		{Name: "docker-proxy", Bin: true, Ask: []string{"--version"}, Want: append([]string{r.c.Version}, nonEmpty(short(r.c.Commit, 7))...)},
	}
	return p
}

func dockerCLI(r request) Plan {
	const v = "github.com/docker/cli/cli/version"
	ld := xs(v, "Version", r.c.Version, "GitCommit", short(r.c.Commit, 7), "BuildTime", r.buildTime())
	return Plan{
		Steps: r.goBuild("docker", false, r.p.Work, "netgo osusergo", ld, nil, nil, "./cmd/docker"),
		Outputs: []Output{{Name: "docker", Bin: true, Ask: []string{"--version"},
			Want: []string{strings.TrimSuffix("Docker version "+r.c.Version+", build "+short(r.c.Commit, 7), ", build ")}}},
	}
}
