package targets

import (
	"context"

	"drydock/targets/internal/engine"
	"drydock/targets/internal/ship"
)

// All builds, verifies and packs the whole stack; what a bare mage does.
//
// It fetches missing sources, checks the host, builds what is stale, examines it, packs it, and moves latest to the new
// package when that is right. When nothing is stale it says so and starts no compiler. STACK=<name> selects the stack.
//
// Flags: -k goes on with what does not depend on a failure; -wait waits for another run on the same stack; -edit builds
// from open edits; -smoke tries a new package in the smoke test, too, before it is the latest; -push gives the team's
// cache what it has not yet; -v shows what the compilers print.
//
// Example: OFFLINE=1 mage all -wait
func All(ctx context.Context) error { return ship.Build(ctx, given.Options) }

// Package builds what is stale and packs the files into a tar.gz with its checksum.
//
// It is the same as all, under the name of its result.
//
// Flags: -k goes on after a failure; -wait waits for another run; -edit builds from open edits; -smoke tries a new
// package in the smoke test, too; -v shows all output.
//
// Example: mage package -smoke
func Package(ctx context.Context) error { return ship.Build(ctx, given.Options) }

// Fetch gets the missing sources, checked by digest, and a Go where none fits.
//
// Nothing needs the network after it.
//
// Example: STACK=docker-28.5 mage fetch
func Fetch(ctx context.Context,
	record *bool, // write digests that nobody knew into the lock
	toolchain *bool, // bring the stack's Go even where one fits
	advisories *bool, // bring the newest database of advisories, and write it into its lock
) error {
	return engine.Fetch(ctx, in(record), in(toolchain), in(advisories))
}

// Clean removes what can be made again: build/ and output/ of the stack, and the compile caches.
//
// Sources and kept packages stay.
//
// Example: STACK=docker-28.5 mage clean
func Clean(ctx context.Context) error { return engine.Clean(ctx) }
