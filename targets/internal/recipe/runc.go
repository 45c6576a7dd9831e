package recipe

import (
	"regexp"

	"drydock/targets/internal/stack"

	version "github.com/hashicorp/go-version"
)

var _ = register(Component{
	Name: "runc", After: "tini",
	Does: "builds runc, and libseccomp which it is linked with.", Example: "mage runc -edit",
	Upstream: "opencontainers/runc",
	Needs:    []string{"libseccomp"}, Go: true, C: true, Setns: true, Plan: runc,
	VersionIn: &stack.VersionFile{Path: "VERSION", Pattern: regexp.MustCompile(`^\s*(\S+)`)},
	Shown:     "runc",
})

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
	p.Steps = r.goBuild(goCommand{name: "runc", cgo: true, tags: tags, ldflags: ld, flags: flags, env: r.seccompEnv(),
		packages: r.packages("github.com/opencontainers/runc", ".")})
	p.Outputs = []Output{{Name: "runc", Bin: true, Ask: []string{"--version"},
		Want: append([]string{"runc version " + r.c.Version, "libseccomp: " + r.s.Component["libseccomp"].Version}, nonEmpty(commit)...)}}
	return p
}

// leaksKernelMemory says that kernel memory accounting, which leaks on a 3.10 kernel, must be left out: runc up to
// 1.0.0-rc93 has it and knows the tag nokmem (runc#1725, #1921); later ones have none.
func (r request) leaksKernelMemory() bool {
	v, kernel := version.Must(version.NewVersion(r.c.Version)), version.Must(version.NewVersion(r.s.Target.Kernel))
	return v.LessThanOrEqual(version.Must(version.NewVersion("1.0.0-rc93"))) && kernel.LessThan(version.Must(version.NewVersion("4.0")))
}
