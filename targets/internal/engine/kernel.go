package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/failure"
	"drydock/targets/internal/host"
	"drydock/targets/internal/kernel"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/ui"

	version "github.com/hashicorp/go-version"
)

// Kernel tells whether the stack can run on a kernel: the running one, or the one whose configuration is in the file
// config, of that release (by default the one that the file's head names). What is asked comes from the stack's own
// dockerd archive.
func Kernel(ctx context.Context, config, release string, asJSON bool) error {
	return reading(ctx, func(_ context.Context, e *Engine) error {
		k, err := e.kernel(config, release)
		if err != nil {
			return err
		}
		if asJSON {
			data, err := json.MarshalIndent(k, "", "  ")
			if err != nil {
				return err
			}
			fmt.Fprintln(os.Stdout, string(data))
		} else {
			k.print(e.UI)
		}
		return failure.With(failure.Host, k.verdict())
	})
}

// judged is a kernel compared with what a stack's dockerd asks.
type judged struct {
	Release string          `json:"release"`
	Config  string          `json:"config"` // the file's name
	Options []kernel.Option `json:"options"`
	Facts   []kernel.Fact   `json:"facts"`
	docker  string
	lacks   kernel.Verdict
}

// kernel finds the configuration and the list of options, and compares them.
func (e *Engine) kernel(config, release string) (*judged, error) {
	running := host.Release()
	c, of, file, err := kernel.Find(config, "/", running)
	if err != nil {
		return nil, err
	}
	here := config == "" && release == ""
	if release = cmp.Or(release, of); release == "" && config == "" {
		release = running
	}
	if release == "" {
		return nil, fmt.Errorf("%s does not name its release: say -release=3.10.0-…, as uname -r says it there", file)
	}
	have, err := host.KernelVersion(release)
	if err != nil {
		return nil, err
	}
	d := e.Stack.Component[recipe.Daemon]
	found, err := e.src.Locate(d)
	if err == nil && found == nil {
		err = fmt.Errorf("the option list is in dockerd's source, which is not in %s: run \"mage fetch\"", e.rel(e.src.Dir))
	}
	if err != nil {
		return nil, failure.With(failure.Sources, err)
	}
	script, err := found.Member("contrib/check-config.sh")
	if err != nil {
		return nil, failure.With(failure.Sources, err)
	}
	options, err := kernel.Options(string(script), release, c)
	var needs []kernel.Need
	if err == nil {
		needs, err = kernel.Needs(string(script))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(found.Path), err)
	}
	k := &judged{Release: release, Config: file, docker: d.Version, Options: kernel.Asked(options, needs, release, c),
		Facts: kernel.Facts(c, have, version.Must(version.NewVersion(e.Stack.Target.Kernel))), lacks: kernel.Judge(needs, release, e.Stack.Target.Cgroup, c)}
	if here {
		k.Facts = append(k.Facts, kernel.Running("/")...)
	}
	return k, nil
}

// print writes the tables of options and facts.
func (k *judged) print(u *ui.UI) {
	short := map[string]bool{} // what the verdict counts
	for _, n := range slices.Concat(k.lacks.Lacks, k.lacks.Netfilter) {
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
	u.Text(fmt.Sprintf("kernel %s, by %s and docker %s's own list", k.Release, k.Config, k.docker))
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

// verdict returns an error where the kernel lacks something necessary.
func (k *judged) verdict() error {
	missing := len(k.lacks.Lacks) + len(k.lacks.Netfilter)
	for _, x := range k.Facts {
		if !x.OK && x.Required {
			missing++
		}
	}
	if missing == 0 {
		return nil
	}
	choice := ""
	if missing == len(k.lacks.Netfilter) {
		choice = ": all of netfilter, which --iptables=false does without; the rows of the bridge networks say what each choice lacks"
	}
	return fmt.Errorf("kernel %s lacks %d of what docker %s calls necessary (MISSING or NO above)%s", k.Release, missing, k.docker, choice)
}
