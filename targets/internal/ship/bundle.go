package ship

import (
	"context"
	"debug/elf"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/engine"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/pack"
	"drydock/targets/internal/run"
	"drydock/targets/internal/source"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/ui"
)

// runnerName is where the launcher looks for the runner.
const runnerName = ".cache/drydock"

// Bundle makes one file of all that a host without a network needs to build the stack; since names an older bundle, or
// its BUNDLE.sha256: then only what changed goes in. What cannot be fetched is failure.Sources.
func Bundle(ctx context.Context, noGo bool, since string) error {
	return engine.Command(ctx, func(ctx context.Context, e *engine.Engine) error {
		var old pack.Sums
		var err error
		if since != "" {
			if old, err = pack.OldSums(since); err != nil {
				return err
			}
		}
		if err := e.Look(ctx); err != nil {
			return err
		}
		if err := e.Lock(ctx, false); err != nil {
			return err
		}
		if !noGo && len(e.Stack.Toolchains()) > 0 {
			if err := e.Toolchain(ctx, e.Sources, true); err != nil {
				return failure.With(failure.Sources, err)
			}
		}
		found, err := e.Sources.Fetch(ctx, e.Stack.Parts())
		if err == nil {
			err = e.Advisories(ctx, false)
		}
		if err != nil {
			return failure.With(failure.Sources, err)
		}
		es, err := bundled(e, found, !noGo)
		if err != nil {
			return err
		}
		file := "drydock-" + e.Stack.Tag()
		if old != nil {
			file += "-update"
		}
		file = e.OutputDir(file + ".tar.gz")
		if err := os.MkdirAll(e.OutputDir(), 0o755); err != nil {
			return err
		}
		bundle := pack.Bundle{Entries: es, Old: old, Time: time.Unix(e.Stack.Epoch, 0),
			Text: func(sums pack.Sums) []byte { return bundleText(e, sums, !noGo) }}
		what := "drydock with " + e.Stack.Name
		key, err := pack.EnvSigner()
		if err != nil {
			return err
		}
		if key != nil {
			bundle.Sign = func(list []byte) []byte { return key.Sign(pack.BundleSums, list, what) }
		}
		b, err := bundle.Write(file)
		if err != nil {
			return err
		}
		if err := signSum(key, file+".sha256", what); err != nil {
			return err
		}
		if old != nil {
			e.UI.Line("bundle    %d files, %s; %d unchanged ones are left out", b.Files, ui.Bytes(b.Size), b.Left)
		} else {
			e.UI.Line("bundle    %d files, %s", b.Files, ui.Bytes(b.Size))
		}
		e.UI.Text(fmt.Sprintf("%s\nsha256  %s\non the other host: tar xzf %s; cd drydock; ./mage all\n", file, b.SHA256,
			filepath.Base(file)))
		return nil
	})
}

// signSum signs the file beside a bundle that has its digest: all of it can be checked before it is unpacked, by what a
// host has. Without a key, an older signature goes.
func signSum(key *pack.Signer, file, what string) error {
	if key == nil {
		return os.RemoveAll(file + ".minisig")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return archive.WriteBytes(file+".minisig", 0o644, key.Sign(filepath.Base(file), data, what))
}

// bundled lists what goes into a bundle.
func bundled(e *engine.Engine, found map[string]*source.Source, withGo bool) ([]archive.Entry, error) {
	runner, err := staticSelf()
	if err != nil {
		return nil, err
	}
	es := []archive.Entry{{Name: runnerName, Path: runner, Mode: 0o755},
		{Name: pack.BundleStack, Data: []byte(e.Stack.Dir() + "\n"), Mode: 0o644}}
	for _, n := range pack.Repository {
		tree, err := archive.Tree(filepath.Join(e.Root, n), n)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		es = append(es, slices.DeleteFunc(tree, func(entry archive.Entry) bool { return pack.IsScrap(entry.Name) })...)
	}
	files, err := os.ReadDir(e.Sources.Dir)
	if err != nil {
		return nil, err
	}
	for _, x := range files {
		if pack.OfStacks(x.Name()) && x.Type().IsRegular() {
			es = append(es, archive.Entry{Name: "vendor-sources/" + x.Name(),
				Path: filepath.Join(e.Sources.Dir, x.Name()), Mode: 0o644})
		}
	}
	have := map[string]bool{}
	add := func(name, path string) {
		if !have[name] {
			have[name] = true
			es = append(es, archive.Entry{Name: name, Path: path, Mode: 0o644})
		}
	}
	for _, n := range e.Stack.Parts() {
		in := found[n]
		if in.Edit || in.Found == e.Sources.Given[n] {
			return nil, fmt.Errorf("%s: its source is an open edit or LIBSECCOMP_PREFIX, which exist on this machine "+
				"only: save the edit, or unset the variable", n)
		}
		if in.Checkout() {
			name, err := filepath.Rel(e.Root, in.Path)
			if err != nil || !filepath.IsLocal(name) {
				return nil, fmt.Errorf("%s: its checkout %s lies outside of the repository: "+
					"move it into vendor-sources/", n, in.Path)
			}
			tree, err := archive.Tree(in.Path, filepath.ToSlash(name))
			if err != nil {
				return nil, err
			}
			es = append(es, tree...)
			continue
		}
		for _, a := range in.Archives() {
			add("vendor-sources/"+filepath.Base(a.Path), a.Path)
			if a.Signature != "" {
				add("vendor-sources/"+filepath.Base(a.Signature), a.Signature)
			}
		}
		if in.Vendor != "" {
			line := e.Stack.Lock.VendorFor(e.Stack.Component[n], in.SHA256)
			add("vendor-sources/"+line.Name, filepath.Join(e.Sources.Dir, line.Name))
		}
	}
	if withGo {
		for _, r := range e.Stack.Toolchains() {
			p := e.Sources.ToolchainFile(r)
			add("vendor-sources/"+filepath.Base(p), p)
		}
	}
	lock, err := stack.LoadAdvisories(e.Sources.Dir)
	if lock != nil {
		var p string
		if p, err = e.Sources.AdvisoriesFile(lock); err == nil {
			add("vendor-sources/"+filepath.Base(p), p)
		}
	}
	return es, err
}

// howto is a part of BUNDLE.txt; its verbs are for the name of the list.
//
//go:embed howto.txt
var howto string

// bundleText is BUNDLE.txt.
func bundleText(e *engine.Engine, sums pack.Sums, withGo bool) []byte {
	var b strings.Builder
	s := e.Stack
	fmt.Fprintf(&b, "drydock, with all that building %s (docker %s for Linux %s and later) needs\n\n", s.Name,
		s.Version, s.Target.Kernel)
	var with []string // the settings that it was made with
	for _, k := range []string{"LIBC", "EXTRAS"} {
		if v := os.Getenv(k); v != "" {
			with = append(with, k+"="+run.Quote([]string{v})+" ")
		}
	}
	fmt.Fprintf(&b, "    tar xzf <this file>; cd drydock; %s./mage all\n\nThe host needs gcc 8 or newer with a "+
		"static C library, make, and a shell", strings.Join(with, ""))
	switch {
	case withGo && len(s.Toolchains()) > 0:
		fmt.Fprintf(&b, "; no network, git or xz. Go %s is in here.\n", strings.Join(s.Toolchains(), " and "))
	default:
		fmt.Fprintf(&b, ", and a Go that is %s; no network, git or xz.\n", s.Go)
	}
	fmt.Fprintf(&b, howto, pack.BundleSums, pack.BundleSums, pack.BundleSums, pack.BundleSums)
	rows := [][]string{{"COMPONENT", "VERSION", "COMMIT"}}
	for _, n := range s.Parts() {
		rows = append(rows, []string{n, s.Component[n].Version, s.Component[n].Commit})
	}
	b.WriteString(ui.Table(rows) + "\n")
	rows = [][]string{{"FILE", "SHA-256"}}
	for n := range sums {
		if d := filepath.Dir(n); d == "vendor-sources" || d == ".cache" || strings.HasPrefix(d, "patches/") {
			rows = append(rows, []string{n, sums[n]})
		}
	}
	slices.SortFunc(rows[1:], func(x, y []string) int { return strings.Compare(x[0], y[0]) })
	b.WriteString(ui.Table(rows))
	fmt.Fprintf(&b, "and drydock's own %d files; all are in %s\n", len(sums)-len(rows)+1, pack.BundleSums)
	return []byte(b.String())
}

// VerifyBundle reads a bundle, and says what is wrong with it. One that is not as it was made is failure.Sources.
func VerifyBundle(file string) error {
	u := ui.New(os.Stdout)
	list, signature, problems, left, err := pack.ReadBundle(file)
	if err != nil {
		return failure.With(failure.Other, err)
	}
	if len(problems) > 0 {
		return failure.Errorf(failure.Sources, "%s is not as it was made:\n  %s", file, strings.Join(problems, "\n  "))
	}
	signed, err := pack.CheckList(pack.BundleSums, list, signature)
	if err != nil {
		return failure.Errorf(failure.Sources, "%s: %w", file, err)
	}
	if len(left) > 0 {
		u.Line("bundle    good; a difference: %d files that it lists must be there from an older one; %s", len(left),
			signed)
		return nil
	}
	u.Line("bundle    good: every file is as it was made; %s", signed)
	return nil
}

// MissingForBundle prints what must be carried to this host before the stack can be built, and nothing else. What
// nobody knows the digest of is failure.Sources.
func MissingForBundle(ctx context.Context) error {
	return engine.Command(ctx, func(ctx context.Context, e *engine.Engine) error {
		if err := e.Look(ctx); err != nil {
			return err
		}
		rows := [][]string{{"FILE", "SIZE", "SHA-256", "FOR"}}
		var problems []error
		seen := map[string]bool{}
		row := func(name string, size int64, sum, component string) {
			if seen[name] {
				return
			}
			seen[name] = true
			bytes := ""
			if size > 0 {
				bytes = ui.Bytes(size)
			}
			rows = append(rows, []string{"vendor-sources/" + name, bytes, sum, component})
		}
		for _, n := range e.Stack.Parts() {
			c := e.Stack.Component[n]
			found, err := e.Sources.Locate(c)
			if err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", n, err))
				continue
			}
			if found == nil {
				found = wanted(e, c, row)
			}
			if found == nil || !source.NeedsVendor(c, found) {
				continue
			}
			line := e.Stack.Lock.VendorFor(c, found.SHA256)
			if line == nil {
				problems = append(problems, fmt.Errorf("%s: the lock names no vendor tree of %s: run \"mage fetch "+
					"-record\" on a connected machine", n, filepath.Base(found.Path)))
				continue
			}
			if have, err := e.Sources.VendorFile(c, found); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", n, err))
			} else if have == nil {
				row(line.Name, 0, line.TarSHA256+" (of the tar in it)", n)
			}
		}
		if !e.GoFits(e.Stack.Parts()) {
			for _, r := range e.Stack.Toolchains() {
				if _, err := os.Stat(e.Sources.ToolchainFile(r)); err != nil {
					row(filepath.Base(e.Sources.ToolchainFile(r)), 0, goSum(e, r), "Go "+r)
				}
			}
		}
		if lock, err := stack.LoadAdvisories(e.Sources.Dir); err != nil {
			problems = append(problems, err)
		} else if lock != nil {
			if _, err := os.Stat(filepath.Join(e.Sources.Dir, lock.Name())); err != nil {
				row(lock.Name(), 0, lock.SHA256, "audit")
			}
		}
		if err := errors.Join(problems...); err != nil {
			return failure.With(failure.Sources, err)
		}
		if len(rows) == 1 {
			e.UI.Text("nothing: all that " + e.Stack.Name + " is built from is here\n")
			return nil
		}
		e.UI.Text(ui.Table(rows) + fmt.Sprintf("carry them to where they are named; what this bundle never had, "+
			"\"STACK=%s ./mage bundle -since=%s\" on a connected machine (with this host's %s) puts into one file\n",
			e.Stack.Name, pack.BundleSums, pack.BundleSums))
		return nil
	})
}

// wanted lists the files of a component's first origin that the lock knows all of.
func wanted(e *engine.Engine, c *stack.Component, row func(name string, size int64, sum,
	component string)) *source.Found {
	for _, o := range c.Origin {
		found := source.Expected(c, o, e.Stack.Lock)
		if found.SHA256 == source.Unknown {
			continue
		}
		for _, a := range o.Files() {
			if _, err := os.Stat(filepath.Join(e.Sources.Dir, a.Name())); err == nil {
				continue
			}
			line := e.Stack.Lock.FileFor(c.Name, a.Name())
			row(a.Name(), line.Size, line.SHA256, c.Name)
		}
		return found
	}
	return nil
}

func goSum(e *engine.Engine, release string) string {
	if l := e.Stack.Lock.GoFor(release); l != nil {
		return l.Sum
	}
	return ""
}

// staticSelf is this program's file, which must need nothing of the host that it is carried to.
func staticSelf() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	e, err := elf.Open(self)
	if err != nil {
		return "", fmt.Errorf("%s: %w", self, err)
	}
	defer e.Close()
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP {
			return "", fmt.Errorf("%s is linked dynamically, and would not start on another host: run ./mage bundle, "+
				"which compiles a static one", self)
		}
	}
	return self, nil
}
