// Package prove is the commands that show what a finished build is worth: whether its files are what they must be, what
// is known against them, how they work, and whether they come out the same again. It changes nothing of the build.
package prove

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/engine"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/pack"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/release"
	"drydock/targets/internal/source"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/ui"
	"drydock/targets/internal/verify"
)

// Verify examines every published file of the stack, and its packages, which are hashed; with full, every source and
// output is hashed, too. What is not as it must be is failure.Failed.
func Verify(ctx context.Context, full bool) error {
	return engine.Command(ctx, func(ctx context.Context, e *engine.Engine) error {
		err := errors.Join(Files(ctx, e, e.UI, full), verifyPackage(e), verifyKept(e))
		if full {
			err = errors.Join(err, verifySources(e))
		}
		return failure.With(failure.Failed, err)
	})
}

// unread is what can be said of files whose content was not looked at.
const unread = "unchanged since it was built"

// Files examines every published file. Only with hash are they compared with what was built, byte for byte, and with
// the recorded build; else sizes, modes, times and inodes are. What there is to say goes to u. The error names all that
// is not as it must be.
func Files(ctx context.Context, e *engine.Engine, u *ui.UI, hash bool) error {
	if err := e.Confined(); err != nil { // files are asked for their versions
		return err
	}
	g := e.Records()
	rows := [][]string{{"FILE", "SIZE", "KIND", "KERNEL", "VERSION", "VERDICT", "COMPARED"}}
	var errs []error
	known, err := stack.LoadRecorded(digestsFile(e))
	if err != nil {
		return failure.With(failure.Other, err)
	}
	for _, n := range e.Built() {
		rec := g.Load(n)
		if rec == nil {
			errs = append(errs, fmt.Errorf("%s: not built: run \"mage %s\"", n, recipe.Row(n).Target))
			continue
		}
		d := g.Damage(rec, hash)
		if d != "" {
			errs = append(errs, fmt.Errorf("%s: not as it was built: %s: %s", n, d,
				e.Restoring(rec, recipe.Row(n).Target)))
		}
		again, wrong := verify.CompareRecorded(known, recorded(rec))
		switch {
		case d != "":
			again = "not as it was built"
		case !hash && again == verify.Identical:
			again = unread
		case !hash && !wrong:
			again = unread + "; " + again
		}
		if wrong {
			errs = append(errs, fmt.Errorf("%s: %s: it cannot be reproduced, or the record is wrong: run \"mage "+
				"reproduce -component=%s\"", n, again, n))
		}
		for _, o := range recipe.Outputs(e.Stack, n) {
			if !o.Bin {
				continue
			}
			r := verify.File(ctx, e.OutputDir("bin", o.Name), e.Want(o))
			verdict := u.Good("ok")
			if err := r.Err(); err != nil {
				verdict = u.Bad("FAILED")
				errs = append(errs, err)
			}
			abi := r.ABI
			if abi == "" {
				abi = "any"
			}
			for _, l := range o.Links {
				if to, err := os.Readlink(e.OutputDir("bin", l)); err != nil || to != o.Name {
					errs = append(errs, fmt.Errorf("%s: bin/%s: got %s, want a link to %s: run \"mage %s\"", n, l,
						cmp.Or(to, "none"), o.Name, recipe.Row(n).Target))
				}
			}
			rows = append(rows, []string{o.Name, ui.Bytes(r.Size), strings.TrimSuffix(r.Kind+", "+r.Guards, ", "), abi,
				r.Says, verdict, again})
		}
	}
	u.Text(ui.Table(rows))
	if !hash {
		u.Line("notice    \"unchanged\" is by size, mode, time and inode: \"mage verify -full\" reads what is in the " +
			"files")
	}
	if !slices.ContainsFunc(e.Stack.Parts(), func(n string) bool { return g.Load(n) == nil }) {
		errs = append(errs, parity(ctx, e, u))
	}
	return errors.Join(errs...)
}

// verifySources hashes what the components are made from.
func verifySources(e *engine.Engine) error {
	var errs []error
	e.Sources.Digests.Forget()
	for _, n := range e.Built() {
		c := e.Stack.Component[n]
		found, err := e.Sources.Locate(c)
		if err == nil && found != nil && source.NeedsVendor(c, found) {
			_, err = e.Sources.VendorFile(c, found)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", n, err))
		}
	}
	return errors.Join(append(errs, e.Sources.Digests.Save())...)
}

// wholeOutputs hashes what was built, before something is said of it: an error names what is not as it was built.
func wholeOutputs(e *engine.Engine) error {
	var errs []error
	for _, n := range e.Built() {
		if rec := e.Records().Load(n); rec != nil {
			if err := e.Whole(rec); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", n, err))
			}
		}
	}
	return failure.With(failure.Failed, errors.Join(errs...))
}

// verifyPackage reads the package to its end, and what goes with it.
func verifyPackage(e *engine.Engine) error {
	rec := e.Records().Load(engine.PackageNode)
	if rec == nil {
		return nil // components can be built and verified without
	}
	if d := e.Records().Damage(rec, true); d != "" {
		if _, problems, err := pack.ReadPackage(e.PackageFile()); err == nil && len(problems) > 0 {
			d += "; " + strings.Join(problems, "; ")
		}
		return fmt.Errorf("package: not as it was made: %s: %s", d, e.Restoring(rec, "package"))
	}
	return checkPackage(e, e.PackageFile())
}

// verifyKept hashes the packages that are kept.
func verifyKept(e *engine.Engine) error {
	all, err := e.Kept().List()
	for _, r := range all {
		err = errors.Join(err, r.Check())
	}
	if err == nil && len(all) > 0 {
		e.UI.Line("packages  %d are as they were kept", len(all))
	}
	return err
}

// ReadPackage reads a package to its end; see release.Kept.Package. One that is not as it was made is failure.Failed.
func ReadPackage(e *engine.Engine, name string) (*pack.Read, error) {
	p, err := e.Kept().Package(name)
	if none := (*release.Unknown)(nil); errors.As(err, &none) {
		return nil, err
	}
	return p, failure.With(failure.Failed, err)
}

// checkPackage reads a package, which readPackage finds by its name, to its end, compares it with its own list, and
// that with its signature where a key is known.
func checkPackage(e *engine.Engine, name string) error {
	r, err := ReadPackage(e, name)
	if err != nil {
		return err
	}
	signed, err := pack.CheckList(pack.SumsName, r.List, r.Signature)
	if err != nil {
		return fmt.Errorf("%s: %w", e.Rel(name), err)
	}
	e.UI.Line("package   all %d files are as %s says; %s", len(r.Sums), pack.SumsName, signed)
	return nil
}

// VerifyFile examines a package that lies anywhere. One that is not as it was made is failure.Failed.
func VerifyFile(ctx context.Context, file string) error {
	return engine.Reading(ctx, func(_ context.Context, e *engine.Engine) error {
		return failure.With(failure.Failed, checkPackage(e, file))
	})
}

// native stops a command that starts the stack's files where they are of another machine.
func native(e *engine.Engine, command string) error {
	if a := e.Stack.Arch(); !a.Native() {
		return failure.Errorf(failure.Skipped, "%s: the files of %s are for %s, and this machine runs none of them: "+
			"run it on such a machine", command, e.Stack.Name, a.Name)
	}
	return nil
}

// writeDoc writes a page of docs/ that is made of results.
func writeDoc(e *engine.Engine, name, text string) error {
	file := filepath.Join(e.Root, "docs", name)
	if err := archive.WriteBytes(file, 0o644, []byte(text)); err != nil {
		return err
	}
	e.UI.Line("wrote %s", e.Rel(file))
	return nil
}
