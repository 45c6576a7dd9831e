package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/run"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/ui"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"
)

// A Go toolchain of any release since 1.2 is a module, and the module proxy serves it.
const toolchainModule = "golang.org/toolchain"

func toolchainVersion(release string) string { return "v0.0.1-go" + release + ".linux-amd64" }

// ToolchainFile is where a toolchain's zip lies in the store, and ToolchainDir where it is unpacked.
func (s *Store) ToolchainFile(release string) string {
	return filepath.Join(s.Dir, "go"+release+".linux-amd64.zip")
}

// ToolchainDir is where a toolchain is unpacked; its go command is bin/go below it.
func (s *Store) ToolchainDir(release string) string { return filepath.Join(s.Dir, "go"+release) }

// Toolchain brings the zip of a Go release into the store, held against its h1: sum in the lock; with record a missing
// sum is written into the lock. goTool is a go command that may fetch it (it asks the checksum database too), with
// env; where there is none, the proxies are asked directly.
func (s *Store) Toolchain(ctx context.Context, release string, l *stack.Lock, goTool string, env, proxies []string, scratch string, record bool) error {
	line := l.GoFor(release)
	if line == nil && !record {
		return &MissingError{fmt.Sprintf("the lock has no h1: sum for Go %s: run \"mage fetch -record\"", release)}
	}
	file := s.ToolchainFile(release)
	got, err := s.Digests.OfModule(file)
	if errors.Is(err, fs.ErrNotExist) {
		if s.Client == nil {
			return &MissingError{fmt.Sprintf("Go %s is not in %s, and OFFLINE forbids to fetch it: run \"mage fetch\" on a connected machine and carry vendor-sources/ over", release, s.Dir)}
		}
		if goTool != "" {
			err = s.downloadModule(ctx, release, goTool, env, scratch)
		} else {
			err = s.downloadZip(ctx, release, proxies)
		}
		if err != nil {
			return err
		}
		got, err = s.Digests.OfModule(file)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w: move the file away, then run \"mage fetch\"", file, err)
	case line == nil:
		l.Go = append(l.Go, &stack.LockedGo{Version: release, Sum: got})
	case got != line.Sum:
		return fmt.Errorf("%s: got %s, want %s (from the lock): move the file away, then run \"mage fetch\"", file, got, line.Sum)
	}
	return nil
}

// downloadModule lets a go command fetch the zip, with the proxy and the checksum database that this machine is set up with.
func (s *Store) downloadModule(ctx context.Context, release, goTool string, env []string, scratch string) (err error) {
	tmp, err := os.MkdirTemp(scratch, "toolchain-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, RemoveAll(tmp)) }()
	if err := os.WriteFile(filepath.Join(tmp, "go.mod"), []byte("module example.invalid/fetch\n"), 0o644); err != nil {
		return err
	}
	env = append(env, "GOMODCACHE="+tmp+"/mod", "GOPATH="+tmp+"/gopath", "GOCACHE="+tmp+"/cache", "GOTOOLCHAIN=local", "GOWORK=off", "GO111MODULE=on", "GOFLAGS=", "GOENV=off")
	argv := []string{goTool, "mod", "download", "-json", toolchainModule + "@" + toolchainVersion(release)}
	out, err := run.Cmd{Argv: argv, Dir: tmp, Env: env}.Output(ctx)
	if err != nil {
		return &MissingError{fmt.Sprintf("Go %s: %v\n%s", release, err, tail(out, 8))}
	}
	var got struct{ Zip string }
	if i := strings.IndexByte(out, '{'); i >= 0 {
		err = json.NewDecoder(strings.NewReader(out[i:])).Decode(&got)
	}
	if err != nil || got.Zip == "" {
		return fmt.Errorf("go mod download: got %q, want JSON with a Zip (%v)", tail(out, 8), err)
	}
	f, err := os.Open(got.Zip)
	if err != nil {
		return err
	}
	defer f.Close()
	return archive.WriteFile(s.ToolchainFile(release), 0o644, func(w io.Writer) error { _, err := io.Copy(w, f); return err })
}

// downloadZip asks module proxies one after the other.
func (s *Store) downloadZip(ctx context.Context, release string, proxies []string) error {
	var tried []string
	for _, p := range proxies {
		u := strings.TrimRight(p, "/") + "/" + toolchainModule + "/@v/" + toolchainVersion(release) + ".zip"
		err := s.download(ctx, fetch{url: u, name: filepath.Base(s.ToolchainFile(release)), plain: true})
		if err == nil || ctx.Err() != nil {
			return err
		}
		tried = append(tried, ui.Masked(u+": "+err.Error()))
	}
	if len(tried) == 0 {
		return &MissingError{fmt.Sprintf("Go %s: no module proxy is known on a machine without Go: set GOPROXY=<address>", release)}
	}
	return &MissingError{fmt.Sprintf("Go %s: no proxy gave it; tried:\n    %s", release, strings.Join(tried, "\n    "))}
}

// UnpackToolchain unpacks a release whose zip lies in the store and matches the lock. The names in the zip are held
// against the rules of module zips, so nothing leaves the directory, which appears only when it is whole.
func (s *Store) UnpackToolchain(release string, l *stack.Lock) (err error) {
	line, file, dir := l.GoFor(release), s.ToolchainFile(release), s.ToolchainDir(release)
	if line == nil {
		return nil
	}
	got, err := s.Digests.OfModule(file)
	if err != nil {
		return fmt.Errorf("%s: %w: move the file away, then run \"mage fetch\"", file, err)
	}
	if got != line.Sum {
		return fmt.Errorf("%s: got %s, want %s (from the lock): move the file away, then run \"mage fetch\"", file, got, line.Sum)
	}
	tmp, err := os.MkdirTemp(s.Dir, ".toolchain-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, RemoveAll(tmp)) }()
	tree := filepath.Join(tmp, "go")
	if err := zip.Unzip(tree, module.Version{Path: toolchainModule, Version: toolchainVersion(release)}, file); err != nil {
		return fmt.Errorf("unpack %s: %w", file, err)
	}
	// What lies there now was read a second time.
	got, err = dirhash.HashDir(tree, toolchainModule+"@"+toolchainVersion(release), dirhash.Hash1)
	if err == nil && got != line.Sum {
		err = fmt.Errorf("%s changed after it was checked: got %s, want %s: move it away, then run \"mage fetch\"", file, got, line.Sum)
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
