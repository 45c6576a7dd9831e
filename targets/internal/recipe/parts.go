package recipe

import (
	"slices"
	"strings"

	"drydock/targets/internal/stack"
)

// Outputs are what a component's recipe makes, whatever compiles it.
func Outputs(s *stack.Stack, component string) []Output {
	return Of(s, component, Tools{}, Symbolic(Needs(s, component))).Outputs
}

// Programs are the names of the programs that a stack's parts make.
func Programs(s *stack.Stack) (names []string) {
	for _, n := range s.Parts() {
		for _, o := range Outputs(s, n) {
			if o.Bin {
				names = append(names, o.Name)
			}
		}
	}
	return names
}

// Closure returns the named components and all that they need, needs first.
func Closure(s *stack.Stack, names []string) (all []string) {
	var add func(n string)
	add = func(n string) {
		if slices.Contains(all, n) {
			return
		}
		for _, d := range Needs(s, n) {
			add(d)
		}
		all = append(all, n)
	}
	for _, n := range names {
		add(n)
	}
	return all
}

// Versions names a stack's components with their versions, but for its extras.
func Versions(s *stack.Stack) string {
	var all []string
	for _, r := range Components() {
		if c := s.Component[r.Name]; c != nil && r.Extra == "" {
			all = append(all, r.Name+" "+c.Version)
		}
	}
	return strings.Join(all, ", ")
}
