package targets

import (
	"context"

	"drydock/targets/internal/forge"
)

// Packages lists the packages that are kept (KEEP=<n>; 5), what they passed, and which is the latest.
func Packages(ctx context.Context) error { return forge.Packages(ctx) }

// Diff tells what changed from package A to B (a file, a kept one's name, previous or latest): versions, patches, flags, features, modules, sizes.
func Diff(ctx context.Context, a, b string) error { return forge.DiffPackages(ctx, a, b) }

// Rollback moves latest to the package before it, or with -to=NAME to another; the same package does not come back by itself.
func Rollback(ctx context.Context, to *string) error { return forge.Rollback(ctx, in(to)) }

// Key makes a pair of keys for signing packages: FILE, which is secret, and FILE.pub.
func Key(ctx context.Context, file string) error { return forge.Key(ctx, file) }
