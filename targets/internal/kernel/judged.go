package kernel

import (
	"fmt"
	"slices"
	"strings"

	"drydock/targets/internal/ui"
)

// Judged is a kernel compared with what a stack's dockerd asks.
type Judged struct {
	Release string   `json:"release"`
	Config  string   `json:"config"` // the file's name
	Options []Option `json:"options"`
	Facts   []Fact   `json:"facts"`
	Docker  string   `json:"-"` // the release whose list it is
	Verdict Verdict  `json:"-"`
}

// Print writes the tables of options and facts.
func (k *Judged) Print(u *ui.UI) {
	short := map[string]bool{} // what the verdict counts
	for _, n := range slices.Concat(k.Verdict.Lacks, k.Verdict.Netfilter) {
		short[n.Options[0]] = true
	}
	rows := [][]string{{"OPTION", "FOUND", "NEEDED FOR"}}
	for _, o := range k.Options {
		state := map[string]string{"y": u.Good("yes"), "m": u.Good("module"), "": "missing"}[o.State]
		if o.State == "" && short[o.Name] {
			state = u.Bad("MISSING")
		}
		what := o.For
		if o.Note != "" {
			what += "; " + o.Note
		}
		rows = append(rows, []string{"CONFIG_" + o.Name, state, what})
	}
	u.Text(fmt.Sprintf("kernel %s, by %s and docker %s's own list", k.Release, k.Config, k.Docker))
	u.Text(ui.Table(rows))
	rows = [][]string{{"WHAT", "FOUND", "VERDICT"}}
	for _, x := range k.Facts {
		verdict := u.Good("ok")
		if !x.OK {
			if verdict = "without"; x.Required {
				verdict = u.Bad("NO")
			}
		}
		rows = append(rows, []string{x.Name, strings.TrimSpace(x.Found), verdict})
	}
	u.Text(ui.Table(rows))
}

// Err returns an error where the kernel lacks something necessary.
func (k *Judged) Err() error {
	missing := len(k.Verdict.Lacks) + len(k.Verdict.Netfilter)
	for _, x := range k.Facts {
		if !x.OK && x.Required {
			missing++
		}
	}
	if missing == 0 {
		return nil
	}
	choice := ""
	if missing == len(k.Verdict.Netfilter) {
		choice = ": all of netfilter, which --iptables=false does without; " +
			"the rows of the bridge networks say what each choice lacks"
	}
	return fmt.Errorf("kernel %s lacks %d of what docker %s calls necessary (MISSING or NO above)%s",
		k.Release, missing, k.Docker, choice)
}
