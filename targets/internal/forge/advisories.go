package forge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/source"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/version"
)

// bringAdvisories gets the advisories that their lock names, for a build that may use the network. Without them a build
// is none the worse, and says that nobody looked.
func (f *Forge) bringAdvisories(ctx context.Context) {
	lock, err := stack.LoadAdvisories(f.store.Dir)
	if f.offline || err != nil || lock == nil {
		return
	}
	if _, err := f.store.AdvisoriesFile(lock); err == nil {
		return
	}
	if err := f.advisories(ctx, false); err != nil && ctx.Err() == nil {
		f.UI.Line("notice    advisories: %v", err)
	}
}

// advisories brings the database of advisories that the lock names into vendor-sources/; with newest, the newest one,
// which the lock names from then on.
func (f *Forge) advisories(ctx context.Context, newest bool) error {
	lock, err := stack.LoadAdvisories(f.store.Dir)
	if err != nil {
		return err
	}
	if lock == nil && !newest {
		return nil
	}
	scratch := filepath.Join(f.Root, "build/tmp")
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return err
	}
	tool, env, err := f.online(ctx, scratch)
	if err != nil {
		return err
	}
	if !newest {
		return f.store.Advisories(ctx, lock, source.Go{Path: tool, Env: env}, proxies(env), scratch)
	}
	next, err := f.store.NewestAdvisories(ctx, source.Go{Path: tool, Env: env}, scratch)
	if err != nil {
		return err
	}
	if lock != nil && *lock == *next {
		f.UI.Line("advisories of %s are the newest", lock.Date())
		return nil
	}
	file := filepath.Join(f.store.Dir, stack.AdvisoriesLock)
	data := next.Encode()
	if err := archive.WriteFile(file, 0o644, func(w io.Writer) error { _, err := w.Write(data); return err }); err != nil {
		return err
	}
	if lock != nil && lock.Name() != next.Name() {
		if err := os.RemoveAll(filepath.Join(f.store.Dir, lock.Name())); err != nil {
			return err
		}
	}
	f.UI.Line("recorded  the advisories of %s in %s: \"mage audit\" compares the files with them", next.Date(),
		f.rel(file))
	return nil
}

// audited is the result of the last audit of a run, and the key of what it was made from: a run with nothing to do
// makes none.
type audited struct {
	Key  string `json:"key"`
	Open int    `json:"open"`
	Line string `json:"line"`
}

// auditKey is of all that the result of an audit depends on; empty where there is no database.
func (f *Forge) auditKey() (string, error) {
	inputs := []graph.Input{{Name: "format", Value: "1"}, {Name: "drydock", Value: version.Drydock}}
	for _, name := range []string{stack.AdvisoriesLock, cTable, filepath.Base(f.vexFile(f.Stack.Name))} {
		data, err := archive.ReadFile(filepath.Join(f.store.Dir, name), maxTexts)
		if errors.Is(err, fs.ErrNotExist) && name == stack.AdvisoriesLock {
			return "", nil
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		inputs = append(inputs, graph.Input{Name: name, Value: string(data)})
	}
	for _, n := range f.built() {
		rec := f.done[n].Record
		if rec == nil {
			rec = f.records().Load(n)
		}
		if rec == nil {
			return "", fmt.Errorf("no record of %s", n)
		}
		inputs = append(inputs, graph.Input{Name: n, Value: f.Stack.Component[n].Version + " " + rec.Key})
	}
	return graph.Key(inputs), nil
}

// auditLine says in one line what is known against what was built, for the end of a run: the result of the last run
// where nothing changed since. An audit that cannot be made fails no build.
func (f *Forge) auditLine() {
	key, err := f.auditKey()
	if key == "" && err == nil {
		return // nobody asked for one
	}
	var last audited
	file := f.build("audit.json")
	data, rerr := archive.ReadFile(file, maxTexts)
	if rerr != nil || json.Unmarshal(data, &last) != nil || last.Key != key {
		last = audited{Key: key}
		r, aerr := f.audit(AuditOptions{})
		if err = errors.Join(err, aerr); err == nil {
			last.Open, last.Line = r.Open, r.Line()
			data, _ := json.Marshal(last)
			err = archive.WriteFile(file, 0o644, func(w io.Writer) error { _, err := w.Write(data); return err })
		}
	}
	switch {
	case err != nil:
		f.UI.Line("audit: not done: %s", oneLine(err.Error()))
	case last.Open > 0:
		f.open = fmt.Sprintf("; audit: %s", last.Line)
		f.UI.Line("audit: %s: \"mage audit -open\" names them", f.UI.Bad(last.Line))
	default:
		f.UI.Line("audit: %s", last.Line)
	}
}
