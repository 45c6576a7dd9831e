package release

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/graph"
	"drydock/targets/internal/pack"
	"drydock/targets/internal/ui"
)

// Unknown says that nothing is called so.
type Unknown struct{ Name string }

func (u *Unknown) Error() string {
	return fmt.Sprintf("no package %q: want a file, a name that \"mage packages\" lists, latest, or previous", u.Name)
}

// Package reads a package to its end and compares it with what is known of it: its own list, and the note of one that
// is kept, or the digest beside it. name is a path, a kept one's name, "latest", or "previous" for the one before that.
// The error is *Unknown for another name, and else says what is not as it was made.
func (k Kept) Package(name string) (*pack.Read, error) {
	all, err := k.List()
	if err != nil {
		return nil, err
	}
	file, err := os.Stat(name)
	if err != nil || !file.Mode().IsRegular() {
		if r := k.Find(all, name); r != nil {
			return r.Read()
		}
		return nil, &Unknown{name}
	}
	for _, r := range all {
		if fi, err := os.Stat(r.Path()); err == nil && os.SameFile(fi, file) {
			return r.Read()
		}
	}
	p, problems, err := pack.ReadPackage(name)
	if err == nil && len(problems) > 0 {
		if rel, err := filepath.Rel(k.Root, name); err == nil {
			name = rel
		}
		err = fmt.Errorf("%s: %s", name, strings.Join(problems, "; "))
	}
	if err == nil {
		err = pack.CheckSum(name, p.SHA256)
	}
	return p, err
}

// Claims compares the files of a package with the records of what was built: its errors name each that is another.
func Claims(p *pack.Read, record func(component string) *graph.Record) error {
	var errs []error
	for _, x := range p.Manifest.Files {
		if x.Link != "" {
			continue
		}
		want := "none"
		if rec := record(x.Component); rec != nil {
			i := slices.IndexFunc(rec.Outputs, func(o graph.Output) bool {
				return filepath.Base(o.Path) == filepath.Base(x.Name) && o.SHA256 == x.SHA256
			})
			if i >= 0 {
				continue
			}
			want = "as the record of " + x.Component + " has it"
		}
		errs = append(errs,
			fmt.Errorf("%s: sha256: got %s in the package, want %s: run \"mage all\" again", x.Name, x.SHA256, want))
	}
	return errors.Join(errs...)
}

// Table lists packages, which are hashed: the error names those that are not what was kept.
func (k Kept) Table(all []*Release, u *ui.UI) (string, error) {
	rows := [][]string{{"PACKAGE", "SIZE", "SHA-256", "PASSED", ""}}
	var errs []error
	for _, r := range all {
		mark, passed, size := "", r.Passed, ""
		if r.Withdrawn {
			mark = "rolled back"
		}
		if r.Name == k.Latest() {
			mark = "← latest"
		}
		if passed == "" {
			passed = u.Bad("no")
		}
		if err := r.Check(); err != nil {
			passed, errs = u.Bad("CHANGED"), append(errs, err)
		}
		if fi, err := os.Stat(r.Path()); err == nil {
			size = ui.Bytes(fi.Size())
		}
		rows = append(rows, []string{r.Name, size, r.SHA256[:min(12, len(r.SHA256))], passed, mark})
	}
	return ui.Table(rows), errors.Join(errs...)
}
