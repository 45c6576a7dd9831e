package stack

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// withRaises is a shipped stack with raises of dockerd, one a line, and the line of the first.
func withRaises(t *testing.T, raises ...string) (text string, line int) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(shipped(), "docker-20.10.toml"))
	if err != nil {
		t.Fatal(err)
	}
	const table = "[component.runc.vendor]\n"
	before, after, ok := strings.Cut(string(data), table)
	if !ok {
		t.Fatalf("no %s in the stack", table)
	}
	before += table + "raise = [\n"
	return before + "  \"" + strings.Join(raises, "\",\n  \"") + "\",\n]\n" + after, strings.Count(before, "\n") + 1
}

func TestARaiseNamesAModuleAndARelease(t *testing.T) {
	t.Parallel()
	text, _ := withRaises(t, "golang.org/x/net@v0.62.0", "github.com/docker/docker@v28.5.2+incompatible",
		"go.etcd.io/etcd/client/v3@v3.5.1")
	s := &Stack{Lock: &Lock{}, Rows: Shipped}
	if ps := Parse([]byte(text), "x.toml", s); ps != nil {
		t.Fatal(ps)
	}
	c := s.Component["runc"]
	if want := []string{"github.com/docker/docker@v28.5.2+incompatible", "go.etcd.io/etcd/client/v3@v3.5.1",
		"golang.org/x/net@v0.62.0"}; !slices.Equal(c.Raises(), want) {
		t.Errorf("got %v, want %v", c.Raises(), want)
	}
	if s.Raised("runc") != nil || s.Raised("dockerd") != nil || s.Raised("none") != nil {
		t.Error("the lock knows of no raises, want none")
	}
	net := []Raised{{Module: "golang.org/x/net", From: "v0.1.0", To: "v0.62.0"}}
	s.Lock.Vendor = []*LockedVendor{{Component: "runc", Source: "a"},
		{Component: "runc", Source: "b", Raise: c.Raises(), Raised: net}}
	if !slices.Equal(s.Raised("runc"), net) || s.Lock.VendorFor(c, "a") != nil || s.Lock.VendorFor(c, "b") == nil {
		t.Errorf("got %v, want what the lock has for these raises, and nothing of others", s.Raised("runc"))
	}
	for _, bad := range []string{"golang.org/x/net", "golang.org/x/net@latest", "golang.org/x/net@v1",
		"golang.org/x/net@0.62.0", "@v1.0.0", "golang.org/x/net@v2.0.0", "net@v1.0.0",
		"golang.org/x/../net@v1.0.0", "golang.org/x/net v0.62.0", "--modfile=/x@v1.0.0",
		"go.etcd.io/etcd/client/v3@v2.0.0"} {
		text, line := withRaises(t, "golang.org/x/sys@v0.1.0", bad)
		ps := Parse([]byte(text), "x.toml", blank())
		if len(ps) != 1 || ps[0].Line != line+1 ||
			!strings.Contains(ps[0].Text, "component.runc.vendor.raise: got \""+bad+"\"") {
			t.Errorf("%s: got %v, want one problem in line %d", bad, ps, line+1)
		}
	}
	text, line := withRaises(t, "golang.org/x/sys@v0.1.0", "golang.org/x/sys@v0.2.0")
	if ps := Parse([]byte(text), "x.toml", blank()); len(ps) != 2 || ps[1].Line != line+1 ||
		!strings.Contains(ps[1].Text, "golang.org/x/sys is raised twice") {
		t.Errorf("got %v, want a refusal of both", ps)
	}
	for old, want := range map[string]string{
		"[component.runc]\n":          "the component is the checkout mine, whose vendor tree is its user's",
		"[[component.runc.origin]]\n": "the component is laid out as a GOPATH, which has no modules",
	} {
		add := map[bool]string{true: "checkout = \"mine\"\n",
			false: "gopath = { \"example.org/runc\" = \".\" }\n"}[strings.HasPrefix(old, "[component")]
		text, _ := withRaises(t, "golang.org/x/sys@v0.1.0")
		if ps := Parse([]byte(strings.Replace(text, old, old+add, 1)), "x.toml", blank()); ps == nil ||
			!strings.Contains(ps.Error(), want) {
			t.Errorf("%s: got %v, want %s", old, ps, want)
		}
	}
}
