package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"drydock/targets/internal/failure"
	"drydock/targets/internal/origins"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
	"drydock/targets/internal/ui"
)

// Outdated tells what newer releases there are of the stack's components. It is a report: that there are some is no failure.
func Outdated(ctx context.Context, asJSON bool) error {
	return reading(ctx, func(ctx context.Context, e *Engine) error {
		if err := e.look(ctx); err != nil {
			return err
		}
		found, notes, err := e.outdated(ctx)
		if err != nil {
			return failure.With(failure.Sources, fmt.Errorf("outdated: %w", err))
		}
		if asJSON {
			data, err := json.MarshalIndent(found, "", "  ")
			if err == nil {
				fmt.Println(string(data))
			}
			return err
		}
		e.UI.Text(ui.Table(origins.Table(found)))
		for _, n := range notes {
			e.UI.Line("notice    %s", n)
		}
		return nil
	})
}

func (e *Engine) outdated(ctx context.Context) (found []origins.Outdated, notes []string, err error) {
	if e.src.Offline() {
		return nil, nil, errors.New("OFFLINE is set: run it on a connected machine")
	}
	var used []origins.Used
	for _, n := range e.Stack.Rows.Names() {
		c, row := e.Stack.Component[n], recipe.Row(n)
		if c == nil {
			continue
		}
		u := origins.Used{Component: n, Version: c.Version, Module: row.Module, Together: c.Version == e.Stack.Version && row.Module != ""}
		for _, o := range c.Origin {
			for _, f := range append(o.With, o) {
				u.Debian = append(u.Debian, f.Path)
			}
		}
		used = append(used, u)
	}
	g, err := e.online(ctx)
	if err == nil && g.Path == "" {
		err = errors.New("no Go on this machine to ask the module proxies with: \"mage check\"")
	}
	if err != nil {
		return nil, nil, err
	}
	dir := filepath.Join(e.Root, "build/tmp")
	ask := func(ctx context.Context, argv ...string) (string, error) {
		return run.Cmd{Argv: append([]string{g.Path, "list"}, argv...), Dir: dir, Env: append(g.Env, "GOFLAGS=-mod=mod", "GO111MODULE=on", "GOWORK=off")}.Output(ctx)
	}
	sources, serr := e.src.Mirrors.SecuritySources(ctx, e.src.Client)
	if serr != nil {
		notes = append(notes, "a security archive of Debian does not answer: "+strings.ReplaceAll(serr.Error(), "\n", "; "))
	}
	if found, err = origins.Newer(ctx, used, ask, sources, e.start); err != nil {
		return nil, nil, err
	}
	report, aerr := e.audit(AuditOptions{})
	if aerr != nil {
		return found, append(notes, "which advisories a newer release closes is not known: "+aerr.Error()), nil
	}
	for i := range found {
		found[i].Closes = report.Closes(found[i].Component, used[i].Module, found[i].Newest)
	}
	return found, notes, nil
}
