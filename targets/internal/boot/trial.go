package boot

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drydock/targets/internal/smoke"
)

// Trial is what is tried in a machine, with as many starts as it needs.
type Trial struct {
	Machine Machine
	Smoke   smoke.Config
	Cuts    int    // how often the power is cut while install.sh runs, that of the later package, or Run
	Upgrade bool   // an upgrade to the later package, rollback and uninstall, with reboots
	Run     string // a shell command in place of the tests
	Quick   bool   // the few checks of smoke.Brief
}

// Do tries it, and returns its name; empty for the smoke test. The error is of the machine; what was tried is told by
// rows.
func (t Trial) Do(ctx context.Context, each func(smoke.Result)) (string, error) {
	m := t.Machine
	steps, what := []string{"machine", "install", "start", "container", "plugins", "stop", "smoke"}, ""
	switch {
	case t.Cuts > 0:
		return "-cuts", t.cuts(ctx, each)
	case t.Upgrade:
		return "-life", t.life(ctx, each)
	case t.Run != "":
		steps, what = []string{"machine", "run"}, "-run"
	case t.Machine.Initramfs:
		steps, what = []string{"machine", "install", "smoke"}, "-initramfs"
	}
	if t.Quick {
		what, t.Smoke.Only = what+"-quick", smoke.Brief
	}
	if t.Smoke.Kernel != "" {
		what += "-calls=" + t.Smoke.Kernel
	}
	if m.Root.Path != "" {
		m.Disk = filepath.Join(m.Work, "disk")
		defer os.Remove(m.Disk)
		if err := newDisk(ctx, m.Disk, diskMB); err != nil {
			return what, err
		}
	}
	return what, m.Start(ctx, Order{Steps: steps, Smoke: t.Smoke, Run: t.Run}, each)
}

// diskMB is the size of a machine's disk, which takes no more space than is written to it.
const diskMB = 16384

// life is a package's life on a machine with a disk: each list of steps is one start.
func (t Trial) life(ctx context.Context, each func(smoke.Result)) error {
	m := t.Machine
	m.Disk = filepath.Join(m.Work, "disk")
	defer os.Remove(m.Disk)
	if err := newDisk(ctx, m.Disk, diskMB); err != nil {
		return err
	}
	ok := true
	passed := func(r smoke.Result) { ok = ok && r.Verdict == smoke.Passed; each(r) }
	for _, steps := range []string{"machine install start container", "machine kept upgrade version rollback version",
		"machine kept stop uninstall"} {
		if err := m.Start(ctx, Order{Steps: strings.Fields(steps)}, passed); err != nil || !ok {
			return err
		}
	}
	return nil
}

// cuts cuts the power while something is done, at a moment of its usual time that is drawn. Started again, the machine
// must have the old version or the new one whole, and the same must come to its end. Every cut begins with a copy of
// one disk.
func (t Trial) cuts(ctx context.Context, each func(smoke.Result)) error {
	m := t.Machine
	before, what, after := "machine unpack", "install", "whole install whole"
	switch {
	case t.Run != "":
		before, what, after = "machine", "run", "run"
	case t.Upgrade:
		before, what, after = "machine install start container unpack", "upgrade", "whole upgrade kept whole"
	}
	first, usual := filepath.Join(m.Work, "first"), 0.0
	m.Disk = filepath.Join(m.Work, "disk")
	defer func() { os.Remove(first); os.Remove(m.Disk) }()
	start := func(m Machine, steps string, each func(smoke.Result)) error {
		return m.Start(ctx, Order{Steps: strings.Fields(steps), Run: t.Run}, each)
	}
	made := m
	made.Disk = first
	if err := newDisk(ctx, first, diskMB); err != nil {
		return err
	}
	ok := true
	passed := func(r smoke.Result) { ok = ok && r.Verdict == smoke.Passed; each(r) }
	if err := start(made, before, passed); err != nil || !ok {
		return err
	}
	for i := range t.Cuts + 1 {
		if err := copyDisk(m.Disk, first); err != nil {
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
