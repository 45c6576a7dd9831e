package boot

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/smoke"
	"drydock/targets/internal/ui"
)

// Report is what was tried in a machine; one is kept of each kernel and layout.
type Report struct {
	Stack       string         `json:"stack"`
	Version     string         `json:"version"`
	Kernel      string         `json:"kernel"` // its release
	Cgroup      string         `json:"cgroup"`
	What        string         `json:"what,omitempty"` // "-life", "-cuts"; empty for the smoke test
	Root        string         `json:"root,omitempty"` // the name of another root than busybox's
	Accelerator string         `json:"accelerator"`
	Date        string         `json:"date"`
	Seconds     float64        `json:"seconds"`
	Skipped     string         `json:"skipped,omitempty"` // why nothing could be tried
	Checks      []smoke.Result `json:"checks"`
}

// Keep writes a report into a directory, in place of an older one of the same.
func (r *Report) Keep(dir string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file := filepath.Join(dir, r.Kernel+"-"+r.Cgroup+r.What+strings.TrimRight("-"+r.Root, "-")+".json")
	return archive.WriteBytes(file, 0o644, data)
}

// Kept reads the reports in a directory. The error names the file that is none.
func Kept(dir string) ([]*Report, error) {
	var reports []*Report
	for _, file := range archive.Glob(dir, "*.json") {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		r := &Report{}
		if err := json.Unmarshal(data, r); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// Page makes docs/kernels.md of reports.
func Page(reports []*Report) string {
	text := "# Kernels that were booted\n\nMade by `mage boot -write`; never edited by hand. Each was booted in a virtual machine, with busybox and a SysV init\n" +
		"where no other root is named; the package was installed by its own `install.sh`, its service was started and used, and the smoke test ran on the installed files\n" +
		"(quick: a few of its checks; life: an upgrade, rollback and uninstall with reboots; cuts: of the power, while it was installed).\n\n" +
		"| kernel | control groups | root | stack | passed | skipped | failed | time | on |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
	var why []string
	for _, r := range reports {
		n, _ := smoke.Count(r.Checks)
		took := ui.Seconds(r.Seconds)
		for _, c := range r.Checks {
			if c.Verdict != smoke.Passed {
				why = append(why, fmt.Sprintf("| %s, %s | %s | %s: %s |", r.Kernel, r.Cgroup+r.What, c.Name, c.Verdict, strings.ReplaceAll(c.Detail, "|", "\\|")))
			}
		}
		text += fmt.Sprintf("| %s | %s | %s | %s (%s) | %d | %d | %d | %s, %s | %s |\n", r.Kernel, r.Cgroup+strings.ReplaceAll(r.What, "-", ", "),
			cmp.Or(r.Root, "busybox"), r.Stack, r.Version, n[smoke.Passed], n[smoke.Skipped], n[smoke.Failed], took, r.Accelerator, r.Date)
	}
	if why != nil {
		text += "\nWhat was not passed:\n\n| kernel | check | |\n| --- | --- | --- |\n" + strings.Join(why, "\n") + "\n"
	}
	return text + `
## Your own kernel

Copy it from the host that the package is for, with its modules and its configuration, and boot it here:

    ./mage boot -image=vmlinuz-3.10.0-1160.el7.x86_64 -modules=lib/modules/3.10.0-1160.el7.x86_64 -config=config-3.10.0-1160.el7.x86_64 -write

Modules may be plain or compressed by gzip or xz. The configuration is what the installer checks. ` + "`-cgroup=v1`, `v2`, `hybrid` or `none`" + ` says what is
mounted at boot; with ` + "`none`" + ` the service mounts it. ` + "`-to=FILE`" + ` names a later package: then upgrade, rollback and uninstall are tried, with reboots.

` + "`-root=FILE`" + ` is a tar archive (plain, or compressed by gzip) of the host's own root, or of a distribution's smallest one: its init, systemd or one
with an inittab, starts the service. ` + "`-run=COMMAND`" + ` runs a shell command there in place of the tests. ` + "`-cuts=N`" + ` cuts the power N times while
install.sh runs, while that of ` + "`-to`" + ` does, or while the command does.
`
}
