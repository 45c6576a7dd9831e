package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/stack"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"
)

// A Go toolchain of any release since 1.2 is a module, and the module proxy serves it.
const toolchainModule = "golang.org/toolchain"

func toolchainOf(release string) module.Version {
	return module.Version{Path: toolchainModule, Version: "v0.0.1-go" + release + ".linux-amd64"}
}

// ToolchainFile is where a toolchain's zip lies in the store.
func (s *Store) ToolchainFile(release string) string {
	return filepath.Join(s.Dir, "go"+release+".linux-amd64.zip")
}

// ToolchainDir is where a toolchain is unpacked; its go command is bin/go below it.
func (s *Store) ToolchainDir(release string) string { return filepath.Join(s.Dir, "go"+release) }

// Toolchain brings the zip of a Go release into the store, compared with its h1: sum in the lock; a missing sum is
// written there where that is recorded. It returns a MissingError where the release cannot be had.
func (s *Set) Toolchain(ctx context.Context, release string) error {
	l := s.Stack.Lock
	line, want := l.GoFor(release), ""
	if line != nil {
		want = line.Sum
	} else if !s.Record {
		return missing("the lock has no h1: sum for Go %s: run \"mage fetch -record\"", release)
	}
	file := s.ToolchainFile(release)
	got, err := s.toolchainSum(file, want)
	if errors.Is(err, fs.ErrNotExist) {
		if s.Client == nil {
			return missing("Go %s is not in %s, and OFFLINE forbids to fetch it: run \"mage fetch\" on a connected "+
				"machine and carry vendor-sources/ over", release, s.Dir)
		}
		if err := s.moduleOrSite(ctx, toolchainOf(release), file, want); err != nil {
			return err
		}
		got, err = s.toolchainSum(file, want)
	}
	if err == nil && line == nil {
		l.Go = append(l.Go, &stack.LockedGo{Version: release, Sum: got})
	}
	return err
}

// toolchainSum is the h1: sum of a toolchain's zip, which must be want unless that is empty.
func (s *Store) toolchainSum(file, want string) (string, error) {
	got, err := s.Digests.OfModule(file)
	if err != nil {
		return "", moveAway(file, "%w", err)
	}
	if want != "" && got != want {
		return "", moveAway(file, "got %s, want %s (from the lock)", got, want)
	}
	return got, nil
}

// unpackToolchain unpacks a release whose zip lies in the store and matches the lock. The names in the zip are held
// against the rules of module zips, so nothing leaves the directory, which appears only when it is whole.
func (s *Set) unpackToolchain(release string) (err error) {
	line, file, dir := s.Stack.Lock.GoFor(release), s.ToolchainFile(release), s.ToolchainDir(release)
	if line == nil {
		return nil
	}
	if _, err := s.toolchainSum(file, line.Sum); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(s.Dir, ".toolchain-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archive.RemoveAll(tmp)) }()
	tree := filepath.Join(tmp, "go")
	if err := zip.Unzip(tree, toolchainOf(release), file); err != nil {
		return fmt.Errorf("unpack %s: %w", file, err)
	}
	// What lies there now was read a second time.
	got, err := dirhash.HashDir(tree, toolchainOf(release).String(), dirhash.Hash1)
	if err == nil && got != line.Sum {
		err = fmt.Errorf("%s changed after it was checked: got %s, want %s: move it away, then run \"mage fetch\"",
			file, got, line.Sum)
	}
	if err != nil {
		return err
	}
	for _, g := range []string{"bin/*", "pkg/tool/*/*"} { // a module zip has no modes
		for _, n := range archive.Glob(tree, g) {
			if err := os.Chmod(n, 0o755); err != nil {
				return err
			}
		}
	}
	if err := os.Rename(tree, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return archive.SyncDir(s.Dir)
}
