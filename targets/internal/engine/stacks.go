package engine

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/failure"
	"drydock/targets/internal/platform"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/smoke"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/ui"
)

// Stacks lists what can be built. Files that are wrong are failure.Other.
func Stacks(ctx context.Context) error {
	root, err := findRoot()
	if err != nil {
		return failure.With(failure.Other, err)
	}
	dir := filepath.Join(root, "vendor-sources")
	names, err := stack.List(dir)
	if err != nil {
		return failure.With(failure.Other, err)
	}
	var parts []string // those that every stack has, but for docker's own
	head := []string{"STACK", "DOCKER"}
	for _, r := range slices.Backward(recipe.Components()) {
		if !r.Optional && r.Target == r.Name {
			parts, head = append(parts, r.Name), append(head, strings.ToUpper(r.Name))
		}
	}
	rows := [][]string{append(head, "LIBC", "GO", "KERNEL", "PROVEN", "")}
	var errs []error
	for _, n := range names {
		s, err := stack.Load(dir, n, recipe.Rows())
		if err != nil {
			errs = append(errs, err)
			continue
		}
		mark := ""
		if n == selected(root) {
			mark = "← selected"
		}
		libc := stack.LibcHost
		if s.OwnLibc() {
			libc = s.Libc + " " + s.Component[s.Libc].Version
		}
		row := []string{n, s.Version}
		for _, p := range parts {
			row = append(row, s.Component[p].Version)
		}
		rows = append(rows, append(row, libc, s.Go, ">= "+s.Target.Kernel, provenEach(s), mark))
	}
	ui.New(os.Stdout).Text(ui.Table(rows))
	return failure.With(failure.Other, errors.Join(errs...))
}

// proven is what the records beside a stack's file say that was seen of it; each is written by the command that saw it.
func proven(s *stack.Stack) string {
	there := func(ending string) bool { return exists(s.Beside(ending)) }
	var words []string
	if there(".features") {
		words = append(words, "built")
	}
	if seen, err := smoke.Recorded(s.Beside(".smoke")); err == nil && seen.Of == recipe.Versions(s) {
		words = append(words, seen.Words()...)
	}
	if there(".digests") {
		words = append(words, "reproduced")
	}
	if s.Arch().Below() == "" && there(".vex.toml") {
		words = append(words, "audited")
	}
	return strings.Join(words, ", ")
}

// provenEach is proven for every architecture of which something is; the stack's own is not named.
func provenEach(s *stack.Stack) string {
	said := []string{cmp.Or(proven(s), "nothing here")}
	for _, a := range platform.All() {
		if of, err := s.With(stack.Settings{Arch: a.Name}); err == nil && a.Name != s.Target.Arch && proven(of) != "" {
			said = append(said, a.Name+": "+proven(of))
		}
	}
	return strings.Join(said, "; ")
}

// WriteStack writes a stack file and its lock. Nothing that is there is written to. What is wrong is failure.Other.
func WriteStack(ctx context.Context, w stack.Wanted) error {
	root, err := findRoot()
	if err != nil {
		return failure.With(failure.Other, err)
	}
	dir := filepath.Join(root, "vendor-sources")
	w.Modules = map[string]string{}
	for _, r := range recipe.Components() {
		w.Modules[r.Name] = r.Module
	}
	d, err := w.Write(dir, recipe.Rows())
	if err != nil {
		return failure.Errorf(failure.Other, "stack:new: %w", err)
	}
	u, next := ui.New(os.Stdout), "fetch"
	u.Line("wrote     vendor-sources/%[1]s.toml and %[1]s.lock, from %[2]s", w.Name, d.From)
	if d.Unknown != nil {
		next = "fetch -record"
		u.Line("notice    no digest is known of %s: that of the first download is taken, so hold it against what "+
			"upstream publishes",
			strings.Join(d.Unknown, ", "))
	}
	u.Line("next      STACK=%s ./mage %s all: whether its patches apply and its modules have known holes, "+
		"\"patches:check\" and \"audit\" say", w.Name, next)
	return nil
}
