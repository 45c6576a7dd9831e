package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/version"
)

// bringAdvisories gets the advisories that their lock names, for a build that may use the network. Without them a build
// is none the worse, and says that nobody looked.
func (e *Engine) bringAdvisories(ctx context.Context) {
	lock, err := stack.LoadAdvisories(e.src.Dir)
	if e.src.Offline() || err != nil || lock == nil {
		return
	}
	if _, err := e.src.AdvisoriesFile(lock); err == nil {
		return
	}
	if err := e.advisories(ctx, false); err != nil && ctx.Err() == nil {
		e.UI.Line("notice    advisories: %v", err)
	}
}

// advisories brings the database of advisories that the lock names into vendor-sources/; with newest, the newest one,
// which the lock names from then on.
func (e *Engine) advisories(ctx context.Context, newest bool) error {
	lock, err := stack.LoadAdvisories(e.src.Dir)
	if err != nil {
		return err
	}
	if lock == nil && !newest {
		return nil
	}
	if !newest {
		return e.src.Advisories(ctx, lock)
	}
	next, err := e.src.NewestAdvisories(ctx)
	if err != nil {
		return err
	}
	if lock != nil && *lock == *next {
		e.UI.Line("advisories of %s are the newest", lock.Date())
		return nil
	}
	file := filepath.Join(e.src.Dir, stack.AdvisoriesLock)
	if err := archive.WriteBytes(file, 0o644, next.Encode()); err != nil {
		return err
	}
	if lock != nil && lock.Name() != next.Name() {
		if err := os.RemoveAll(filepath.Join(e.src.Dir, lock.Name())); err != nil {
			return err
		}
	}
	e.UI.Line("recorded  the advisories of %s in %s: \"mage audit\" compares the files with them", next.Date(),
		e.rel(file))
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
func (e *Engine) auditKey() (string, error) {
	inputs := []graph.Input{{Name: "format", Value: "1"}, {Name: "drydock", Value: version.Drydock}}
	for _, name := range []string{stack.AdvisoriesLock, cTable, filepath.Base(e.vexFile(e.Stack.Name))} {
		data, err := archive.ReadFile(filepath.Join(e.src.Dir, name), maxTexts)
		if errors.Is(err, fs.ErrNotExist) && name == stack.AdvisoriesLock {
			return "", nil
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		inputs = append(inputs, graph.Input{Name: name, Value: string(data)})
	}
	for _, n := range e.built() {
		rec := e.done[n].Record
		if rec == nil {
			rec = e.records().Load(n)
		}
		if rec == nil {
			return "", fmt.Errorf("no record of %s", n)
		}
		inputs = append(inputs, graph.Input{Name: n, Value: e.Stack.Component[n].Version + " " + rec.Key})
	}
	return graph.Key(inputs), nil
}

// auditLine says in one line what is known against what was built, for the end of a run: the result of the last run
// where nothing changed since. An audit that cannot be made fails no build.
func (e *Engine) auditLine() {
	key, err := e.auditKey()
	if key == "" && err == nil {
		return // nobody asked for one
	}
	var last audited
	file := e.build("audit.json")
	data, rerr := archive.ReadFile(file, maxTexts)
	if rerr != nil || json.Unmarshal(data, &last) != nil || last.Key != key {
		last = audited{Key: key}
		r, aerr := e.audit(AuditOptions{})
		if err = errors.Join(err, aerr); err == nil {
			last.Open, last.Line = r.Open, r.Line()
			data, _ := json.Marshal(last)
			err = archive.WriteBytes(file, 0o644, data)
		}
	}
	switch {
	case err != nil:
		e.UI.Line("audit: not done: %s", failure.OneLine(err.Error()))
	case last.Open > 0:
		e.open = fmt.Sprintf("; audit: %s", last.Line)
		e.UI.Line("audit: %s: \"mage audit -open\" names them", e.UI.Bad(last.Line))
	default:
		e.UI.Line("audit: %s", last.Line)
	}
}
