package stack

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"drydock/targets/internal/archive"

	"github.com/hashicorp/go-version"
)

// Wanted is a stack that is to be written.
type Wanted struct {
	Name string
	From string // the stack whose other components it takes; empty for the nearest that is not newer
	// Release is docker's, which the package is named after. Versions are those of other components; empty for From's.
	Release  string
	Versions map[string]string
	Modules  map[string]string // the Go modules of components, without a major version's suffix
}

// Draft is a stack file with its lock, as a person would have written them.
type Draft struct {
	From       string
	File, Lock string
	Unknown    []string // the archives of which no digest is known: theirs will be that of the first download
}

var (
	blockRE   = regexp.MustCompile(`(?m)^(?:#.*\n)*\[component\.([a-z-]+)\]$`)
	versionRE = regexp.MustCompile(`(?m)\A(?:#.*\n)*version = .*$`)
	epochRE   = regexp.MustCompile(`(?m)^epoch = .*$`)
)

var stackName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)

// IsName reports whether a stack can have that name.
func IsName(name string) bool { return stackName.MatchString(name) && isStack(name) }

// Write writes dir/Name.toml and dir/Name.lock, neither of which may be there. An error says what is wrong with what is
// wanted.
func (w Wanted) Write(dir string, rows Rows) (Draft, error) {
	file, lock := filepath.Join(dir, w.Name+".toml"), filepath.Join(dir, w.Name+".lock")
	if err := w.check(file, lock); err != nil {
		return Draft{}, err
	}
	from, err := w.from(dir, rows)
	if err != nil {
		return Draft{}, err
	}
	text, err := archive.ReadFile(from.File, maxFile)
	if err != nil {
		return Draft{}, err
	}
	d, err := w.draft(from, string(text))
	if err != nil {
		return Draft{}, err
	}
	d.From = from.Name
	err = archive.WriteBytes(lock, 0o644, []byte(d.Lock))
	if err = errors.Join(err, archive.WriteBytes(file, 0o644, []byte(d.File))); err != nil {
		return Draft{}, err
	}
	if _, err := Load(dir, w.Name, rows); err != nil {
		err = fmt.Errorf("what was written is no stack, and is removed: %w", err)
		return Draft{}, errors.Join(err, os.Remove(file), os.Remove(lock))
	}
	return d, nil
}

// check says what is wrong with what is asked for.
func (w Wanted) check(files ...string) error {
	if !IsName(w.Name) {
		return fmt.Errorf("got the name %q, want letters, digits, dots and dashes, such as docker-27.5", w.Name)
	}
	if w.Release == "" {
		return errors.New("want -docker=<release>, such as -docker=27.5.1")
	}
	for _, v := range append([]string{w.Release}, slices.Collect(maps.Values(w.Versions))...) {
		if _, err := version.NewVersion(v); v != "" && err != nil {
			return fmt.Errorf("got the release %q, want one such as 27.5.1", v)
		}
	}
	for _, f := range files {
		if _, err := os.Lstat(f); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already: want another name, or edit it", f)
		}
	}
	return nil
}

// from is the stack that the rest is of.
func (w Wanted) from(dir string, rows Rows) (*Stack, error) {
	if w.From != "" {
		return Load(dir, w.From, rows)
	}
	names, err := List(dir)
	if err != nil {
		return nil, err
	}
	want, best, bestVersion := version.Must(version.NewVersion(w.Release)), (*Stack)(nil), (*version.Version)(nil)
	for _, name := range names {
		s, err := Load(dir, name, rows)
		if err != nil {
			return nil, err
		}
		v, err := version.NewVersion(s.Version)
		if err == nil && (best == nil || !v.GreaterThan(want) && v.GreaterThan(bestVersion)) {
			best, bestVersion = s, v
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%s: no stack in it that the rest could be of", dir)
	}
	return best, nil
}

// draft makes the texts. Docker's own components are those that have the stack's version. The components that stay are
// taken over with their comments, and with what the lock has of them.
func (w Wanted) draft(from *Stack, text string) (Draft, error) {
	for name, v := range w.Versions {
		if v != "" && from.Component[name] == nil {
			return Draft{}, fmt.Errorf("%s has no %s: name another stack with -from=", from.Name, name)
		}
	}
	all, err := Archives()
	if err != nil {
		return Draft{}, err
	}
	at := blockRE.FindAllStringSubmatchIndex(text, -1)
	if at == nil || !versionRE.MatchString(text) {
		return Draft{}, fmt.Errorf("%s: want a version in its first lines, and components", from.File)
	}
	head := versionRE.ReplaceAllLiteralString(text[:at[0][0]], fmt.Sprintf(
		"# Docker %s, written by \"mage stack:new\" from %s: whoever builds it\n"+
			"# first sees what its patches, its modules and its advisories want.\nversion = %q",
		w.Release, from.Name, w.Release))
	head = epochRE.ReplaceAllString(head, "# That of "+from.Name+".\n$0")
	d, lock := Draft{File: head}, &Lock{Go: from.Lock.Go}
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		name := text[m[2]:m[3]]
		was := from.Component[name]
		release := cmp.Or(w.Versions[name], was.Version)
		if w.Versions[name] == "" && was.Version == from.Version {
			release = w.Release
		}
		if release == was.Version {
			d.File += text[m[0]:end]
			fileOf := func(f *LockedFile) bool { return f.Component == name }
			vendorOf := func(v *LockedVendor) bool { return v.Component == name }
			lock.File = append(lock.File, those(from.Lock.File, fileOf)...)
			lock.Vendor = append(lock.Vendor, those(from.Lock.Vendor, vendorOf)...)
			continue
		}
		archives := archivesOf(all, name, release)
		if archives == nil {
			return Draft{}, fmt.Errorf("%s %s: nothing is known of its archives: "+
				"write its block by hand, as that of %s has it", name, release, from.Name)
		}
		block, unknown := w.block(was, release, archives, lock)
		d.File, d.Unknown = d.File+block, append(d.Unknown, unknown...)
	}
	d.Lock = string(lock.Encode())
	return d, nil
}

func those[T any](all []T, fits func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(x T) bool { return !fits(x) })
}

// block is a component's table, with the origins of those archives; their digests go into the lock.
func (w Wanted) block(was *Component, release string, archives []Archive, lock *Lock) (text string, unknown []string) {
	var b strings.Builder
	fmt.Fprintf(&b, "[component.%s]\nversion = %q\n", was.Name, release)
	if archives[0].Commit != "" {
		fmt.Fprintf(&b, "commit = %q\n", archives[0].Commit)
	}
	if was.Quota != nil {
		fmt.Fprintf(&b, "quota = %t\n", *was.Quota)
	}
	module := moduleOf(w.Modules[was.Name], release, archives[0].URL)
	if was.Vendor != nil && module != "" {
		fmt.Fprintf(&b, "\n[component.%s.vendor]\nmodfile = %q\n", was.Name, was.Vendor.Modfile)
	}
	for _, a := range archives {
		file := fileOf(was.Name, a)
		switch {
		case a.SHA256 == "":
			unknown = append(unknown, file)
			b.WriteString("\n# No digest of it was known: the lock has that of the first download.")
		case a.Publishers == 0:
			b.WriteString("\n# Nobody publishes its digest: it was computed from upstream's git.")
		}
		if a.SHA256 != "" {
			line := &LockedFile{Component: was.Name, Name: file, SHA256: a.SHA256, Size: a.Size}
			line.Publishers = &a.Publishers
			lock.File = append(lock.File, line)
		}
		fmt.Fprintf(&b, "\n[[component.%s.origin]]\nkind = \"url\"\nurl = %q\nfile = %q\nvendored = true\n",
			was.Name, a.URL, file)
	}
	if module != "" {
		fmt.Fprintf(&b, "\n# Any module proxy has it, without vendor/, which \"mage fetch -record\" restores.\n"+
			"[[component.%s.origin]]\nkind = \"module\"\nmodule = %q\n",
			was.Name, module)
	}
	return b.String() + "\n", unknown
}

// fileOf is an archive's name in vendor-sources/, which says of what it is: upstream calls many of them by their
// version alone.
func fileOf(component string, a Archive) string {
	base := path.Base(a.URL)
	_, ending, _ := strings.Cut(base[strings.LastIndex(base, ".tar"):], ".")
	name := component
	if before, _, ok := strings.Cut(a.URL, "/archive/"); ok && !strings.HasSuffix(component, path.Base(before)) {
		name = path.Base(before)
	}
	return name + "-" + a.Version + "." + ending
}

// moduleOf is a module's release by the name that a proxy has it under; empty for one that the archive's tag is no
// release of.
func moduleOf(module, release, url string) string {
	major, _, _ := strings.Cut(release, ".")
	switch {
	case module == "" || !strings.Contains(url, "/v"+release+"."):
		return ""
	case major == "0" || major == "1":
		return module + "@v" + release
	case len(major) > 1: // by years, which Go knows as releases of a time before modules
		return module + "@v" + release + "+incompatible"
	}
	return module + "/v" + major + "@v" + release
}
