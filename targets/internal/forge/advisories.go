package forge

import (
	"context"
	"io"
	"os"
	"path/filepath"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/stack"
)

// advisories brings the database of advisories that the lock names into vendor-sources/; with newest, the newest one, which the lock
// names from then on.
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
		return f.store.Advisories(ctx, lock, tool, env, proxies(env), scratch)
	}
	next, err := f.store.NewestAdvisories(ctx, tool, env, scratch)
	if err != nil {
		return err
	}
	if lock != nil && *lock == *next {
		f.UI.Line("advisories of %s are the newest", lock.Date())
		return nil
	}
	file := filepath.Join(f.store.Dir, stack.AdvisoriesLock)
	if err := archive.WriteFile(file, 0o644, func(w io.Writer) error { _, err := w.Write(next.Encode()); return err }); err != nil {
		return err
	}
	if lock != nil && lock.Name() != next.Name() {
		if err := os.RemoveAll(filepath.Join(f.store.Dir, lock.Name())); err != nil {
			return err
		}
	}
	f.UI.Line("recorded  the advisories of %s in %s: \"mage audit\" compares the files with them", next.Date(), f.rel(file))
	return nil
}
