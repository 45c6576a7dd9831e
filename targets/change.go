package targets

import (
	"context"

	"drydock/targets/internal/change"
	"drydock/targets/internal/engine"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/stack"

	"github.com/magefile/mage/mg"
)

// Edit are the commands that change upstream's sources without git: open, build with -edit, save as a patch.
type Edit mg.Namespace

// Open makes a writable tree of a component's sources, with the patches applied.
//
// "mage edit runc" is short for it. Builds take notice of it with -edit, or EDIT=1.
//
// Example: mage edit runc
func (Edit) Open(ctx context.Context, component string) error { return change.EditOpen(ctx, component) }

// Diff shows what the open edit changes.
//
// Example: mage edit:diff
func (Edit) Diff(ctx context.Context,
	component *string, // where several are open
) error {
	return change.EditDiff(ctx, in(component))
}

// Save makes the open edit's changes the next patch of the component's series.
//
// The edit stays open, and goes on from there.
//
// Example: mage edit:save site-name -versions='>= 26, < 29'
func (Edit) Save(ctx context.Context, name string,
	component *string, // where several are open
	versions *string, // a constraint: more versions than this one
) error {
	return change.EditSave(ctx, name, in(component), in(versions))
}

// Drop throws the open edit of a component away.
//
// Saved patches are kept.
//
// Example: mage edit:drop runc
func (Edit) Drop(ctx context.Context, component string) error { return change.EditDrop(ctx, component) }

// Patches are the commands for patches/, the edits to upstream sources.
type Patches mg.Namespace

// List tells which patches apply to which component, why the others do not, and which modules are raised.
//
// "mage patches" is short for it.
//
// Example: mage patches
func (Patches) List(ctx context.Context) error { return change.Patches(ctx) }

// Check tries all patches that apply against the sources, without building.
//
// Example: mage patches:check
func (Patches) Check(ctx context.Context) error { return change.CheckPatches(ctx) }

// Stack are the commands for stack files.
type Stack mg.Namespace

// New writes a stack file and its lock for other releases, from one that is there.
//
// Origins, digests and commits are those of a table of upstream's archives. Of a release that is not in it, the digest
// is that of the first download. What is not named is that of the stack it is made from: by default the nearest that is
// not newer.
//
// Example: mage stack:new docker-27.5 -docker=27.5.1 -containerd=1.7.34 -runc=1.3.6
func (Stack) New(ctx context.Context, name string,
	docker *string, // the release of dockerd and of the docker command
	containerd *string, // another release of it
	runc *string, // another release of it
	from *string, // the stack that the rest is of
) error {
	return engine.WriteStack(ctx, stack.Wanted{Name: name, From: in(from), Release: in(docker),
		Versions: map[string]string{recipe.Containerd: in(containerd), recipe.Runc: in(runc)}})
}
