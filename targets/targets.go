// Package targets names drydock's commands. Every exported function is one; the work is in the rooms below.
package targets

import (
	"context"
	"os"
	"slices"
	"strings"

	"drydock/targets/internal/forge"

	"github.com/magefile/mage/mg"
)

// on is what an optional flag says.
func on(flag *bool) bool { return flag != nil && *flag }

// in is what an optional flag with a value says.
func in(flag *string) string {
	if flag == nil {
		return ""
	}
	return *flag
}

// options are the flags of the building commands: -k goes on with what does not depend on a failure, -wait waits for
// another run on the same stack, -edit builds from open edits. They may stand anywhere on the command line, and are taken from it here: mage 1.17.2
// makes a program that does not compile when its default target has flags.
var options forge.Options

func init() {
	os.Args = slices.DeleteFunc(os.Args, func(arg string) bool {
		switch arg {
		case "-k":
			options.KeepGoing = true
		case "-wait":
			options.Wait = true
		case "-smoke":
			options.Smoke = true
		case "-edit": // of every command, as EDIT=1
			os.Setenv("EDIT", "1")
		default:
			return false
		}
		return true
	})
	// "mage plan runc" must never build runc: mage would take it for two commands.
	if i := slices.Index(os.Args, "plan"); i > 0 && i+1 < len(os.Args) && !strings.HasPrefix(os.Args[i+1], "-") {
		os.Args[i+1] = "-component=" + os.Args[i+1]
	}
}

// All builds, verifies and packs the whole stack (STACK=<name> selects one); the default.
func All(ctx context.Context) error {
	return forge.Build(ctx, options, "package")
}

// Docker builds dockerd, docker-proxy and the docker command.
func Docker(ctx context.Context) error {
	return forge.Build(ctx, options, forge.DockerTarget)
}

// Containerd builds containerd, ctr and the shim.
func Containerd(ctx context.Context) error {
	return forge.Build(ctx, options, "containerd")
}

// Runc builds runc, and libseccomp which it is linked with.
func Runc(ctx context.Context) error {
	return forge.Build(ctx, options, "runc")
}

// Libseccomp builds the library that runc is linked with.
func Libseccomp(ctx context.Context) error {
	return forge.Build(ctx, options, "libseccomp")
}

// Tini builds docker-init.
func Tini(ctx context.Context) error {
	return forge.Build(ctx, options, "tini")
}

// Iptables builds iptables (legacy, every extension in one static file), whether or not the stack's extras have it.
func Iptables(ctx context.Context) error {
	return forge.Build(ctx, options, "iptables")
}

// Dbus builds dbus-daemon, dbus-send and dbus-uuidgen on expat, whether or not the stack's extras have them.
func Dbus(ctx context.Context) error {
	return forge.Build(ctx, options, "dbus")
}

// Package builds what is stale and packs the eight files into a tar.gz with its checksum.
func Package(ctx context.Context) error {
	return forge.Build(ctx, options, "package")
}

// Fetch gets missing sources, and a Go where none fits, checked by digest; -record notes new digests, -toolchain brings Go in any case.
func Fetch(ctx context.Context, record, toolchain *bool) error {
	return forge.Fetch(ctx, on(record), on(toolchain))
}

// Check tells whether this host can build the stack, and what to do if not; -json for machines.
func Check(ctx context.Context, json *bool) error { return forge.Check(ctx, on(json)) }

// Kernel tells whether the stack can run on this kernel, or on another's -config=FILE [-release=R]; -json for machines.
func Kernel(ctx context.Context, config, release *string, json *bool) error {
	return forge.Kernel(ctx, in(config), in(release), on(json))
}

// Verify examines the built files and the package; -full hashes sources and outputs again, -file=F is for a package anywhere.
func Verify(ctx context.Context, full *bool, file *string) error {
	if file != nil {
		return forge.VerifyFile(ctx, *file)
	}
	return forge.Verify(ctx, on(full))
}

// Plan tells what a build would do, why, and how long it took last time; "plan runc" for one component.
func Plan(ctx context.Context, component *string) error { return forge.Plan(ctx, in(component)) }

// Why names the first input of a component that is not what it was when it was built.
func Why(ctx context.Context, component string) error { return forge.Why(ctx, component) }

// Status tells of each component: fresh or stale and why, version, size, when it was built.
func Status(ctx context.Context) error { return forge.Status(ctx) }

// Graph shows what needs what; -format=dot or svg draws it.
func Graph(ctx context.Context, format *string) error { return forge.Graph(ctx, in(format)) }

// Times shows how long the last runs took; -format=svg, html or trace draws the last one.
func Times(ctx context.Context, format *string) error { return forge.Times(ctx, in(format)) }

// Stacks lists the sets of versions that can be built.
func Stacks(ctx context.Context) error { return forge.Stacks(ctx) }

// Patches are the commands for patches/, the edits to upstream sources.
type Patches mg.Namespace

// List tells which patches apply to which component, and why the others do not; "mage patches" for short.
func (Patches) List(ctx context.Context) error { return forge.Patches(ctx) }

// Check tries all patches that apply against the sources, without building.
func (Patches) Check(ctx context.Context) error { return forge.CheckPatches(ctx) }

// Clean removes the stack's build and output directories and the compile caches; sources are kept.
func Clean(ctx context.Context) error { return forge.Clean(ctx) }

// Bench builds the stack several times, by hand and with drydock, and writes docs/bench.md: half an hour.
func Bench(ctx context.Context) error { return forge.Bench(ctx) }
