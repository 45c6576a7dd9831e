package targets

import (
	"context"

	"drydock/targets/internal/ship"

	"github.com/magefile/mage/mg"
)

// Packages lists the packages that are kept, what they passed, and which is the latest.
//
// They are hashed: one that is not what was kept fails, with the exit code 5. KEEP=<n> says how many are kept, 5 by
// default.
//
// Example: mage packages
func Packages(ctx context.Context) error { return ship.Packages(ctx) }

// Diff tells what changed from package A to package B.
//
// A and B are files, names of kept packages, or previous and latest. It compares versions, patches, commands,
// toolchains, modules, features and files.
//
// Example: mage diff previous latest
func Diff(ctx context.Context, a, b string) error { return ship.DiffPackages(ctx, a, b) }

// Rollback moves latest to the package before it.
//
// The same bytes do not become the latest by themselves again.
//
// Example: mage rollback -to=26.1.5-20240715T021503Z
func Rollback(ctx context.Context,
	to *string, // another kept package, by name
) error {
	return ship.Rollback(ctx, in(to))
}

// Key makes a pair of keys for signing packages: FILE, which is secret, and FILE.pub.
//
// SIGN_KEY=FILE makes the next package signed; SIGN_PASSWORD_FILE names a file with the password.
//
// Example: mage key /root/drydock.key
func Key(ctx context.Context, file string) error { return ship.Key(ctx, file) }

// Bundle are the commands that carry drydock and a stack's sources to a host without a network.
type Bundle mg.Namespace

// Make puts the runner, the repository, the stack's sources and its Go into one file.
//
// On the other host it needs a C compiler and make, and neither Go nor a network. "mage bundle" is short for it.
//
// Flags: -no-go leaves the Go out.
//
// Example: mage bundle -since=old/BUNDLE.sha256
func (Bundle) Make(ctx context.Context,
	since *string, // leave out what an older bundle has: the bundle, or its BUNDLE.sha256
) error {
	return ship.Bundle(ctx, given.noGo, in(since))
}

// Verify reads a bundle and names what in it is not as it was made.
//
// The exit code is 4 when something is damaged.
//
// Example: mage bundle:verify drydock-docker-26.1.tar.gz
func (Bundle) Verify(_ context.Context, file string) error { return ship.VerifyBundle(file) }

// Missing lists the files that this host lacks for the stack.
//
// Example: mage bundle:missing
func (Bundle) Missing(ctx context.Context) error { return ship.MissingForBundle(ctx) }

// Mirror fills DIR with the sources of all stacks, or of some: archives, vendor trees, Gos and the advisories.
//
// Where SOURCE_MIRROR names DIR, or a web server's address of it, fetch needs no other network. It may run again: what
// is there and right stays.
//
// Example: mage mirror /srv/drydock -stacks=docker-26.1,docker-28.5
func Mirror(ctx context.Context, dir string,
	stacks *string, // names of stacks, with commas between them
) error {
	return ship.Mirror(ctx, dir, in(stacks))
}

// Cache are the commands on the cache that a team shares.
type Cache mg.Namespace

// List prints what is in the team's cache, which REMOTE_CACHE names.
//
// "mage cache" is short for it. What is listed says this of itself; signatures are checked when something is taken.
//
// Example: REMOTE_CACHE=oci://registry.local:5000/drydock mage cache
func (Cache) List(ctx context.Context) error { return ship.CacheList(ctx) }

// Prune removes all but the newest builds of each component from the team's cache.
//
// A registry must allow to delete, and frees the space when it collects its garbage.
//
// Example: mage cache:prune -keep=3
func (Cache) Prune(ctx context.Context,
	keep *string, // how many of each are kept; default 5
) error {
	return ship.CachePrune(ctx, in(keep))
}

// Push puts a kept package into the team's registry, with its manifest, bill of materials, signature and audit beside
// it.
//
// It is found there by its name, and the newest by the stack's.
//
// Example: mage push -name=26.1.5-20240715T021503Z
func Push(ctx context.Context,
	name *string, // another than the latest
) error {
	return ship.Push(ctx, in(name))
}

// Pull gets a package from the team's registry: NAME as in "mage packages", or latest.
//
// It must be signed by a key of CACHE_KEYS. No repository is needed for it.
//
// Example: mage pull latest -dir=/root
func Pull(ctx context.Context, name string,
	dir *string, // where it is put; default: the working directory
) error {
	return ship.Pull(ctx, name, in(dir))
}
