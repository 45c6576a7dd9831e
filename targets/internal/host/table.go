package host

import (
	"strings"

	"drydock/targets/internal/ui"
)

// Table shows findings, and below them what to do.
func Table(u *ui.UI, fs []Finding) string {
	rows := [][]string{{"REQUIREMENT", "NEEDED", "FOUND", "VERDICT"}}
	var fixes []string
	for _, x := range fs {
		verdict := u.Good("ok")
		if !x.OK {
			verdict = u.Bad("NO")
		} else if x.Fix != "" {
			verdict = "without"
		}
		if x.Fix != "" {
			fixes = append(fixes, "  "+x.Name+": "+x.Fix)
		}
		rows = append(rows, []string{x.Name, x.Need, x.Found, verdict})
	}
	return ui.Table(rows) + strings.Join(fixes, "\n")
}

// Unmet counts the requirements that are not met.
func Unmet(fs []Finding) (n int) {
	for _, x := range fs {
		if !x.OK {
			n++
		}
	}
	return n
}
