package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/archive"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
	version "github.com/hashicorp/go-version"
)

// Patch is one file of a series.
type Patch struct {
	// File is its path; Name is how messages and keys call it: constraint/name.
	File, Name string
	// Strip is -pN of the series line; 1 without one.
	Strip int
	// SHA256 is the digest of its bytes.
	SHA256 string
}

// Series gives the patches below dir (patches/) that apply to a component at a version: of every constraint directory
// that the version meets, in the order of the directories' names, the lines of its series file.
func Series(dir, component, ver string) ([]Patch, error) {
	v, err := version.NewVersion(ver)
	if err != nil {
		return nil, err
	}
	cs, err := os.ReadDir(filepath.Join(dir, component))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var ps []Patch
	for _, c := range cs {
		if !c.IsDir() {
			continue
		}
		d := filepath.Join(dir, component, c.Name())
		constraint, err := version.NewConstraint(c.Name())
		if err != nil {
			return nil, fmt.Errorf("%s: the directory's name is no version constraint, want one such as \">= 20.10, < 23\"", d)
		}
		if !constraint.Check(v.Core()) {
			continue
		}
		more, err := readSeries(d, c.Name())
		if err != nil {
			return nil, err
		}
		ps = append(ps, more...)
	}
	return ps, nil
}

func readSeries(dir, label string) ([]Patch, error) {
	file := filepath.Join(dir, "series")
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var ps []Patch
	sc := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; sc.Scan(); n++ {
		line, _, _ := strings.Cut(sc.Text(), "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		p := Patch{File: filepath.Join(dir, f[0]), Name: path.Join(label, f[0]), Strip: 1}
		if !filepath.IsLocal(f[0]) {
			return nil, fmt.Errorf("%s:%d: %q leaves the directory", file, n, f[0])
		}
		if len(f) > 1 {
			i := slices.Index([]string{"-p0", "-p1", "-p2"}, f[1])
			if i < 0 || len(f) > 2 {
				return nil, fmt.Errorf("%s:%d: got %q, want a name and at most -p0, -p1 or -p2", file, n, sc.Text())
			}
			p.Strip = i
		}
		if p.SHA256, err = archive.SHA256File(p.File); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		ps = append(ps, p)
	}
	return ps, sc.Err()
}

// Apply applies a series to the tree, in order, with no fuzz and no offset. After an error the tree is not to be used.
func Apply(tree string, ps []Patch) error {
	root, err := os.OpenRoot(tree)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, p := range ps {
		if err := applyOne(root, p); err != nil {
			return fmt.Errorf("patch %s: %w", p.Name, err)
		}
	}
	return nil
}

func applyOne(root *os.Root, p Patch) error {
	data, err := os.ReadFile(p.File)
	if err != nil {
		return err
	}
	files, _, err := gitdiff.Parse(bytes.NewReader(data))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return errors.New("no file is changed by it: want a unified diff")
	}
	for _, f := range files {
		oldName, err := patchName(f.OldName, p.Strip)
		if err != nil {
			return err
		}
		newName, err := patchName(f.NewName, p.Strip)
		if err != nil {
			return err
		}
		if err := applyFile(root, f, oldName, newName); err != nil {
			return fmt.Errorf("%s: %w", newName+strings.Repeat(oldName, b2i(newName == "")), err)
		}
	}
	return nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// patchName drops the leading directories of a name in a patch. gitdiff has taken git's own a/ and b/ off already.
func patchName(name string, strip int) (string, error) {
	if name == "" {
		return "", nil
	}
	parts := strings.Split(name, "/")
	if strip > 0 && (parts[0] == "a" || parts[0] == "b") {
		parts = parts[1:]
	}
	if strip == 2 && len(parts) > 1 {
		parts = parts[1:]
	}
	name = strings.Join(parts, "/")
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("%q leaves the tree", name)
	}
	return name, nil
}

func applyFile(root *os.Root, f *gitdiff.File, oldName, newName string) error {
	var src []byte
	mode := fs.FileMode(0o644)
	if !f.IsNew {
		var err error
		if src, err = root.ReadFile(oldName); err != nil {
			return err
		}
		fi, err := root.Stat(oldName)
		if err != nil {
			return err
		}
		mode = fi.Mode().Perm()
	} else if _, err := root.Lstat(newName); err == nil {
		return errors.New("the patch makes this file, but it is there: already applied?")
	}
	if f.NewMode != 0 {
		mode = f.NewMode.Perm()
	}
	var dst bytes.Buffer
	if err := gitdiff.Apply(&dst, bytes.NewReader(src), f); err != nil {
		return err
	}
	if f.IsDelete || (f.IsRename && oldName != newName) {
		if err := root.Remove(oldName); err != nil {
			return err
		}
		if f.IsDelete {
			return nil
		}
	}
	if err := root.MkdirAll(path.Dir(newName), 0o755); err != nil {
		return err
	}
	if err := root.WriteFile(newName, dst.Bytes(), mode); err != nil {
		return err
	}
	return root.Chmod(newName, mode)
}

func copyFrom(r io.Reader) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	}
}
