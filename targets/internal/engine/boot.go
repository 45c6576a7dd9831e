package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/boot"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/smoke"
	"drydock/targets/internal/source"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/ui"
)

// BootOptions say what is booted.
type BootOptions struct {
	Kernel                 string // a series of Debian's kernels; empty for the first that is known
	Image, Modules, Config string // a kernel from files in its place
	Cgroup                 string // see boot.Cgroups
	Package, To            string // files; empty for the stack's latest, and none
	Root                   string // a tar archive with another root than busybox's
	Run                    string // a shell command that is run in place of the tests
	Cuts                   int    // how often the power is cut while install.sh runs, that of To, or Run
	Quick                  bool   // the few checks of smoke.Brief
	Initramfs              bool   // the root is the kernel's first, where no container of the service's can run
	JSON, Write            bool
}

// Boot boots a kernel in a virtual machine, installs the package there, and holds what it does against the smoke test's table.
// It ends with failure.Skipped where this machine has no qemu.
func Boot(ctx context.Context, o BootOptions) error {
	return command(ctx, func(ctx context.Context, e *Engine) error {
		o.Cgroup = cmp.Or(o.Cgroup, boot.Cgroups[0])
		if !slices.Contains(boot.Cgroups, o.Cgroup) {
			return fmt.Errorf("-cgroup: got %q, want one of %s", o.Cgroup, strings.Join(boot.Cgroups, ", "))
		}
		report, err := e.boot(ctx, o)
		var refusal *smoke.Refusal
		if errors.As(err, &refusal) {
			report.Skipped = refusal.Why
		}
		if o.JSON {
			data, jerr := json.MarshalIndent(report, "", "  ")
			if jerr != nil {
				return jerr
			}
			fmt.Println(string(data))
		}
		switch {
		case refusal != nil:
			return failure.With(failure.Skipped, refusal)
		case ctx.Err() != nil:
			return failure.With(failure.Stopped, fmt.Errorf("boot: stopped by a signal: %w", context.Canceled))
		case err != nil:
			return failure.With(failure.Failed, fmt.Errorf("boot: %w", err))
		}
		reports := e.build("boot", "reports")
		if err := report.Keep(reports); err != nil {
			return err
		}
		if o.Write {
			all, err := boot.Kept(reports)
			if err == nil {
				err = e.writeDoc("kernels.md", boot.Page(all))
			}
			if err != nil {
				return err
			}
		}
		return e.bootVerdict(report, o.JSON)
	})
}

// boot is one machine, with as many starts as what is tried needs.
func (e *Engine) boot(ctx context.Context, o BootOptions) (*boot.Report, error) {
	r := &boot.Report{Stack: e.Stack.Name, Version: e.Stack.Version, Cgroup: o.Cgroup, Date: e.start.UTC().Format(time.DateOnly)}
	unlock, err := graph.Lock(ctx, e.build("boot"), strings.Join(os.Args, " "), nil)
	if err != nil {
		return r, err
	}
	defer unlock()
	m := boot.Machine{Cgroup: o.Cgroup, Memory: 1800, Work: e.build("boot", "machine")}
	if err := errors.Join(source.RemoveAll(m.Work), os.MkdirAll(m.Work, 0o755)); err != nil {
		return r, err
	}
	if o.Root != "" {
		if m.Root, err = boot.RootIn(o.Root); err != nil {
			return r, err
		}
		r.Root, _, _ = strings.Cut(filepath.Base(o.Root), ".")
	}
	if m.Accelerator, err = boot.Accelerator(ctx, m.Work); err != nil {
		return r, err
	}
	r.Accelerator = m.Accelerator
	if m.Kernel, err = e.bootKernel(ctx, o); err != nil {
		return r, err
	}
	r.Kernel = m.Kernel.Release
	if m.Contents, err = e.bootContents(ctx, o, m.Work); err != nil {
		return r, err
	}
	c := e.smokeConfig("", "")
	c.Network = e.networkFlags()
	each := func(x smoke.Result) {
		r.Checks = append(r.Checks, x)
		if !o.JSON {
			e.UI.Line("%s", x.Line(e.UI))
		}
	}
	if !o.JSON {
		e.UI.Line("boot      Linux %s, control groups %s, %s", r.Kernel, r.Cgroup, r.Accelerator)
	}
	r.What, err = e.bootWhat(ctx, o, m, c, each)
	r.Seconds = time.Since(e.start).Seconds()
	return r, err
}

// bootWhat does in the machine what was asked for, and returns the name of it; empty for the smoke test.
func (e *Engine) bootWhat(ctx context.Context, o BootOptions, m boot.Machine, c smoke.Config, each func(smoke.Result)) (string, error) {
	steps, what := []string{"machine", "install", "start", "container", "plugins", "stop", "smoke"}, ""
	switch {
	case o.Cuts > 0:
		return "-cuts", e.bootCuts(ctx, m, o, each)
	case o.To != "":
		return "-life", e.bootLife(ctx, m, each)
	case o.Run != "":
		steps, what = []string{"machine", "run"}, "-run"
	case o.Initramfs:
		m.Initramfs = true
		steps, what = []string{"machine", "install", "smoke"}, "-initramfs"
	}
	if o.Quick {
		what, c.Only = what+"-quick", smoke.Brief
	}
	if m.Root.Path != "" {
		m.Disk = filepath.Join(m.Work, "disk")
		defer os.Remove(m.Disk)
		if err := boot.NewDisk(ctx, m.Disk, diskMB); err != nil {
			return what, err
		}
	}
	return what, m.Start(ctx, boot.Order{Steps: steps, Smoke: c, Run: o.Run}, each)
}

// diskMB is the size of a machine's disk, which takes no more space than is written to it.
const diskMB = 16384

// bootLife is a package's life on a machine with a disk: each list of steps is one start.
func (e *Engine) bootLife(ctx context.Context, m boot.Machine, each func(smoke.Result)) error {
	m.Disk = filepath.Join(m.Work, "disk")
	defer os.Remove(m.Disk)
	if err := boot.NewDisk(ctx, m.Disk, diskMB); err != nil {
		return err
	}
	ok := true
	passed := func(r smoke.Result) { ok = ok && r.Verdict == smoke.Passed; each(r) }
	for _, steps := range []string{"machine install start container", "kept upgrade version rollback version", "kept stop uninstall"} {
		if err := m.Start(ctx, boot.Order{Steps: strings.Fields(steps)}, passed); err != nil || !ok {
			return err
		}
	}
	return nil
}

// bootCuts cuts the power while something is done, at a moment of its usual time that is drawn. Started again, the machine must
// have the old version or the new one whole, and the same must come to its end. Every cut begins with a copy of one disk.
func (e *Engine) bootCuts(ctx context.Context, m boot.Machine, o BootOptions, each func(smoke.Result)) error {
	before, what, after := "machine unpack", "install", "whole install whole"
	switch {
	case o.Run != "":
		before, what, after = "machine", "run", "run"
	case o.To != "":
		before, what, after = "machine install start container unpack", "upgrade", "whole upgrade kept whole"
	}
	first, usual := filepath.Join(m.Work, "first"), 0.0
	m.Disk = filepath.Join(m.Work, "disk")
	defer func() { os.Remove(first); os.Remove(m.Disk) }()
	start := func(m boot.Machine, steps string, each func(smoke.Result)) error {
		return m.Start(ctx, boot.Order{Steps: strings.Fields(steps), Run: o.Run}, each)
	}
	made := m
	made.Disk = first
	if err := boot.NewDisk(ctx, first, diskMB); err != nil {
		return err
	}
	ok := true
	if err := start(made, before, func(r smoke.Result) { ok = ok && r.Verdict == smoke.Passed; each(r) }); err != nil || !ok {
		return err
	}
	for i := range o.Cuts + 1 {
		if err := boot.CopyDisk(m.Disk, first); err != nil {
			return err
		}
		if i == 0 { // how long it takes
			err := start(m, what, func(r smoke.Result) { usual = r.Seconds; each(r) })
			if err != nil {
				return err
			}
			continue
		}
		cut := m
		cut.CutIn, cut.CutAfter = what, time.Duration(rand.Float64()*usual*float64(time.Second))
		if err := start(cut, what, func(smoke.Result) {}); err != nil {
			return err
		}
		named := func(r smoke.Result) {
			r.Name = fmt.Sprintf("cut %d, %s into it: %s", i, cut.CutAfter.Round(100*time.Millisecond), r.Name)
			each(r)
		}
		if err := start(m, after, named); err != nil {
			return err
		}
	}
	return nil
}

// bootKernel is the user's kernel, or one of Debian's.
func (e *Engine) bootKernel(ctx context.Context, o BootOptions) (boot.Kernel, error) {
	if o.Image != "" {
		return boot.Own(o.Image, o.Modules, o.Config)
	}
	s, err := boot.Find(cmp.Or(o.Kernel, boot.Kernels[0].Name))
	if err != nil {
		return boot.Kernel{}, err
	}
	dir, err := e.bootSource(ctx, s)
	if err != nil {
		return boot.Kernel{}, err
	}
	return boot.Unpacked(dir)
}

// bootSource gets a package of Debian and unpacks it.
func (e *Engine) bootSource(ctx context.Context, s boot.Source) (string, error) {
	c, l := s.Component()
	set := source.Set{Store: e.src.Store, Stack: &stack.Stack{Lock: l}, Online: e.online}
	found, err := set.Get(ctx, c)
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.Name, err)
	}
	dir := e.build("boot", s.Name+"-"+found.SHA256[:12])
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	r, err := archive.Open(found.Path, "deb")
	if err != nil {
		return "", err
	}
	defer r.Close()
	tmp := dir + ".tmp"
	if err := errors.Join(source.RemoveAll(tmp), os.MkdirAll(tmp, 0o755)); err != nil {
		return "", err
	}
	if err := archive.ExtractOnly(r, tmp, 0, nil); err != nil {
		return "", fmt.Errorf("%s: %w", found.Path, err)
	}
	return dir, os.Rename(tmp, dir)
}

// bootContents are the files that go into the machine.
func (e *Engine) bootContents(ctx context.Context, o BootOptions, work string) (c boot.Contents, err error) {
	c = boot.Contents{Package: o.Package, To: o.To, Guest: filepath.Join(work, "guest")}
	if c.Package == "" {
		all, err := e.kept().List()
		if err != nil {
			return c, err
		}
		r := e.kept().Find(all, e.kept().Latest())
		if r == nil {
			return c, fmt.Errorf("%s has no package: run \"mage all\", or name one with -pkg=FILE", e.Stack.Name)
		}
		c.Package = r.Path()
	}
	if c.Runner, err = os.Executable(); err != nil {
		return c, err
	}
	dir, err := e.bootSource(ctx, boot.Busybox)
	if err != nil {
		return c, err
	}
	if c.Busybox, err = boot.BusyboxIn(dir); err != nil {
		return c, err
	}
	return c, e.guest(ctx, work)
}

// bootVerdict ends a run.
func (e *Engine) bootVerdict(r *boot.Report, asJSON bool) error {
	n, failed := smoke.Count(r.Checks)
	on := fmt.Sprintf("boot Linux %s, control groups %s", r.Kernel, r.Cgroup)
	if r.Root != "" {
		on += ", " + r.Root
	}
	if failed != nil {
		return failure.With(failure.Failed, fmt.Errorf("%s: %d of %d checks failed: %s: the machine's console is in %s", on, len(failed), len(r.Checks),
			strings.Join(failed, ", "), e.rel(e.build("boot", "machine"))))
	}
	if !asJSON {
		e.UI.Line("drydock: %s: %s: %d passed, %d skipped, %s", e.Stack.Name, on, n[smoke.Passed], n[smoke.Skipped], ui.Seconds(r.Seconds))
	}
	return nil
}
