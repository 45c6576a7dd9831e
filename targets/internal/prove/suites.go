package prove

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/engine"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/kernel"
	"drydock/targets/internal/source"
	"drydock/targets/internal/suites"
	"drydock/targets/internal/ui"
)

// Suites runs upstream's own tests against what was built: libseccomp's regression tests on our archive, runc's
// integration tests on our runc; write puts the table into docs/proof.md. With a component it is that one's alone. A
// test that fails without a known reason is failure.Failed.
func Suites(ctx context.Context, component string, write bool) error {
	return engine.Command(ctx, func(ctx context.Context, e *engine.Engine) error {
		return runSuites(ctx, e, component, write)
	})
}

func runSuites(ctx context.Context, e *engine.Engine, component string, write bool) error {
	if err := errors.Join(native(e, "suites"), e.Look(ctx)); err != nil {
		return err
	}
	var parts []string
	for _, s := range suites.All() {
		if s.Why == "" {
			parts = append(parts, s.Component)
		}
	}
	if component != "" {
		if !slices.Contains(parts, component) {
			return fmt.Errorf("suites: got component %q, want one of %s", component, strings.Join(parts, ", "))
		}
		if write {
			return errors.New("suites: got -write with a component, want all of them in docs/proof.md")
		}
		parts = []string{component}
	}
	for _, n := range parts {
		if e.Records().Load(n) == nil {
			return failure.Errorf(failure.Failed, "%s is not built: run \"mage %s\"", n, n)
		}
	}
	if err := e.Lock(ctx, false); err != nil {
		return err
	}
	inputs, err := e.Sources.Fetch(ctx, parts)
	if err != nil {
		return failure.With(failure.Sources, err)
	}
	var all []*suites.Suite
	for _, s := range suites.All() {
		if s.Why == "" && !slices.Contains(parts, s.Component) {
			continue
		}
		all = append(all, s)
		if s.Version = e.Stack.Component[s.Component].Version; s.Why == "" {
			if err := runSuite(ctx, e, s, inputs[s.Component]); err != nil {
				return err
			}
		}
	}
	kernel, _, _ := strings.Cut(kernel.Release(), "-")
	text, bad := suites.Text(fmt.Sprintf("%s, %s, Linux %s, gcc %s.", e.Stack.Name,
		time.Now().UTC().Format(time.DateOnly), kernel, e.CompilerRelease()), all)
	e.UI.Text("\n" + text)
	if write {
		file := filepath.Join(e.Root, "docs/proof.md")
		if err := archive.WriteBytes(file, 0o644, []byte(text)); err != nil {
			return err
		}
	}
	if bad > 0 {
		return failure.Errorf(failure.Failed, "%d of upstream's tests failed without a known reason: see the table; "+
			"logs in %s", bad, e.Rel(e.BuildDir("suites")))
	}
	e.UI.Line("drydock: %s: no test of upstream's failed without a known reason, %s", e.Stack.Name,
		ui.Duration(time.Since(e.Started)))
	return nil
}

// runSuite runs one suite in a tree that is made for it.
func runSuite(ctx context.Context, e *engine.Engine, s *suites.Suite, in *source.Source) error {
	base := e.BuildDir("suites", s.Component)
	if err := archive.RemoveAll(base); err != nil {
		return err
	}
	t, err := testTree(e, s.Component, base, in)
	if err != nil {
		return err
	}
	log, err := os.Create(base + ".log")
	if err != nil {
		return err
	}
	defer log.Close()
	t.Log = log
	e.UI.Line("suite     %s %s: %s", s.Component, s.Version, s.Name)
	err = s.Run(ctx, t)
	if ctx.Err() != nil {
		return failure.With(failure.Stopped, context.Cause(ctx))
	}
	if err != nil {
		return failure.Errorf(failure.Failed, "%s: %w: see %s", s.Component, err, e.Rel(log.Name()))
	}
	return archive.RemoveAll(base)
}

// testTree prepares a component's source as for a build.
func testTree(e *engine.Engine, name, base string, src *source.Source) (*suites.Tree, error) {
	w, err := e.WorkTree(name, base, src)
	if err != nil {
		return nil, err
	}
	return &suites.Tree{Paths: w.Paths, Plan: w.Plan, Go: w.Tools.Go, Make: w.Tools.Make, Jobs: w.Tools.Jobs,
		Arch: e.Stack.Target.Arch,
		Musl: e.Stack.OwnLibc(), Built: e.Store.Path(name, e.Records().Load(name).Key), Box: w.Box}, nil
}
