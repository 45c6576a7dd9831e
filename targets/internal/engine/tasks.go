package engine

import (
	"context"
	"errors"
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
	"drydock/targets/internal/release"
	"drydock/targets/internal/source"
	"drydock/targets/internal/ui"
)

// Fetch gets every source of the stack; with record it writes digests that nobody knew into the lock. A Go comes along
// where none fits, or where toolchain asks for it; the advisories that their lock names, or with newest the newest.
// What fails is failure.Sources.
func Fetch(ctx context.Context, record, toolchain, newest bool) error {
	return Command(ctx, func(ctx context.Context, e *Engine) error {
		if err := e.Look(ctx); err != nil {
			return err
		}
		src := *e.Sources
		src.Record = record
		before := string(e.Stack.Lock.Encode())
		err := e.Toolchain(ctx, &src, toolchain)
		if err == nil {
			var found map[string]*source.Source
			if found, err = src.Fetch(ctx, e.Stack.Parts()); err == nil {
				err = e.signatures(found)
			}
		}
		if err == nil {
			err = errors.Join(e.Advisories(ctx, newest), e.Sources.Digests.Save())
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
		e.UI.Line("sources of %s are complete in %s; nothing needs the network from here on", e.Stack.Name,
			e.Rel(e.Sources.Dir))
		return nil
	})
}

// signatures checks upstream's signatures of all that was found, which may have been carried here, and says whose they
// are.
func (e *Engine) signatures(found map[string]*source.Source) error {
	var errs []error
	for _, n := range e.Stack.Parts() {
		for _, a := range found[n].Archives() {
			sig, err := e.Sources.CheckSignature(a)
			errs = append(errs, err)
			if sig != nil {
				e.UI.Line("signed    %s by %s, %s", filepath.Base(a.Path), sig.Key,
					sig.Made.UTC().Format(time.DateOnly))
			}
		}
	}
	return errors.Join(errs...)
}

// Check prints what the stack needs of this host and what was found. What is not met is failure.Host.
func Check(ctx context.Context, asJSON bool) error {
	return Command(ctx, func(ctx context.Context, e *Engine) error {
		if err := e.Look(ctx); err != nil {
			return err
		}
		asks := e.asks(e.Stack.Parts())
		asks.Isolation = true
		findings := e.facts.Check(asks)
		bad := host.Unmet(findings)
		if asJSON {
			if err := ui.JSON(findings); err != nil {
				return failure.With(failure.Other, err)
			}
		} else {
			e.UI.Text(host.Table(e.UI, findings))
			e.unshared(e.Stack.Parts())
		}
		if bad > 0 {
			return failure.Errorf(failure.Host, "this host cannot build %s: %d requirement(s) not met", e.Stack.Name,
				bad)
		}
		return nil
	})
}

// Built are the stack's parts, and the extras beyond them that somebody has had made.
func (e *Engine) Built() []string {
	return slices.DeleteFunc(e.Stack.Rows.Names(), func(n string) bool {
		return !slices.Contains(e.Stack.Parts(), n) && (e.Stack.Component[n] == nil || e.Records().Load(n) == nil)
	})
}

// Clean removes what can be made again: build/ and output/ of the stack, and the caches. Sources and kept packages
// stay. A stack that is being built is a graph.LockedError.
func Clean(ctx context.Context) error {
	return Reading(ctx, func(ctx context.Context, e *Engine) error {
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
		for _, dir := range []string{e.BuildDir(), e.OutputDir()} {
			entries, err := os.ReadDir(dir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return failure.With(failure.Other, err)
			}
			for _, entry := range entries {
				_, other := platform.Of(entry.Name()) // that of another architecture
				if n := entry.Name(); other != nil && (dir == e.BuildDir() || n != release.Dir && n != release.Latest) {
					dirs = append(dirs, filepath.Join(dir, n))
				}
			}
		}
		for _, d := range dirs {
			if err := archive.RemoveAll(d); err != nil {
				return failure.With(failure.Other, err)
			}
		}
		os.Remove(e.OutputDir()) // unless packages are kept there
		os.Remove(e.BuildDir())
		e.UI.Line("removed %s, what was built in %s, and the compile caches; sources and kept packages stay",
			e.Rel(e.BuildDir()), e.Rel(e.OutputDir()))
		return nil
	})
}
