package engine

import (
	"os"
	"path/filepath"

	"drydock/targets/internal/failure"
	"drydock/targets/internal/host"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
)

// Confined returns failure.Host where what would run something that sources say or made cannot be confined: see
// confine.
func (e *Engine) Confined() error { return e.confined() }

// confine stops what would run something that sources say or made, where that cannot be confined; where the user
// allows it, it says what is missing.
func (e *Engine) confine() error {
	iso := run.Isolated()
	if err := iso.Allowed(); err != nil {
		return failure.With(failure.Host, err)
	}
	if len(iso.Refused) > 0 {
		e.UI.Line("notice    ISOLATION=best-effort: build steps are not confined as they should be: %s", iso)
	}
	return nil
}

// sandbox is what the steps of a component are confined to: their own directories, and for reading the tools and what
// the component is made with. g is nil for one that no Go compiles: it has no business with Go's cache.
func (e *Engine) sandbox(p recipe.Paths, g *host.Go) *run.Sandbox {
	s := e.toolSandbox(g, p.Work, p.Stage, p.Home, p.Tmp)
	s.Read = append(s.Read, p.Shims)
	for _, d := range p.Deps {
		s.Read = append(s.Read, d)
	}
	if g != nil {
		s.Write = append(s.Write, p.Cache)
		if shared, err := filepath.EvalSymlinks(e.goCache(g)); err == nil { // where links of store.Lend lead
			s.Read = append(s.Read, shared)
		}
	}
	return s
}

// toolSandbox is for tools that write to those directories.
func (e *Engine) toolSandbox(g *host.Go, write ...string) *run.Sandbox {
	return &run.Sandbox{Read: e.facts.Dirs(e.cc(), g), Write: write,
		Hide: []string{e.Root, os.Getenv("HOME"), os.Getenv("SIGN_KEY"), os.Getenv("SIGN_PASSWORD_FILE"),
			os.Getenv("GO_CACHE_TOKEN_FILE")}}
}
