package recipe

import (
	"regexp"

	"drydock/targets/internal/stack"
	"drydock/targets/internal/verify"
)

// Containerd is the component of that name.
const Containerd = "containerd"

var _ = register(Component{
	Name: Containerd, After: "runc",
	Does:     "builds containerd, ctr and the shim.",
	Upstream: "containerd/containerd", Module: "github.com/containerd/containerd",
	Go: true, Plan: containerd,
	VersionIn: &stack.VersionFile{Path: "version/version.go",
		Pattern: regexp.MustCompile(`(?m)^\s*Version\s*=\s*"v?([^"+]+)`)},
	Shown:    "containerd",
	Features: verify.Tells{File: "containerd", Ask: []string{"config", "default"}, Read: containerdPlugins},
})

func containerd(r request) Plan {
	module := "github.com/containerd/containerd"
	if r.atLeast("2.0") {
		module += "/v2"
	}
	ld := xs(module+"/version", "Version", "v"+r.c.Version, "Revision", r.c.Commit, "Package", module)
	want := append([]string{"v" + r.c.Version}, nonEmpty(r.c.Commit)...)
	p := Plan{Files: r.gopathLinks()}
	cmds := []string{"containerd", "ctr"}
	// dockerd asks for the first shim until 19.03, for the other from 20.10 on; upstream's archives have both where
	// both are.
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
	p.Steps = r.goBuild(goCommand{name: "containerd", ldflags: ld, packages: r.packages(module, dirs...),
		tags: "netgo osusergo static_build no_btrfs no_cri urfave_cli_no_docs"})
	return p
}

var pluginLine = regexp.MustCompile(`(?m)^\s*\[plugins\.["']([^"']+)["']\]`)

// containerdPlugins takes "containerd config default" apart.
func containerdPlugins(answer string) (all []string, err error) {
	for _, m := range pluginLine.FindAllStringSubmatch(answer, -1) {
		all = append(all, "plugin "+m[1])
	}
	return all, nil
}
