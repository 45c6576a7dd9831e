// Package targets names drydock's commands. Every exported function is one; the work is in the rooms below.
package targets

import (
	"context"

	"drydock/targets/internal/forge"
)

// All builds, verifies and packs the whole stack (STACK=<name> selects one); the default.
func All(ctx context.Context) error { return forge.Build(ctx, "package") }

// Docker builds dockerd, docker-proxy and the docker command.
func Docker(ctx context.Context) error { return forge.Build(ctx, "dockerd", "docker-cli") }

// Containerd builds containerd, ctr and the shim.
func Containerd(ctx context.Context) error { return forge.Build(ctx, "containerd") }

// Runc builds runc, and libseccomp which it is linked with.
func Runc(ctx context.Context) error { return forge.Build(ctx, "runc") }

// Libseccomp builds the library that runc is linked with.
func Libseccomp(ctx context.Context) error { return forge.Build(ctx, "libseccomp") }

// Tini builds docker-init.
func Tini(ctx context.Context) error { return forge.Build(ctx, "tini") }

// Package builds what is stale and packs the eight files into a tar.gz with its checksum.
func Package(ctx context.Context) error { return forge.Build(ctx, "package") }

// Fetch gets the sources that are missing, checked by digest; -record notes digests that the lock lacks.
func Fetch(ctx context.Context, record *bool) error {
	return forge.Fetch(ctx, record != nil && *record)
}

// Check tells whether this host can build the stack, and what to do if not; -json for machines.
func Check(ctx context.Context, json *bool) error { return forge.Check(ctx, json != nil && *json) }

// Verify examines the built files: static, kernel, versions; -full hashes sources and outputs again.
func Verify(ctx context.Context, full *bool) error { return forge.Verify(ctx, full != nil && *full) }

// Stacks lists the sets of versions that can be built.
func Stacks(ctx context.Context) error { return forge.Stacks(ctx) }

// Clean removes the stack's build and output directories and the compile caches; sources are kept.
func Clean(ctx context.Context) error { return forge.Clean(ctx) }
