package recipe

// docker-hello is a made-up plugin of the command docker: one command of Go.
var _ = register(Component{
	Name: "docker-hello", After: Client, Extra: "hello", Target: "hello",
	Does:     "builds docker-hello, which stands for a plugin that is new.",
	Upstream: "example/docker-hello",
	Install:  "cli-plugins/",
	Build: &GoBuild{Module: "example.invalid/hello/v2", Package: "./cmd/hello",
		X:   []string{"version.Version=v{version}", "version.Commit={commit}"},
		Ask: []string{"hello", "version"}, Want: []string{"v{version}", "{commit}"}},
})
