package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/host"
	"drydock/targets/internal/platform"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/smoke"
	"drydock/targets/internal/source"
	"drydock/targets/internal/ui"

	version "github.com/hashicorp/go-version"
)

// Smoke starts the built stack in namespaces of its own and holds what it does against a table of checks. A kernel
// imitates that kernel's system calls ("target": the stack's oldest); bin names other files than the stack's own.
// With write it is tried twice, on this kernel and with the imitated one's system calls, and docs/smoke.md is made of it.
func Smoke(ctx context.Context, kernel, bin string, asJSON, write bool) error {
	return command(ctx, func(ctx context.Context, e *Engine) error {
		if write && bin != "" {
			return fmt.Errorf("-write is of the stack's own files: got -bin=%s, want none", bin)
		}
		if !write {
			_, err := e.smoke(ctx, kernel, bin, asJSON)
			return err
		}
		native, err := e.smoke(ctx, "", bin, asJSON)
		if err != nil {
			return err
		}
		old, err := e.smoke(ctx, cmp.Or(kernel, "target"), bin, asJSON)
		if err == nil {
			err = e.writeSmoke(native, old)
		}
		return err
	})
}

// writeSmoke records two runs, and makes docs/smoke.md of those of the default stack.
func (e *Engine) writeSmoke(native, old *smoke.Report) error {
	told := func(r *smoke.Report, release string) string {
		n, _ := smoke.Count(r.Checks)
		return fmt.Sprintf("%d passed, %d skipped, Linux %s", n[smoke.Passed], n[smoke.Skipped], release)
	}
	seen := smoke.Seen{Of: recipe.Versions(e.Stack), Date: e.start.UTC().Format(time.DateOnly), Kernel: old.Kernel,
		Native: told(native, host.Release()), Old: told(old, old.Kernel)}
	file := e.Stack.Beside(".smoke")
	if err := archive.WriteBytes(file, 0o644, seen.Encode()); err != nil {
		return err
	}
	e.UI.Line("recorded  %s", e.rel(file))
	if e.Stack.Name != DefaultStack {
		return nil
	}
	parts := ""
	for _, r := range recipe.Components() {
		if (r.Shown != "" || r.Extra != "" && !r.Library) && e.Stack.Component[r.Name] != nil && e.records().Load(r.Name) != nil {
			parts += ", " + cmp.Or(r.Shown, r.Name) + " " + e.versionOf(r.Name)
		}
	}
	title := fmt.Sprintf("%s (docker %s%s), %s, Linux %s.", e.Stack.Name, e.Stack.Version, parts, e.start.UTC().Format(time.DateOnly), host.Release())
	return e.writeDoc("smoke.md", smoke.Page(title, native, old))
}

// smoke is one run.
func (e *Engine) smoke(ctx context.Context, kernel, bin string, asJSON bool) (*smoke.Report, error) {
	if kernel == "target" {
		kernel = e.Stack.Target.Kernel
	}
	if err := e.native("smoke"); err != nil {
		return nil, err
	}
	if err := smoke.Known(kernel, e.Stack.Target.Arch); err != nil {
		return nil, err
	}
	c := e.smokeConfig(kernel, bin)
	if bin == "" {
		c.Bin = e.output("bin")
		if _, err := os.Stat(c.Bin); err != nil {
			return nil, failure.With(failure.Failed, fmt.Errorf("%s is not built: run \"mage all\"", e.Stack.Name))
		}
		if err := e.wholeOutputs(); err != nil {
			return nil, err
		}
	}
	e.extras(&c)
	c.Work = e.build("smoke", "native")
	report := smoke.Report{Stack: e.Stack.Name, Kernel: kernel}
	if kernel != "" {
		c.Work, report.Shows = e.build("smoke", "linux-"+filepath.Base(kernel)), smoke.Shows(kernel)
	}
	var err error
	report.Checks, err = e.trySmoke(ctx, c, func(r smoke.Result) {
		if !asJSON {
			e.UI.Line("%s", r.Line(e.UI))
		}
	})
	var refusal *smoke.Refusal
	if errors.As(err, &refusal) {
		report.Skipped = refusal.Why
	}
	if asJSON {
		data, jerr := json.MarshalIndent(report, "", "  ")
		if jerr != nil {
			return nil, jerr
		}
		fmt.Println(string(data))
	}
	if refusal != nil {
		return nil, failure.With(failure.Skipped, refusal)
	}
	if ctx.Err() != nil {
		return nil, failure.With(failure.Stopped, fmt.Errorf("smoke: stopped by a signal: %w", context.Canceled))
	}
	if err != nil {
		return nil, failure.With(failure.Failed, fmt.Errorf("smoke: %w", err))
	}
	return &report, e.smokeVerdict(&report, asJSON, c.Work)
}

// smokeConfig is what the stack's own files must be and say.
func (e *Engine) smokeConfig(kernel, bin string) smoke.Config {
	c := smoke.Config{Bin: bin, Kernel: kernel, Files: recipe.Programs(e.Stack), Daemon: e.daemonFlags(),
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
func (e *Engine) trySmoke(ctx context.Context, c smoke.Config, each func(smoke.Result)) ([]smoke.Result, error) {
	if err := smoke.Allowed(); err != nil {
		return nil, err
	}
	unlock, err := graph.Lock(ctx, e.build("smoke"), strings.Join(os.Args, " "), nil)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := errors.Join(source.RemoveAll(c.Work), os.MkdirAll(c.Work, 0o755)); err != nil {
		return nil, err
	}
	if err := e.guest(ctx, c.Work); err != nil {
		return nil, err
	}
	return smoke.Run(ctx, c, each)
}

// daemonFlags are dockerd's without iptables, by what its version knows.
func (e *Engine) daemonFlags() []string {
	flags := []string{"--iptables=false"}
	if e.dockerdAtLeast("20.10") {
		flags = append(flags, "--ip6tables=false")
	}
	return flags
}

// extras says what the parts that not every stack has are tried with, where they are built.
func (e *Engine) extras(c *smoke.Config) {
	if _, err := os.Stat(filepath.Join(c.Bin, smoke.Firewall)); err != nil {
		c.NoNetwork = "iptables is not built: \"mage iptables\""
	} else {
		c.Network = e.networkFlags()
	}
	share := filepath.Join(filepath.Dir(c.Bin), "share")
	_, daemon := os.Stat(filepath.Join(c.Bin, "dbus-daemon"))
	if _, err := os.Stat(filepath.Join(share, "dbus-1/system.conf")); err == nil && daemon == nil {
		c.Share = share
	}
}

// networkFlags are dockerd's with iptables, by what its version knows.
func (e *Engine) networkFlags() []string {
	flags := []string{"--iptables=true"}
	if e.dockerdAtLeast("20.10") { // rules for IPv6 were an experiment up to 26
		flags = append(flags, "--experimental", "--ip6tables=true")
	}
	return flags
}

func (e *Engine) dockerdAtLeast(release string) bool {
	v, err := version.NewVersion(e.Stack.Component[recipe.Daemon].Version)
	return err == nil && v.Core().GreaterThanOrEqual(version.Must(version.NewVersion(release)))
}

// guest compiles what runs in the containers, with a Go that the stack is compiled with.
func (e *Engine) guest(ctx context.Context, dir string) error {
	if err := e.look(ctx); err != nil {
		return err
	}
	_, g := e.tools(e.Stack.Component[recipe.Client])
	if g == nil {
		return fmt.Errorf("no Go meets %s, which compiles the program for the containers: \"mage check\"", e.Stack.GoConstraint(e.Stack.Component[recipe.Client]))
	}
	env := append([]string{"PATH=" + e.facts.PathDirs(e.cc()), "HOME=" + dir, "GOCACHE=" + e.goCache(g), "LC_ALL=C"}, platform.Must(e.Stack.Target.Arch).Go()...)
	return smoke.CompileGuest(ctx, g.Path, dir, env, e.toolSandbox(g, dir, e.goCache(g)))
}

// smokeVerdict ends a run: how many checks passed, and what a run under another kernel's system calls shows.
func (e *Engine) smokeVerdict(r *smoke.Report, asJSON bool, work string) error {
	n, failed := smoke.Count(r.Checks)
	on := "on this kernel"
	if r.Kernel != "" {
		on = "with the system calls of Linux " + r.Kernel
	}
	if failed != nil {
		return failure.With(failure.Failed, fmt.Errorf("smoke %s: %d of %d checks failed: %s: logs in %s", on, len(failed), len(r.Checks), strings.Join(failed, ", "), e.rel(work)))
	}
	if !asJSON {
		if r.Shows != "" {
			e.UI.Text("This shows: " + r.Shows + ".")
		}
		e.UI.Line("drydock: %s: smoke %s: %d passed, %d skipped, %s", e.Stack.Name, on, n[smoke.Passed], n[smoke.Skipped], ui.Duration(time.Since(e.start)))
	}
	return nil
}
