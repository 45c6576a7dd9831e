package recipe

import (
	"fmt"
	"path"
	"strings"

	version "github.com/hashicorp/go-version"
)

// runc cannot do without cgo: its first stage (nsexec) is C, and libseccomp is linked into it.
func runc(r request) Plan {
	commit := r.c.Commit
	if commit != "" && r.released() { // as git describe --long writes it, which is what upstream's Makefile passes
		commit = "v" + r.c.Version + "-0-g" + short(r.c.Commit, 8)
	}
	ld := xs("main", "gitCommit", commit)
	if !r.atLeast("1.2") {
		ld = append(ld, xs("main", "version", r.c.Version)...)
	}
	var flags []string
	if r.t.StaticPIE && !r.before("1.0.0-rc94") { // earlier ones do not start as static-pie
		flags = []string{"-buildmode=pie"}
		ld = append(ld, "-linkmode", "external", "-extldflags", "'-static-pie -Wl,--build-id=none'")
	} else {
		ld = append(ld, "-linkmode", "external", "-extldflags", "'-static -Wl,--build-id=none'")
	}
	var p Plan
	ld = append(ld, r.keepLink(&p, "runc")...)
	tags := "seccomp netgo osusergo urfave_cli_no_docs"
	if r.before("1.0.0-rc94") { // later ones have both always
		tags += " apparmor selinux"
	}
	if r.leaksKernelMemory() {
		tags += " nokmem"
	}
	p.Files = append(append(p.Files, r.gopathLinks()...), r.pkgConfig())
	p.Steps = r.goBuild("runc", true, r.p.Work, tags, ld, flags, r.seccompEnv(), r.packages("github.com/opencontainers/runc", ".")...)
	p.Outputs = []Output{{Name: "runc", Bin: true, Ask: []string{"--version"},
		Want: append([]string{"runc version " + r.c.Version, "libseccomp: " + r.s.Component["libseccomp"].Version}, nonEmpty(commit)...)}}
	return p
}

// seccompEnv makes cgo find libseccomp. The path of the library is part of the two variables, and carries its key: Go
// does not see that a .a changed, but it does see another flag. The stand-in for pkg-config then only names the library.
func (r request) seccompEnv() []string {
	lib := r.p.Deps["libseccomp"]
	cflags := strings.Join(append([]string{"-O2", "-I" + lib + "/include"}, r.include()...), " ")
	return []string{"CGO_CFLAGS=" + cflags, "CGO_LDFLAGS=-L" + lib + "/lib"}
}

func (r request) pkgConfig() File {
	return File{Path: r.p.Shims + "/pkg-config", Data: "#!/bin/sh\ncase \"$*\" in *--libs*) echo -lseccomp;; *) echo;; esac\n", Exec: true}
}

// released says that the version is no pre-release.
func (r request) released() bool {
	return version.Must(version.NewVersion(r.c.Version)).Prerelease() == ""
}

// before compares the component's version, with its pre-release.
func (r request) before(v string) bool {
	return version.Must(version.NewVersion(r.c.Version)).LessThan(version.Must(version.NewVersion(v)))
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
	p := Plan{Files: r.gopathLinks()}
	cmds := []string{"containerd", "ctr"}
	// dockerd asks for the first shim until 19.03, for the other from 20.10 on; upstream's archives have both where both are.
	if !r.atLeast("1.7") {
		cmds = append(cmds, "containerd-shim")
	}
	if r.atLeast("1.3") {
		cmds = append(cmds, "containerd-shim-runc-v2")
	}
	var dirs []string
	for _, c := range cmds {
		dirs = append(dirs, "./cmd/"+c)
		o := Output{Name: c, Bin: true, Ask: []string{"--version"}, Want: want}
		switch c {
		case "ctr":
			o.Want = want[:1]
		case "containerd-shim": // it has no version to ask for
			o.Ask, o.Want = nil, nil
		case "containerd-shim-runc-v2":
			o.Ask = []string{"-v"}
		}
		p.Outputs = append(p.Outputs, o)
	}
	// no_cri: dockerd starts containerd with Kubernetes' interface off, and most of containerd's advisories are in it.
	p.Steps = r.goBuild("containerd", false, r.p.Work, "netgo osusergo static_build no_btrfs no_cri urfave_cli_no_docs", ld, nil, nil, r.packages(module, dirs...)...)
	return p
}

const engine = "github.com/docker/docker"

// dockerd and docker-proxy come from the engine's tree.
func dockerd(r request) Plan {
	const v = engine + "/dockerversion"
	tags := "netgo osusergo static_build exclude_graphdriver_btrfs"
	p := Plan{Files: r.gopathLinks()}
	var flags []string
	if !r.atLeast("23") { // from then on they are always there
		tags += " seccomp apparmor"
		flags = []string{"-installsuffix", "netgo"}
	}
	ld := xs(v, "Version", r.c.Version, "GitCommit", short(r.c.Commit, 7), "BuildTime", r.buildTime(), "ProductName", "docker", "IAmStatic", "true")
	if !r.atLeast("20.10") { // constants, which -X cannot set
		tags += " autogen"
		p.Files = append(p.Files, r.versionConstants()...)
		ld = nil
	}
	daemon := func(cgo bool, tags string, ld []string) []Step {
		var env []string
		if i := r.include(); cgo && (len(i) > 0 || r.own) { // without Go's -g, which would write down where the headers are
			env = []string{strings.TrimSpace("CGO_CFLAGS=-O2 " + strings.Join(i, " "))}
		}
		if cgo && r.p.Deps["libseccomp"] != "" {
			env = r.seccompEnv()
			p.Files = append(p.Files, r.pkgConfig())
		}
		return r.goBuild("dockerd", cgo, r.p.Work, tags, ld, flags, env, r.packages(engine, "./cmd/dockerd")...)
	}
	if r.c.WantsQuota() && r.t.Quota {
		external := append(ld[:len(ld):len(ld)], "-linkmode", "external", "-extldflags", "'-static -Wl,--build-id=none'")
		p.Steps = daemon(true, tags, append(external, r.keepLink(&p, "dockerd")...))
	} else {
		if r.c.WantsQuota() {
			p.Notes = append(p.Notes, "no kernel headers (linux/quota.h, linux/dqblk_xfs.h): dockerd is built without project quotas on XFS "+
				"(--storage-opt size=); install the kernel's headers, or say quota = false in the stack")
		}
		p.Steps = daemon(false, tags+" exclude_disk_quota", ld)
	}
	p.Outputs = []Output{{Name: "dockerd", Bin: true, Ask: []string{"--version"}, Want: append([]string{"Docker version " + r.c.Version}, nonEmpty(short(r.c.Commit, 7))...)}}
	if r.atLeast("23") {
		p.Steps = append(p.Steps, r.goBuild("docker-proxy", false, r.p.Work, tags, ld, nil, nil, "./cmd/docker-proxy")...)
		p.Outputs = append(p.Outputs,
			Output{Name: "docker-proxy", Bin: true, Ask: []string{"--version"}, Want: append([]string{r.c.Version}, nonEmpty(short(r.c.Commit, 7))...)})
	}
	return p
}

// versionConstants are the two files that upstream's scripts generate for dockerd up to 19.03, with every constant that
// dockerversion/version_lib.go has for builds without the tag autogen; dockerd holds the others' commits against them.
func (r request) versionConstants() []File {
	dir := path.Join(r.p.Work, r.p.Gopath[engine], "dockerversion")
	commitOf := func(component string) string {
		if c := r.s.Component[component]; c != nil {
			return c.Commit
		}
		return ""
	}
	file := func(name, build string, pairs ...string) File {
		var b strings.Builder
		fmt.Fprintf(&b, "// +build %s\n\npackage dockerversion\n\nconst (\n", build)
		for i := 0; i < len(pairs); i += 2 {
			fmt.Fprintf(&b, "\t%s string = %q\n", pairs[i], pairs[i+1])
		}
		return File{Path: dir + "/" + name, Data: b.String() + ")\n"}
	}
	return []File{
		file("version_autogen.go", "autogen", "GitCommit", short(r.c.Commit, 7), "Version", r.c.Version, "BuildTime", r.buildTime(),
			"IAmStatic", "true", "ContainerdCommitID", commitOf("containerd"), "PlatformName", "", "ProductName", "docker", "DefaultProductLicense", ""),
		file("version_autogen_unix.go", "autogen,!windows", "RuncCommitID", commitOf("runc"), "InitCommitID", short(commitOf("tini"), 7)),
	}
}

// dockerProxy is libnetwork's command, for dockerd before 23. It has no version to ask for.
func dockerProxy(r request) Plan {
	return Plan{
		Files:   r.gopathLinks(),
		Steps:   r.goBuild("docker-proxy", false, r.p.Work, "netgo osusergo", nil, nil, nil, r.packages("github.com/docker/libnetwork", "./cmd/proxy")...),
		Outputs: []Output{{Name: "docker-proxy", Bin: true}},
	}
}

func dockerCLI(r request) Plan {
	const module = "github.com/docker/cli"
	ld := xs(module+"/cli/version", "Version", r.c.Version, "GitCommit", short(r.c.Commit, 7), "BuildTime", r.buildTime())
	return Plan{
		Files: r.gopathLinks(),
		Steps: r.goBuild("docker", false, r.p.Work, "netgo osusergo", ld, nil, nil, r.packages(module, "./cmd/docker")...),
		Outputs: []Output{{Name: "docker", Bin: true, Ask: []string{"--version"},
			Want: []string{strings.TrimSuffix("Docker version "+r.c.Version+", build "+short(r.c.Commit, 7), ", build ")}}},
	}
}
