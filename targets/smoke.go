package targets

import (
	"context"
	"os"
	"slices"

	"drydock/targets/internal/forge"
)

func init() {
	// A bare -kernel means the oldest kernel that the stack is for: mage wants a value with every flag that can have one.
	if i := slices.Index(os.Args, "-kernel"); i > 0 {
		os.Args[i] = "-kernel=target"
	}
}

// Smoke starts the built stack and uses it, check by check (root); -kernel=3.10 imitates an older kernel, -json for machines, -write
// makes docs/smoke.md.
func Smoke(ctx context.Context, kernel, bin *string, json, write *bool) error {
	return forge.Smoke(ctx, in(kernel), in(bin), on(json), on(write))
}

// Reproduce builds the stack twice from empty caches in different surroundings and compares byte for byte; -component=runc for
// one, -record notes the digests, -with=DIR compares with another drydock's build instead.
func Reproduce(ctx context.Context, component, with *string, record *bool) error {
	if in(with) != "" {
		return forge.Against(ctx, in(with), on(record))
	}
	return forge.Reproduce(ctx, in(component), on(record))
}

// Features lists what is built into the files and what of it the release's record misses; -record writes that down.
func Features(ctx context.Context, record *bool) error { return forge.Features(ctx, on(record)) }

// Suites runs upstream's own tests against the built libseccomp and runc; -write makes docs/proof.md of it; -component=runc for one.
func Suites(ctx context.Context, component *string, write *bool) error {
	return forge.Suites(ctx, in(component), on(write))
}
