package boot

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/platform"
	"drydock/targets/internal/smoke"
	"drydock/targets/internal/ui"
)

// Report is what was tried in a machine; one is kept of each kernel and layout.
type Report struct {
	Stack       string         `json:"stack"`
	Version     string         `json:"version"`
	Arch        string         `json:"arch,omitempty"` // another processor than a PC's
	Kernel      string         `json:"kernel"`         // its release
	Cgroup      string         `json:"cgroup"`
	What        string         `json:"what,omitempty"` // "-life", "-cuts"; empty for the smoke test
	Root        string         `json:"root,omitempty"` // the name of another root than busybox's
	Accelerator string         `json:"accelerator"`
	Date        string         `json:"date"`
	Seconds     float64        `json:"seconds"`
	Skipped     string         `json:"skipped,omitempty"` // why nothing could be tried
	Checks      []smoke.Result `json:"checks"`
}

// Keep writes a report into a directory, in place of an older one of the same. It fails where it cannot be written.
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

// Documents are the texts below docs/ that the reports make, by name: those of all of a stack's machines, and those of
// this architecture. root is drydock's own directory. It fails as Kept does.
func (t *Target) Documents(root, stack string) (map[string]string, error) {
	var all []*Report
	for _, a := range platform.All() {
		reports, err := Kept(filepath.Join(root, "build", stack, a.Below(), "boot/reports"))
		if err != nil {
			return nil, err
		}
		all = append(all, reports...)
	}
	before, err := os.ReadFile(filepath.Join(root, "docs/kernels.md"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	made := map[string]string{"kernels.md": Page(all, string(before))}
	if !t.pc() {
		made["smoke-"+t.Name+".md"] = t.smokePage(all)
	}
	return made, nil
}

// Page makes docs/kernels.md of reports. What the page before has of other machines stays: it may have been booted
// elsewhere.
func Page(reports []*Report, before string) string {
	var rows, why []string
	made := map[string]bool{}
	for _, r := range reports {
		n, _ := smoke.Count(r.Checks)
		machine := fmt.Sprintf("| %s | %s | %s | %s (", r.Kernel, r.Cgroup+strings.ReplaceAll(r.What, "-", ", "),
			cmp.Or(r.Root, "busybox"), r.Stack)
		rows = append(rows, fmt.Sprintf("%s%s) | %d | %d | %d | %s, %s | %s |\n", machine, r.Version,
			n[smoke.Passed], n[smoke.Skipped], n[smoke.Failed], ui.Seconds(r.Seconds), r.Accelerator, r.Date))
		told := fmt.Sprintf("| %s, %s | ", r.Kernel, r.Cgroup+r.What)
		made[machine], made[told] = true, true
		for _, c := range r.Checks {
			if c.Verdict != smoke.Passed {
				detail := strings.ReplaceAll(c.Detail, "|", "\\|")
				why = append(why, fmt.Sprintf("%s%s | %s: %s |\n", told, c.Name, c.Verdict, detail))
			}
		}
	}
	for line := range strings.Lines(before) {
		switch cells := strings.Split(line, " | "); {
		case cells[0] == "| kernel" || cells[0] == "| ---":
		case len(cells) == 9 && !made[line[:max(strings.Index(line, " (")+2, 0)]]:
			rows = append(rows, line)
		case len(cells) == 3 && !made[cells[0]+" | "]:
			why = append(why, line)
		}
	}
	slices.Sort(rows)
	slices.Sort(why)
	told := strings.Join(rows, "")
	if why != nil {
		told += "\nWhat was not passed:\n\n| kernel | check | |\n| --- | --- | --- |\n" + strings.Join(why, "")
	}
	return strings.Replace(page, "ROWS\n", told, 1)
}

// page is docs/kernels.md but for its rows.
//
//go:embed page.md
var page string

// smokePage makes docs/smoke-<arch>.md of the reports of one architecture's machines.
func (t *Target) smokePage(reports []*Report) string {
	text := fmt.Sprintf("# The stack at work on %[1]s\n\nMade by `ARCH=%[1]s mage boot -write`; never edited by hand. "+
		"The package was built on a PC, and installed, started and used in a\n"+
		"virtual machine of that architecture, which qemu emulates. What each check does: `targets/internal/smoke/`; "+
		"all machines: [kernels.md](kernels.md).\n", t.Name)
	for _, r := range reports {
		if r.Arch != t.Name {
			continue
		}
		how := strings.TrimSuffix(r.Cgroup+strings.ReplaceAll(r.What, "-", ", ")+", "+r.Root, ", ")
		text += fmt.Sprintf("\n## Linux %s, control groups %s\n\n%s (%s), %s, %s.\n\n| check | | time | |\n"+
			"| --- | --- | --- | --- |\n", r.Kernel, how, r.Stack, r.Version, r.Accelerator, r.Date)
		for _, c := range r.Checks {
			text += fmt.Sprintf("| %s | %s | %s | %s |\n", c.Name, c.Verdict, ui.Seconds(c.Seconds),
				strings.ReplaceAll(c.Detail, "|", "\\|"))
		}
	}
	return text
}
