package stack

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/platform"
	"drydock/targets/internal/ui"

	version "github.com/hashicorp/go-version"
	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
	"golang.org/x/mod/module"
)

// Problems are all that is wrong with a file, in the file's order.
type Problems []Problem

// Problem is one thing that is wrong at one place.
type Problem struct {
	File string
	Line int // from 1; 0 where the file as a whole is meant
	Text string
}

func (p Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

func (ps Problems) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d problem(s) in the stack's files:", len(ps))
	for _, p := range ps {
		b.WriteString("\n  " + p.Error())
	}
	return b.String()
}

// List returns the names of the stacks in dir, sorted; an error where it cannot be read.
func List(dir string) ([]string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), ".toml"); ok && isStack(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// maxFile is the size, in bytes, up to which a stack file or a lock is read. The largest lock has 31 kB.
const maxFile = 4 << 20

// Load reads and validates dir/name.toml and, where it exists, dir/name.lock; rows are the components that it can name.
// An error that comes from the files' content is a Problems with all that is wrong; an unknown name lists the known
// ones.
func Load(dir, name string, rows Rows) (*Stack, error) {
	file := filepath.Join(dir, name+".toml")
	data, err := archive.ReadFile(file, maxFile)
	if errors.Is(err, os.ErrNotExist) || filepath.Base(name) != name {
		names, _ := List(dir)
		return nil, fmt.Errorf("stack %q: no such file %s.toml in %s; known stacks: %s (select one with STACK=<name>)",
			name, name, dir, strings.Join(names, ", "))
	} else if err != nil {
		return nil, err
	}
	s := &Stack{Name: name, File: file, Lock: &Lock{}, Rows: rows}
	ps := Parse(data, file, s)

	lockFile := filepath.Join(dir, name+".lock")
	if data, err := archive.ReadFile(lockFile, maxFile); err == nil {
		ps = append(ps, ParseLock(data, lockFile, s.Lock)...)
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if len(ps) > 0 {
		return nil, ps
	}
	return s, nil
}

// Decode reads TOML strictly into v, and returns the line of every key: "table.key", with "[i]" behind the name of an
// array of tables. What is wrong with the text is in the problems.
func Decode(data []byte, file string, v any) (map[string]int, Problems) {
	lines := keyLines(data)
	dec := toml.NewDecoder(strings.NewReader(string(data))).DisallowUnknownFields()
	err := dec.Decode(v)
	var strict *toml.StrictMissingError
	var de *toml.DecodeError
	switch {
	case err == nil:
		return lines, nil
	case errors.As(err, &strict):
		var ps Problems
		for _, e := range strict.Errors {
			row, _ := e.Position()
			text := fmt.Sprintf("unknown key %q; see README.md for the keys of a stack", strings.Join(e.Key(), "."))
			ps = append(ps, Problem{file, row, text})
		}
		return lines, ps
	case errors.As(err, &de):
		row, _ := de.Position()
		return lines, Problems{{file, row, strings.TrimPrefix(de.Error(), "toml: ")}}
	default:
		return lines, Problems{{file, 0, err.Error()}}
	}
}

// keyLines maps "table.key" to its line, with "[i]" behind the name of an array table, and for the elements of an
// array.
func keyLines(data []byte) map[string]int {
	lines := map[string]int{}
	count := map[string]int{}
	var p unstable.Parser
	p.Reset(data)
	prefix := ""
	for p.NextExpression() {
		e := p.Expression()
		var parts []string
		line := 0
		for it := e.Key(); it.Next(); {
			n := it.Node()
			if line == 0 {
				line = p.Shape(n.Raw).Start.Line
			}
			parts = append(parts, string(n.Data))
		}
		key := strings.Join(parts, ".")
		switch e.Kind {
		case unstable.Table:
			prefix = key
			lines[prefix] = line
		case unstable.ArrayTable:
			prefix = fmt.Sprintf("%s[%d]", key, count[key])
			count[key]++
			lines[prefix] = line
		case unstable.KeyValue:
			if prefix != "" {
				key = prefix + "." + key
			}
			lines[key] = line
			for it, i := e.Value().Children(), 0; e.Value().Kind == unstable.Array && it.Next(); i++ {
				if raw := it.Node().Raw; raw.Length > 0 {
					lines[fmt.Sprintf("%s[%d]", key, i)] = p.Shape(raw).Start.Line
				}
			}
		}
	}
	return lines
}

var (
	hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)
	hexSHA1   = regexp.MustCompile(`^[0-9a-f]{40}$`)
	commitRE  = regexp.MustCompile(`^[0-9a-f]{7,40}$`)
	// A fingerprint of OpenPGP's version 4 keys, or of version 6.
	fingerprint = regexp.MustCompile(`^[0-9A-F]{40}([0-9A-F]{24})?$`)
	fileName    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._~+@-]*$`)
)

// checking is a stack file that is checked: where its keys stand, and what is wrong so far.
type checking struct {
	file  string
	lines map[string]int
	ps    Problems
}

// at returns the line of the first key that the file has.
func (ck *checking) at(keys ...string) int {
	for _, k := range keys {
		if n, ok := ck.lines[k]; ok {
			return n
		}
	}
	return 0
}

func (ck *checking) bad(line int, format string, a ...any) {
	ck.ps = append(ck.ps, Problem{ck.file, line, fmt.Sprintf(format, a...)})
}

func (ck *checking) version(v, key, table string) {
	if v == "" {
		ck.bad(ck.at(key, table), "%s: missing, want a release such as 1.2.3", key)
	} else if _, err := version.NewSemver(v); err != nil || v[0] == 'v' {
		ck.bad(ck.at(key), "%s: got %q, want a release such as 1.2.3", key, v)
	}
}

func (ck *checking) constraint(c, key string) {
	if c == "" {
		return
	}
	if _, err := version.NewConstraint(c); err != nil {
		ck.bad(ck.at(key), "%s: got %q, want a constraint such as \">= 1.21, < 1.30\"", key, c)
	} else if !satisfiable(c) {
		ck.bad(ck.at(key), "%s: got %q, which no release can meet", key, c)
	}
}

func (ck *checking) toolchain(release, constraint, key string) {
	if release == "" {
		return
	}
	ck.version(release, key, "")
	if c, err := version.NewConstraint(constraint); err == nil {
		if v, err := version.NewVersion(release); err == nil && !c.Check(v) {
			ck.bad(ck.at(key), "%s: got %q, want a release that meets go = %q", key, release, constraint)
		}
	}
}

func (ck *checking) gopath(layout map[string]string, line int, key string) {
	for _, imp := range slices.Sorted(maps.Keys(layout)) {
		if module.CheckImportPath(imp) != nil || !filepath.IsLocal(layout[imp]) {
			ck.bad(line, "%s: got %q = %q, want an import path and a directory of the tree (\".\" for all of it)",
				key, imp, layout[imp])
		}
	}
}

// Parse reads a stack file's bytes into s, which has its Rows, and returns all problems that they have.
func Parse(data []byte, file string, s *Stack) Problems {
	lines, ps := Decode(data, file, s)
	if len(ps) > 0 {
		return ps
	}
	ck := &checking{file: file, lines: lines}
	ck.stack(s)
	ck.target(s.Target)
	for name, c := range s.Component {
		c.Name = name
		ck.component(s, c)
	}
	slices.SortStableFunc(ck.ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text))
	})
	return ck.ps
}

// stack checks what is of the whole stack.
func (ck *checking) stack(s *Stack) {
	ck.version(s.Version, "version", "")
	if s.Go == "" {
		ck.bad(0, "go: missing, want a constraint such as \">= 1.21\"")
	}
	ck.constraint(s.Go, "go")
	ck.toolchain(s.Toolchain, s.Go, "toolchain")
	for _, p := range s.Packages {
		if o := Package(p); !isPoolPath(p) || Format(o.Name()) != "deb" || !fileName.MatchString(o.Name()) {
			ck.bad(ck.at("packages"), "packages: got %q, want a path below a mirror's base, "+
				"such as pool/main/g/golang-x/golang-x-dev_1.0-1_all.deb", p)
		}
	}
	if why := s.libcProblem(s.Libc); why != "" {
		ck.bad(ck.at("libc"), "libc: %s", why)
	}
	if s.Epoch <= 0 {
		ck.bad(ck.at("epoch"), "epoch: got %d, want the release's date in seconds since 1970", s.Epoch)
	}
	s.lacking(ck.bad, ck.at)
	if err := s.checkExtras(s.Extras); err != nil {
		ck.bad(ck.at("extras"), "extras: %s", err)
	}
}

// drivers are the storage drivers of dockerd.
var drivers = []string{"overlay2", "overlay", "fuse-overlayfs", "btrfs", "zfs", "devicemapper", "aufs", "vfs"}

// target checks the host that runs the outputs.
func (ck *checking) target(t Target) {
	ck.version(t.Kernel, "target.kernel", "target")
	if _, err := platform.Of(t.Arch); err != nil {
		ck.bad(ck.at("target.arch", "target"), "target.arch: %v", err)
	}
	for _, k := range []struct {
		key, got string
		want     []string
	}{{"init", t.Init, []string{"sysv", "systemd"}}, {"cgroup", t.Cgroup, []string{"v1", "v2"}}} {
		if k.got != "" && !slices.Contains(k.want, k.got) {
			ck.bad(ck.at("target."+k.key), "target.%s: got %q, want %q or %q", k.key, k.got, k.want[0], k.want[1])
		}
	}
	if t.Storage != "" && !slices.Contains(drivers, t.Storage) {
		known := strings.Join(drivers, ", ")
		ck.bad(ck.at("target.storage"), "target.storage: got %q, want one of %s", t.Storage, known)
	}
}

func (ck *checking) component(s *Stack, c *Component) {
	t := "component." + c.Name
	bad := func(key, format string, a ...any) {
		ck.bad(ck.at(t+"."+key), "%s.%s: %s", t, key, fmt.Sprintf(format, a...))
	}
	if s.Rows.of(c.Name).Name == "" {
		ck.bad(ck.at(t), "%s: unknown component, want one of %s", t, strings.Join(s.Rows.Names(), ", "))
	}
	ck.version(c.Version, t+".version", t)
	ck.constraint(c.Go, t+".go")
	ck.toolchain(c.Toolchain, s.GoConstraint(c), t+".toolchain")
	ck.gopath(c.Gopath, ck.at(t+".gopath", t), t+".gopath")
	if c.Checkout != "" && !fileName.MatchString(c.Checkout) {
		bad("checkout", "got %q, want the name of a directory in vendor-sources", c.Checkout)
	}
	if c.Commit != "" && !commitRE.MatchString(c.Commit) {
		bad("commit", "got %q, want 7 to 40 hex digits, or no such line when it is unknown", c.Commit)
	}
	if c.Vendor != nil {
		ck.vendor(c, t+".vendor")
	}
	if len(c.Origin) == 0 && c.Checkout == "" {
		ck.bad(ck.at(t), "%s.origin: missing, want at least one [[%s.origin]], or a checkout", t, t)
	}
	for i, o := range c.Origin {
		table := fmt.Sprintf("%s.origin[%d]", t, i)
		ck.origin(o, table, t+".origin")
		for _, w := range o.With {
			if w.ofSeries() || w.Vendored || len(w.With) > 0 || len(w.Gopath) > 0 {
				ck.bad(ck.at(table), "%s.origin.with: got a series, skip, only, series_dirs, gopath, vendored "+
					"or with of its own, want these in the origin", t)
			}
			ck.origin(w, table, t+".origin")
		}
	}
}

// vendor checks how a component's vendor tree is restored; t is its table.
func (ck *checking) vendor(c *Component, t string) {
	if !slices.Contains([]string{"", "go.mod", "vendor.mod"}, c.Vendor.Modfile) {
		ck.bad(ck.at(t+".modfile", t), "%s.modfile: got %q, want \"go.mod\" or \"vendor.mod\"", t, c.Vendor.Modfile)
	}
	for _, r := range c.Vendor.Replace {
		if l, _, ok := strings.Cut(r, "=>"); !ok || strings.TrimSpace(l) == "" || strings.ContainsAny(r, "\n()") {
			ck.bad(ck.at(t+".replace", t), "%s.replace: got %q, want \"module => module version\"", t, r)
		}
	}
	for i := range c.Vendor.Raise {
		r := &c.Vendor.Raise[i]
		line := ck.at(fmt.Sprintf("%s.raise[%d]", t, i), t+".raise", t)
		r.At = fmt.Sprintf("%s:%d", ck.file, line)
		if why := raiseProblem(c, *r); why != "" {
			ck.bad(line, "%s.raise: got %q: %s", t, strings.TrimSuffix(r.String(), "@"), why)
		}
	}
}

// origin checks an origin that stands in a table, which messages call name.
func (ck *checking) origin(o *Origin, table, name string) {
	bad := func(key, format string, a ...any) {
		ck.bad(ck.at(table+"."+key, table), "%s: %s: %s", name, key, fmt.Sprintf(format, a...))
	}
	ck.gopath(o.Gopath, ck.at(table+".gopath", table), name+".gopath")
	for key, p := range map[string]string{"into": o.Into, "series": o.Series} {
		if p != "" && (!filepath.IsLocal(p) || key == "series" && path.Base(p) != "series") {
			ck.bad(ck.at(table+"."+key, table), "%s.%s: got %q, want a path in the tree (of a file named series)",
				name, key, p)
		}
	}
	if why := seriesProblem(o); why != "" {
		ck.bad(ck.at(table+".only", table+".series_dirs", table+".skip", table), "%s.%s", name, why)
	}
	switch {
	case o.Kind == KindFile && o.File == "":
		ck.bad(ck.at(table), "%s: kind \"file\" wants file = \"<name in vendor-sources>\"", name)
	case o.Kind == KindDebian && !isPoolPath(o.Path):
		bad("path", "got %q, want a path below a mirror's base, such as pool/main/r/runc/…", o.Path)
	case o.Kind == KindURL && urlProblem(o.URL) != "":
		bad("url", "got %q, want %s", ui.Masked(o.URL), urlProblem(o.URL))
	case o.Kind == KindModule && moduleProblem(o) != "":
		bad("module", "got %q, want %s", o.Module, moduleProblem(o))
	case o.Kind == KindGit && gitProblem(o) != "":
		ck.bad(ck.at(table+".git", table), "%s: %s", name, gitProblem(o))
	case !slices.Contains([]string{KindFile, KindDebian, KindURL, KindModule, KindGit}, o.Kind):
		bad("kind", "got %q, want \"file\", \"debian\", \"url\", \"module\" or \"git\"", o.Kind)
	case !fileName.MatchString(o.Name()) || Format(o.Name()) == "":
		bad("file", "got %q, want a plain name that ends in .tar.gz, .tgz, .tar.xz, .tar, .zip or .deb", o.Name())
	case o.SignedBy != "" && !fingerprint.MatchString(o.SignedBy):
		bad("signed_by", "got %q, want the 40 hex digits, in upper case, of the fingerprint of the key that signs",
			o.SignedBy)
	case o.StripCount() < 0 || o.StripCount() > 8:
		bad("strip", "got %d, want 0 to 8", o.StripCount())
	}
}

// isPoolPath reports whether p is a path below a mirror's base.
func isPoolPath(p string) bool { return path.Clean(p) == p && filepath.IsLocal(p) && p != "." }

// urlProblem says what an origin's address must be where it is not; empty when all is well. A stack file is for
// everybody, so no password belongs in it.
func urlProblem(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "":
		return "an https address"
	case u.User != nil:
		return "an address without a user or a password"
	case u.Scheme != "https" && (u.Scheme != "http" || !IsLoopback(u.Hostname())):
		return "an https address"
	}
	return ""
}

// moduleProblem says what a module origin must be where it is not; empty when all is well.
func moduleProblem(o *Origin) string {
	of, release, _ := strings.Cut(o.Module, "@")
	if module.Check(of, strings.TrimSuffix(release, "+incompatible")) != nil && module.Check(of, release) != nil {
		return "a module and its release, such as example.org/x@v1.2.3"
	}
	switch {
	case o.Vendored:
		return "no vendored = true: a module's zip has no vendor/"
	case o.SignedBy != "":
		return "no signed_by: a module's zip has no signature"
	}
	return ""
}

// gitName is a tag, or the leading directory of an archive: nothing that git takes for an option or an expression.
var gitName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/+~-]*$`)

// gitProblem says what a git origin must be where it is not; empty when all is well. Plain http will do: the commit and
// the digest vouch for what comes.
func gitProblem(o *Origin) string {
	u, err := url.Parse(o.Git)
	web := err == nil && u.Host != "" && slices.Contains([]string{"https", "http", "ssh", "git"}, u.Scheme)
	password := false
	if web {
		_, password = u.User.Password()
	}
	switch {
	case !web && !filepath.IsAbs(o.Git) || password:
		return fmt.Sprintf("git: got %q, want an address (https, http, ssh, git) without a password, "+
			"or the path of a directory", ui.Masked(o.Git))
	case len(o.Commit) != 40 || !commitRE.MatchString(o.Commit):
		return fmt.Sprintf("commit: got %q, want 40 hex digits", o.Commit)
	case o.Tag != "" && (!gitName.MatchString(o.Tag) || strings.Contains(o.Tag, "..")):
		return fmt.Sprintf("tag: got %q, want the name of a tag", o.Tag)
	case o.Prefix != "" && (!gitName.MatchString(o.Prefix) || !filepath.IsLocal(o.Prefix) ||
		!strings.HasSuffix(o.Prefix, "/")):
		return fmt.Sprintf("prefix: got %q, want a directory and a slash, such as runc-1.3.6/", o.Prefix)
	case !strings.HasSuffix(o.File, ".tar.gz"):
		return fmt.Sprintf("file: got %q, want a name that ends in .tar.gz", o.File)
	case o.SignedBy != "":
		return "signed_by: a git origin has no signature of the archive"
	}
	return ""
}

// IsLoopback reports whether a host is this very machine, which may be asked in plain http: tests do.
func IsLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
