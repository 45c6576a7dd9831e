package recipe

var _ = register(Component{
	Name: "compose", After: "buildx", Extra: "compose", Install: Plugins,
	Does:     "builds the plugin \"docker compose\", whether or not the stack's extras have it.",
	Upstream: "docker/compose", Module: "github.com/docker/compose",
	Build: &GoBuild{Module: "github.com/docker/compose/v5", Package: "./cmd", File: "docker-compose",
		X:   []string{"internal.Version=v{version}"},
		Ask: []string{"version"}, Want: []string{"Docker Compose version v{version}"}},
})
