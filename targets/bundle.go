package targets

import (
	"context"
	"os"
	"slices"

	"drydock/targets/internal/forge"

	"github.com/magefile/mage/mg"
)

// withoutGo is -no-go: mage would call such a flag -noGo.
var withoutGo bool

func init() {
	os.Args = slices.DeleteFunc(os.Args, func(arg string) bool {
		withoutGo = withoutGo || arg == "-no-go"
		return arg == "-no-go"
	})
}

// Bundle are the commands that carry drydock and a stack's sources to a host without a network.
type Bundle mg.Namespace

// Make puts the runner, the repository, the stack's sources and its Go into one file; -no-go, -since=OLD; "mage bundle" for short.
func (Bundle) Make(ctx context.Context, since *string) error {
	return forge.Bundle(ctx, withoutGo, in(since))
}

// Verify reads a bundle and names what in it is not as it was made.
func (Bundle) Verify(_ context.Context, file string) error { return forge.VerifyBundle(file) }

// Missing lists the files that this host lacks for the stack.
func (Bundle) Missing(ctx context.Context) error { return forge.MissingForBundle(ctx) }
