package recipe

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"drydock/targets/internal/stack"
	"drydock/targets/internal/verify"
)

// Daemon is the component whose version says what a daemon.json may hold, and whose sources what the kernel must have.
const Daemon = "dockerd"

var _ = register(Component{
	Name: Daemon, After: "containerd", Target: "docker",
	Does: "builds dockerd, docker-proxy and the docker command.", Example: "mage docker -edit",
	Upstream: "moby/moby", Module: "github.com/docker/docker",
	NeedsOf: func(c *stack.Component) []string {
		if atLeast(c, "20.10") {
			return nil
		}
		return []string{"libseccomp"} // its tag seccomp
	},
	Go: true, Quota: true, Plan: dockerd,
	// docker-ce; moby from 20.10 on has tags only
	VersionIn: &stack.VersionFile{Path: "VERSION", Pattern: regexp.MustCompile(`^\s*(\S+)`)},
	Features: verify.Tells{File: "dockerd", Names: []verify.Name{
		{Kind: "graph driver", Pattern: regexp.MustCompile(`/daemon/graphdriver/([a-z0-9-]+)\.Init\x00`)},
		{Kind: "log driver", Pattern: regexp.MustCompile(`/daemon/logger/([a-z0-9-]+)\.New\x00`)},
		{Kind: "network driver", Pattern: regexp.MustCompile(`libnetwork/drivers/([a-z0-9-]+)\.(?:Register|Init)\x00`)},
		{Kind: "security profile", Pattern: regexp.MustCompile(
			`/profiles/(seccomp|apparmor)\.(?:GetDefaultProfile|InstallDefault|DefaultProfile)\x00`)},
		{Kind: "labels of", Pattern: regexp.MustCompile(`opencontainers/(selinux)/go-selinux\.getEnabled\x00`)},
		{Kind: "project", Pattern: regexp.MustCompile(`/(quota)\.setProjectQuota\x00`)},
		{Kind: "builder",
			Pattern: regexp.MustCompile(`/builder/(builder-next|dockerfile)\.(?:New|NewBuildManager)\x00`)},
		{Kind: "swarm", Pattern: regexp.MustCompile(`/daemon/(cluster)\.New\x00`)},
	}},
})

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
	ld := xs(v, "Version", r.c.Version, "GitCommit", short(r.c.Commit, 7), "BuildTime", r.buildTime(),
		"ProductName", "docker", "IAmStatic", "true")
	if !r.atLeast("20.10") { // constants, which -X cannot set
		tags += " autogen"
		p.Files = append(p.Files, r.versionConstants()...)
		ld = nil
	}
	daemon := func(cgo bool, tags string, ld []string) []Step {
		var env []string
		// without Go's -g, which would write down where the headers are
		if i := r.include(); cgo && (len(i) > 0 || r.own) {
			env = []string{strings.TrimSpace("CGO_CFLAGS=-O2 " + strings.Join(i, " "))}
		}
		if cgo && r.p.Deps["libseccomp"] != "" {
			env = r.seccompEnv()
			p.Files = append(p.Files, r.pkgConfig())
		}
		return r.goBuild(goCommand{name: "dockerd", cgo: cgo, tags: tags, ldflags: ld, flags: flags, env: env,
			packages: r.packages(engine, "./cmd/dockerd")})
	}
	if r.c.WantsQuota() && r.t.Quota {
		external := []string{"-linkmode", "external", "-extldflags", "'-static -Wl,--build-id=none'"}
		p.Steps = daemon(true, tags, slices.Concat(ld, external, r.keepLink(&p, "dockerd")))
	} else {
		if r.c.WantsQuota() {
			p.Notes = append(p.Notes, "no kernel headers (linux/quota.h, linux/dqblk_xfs.h): dockerd is built without "+
				"project quotas on XFS (--storage-opt size=); install the kernel's headers, "+
				"or say quota = false in the stack")
		}
		p.Steps = daemon(false, tags+" exclude_disk_quota", ld)
	}
	p.Outputs = []Output{{Name: "dockerd", Bin: true, Ask: []string{"--version"},
		Want: append([]string{"Docker version " + r.c.Version}, nonEmpty(short(r.c.Commit, 7))...)}}
	if r.atLeast("23") {
		p.Steps = append(p.Steps, r.goBuild(goCommand{name: "docker-proxy", tags: tags, ldflags: ld,
			packages: []string{"./cmd/docker-proxy"}})...)
		p.Outputs = append(p.Outputs, Output{Name: "docker-proxy", Bin: true, Ask: []string{"--version"},
			Want: append([]string{r.c.Version}, nonEmpty(short(r.c.Commit, 7))...)})
	}
	return p
}

// versionConstants are the two files that upstream's scripts generate for dockerd up to 19.03, with every constant that
// dockerversion/version_lib.go has for builds without the tag autogen; dockerd compares the others' commits with them.
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
		file("version_autogen.go", "autogen", "GitCommit", short(r.c.Commit, 7), "Version", r.c.Version,
			"BuildTime", r.buildTime(), "IAmStatic", "true", "ContainerdCommitID", commitOf("containerd"),
			"PlatformName", "", "ProductName", "docker", "DefaultProductLicense", ""),
		file("version_autogen_unix.go", "autogen,!windows", "RuncCommitID", commitOf("runc"),
			"InitCommitID", short(commitOf("tini"), 7)),
	}
}
