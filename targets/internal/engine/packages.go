package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/pack"
	"drydock/targets/internal/release"
	"drydock/targets/internal/run"
	"drydock/targets/internal/ui"
)

// keptPackages is how many packages are kept when KEEP does not say otherwise.
const keptPackages = 5

func (e *Engine) keepCount() (int, error) {
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

// kept are the stack's packages.
func (e *Engine) kept() release.Kept { return release.Kept{Root: e.Root, Dir: e.rel(e.output())} }

// adopted lists the stack's packages for a run that has the lock: those that an older drydock kept become as the others.
func (e *Engine) adopted() ([]*release.Release, error) {
	all, err := e.kept().List()
	for _, r := range all {
		err = errors.Join(err, r.Adopt())
	}
	return all, err
}

// release keeps the package that was just brought up to date, examines it when it is new, and moves latest to it when
// it is right.
func (e *Engine) release(ctx context.Context, opt Options) error {
	keep, err := e.keepCount()
	if err != nil {
		return err
	}
	rec := e.done[packageNode].Record
	if rec == nil || keep == 0 {
		return nil
	}
	kept := e.kept()
	all, err := e.adopted()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(r *release.Release) bool { return r.SHA256 == rec.Outputs[0].SHA256 })
	if i < 0 {
		var files []release.File
		for _, o := range rec.Outputs {
			files = append(files, release.File{File: o.Path, SHA256: o.SHA256})
		}
		r, err := kept.Keep(e.Stack.Version, rec.Built, files)
		if err != nil {
			return failure.With(failure.Failed, err)
		}
		all, i = append(all, r), len(all)
	}
	r := all[i]
	want := "verify"
	if opt.Smoke {
		want = "verify, smoke"
	}
	switch {
	case !strings.Contains(r.Passed, want):
		err = e.examine(ctx, r, opt)
	case r.Name != kept.Latest() || r.Touched():
		err = errors.Join(r.Check(), r.Note())
	}
	switch {
	case err != nil:
		return failure.With(failure.Failed, err)
	case r.Name == kept.Latest():
	case r.Withdrawn:
		e.UI.Line("notice    %s was rolled back: latest stays at %s; \"mage rollback -to=%s\" takes it again", r.Name, kept.Latest(), r.Name)
		if l := kept.Find(all, release.Latest); l != nil && l.Touched() {
			err = l.Check()
		}
	default:
		if err = kept.Point(r); err == nil {
			e.UI.Line("latest    %s (passed: %s)", r.Name, r.Passed)
		}
	}
	if err != nil {
		return failure.With(failure.Failed, err)
	}
	return kept.Prune(all, keep)
}

// examine verifies the files that a package was packed from and the package itself, smokes them when asked to, and notes
// it. All of it is hashed: nothing passes by its size and time.
func (e *Engine) examine(ctx context.Context, r *release.Release, opt Options) error {
	passed := "verify"
	stays := func(code int, err error) error {
		return &failure.Exit{Code: code, Err: fmt.Errorf("%s is kept, but latest stays %s: %w", r.Name, cmp.Or(e.kept().Latest(), "unset"), err)}
	}
	// The table of "mage verify" is not what somebody wants to read every night.
	err := e.verify(ctx, ui.To(io.Discard), true)
	err = errors.Join(err, run.UnlessStopped(ctx, func() error {
		p, err := r.Read()
		if err != nil {
			return err
		}
		_, err = pack.CheckList(pack.SumsName, p.List, p.Signature)
		return errors.Join(err, release.Claims(p, e.records().Load))
	}))
	if err != nil {
		return stays(failure.Failed, err)
	}
	if opt.Smoke {
		if _, err := e.smoke(ctx, "", "", false); err != nil {
			var x *failure.Exit
			code := failure.Failed
			if errors.As(err, &x) {
				code = x.Code
			}
			return stays(code, err)
		}
		passed += ", smoke"
	}
	r.Passed = passed + ", " + time.Now().UTC().Format(time.RFC3339)
	return r.Note()
}

// restoring says how damage to outputs is mended.
func (e *Engine) restoring(rec *graph.Record, target string) string {
	if e.records().Damage(rec, false) == "" {
		return fmt.Sprintf("its size and time are as recorded, so no run notices: remove it and run \"mage %s\"", target)
	}
	return fmt.Sprintf("run \"mage %s\" to restore it", target)
}

// verifyPackage reads the package to its end, and what goes with it.
func (e *Engine) verifyPackage() error {
	rec := e.records().Load(packageNode)
	if rec == nil {
		return nil // components can be built and verified without
	}
	if d := e.records().Damage(rec, true); d != "" {
		if _, problems, err := pack.ReadPackage(e.packageFile()); err == nil && len(problems) > 0 {
			d += "; " + strings.Join(problems, "; ")
		}
		return fmt.Errorf("package: not as it was made: %s: %s", d, e.restoring(rec, "package"))
	}
	return e.checkPackage(e.packageFile())
}

// verifyKept hashes the packages that are kept.
func (e *Engine) verifyKept() error {
	all, err := e.kept().List()
	for _, r := range all {
		err = errors.Join(err, r.Check())
	}
	if err == nil && len(all) > 0 {
		e.UI.Line("packages  %d are as they were kept", len(all))
	}
	return err
}

// Packages lists the packages that are kept, and hashes them.
func Packages(ctx context.Context) error {
	return reading(ctx, func(_ context.Context, e *Engine) error {
		all, err := e.kept().List()
		if err != nil {
			return err
		}
		if len(all) == 0 {
			e.UI.Text("no package is kept: \"mage all\" makes one\n")
			return nil
		}
		text, err := e.kept().Table(all, e.UI)
		e.UI.Text(text)
		return failure.With(failure.Failed, err)
	})
}

// readPackage reads a package to its end; see release.Kept.Package.
func (e *Engine) readPackage(name string) (*pack.Read, error) {
	p, err := e.kept().Package(name)
	if none := (*release.Unknown)(nil); errors.As(err, &none) {
		return nil, err
	}
	return p, failure.With(failure.Failed, err)
}

// DiffPackages says what changed from one package to another.
func DiffPackages(ctx context.Context, a, b string) error {
	return reading(ctx, func(_ context.Context, e *Engine) error {
		var rs [2]*pack.Read
		for i, name := range []string{a, b} {
			var err error
			if rs[i], err = e.readPackage(name); err != nil {
				return err
			}
		}
		cs := pack.Diff(rs[0], rs[1])
		if len(cs) == 0 {
			e.UI.Text("nothing differs\n")
			return nil
		}
		rows := [][]string{{"WHAT", "OF", "WAS", "IS"}}
		for _, c := range cs {
			rows = append(rows, []string{c.Kind, c.Name, ui.Clip(c.Was), ui.Clip(c.Is)})
		}
		e.UI.Text(ui.Table(rows))
		return nil
	})
}

// Rollback moves latest back to the package before it, or to another one.
func Rollback(ctx context.Context, to string) error {
	return command(ctx, func(ctx context.Context, e *Engine) error {
		if err := e.lock(ctx, false); err != nil {
			return err
		}
		return e.rollback(to)
	})
}

func (e *Engine) rollback(to string) error {
	all, err := e.adopted()
	if err != nil {
		return err
	}
	kept := e.kept()
	next := kept.Before(all)
	if to != "" {
		next = kept.Find(all, to)
	}
	from := kept.Latest()
	switch {
	case next == nil && to != "":
		return fmt.Errorf("no package %q is kept: \"mage packages\" lists them", to)
	case next == nil:
		return errors.New("no older package that passed is kept: \"mage packages\" lists them")
	case next.Passed == "":
		return fmt.Errorf("%s did not pass verify", next.Name)
	}
	p, err := next.Read()
	if err == nil {
		_, err = pack.CheckList(pack.SumsName, p.List, p.Signature)
	}
	switch {
	case err != nil:
		return failure.With(failure.Failed, fmt.Errorf("latest stays %s: %w", cmp.Or(from, "unset"), err))
	case next.Name == from:
		e.UI.Line("latest    %s already", next.Name)
		return nil
	}
	if err := kept.Rollback(all, next); err != nil {
		return err
	}
	e.UI.Line("latest    %s, was %s", next.Name, cmp.Or(from, "unset"))
	return nil
}
