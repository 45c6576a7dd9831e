package smoke

import (
	_ "embed"
	"fmt"
	"os"
	"strings"

	"drydock/targets/internal/ui"

	"github.com/pelletier/go-toml/v2"
)

// Report is what a run of the checks showed.
type Report struct {
	Stack   string   `json:"stack"`
	Kernel  string   `json:"kernel,omitempty"` // that was imitated
	Shows   string   `json:"shows,omitempty"`
	Skipped string   `json:"skipped,omitempty"` // why nothing could be tried
	Checks  []Result `json:"checks"`
}

// Line is a result as a terminal shows it.
func (r Result) Line(u *ui.UI) string {
	line := fmt.Sprintf("%-36s %7s", r.Name, ui.Seconds(r.Seconds))
	switch r.Verdict {
	case Passed:
		line = u.Good("ok       ") + line
	case Failed:
		line = u.Bad("FAILED   ") + line
	default:
		line = "skipped  " + line
	}
	if r.Detail != "" {
		line += "  " + r.Detail
	}
	if r.Verdict == Failed {
		for _, w := range r.Warnings {
			line += "\n           dockerd: " + w
		}
	}
	return line
}

// Count counts verdicts, and names the checks that failed.
func Count(rs []Result) (n map[string]int, failed []string) {
	n = map[string]int{}
	for _, r := range rs {
		n[r.Verdict]++
		if r.Verdict == Failed {
			failed = append(failed, r.Name)
		}
	}
	return n, failed
}

// Seen is what is recorded of a stack's smoke test.
type Seen struct {
	Of     string `toml:"of"`   // its parts, by name and version
	Date   string `toml:"date"` // when, as 2006-01-02
	Native string `toml:"native"`
	Old    string `toml:"old"`    // with an older kernel's system calls
	Kernel string `toml:"kernel"` // that kernel
}

// Recorded reads a record of it. It fails on a file that is missing or no TOML.
func Recorded(file string) (s Seen, err error) {
	data, err := os.ReadFile(file)
	if err == nil {
		err = toml.Unmarshal(data, &s)
	}
	return s, err
}

// Encode returns the record's content.
func (s Seen) Encode() []byte {
	return fmt.Appendf(nil, "# What \"mage smoke -write\" saw of this stack; written by it.\nof = %q\ndate = %q\n"+
		"native = %q\nold = %q\nkernel = %q\n", s.Of, s.Date, s.Native, s.Old, s.Kernel)
}

// Words are what it proves, in one word each.
func (s Seen) Words() (words []string) {
	if s.Native != "" {
		words = append(words, "smoke")
	}
	if s.Old != "" {
		words = append(words, s.Kernel)
	}
	return words
}

// Page makes docs/smoke.md of two runs on what title names: on this kernel, and with an older one's system calls.
func Page(title string, native, old *Report) string {
	rows := ""
	cell := func(r Result) string {
		word := map[string]string{Passed: "ok", Skipped: "skipped"}[r.Verdict]
		return word + ", " + ui.Seconds(r.Seconds)
	}
	for _, r := range native.Checks {
		row := []string{r.Name, cell(r), "not tried", r.Detail}
		for _, o := range old.Checks {
			if o.Name == r.Name {
				row[2] = cell(o)
				if o.Verdict == Skipped && r.Verdict != Skipped {
					row[3] = o.Detail
				}
			}
		}
		rows += "| " + strings.Join(row, " | ") + " |\n"
	}
	return strings.NewReplacer("TITLE", title, "KERNEL", old.Kernel, "ROWS\n", rows).Replace(page)
}

// page is docs/smoke.md but for what was tried and what that showed.
//
//go:embed page.md
var page string
