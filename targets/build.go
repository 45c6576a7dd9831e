package targets

import (
	"context"

	"drydock/targets/internal/engine"
)

// All builds, verifies and packs the whole stack; what a bare mage does.
//
// It fetches missing sources, checks the host, builds what is stale, examines it, packs it, and moves latest to the new
// package when that is right. When nothing is stale it says so and starts no compiler. STACK=<name> selects the stack.
//
// Flags: -k goes on with what does not depend on a failure; -wait waits for another run on the same stack; -edit builds
// from open edits; -smoke tries a new package in the smoke test, too, before it is the latest; -v shows what
// the compilers print.
//
// Example: OFFLINE=1 mage all -wait
func All(ctx context.Context) error {
	return engine.Build(ctx, given.Options, "package")
}

// Package builds what is stale and packs the files into a tar.gz with its checksum.
//
// It is the same as all, under the name of its result.
//
// Flags: -k goes on after a failure; -wait waits for another run; -edit builds from open edits; -smoke tries a new
// package in the smoke test, too; -v shows all output.
//
// Example: mage package -smoke
func Package(ctx context.Context) error {
	return engine.Build(ctx, given.Options, "package")
}

// Docker builds dockerd, docker-proxy and the docker command.
//
// Flags: -k goes on after a failure; -wait waits for another run; -edit builds from open edits; -v shows all output.
//
// Example: mage docker -edit
func Docker(ctx context.Context) error {
	return engine.Build(ctx, given.Options, "docker")
}

// Containerd builds containerd, ctr and the shim.
//
// Flags: -k goes on after a failure; -wait waits for another run; -edit builds from open edits; -v shows all output.
//
// Example: mage containerd
func Containerd(ctx context.Context) error {
	return engine.Build(ctx, given.Options, "containerd")
}

// Runc builds runc, and libseccomp which it is linked with.
//
// Flags: -k goes on after a failure; -wait waits for another run; -edit builds from open edits; -v shows all output.
//
// Example: mage runc -edit
func Runc(ctx context.Context) error {
	return engine.Build(ctx, given.Options, "runc")
}

// Libseccomp builds the library that runc is linked with.
//
// Flags: -k goes on after a failure; -wait waits for another run; -edit builds from open edits; -v shows all output.
//
// Example: mage libseccomp
func Libseccomp(ctx context.Context) error {
	return engine.Build(ctx, given.Options, "libseccomp")
}

// Tini builds docker-init.
//
// Flags: -k goes on after a failure; -wait waits for another run; -edit builds from open edits; -v shows all output.
//
// Example: mage tini
func Tini(ctx context.Context) error {
	return engine.Build(ctx, given.Options, "tini")
}

// Iptables builds iptables, whether or not the stack's extras have it.
//
// It is the legacy variant, with every extension in one static file: docs/network.md.
//
// Flags: -k goes on after a failure; -wait waits for another run; -edit builds from open edits; -v shows all output.
//
// Example: mage iptables dbus
func Iptables(ctx context.Context) error {
	return engine.Build(ctx, given.Options, "iptables")
}

// Dbus builds dbus-daemon, dbus-send and dbus-uuidgen, whether or not the stack's extras have them.
//
// They are linked with expat: docs/network.md.
//
// Flags: -k goes on after a failure; -wait waits for another run; -edit builds from open edits; -v shows all output.
//
// Example: mage dbus
func Dbus(ctx context.Context) error {
	return engine.Build(ctx, given.Options, "dbus")
}

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
	return engine.Fetch(ctx, on(record), on(toolchain), on(advisories))
}

// Clean removes what can be made again: build/ and output/ of the stack, and the compile caches.
//
// Sources and kept packages stay.
//
// Example: STACK=docker-28.5 mage clean
func Clean(ctx context.Context) error { return engine.Clean(ctx) }
