package recipe

import (
	"regexp"

	"drydock/targets/internal/verify"
)

var _ = register(Component{
	Name: "buildx", After: "dbus", Extra: "buildx", Install: Plugins,
	Does:     "builds the plugin \"docker buildx\", whether or not the stack's extras have it.",
	Example:  "mage buildx compose",
	Upstream: "docker/buildx", Module: "github.com/docker/buildx",
	Build: &GoBuild{Module: "github.com/docker/buildx", Package: "./cmd/buildx", File: "docker-buildx",
		X:   []string{"version.Version=v{version}", "version.Revision={commit}"},
		Ask: []string{"version"}, Want: []string{"github.com/docker/buildx v{version}", "{commit}"}},
	Features: verify.Tells{File: Plugins + "docker-buildx",
		Names: []verify.Name{{Kind: "driver",
			Pattern: regexp.MustCompile(`/buildx/driver/([a-z0-9-]+)\.init\.0\x00`)}}},
})
