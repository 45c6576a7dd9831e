package engine

import (
	"context"
	"os"
	"path/filepath"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/stack"
)

// bringAdvisories gets the advisories that their lock names, for a build that may use the network. Without them a build
// is none the worse, and says that nobody looked.
func (e *Engine) bringAdvisories(ctx context.Context) {
	lock, err := stack.LoadAdvisories(e.Sources.Dir)
	if e.Sources.Offline() || err != nil || lock == nil {
		return
	}
	if _, err := e.Sources.AdvisoriesFile(lock); err == nil {
		return
	}
	if err := e.Advisories(ctx, false); err != nil && ctx.Err() == nil {
		e.UI.Line("notice    advisories: %v", err)
	}
}

// Advisories brings the database of advisories that the lock names into vendor-sources/; with newest, the newest one,
// which the lock names from then on. It fails where they cannot be had, or are not those of the lock.
func (e *Engine) Advisories(ctx context.Context, newest bool) error {
	lock, err := stack.LoadAdvisories(e.Sources.Dir)
	if err != nil {
		return err
	}
	if lock == nil && !newest {
		return nil
	}
	if !newest {
		return e.Sources.Advisories(ctx, lock)
	}
	next, err := e.Sources.NewestAdvisories(ctx)
	if err != nil {
		return err
	}
	if lock != nil && *lock == *next {
		e.UI.Line("advisories of %s are the newest", lock.Date())
		return nil
	}
	file := filepath.Join(e.Sources.Dir, stack.AdvisoriesLock)
	if err := archive.WriteBytes(file, 0o644, next.Encode()); err != nil {
		return err
	}
	if lock != nil && lock.Name() != next.Name() {
		if err := os.RemoveAll(filepath.Join(e.Sources.Dir, lock.Name())); err != nil {
			return err
		}
	}
	e.UI.Line("recorded  the advisories of %s in %s: \"mage audit\" compares the files with them", next.Date(),
		e.Rel(file))
	return nil
}
