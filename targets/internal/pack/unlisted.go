package pack

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/archive"
)

// Repository are the names at the top of the repository that belong to it: a checkout has other things lying about.
var Repository = []string{"mage", "magefile.go", "go.mod", "go.sum", "README.md", "LICENSE", ".gitignore", ".ci",
	"docs", "patches", "targets", "vendor-sources/keys"}

// OfStacks reports whether a file of vendor-sources/ belongs to the repository, by its ending.
func OfStacks(name string) bool {
	return slices.Contains([]string{".toml", ".lock", ".digests", ".features"}, filepath.Ext(name))
}

// IsScrap reports whether a file is an editor's or a patch tool's.
func IsScrap(name string) bool {
	return strings.HasSuffix(name, "~") || strings.HasPrefix(filepath.Base(name), ".tmp-") ||
		slices.Contains([]string{".swp", ".swo", ".orig", ".rej", ".tmp"}, filepath.Ext(name))
}

// unlisted names the files that would take part in a build, and are not in the list: a patch beside a good bundle is
// none of it.
func unlisted(root string, list []byte) ([]string, error) {
	known, err := listed(root, list)
	if err != nil {
		return nil, err
	}
	var more []string
	add := func(name string) {
		if !known[name] && !IsScrap(name) {
			more = append(more, name)
		}
	}
	// Beside what belongs to the repository, what Go and Mage would take of a directory, and the checkouts that were
	// bundled.
	trees := append(slices.Clone(Repository), "vendor", "magefiles", "go.work")
	tops, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, x := range tops {
		if filepath.Ext(x.Name()) == ".go" && !slices.Contains(trees, x.Name()) {
			trees = append(trees, x.Name())
		}
	}
	for n := range known {
		if rest, ok := strings.CutPrefix(n, "vendor-sources/"); ok {
			dir, _, below := strings.Cut(rest, "/")
			if d := "vendor-sources/" + dir; below && !slices.Contains(trees, d) {
				trees = append(trees, d)
			}
		}
	}
	for _, n := range trees {
		tree, err := archive.Tree(filepath.Join(root, n), n)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range tree {
			add(e.Name)
		}
	}
	files, err := os.ReadDir(filepath.Join(root, "vendor-sources"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, x := range files {
		if OfStacks(x.Name()) {
			add("vendor-sources/" + x.Name())
		}
	}
	return more, nil
}
