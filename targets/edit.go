package targets

import (
	"context"

	"drydock/targets/internal/forge"

	"github.com/magefile/mage/mg"
)

// Edit are the commands that change upstream's sources without git: open, build with -edit, save as a patch.
type Edit mg.Namespace

// Open makes a writable tree of a component's sources, patches applied; "mage edit runc" for short.
func (Edit) Open(ctx context.Context, component string) error { return forge.EditOpen(ctx, component) }

// Diff shows what the open edit changes; -component=runc where several are open.
func (Edit) Diff(ctx context.Context, component *string) error {
	return forge.EditDiff(ctx, in(component))
}

// Save makes the open edit's changes the next patch of the series; -component=runc, -versions=">= 1.1" for more versions than this one.
func (Edit) Save(ctx context.Context, name string, component, versions *string) error {
	return forge.EditSave(ctx, name, in(component), in(versions))
}

// Drop throws the open edit of a component away; its saved patches are kept.
func (Edit) Drop(ctx context.Context, component string) error { return forge.EditDrop(ctx, component) }
