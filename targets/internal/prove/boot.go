package prove

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/boot"
	"drydock/targets/internal/engine"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/smoke"
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

// Boot boots a kernel in a virtual machine, installs the package there, and holds what it does against the smoke test's
// table. It ends with failure.Skipped where this machine has no qemu. A failed check is failure.Failed.
func Boot(ctx context.Context, o BootOptions) error {
	return engine.Command(ctx, func(ctx context.Context, e *engine.Engine) error {
		o.Cgroup = cmp.Or(o.Cgroup, boot.Cgroups[0])
		if err := errors.Join(boot.KnownCgroup(o.Cgroup), smoke.Known(o.Calls, e.Stack.Target.Arch)); err != nil {
			return err
		}
		report, err := bootMachine(ctx, e, o)
		report.Skipped = refused(err)
		if o.JSON {
			if err := ui.JSON(report); err != nil {
				return err
			}
		}
		if err := ended(ctx, "boot", err); err != nil {
			return err
		}
		if err := report.Keep(e.BuildDir("boot", "reports")); err != nil {
			return err
		}
		if o.Write {
			target, err := boot.TargetOf(e.Stack.Target.Arch)
			if err != nil {
				return err
			}
			made, err := target.Documents(e.Root, e.Stack.Name)
			for _, name := range slices.Sorted(maps.Keys(made)) {
				err = errors.Join(err, writeDoc(e, name, made[name]))
			}
			if err != nil {
				return err
			}
		}
		return bootVerdict(e, report, o.JSON)
	})
}

// bootMachine is one machine, with as many starts as what is tried needs.
func bootMachine(ctx context.Context, e *engine.Engine, o BootOptions) (*boot.Report, error) {
	r := &boot.Report{Stack: e.Stack.Name, Version: e.Stack.Version, Cgroup: o.Cgroup,
		Date: e.Started.UTC().Format(time.DateOnly)}
	unlock, err := graph.Lock(ctx, e.BuildDir("boot"), strings.Join(os.Args, " "), nil)
	if err != nil {
		return r, err
	}
	defer unlock()
	target, err := boot.TargetOf(e.Stack.Target.Arch)
	if err != nil {
		return r, err
	}
	r.Arch = target.Below()
	m := boot.Machine{Target: target, Cgroup: o.Cgroup, Initramfs: o.Initramfs, Memory: 1800,
		Work: e.BuildDir("boot", "machine")}
	if err := archive.EmptyDir(m.Work); err != nil {
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
	if m.Kernel, err = bootKernel(ctx, e, target, o); err != nil {
		return r, err
	}
	r.Kernel = m.Kernel.Release
	if m.Contents, err = bootContents(ctx, e, o, m); err != nil {
		return r, err
	}
	c := smokeConfig(e, o.Calls, "")
	c.Network = daemonFlags(e, true)
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
	r.Seconds = time.Since(e.Started).Seconds()
	return r, err
}

// bootKernel is the user's kernel, or one of Debian's.
func bootKernel(ctx context.Context, e *engine.Engine, t *boot.Target, o BootOptions) (boot.Kernel, error) {
	if o.Image != "" {
		return t.Own(o.Image, o.Modules, o.Config)
	}
	return bootSources(e).Kernel(ctx, t, o.Kernel)
}

func bootSources(e *engine.Engine) boot.Sources {
	return boot.Sources{Store: e.Sources.Store, Online: e.Sources.Online, Dir: e.BuildDir("boot")}
}

// bootContents are the files that go into the machine.
func bootContents(ctx context.Context, e *engine.Engine, o BootOptions, m boot.Machine) (c boot.Contents, err error) {
	c = boot.Contents{Package: o.Package, To: o.To, Guest: filepath.Join(m.Work, "guest")}
	if c.Package == "" {
		all, err := e.Kept().List()
		if err != nil {
			return c, err
		}
		r := e.Kept().Find(all, e.Kept().Latest())
		if r == nil {
			return c, fmt.Errorf("%s has no package: run \"mage all\", or name one with -pkg=FILE", e.Stack.Name)
		}
		c.Package = r.Path()
	}
	if c.Runner, err = m.Target.Runner(ctx, e.Root, m.Work); err != nil {
		return c, err
	}
	if c.Busybox, err = bootSources(e).Busybox(ctx, m.Target); err != nil {
		return c, err
	}
	return c, compileGuest(ctx, e, m.Work)
}

// bootVerdict ends a run.
func bootVerdict(e *engine.Engine, r *boot.Report, asJSON bool) error {
	on := fmt.Sprintf("boot Linux %s, control groups %s", r.Kernel, r.Cgroup)
	if r.Root != "" {
		on += ", " + r.Root
	}
	line, err := counted(on, "the machine's console is in "+e.Rel(e.BuildDir("boot", "machine")), r.Checks)
	if err == nil && !asJSON {
		e.UI.Line("drydock: %s: %s, %s", e.Stack.Name, line, ui.Seconds(r.Seconds))
	}
	return err
}
