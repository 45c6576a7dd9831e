package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/host"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
	"drydock/targets/internal/stack"

	"golang.org/x/sys/unix"
)

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
		if shared, err := filepath.EvalSymlinks(e.goCache(g)); err == nil { // where links of lend's lead
			s.Read = append(s.Read, shared)
		}
	}
	return s
}

// cache is where Go keeps what it compiles for a component. Those without C share one: nothing in it was written by
// anything but Go's own programs, which run nothing of the sources'. Where C is compiled, the sources have a say in
// the compiler's command line, which has been a way to run something (golang/go#60167 is one): such a component has a
// cache of its own, in which it finds what the shared one has, and cannot change it.
func (e *Engine) cache(c *stack.Component, g *host.Go) string {
	if recipe.UsesC(c) && g != nil {
		return e.goCache(g) + "-" + c.Name
	}
	return e.goCache(g)
}

// lend lends a component's own cache what the shared one has.
func (e *Engine) lend(c *stack.Component) error {
	_, g := e.tools(c)
	if own := e.cache(c, g); g != nil && own != e.goCache(g) {
		return lend(own, e.goCache(g))
	}
	return nil
}

// lend gives own what shared has: a copy of each entry that is whole, which says what an action made, and a link to what
// it made, whose name is the digest of its content. Go's own program may be at work in own meanwhile. It may write an
// entry of the same name, which is a file of own; and what it makes again has the same content, which it does not write
// where that is. Who writes to own may be hostile: a Root does not leave the directory.
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
	var owner unix.Stat_t
	if err := unix.Stat(own, &owner); err != nil {
		return err
	}
	has := map[string]bool{}
	for n := range 256 {
		dir := fmt.Sprintf("%02x", n)
		if err := errors.Join(root.MkdirAll(dir, 0o755), root.Lchown(dir, int(owner.Uid), int(owner.Gid))); err != nil {
			return err
		}
		es, err := fs.ReadDir(root.FS(), dir)
		if err != nil {
			return err
		}
		for _, e := range es {
			name := dir + "/" + e.Name()
			_, err := os.Stat(filepath.Join(own, name))
			if has[name] = err == nil; err != nil { // a link to what is gone from shared
				root.Remove(name)
			}
		}
	}
	for _, entry := range archive.Glob(shared, "??/*-a") {
		name, err := filepath.Rel(shared, entry)
		if err != nil || has[name] {
			continue
		}
		data, output := cacheEntry(shared, entry)
		if output == "" {
			continue
		}
		if !has[output] {
			if err := root.Symlink(filepath.Join(shared, output), output); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
		fresh := fmt.Sprintf("%s.%d", name, os.Getpid()) // a run on another stack may be at it, too
		err = root.WriteFile(fresh, data, 0o644)
		err = errors.Join(err, root.Lchown(fresh, int(owner.Uid), int(owner.Gid)), root.Rename(fresh, name))
		if err != nil {
			return err
		}
	}
	return nil
}

// cacheEntry reads an entry of a Go cache and returns it with the name of the output that it leads to; none where one of
// the two is not whole, for who makes them may be at it. Source: cmd/go/internal/cache, whose form is the same since Go 1.10.
func cacheEntry(cache, file string) (data []byte, output string) {
	const size = len("v1 ") + 64 + 1 + 64 + 1 + 20 + 1 + 20 + 1
	data, err := os.ReadFile(file)
	f := strings.Fields(string(data))
	if err != nil || len(data) != size || len(f) != 5 || f[0] != "v1" || len(f[2]) != 64 || strings.Trim(f[2], "0123456789abcdef") != "" {
		return nil, ""
	}
	output = f[2][:2] + "/" + f[2] + "-d"
	fi, err := os.Stat(filepath.Join(cache, output))
	if err != nil || !fi.Mode().IsRegular() || fmt.Sprint(fi.Size()) != f[3] {
		return nil, ""
	}
	return data, output
}

// toolSandbox is for tools that write to those directories.
func (e *Engine) toolSandbox(g *host.Go, write ...string) *run.Sandbox {
	return &run.Sandbox{Read: e.facts.Dirs(e.cc(), g), Write: write,
		Hide: []string{e.Root, os.Getenv("HOME"), os.Getenv("SIGN_KEY"), os.Getenv("SIGN_PASSWORD_FILE")}}
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
