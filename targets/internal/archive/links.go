package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxLinks is how many symbolic links are followed on the way to one file, as in the kernel.
const maxLinks = 40

// leadsOut says with an error that a link below root leads out of it: by itself, or through other links. What is not
// there counts as directories, for it may come to be there.
func leadsOut(root *os.Root, link string) error {
	todo := strings.Split(link, "/")
	var at []string // where the walk is; no link is in it
	for links := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if len(at) == 0 {
				return fmt.Errorf("link %q leaves the tree", link)
			}
			at = at[:len(at)-1]
			continue
		}
		to, err := root.Readlink(path.Join(path.Join(at...), part))
		if err != nil { // no link, or not there
			at = append(at, part)
			continue
		}
		if links++; links > maxLinks {
			return fmt.Errorf("link %q leads through more than %d links", link, maxLinks)
		}
		if path.IsAbs(to) {
			return fmt.Errorf("link %q leaves the tree: it leads to %q", link, to)
		}
		todo = append(strings.Split(to, "/"), todo...)
	}
	return nil
}

// CheckLinks says with an error that a symbolic link below dir leads out of it. Trees of several archives want it,
// where a link of one may lead through those of another.
func CheckLinks(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var errs []error
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type() == fs.ModeSymlink {
			rel, _ := filepath.Rel(dir, p)
			errs = append(errs, leadsOut(root, filepath.ToSlash(rel)))
		}
		return err
	})
	return errors.Join(append(errs, err)...)
}

// symlink makes a symbolic link that stays in the tree.
func (x *extractor) symlink(name, to string) error {
	if path.IsAbs(to) || !filepath.IsLocal(path.Join(path.Dir(name), to)) {
		return fmt.Errorf("link to %q leaves the tree", to)
	}
	if err := x.free(name); err != nil {
		return err
	}
	x.links[name] = true
	return x.root.Symlink(to, name)
}

// hardLink gives a file one more name. A symbolic link is made once more, and so judged at its new place.
func (x *extractor) hardLink(name, linkname string) error {
	target, ok := x.stripped(linkname)
	if !ok || path.IsAbs(linkname) || !filepath.IsLocal(linkname) {
		return fmt.Errorf("hard link to %q leaves the tree", linkname)
	}
	if err := x.noLink(path.Dir(target)); err != nil {
		return fmt.Errorf("hard link to %q: %w", linkname, err)
	}
	fi, err := x.root.Lstat(target)
	if err != nil {
		return err
	}
	if fi.Mode()&fs.ModeSymlink != 0 {
		to, err := x.root.Readlink(target)
		if err != nil {
			return err
		}
		return x.symlink(name, to)
	}
	if err := x.free(name); err != nil {
		return err
	}
	return x.root.Link(target, name)
}

// noLink says with an error that a directory, or one above it, is a symbolic link.
func (x *extractor) noLink(dir string) error {
	for p := dir; p != "." && !x.dirs[p]; p = path.Dir(p) {
		if fi, err := x.root.Lstat(p); err == nil && fi.Mode()&fs.ModeSymlink != 0 {
			return fmt.Errorf("would be written through the link %q", p)
		}
	}
	return nil
}
