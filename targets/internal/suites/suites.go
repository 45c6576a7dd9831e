// Package suites runs upstream's own tests against what was built, and tells what they said.
package suites

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
	"drydock/targets/internal/ui"
)

// Suite is what upstream's own tests said of one component.
type Suite struct {
	Component, Version, Name string
	Passed, Failed, Skipped  int
	Took                     time.Duration
	// Why says why it was not run at all.
	Why string
	// Cases are the tests that did not pass: what they say, and what that means.
	Cases []Case

	run func(*Suite, context.Context, *Tree) error
}

// Case is a test that did not pass.
type Case struct {
	Name, Verdict, Reason string
	// Known reports whether the failure has a reason outside of what was built.
	Known bool
}

// Tree is a component's source, prepared as for a build, with the plan that would build it.
type Tree struct {
	Paths    recipe.Paths
	Plan     recipe.Plan
	Go, Make string // programs
	Jobs     int
	Arch     string
	Musl     bool   // what is built is linked with the stack's own C library
	Built    string // the directory that has what was built
	Log      io.Writer
	Box      *run.Sandbox
}

// limit is the time that one suite has. libseccomp's takes 3 minutes on one machine and over 15 on another, where a
// process starts slowly.
const limit = 90 * time.Minute

// All returns upstream's suites, which have not run yet. Those that need more than there is here say why.
func All() []*Suite {
	const pulls = "its tests pull their images from registries; \"mage smoke\" is what runs these here"
	all := []*Suite{
		{Component: "libseccomp", Name: "regression (make check)", run: (*Suite).libseccomp},
		{Component: "runc", Name: "integration (bats)", run: (*Suite).runc},
	}
	for _, n := range []string{"containerd", recipe.Daemon} {
		all = append(all, &Suite{Component: n, Name: "integration", Why: pulls})
	}
	return all
}

// Run runs a suite in a tree. A test that fails is no error; that the suite did not come to its end is one.
func (s *Suite) Run(ctx context.Context, t *Tree) error {
	limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the suite did not end in %s", limit))
	defer cancel()
	start := time.Now()
	err := s.run(s, limited, t)
	s.Took = time.Since(start)
	return err
}

// do runs one command in the tree, with the recipe's environment.
func (t *Tree) do(ctx context.Context, dir string, argv ...string) error {
	fmt.Fprintf(t.Log, "# in %s\n%s\n", dir, run.Quote(argv))
	return run.Cmd{Argv: argv, Dir: dir, Env: t.Plan.Steps[0].Env, Out: t.Log, Sandbox: t.Box}.Run(ctx)
}

// Text returns the page of what all suites said, on what title names, and how many tests failed without a known reason.
func Text(title string, all []*Suite) (text string, bad int) {
	var b strings.Builder
	b.WriteString("# Upstream's own tests, on what was built\n\n" +
		"Made by `./mage suites -write`; never edited by hand.\n\n")
	b.WriteString(title + "\n\n")
	b.WriteString("| component | suite | passed | failed | skipped | time |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, s := range all {
		name := s.Name
		if s.Why != "" {
			name += ": not run: " + s.Why
		}
		fmt.Fprintf(&b, "| %s %s | %s | %d | %d | %d | %s |\n", s.Component, s.Version, name, s.Passed, s.Failed,
			s.Skipped, ui.Duration(s.Took))
	}
	for _, s := range all {
		groups := map[string][]string{}
		var order []string
		for _, c := range s.Cases {
			if c.Verdict == "failed" && !c.Known {
				bad++
				c.Reason = strings.TrimSpace("NOT EXPLAINED " + c.Reason)
			}
			key := c.Verdict + " | " + strings.ReplaceAll(c.Reason, "|", "\\|")
			if groups[key] == nil {
				order = append(order, key)
			}
			groups[key] = append(groups[key], strings.ReplaceAll(c.Name, "|", "\\|"))
		}
		if order == nil {
			continue
		}
		slices.Sort(order)
		fmt.Fprintf(&b, "\n## %s\n\n| verdict | why | tests |\n| --- | --- | --- |\n", s.Component)
		for _, key := range order {
			names := groups[key]
			list := strings.Join(names[:min(len(names), 8)], "; ")
			if len(names) > 8 {
				list += fmt.Sprintf("; and %d more", len(names)-8)
			}
			fmt.Fprintf(&b, "| %s | %s |\n", key, list)
		}
	}
	return b.String(), bad
}
