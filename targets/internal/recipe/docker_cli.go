package recipe

import (
	"regexp"
	"strings"

	"drydock/targets/internal/stack"
)

// Client is the component whose Go compiles drydock's own programs for a host: each Go that compiles it can.
const Client = "docker-cli"

var _ = register(Component{
	Name: Client, After: "docker-proxy", Target: "docker",
	Upstream: "docker/cli", Module: "github.com/docker/cli",
	Go: true, Plan: dockerCLI,
	VersionIn: &stack.VersionFile{Path: "VERSION", Pattern: regexp.MustCompile(`^\s*(\S+)`)},
})

func dockerCLI(r request) Plan {
	const module = "github.com/docker/cli"
	ld := xs(module+"/cli/version", "Version", r.c.Version, "GitCommit", short(r.c.Commit, 7),
		"BuildTime", r.buildTime())
	return Plan{
		Files: r.gopathLinks(),
		Steps: r.goBuild(goCommand{name: "docker", tags: "netgo osusergo", ldflags: ld,
			packages: r.packages(module, "./cmd/docker")}),
		Outputs: []Output{{Name: "docker", Bin: true, Ask: []string{"--version"},
			Want: []string{strings.TrimSuffix("Docker version "+r.c.Version+", build "+short(r.c.Commit, 7),
				", build ")}}},
	}
}
