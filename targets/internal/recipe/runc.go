package recipe

import (
	"encoding/json"
	"regexp"
	"strings"

	"drydock/targets/internal/stack"
	"drydock/targets/internal/verify"

	version "github.com/hashicorp/go-version"
)

// Runc is the component of that name.
const Runc = "runc"

var _ = register(Component{
	Name: Runc, After: "tini",
	Does: "builds runc, and libseccomp which it is linked with.", Example: "mage runc -edit",
	Upstream: "opencontainers/runc", Module: "github.com/opencontainers/runc",
	Needs: []string{"libseccomp"}, Go: true, C: true, Setns: true, Plan: runc,
	VersionIn: &stack.VersionFile{Path: "VERSION", Pattern: regexp.MustCompile(`^\s*(\S+)`)},
	Shown:     "runc",
	Features:  verify.Tells{File: "runc", Ask: []string{"features"}, Read: runcFeatures},
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
		Want: append([]string{"runc version " + r.c.Version, "libseccomp: " + r.s.Component["libseccomp"].Version},
			nonEmpty(commit)...)}}
	return p
}

// leaksKernelMemory reports whether kernel memory accounting, which leaks on a 3.10 kernel, must be left out: runc up
// to 1.0.0-rc93 has it and knows the tag nokmem (runc#1725, #1921); later ones have none.
func (r request) leaksKernelMemory() bool {
	v, kernel := version.Must(version.NewVersion(r.c.Version)), version.Must(version.NewVersion(r.s.Target.Kernel))
	return v.LessThanOrEqual(version.Must(version.NewVersion("1.0.0-rc93"))) &&
		kernel.LessThan(version.Must(version.NewVersion("4.0")))
}

// runcFeatures takes "runc features" apart, which runc has from 1.1 on.
func runcFeatures(answer string) (all []string, err error) {
	if !strings.HasPrefix(answer, "{") {
		return nil, nil
	}
	var f struct {
		Hooks []string `json:"hooks"`
		Linux struct {
			Namespaces []string        `json:"namespaces"`
			Cgroup     map[string]bool `json:"cgroup"`
			Seccomp    struct {
				Enabled bool     `json:"enabled"`
				Actions []string `json:"actions"`
				Archs   []string `json:"archs"`
			} `json:"seccomp"`
			Apparmor, Selinux struct {
				Enabled bool `json:"enabled"`
			}
		} `json:"linux"`
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal([]byte(answer), &f); err != nil {
		return nil, err
	}
	for kind, names := range map[string][]string{"hook": f.Hooks, "namespace": f.Linux.Namespaces,
		"seccomp action": f.Linux.Seccomp.Actions, "seccomp architecture": f.Linux.Seccomp.Archs} {
		for _, n := range names {
			all = append(all, kind+" "+n)
		}
	}
	for name, on := range f.Linux.Cgroup {
		if on {
			all = append(all, "cgroup "+name)
		}
	}
	for name, on := range map[string]bool{"seccomp": f.Linux.Seccomp.Enabled, "apparmor": f.Linux.Apparmor.Enabled,
		"selinux":    f.Linux.Selinux.Enabled,
		"checkpoint": f.Annotations["org.opencontainers.runc.checkpoint.enabled"] == "true"} {
		if on {
			all = append(all, name)
		}
	}
	return all, nil
}
