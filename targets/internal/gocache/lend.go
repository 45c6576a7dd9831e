package gocache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"drydock/targets/internal/archive"

	"golang.org/x/sys/unix"
)

// Lend gives one Go cache what another has: a copy of each entry that is whole, which says what an action made, and a
// link to what it made, whose name is the digest of its content. Go's own program may be at work in own meanwhile. It
// may write an entry of the same name, which is a file of own; and what it makes again has the same content, which it
// does not write where that is. Who writes to own may be hostile: a Root does not leave the directory. The errors are
// the file system's.
func Lend(own, shared string) error {
	for _, d := range []string{own, shared} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	shared, err := filepath.EvalSymlinks(shared)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(own)
	if err != nil {
		return err
	}
	defer root.Close()
	var owner unix.Stat_t
	if err := unix.Stat(own, &owner); err != nil {
		return err
	}
	has := map[string]bool{}
	for n := range 256 {
		dir := fmt.Sprintf("%02x", n)
		if err := errors.Join(root.MkdirAll(dir, 0o755), root.Lchown(dir, int(owner.Uid), int(owner.Gid))); err != nil {
			return err
		}
		es, err := fs.ReadDir(root.FS(), dir)
		if err != nil {
			return err
		}
		for _, e := range es {
			name := dir + "/" + e.Name()
			_, err := os.Stat(filepath.Join(own, name))
			if has[name] = err == nil; err != nil { // a link to what is gone from shared
				root.Remove(name)
			}
		}
	}
	for _, entry := range archive.Glob(shared, "??/*-a") {
		name, err := filepath.Rel(shared, entry)
		if err != nil || has[name] {
			continue
		}
		data, output := cacheEntry(shared, entry)
		if output == "" {
			continue
		}
		if !has[output] {
			if err := root.Symlink(filepath.Join(shared, output), output); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
		fresh := fmt.Sprintf("%s.%d", name, os.Getpid()) // a run on another stack may be at it, too
		err = root.WriteFile(fresh, data, 0o644)
		err = errors.Join(err, root.Lchown(fresh, int(owner.Uid), int(owner.Gid)), root.Rename(fresh, name))
		if err != nil {
			return err
		}
	}
	return nil
}

// cacheEntry reads an entry of a Go cache and returns it with the name of the output that it leads to; none where one
// of the two is not whole, for who makes them may be at it. Source: cmd/go/internal/cache, whose form is the same since
// Go 1.10.
func cacheEntry(cache, file string) (data []byte, output string) {
	const size = len("v1 ") + 64 + 1 + 64 + 1 + 20 + 1 + 20 + 1
	data, err := os.ReadFile(file)
	f := strings.Fields(string(data))
	if err != nil || len(data) != size || len(f) != 5 || f[0] != "v1" || !isDigest(f[2]) {
		return nil, ""
	}
	output = f[2][:2] + "/" + f[2] + "-d"
	fi, err := os.Stat(filepath.Join(cache, output))
	if err != nil || !fi.Mode().IsRegular() || fmt.Sprint(fi.Size()) != f[3] {
		return nil, ""
	}
	return data, output
}
