package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/boot"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/smoke"
	"drydock/targets/internal/source"
	"drydock/targets/internal/ui"
)

// BootOptions say what is booted.
type BootOptions struct {
	Kernel                 string // a series of Debian's kernels; empty for the first that is known
	Image, Modules, Config string // a kernel from files in its place
	Calls                  string // the smoke test gets just that kernel's system calls
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
		if err := errors.Join(boot.KnownCgroup(o.Cgroup), smoke.Known(o.Calls, e.Stack.Target.Arch)); err != nil {
			return err
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
		if err := report.Keep(e.build("boot", "reports")); err != nil {
			return err
		}
		if o.Write {
			target, err := boot.TargetOf(e.Stack.Target.Arch)
			if err != nil {
				return err
			}
			made, err := target.Documents(e.Root, e.Stack.Name)
			for _, name := range slices.Sorted(maps.Keys(made)) {
				err = errors.Join(err, e.writeDoc(name, made[name]))
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
	target, err := boot.TargetOf(e.Stack.Target.Arch)
	if err != nil {
		return r, err
	}
	r.Arch = target.Below()
	m := boot.Machine{Target: target, Cgroup: o.Cgroup, Initramfs: o.Initramfs, Memory: 1800, Work: e.build("boot", "machine")}
	if err := errors.Join(source.RemoveAll(m.Work), os.MkdirAll(m.Work, 0o755)); err != nil {
		return r, err
	}
	if o.Root != "" {
		if m.Root, err = boot.RootIn(o.Root); err != nil {
			return r, err
		}
		r.Root, _, _ = strings.Cut(filepath.Base(o.Root), ".")
	}
	if m.Accelerator, err = target.Accelerator(ctx, m.Work); err != nil {
		return r, err
	}
	r.Accelerator = m.Accelerator
	if m.Kernel, err = e.bootKernel(ctx, target, o); err != nil {
		return r, err
	}
	r.Kernel = m.Kernel.Release
	if m.Contents, err = e.bootContents(ctx, o, m); err != nil {
		return r, err
	}
	c := e.smokeConfig(o.Calls, "")
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
	t := boot.Trial{Machine: m, Smoke: c, Cuts: o.Cuts, Upgrade: o.To != "", Run: o.Run, Quick: o.Quick}
	r.What, err = t.Do(ctx, each)
	r.Seconds = time.Since(e.start).Seconds()
	return r, err
}

// bootKernel is the user's kernel, or one of Debian's.
func (e *Engine) bootKernel(ctx context.Context, t *boot.Target, o BootOptions) (boot.Kernel, error) {
	if o.Image != "" {
		return t.Own(o.Image, o.Modules, o.Config)
	}
	return e.bootSources().Kernel(ctx, t, o.Kernel)
}

func (e *Engine) bootSources() boot.Sources {
	return boot.Sources{Store: e.src.Store, Online: e.online, Dir: e.build("boot")}
}

// bootContents are the files that go into the machine.
func (e *Engine) bootContents(ctx context.Context, o BootOptions, m boot.Machine) (c boot.Contents, err error) {
	c = boot.Contents{Package: o.Package, To: o.To, Guest: filepath.Join(m.Work, "guest")}
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
	if c.Runner, err = m.Target.Runner(ctx, e.Root, m.Work); err != nil {
		return c, err
	}
	if c.Busybox, err = e.bootSources().Busybox(ctx, m.Target); err != nil {
		return c, err
	}
	return c, e.guest(ctx, m.Work)
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
