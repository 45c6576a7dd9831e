package forge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/pack"
	"drydock/targets/internal/ui"
)

// output/<stack>/packages has a directory for each package that is kept, named by version and build time, and latest is a
// link to the one to take: the newest that was examined and found right, or the one that somebody went back to.
const (
	packagesDir = "packages"
	latestLink  = "latest"
	passedFile  = "passed"    // what a package passed, and when
	withdrawn   = "withdrawn" // somebody went back from it: latest never moves to the same bytes again
)

// keptPackages is how many packages are kept when KEEP does not say otherwise.
const keptPackages = 5

// kept is one package that is kept.
type kept struct {
	Name, File, SHA256 string
	Passed             string // empty when it did not
	Withdrawn          bool
}

func (f *Forge) keepCount() (int, error) {
	v := os.Getenv("KEEP")
	if v == "" {
		return keptPackages, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, fail(CodeOther, fmt.Errorf("KEEP: got %q, want how many packages to keep; 0 for none, and latest as it is", v))
	}
	return n, nil
}

// packages lists what is kept, oldest first.
func (f *Forge) packages() ([]kept, error) {
	es, err := os.ReadDir(f.output(packagesDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []kept
	for _, e := range es {
		if strings.HasPrefix(e.Name(), ".") || !e.IsDir() {
			continue
		}
		dir := f.output(packagesDir, e.Name())
		sums := archive.Glob(dir, "docker-*.tar.gz.sha256")
		if len(sums) != 1 {
			return nil, fmt.Errorf("%s: %d files named docker-….tar.gz.sha256, want one: remove the directory", f.rel(dir), len(sums))
		}
		data, err := os.ReadFile(sums[0])
		if err != nil {
			return nil, err
		}
		k := kept{Name: e.Name(), File: strings.TrimSuffix(sums[0], ".sha256")}
		k.SHA256, _, _ = strings.Cut(string(data), " ")
		passed, _ := os.ReadFile(filepath.Join(dir, passedFile))
		k.Passed = strings.TrimSpace(string(passed))
		_, err = os.Stat(filepath.Join(dir, withdrawn))
		k.Withdrawn = err == nil
		all = append(all, k)
	}
	// By build time, which ends the names.
	slices.SortFunc(all, func(a, b kept) int { return strings.Compare(built(a.Name), built(b.Name)) })
	return all, nil
}

// built is the build time in a kept package's name.
func built(name string) string { return name[strings.LastIndexByte(name, '-')+1:] }

// latest is the name of the package that latest points to; empty without.
func (f *Forge) latest() string {
	to, err := os.Readlink(f.output(latestLink))
	if err != nil {
		return ""
	}
	return filepath.Base(to)
}

// point moves latest, at once.
func (f *Forge) point(name string) error {
	tmp := f.output("." + latestLink)
	os.Remove(tmp)
	if err := os.Symlink(filepath.Join(packagesDir, name), tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, f.output(latestLink)); err != nil {
		return err
	}
	return archive.SyncDir(f.output())
}

// release keeps the package that was just brought up to date, examines it when it is new, and moves latest to it when
// it is right.
func (f *Forge) release(ctx context.Context, opt Options) error {
	keep, err := f.keepCount()
	if err != nil {
		return err
	}
	rec := f.done[packageNode].Record
	if rec == nil || keep == 0 {
		return nil
	}
	all, err := f.packages()
	if err != nil {
		return err
	}
	sum := rec.Outputs[0].SHA256
	i := slices.IndexFunc(all, func(k kept) bool { return k.SHA256 == sum })
	if i < 0 {
		k, err := f.keepPackage(rec, sum)
		if err != nil {
			return err
		}
		all, i = append(all, k), len(all)
	}
	k := &all[i]
	want := "verify"
	if opt.Smoke {
		want = "verify, smoke"
	}
	if !strings.Contains(k.Passed, want) {
		if err := f.examine(ctx, k, opt); err != nil {
			return err
		}
	}
	switch {
	case k.Name == f.latest():
	case k.Withdrawn:
		f.UI.Line("notice    %s was rolled back: latest stays at %s; \"mage rollback -to=%s\" takes it again", k.Name, f.latest(), k.Name)
	default:
		if err := f.point(k.Name); err != nil {
			return err
		}
		f.UI.Line("latest    %s (passed: %s)", k.Name, k.Passed)
	}
	return f.prune(all, keep)
}

// keepPackage puts the package's files into a directory of its own, as other names of the same files.
func (f *Forge) keepPackage(rec *graph.Record, sum string) (kept, error) {
	name := f.Stack.Version + "-" + rec.Built.UTC().Format("20060102T150405Z")
	tmp := f.output(packagesDir, "."+name)
	if err := errors.Join(os.RemoveAll(tmp), os.MkdirAll(tmp, 0o755)); err != nil {
		return kept{}, err
	}
	for _, o := range rec.Outputs {
		from := filepath.Join(f.Root, o.Path)
		if err := os.Link(from, filepath.Join(tmp, filepath.Base(from))); err != nil {
			return kept{}, err
		}
	}
	if err := archive.SyncDir(tmp); err != nil {
		return kept{}, err
	}
	dir := f.output(packagesDir, name)
	if err := os.Rename(tmp, dir); err != nil {
		return kept{}, err
	}
	return kept{Name: name, File: filepath.Join(dir, filepath.Base(f.packageFile())), SHA256: sum}, archive.SyncDir(f.output(packagesDir))
}

// examine verifies the files that a package was packed from and the package itself, smokes them when asked to, and notes it.
func (f *Forge) examine(ctx context.Context, k *kept, opt Options) error {
	passed := "verify"
	stays := func(code int, err error) error {
		at := f.latest()
		if at == "" {
			at = "unset"
		}
		return &Failure{Code: code, Err: fmt.Errorf("%s is kept, but latest stays %s: %w", k.Name, at, err)}
	}
	// The table of "mage verify" is not what somebody wants to read every night.
	loud := f.UI
	f.UI = ui.To(io.Discard)
	err := f.verify(ctx, true)
	quiet := f.UI
	f.UI = loud
	err = errors.Join(err, unlessStopped(ctx, func() error { return f.verifyPackage(quiet) }))
	if err != nil {
		return stays(CodeFailed, err)
	}
	if opt.Smoke {
		if _, err := f.smoke(ctx, "", "", false); err != nil {
			var x *Failure
			code := CodeFailed
			if errors.As(err, &x) {
				code = x.Code
			}
			return stays(code, err)
		}
		passed += ", smoke"
	}
	k.Passed = passed + ", " + time.Now().UTC().Format(time.RFC3339)
	text := k.Passed + "\n"
	return archive.WriteFile(f.output(packagesDir, k.Name, passedFile), 0o644, func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
}

// prune removes the oldest packages above keep, but never the one that latest points to.
func (f *Forge) prune(all []kept, keep int) error {
	for _, d := range archive.Glob(f.output(packagesDir), ".*") { // of a killed run
		os.RemoveAll(d)
	}
	for n := len(all); n > keep && len(all) > 0; all = all[1:] {
		if all[0].Name == f.latest() {
			continue
		}
		if err := os.RemoveAll(f.output(packagesDir, all[0].Name)); err != nil {
			return err
		}
		n--
	}
	return nil
}

// restoring says how damage to outputs is mended.
func (f *Forge) restoring(rec *graph.Record, target string) string {
	if f.records().Damage(rec, false) == "" {
		return fmt.Sprintf("its size and time are as recorded, so no run notices: remove it and run \"mage %s\"", target)
	}
	return fmt.Sprintf("run \"mage %s\" to restore it", target)
}

// verifyPackage reads the package to its end, and what goes with it.
func (f *Forge) verifyPackage(u *ui.UI) error {
	rec := f.records().Load(packageNode)
	if rec == nil {
		return nil // components can be built and verified without
	}
	if d := f.records().Damage(rec, true); d != "" {
		if _, problems, err := pack.ReadPackage(f.packageFile()); err == nil && len(problems) > 0 {
			d += "; " + strings.Join(problems, "; ")
		}
		return fmt.Errorf("package: not as it was made: %s: %s", d, f.restoring(rec, "package"))
	}
	return f.checkPackage(u, f.packageFile())
}

// Packages lists the packages that are kept.
func Packages(ctx context.Context) error {
	return reading(ctx, func(_ context.Context, f *Forge) error {
		all, err := f.packages()
		if err != nil {
			return fail(CodeOther, err)
		}
		rows := [][]string{{"PACKAGE", "SIZE", "SHA-256", "PASSED", ""}}
		for _, k := range all {
			fi, err := os.Stat(k.File)
			if err != nil {
				return fail(CodeOther, err)
			}
			mark, passed := "", k.Passed
			if k.Withdrawn {
				mark = "rolled back"
			}
			if k.Name == f.latest() {
				mark = "← latest"
			}
			if passed == "" {
				passed = f.UI.Bad("no")
			}
			rows = append(rows, []string{k.Name, ui.Bytes(fi.Size()), k.SHA256[:min(12, len(k.SHA256))], passed, mark})
		}
		if len(rows) == 1 {
			f.UI.Text("no package is kept: \"mage all\" makes one\n")
			return nil
		}
		f.UI.Text(ui.Table(rows))
		return nil
	})
}

// find gives the file of a package: a path, a kept one's name, "latest", or "previous" for the one before that.
func (f *Forge) find(name string) (string, error) {
	if fi, err := os.Stat(name); err == nil && fi.Mode().IsRegular() {
		return name, nil
	}
	all, err := f.packages()
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(all, func(k kept) bool { return k.Name == f.latest() })
	switch {
	case name == latestLink && at >= 0:
		return all[at].File, nil
	case name == "previous" && at > 0:
		return all[at-1].File, nil
	}
	for _, k := range all {
		if k.Name == name {
			return k.File, nil
		}
	}
	return "", fmt.Errorf("no package %q: want a file, a name that \"mage packages\" lists, latest, or previous", name)
}

// DiffPackages says what changed from one package to another.
func DiffPackages(ctx context.Context, a, b string) error {
	return reading(ctx, func(_ context.Context, f *Forge) error {
		var rs [2]*pack.Read
		for i, name := range []string{a, b} {
			file, err := f.find(name)
			if err != nil {
				return fail(CodeOther, err)
			}
			r, problems, err := pack.ReadPackage(file)
			if err == nil && len(problems) > 0 {
				err = fmt.Errorf("%s: %s", file, strings.Join(problems, "; "))
			}
			if err != nil {
				return fail(CodeFailed, err)
			}
			rs[i] = r
		}
		cs := pack.Diff(rs[0], rs[1])
		if len(cs) == 0 {
			f.UI.Text("nothing differs\n")
			return nil
		}
		rows := [][]string{{"WHAT", "OF", "WAS", "IS"}}
		for _, c := range cs {
			rows = append(rows, []string{c.Kind, c.Name, clip(c.Was), clip(c.Is)})
		}
		f.UI.Text(ui.Table(rows))
		return nil
	})
}

// clip keeps a value to one short line.
func clip(s string) string {
	if s == "" {
		return "-"
	}
	if len(s) > 100 {
		return s[:50] + " … " + s[len(s)-46:]
	}
	return s
}

// Rollback moves latest back to the package before it, or to another one.
func Rollback(ctx context.Context, to string) error {
	return command(ctx, func(ctx context.Context, f *Forge) error {
		if err := f.lock(ctx, false); err != nil {
			return err
		}
		return fail(CodeOther, f.rollback(to))
	})
}

func (f *Forge) rollback(to string) error {
	all, err := f.packages()
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(k kept) bool { return k.Name == f.latest() })
	next := slices.IndexFunc(all, func(k kept) bool { return k.Name == to })
	if to == "" {
		for i := at - 1; i >= 0 && next < 0; i-- {
			if all[i].Passed != "" && !all[i].Withdrawn {
				next = i
			}
		}
	}
	switch {
	case next < 0 && to != "":
		return fmt.Errorf("no package %q is kept: \"mage packages\" lists them", to)
	case next < 0:
		return errors.New("no older package that passed is kept: \"mage packages\" lists them")
	case all[next].Passed == "":
		return fmt.Errorf("%s did not pass verify", to)
	case next == at:
		f.UI.Line("latest    %s already", all[at].Name)
		return nil
	}
	_, problems, err := pack.ReadPackage(all[next].File)
	if err == nil && len(problems) > 0 {
		err = fmt.Errorf("%s: %s", all[next].Name, strings.Join(problems, "; "))
	}
	if err != nil {
		return err
	}
	if next < at { // before latest moves: a run that is killed in between must not move it forward again
		if err := archive.WriteFile(f.output(packagesDir, all[at].Name, withdrawn), 0o644, func(io.Writer) error { return nil }); err != nil {
			return err
		}
	}
	if err := os.Remove(f.output(packagesDir, all[next].Name, withdrawn)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := f.point(all[next].Name); err != nil {
		return err
	}
	f.UI.Line("latest    %s, was %s", all[next].Name, all[at].Name)
	return nil
}
