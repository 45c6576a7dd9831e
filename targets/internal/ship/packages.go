// Package ship is the commands on what leaves this machine and on what others take: packages, which are examined before
// they are the latest, bundles, mirrors, and the team's registry.
package ship

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/engine"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/pack"
	"drydock/targets/internal/prove"
	"drydock/targets/internal/release"
	"drydock/targets/internal/run"
	"drydock/targets/internal/ui"
)

// Build brings the package and all that is in it up to date, keeps the package when it is new, examines it, and moves
// latest to it when it is right. What failed is a failure.Exit.
func Build(ctx context.Context, opt engine.Options) error {
	return engine.BuildPackage(ctx, opt, func(ctx context.Context, e *engine.Engine) error {
		err := releasePackage(ctx, e, opt.Smoke)
		prove.AuditLine(e)
		return err
	})
}

// adopted lists the stack's packages for a run that has the lock: those that an older drydock kept become as the
// others.
func adopted(e *engine.Engine) ([]*release.Release, error) {
	all, err := e.Kept().List()
	for _, r := range all {
		err = errors.Join(err, r.Adopt())
	}
	return all, err
}

// releasePackage keeps the package that was just brought up to date, examines it when it is new, and moves latest to it
// when it is right; with smoked, it must have passed the smoke test, too.
func releasePackage(ctx context.Context, e *engine.Engine, smoked bool) error {
	keep, err := release.EnvKeep()
	if err != nil {
		return err
	}
	rec := e.Record(engine.PackageNode)
	if rec == nil || keep == 0 {
		return nil
	}
	kept := e.Kept()
	all, err := adopted(e)
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
	if smoked {
		want = "verify, smoke"
	}
	switch {
	case !strings.Contains(r.Passed, want):
		err = examine(ctx, e, r, smoked)
	case r.Name != kept.Latest() || r.Touched():
		err = errors.Join(r.Check(), r.Note())
	}
	switch {
	case err != nil:
		return failure.With(failure.Failed, err)
	case r.Name == kept.Latest():
	case r.Withdrawn:
		e.UI.Line("notice    %s was rolled back: latest stays at %s; \"mage rollback -to=%s\" takes it again", r.Name,
			kept.Latest(), r.Name)
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

// examine verifies the files that a package was packed from and the package itself, smokes them when asked to, and
// notes it. All of it is hashed: nothing passes by its size and time.
func examine(ctx context.Context, e *engine.Engine, r *release.Release, smoked bool) error {
	passed := "verify"
	stays := func(code int, err error) error {
		return &failure.Exit{Code: code, Err: fmt.Errorf("%s is kept, but latest stays %s: %w", r.Name,
			cmp.Or(e.Kept().Latest(), "unset"), err)}
	}
	// The table of "mage verify" is not what somebody wants to read every night.
	err := prove.Files(ctx, e, ui.To(io.Discard), true)
	err = errors.Join(err, run.UnlessStopped(ctx, func() error {
		p, err := r.Read()
		if err != nil {
			return err
		}
		_, err = pack.CheckList(pack.SumsName, p.List, p.Signature)
		return errors.Join(err, release.Claims(p, e.Records().Load))
	}))
	if err != nil {
		return stays(failure.Failed, err)
	}
	if smoked {
		if _, err := prove.SmokeTest(ctx, e, "", "", false); err != nil {
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

// Packages lists the packages that are kept, and hashes them. One that is not what was kept is failure.Failed.
func Packages(ctx context.Context) error {
	return engine.Reading(ctx, func(_ context.Context, e *engine.Engine) error {
		all, err := e.Kept().List()
		if err != nil {
			return err
		}
		if len(all) == 0 {
			e.UI.Text("no package is kept: \"mage all\" makes one\n")
			return nil
		}
		text, err := e.Kept().Table(all, e.UI)
		e.UI.Text(text)
		return failure.With(failure.Failed, err)
	})
}

// DiffPackages says what changed from one package to another. It fails where one of them cannot be read.
func DiffPackages(ctx context.Context, a, b string) error {
	return engine.Reading(ctx, func(_ context.Context, e *engine.Engine) error {
		var rs [2]*pack.Read
		for i, name := range []string{a, b} {
			var err error
			if rs[i], err = prove.ReadPackage(e, name); err != nil {
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

// Rollback moves latest back to the package before it, or to another one. One that is not what was kept is
// failure.Failed, none that passed an error.
func Rollback(ctx context.Context, to string) error {
	return engine.Command(ctx, func(ctx context.Context, e *engine.Engine) error {
		if err := e.Lock(ctx, false); err != nil {
			return err
		}
		return rollback(e, to)
	})
}

func rollback(e *engine.Engine, to string) error {
	all, err := adopted(e)
	if err != nil {
		return err
	}
	kept := e.Kept()
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
		return failure.Errorf(failure.Failed, "latest stays %s: %w", cmp.Or(from, "unset"), err)
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

// Key makes a key pair for signing packages. A file that is there is an error.
func Key(ctx context.Context, file string) error {
	return engine.Reading(ctx, func(_ context.Context, e *engine.Engine) error {
		id, err := pack.NewKey(file)
		if err != nil {
			return err
		}
		e.UI.Text(fmt.Sprintf("key %s: %s is secret, %s.pub is for those who check\nSIGN_KEY=%s ./mage all signs; "+
			"VERIFY_KEY=%s.pub ./mage verify checks\n", id, file, file, file, file))
		return nil
	})
}
