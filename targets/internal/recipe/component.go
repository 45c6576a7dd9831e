package recipe

import (
	"cmp"
	"fmt"
	"slices"

	"drydock/targets/internal/stack"
	"drydock/targets/internal/verify"
)

// Component is one row: all that is known of a component, but for its versions and origins, which stand in stack files.
// A component is one file of this directory, which registers it, and a block in a stack file. All other rooms ask its
// row.
type Component struct {
	Name string
	// After is the component that is listed and, where neither needs the other, compiled before it; empty for the
	// first. What others need goes first, and last what links fast. Components after the same one go by name.
	After string
	// Optional reports whether a stack may lack it.
	Optional bool
	// Extra is the word by which a stack asks for it (extras = […]), where it is made only then; it is optional.
	// Components with the same word go together.
	Extra string
	// Ground and Libc: see stack.Row.
	Ground, Libc bool

	// Target is the command that builds it; empty for one of its own name. Does is the end of a sentence that says what
	// the command of its name, or a Target that is no component's name, does; further paragraphs say more.
	Target, Does string
	// Example is a command line with it, in place of "mage <target>".
	Example string

	// Upstream is its repository on GitHub, such as moby/moby; empty for one elsewhere.
	Upstream string
	// Module is its Go module, without a major version's suffix; empty for what is none at a proxy.
	Module string
	// License is an SPDX expression, where the texts of its tree do not tell it alone; the reason stands beside it.
	License string
	// SourceGoes says that its licence asks that its source goes with what is passed on, Relink that those who get it
	// must be able to link with another version of it: its licence is the LGPL.
	SourceGoes, Relink bool
	// Library reports whether it is linked into others. Libs are patterns of the static libraries that they get, below
	// its outputs.
	Library bool
	Libs    []string
	// Install is where its files go below bin/ in output/ and below docker/ in the package, such as "cli-plugins/";
	// empty for these directories themselves, whose files are commands once they are installed.
	Install string
	// Apart reports whether its files have a directory of their own in the package, named after its Extra, which can be
	// installed or left.
	Apart bool

	// Needs are the components that it is compiled with; NeedsOf, where that depends on its version, in place of it.
	Needs   []string
	NeedsOf func(c *stack.Component) []string
	// Go says that it is compiled by Go, C that it has C in it, Make that its own make compiles it, most often after a
	// configure that wants a shell. Quota says that it has C where its project quotas on XFS are wanted.
	Go, C, Make, Quota bool
	// Setns reports whether it starts others in namespaces, so that the C library must know setns.
	Setns bool
	// Prefix is the setting that names a directory with a compiled one in it, which takes its place.
	Prefix string

	// Build is its plan, where one command of Go is all. Else Plan makes it.
	Build *GoBuild
	Plan  func(r request) Plan

	// VersionIn is where its sources say their version; nil where they do not.
	VersionIn *stack.VersionFile
	// Shown is the name by which "docker version" has its version; empty where it does not.
	Shown string
	// Features are how one of its files says what is built in.
	Features verify.Tells
}

// Plugins is the Install of plugins of the docker command.
const Plugins = "cli-plugins/"

// registered are the rows by name. They are complete when the program begins.
var registered = map[string]Component{}

// register adds a row. A row that cannot be is a mistake in its file: the program does not begin.
func register(c Component) struct{} { //nolint:unparam // a declaration needs a value
	if c.Name == "" || registered[c.Name].Name != "" || (c.Build == nil) == (c.Plan == nil) {
		panic(fmt.Sprintf("recipe: %q: want a name of its own, and one of Build and Plan", c.Name))
	}
	c.Optional = c.Optional || c.Extra != "" || c.Ground
	c.Target = cmp.Or(c.Target, c.Name)
	c.Go = c.Go || c.Build != nil
	registered[c.Name] = c
	return struct{}{}
}

// Components returns all rows, in the order of After.
func Components() []Component {
	var all []Component
	var follow func(name string)
	follow = func(name string) {
		var next []Component
		for _, c := range registered {
			if c.After == name {
				next = append(next, c)
			}
		}
		slices.SortFunc(next, func(a, b Component) int { return cmp.Compare(a.Name, b.Name) })
		for _, c := range next {
			all = append(all, c)
			follow(c.Name)
		}
	}
	follow("")
	return all
}

// Row returns a component's row; an empty one where there is none of that name.
func Row(component string) Component { return registered[component] }

// Rows returns what a stack file is held to.
func Rows() stack.Rows {
	var rs stack.Rows
	for _, c := range Components() {
		rs = append(rs, stack.Row{Name: c.Name, Optional: c.Optional, Extra: c.Extra, Needs: c.Needs,
			Ground: c.Ground, Libc: c.Libc})
	}
	return rs
}

// OfTarget returns the components of a stack that a command builds: the one of that name, or all that have it as their
// Target.
func OfTarget(s *stack.Stack, target string) (names []string) {
	for _, c := range Components() {
		if s.Component[c.Name] != nil && (c.Name == target || c.Target == target && registered[target].Name == "") {
			names = append(names, c.Name)
		}
	}
	return names
}

// Needs are the components of the stack whose outputs a component is compiled with.
func Needs(s *stack.Stack, component string) []string {
	c := registered[component]
	needs := c.Needs
	if c.NeedsOf != nil {
		needs = c.NeedsOf(s.Component[component])
	}
	if onGround(s, component) {
		needs = slices.Concat(s.Ground(), needs)
	}
	return needs
}

// onGround reports whether a component has C in it, and the stack provides what C stands on.
func onGround(s *stack.Stack, component string) bool {
	c := s.Component[component]
	return s.OwnLibc() && !registered[component].Ground && c != nil && UsesC(c)
}

// UsesC reports whether a component needs a C compiler.
func UsesC(c *stack.Component) bool { return registered[c.Name].C || WantsQuota(c) }

// WantsQuota reports whether a component is to be built with project quotas, which take the kernel's headers.
func WantsQuota(c *stack.Component) bool { return registered[c.Name].Quota && c.WantsQuota() }

// Of returns the plan of a component.
func Of(s *stack.Stack, component string, t Tools, p Paths) Plan {
	c := registered[component]
	r := request{c, s, s.Component[component], t, p, onGround(s, component), s.Arch()}
	var plan Plan
	if c.Build != nil {
		plan = r.plain(c.Build)
	} else {
		plan = c.Plan(r)
	}
	if r.own {
		plan.Files = append(plan.Files, r.compiler()...)
	}
	return plan
}
