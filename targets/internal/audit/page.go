package audit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// pageHead begins the page of all stacks' advisories.
const pageHead = "# Advisories\n\nMade by `STACK=<stack> mage audit -write`; never edited by hand.\n" +
	"What the words mean, and what to do when an advisory is new:\n" +
	"[security.md](security.md#advisories).\n"

// Page puts the report's section into the page that has one for each stack; page may be empty.
func (r *Report) Page(page string) string {
	sections := map[string]string{}
	for _, s := range strings.Split(page, "\n## ")[1:] {
		name, _, _ := strings.Cut(s, "\n")
		sections[name] = "\n## " + strings.TrimRight(s, "\n") + "\n"
	}
	sections[r.Stack] = r.section()
	var b strings.Builder
	b.WriteString(pageHead)
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		b.WriteString(sections[name])
	}
	return b.String()
}

// section is the report as a part of a page: a table of what somebody must know, and in short what is not in the files
// at all.
func (r *Report) section() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\nThe database is of %s. Of %d advisories %d are open, %d affect the stack, "+
		"%d are fixed here, %d do not affect it.\n", r.Stack, r.Database, r.Advisories, r.Open, r.Affected, r.Fixed,
		r.NotAffected)
	absent := map[string]string{} // by name, the modules
	var reasons []string          // each once, below the table: dozens of advisories may share one
	rows := 0
	for _, x := range r.Rows {
		if x.Justification == NotPresent && x.Reach == ReachNo {
			absent[cmp.Or(x.CVE, x.ID)] = x.Module
			continue
		}
		if rows == 0 {
			b.WriteString("\n| advisory | in | reachable | fixed in | verdict |\n| --- | --- | --- | --- | --- |\n")
		}
		rows++
		verdict := "**" + strings.ReplaceAll(x.Verdict, "_", " ") + "**"
		var why []string
		for _, more := range []string{strings.ReplaceAll(x.Justification, "_", " "), x.Why, x.Action} {
			if more != "" {
				why = append(why, strings.TrimSuffix(more, "."))
			}
		}
		switch reason := strings.Join(why, ". "); {
		case x.raisedFrom():
			verdict += ": " + x.Why
		case reason != "":
			if !slices.Contains(reasons, reason) {
				reasons = append(reasons, reason)
			}
			verdict += fmt.Sprintf(", reason %d", slices.Index(reasons, reason)+1)
		}
		where := strings.Join(x.Files, " ") + ": " + x.Module + " " + x.Version
		if x.Module == x.Component {
			where = x.Module + " " + x.Version
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", x.names(), cell(where), x.Reach, cell(x.Fixed), cell(verdict))
	}
	if len(reasons) > 0 {
		b.WriteString("\nReasons:\n\n")
	}
	for i, reason := range reasons {
		fmt.Fprintf(&b, "%d. %s\n", i+1, cell(reason))
	}
	if len(absent) > 0 {
		byModule := map[string][]string{}
		for n, m := range absent {
			byModule[m] = append(byModule[m], n)
		}
		b.WriteString("\nNone of the functions that these name is in a file where they are not listed above:\n\n")
		for _, m := range slices.Sorted(maps.Keys(byModule)) {
			slices.Sort(byModule[m])
			fmt.Fprintf(&b, "- %s: %s\n", m, strings.Join(byModule[m], ", "))
		}
	}
	if len(r.Gaps) > 0 {
		b.WriteString("\nNot covered:\n\n")
		for _, g := range r.Gaps {
			fmt.Fprintf(&b, "- %s\n", g)
		}
	}
	return b.String()
}

// names are those of the advisory, each once.
func (x *Row) names() string {
	if x.ID == x.CVE {
		return x.ID
	}
	return strings.TrimSpace(x.ID + " " + x.CVE)
}

// raisedFrom reports whether it is a raised module that mends what the row is of, and nobody had to say so.
func (x *Row) raisedFrom() bool {
	return x.Verdict == Fixed && strings.HasPrefix(x.Why, "raised from ")
}

// cell makes a text one that can stand in a table.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;").Replace(strings.TrimSpace(s))
}
