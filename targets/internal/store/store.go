// Package store keeps what was built, by component and key, and publishes it to where a user takes it away.
package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/recipe"

	"golang.org/x/sys/unix"
)

// Store is a stack's built outputs. Its paths are absolute.
type Store struct {
	Root   string // the repository: records name outputs relative to it
	Dir    string // build/<stack>/store: a directory for each component, and in it one for each key
	Output string // output/<stack>: what a user takes away

	publishing sync.Mutex
}

// Path is where a component's outputs with a key are kept.
func (s *Store) Path(component, key string) string { return filepath.Join(s.Dir, component, key[:16]) }

// Keep moves outputs from below stage into the store, durably; they appear all at once. Those without a recipe's flags,
// such as what Collect left, are kept like the others. It fails where an output is missing or cannot be written.
func (s *Store) Keep(component, key, stage string, outputs []recipe.Output) error {
	dir := s.Path(component, key)
	tmp := dir + ".tmp"
	if err := errors.Join(os.RemoveAll(tmp), os.RemoveAll(dir)); err != nil {
		return err
	}
	for _, o := range outputs {
		from, to := filepath.Join(stage, o.Name), filepath.Join(tmp, o.Name)
		fi, err := os.Stat(from)
		switch {
		case err != nil:
		case fi.IsDir(): // the stage is not needed any more
			err = moveTree(from, to)
		default:
			err = copyFile(from, to, o.Bin)
		}
		if err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	return archive.SyncDir(filepath.Dir(dir))
}

// moveTree moves a directory with all that is in it, durably.
func moveTree(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d, err := os.Open(to)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close()) // one call for a thousand files
}

func copyFile(from, to string, exec bool) error {
	mode := fs.FileMode(0o644)
	if exec {
		mode = 0o755
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return archive.CopyFile(from, to, mode)
}

// DropOld removes what earlier keys of a component left, as far as it can: what is left takes space only.
func (s *Store) DropOld(component, key string) {
	dir := filepath.Dir(s.Path(component, key))
	es, _ := os.ReadDir(dir)
	for _, entry := range es {
		if entry.Name() != filepath.Base(s.Path(component, key)) {
			os.RemoveAll(filepath.Join(dir, entry.Name()))
		}
	}
}

// Whole returns an error when what the store has of a component is not what its record says. It must not come over
// outputs that are good, nor into what is compiled with it.
func (s *Store) Whole(r *graph.Record) error {
	in := s.rel(s.Path(r.Name, r.Key)) + "/"
	stored := slices.DeleteFunc(slices.Clone(r.Outputs),
		func(o graph.Output) bool { return !strings.HasPrefix(o.Path, in) })
	g := graph.Graph{Root: s.Root}
	if d := g.Damage(&graph.Record{Outputs: stored}, true); d != "" {
		return errors.New(d)
	}
	return nil
}

// Paths are what a record lists of a component's outputs, relative to the root: each in the store, followed by the
// names under which it is published.
func (s *Store) Paths(component, key string, outputs []recipe.Output) []string {
	var all []string
	for _, o := range outputs {
		all = append(all, s.rel(filepath.Join(s.Path(component, key), o.Name)))
		for _, file := range s.Published(o) {
			all = append(all, s.rel(file))
		}
	}
	return all
}

func (s *Store) rel(p string) string {
	if r, err := filepath.Rel(s.Root, p); err == nil {
		return r
	}
	return p
}
