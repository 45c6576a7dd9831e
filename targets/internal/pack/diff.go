package pack

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/graph"
	"drydock/targets/internal/stack"
)

// Change is one thing that two packages do not have alike; Was or Is is empty when only one has it.
type Change struct{ Kind, Name, Was, Is string }

// changes are what was found so far.
type changes []Change

func (cs *changes) add(kind, name, was, is string) {
	if was != is {
		was, is = graph.Parting(was, is)
		*cs = append(*cs, Change{kind, name, was, is})
	}
}

// each compares two maps, name by name; of goes before the name.
func (cs *changes) each(kind, of string, was, is map[string]string) {
	names := map[string]string{}
	maps.Copy(names, was)
	maps.Copy(names, is)
	for _, n := range slices.Sorted(maps.Keys(names)) {
		cs.add(kind, of+n, was[n], is[n])
	}
}

// component compares a component of both, or one that a package does not have.
func (cs *changes) component(name string, p, q *Part) {
	cs.add("component", name, release(p), release(q))
	if p == nil || q == nil {
		return
	}
	of := name + " "
	cs.each("source", of, digests(p.Sources), digests(q.Sources))
	cs.each("signature", of, signers(p.Signatures), signers(q.Signatures))
	cs.each("patch of the sources", of, digests(p.Series), digests(q.Series))
	cs.each("patch", of, digests(p.Patches), digests(q.Patches))
	cs.each("raised", of, raises(p.Raised), raises(q.Raised))
	if p.Vendor != nil && q.Vendor != nil {
		cs.add("vendor tree", name, short(p.Vendor.SHA256), short(q.Vendor.SHA256))
	}
	for i := range max(len(p.Steps), len(q.Steps)) {
		s, t, nr := stepAt(p.Steps, i), stepAt(q.Steps, i), fmt.Sprintf("%s %d", name, i+1)
		cs.add("command", nr, s.Command, t.Command)
		cs.add("environment", nr, strings.Join(s.Environment, " "), strings.Join(t.Environment, " "))
	}
}

// Diff says what is different in b from a, the causes first: what it is made from, then what came out.
func Diff(a, b *Read) []Change {
	var cs changes
	x, y := &a.Manifest, &b.Manifest
	cs.add("release", "docker", x.Version, y.Version)
	cs.add("stack", "name", x.Stack, y.Stack)
	cs.add("target", "kernel", x.Kernel, y.Kernel)
	cs.add("target", "arch", x.Arch, y.Arch)
	var names []string
	for _, p := range slices.Concat(x.Components, y.Components) {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		cs.component(n, x.partNamed(n), y.partNamed(n))
	}
	cs.add("toolchain", "drydock", x.Drydock, y.Drydock)
	cs.each("toolchain", "", tools(x), tools(y))
	cs.each("module", "", a.Modules, b.Modules)
	cs.each("advisory", "", a.Stated, b.Stated)
	for _, f := range x.Features {
		if !slices.Contains(y.Features, f) {
			cs.add("feature", f, "there", "")
		}
	}
	for _, f := range y.Features {
		if !slices.Contains(x.Features, f) {
			cs.add("feature", f, "", "there")
		}
	}
	was, is := files(x), files(y)
	cs.each("file", "", was, is)
	others := func(sums map[string]string) map[string]string { // the installer's, licence texts
		m := map[string]string{}
		for n, sum := range sums {
			if was[n] == "" && is[n] == "" && n != manifestName && n != sbomName && n != vexName {
				m[n] = short(sum)
			}
		}
		return m
	}
	cs.each("file", "", others(a.Sums), others(b.Sums))
	return cs
}

func tools(c *Contents) map[string]string {
	m := map[string]string{}
	for _, t := range c.Toolchains {
		m[t.Name] = strings.TrimSpace(m[t.Name] + " " + t.Version + " (" + short(t.ID) + ")")
	}
	return m
}

func files(c *Contents) map[string]string {
	m := map[string]string{}
	for _, f := range c.Files {
		m[f.Name] = fmt.Sprintf("%d bytes, %s", f.Size, short(f.SHA256))
		if f.Link != "" {
			m[f.Name] = "a link to " + f.Link
		}
	}
	return m
}

// release is a component's version and commit.
func release(p *Part) string {
	if p == nil {
		return ""
	}
	return strings.TrimSpace(p.Version + " " + short(p.Commit))
}

func short(digest string) string { return digest[:min(12, len(digest))] }

func digests(ds []Digest) map[string]string {
	m := map[string]string{}
	for _, d := range ds {
		m[d.Name] = short(d.SHA256)
	}
	return m
}

func signers(ss []Signature) map[string]string {
	m := map[string]string{}
	for _, s := range ss {
		m[s.Name] = s.Key + " at " + s.Made.Format(time.DateOnly)
	}
	return m
}

func raises(rs []stack.Raised) map[string]string {
	m := map[string]string{}
	for _, r := range rs {
		m[r.Module] = r.To
	}
	return m
}

func stepAt(ss []Step, i int) Step {
	if i < len(ss) {
		return ss[i]
	}
	return Step{}
}
