package engine

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
	"drydock/targets/internal/failure"
	"drydock/targets/internal/host"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/source"
	"drydock/targets/internal/store"
	"drydock/targets/internal/suites"
	"drydock/targets/internal/ui"
)

// Suites runs upstream's own tests against what was built: libseccomp's regression tests on our archive, runc's
// integration tests on our runc; write puts the table into docs/proof.md. With a component it is that one's alone.
func Suites(ctx context.Context, component string, write bool) error {
	return command(ctx, func(ctx context.Context, e *Engine) error { return e.suites(ctx, component, write) })
}

func (e *Engine) suites(ctx context.Context, component string, write bool) error {
	if err := errors.Join(e.native("suites"), e.look(ctx)); err != nil {
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
		if e.records().Load(n) == nil {
			return failure.With(failure.Failed, fmt.Errorf("%s is not built: run \"mage %s\"", n, n))
		}
	}
	if err := e.lock(ctx, false); err != nil {
		return err
	}
	inputs, err := e.src.Fetch(ctx, parts)
	if err != nil {
		return failure.With(failure.Sources, err)
	}
	var all []*suites.Suite
	for _, s := range suites.All() {
		if s.Why == "" && !slices.Contains(parts, s.Component) {
			continue
		}
		all = append(all, s)
		if s.Version = e.versionOf(s.Component); s.Why == "" {
			if err := e.suite(ctx, s, inputs[s.Component]); err != nil {
				return err
			}
		}
	}
	kernel, _, _ := strings.Cut(host.Release(), "-")
	text, bad := suites.Text(fmt.Sprintf("%s, %s, Linux %s, gcc %s.", e.Stack.Name, time.Now().UTC().Format(time.DateOnly), kernel, e.cc().Version), all)
	e.UI.Text("\n" + text)
	if write {
		file := filepath.Join(e.Root, "docs/proof.md")
		if err := archive.WriteBytes(file, 0o644, []byte(text)); err != nil {
			return err
		}
	}
	if bad > 0 {
		return failure.With(failure.Failed, fmt.Errorf("%d of upstream's tests failed without a known reason: see the table; logs in %s", bad, e.rel(e.build("suites"))))
	}
	e.UI.Line("drydock: %s: no test of upstream's failed without a known reason, %s", e.Stack.Name, ui.Duration(time.Since(e.start)))
	return nil
}

// suite runs one suite in a tree that is made for it.
func (e *Engine) suite(ctx context.Context, s *suites.Suite, in *source.Source) error {
	base := e.build("suites", s.Component)
	if err := source.RemoveAll(base); err != nil {
		return err
	}
	t, err := e.testTree(s.Component, base, in)
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
		return failure.With(failure.Failed, fmt.Errorf("%s: %w: see %s", s.Component, err, e.rel(log.Name())))
	}
	return source.RemoveAll(base)
}

// testTree prepares a component's source as for a build.
func (e *Engine) testTree(name, base string, src *source.Source) (*suites.Tree, error) {
	j := e.job(name, src)
	p, err := e.tree(j, base)
	if err != nil {
		return nil, err
	}
	if _, err := e.src.Tree(j.Component, src.Found, src.Patches, p.Work); err != nil {
		return nil, err
	}
	t := &suites.Tree{Paths: p, Plan: recipe.Of(e.Stack, name, j.Tools, p), Make: e.facts.Make, Jobs: jobs(), Arch: e.Stack.Target.Arch,
		Musl: e.Stack.OwnLibc(), Built: e.out.Path(name, e.records().Load(name).Key), Box: e.sandbox(p, j.Go)}
	if j.Go != nil {
		t.Go = j.Go.Path
	}
	if err := store.WriteFiles(t.Plan.Files...); err != nil {
		return nil, err
	}
	return t, t.Box.Give()
}
