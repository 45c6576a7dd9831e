package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/recipe"
)

// output/<stack>/bin is a link to a directory beside it, .bin-<key>. A component is published by making a new such
// directory, of hard links to the other components' files and copies of its own, and moving the link: a reader sees all
// of a component's files as they were, or all of them new, whatever kills us in between. (The kernels that this is for
// cannot exchange two directories in one call.)

// binPrefix begins the names of those directories.
const binPrefix = ".bin-"

// Publish puts a component's outputs from the store into output/<stack>: programs into bin, data beside it. It fails
// before anything is changed where the store lacks one, and else where a file cannot be written.
func (s *Store) Publish(component, key string, outputs []recipe.Output) error {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	for _, step := range s.publication(component, key, outputs) {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// publication are the steps of Publish. Between any two of them the run may be killed.
func (s *Store) publication(component, key string, outputs []recipe.Output) []func() error {
	kept, bin := s.Path(component, key), s.output("bin")
	old, _ := filepath.EvalSymlinks(bin)
	next := s.output(binPrefix +
		graph.Key([]graph.Input{{Name: component, Value: kept}, {Name: "over", Value: old}})[:12])
	return []func() error{
		func() error { // all of it is there
			for _, o := range outputs {
				if _, err := os.Stat(filepath.Join(kept, o.Name)); err != nil {
					return err
				}
			}
			return nil
		},
		func() error {
			for _, o := range outputs {
				if o.Data {
					if err := copyFile(filepath.Join(kept, o.Name), s.output(o.Name), false); err != nil {
						return err
					}
				}
			}
			return nil
		},
		func() error { return archive.EmptyDir(next) },
		func() error { return linkOthers(bin, next, outputs) },
		func() error { return fill(next, kept, outputs) },
		func() error { return syncDirs(next) },
		func() error {
			// the user's own, or of an older drydock: its files are linked above
			if fi, err := os.Lstat(bin); err == nil && fi.IsDir() {
				return os.RemoveAll(bin)
			}
			return nil
		},
		func() error { return archive.WriteLink(filepath.Base(next), bin) },
		func() error { // what earlier publications left, finished or killed
			for _, dir := range archive.Glob(s.Output, binPrefix+"*") {
				if dir != next {
					os.RemoveAll(dir)
				}
			}
			return nil
		},
	}
}

// linkOthers gives the files and links of bin that are not of these outputs a second name in next.
func linkOthers(bin, next string, outputs []recipe.Output) error {
	mine := map[string]bool{}
	for _, o := range outputs {
		mine[o.Name] = o.Bin
		for _, l := range o.Links {
			mine[l] = true
		}
	}
	err := fs.WalkDir(os.DirFS(bin), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || mine[name] || !entry.Type().IsRegular() && entry.Type() != fs.ModeSymlink {
			return err
		}
		to := filepath.Join(next, name)
		return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), linkAgain(filepath.Join(bin, name), to))
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// syncDirs makes the names in a directory and below it durable.
func syncDirs(dir string) error {
	return filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return archive.SyncDir(name)
	})
}

// fill copies programs from the store into next, and makes the links beside them.
func fill(next, kept string, outputs []recipe.Output) error {
	for _, o := range outputs {
		if o.Bin {
			if err := copyFile(filepath.Join(kept, o.Name), filepath.Join(next, o.Name), true); err != nil {
				return err
			}
		}
		for _, l := range o.Links {
			if err := os.Symlink(o.Name, filepath.Join(next, l)); err != nil {
				return err
			}
		}
	}
	return nil
}

// linkAgain makes a second name for a file, or the same link once more.
func linkAgain(from, to string) error {
	if target, err := os.Readlink(from); err == nil {
		return os.Symlink(target, to)
	}
	return os.Link(from, to)
}

func (s *Store) output(name string) string { return filepath.Join(s.Output, name) }

// Published are the files and links that a user takes away of an output.
func (s *Store) Published(o recipe.Output) []string {
	var all []string
	if o.Bin {
		all = append(all, filepath.Join(s.Output, "bin", o.Name))
	}
	for _, l := range o.Links {
		all = append(all, filepath.Join(s.Output, "bin", l))
	}
	if o.Data {
		all = append(all, s.output(o.Name))
	}
	return all
}
