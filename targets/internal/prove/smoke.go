package prove

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/engine"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/kernel"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/smoke"
	"drydock/targets/internal/ui"

	version "github.com/hashicorp/go-version"
)

// Smoke starts the built stack in namespaces of its own and holds what it does against a table of checks. A kernel
// imitates that kernel's system calls ("target": the stack's oldest); bin names other files than the stack's own. With
// write it is tried twice, on this kernel and with the imitated one's system calls, and docs/smoke.md is made of it. A
// failed check is failure.Failed, a host on which it cannot be tried failure.Skipped.
func Smoke(ctx context.Context, kernel, bin string, asJSON, write bool) error {
	return engine.Command(ctx, func(ctx context.Context, e *engine.Engine) error {
		if write && bin != "" {
			return fmt.Errorf("-write is of the stack's own files: got -bin=%s, want none", bin)
		}
		if !write {
			_, err := SmokeTest(ctx, e, kernel, bin, asJSON)
			return err
		}
		native, err := SmokeTest(ctx, e, "", bin, asJSON)
		if err != nil {
			return err
		}
		old, err := SmokeTest(ctx, e, cmp.Or(kernel, "target"), bin, asJSON)
		if err == nil {
			err = writeSmoke(e, native, old)
		}
		return err
	})
}

// writeSmoke records two runs, and makes docs/smoke.md of those of the default stack.
func writeSmoke(e *engine.Engine, native, old *smoke.Report) error {
	told := func(r *smoke.Report, release string) string {
		n, _ := smoke.Count(r.Checks)
		return fmt.Sprintf("%d passed, %d skipped, Linux %s", n[smoke.Passed], n[smoke.Skipped], release)
	}
	seen := smoke.Seen{Of: recipe.Versions(e.Stack), Date: e.Started.UTC().Format(time.DateOnly), Kernel: old.Kernel,
		Native: told(native, kernel.Release()), Old: told(old, old.Kernel)}
	file := e.Stack.Beside(".smoke")
	if err := archive.WriteBytes(file, 0o644, seen.Encode()); err != nil {
		return err
	}
	e.UI.Line("recorded  %s", e.Rel(file))
	if e.Stack.Name != engine.DefaultStack {
		return nil
	}
	parts := ""
	for _, r := range recipe.Components() {
		if (r.Shown != "" || r.Extra != "" && !r.Library) && e.Stack.Component[r.Name] != nil &&
			e.Records().Load(r.Name) != nil {
			parts += ", " + cmp.Or(r.Shown, r.Name) + " " + e.Stack.Component[r.Name].Version
		}
	}
	title := fmt.Sprintf("%s (docker %s%s), %s, Linux %s.", e.Stack.Name, e.Stack.Version, parts,
		e.Started.UTC().Format(time.DateOnly), kernel.Release())
	return writeDoc(e, "smoke.md", smoke.Page(title, native, old))
}

// SmokeTest is one run. It fails as Smoke does.
func SmokeTest(ctx context.Context, e *engine.Engine, kernel, bin string, asJSON bool) (*smoke.Report, error) {
	if kernel == "target" {
		kernel = e.Stack.Target.Kernel
	}
	if err := native(e, "smoke"); err != nil {
		return nil, err
	}
	if err := smoke.Known(kernel, e.Stack.Target.Arch); err != nil {
		return nil, err
	}
	c := smokeConfig(e, kernel, bin)
	if bin == "" {
		c.Bin = e.OutputDir("bin")
		if _, err := os.Stat(c.Bin); err != nil {
			return nil, failure.Errorf(failure.Failed, "%s is not built: run \"mage all\"", e.Stack.Name)
		}
		if err := wholeOutputs(e); err != nil {
			return nil, err
		}
	}
	withExtras(e, &c)
	c.Work = e.BuildDir("smoke", "native")
	report := smoke.Report{Stack: e.Stack.Name, Kernel: kernel}
	if kernel != "" {
		c.Work, report.Shows = e.BuildDir("smoke", "linux-"+filepath.Base(kernel)), smoke.Shows(kernel)
	}
	var err error
	report.Checks, err = trySmoke(ctx, e, c, func(r smoke.Result) {
		if !asJSON {
			e.UI.Line("%s", r.Line(e.UI))
		}
	})
	report.Skipped = refused(err)
	if asJSON {
		if err := ui.JSON(report); err != nil {
			return nil, err
		}
	}
	if err := ended(ctx, "smoke", err); err != nil {
		return nil, err
	}
	return &report, smokeVerdict(e, &report, asJSON, c.Work)
}

// smokeConfig is what the stack's own files must be and say.
func smokeConfig(e *engine.Engine, kernel, bin string) smoke.Config {
	c := smoke.Config{Bin: bin, Kernel: kernel, Files: recipe.Programs(e.Stack), Daemon: daemonFlags(e, false),
		Versions: map[string]string{"docker": e.Stack.Component[recipe.Daemon].Version}, Commits: map[string]string{}}
	for n, part := range e.Stack.Component {
		if recipe.Row(n).Install == recipe.Plugins {
			c.Versions[n], c.Commits[n] = part.Version, part.Commit
		}
	}
	for _, n := range e.Stack.Parts() {
		if part := recipe.Row(n).Shown; part != "" {
			c.Versions[part], c.Commits[part] = e.Stack.Component[n].Version, e.Stack.Component[n].Commit
		}
	}
	return c
}

// trySmoke prepares the run's directory and runs the checks. One run at a time for each stack.
func trySmoke(ctx context.Context, e *engine.Engine, c smoke.Config, each func(smoke.Result)) ([]smoke.Result, error) {
	if err := smoke.Allowed(); err != nil {
		return nil, err
	}
	unlock, err := graph.Lock(ctx, e.BuildDir("smoke"), strings.Join(os.Args, " "), nil)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := archive.EmptyDir(c.Work); err != nil {
		return nil, err
	}
	if err := compileGuest(ctx, e, c.Work); err != nil {
		return nil, err
	}
	return smoke.Run(ctx, c, each)
}

// withExtras says what the parts that not every stack has are tried with, where they are built.
func withExtras(e *engine.Engine, c *smoke.Config) {
	if _, err := os.Stat(filepath.Join(c.Bin, smoke.Firewall)); err != nil {
		c.NoNetwork = "iptables is not built: \"mage iptables\""
	} else {
		c.Network = daemonFlags(e, true)
	}
	share := filepath.Join(filepath.Dir(c.Bin), "share")
	_, daemon := os.Stat(filepath.Join(c.Bin, "dbus-daemon"))
	if _, err := os.Stat(filepath.Join(share, "dbus-1/system.conf")); err == nil && daemon == nil {
		c.Share = share
	}
}

// daemonFlags are dockerd's with iptables or without, by what its version knows.
func daemonFlags(e *engine.Engine, iptables bool) []string {
	flags := []string{fmt.Sprintf("--iptables=%t", iptables)}
	v, err := version.NewVersion(e.Stack.Component[recipe.Daemon].Version)
	if err != nil || v.Core().LessThan(version.Must(version.NewVersion("20.10"))) {
		return flags
	}
	if iptables { // rules for IPv6 were an experiment up to 26
		flags = append(flags, "--experimental")
	}
	return append(flags, fmt.Sprintf("--ip6tables=%t", iptables))
}

// compileGuest compiles what runs in the containers.
func compileGuest(ctx context.Context, e *engine.Engine, dir string) error {
	g, err := e.GoTool(ctx, dir, "the program for the containers")
	if err != nil {
		return err
	}
	return smoke.CompileGuest(ctx, g.Path, dir, g.Env, g.Box)
}

// smokeVerdict ends a run: how many checks passed, and what a run under another kernel's system calls shows.
func smokeVerdict(e *engine.Engine, r *smoke.Report, asJSON bool, work string) error {
	on := "smoke on this kernel"
	if r.Kernel != "" {
		on = "smoke with the system calls of Linux " + r.Kernel
	}
	line, err := counted(on, "logs in "+e.Rel(work), r.Checks)
	if err != nil || asJSON {
		return err
	}
	if r.Shows != "" {
		e.UI.Text("This shows: " + r.Shows + ".")
	}
	e.UI.Line("drydock: %s: %s, %s", e.Stack.Name, line, ui.Duration(time.Since(e.Started)))
	return nil
}

// counted says how many checks passed on something; where checks failed, the error says where to look.
func counted(on, look string, checks []smoke.Result) (string, error) {
	n, failed := smoke.Count(checks)
	if failed != nil {
		return "", failure.Errorf(failure.Failed, "%s: %d of %d checks failed: %s: %s", on, len(failed), len(checks),
			strings.Join(failed, ", "), look)
	}
	return fmt.Sprintf("%s: %d passed, %d skipped", on, n[smoke.Passed], n[smoke.Skipped]), nil
}

// refused says why nothing could be tried here; empty where it could.
func refused(err error) string {
	var refusal *smoke.Refusal
	if errors.As(err, &refusal) {
		return refusal.Why
	}
	return ""
}

// ended is the error of a trial: of one that could not be tried here failure.Skipped, of one that was stopped
// failure.Stopped, else failure.Failed.
func ended(ctx context.Context, what string, err error) error {
	var refusal *smoke.Refusal
	switch {
	case errors.As(err, &refusal):
		return failure.With(failure.Skipped, refusal)
	case ctx.Err() != nil:
		return failure.Errorf(failure.Stopped, "%s: stopped by a signal: %w", what, context.Canceled)
	case err != nil:
		return failure.Errorf(failure.Failed, "%s: %w", what, err)
	}
	return nil
}
