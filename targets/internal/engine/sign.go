package engine

import (
	"context"
	"fmt"

	"drydock/targets/internal/failure"
	"drydock/targets/internal/pack"
)

// checkPackage reads a package, which readPackage finds by its name, to its end, compares it with its own list, and that with its
// signature where a key is known.
func (e *Engine) checkPackage(name string) error {
	r, err := e.readPackage(name)
	if err != nil {
		return err
	}
	signed, err := pack.CheckList(pack.SumsName, r.List, r.Signature)
	if err != nil {
		return fmt.Errorf("%s: %w", e.rel(name), err)
	}
	e.UI.Line("package   all %d files are as %s says; %s", len(r.Sums), pack.SumsName, signed)
	return nil
}

// VerifyFile examines a package that lies anywhere.
func VerifyFile(ctx context.Context, file string) error {
	return reading(ctx, func(_ context.Context, e *Engine) error { return failure.With(failure.Failed, e.checkPackage(file)) })
}

// Key makes a key pair for signing packages.
func Key(ctx context.Context, file string) error {
	return reading(ctx, func(_ context.Context, e *Engine) error {
		id, err := pack.NewKey(file)
		if err != nil {
			return err
		}
		e.UI.Text(fmt.Sprintf("key %s: %s is secret, %s.pub is for those who check\nSIGN_KEY=%s ./mage all signs; VERIFY_KEY=%s.pub ./mage verify checks\n", id, file, file, file, file))
		return nil
	})
}
