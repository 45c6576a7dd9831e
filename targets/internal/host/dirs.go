package host

import (
	"path/filepath"
	"slices"
	"strings"
)

// system are what a distribution's programs need of it. It is not all of /etc, where secrets are, and none of /run
// and /var, where sockets are.
var system = []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr", "/nix/store", "/gnu/store",
	"/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime"}

// Dirs are the directories and files of this machine that compiling with a C compiler and a Go reads; either may be
// nil. Not all need be there.
func (f *Facts) Dirs(cc *CC, g *Go) []string {
	programs := []string{f.AR, f.Make, f.Shell}
	dirs := strings.Split(f.Asked.Tools, ":")
	if cc != nil {
		programs = append(programs, cc.Path)
		dirs = append(append(dirs, cc.Dirs...), cc.Headers)
	}
	if g != nil {
		programs = append(programs, g.Path)
		dirs = append(dirs, g.Root)
	}
	for _, p := range programs {
		dirs = append(dirs, f.around(p), f.around(resolved(p)))
	}
	for _, d := range slices.Clone(dirs) {
		dirs = append(dirs, resolved(d))
	}
	slices.Sort(dirs)
	dirs = slices.DeleteFunc(slices.Compact(dirs), func(d string) bool {
		return !filepath.IsAbs(d) || slices.ContainsFunc(system, func(s string) bool { return below(d, s) })
	})
	return append(slices.Clone(system), dirs...)
}

// around is where a program lies with what belongs to it: the directory above its bin. Where that has more in it, as
// somebody's home has, it is the program's own directory, or the program alone.
func (f *Facts) around(program string) string {
	dir := filepath.Dir(program)
	if up := filepath.Dir(dir); strings.HasSuffix(dir, "bin") && !f.wide(up) {
		return up
	}
	if f.wide(dir) {
		return program
	}
	return dir
}

// wide reports whether a directory is more than a program's: one at the top, a hidden one, or one with this user's
// home or drydock in it.
func (f *Facts) wide(dir string) bool {
	return strings.Count(dir, "/") < 2 || strings.HasPrefix(filepath.Base(dir), ".") ||
		below(f.Asked.Home, dir) || below(filepath.Dir(f.Asked.Sources), dir)
}

// resolved is a path without links; the path itself where it leads nowhere.
func resolved(path string) string {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		return to
	}
	return path
}

// below reports whether a path is a directory, or lies in it.
func below(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
