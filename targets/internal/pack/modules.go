package pack

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

// Module is a Go module that is linked into a file.
type Module struct {
	Path    string // as it is imported, and named below vendor/
	Version string
	// Replaced is the path of the module that is in its place; empty for itself.
	Replaced string
	// Package is the Debian package that it was compiled from, in place of a module.
	Package string
}

// source is the path that the module's code comes from.
func (m Module) source() string {
	if m.Replaced != "" {
		return m.Replaced
	}
	return m.Path
}

// purl is the module's package URL, as bills of materials name it.
func (m Module) purl() string { return "pkg:golang/" + m.source() + "@" + m.Version }

// goFile is what a Go file says of itself.
type goFile struct {
	version string // of Go, without the "go"
	modules []Module
}

var errNotGo = errors.New("not a Go file")

// readGo reads what Go wrote into a file. A file that was built without modules says nothing of what is linked; then
// the vendor lists of its tree do, as far as the names in the file's table of functions agree.
func readGo(file string, ts []text, versions map[string]string) (*goFile, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, errNotGo
	}
	g := &goFile{version: strings.TrimPrefix(strings.Fields(info.GoVersion)[0], "go")}
	if info.Main.Path != "" {
		for _, d := range info.Deps {
			m := Module{Path: d.Path, Version: d.Version}
			if d.Replace != nil {
				m.Replaced, m.Version = d.Replace.Path, d.Replace.Version
			}
			g.modules = append(g.modules, m)
		}
		return g, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(ts, func(t text) bool { return t.name == LibraryList }) {
		var unknown []string
		if g.modules, unknown = libraryModules(data, ts, versions); unknown != nil {
			return nil, fmt.Errorf("%s: no package accounts for %s: name the import path of its source in "+
				"pack/debian.go", file, strings.Join(unknown, ", "))
		}
		return g, nil
	}
	listed := false
	for _, t := range ts {
		if path.Base(t.name) == "vendor.conf" && !strings.Contains(path.Dir(t.name)+"/", "vendor/") {
			listed = true
			for _, m := range vendorConf(t.data) {
				if linked(data, m.Path) || bytes.Contains(data, []byte(m.Path+"/")) {
					g.modules = append(g.modules, m)
				}
			}
		}
	}
	slices.SortFunc(g.modules, func(a, b Module) int { return strings.Compare(a.Path, b.Path) })
	g.modules = slices.CompactFunc(g.modules, func(a, b Module) bool { return a.Path == b.Path })
	if !listed {
		return nil, fmt.Errorf("%s: names no modules, and its tree has no vendor.conf that does", file)
	}
	return g, nil
}

// Linked tells which modules are in a Go file that was built without modules: notices are its component's texts,
// versions those of the packages that it was compiled with. It fails on code that no package accounts for.
func Linked(file, notices string, versions map[string]string) ([]Module, error) {
	ts, err := readTexts(notices)
	if err != nil {
		return nil, err
	}
	g, err := readGo(file, ts, versions)
	if err != nil {
		return nil, err
	}
	return g.modules, nil
}

// vendorConf reads the list of a tree that is older than modules: import path, commit or tag, and now and then the
// repository that it comes from instead.
func vendorConf(data []byte) []Module {
	var ms []Module
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		m := Module{Path: f[0], Version: f[1]}
		if len(f) > 2 {
			_, from, ok := strings.Cut(f[2], "://")
			if !ok {
				from = f[2]
			}
			if from = strings.TrimSuffix(from, ".git"); from != m.Path {
				m.Replaced = from
			}
		}
		ms = append(ms, m)
	}
	return ms
}
