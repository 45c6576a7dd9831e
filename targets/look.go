package targets

import (
	"context"
	"fmt"

	"drydock/targets/internal/engine"
	"drydock/targets/internal/prove"
	"drydock/targets/internal/version"
)

// Check tells whether this host can build the stack, and what to do if not.
//
// It changes nothing. The exit code is 3 when something that is required does not hold.
//
// Example: mage check
func Check(ctx context.Context,
	json *bool, // for machines
) error {
	return engine.Check(ctx, in(json))
}

// Kernel tells whether the stack can run on this kernel, or on another machine's.
//
// What is asked comes from upstream's own check-config.sh, in dockerd's source. The exit code is 3 when the kernel
// lacks what is necessary.
//
// Example: mage kernel -config=/boot/config-3.10.0-1160.el7.x86_64
func Kernel(ctx context.Context,
	config *string, // the file with the other kernel's configuration
	release *string, // its release, where the file does not name it
	json *bool, // for machines
) error {
	return engine.Kernel(ctx, in(config), in(release), in(json))
}

// Plan tells what a build would do, why, and how long it took the last time.
//
// It does nothing. "mage plan runc" is for one component.
//
// Example: mage plan runc
func Plan(ctx context.Context,
	component *string, // the component alone, and what it needs
) error {
	return engine.Plan(ctx, in(component))
}

// Why names the first input of a component that is not what it was when it was built.
//
// It prints the old value and the new one.
//
// Example: mage why runc
func Why(ctx context.Context, component string) error { return engine.Why(ctx, component) }

// Status tells of each component whether it is fresh, or why it is stale, its version and its size.
//
// Example: mage status
func Status(ctx context.Context) error { return engine.Status(ctx) }

// Graph shows what needs what.
//
// Example: mage graph -format=svg >graph.svg
func Graph(ctx context.Context,
	format *string, // dot or svg: a drawing instead of a tree
) error {
	return engine.Graph(ctx, in(format))
}

// Times shows how long the last runs took, and of what.
//
// A drawing is of the last run: what ran when, idle cores, the critical path.
//
// Example: mage times -format=html >times.html
func Times(ctx context.Context,
	format *string, // svg, html or trace: a drawing of the last run
) error {
	return engine.Times(ctx, in(format))
}

// Stacks lists the sets of versions that can be built.
//
// Example: mage stacks
func Stacks(ctx context.Context) error { return engine.Stacks(ctx) }

// Version prints drydock's own release.
//
// Example: mage version
func Version() { fmt.Println("drydock " + version.Drydock) }

// Outdated tells what newer releases there are of the stack's components, and what they close.
//
// It asks the machine's module proxies and Debian's security archive. That there are some is no failure: the exit code
// is 0. Whether upstream still mends a series is in a table, with the day on which it was read.
//
// Example: mage outdated
func Outdated(ctx context.Context,
	json *bool, // for machines
) error {
	return prove.Outdated(ctx, in(json))
}
