package recipe

// greet is a made-up component: C, with a plan of its own.
var _ = register(Component{
	Name: "greet", After: Client, Extra: "greet",
	Does:     "builds greet, which stands for a component that is new.",
	Upstream: "example/greet", License: "MIT",
	C: true, Plan: greet,
})

func greet(r request) Plan {
	cc := []string{r.cc(), "-static", "-s", "-Wl,--build-id=none", "-DVERSION=\"" + r.c.Version + "\"", "-o", r.p.Stage + "/greet", "greet.c"}
	return Plan{
		Steps:   []Step{{Name: "compile", Dir: r.p.Work, Env: r.env(), Argv: cc}},
		Outputs: []Output{{Name: "greet", Bin: true, Ask: []string{"--version"}, Want: []string{"greet " + r.c.Version}}},
	}
}
