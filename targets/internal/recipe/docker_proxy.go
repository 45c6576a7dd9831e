package recipe

// docker-proxy is libnetwork's command until 20.10, with no version to ask for; from 23 on dockerd's sources have it.
var _ = register(Component{
	Name: "docker-proxy", After: Daemon, Optional: true, Target: "docker",
	Upstream: "moby/libnetwork",
	Build:    &GoBuild{Module: "github.com/docker/libnetwork", Package: "./cmd/proxy"},
})
