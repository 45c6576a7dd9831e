package prove

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"drydock/targets/internal/engine"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/origins"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
	"drydock/targets/internal/ui"
)

// Outdated tells what newer releases there are of the stack's components. It is a report: that there are some is no
// failure. Where nobody can be asked, that is failure.Sources.
func Outdated(ctx context.Context, asJSON bool) error {
	return engine.Reading(ctx, func(ctx context.Context, e *engine.Engine) error {
		if err := e.Look(ctx); err != nil {
			return err
		}
		found, notes, err := outdated(ctx, e)
		if err != nil {
			return failure.Errorf(failure.Sources, "outdated: %w", err)
		}
		if asJSON {
			return ui.JSON(found)
		}
		e.UI.Text(ui.Table(origins.Table(found)))
		for _, n := range notes {
			e.UI.Line("notice    %s", n)
		}
		return nil
	})
}

func outdated(ctx context.Context, e *engine.Engine) (found []origins.Outdated, notes []string, err error) {
	if e.Sources.Offline() {
		return nil, nil, errors.New("OFFLINE is set: run it on a connected machine")
	}
	var used []origins.Used
	for _, n := range e.Stack.Rows.Names() {
		c, row := e.Stack.Component[n], recipe.Row(n)
		if c == nil {
			continue
		}
		u := origins.Used{Component: n, Version: c.Version, Module: row.Module,
			Together: c.Version == e.Stack.Version && row.Module != ""}
		for _, o := range c.Origin {
			for _, f := range append(o.With, o) {
				u.Debian = append(u.Debian, f.Path)
			}
		}
		used = append(used, u)
	}
	g, err := e.Sources.Online(ctx)
	if err == nil && g.Path == "" {
		err = errors.New("no Go on this machine to ask the module proxies with: \"mage check\"")
	}
	if err != nil {
		return nil, nil, err
	}
	dir := filepath.Join(e.Root, "build/tmp")
	ask := func(ctx context.Context, argv ...string) (string, error) {
		return run.Cmd{Argv: append([]string{g.Path, "list"}, argv...), Dir: dir,
			Env: append(g.Env, "GOFLAGS=-mod=mod", "GO111MODULE=on", "GOWORK=off")}.Output(ctx)
	}
	sources, serr := e.Sources.Mirrors.SecuritySources(ctx, e.Sources.Client)
	if serr != nil {
		notes = append(notes, "a security archive of Debian does not answer: "+
			strings.ReplaceAll(serr.Error(), "\n", "; "))
	}
	if found, err = origins.Newer(ctx, used, ask, sources, e.Started); err != nil {
		return nil, nil, err
	}
	report, aerr := AuditReport(e, AuditOptions{})
	if aerr != nil {
		return found, append(notes, "which advisories a newer release closes is not known: "+aerr.Error()), nil
	}
	for i := range found {
		found[i].Closes = report.Closes(found[i].Component, used[i].Module, found[i].Newest)
	}
	return found, notes, nil
}
