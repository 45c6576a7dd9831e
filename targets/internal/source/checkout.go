package source

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/stack"

	version "github.com/hashicorp/go-version"
	cp "github.com/otiai10/copy"
)

// Checkout returns the user's own tree of a component; a MissingError where it is not there. Its digest covers names,
// modes and contents of the directories that are used, not git's own; what did not change is not read again.
func (s *Store) Checkout(c *stack.Component) (*Found, error) {
	f := &Found{Path: filepath.Join(s.Dir, c.Checkout), Layout: c.Layout(nil)}
	for _, d := range f.dirs() {
		if p := filepath.Join(f.Path, d); !isDir(p) {
			return nil, missing("%s is not there, and the stack says checkout = %q: put the sources of %s %s there, "+
				"with their vendor/ tree", p, c.Checkout, c.Name, c.Version)
		}
	}
	var err error
	f.SHA256, err = s.treeDigest(f.Path, f.dirs())
	return f, err
}

// checksOut reports whether a component is made from its user's checkout: always where the stack names no origin for
// it, else where something has the checkout's name, be it a link that leads nowhere, which is for the user to look at.
func (s *Store) checksOut(c *stack.Component) bool {
	return c.Checkout != "" && (len(c.Origin) == 0 || exists(filepath.Join(s.Dir, c.Checkout)))
}

// Edit returns the open edit of a component as its source; an error where a file of it cannot be read.
func (s *Store) Edit(tree string, layout map[string]string) (*Found, error) {
	f := &Found{Path: tree, Layout: layout, Edit: true}
	var err error
	f.SHA256, err = s.treeDigest(f.Path, f.dirs())
	return f, err
}

// treeDigest is the digest of directories below root. Its memory is not the archives': it has a line for each file.
func (s *Store) treeDigest(root string, dirs []string) (string, error) {
	memory := s.trees[root]
	if memory == nil {
		id, _ := archive.SHA256(strings.NewReader(root))
		memory = OpenDigests(filepath.Join(filepath.Dir(s.Digests.file), "tree-"+id[:12]+".json"))
		if s.trees == nil {
			s.trees = map[string]*Digests{}
		}
		s.trees[root] = memory
	}
	var lines []string
	for _, d := range dirs {
		top, err := filepath.EvalSymlinks(filepath.Join(root, d)) // a link stands for the directory that it leads to
		if err != nil {
			return "", err
		}
		err = filepath.WalkDir(top, func(p string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, _ := filepath.Rel(top, p)
			rel = filepath.Join(d, rel)
			switch {
			case e.Name() == ".git" && e.IsDir():
				return fs.SkipDir
			case e.Name() == ".git" || e.IsDir():
				return nil
			case e.Type() == fs.ModeSymlink:
				to, err := os.Readlink(p)
				lines = append(lines, fmt.Sprintf("%q link %q", rel, to))
				return err
			case !e.Type().IsRegular():
				return fmt.Errorf("%s: got a %s, want files, directories and links", p, e.Type())
			}
			fi, err := e.Info()
			if err != nil {
				return err
			}
			sum, err := memory.Of(p)
			lines = append(lines, fmt.Sprintf("%q %v %s", rel, fi.Mode()&0o111 != 0, sum))
			return err
		})
		if err != nil {
			return "", err
		}
	}
	slices.Sort(lines)
	sum, _ := archive.SHA256(strings.NewReader(strings.Join(slices.Compact(lines), "\n")))
	return sum, memory.Save()
}

// copyTo copies the used directories of a checkout.
func (f *Found) copyTo(dir string) error {
	for _, d := range f.dirs() {
		top, err := filepath.EvalSymlinks(filepath.Join(f.Path, d))
		if err != nil {
			return err
		}
		err = cp.Copy(top, filepath.Join(dir, d), cp.Options{
			Skip:              func(fi os.FileInfo, _, _ string) (bool, error) { return fi.Name() == ".git", nil },
			OnSymlink:         func(string) cp.SymlinkAction { return cp.Shallow },
			PreserveTimes:     true, // make looks at them
			PermissionControl: cp.AddPermission(0o600),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Installed returns a libseccomp that is installed at dir as the source of that component, and its version: the static
// library and its headers are taken as they are. An error names what of them is not there.
func (s *Store) Installed(dir string) (f *Found, version string, err error) {
	f = &Found{Path: dir, only: []string{"include/seccomp.h", "include/seccomp-syscalls.h"}}
	libs := []string{"lib/libseccomp.a", "lib64/libseccomp.a", "lib/x86_64-linux-gnu/libseccomp.a"}
	i := slices.IndexFunc(libs, func(l string) bool { _, err := os.Stat(filepath.Join(dir, l)); return err == nil })
	if i < 0 {
		return nil, "", fmt.Errorf("LIBSECCOMP_PREFIX=%s: no libseccomp.a in lib, lib64 or lib/x86_64-linux-gnu "+
			"below it: want a libseccomp installed with its static library", dir)
	}
	f.only = append(f.only, libs[i])
	header, err := os.ReadFile(filepath.Join(dir, f.only[0]))
	if err != nil {
		return nil, "", fmt.Errorf("LIBSECCOMP_PREFIX: %w", err)
	}
	var parts []string
	for _, m := range scmpVersion.FindAllSubmatch(header, -1) {
		parts = append(parts, string(m[1]))
	}
	if len(parts) != 3 {
		return nil, "", fmt.Errorf("%s: got no SCMP_VER_MAJOR, _MINOR, _MICRO in it, want libseccomp's own header",
			filepath.Join(dir, f.only[0]))
	}
	f.SHA256, err = s.treeDigest(dir, f.only)
	return f, strings.Join(parts, "."), err
}

var scmpVersion = regexp.MustCompile(`(?m)^#define\s+SCMP_VER_(?:MAJOR|MINOR|MICRO)\s+(\d+)`)

// Library is the path of the static library in what is Installed.
func (f *Found) Library() string {
	if f.only == nil {
		return ""
	}
	return f.only[2]
}

// Unchanged returns an error where a checkout is no longer what it was when f was made: somebody works on it while it
// is copied.
func (s *Store) Unchanged(f *Found) error {
	if !f.Checkout() {
		return nil
	}
	if now, err := s.treeDigest(f.Path, f.dirs()); err != nil || now != f.SHA256 {
		return errors.Join(err, fmt.Errorf("%s changed while it was copied: run again", f.Path))
	}
	return nil
}

// Release is what a checkout says of itself: its version (empty when it names none, or one in development), where that
// stands, and git's commit (empty without git's metadata).
type Release struct {
	Version, File, Commit string
}

// Release reads a checkout's version, from git's tags or from the file that upstream keeps it in (nil for none), and
// its commit, without git. Of several tags at one commit, the one that is c's version counts; else the newest. The
// error is that of a file that is there and cannot be read.
func (f *Found) Release(c *stack.Component, in *stack.VersionFile) (Release, error) {
	r, tags, err := gitHead(f.Path)
	if err != nil {
		return r, err
	}
	if r.Version = newest(tags, c.Version); r.Version != "" {
		r.File = "git's tag " + tags[r.Version]
		return r, nil
	}
	if in == nil {
		return r, nil
	}
	for _, d := range f.dirs() {
		data, err := os.ReadFile(filepath.Join(f.Path, d, in.Path))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return r, err
		}
		var parts []string
		for _, m := range in.Pattern.FindAllSubmatch(data, -1) {
			parts = append(parts, string(m[1]))
			if !in.Every {
				break
			}
		}
		v := strings.TrimSuffix(strings.Join(parts, "."), "-ce")
		if !strings.HasSuffix(v, "dev") && !strings.Contains(v, "unknown") {
			r.Version, r.File = v, filepath.Join(d, in.Path)
		}
		return r, nil
	}
	return r, nil
}

var hexSHA = regexp.MustCompile(`^[0-9a-f]{40}$`)

// newest returns the version that is want, or else the newest one, of tags by version; empty where there are none.
func newest(tags map[string]string, want string) (best string) {
	w, _ := version.NewVersion(want)
	var top *version.Version
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		v, err := version.NewVersion(name)
		switch {
		case err != nil:
		case w != nil && v.Equal(w):
			return name
		case top == nil || v.GreaterThan(top):
			best, top = name, v
		}
	}
	return best
}

// gitHead reads the commit that is checked out below dir, and its release tags (v1.2.3, docker-v1.2.3) by version,
// without git.
func gitHead(dir string) (r Release, releases map[string]string, err error) {
	git := filepath.Join(dir, ".git")
	if to, ok := strings.CutPrefix(textOf(git), "gitdir: "); ok { // a worktree's, or a submodule's
		if git = to; !filepath.IsAbs(to) {
			git = filepath.Join(dir, to)
		}
	}
	head, err := os.ReadFile(filepath.Join(git, "HEAD"))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil, nil
	} else if err != nil {
		return r, nil, err
	}
	common := git
	if to := textOf(filepath.Join(git, "commondir")); to != "" {
		common = filepath.Join(git, to)
	}
	tags, refs := packedRefs(filepath.Join(common, "packed-refs"))
	r.Commit = strings.TrimSpace(string(head))
	if ref, ok := strings.CutPrefix(r.Commit, "ref: "); ok {
		r.Commit = cmp.Or(textOf(filepath.Join(git, ref)), textOf(filepath.Join(common, ref)), refs[ref])
	}
	if !hexSHA.MatchString(r.Commit) {
		return Release{}, nil, nil // nothing is committed yet
	}
	loose, _ := os.ReadDir(filepath.Join(common, "refs/tags"))
	for _, t := range loose {
		tags[t.Name()] = tagged(common, textOf(filepath.Join(common, "refs/tags", t.Name())))
	}
	releases = map[string]string{}
	for _, tag := range slices.Sorted(maps.Keys(tags)) {
		v := strings.TrimPrefix(strings.TrimPrefix(tag, "docker-"), "v")
		if tags[tag] == r.Commit && releaseTag.MatchString(v) {
			releases[v] = tag
		}
	}
	return r, releases, nil
}

// textOf is what a small file of git's says; empty where there is none.
func textOf(file string) string {
	data, _ := os.ReadFile(file)
	return strings.TrimSpace(string(data))
}

var releaseTag = regexp.MustCompile(`^\d+\.\d+(\.\d+)?(-rc\.?\d+)?$`)

// packedRefs reads git's file of refs: tags by name, with the commits that they stand for, and all refs.
func packedRefs(file string) (tags, refs map[string]string) {
	tags, refs = map[string]string{}, map[string]string{}
	data, _ := os.ReadFile(file)
	last := ""
	for sc := bufio.NewScanner(bytes.NewReader(data)); sc.Scan(); {
		sha, ref, ok := strings.Cut(sc.Text(), " ")
		switch {
		case ok && hexSHA.MatchString(sha):
			refs[ref], last = sha, ""
			if t, ok := strings.CutPrefix(ref, "refs/tags/"); ok {
				tags[t], last = sha, t
			}
		case strings.HasPrefix(sha, "^") && last != "": // what an annotated tag stands for
			tags[last] = sha[1:]
		}
	}
	return tags, refs
}

// tagged returns the commit that an annotated tag's object names, or the commit itself.
func tagged(git, sha string) string {
	if !hexSHA.MatchString(sha) {
		return ""
	}
	f, err := os.Open(filepath.Join(git, "objects", sha[:2], sha[2:]))
	if err != nil {
		return sha
	}
	defer f.Close()
	z, err := zlib.NewReader(f)
	if err != nil {
		return sha
	}
	data, _ := io.ReadAll(io.LimitReader(z, 4096))
	if _, body, ok := bytes.Cut(data, []byte{0}); ok && bytes.HasPrefix(data, []byte("tag ")) {
		if to, ok := strings.CutPrefix(string(body), "object "); ok && len(to) > 40 {
			return to[:40]
		}
	}
	return sha
}
