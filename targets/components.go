// Code generated from the rows of room recipe by: go test ./targets -run Commands -update; DO NOT EDIT.

package targets

import (
	"context"

	"drydock/targets/internal/engine"
)

// Libseccomp builds the library that runc is linked with.
//
// Flags: -k goes on after a failure; -wait waits for another run; -edit builds from open edits; -v shows all output.
//
// Example: mage libseccomp
func Libseccomp(ctx context.Context) error { return engine.Build(ctx, given.Options, "libseccomp") }

// Tini builds docker-init.
//
// Flags: -k goes on after a failure; -wait waits for another run; -edit builds from open edits; -v shows all output.
//
// Example: mage tini
func Tini(ctx context.Context) error { return engine.Build(ctx, given.Options, "tini") }

// Runc builds runc, and libseccomp which it is linked with.
//
// Flags: -k goes on after a failure; -wait waits for another run; -edit builds from open edits; -v shows all output.
//
// Example: mage runc -edit
func Runc(ctx context.Context) error { return engine.Build(ctx, given.Options, "runc") }

// Containerd builds containerd, ctr and the shim.
//
// Flags: -k goes on after a failure; -wait waits for another run; -edit builds from open edits; -v shows all output.
//
// Example: mage containerd
func Containerd(ctx context.Context) error { return engine.Build(ctx, given.Options, "containerd") }

// Docker builds dockerd, docker-proxy and the docker command.
//
// Flags: -k goes on after a failure; -wait waits for another run; -edit builds from open edits; -v shows all output.
//
// Example: mage docker -edit
func Docker(ctx context.Context) error { return engine.Build(ctx, given.Options, "docker") }

// Iptables builds iptables, whether or not the stack's extras have it.
//
// It is the legacy variant, with every extension in one static file: docs/network.md.
//
// Flags: -k goes on after a failure; -wait waits for another run; -edit builds from open edits; -v shows all output.
//
// Example: mage iptables dbus
func Iptables(ctx context.Context) error { return engine.Build(ctx, given.Options, "iptables") }

// Dbus builds dbus-daemon, dbus-send and dbus-uuidgen, whether or not the stack's extras have them.
//
// They are linked with expat: docs/network.md.
//
// Flags: -k goes on after a failure; -wait waits for another run; -edit builds from open edits; -v shows all output.
//
// Example: mage dbus
func Dbus(ctx context.Context) error { return engine.Build(ctx, given.Options, "dbus") }

// Buildx builds the plugin "docker buildx", whether or not the stack's extras have it.
//
// Flags: -k goes on after a failure; -wait waits for another run; -edit builds from open edits; -v shows all output.
//
// Example: mage buildx compose
func Buildx(ctx context.Context) error { return engine.Build(ctx, given.Options, "buildx") }

// Compose builds the plugin "docker compose", whether or not the stack's extras have it.
//
// Flags: -k goes on after a failure; -wait waits for another run; -edit builds from open edits; -v shows all output.
//
// Example: mage compose
func Compose(ctx context.Context) error { return engine.Build(ctx, given.Options, "compose") }
