package engine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/recipe"
)

// output/<stack>/bin is a link to a directory beside it, .bin-<key>. A component is published by making a new such
// directory, of hard links to the other components' files and copies of its own, and moving the link: a reader sees
// all of a component's files as they were, or all of them new, whatever kills us in between. (The kernels that this
// is for cannot exchange two directories in one call.)

// publish puts a component's binaries from the store into bin.
func (e *Engine) publish(name string, outputs []recipe.Output, store string) error {
	e.pub.Lock()
	defer e.pub.Unlock()
	mine := map[string]bool{}
	for _, o := range outputs {
		if _, err := os.Stat(filepath.Join(store, o.Name)); err != nil {
			return err
		}
		mine[o.Name] = o.Bin
		for _, l := range o.Links {
			mine[l] = true
		}
	}
	for _, o := range outputs {
		if o.Data {
			if err := copyFile(filepath.Join(store, o.Name), e.output(o.Name), false); err != nil {
				return err
			}
		}
	}
	bin := e.output("bin")
	old, _ := filepath.EvalSymlinks(bin)
	others, err := os.ReadDir(bin)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	id := graph.Key([]graph.Input{{Name: name, Value: store}, {Name: "over", Value: old}})[:12]
	next := e.output(".bin-" + id)
	if err := errors.Join(os.RemoveAll(next), os.MkdirAll(next, 0o755)); err != nil {
		return err
	}
	for _, entry := range others {
		if !mine[entry.Name()] && (entry.Type().IsRegular() || entry.Type() == fs.ModeSymlink) {
			if err := again(filepath.Join(bin, entry.Name()), filepath.Join(next, entry.Name())); err != nil {
				return err
			}
		}
	}
	for _, o := range outputs {
		if o.Bin {
			if err := copyFile(filepath.Join(store, o.Name), filepath.Join(next, o.Name), true); err != nil {
				return err
			}
		}
		for _, l := range o.Links {
			if err := os.Symlink(o.Name, filepath.Join(next, l)); err != nil {
				return err
			}
		}
	}
	if err := archive.SyncDir(next); err != nil {
		return err
	}
	if fi, err := os.Lstat(bin); err == nil && fi.IsDir() { // the user's own, or of an older drydock: its files are linked above
		if err := os.RemoveAll(bin); err != nil {
			return err
		}
	}
	tmp := e.output(".bin.new")
	os.Remove(tmp)
	if err := os.Symlink(filepath.Base(next), tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, bin); err != nil {
		return err
	}
	if err := archive.SyncDir(e.output()); err != nil {
		return err
	}
	// What earlier publications left, finished or killed.
	es, _ := os.ReadDir(e.output())
	for _, entry := range es {
		if strings.HasPrefix(entry.Name(), ".bin-") && entry.Name() != filepath.Base(next) {
			os.RemoveAll(e.output(entry.Name()))
		}
	}
	return nil
}

// again makes a second name for a file, or the same link once more.
func again(from, to string) error {
	if target, err := os.Readlink(from); err == nil {
		return os.Symlink(target, to)
	}
	return os.Link(from, to)
}

// published are the files and links that a user takes away of an output.
func (e *Engine) published(o recipe.Output) []string {
	var all []string
	if o.Bin {
		all = append(all, e.output("bin", o.Name))
	}
	for _, l := range o.Links {
		all = append(all, e.output("bin", l))
	}
	if o.Data {
		all = append(all, e.output(o.Name))
	}
	return all
}
