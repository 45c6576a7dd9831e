package forge

import (
	"os"

	"drydock/targets/internal/host"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
)

// confine stops what would run something that sources say or made, where that cannot be confined; where the user allows it,
// it says what is missing.
func (f *Forge) confine() error {
	iso := run.Isolated()
	if err := iso.Allowed(); err != nil {
		return fail(CodeHost, err)
	}
	if len(iso.Refused) > 0 {
		f.UI.Line("notice    ISOLATION=best-effort: build steps are not confined as they should be: %s", iso)
	}
	return nil
}

// sandbox is what the steps of a component are confined to: their own directories, and for reading the tools and what the
// component is made with. g is nil for one that no Go compiles: it has no business with Go's cache.
func (f *Forge) sandbox(p recipe.Paths, g *host.Go) *run.Sandbox {
	s := f.toolSandbox(g, p.Work, p.Stage, p.Home, p.Tmp)
	s.Read = append(s.Read, p.Shims)
	for _, d := range p.Deps {
		s.Read = append(s.Read, d)
	}
	if g != nil {
		s.Write = append(s.Write, p.Cache)
	}
	return s
}

// toolSandbox is for tools that write to those directories.
func (f *Forge) toolSandbox(g *host.Go, write ...string) *run.Sandbox {
	return &run.Sandbox{Read: f.facts.Dirs(f.cc(), g), Write: write,
		Hide: []string{f.Root, os.Getenv("HOME"), os.Getenv("SIGN_KEY"), os.Getenv("SIGN_PASSWORD_FILE")}}
}

// take takes over what the steps left: the outputs, and the objects of the links.
func take(plan recipe.Plan, stage string) error {
	var names []string
	for _, o := range plan.Outputs {
		names = append(names, o.Name)
	}
	for _, bin := range plan.Relink {
		names = append(names, recipe.RelinkDir(".", bin))
	}
	return run.Take(stage, names...)
}
