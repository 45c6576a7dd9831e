package stack

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// Raise asks for a module at a version at least, where upstream pins an older one.
type Raise struct {
	Module, Version string
	At              string // where the stack file asks for it: file:line
}

// UnmarshalText reads "module@version". It never fails: what is wrong with it is Parse's to say.
func (r *Raise) UnmarshalText(text []byte) error {
	r.Module, r.Version, _ = strings.Cut(string(text), "@")
	return nil
}

func (r Raise) String() string { return r.Module + "@" + r.Version }

// Raised is a module that a restored vendor tree has at another version than upstream's: one that the stack raises, or
// one that such a module needs.
type Raised struct {
	Module string `toml:"module" json:"module"`
	// From is upstream's version; empty where upstream does not have the module.
	From string `toml:"from" json:"from,omitempty"`
	To   string `toml:"to" json:"to"`
}

// Raises are the component's raises as "module@version", sorted; nil where it has none.
func (c *Component) Raises() []string {
	if c.Vendor == nil {
		return nil
	}
	var all []string
	for _, r := range c.Vendor.Raise {
		all = append(all, r.String())
	}
	slices.Sort(all)
	return all
}

// Raised lists the modules that are raised in a component, by the lock, sorted; nil where there are none, or where the
// lock does not know yet what comes of the raises.
func (s *Stack) Raised(component string) []Raised {
	c := s.Component[component]
	if c == nil || c.Raises() == nil {
		return nil
	}
	if v := first(s.Lock.Vendor, func(v *LockedVendor) bool { return v.of(c) }); v != nil {
		return v.Raised
	}
	return nil
}

// raiseProblem says what is wrong with a raise; empty when all is well.
func raiseProblem(c *Component, r Raise) string {
	const example = "want a module and a release of it, such as \"golang.org/x/net@v0.38.0\""
	switch {
	case module.CheckPath(r.Module) != nil || r.Version == "" || module.CanonicalVersion(r.Version) != r.Version:
		return example
	case module.Check(r.Module, r.Version) != nil:
		return fmt.Sprintf("%v: %s", module.Check(r.Module, r.Version), example)
	case slices.ContainsFunc(c.Vendor.Raise, func(x Raise) bool { return x.Module == r.Module && x != r }):
		return r.Module + " is raised twice"
	case c.Checkout != "":
		return fmt.Sprintf("the component is the checkout %s, whose vendor tree is its user's", c.Checkout)
	case len(c.Gopath) > 0 || slices.ContainsFunc(c.Origin, func(o *Origin) bool { return len(o.Gopath) > 0 }):
		return "the component is laid out as a GOPATH, which has no modules"
	}
	return ""
}

// encodeRaises writes what is raised in a vendor tree, if anything is.
func (v *LockedVendor) encodeRaises(w io.Writer) {
	if len(v.Raise) == 0 {
		return
	}
	fmt.Fprint(w, "raise = [\n")
	for _, r := range v.Raise {
		fmt.Fprintf(w, "  %q,\n", r)
	}
	fmt.Fprint(w, "]\nraised = [\n")
	for _, r := range v.Raised {
		fmt.Fprintf(w, "  { module = %q, from = %q, to = %q },\n", r.Module, r.From, r.To)
	}
	fmt.Fprint(w, "]\n")
}

// RaisedTable are the rows of a table of all modules that the stack raises, and of those that are raised with them.
func (s *Stack) RaisedTable() [][]string {
	rows := [][]string{{"COMPONENT", "MODULE", "UPSTREAM HAS", "RAISED TO", "WHY"}}
	for _, n := range s.Parts() {
		c := s.Component[n]
		asked, all := c.Raises(), s.Raised(n)
		if asked != nil && all == nil {
			why := "the lock does not know: run \"mage fetch -record\""
			rows = append(rows, []string{n, strings.Join(asked, " "), "?", "?", why})
		}
		for _, r := range all {
			why := "needed by another, or replaced"
			if slices.Contains(asked, r.Module+"@"+r.To) {
				why = "the stack asks for it"
			}
			rows = append(rows, []string{n, r.Module, cmp.Or(r.From, "none"), r.To, why})
		}
	}
	return rows
}
