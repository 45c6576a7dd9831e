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

// Diff says what is different in b from a, the causes first: what it is made from, then what came out.
func Diff(a, b *Read) []Change {
	var cs []Change
	add := func(kind, name, was, is string) {
		if was != is {
			was, is = graph.Parting(was, is)
			cs = append(cs, Change{kind, name, was, is})
		}
	}
	x, y := &a.Manifest, &b.Manifest
	add("release", "docker", x.Version, y.Version)
	add("stack", "name", x.Stack, y.Stack)
	add("target", "kernel", x.Kernel, y.Kernel)
	add("target", "arch", x.Arch, y.Arch)
	names := map[string]bool{}
	for _, p := range slices.Concat(x.Components, y.Components) {
		names[p.Name] = true
	}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		p, q := x.partNamed(n), y.partNamed(n)
		if p == nil || q == nil {
			add("component", n, release(p), release(q))
			continue
		}
		add("component", n, release(p), release(q))
		for _, d := range both(digests(p.Sources), digests(q.Sources)) {
			add("source", n+" "+d.name, short(d.was), short(d.is))
		}
		for _, d := range both(signers(p.Signatures), signers(q.Signatures)) {
			add("signature", n+" "+d.name, d.was, d.is)
		}
		for _, d := range both(digests(p.Series), digests(q.Series)) {
			add("patch of the sources", n+" "+d.name, short(d.was), short(d.is))
		}
		for _, d := range both(digests(p.Patches), digests(q.Patches)) {
			add("patch", n+" "+d.name, short(d.was), short(d.is))
		}
		for _, d := range both(raises(p.Raised), raises(q.Raised)) {
			add("raised", n+" "+d.name, d.was, d.is)
		}
		if p.Vendor != nil && q.Vendor != nil {
			add("vendor tree", n, short(p.Vendor.SHA256), short(q.Vendor.SHA256))
		}
		for i := range max(len(p.Steps), len(q.Steps)) {
			s, t := stepAt(p.Steps, i), stepAt(q.Steps, i)
			add("command", fmt.Sprintf("%s %d", n, i+1), s.Command, t.Command)
			add("environment", fmt.Sprintf("%s %d", n, i+1), strings.Join(s.Environment, " "), strings.Join(t.Environment, " "))
		}
	}
	tools := func(c *Contents) map[string]string {
		m := map[string]string{}
		for _, t := range c.Toolchains {
			m[t.Name] = strings.TrimSpace(m[t.Name] + " " + t.Version + " (" + short(t.ID) + ")")
		}
		return m
	}
	add("toolchain", "drydock", x.Drydock, y.Drydock)
	for _, d := range both(tools(x), tools(y)) {
		add("toolchain", d.name, d.was, d.is)
	}
	for _, d := range both(a.Modules, b.Modules) {
		add("module", d.name, d.was, d.is)
	}
	for _, d := range both(a.Stated, b.Stated) {
		add("advisory", d.name, d.was, d.is)
	}
	for _, f := range x.Features {
		if !slices.Contains(y.Features, f) {
			add("feature", f, "there", "")
		}
	}
	for _, f := range y.Features {
		if !slices.Contains(x.Features, f) {
			add("feature", f, "", "there")
		}
	}
	made := map[string]bool{}
	sizes := func(c *Contents) map[string]string {
		m := map[string]string{}
		for _, f := range c.Files {
			made[f.Name] = true
			m[f.Name] = fmt.Sprintf("%d bytes, %s", f.Size, short(f.SHA256))
			if f.Link != "" {
				m[f.Name] = "a link to " + f.Link
			}
		}
		return m
	}
	for _, d := range both(sizes(x), sizes(y)) {
		add("file", d.name, d.was, d.is)
	}
	for _, d := range both(a.Sums, b.Sums) { // the installer's, licence texts
		if !made[d.name] && d.name != ManifestName && d.name != SBOMName && d.name != VEXName {
			add("file", d.name, short(d.was), short(d.is))
		}
	}
	return cs
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
		m[d.Name] = d.SHA256
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

type pair struct{ name, was, is string }

// both lays two maps side by side, by name.
func both(a, b map[string]string) []pair {
	names := maps.Clone(a)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, b)
	var ps []pair
	for _, n := range slices.Sorted(maps.Keys(names)) {
		ps = append(ps, pair{n, a[n], b[n]})
	}
	return ps
}
