package ship

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/engine"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/origins"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/ui"
)

// Mirror fetches the sources of stacks, by default of all, with their extras, toolchains and the advisories, and puts
// them into a directory that SOURCE_MIRROR can name. A stack that cannot be fetched does not keep the others back. What
// cannot be fetched is failure.Sources.
func Mirror(ctx context.Context, dir, stacks string) error {
	return engine.Command(ctx, func(ctx context.Context, e *engine.Engine) error {
		if strings.HasPrefix(dir, "-") {
			return fmt.Errorf("got %s for the directory, want it before the flags: mage mirror DIR -stacks=…", dir)
		}
		names, err := stack.List(e.Sources.Dir)
		if err != nil {
			return err
		}
		if stacks != "" {
			names = strings.FieldsFunc(stacks, func(r rune) bool { return r == ',' || r == ' ' })
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		waiting := func(h graph.Holder) { e.UI.Line("waiting   for %s, which fills %s", h, dir) }
		unlock, err := graph.Lock(ctx, filepath.Join(dir, ".filling"), "mage mirror", waiting)
		if err != nil {
			return err
		}
		defer unlock()
		var errs []error
		for _, n := range names {
			of, err := engine.OpenStack(e.Root, n, e.UI)
			if err == nil {
				err = mirrorStack(ctx, of, dir)
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", n, err))
			}
		}
		if len(errs) == 0 {
			e.UI.Line("on another machine, SOURCE_MIRROR=%s, or the address of a web server that has it, is all that "+
				"fetch needs", dir)
		}
		return failure.With(failure.Sources, errors.Join(errs...))
	})
}

// mirrorStack is Mirror for one stack.
func mirrorStack(ctx context.Context, e *engine.Engine, dir string) error {
	if err := e.Look(ctx); err != nil {
		return err
	}
	if err := e.Toolchain(ctx, e.Sources, false); err != nil {
		return err
	}
	for _, r := range e.Stack.Toolchains() { // which this machine need not unpack
		if err := e.Sources.Toolchain(ctx, r); err != nil {
			return err
		}
	}
	parts := slices.Sorted(maps.Keys(e.Stack.Component))
	// the user's own
	parts = slices.DeleteFunc(parts, func(n string) bool { return len(e.Stack.Component[n].Origin) == 0 })
	if _, err := e.Sources.Fetch(ctx, parts); err != nil {
		return err
	}
	lock, err := stack.LoadAdvisories(e.Sources.Dir)
	if err != nil {
		return err
	}
	if err := e.Advisories(ctx, false); err != nil {
		return err
	}
	files, err := e.Sources.Kept(lock)
	if err != nil {
		return err
	}
	did, err := origins.Fill(dir, files, e.Sources.Digests.Of)
	if err != nil {
		return err
	}
	e.UI.Line("mirror    %s: %d files, %s in %s; %d new", e.Stack.Name, did.Files, ui.Bytes(did.Size), dir, did.New)
	return e.Sources.Digests.Save()
}
