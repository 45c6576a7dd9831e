package source

import (
	"context"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/stack"
)

// Libraries is the directory of a tree that is the second entry of GOPATH: what the sources import and an origin
// strips.
const Libraries = ".libraries"

// gocode is where Debian's packages of Go libraries have theirs, and docs the texts of their licences.
const (
	gocode = "usr/share/gocode/src"
	docs   = "usr/share/doc"
)

// restoreLibraries makes the archive of what a GOPATH source imports and lacks, from the stack's packages, and compares
// it with the lock, or notes it there where that is recorded. Two components of the same sources share it. It unpacks
// packages and copies files out of them; nothing of them is run.
func (s *Set) restoreLibraries(ctx context.Context, c *stack.Component, f *Found) (err error) {
	s.libraries.Lock()
	defer s.libraries.Unlock()
	if line, err := s.VendorFile(c, f); line != nil || err != nil {
		return err
	}
	if len(s.Stack.Packages) == 0 {
		return fmt.Errorf("the stack names no packages, and %s carries no vendor/ tree: want packages = [...], or "+
			"vendored = true in the origin", filepath.Base(f.Path))
	}
	name := "libraries-" + f.SHA256[:8] + ".tar.gz"
	sum := s.restored[name]
	if sum == "" {
		if sum, err = s.gather(ctx, f, name); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.Stack.Lock
	line := l.VendorFor(c, f.SHA256)
	switch {
	case line == nil && !s.Record:
		of := filepath.Base(f.Path)
		return missing("the lock has no digest for the libraries of %s: run \"mage fetch -record\"", of)
	case line == nil:
		line = &stack.LockedVendor{Component: c.Name, Name: name, Source: f.SHA256, TarSHA256: sum}
		l.Vendor = append(l.Vendor, line)
	case line.TarSHA256 != sum && !s.Record:
		return fmt.Errorf("restored libraries: sha256 of the tar: got %s, want %s (from the lock): "+
			"\"mage fetch -record\" records them", sum, line.TarSHA256)
	}
	for _, v := range l.Vendor { // of the components that share it
		if v.Name == name {
			v.TarSHA256 = sum
		}
	}
	return nil
}

// ofLibrary says which files of a package can be of use: not its tests, which have hostile links on purpose.
func ofLibrary(name string) bool {
	if strings.HasPrefix(name, docs+"/") {
		return path.Base(name) == "copyright"
	}
	ofTests := strings.Contains(name, "/testdata/") || strings.HasSuffix(name, "_test.go")
	return strings.HasPrefix(name, gocode+"/") && !ofTests
}

// gather fetches the packages, takes out of them what the sources reach, and writes it as an archive.
func (s *Set) gather(ctx context.Context, f *Found, name string) (sum string, err error) {
	tmp, done, err := s.Scratch("libraries-")
	if err != nil {
		return "", err
	}
	defer done()
	tree, libs := filepath.Join(tmp, "tree"), filepath.Join(tmp, "libs")
	if err := errors.Join(os.Mkdir(tree, 0o755), os.Mkdir(libs, 0o755)); err != nil {
		return "", err
	}
	packages := s.Stack.Packages
	found := make([]*Found, len(packages))
	err = FetchAll(packages, 4, func(p string) error {
		a := &asking{}
		got, err := s.get(ctx, stack.PackageOwner, stack.Package(p), a)
		if err == nil && got == nil {
			err = s.notGiven(a)
		}
		found[slices.Index(packages, p)] = got
		return err
	})
	if err != nil {
		return "", err
	}
	for _, p := range found {
		if err := unpack(p, libs, ofLibrary); err != nil {
			return "", fmt.Errorf("unpack %s: %w", p.Path, err)
		}
		if err := ctx.Err(); err != nil {
			return "", context.Cause(ctx)
		}
	}
	if err := archive.CheckLinks(libs); err != nil { // of one package through those of another
		return "", fmt.Errorf("the packages together: %w", err)
	}
	if err := Unpack(f, tree); err != nil {
		return "", err
	}
	if _, err := f.patch(tree); err != nil {
		return "", err
	}
	es, err := reached(tree, f.Layout, libs)
	if err != nil {
		return "", err
	}
	staged := filepath.Join(tmp, name)
	if sum, err = archive.WriteTarGz(staged, es, time.Unix(0, 0)); err != nil {
		return "", err
	}
	if s.restored == nil {
		s.restored = map[string]string{}
	}
	if err = s.keep(staged, name); err == nil {
		s.restored[name] = sum
	}
	return sum, err
}

// major is the element of an import path that Go drops in a GOPATH, where the tree of the importer has a go.mod.
var major = regexp.MustCompile(`/v[0-9]+(/|$)`)

// reached lists the files of all packages in libs that the commands of the tree import, themselves or through others,
// whatever the build tags: what "go mod vendor" would keep. The licences of the packages come along.
func reached(tree string, layout map[string]string, libs string) ([]archive.Entry, error) {
	roots := []string{}
	for _, dir := range layout {
		roots = append(roots, archive.Glob(filepath.Join(tree, dir), "cmd/*")...)
	}
	slices.Sort(roots)
	// where gives the directory that a file in dir means by an import path: as Go in a GOPATH does, vendor/ first.
	where := func(dir, imp string) string {
		for d := dir; len(d) >= len(tree); d = filepath.Dir(d) {
			if v := filepath.Join(d, "vendor", imp); isDir(v) {
				return v
			}
		}
		for prefix, dir := range layout {
			if rest, ok := strings.CutPrefix(imp, prefix); ok && (rest == "" || rest[0] == '/') {
				return filepath.Join(tree, dir, rest)
			}
		}
		if d := filepath.Join(libs, gocode, imp); isDir(d) {
			return d
		}
		return filepath.Join(libs, gocode, major.ReplaceAllString(imp, "$1"))
	}
	seen := map[string]bool{}
	for len(roots) > 0 {
		dir := roots[0]
		roots = roots[1:]
		if seen[dir] || !isDir(dir) { // what is not there may be for another system, or of Go's own library
			continue
		}
		seen[dir] = true
		imports, err := importsOf(dir)
		if err != nil {
			return nil, err
		}
		for _, imp := range imports {
			roots = append(roots, where(dir, imp))
		}
	}
	return kept(libs, seen)
}

// kept lists what of libs is in the directories, and the licences above them.
func kept(libs string, dirs map[string]bool) ([]archive.Entry, error) {
	root, err := os.OpenRoot(libs)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	src := filepath.Join(libs, gocode)
	names := map[string]bool{}
	var es []archive.Entry
	take := func(dir string, want func(string) bool) error {
		files, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, f := range files {
			p := filepath.Join(dir, f.Name())
			rel, _ := filepath.Rel(src, p)
			name := path.Join("src", filepath.ToSlash(rel))
			// A link to a file becomes one; one that leads nowhere is left out.
			fi, err := root.Stat(filepath.Join(gocode, rel))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if err == nil && fi.Mode().IsRegular() && want(f.Name()) && !names[name] {
				names[name] = true
				es = append(es, archive.Entry{Name: name, Path: p, Mode: 0o644})
			}
		}
		return nil
	}
	for dir := range dirs {
		if !strings.HasPrefix(dir, src+"/") {
			continue
		}
		if err := take(dir, func(string) bool { return true }); err != nil {
			return nil, err
		}
		for d := filepath.Dir(dir); len(d) > len(src); d = filepath.Dir(d) {
			if err := take(d, func(n string) bool { return n == "go.mod" || isLicence(n) }); err != nil {
				return nil, err
			}
		}
	}
	for _, p := range archive.Glob(filepath.Join(libs, docs), "*/copyright") {
		name := path.Join("doc", filepath.Base(filepath.Dir(p)), "copyright")
		es = append(es, archive.Entry{Name: name, Path: p, Mode: 0o644})
	}
	return es, nil
}

// isLicence knows the names that the text of a licence has.
func isLicence(name string) bool {
	begins := func(p string) bool { return strings.HasPrefix(strings.ToUpper(name), p) }
	return slices.ContainsFunc([]string{"LICENSE", "LICENCE", "COPYING", "NOTICE", "PATENTS", "AUTHORS"}, begins)
}

// importsOf gives what the files of a directory import, for all systems, without their tests.
func importsOf(dir string) ([]string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		p := filepath.Join(dir, f.Name())
		if fi, err := os.Stat(p); err != nil || !fi.Mode().IsRegular() {
			continue
		}
		ast, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return nil, err
		}
		for _, i := range ast.Imports {
			if imp, err := strconv.Unquote(i.Path.Value); err == nil && filepath.IsLocal(imp) {
				all = append(all, imp)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func exists(p string) bool {
	_, err := os.Lstat(p)
	return err == nil
}

func isDir(p string) bool {
	fi, err := os.Stat(p)
	return err == nil && fi.Mode().Type() == fs.ModeDir
}
