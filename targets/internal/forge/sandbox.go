package forge

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"drydock/targets/internal/host"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
	"drydock/targets/internal/stack"
)

// confine stops what would run something that sources say or made, where that cannot be confined; where the user
// allows it, it says what is missing.
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

// sandbox is what the steps of a component are confined to: their own directories, and for reading the tools and what
// the component is made with. g is nil for one that no Go compiles: it has no business with Go's cache.
func (f *Forge) sandbox(p recipe.Paths, g *host.Go) *run.Sandbox {
	s := f.toolSandbox(g, p.Work, p.Stage, p.Home, p.Tmp)
	s.Read = append(s.Read, p.Shims)
	for _, d := range p.Deps {
		s.Read = append(s.Read, d)
	}
	if g != nil {
		s.Write = append(s.Write, p.Cache)
		if shared, err := filepath.EvalSymlinks(f.goCache(g)); err == nil { // where links of lend's lead
			s.Read = append(s.Read, shared)
		}
	}
	return s
}

// cache is where Go keeps what it compiles for a component. Those without C share one: nothing in it was written by
// anything but Go's own programs, which run nothing of the sources'. Where C is compiled, the sources have a say in
// the compiler's command line, which has been a way to run something (golang/go#60167 is one): such a component has a
// cache of its own, in which it finds what the shared one has, and cannot change it.
func (f *Forge) cache(c *stack.Component, g *host.Go) string {
	if recipe.UsesC(c) && g != nil {
		return f.goCache(g) + "-" + c.Name
	}
	return f.goCache(g)
}

// lend lends a component's own cache what the shared one has.
func (f *Forge) lend(c *stack.Component) error {
	_, g := f.tools(c)
	if own := f.cache(c, g); g != nil && own != f.goCache(g) {
		return lend(own, f.goCache(g))
	}
	return nil
}

// lend puts links into own to all that shared has, and takes away those that lead nowhere any more. Who writes to own
// may be at work meanwhile: a Root does not leave the directory.
func lend(own, shared string) error {
	for _, d := range []string{own, shared} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	shared, err := filepath.EvalSymlinks(shared)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(own)
	if err != nil {
		return err
	}
	defer root.Close()
	for n := range 256 {
		dir := fmt.Sprintf("%02x", n)
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		has := map[string]bool{}
		es, err := fs.ReadDir(root.FS(), dir)
		if err != nil {
			return err
		}
		for _, e := range es {
			_, err := os.Stat(filepath.Join(own, dir, e.Name()))
			if has[e.Name()] = err == nil; err != nil {
				root.Remove(dir + "/" + e.Name())
			}
		}
		es, _ = os.ReadDir(filepath.Join(shared, dir)) // where nothing was compiled yet, there is nothing to lend
		for _, e := range es {
			if name := dir + "/" + e.Name(); !has[e.Name()] {
				if err := root.Symlink(filepath.Join(shared, name), name); err != nil && !errors.Is(err, fs.ErrExist) {
					return err
				}
			}
		}
	}
	return nil
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
