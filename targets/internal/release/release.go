// Package release keeps a stack's packages: a directory for each, with a note of what it is and what it passed, and a
// link to the one to take.
package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/pack"
)

// Names below Kept.Dir.
const (
	Dir = "packages" // has a directory for each package, named by version and build time
	// Latest is a link to the one to take: the newest that passed, or the one that somebody went back to.
	Latest = "latest"
)

// noteFile is the note beside each package.
const noteFile = "release.json"

// builtForm is how the build time stands in a package's name.
const builtForm = "20060102T150405Z"

// Kept are the packages of a stack.
type Kept struct {
	Root string // the repository
	Dir  string // output/<stack>, relative to it
}

// keptPackages is how many packages are kept when KEEP does not say otherwise.
const keptPackages = 5

// EnvKeep is how many packages the setting KEEP has kept; 0 for none. The error names the setting.
func EnvKeep() (int, error) {
	v := os.Getenv("KEEP")
	if v == "" {
		return keptPackages, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("KEEP: got %q, want how many packages to keep; 0 for none, and latest as it is", v)
	}
	return n, nil
}

// Release is one package that is kept. It is a file of its own: what happens to the one that it was made from is
// nothing to it.
type Release struct {
	Version string    `json:"version"`
	Built   time.Time `json:"built"`
	File    string    `json:"file"` // its name in the directory
	SHA256  string    `json:"sha256"`
	With    []File    `json:"with,omitempty"` // what goes with it, in the same directory
	// Stamp is that of the file when it was last hashed.
	Stamp archive.Stamp `json:"stamp"`
	// Passed is what it passed, and when; empty when nothing.
	Passed string `json:"passed,omitempty"`
	// Withdrawn reports whether somebody went back from it: latest never moves to the same bytes again by itself.
	Withdrawn bool `json:"withdrawn,omitempty"`

	Name string `json:"-"` // of its directory
	dir  string // relative to the root
	root string
	old  bool // it has no note: an older drydock kept it
}

// File is a file with the digest that it was made with.
type File struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
}

// Changed is a kept file that is not what was kept.
type Changed struct{ File, Got, Want, Do string }

func (c *Changed) Error() string {
	return fmt.Sprintf("%s: sha256: got %s, want %s: it is not what was kept: %s", c.File, c.Got, c.Want, c.Do)
}

// Path is the package's path.
func (r *Release) Path() string { return filepath.Join(r.root, r.dir, r.File) }

func (k Kept) path(parts ...string) string {
	return filepath.Join(append([]string{k.Root, k.Dir}, parts...)...)
}

// List returns what is kept, oldest first. The error names the note that cannot be read.
func (k Kept) List() ([]*Release, error) {
	es, err := os.ReadDir(k.path(Dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []*Release
	for _, e := range es {
		if strings.HasPrefix(e.Name(), ".") || !e.IsDir() {
			continue
		}
		r := &Release{Name: e.Name(), root: k.Root, dir: filepath.Join(k.Dir, Dir, e.Name())}
		data, err := os.ReadFile(filepath.Join(r.root, r.dir, noteFile))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = r.readOld()
		case err == nil:
			if err = json.Unmarshal(data, r); err == nil &&
				(r.File == "" || r.File != filepath.Base(r.File) || len(r.SHA256) != 64) {
				err = errors.New("it names no file and its sha256")
			}
			if err != nil {
				err = fmt.Errorf("%s: %w: remove the directory", filepath.Join(r.dir, noteFile), err)
			}
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b *Release) int { return a.Built.Compare(b.Built) })
	return all, nil
}

// readOld reads a package that an older drydock kept: as hard links to what was built, with files in place of the note.
func (r *Release) readOld() error {
	dir := filepath.Join(r.root, r.dir)
	sums := archive.Glob(dir, "docker-*.tar.gz.sha256")
	if len(sums) != 1 {
		return fmt.Errorf("%s: %d files named docker-….tar.gz.sha256, want one: remove the directory", r.dir, len(sums))
	}
	data, err := os.ReadFile(sums[0])
	if err != nil {
		return err
	}
	r.old, r.File = true, strings.TrimSuffix(filepath.Base(sums[0]), ".sha256")
	r.SHA256, _, _ = strings.Cut(string(data), " ")
	i := max(0, strings.LastIndexByte(r.Name, '-'))
	r.Version = r.Name[:i]
	r.Built, _ = time.Parse(builtForm, strings.TrimPrefix(r.Name[i:], "-"))
	passed, _ := os.ReadFile(filepath.Join(dir, "passed"))
	r.Passed = strings.TrimSpace(string(passed))
	_, err = os.Stat(filepath.Join(dir, "withdrawn"))
	r.Withdrawn = err == nil
	return nil
}

// Latest is the name of the package that latest points to; empty without.
func (k Kept) Latest() string {
	to, err := os.Readlink(k.path(Latest))
	if err != nil {
		return ""
	}
	return filepath.Base(to)
}

// Point moves latest, at once, to a package that was checked. It fails where the link cannot be written.
func (k Kept) Point(r *Release) error {
	return archive.WriteLink(filepath.Join(Dir, r.Name), k.path(Latest))
}

// Keep puts copies of a package and of what goes with it into a directory of their own. The first of the files, whose
// paths are relative to the root, is the package. What comes out with another digest is not kept: the error is
// *Changed.
func (k Kept) Keep(version string, built time.Time, files []File) (*Release, error) {
	r := &Release{Version: version, Built: built.UTC().Truncate(time.Second), root: k.Root}
	r.Name = version + "-" + r.Built.Format(builtForm)
	for exists(k.path(Dir, r.Name)) { // two may be built in the same second
		r.Built = r.Built.Add(time.Second)
		r.Name = version + "-" + r.Built.Format(builtForm)
	}
	for _, f := range files {
		r.With = append(r.With, File{filepath.Base(f.File), f.SHA256})
	}
	r.File, r.SHA256, r.With = r.With[0].File, r.With[0].SHA256, r.With[1:]
	r.dir = filepath.Join(k.Dir, Dir, "."+r.Name)
	tmp := filepath.Join(r.root, r.dir)
	if err := archive.EmptyDir(tmp); err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := archive.CopyFile(filepath.Join(k.Root, f.File),
			filepath.Join(tmp, filepath.Base(f.File)), 0o644); err != nil {
			return nil, err
		}
	}
	err := r.Check()
	if c := (*Changed)(nil); errors.As(err, &c) {
		c.Do = "it changed while it was copied: run again"
	}
	if err := errors.Join(err, r.Note()); err != nil {
		return nil, err
	}
	r.dir = filepath.Join(k.Dir, Dir, r.Name)
	if err := os.Rename(tmp, filepath.Join(r.root, r.dir)); err != nil {
		return nil, err
	}
	return r, archive.SyncDir(k.path(Dir))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Note writes down what is known of the package. It fails where the file cannot be written.
func (r *Release) Note() error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return archive.WriteBytes(filepath.Join(r.root, r.dir, noteFile), 0o644, append(data, '\n'))
}

// Check hashes the package and what goes with it: an error, which is a *Changed where a file has another content, says
// that they are not what was kept.
func (r *Release) Check() error {
	for _, f := range append([]File{{r.File, r.SHA256}}, r.With...) {
		sum, err := archive.SHA256File(filepath.Join(r.root, r.dir, f.File))
		if err != nil {
			return err
		}
		if sum != f.SHA256 {
			return r.changed(f, sum)
		}
	}
	var err error
	r.Stamp, err = archive.Stat(r.Path())
	return err
}

func (r *Release) changed(f File, got string) error {
	return &Changed{File: filepath.Join(r.dir, f.File), Got: got, Want: f.SHA256,
		Do: "remove " + r.dir + "; \"mage all\" keeps the package again where it is what is built"}
}

// Touched reports whether the package is another file than when it was last hashed, by its size, time and inode.
func (r *Release) Touched() bool {
	now, err := archive.Stat(r.Path())
	return err != nil || now != r.Stamp
}

// Read reads the package to its end: an error says that it is not what was kept, or not as its own list says.
func (r *Release) Read() (*pack.Read, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	p, problems, err := pack.ReadPackage(r.Path())
	if err == nil && len(problems) > 0 {
		err = fmt.Errorf("%s: %s", filepath.Join(r.dir, r.File), strings.Join(problems, "; "))
	}
	if err != nil {
		return nil, err
	}
	if p.SHA256 != r.SHA256 {
		return nil, r.changed(File{r.File, r.SHA256}, p.SHA256)
	}
	// The package names the file for relinking, and its digest.
	if d := p.Manifest.Relink; d != nil {
		at := slices.IndexFunc(r.With, func(f File) bool { return f.File == d.Name })
		if at >= 0 && r.With[at].SHA256 != d.SHA256 {
			return nil, r.changed(File{d.Name, d.SHA256}, r.With[at].SHA256)
		}
		if at < 0 {
			r.With = append(r.With, File{d.Name, d.SHA256})
			return p, r.Check()
		}
	}
	return p, nil
}

// Adopt gives a package that an older drydock kept files of its own and a note. One that was changed is left as it is:
// its check says so. It fails where a file cannot be copied or read.
func (r *Release) Adopt() error {
	if !r.old || r.Check() != nil {
		return nil
	}
	for _, p := range archive.Glob(filepath.Join(r.root, r.dir), "docker-*") {
		if err := archive.CopyFile(p, p, 0o644); err != nil {
			return err
		}
	}
	if _, err := r.Read(); err != nil {
		return nil
	}
	for _, p := range archive.Glob(filepath.Join(r.root, r.dir), "docker-*") {
		f := File{File: filepath.Base(p)}
		if f.File == r.File || slices.ContainsFunc(r.With, func(w File) bool { return w.File == f.File }) {
			continue
		}
		var err error
		if f.SHA256, err = archive.SHA256File(p); err != nil {
			return err
		}
		r.With = append(r.With, f)
	}
	r.old = false
	return r.Note()
}

// Prune removes the oldest packages above keep, but never the one that latest points to, and what a killed run left. It
// fails where a package cannot be removed.
func (k Kept) Prune(all []*Release, keep int) error {
	for _, d := range archive.Glob(k.path(Dir), ".*") {
		os.RemoveAll(d)
	}
	for n := len(all); n > keep && len(all) > 0; all = all[1:] {
		if all[0].Name == k.Latest() {
			continue
		}
		if err := os.RemoveAll(k.path(Dir, all[0].Name)); err != nil {
			return err
		}
		n--
	}
	return nil
}

// Find returns a kept package by its name, "latest", or "previous" for the one before that; nil when there is none.
func (k Kept) Find(all []*Release, name string) *Release {
	at := slices.IndexFunc(all, func(r *Release) bool { return r.Name == k.Latest() })
	switch {
	case name == Latest && at >= 0:
		return all[at]
	case name == "previous" && at > 0:
		return all[at-1]
	}
	if i := slices.IndexFunc(all, func(r *Release) bool { return r.Name == name }); i >= 0 {
		return all[i]
	}
	return nil
}

// Before returns the package to go back to from latest: the last one before it that passed and that nobody went back
// from. It is nil when there is none.
func (k Kept) Before(all []*Release) *Release {
	at := slices.IndexFunc(all, func(r *Release) bool { return r.Name == k.Latest() })
	for i := at - 1; i >= 0; i-- {
		if all[i].Passed != "" && !all[i].Withdrawn {
			return all[i]
		}
	}
	return nil
}

// Rollback points latest at a package that was checked. The one that it comes from is withdrawn when it is newer. It
// fails where a note or the link cannot be written.
func (k Kept) Rollback(all []*Release, to *Release) error {
	if from := k.Find(all, Latest); from != nil && to.Built.Before(from.Built) {
		// Before latest moves: a run that is killed in between must not move it forward again.
		from.Withdrawn = true
		if err := from.Note(); err != nil {
			return err
		}
	}
	to.Withdrawn = false
	if err := to.Note(); err != nil {
		return err
	}
	return k.Point(to)
}
