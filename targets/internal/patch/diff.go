package patch

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// Diff writes what has to be done to the tree base to make it the tree changed, as a patch that Apply takes (-p1). It
// gives the changed files; and those that an editor or a failed patch left behind, which are not in it.
func Diff(base, changed string) (patch []byte, files, left []string, err error) {
	names := map[string]bool{}
	for _, tree := range []string{base, changed} {
		err := filepath.WalkDir(tree, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				if err == nil && d.Name() == ".git" {
					return fs.SkipDir
				}
				return err
			}
			rel, err := filepath.Rel(tree, p)
			names[filepath.ToSlash(rel)] = true
			return err
		})
		if err != nil {
			return nil, nil, nil, err
		}
	}
	var all []string
	for n := range names {
		all = append(all, n)
	}
	slices.Sort(all)
	for _, n := range all {
		p, err := diffFile(n, filepath.Join(base, n), filepath.Join(changed, n))
		switch {
		case err != nil:
			return nil, nil, nil, fmt.Errorf("%s: %w", n, err)
		case p == nil:
		case isLeftover(n):
			left = append(left, n)
		default:
			files = append(files, n)
			patch = append(patch, p...)
		}
	}
	return patch, files, left, nil
}

// isLeftover knows the names of what editors and patch leave beside a file.
func isLeftover(name string) bool {
	return strings.HasSuffix(name, "~") ||
		slices.Contains([]string{".swp", ".swo", ".orig", ".rej"}, filepath.Ext(name))
}

// side is a file before or after.
type side struct {
	data []byte
	mode fs.FileMode
	kind fs.FileMode
	none bool
}

func sideOf(p string) (s side, err error) {
	fi, err := os.Lstat(p)
	if errors.Is(err, fs.ErrNotExist) {
		return side{none: true}, nil
	} else if err != nil {
		return s, err
	}
	s.mode, s.kind = 0o644, fi.Mode().Type()
	if fi.Mode()&0o111 != 0 {
		s.mode = 0o755
	}
	switch s.kind {
	case 0:
		s.data, err = os.ReadFile(p)
	case fs.ModeSymlink:
		to, rerr := os.Readlink(p)
		s.data, err = []byte(to), rerr
	}
	return s, err
}

// diffFile is the part of a patch for one file; nil where nothing changed. Its head is git's, which alone tells of
// modes.
func diffFile(name, before, after string) ([]byte, error) {
	a, err := sideOf(before)
	b, err2 := sideOf(after)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	same := bytes.Equal(a.data, b.data)
	switch {
	case a.none == b.none && a.kind == b.kind && same && (a.mode == b.mode || a.kind != 0):
		return nil, nil
	case a.kind != 0 || b.kind != 0:
		return nil, errors.New("a patch cannot change what is no plain file")
	case bytes.IndexByte(a.data, 0) >= 0 || bytes.IndexByte(b.data, 0) >= 0:
		return nil, errors.New("a patch cannot change a binary file")
	case strings.ContainsAny(name, "\"\\\n\t"):
		return nil, errors.New("a patch cannot name this file")
	}
	var out bytes.Buffer
	from, to := "a/"+name, "b/"+name
	fmt.Fprintf(&out, "diff --git %s %s\n", from, to)
	switch {
	case a.none:
		fmt.Fprintf(&out, "new file mode 100%o\n", b.mode)
		from = "/dev/null"
	case b.none:
		fmt.Fprintf(&out, "deleted file mode 100%o\n", a.mode)
		to = "/dev/null"
	case a.mode != b.mode:
		fmt.Fprintf(&out, "old mode 100%o\nnew mode 100%o\n", a.mode, b.mode)
	}
	if same {
		if a.none || b.none { // an empty file: git's line of digests must be there for a reader to take it for one
			out.WriteString("index 0000000..e69de29\n")
		}
		return out.Bytes(), nil
	}
	_, hunks, _ := bytes.Cut(diff.Diff("a", a.data, "b", b.data), []byte("+++ b\n"))
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", from, to)
	out.Write(hunks)
	return out.Bytes(), nil
}
