package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/audit"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/host"
	"drydock/targets/internal/pack"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/release"
	"drydock/targets/internal/run"
	"drydock/targets/internal/source"
	"drydock/targets/internal/store"
	"drydock/targets/internal/verify"
	"drydock/targets/internal/version"
)

// PackageFile is where the package lies, and relinkPackage what goes with it.
func (e *Engine) PackageFile() string {
	return e.OutputDir(fmt.Sprintf("docker-%s-linux-%s.tar.gz", e.Stack.Version, e.Stack.Target.Arch))
}

func (e *Engine) relinkPackage() string {
	return strings.TrimSuffix(e.PackageFile(), ".tar.gz") + "-relink.tar.gz"
}

// packNode makes the node of the package from the components' jobs.
func (e *Engine) packNode(jobs []*job) (*graph.Node, error) {
	sign, err := pack.EnvSigner()
	if err != nil {
		return nil, err
	}
	by := e.believed
	if sign != nil {
		by = sign.ID()
	}
	book, err := audit.ReadBook(e.Sources.Dir, e.Rel(e.Sources.Dir), e.Stack.Name)
	if err != nil {
		return nil, err
	}
	inputs, err := e.packInputs(jobs, by, book)
	if err != nil {
		return nil, err
	}
	do := func(ctx context.Context, _ string) (made graph.Made, err error) {
		start := time.Now()
		c, err := e.contents(ctx, jobs)
		if err != nil {
			return made, err
		}
		daemon := slices.IndexFunc(jobs, func(j *job) bool { return j.Name == recipe.Daemon })
		if c.Installer, err = e.installer(ctx, jobs[daemon].Source.Found); err != nil {
			return made, err
		}
		if c.Statements, err = e.checked(book); err != nil {
			return made, err
		}
		if sign != nil {
			c.Sign = func(list []byte) []byte {
				return sign.Sign(pack.SumsName, list, "docker "+c.Version+", stack "+c.Stack)
			}
		}
		write := func() error { return pack.Write(e.PackageFile(), e.relinkPackage(), c) }
		if err := run.UnlessStopped(ctx, write); err != nil {
			return made, err
		}
		for _, file := range []string{e.PackageFile(), e.PackageFile() + ".sha256", e.relinkPackage()} {
			if exists(file) {
				made.Outputs = append(made.Outputs, e.Rel(file))
			}
		}
		made.Steps = []graph.StepTime{{Name: "pack", Start: start.UTC(), Seconds: time.Since(start).Seconds()}}
		return made, nil
	}
	return &graph.Node{Name: PackageNode, Needs: e.needs(PackageNode), Inputs: inputs, Do: do}, nil
}

// packInputs are what the package's key is made of, in an order that stays; by is whose signature it gets, empty for
// nobody's. Whatever the manifest says of a component is an input, even where it leaves no trace in its files.
func (e *Engine) packInputs(jobs []*job, by string, book *audit.Book) ([]graph.Input, error) {
	installer, err := e.installerInputs()
	if err != nil {
		return nil, err
	}
	var inputs []graph.Input
	add := func(name, value string) { inputs = append(inputs, graph.Input{Name: name, Value: value}) }
	add("format", "5")
	add("name", filepath.Base(e.PackageFile()))
	add("stack", e.Stack.Name)
	add("epoch", fmt.Sprint(e.Stack.Epoch))
	add("drydock", version.Drydock)
	add("relink.sh", pack.RelinkScript())
	if own := e.ownLicence(); exists(own) {
		sum, err := archive.SHA256File(own)
		if err != nil {
			return nil, err
		}
		add("licence of drydock", sum)
	}
	if by != "" {
		add(signedBy, by)
	}
	for _, j := range jobs {
		inputs = append(inputs, e.signatureInputs(j)...)
		add("inputs of "+j.Name, graph.Key(j.inputs()))
		add("release of "+j.Name, j.Version+" "+j.Commit)
		if raised := e.Stack.Raised(j.Name); raised != nil { // which the manifest lists
			sum, err := archive.SHA256(strings.NewReader(fmt.Sprint(raised)))
			if err != nil {
				return nil, err
			}
			add("raised in "+j.Name, sum)
		}
	}
	inputs = append(inputs, installer...)
	if len(book.Statements) > 0 {
		add("statements of advisories", book.SHA256)
	}
	return inputs, nil
}

// signedBy is the input of a package that says whose signature it has.
const signedBy = "signed by"

// ownLicence is the text that the package carries for drydock's own programs in it.
func (e *Engine) ownLicence() string { return filepath.Join(e.Root, "LICENSE") }

// signatureInputs are upstream's signatures of a component's archives: the manifest says what and whose they are.
func (e *Engine) signatureInputs(j *job) []graph.Input {
	var all []graph.Input
	if j.Source.Checkout() {
		return nil
	}
	for _, a := range j.Source.Archives() {
		if sig := a.Origin.Signature(); sig != nil {
			digest := source.Unknown
			if line := e.Stack.Lock.FileFor(j.Name, sig.Name()); line != nil {
				digest = line.SHA256
			}
			all = append(all, graph.Input{Name: "signature " + sig.Name(), Value: a.Origin.SignedBy + " " + digest})
		}
	}
	return all
}

// contents says what the package is made from, and of what.
func (e *Engine) contents(ctx context.Context, jobs []*job) (*pack.Contents, error) {
	s := e.Stack
	c := &pack.Contents{Drydock: version.Drydock, Stack: s.Name, Version: s.Version, Arch: s.Target.Arch,
		Kernel: s.Target.Kernel, Released: time.Unix(s.Epoch, 0).UTC(), GoTexts: map[string][]string{}}
	for _, j := range jobs {
		rec := e.Records().Load(j.Name)
		if rec == nil {
			return nil, fmt.Errorf("no record of %s", j.Name)
		}
		// Before anything is read from it, or run, that the manifest is to claim.
		if err := e.Whole(rec); err != nil {
			return nil, fmt.Errorf("%s: %w", j.Name, err)
		}
		p, err := e.part(j, rec)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", j.Name, err)
		}
		files, err := e.files(j, rec)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", j.Name, err)
		}
		c.Components = append(c.Components, p)
		c.Files = append(c.Files, files...)
	}
	if own := e.ownLicence(); exists(own) {
		c.OwnTexts = []string{own}
	}
	if s.OwnLibc() {
		c.Specs = recipe.LinkSpecs(s.Arch())
	}
	c.Packages = s.PackageVersions()
	if err := e.toolchains(ctx, c); err != nil {
		return nil, err
	}
	var err error
	c.Features, err = e.Features(ctx)
	return c, err
}

// Whole compares what is taken away of a component, and what is packed of it, with its record, byte for byte. The error
// says how damage is mended.
func (e *Engine) Whole(rec *graph.Record) error {
	taken := *rec
	taken.Outputs = verify.Files(rec)
	if d := e.Records().Damage(&taken, true); d != "" {
		return fmt.Errorf("not as it was built: %s: %s", d, e.Restoring(rec, recipe.Row(rec.Name).Target))
	}
	return nil
}

// part is what the manifest says of a component.
func (e *Engine) part(j *job, rec *graph.Record) (*pack.Part, error) {
	kept := e.Store.Path(j.Name, rec.Key)
	p := &pack.Part{Name: j.Name, Version: j.Version, Commit: j.Commit, Links: j.Needs,
		Facts:   factsOf(recipe.Row(j.Name)),
		Notices: filepath.Join(kept, store.NoticesFile), Go: j.From.Tools["go"], CC: j.From.Tools["cc"]}
	if err := e.sourcesOf(j, p); err != nil {
		return nil, err
	}
	for _, s := range j.From.Steps { // with symbolic paths
		p.Steps = append(p.Steps, pack.Step{Command: s.Command, Environment: s.Env})
	}
	if len(j.Plan.Relink) > 0 {
		p.Relink = filepath.Join(kept, store.RelinkFile)
	}
	for _, pattern := range recipe.Row(j.Name).Libs {
		dir, name := filepath.Split(pattern)
		p.Libs = append(p.Libs, archive.Glob(filepath.Join(kept, dir), name)...)
	}
	return p, nil
}

// sourcesOf says in a part what it was made from: archives with their signatures, or a checkout; a vendor tree;
// patches.
func (e *Engine) sourcesOf(j *job, p *pack.Part) error {
	if j.Source.Checkout() {
		p.Sources = []pack.Digest{{Name: "checkout", SHA256: j.Source.SHA256}}
	} else {
		for _, a := range j.Source.Archives() {
			sum, err := a.Hashed()
			if err != nil {
				return err
			}
			p.Sources, p.Archives = append(p.Sources,
				pack.Digest{Name: filepath.Base(a.Path), SHA256: sum}), append(p.Archives, a.Path)
			sig, err := e.Sources.CheckSignature(a)
			if err != nil {
				return err
			}
			if sig != nil {
				if sum, err = e.Sources.Digests.Of(sig.Path); err != nil {
					return err
				}
				p.Signatures = append(p.Signatures, pack.Signature{Digest: pack.Digest{Name: filepath.Base(sig.Path),
					SHA256: sum}, Of: filepath.Base(a.Path), Key: sig.Key, Made: sig.Made.UTC()})
			}
		}
	}
	if j.Source.Vendor != "" {
		p.Vendor = &pack.Digest{SHA256: j.Source.Vendor}
		if line := e.Stack.Lock.VendorFor(j.Component, j.Source.SHA256); line != nil {
			p.Vendor.Name, p.Raised = line.Name, line.Raised
		}
	}
	own, err := e.Sources.SeriesOf(j.Source.Found)
	if err != nil {
		return err
	}
	for _, x := range own {
		p.Series = append(p.Series, pack.Digest{Name: x.Name, SHA256: x.SHA256})
	}
	for _, x := range j.Source.Patches {
		p.Patches = append(p.Patches, pack.Digest{Name: x.Name, SHA256: x.SHA256})
		p.PatchFiles = append(p.PatchFiles, x.File)
	}
	return nil
}

// files are those that the package has of a component.
func (e *Engine) files(j *job, rec *graph.Record) ([]*pack.File, error) {
	var files []*pack.File
	for _, o := range j.Plan.Outputs {
		if !o.Bin && !o.Data {
			continue
		}
		es := e.packed(j.Name, o)
		x := &pack.File{Component: j.Name, Entry: es[0],
			Digest: pack.Digest{Name: es[0].Name, SHA256: rec.Of(e.Rel(es[0].Path)).SHA256}}
		if o.Bin {
			var err error
			if x.Kernel, err = verify.OldestKernel(x.Entry.Path); err != nil {
				return nil, err
			}
			if x.Linked, err = verify.Linked(x.Entry.Path); err != nil {
				return nil, err
			}
			x.C = slices.Contains(j.Plan.Relink, o.Name) || !recipe.Row(j.Name).Go
		}
		files = append(files, x)
		for _, l := range es[1:] {
			files = append(files, &pack.File{Component: j.Name, Entry: l, Digest: pack.Digest{Name: l.Name},
				Link: l.Link})
		}
	}
	return files, nil
}

// factsOf are what the package says of a component, whatever its version.
func factsOf(row recipe.Component) pack.Facts {
	return pack.Facts{Upstream: row.Upstream, License: row.License, Library: row.Library, CLibrary: row.Libc,
		Ground: row.Ground,
		LGPL:   row.Relink, SourceGoes: row.SourceGoes}
}

// toolchains says what compiled the parts, and which libraries of the toolchains are linked in.
func (e *Engine) toolchains(ctx context.Context, c *pack.Contents) error {
	seen := map[string]bool{}
	for _, p := range c.Components {
		for name, v := range map[string]string{"go": p.Go, "gcc": p.CC} {
			if v == "" || seen[name+v] {
				continue
			}
			seen[name+v] = true
			release, id, _ := strings.Cut(v, " ")
			c.Toolchains = append(c.Toolchains, pack.Toolchain{Name: name, Version: release, ID: id})
		}
		if _, g := e.tools(e.Stack.Component[p.Name]); g != nil {
			c.GoTexts[g.Version] = g.Texts()
		}
		c.CLib.GCC = e.cc().Version
		if p.CC != "" && c.CLib.Name == "" && !e.Stack.OwnLibc() {
			l, err := host.LibcOf(ctx, e.cc().Path)
			if err != nil {
				return err
			}
			c.CLib = pack.CLib{Name: l.Name, Version: l.Version, Build: l.Build, GCC: e.cc().Version, Texts: l.Texts}
		}
	}
	slices.SortFunc(c.Toolchains, func(a, b pack.Toolchain) int {
		return strings.Compare(a.Name+a.Version+a.ID, b.Name+b.Version+b.ID)
	})
	return nil
}

// packed are the entries of an output in the package: docker/ has the files of upstream's static archive, and every
// extra a directory of its own, which can be installed or left.
func (e *Engine) packed(component string, o recipe.Output) []archive.Entry {
	dir := pack.BinDir
	if row := recipe.Row(component); row.Apart {
		dir = row.Extra + "/"
	}
	var es []archive.Entry
	if file := e.Store.Published(o); o.Bin {
		es = append(es, archive.Entry{Name: dir + o.Name, Path: file[0], Mode: 0o755})
	} else if o.Data {
		es = append(es, archive.Entry{Name: dir + o.Name, Path: file[0], Mode: 0o644})
	}
	for _, l := range o.Links {
		es = append(es, archive.Entry{Name: dir + l, Link: o.Name})
	}
	return es
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// checked are the statements that go into a package: those whose components and evidence are the stack's.
func (e *Engine) checked(book *audit.Book) ([]*audit.Statement, error) {
	if len(book.Statements) == 0 {
		return nil, nil
	}
	has, err := e.Evidence()
	if err != nil {
		return nil, err
	}
	if ps := book.Check(e.Stack.Rows.Names(), has, nil, nil); len(ps) > 0 {
		return nil, ps
	}
	return book.Statements, nil
}

// Features runs the stack's files and lists what is built into them. A file that is not there is fs.ErrNotExist.
func (e *Engine) Features(ctx context.Context) ([]string, error) {
	var tells []verify.Tells
	for _, n := range e.Stack.Parts() {
		tells = append(tells, recipe.Row(n).Features)
	}
	return verify.Features(ctx, e.OutputDir("bin"), host.Emulator(e.Stack.Arch()), recipe.Programs(e.Stack), tells)
}

// Kept are the stack's packages.
func (e *Engine) Kept() release.Kept { return release.Kept{Root: e.Root, Dir: e.Rel(e.OutputDir())} }

// Restoring says how damage to outputs is mended.
func (e *Engine) Restoring(rec *graph.Record, target string) string {
	if e.Records().Damage(rec, false) == "" {
		return fmt.Sprintf("its size and time are as recorded, so no run notices: remove it and run \"mage %s\"",
			target)
	}
	return fmt.Sprintf("run \"mage %s\" to restore it", target)
}
