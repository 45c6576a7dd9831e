package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/host"
	"drydock/targets/internal/platform"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/release"
	"drydock/targets/internal/source"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/ui"
	"drydock/targets/internal/verify"
)

// Fetch gets every source of the stack; with record it writes digests that nobody knew into the lock.
// A Go comes along where none fits, or where toolchain asks for it; the advisories that their lock names, or with newest the newest.
func Fetch(ctx context.Context, record, toolchain, newest bool) error {
	return command(ctx, func(ctx context.Context, e *Engine) error {
		if err := e.look(ctx); err != nil {
			return err
		}
		src := *e.src
		src.Record = record
		before := string(e.Stack.Lock.Encode())
		err := e.toolchain(ctx, &src, toolchain)
		if err == nil {
			var found map[string]*source.Source
			if found, err = src.Fetch(ctx, e.Stack.Parts()); err == nil {
				err = e.signatures(found)
			}
		}
		if err == nil {
			err = errors.Join(e.advisories(ctx, newest), e.src.Digests.Save())
		}
		if record && string(e.Stack.Lock.Encode()) != before {
			file, werr := src.WriteLock()
			if err = errors.Join(err, werr); werr == nil {
				e.UI.Line("recorded  new digests in %s: look at them before you commit them", file)
			}
		}
		if err != nil {
			return failure.With(failure.Sources, err)
		}
		e.UI.Line("sources of %s are complete in %s; nothing needs the network from here on", e.Stack.Name, e.rel(e.src.Dir))
		return nil
	})
}

// signatures checks upstream's signatures of all that was found, which may have been carried here, and says whose they are.
func (e *Engine) signatures(found map[string]*source.Source) error {
	var errs []error
	for _, n := range e.Stack.Parts() {
		for _, a := range found[n].Archives() {
			sig, err := e.src.CheckSignature(a)
			errs = append(errs, err)
			if sig != nil {
				e.UI.Line("signed    %s by %s, %s", filepath.Base(a.Path), sig.Key, sig.Made.UTC().Format(time.DateOnly))
			}
		}
	}
	return errors.Join(errs...)
}

// Check prints what the stack needs of this host and what was found.
func Check(ctx context.Context, asJSON bool) error {
	return command(ctx, func(ctx context.Context, e *Engine) error {
		if err := e.look(ctx); err != nil {
			return err
		}
		asks := e.asks(e.Stack.Parts())
		asks.Isolation = true
		findings := e.facts.Check(asks)
		bad := host.Unmet(findings)
		if asJSON {
			data, err := json.MarshalIndent(findings, "", "  ")
			if err != nil {
				return failure.With(failure.Other, err)
			}
			fmt.Println(string(data))
		} else {
			e.UI.Text(host.Table(e.UI, findings))
			e.unshared(e.Stack.Parts())
		}
		if bad > 0 {
			return failure.With(failure.Host, fmt.Errorf("this host cannot build %s: %d requirement(s) not met", e.Stack.Name, bad))
		}
		return nil
	})
}

// Verify examines every published file of the stack, and its packages, which are hashed; with full, every source and output
// is hashed, too.
func Verify(ctx context.Context, full bool) error {
	return command(ctx, func(ctx context.Context, e *Engine) error {
		err := errors.Join(e.verify(ctx, e.UI, full), e.verifyPackage(), e.verifyKept())
		if full {
			err = errors.Join(err, e.verifySources())
		}
		return failure.With(failure.Failed, err)
	})
}

// unread is what can be said of files whose content was not looked at.
const unread = "unchanged since it was built"

// verify examines every published file. Only with hash are they compared with what was built, byte for byte, and with the
// recorded build; else sizes, modes, times and inodes are. What there is to say goes to u.
func (e *Engine) verify(ctx context.Context, u *ui.UI, hash bool) error {
	if err := e.confined(); err != nil { // files are asked for their versions
		return err
	}
	g := e.records()
	rows := [][]string{{"FILE", "SIZE", "KIND", "KERNEL", "VERSION", "VERDICT", "COMPARED"}}
	var errs []error
	known, err := stack.LoadRecorded(e.digestsFile())
	if err != nil {
		return failure.With(failure.Other, err)
	}
	for _, n := range e.built() {
		rec := g.Load(n)
		if rec == nil {
			errs = append(errs, fmt.Errorf("%s: not built: run \"mage %s\"", n, recipe.Row(n).Target))
			continue
		}
		d := g.Damage(rec, hash)
		if d != "" {
			errs = append(errs, fmt.Errorf("%s: not as it was built: %s: %s", n, d, e.restoring(rec, recipe.Row(n).Target)))
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
			errs = append(errs, fmt.Errorf("%s: %s: it cannot be reproduced, or the record is wrong: run \"mage reproduce -component=%s\"", n, again, n))
		}
		for _, o := range recipe.Outputs(e.Stack, n) {
			if !o.Bin {
				continue
			}
			r := verify.File(ctx, e.output("bin", o.Name), e.want(o))
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
				if to, err := os.Readlink(e.output("bin", l)); err != nil || to != o.Name {
					errs = append(errs, fmt.Errorf("%s: bin/%s: got %s, want a link to %s: run \"mage %s\"", n, l, cmp.Or(to, "none"), o.Name, recipe.Row(n).Target))
				}
			}
			rows = append(rows, []string{o.Name, ui.Bytes(r.Size), strings.TrimSuffix(r.Kind+", "+r.Guards, ", "), abi, r.Says, verdict, again})
		}
	}
	u.Text(ui.Table(rows))
	if !hash {
		u.Line("notice    \"unchanged\" is by size, mode, time and inode: \"mage verify -full\" reads what is in the files")
	}
	if !slices.ContainsFunc(e.Stack.Parts(), func(n string) bool { return g.Load(n) == nil }) {
		errs = append(errs, e.parity(ctx, u))
	}
	return errors.Join(errs...)
}

// verifySources hashes what the components are made from.
func (e *Engine) verifySources() error {
	var errs []error
	e.src.Digests.Forget()
	for _, n := range e.built() {
		c := e.Stack.Component[n]
		found, err := e.src.Locate(c)
		if err == nil && found != nil && source.NeedsVendor(c, found) {
			_, err = e.src.VendorFile(c, found)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", n, err))
		}
	}
	return errors.Join(append(errs, e.src.Digests.Save())...)
}

// wholeOutputs hashes what was built, before something is said of it: an error names what is not as it was built.
func (e *Engine) wholeOutputs() error {
	var errs []error
	for _, n := range e.built() {
		if rec := e.records().Load(n); rec != nil {
			if err := e.hashed(rec); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", n, err))
			}
		}
	}
	return failure.With(failure.Failed, errors.Join(errs...))
}

// built are the stack's parts, and the extras beyond them that somebody has had made.
func (e *Engine) built() []string {
	return slices.DeleteFunc(e.Stack.Rows.Names(), func(n string) bool {
		return !slices.Contains(e.Stack.Parts(), n) && (e.Stack.Component[n] == nil || e.records().Load(n) == nil)
	})
}

// Clean removes what can be made again: build/ and output/ of the stack, and the caches. Sources and kept packages stay.
func Clean(ctx context.Context) error {
	return reading(ctx, func(ctx context.Context, e *Engine) error {
		// The compile caches belong to all stacks, so none may be building.
		locks := archive.Glob(e.Root, "build/*/lock")
		for _, a := range platform.All() {
			locks = append(locks, archive.Glob(e.Root, "build/*/"+a.Name+"/lock")...)
		}
		for _, l := range locks {
			unlock, err := graph.Lock(ctx, filepath.Dir(l), strings.Join(os.Args, " "), nil)
			if err != nil {
				return failure.With(failure.Other, err)
			}
			defer unlock()
		}
		dirs := []string{filepath.Join(e.Root, "build/cache"), filepath.Join(e.Root, "build/tmp")}
		for _, dir := range []string{e.build(), e.output()} {
			entries, err := os.ReadDir(dir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return failure.With(failure.Other, err)
			}
			for _, entry := range entries {
				_, other := platform.Of(entry.Name()) // that of another architecture
				if n := entry.Name(); other != nil && (dir == e.build() || n != release.Dir && n != release.Latest) {
					dirs = append(dirs, filepath.Join(dir, n))
				}
			}
		}
		for _, d := range dirs {
			if err := source.RemoveAll(d); err != nil {
				return failure.With(failure.Other, err)
			}
		}
		os.Remove(e.output()) // unless packages are kept there
		os.Remove(e.build())
		e.UI.Line("removed %s, what was built in %s, and the compile caches; sources and kept packages stay", e.rel(e.build()), e.rel(e.output()))
		return nil
	})
}
