package forge

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"drydock/targets/internal/host"
	"drydock/targets/internal/kernel"
	"drydock/targets/internal/ui"

	version "github.com/hashicorp/go-version"
	"golang.org/x/sys/unix"
)

// Kernel tells whether the stack can run on a kernel: the running one, or the one whose configuration is in the file
// config, of that release (by default the one that the file's head names). What is asked comes from the stack's own
// dockerd archive.
func Kernel(ctx context.Context, config, release string, asJSON bool) error {
	return reading(ctx, func(_ context.Context, f *Forge) error {
		var u unix.Utsname
		if err := unix.Uname(&u); err != nil {
			return fail(CodeOther, err)
		}
		running := unix.ByteSliceToString(u.Release[:])
		c, of, file, err := kernel.Find(config, "/", running)
		if err != nil {
			return fail(CodeOther, err)
		}
		here := config == "" && release == ""
		if release = cmp.Or(release, of); release == "" && config == "" {
			release = running
		}
		if release == "" {
			return fail(CodeOther, fmt.Errorf("%s does not name its release: say -release=3.10.0-…, as uname -r says it there", file))
		}
		have, err := host.KernelVersion(release)
		if err != nil {
			return fail(CodeOther, err)
		}
		d := f.Stack.Component["dockerd"]
		found, err := f.locate(d)
		if err == nil && found == nil {
			err = fmt.Errorf("the option list is in dockerd's source, which is not in %s: run \"mage fetch\"", f.rel(f.store.Dir))
		}
		if err != nil {
			return fail(CodeSources, err)
		}
		script, err := found.Member("contrib/check-config.sh")
		if err != nil {
			return fail(CodeSources, err)
		}
		options, err := kernel.Options(string(script), release, c)
		if err != nil {
			return fail(CodeOther, fmt.Errorf("%s: %w", filepath.Base(found.Path), err))
		}
		facts := kernel.Facts(options, c, have, version.Must(version.NewVersion(f.Stack.Target.Kernel)))
		if here {
			facts = append(facts, kernel.Running("/")...)
		}
		missing, netfilter := 0, 0
		rows := [][]string{{"OPTION", "FOUND", "NEEDED FOR"}}
		for _, o := range options {
			state := map[string]string{"y": f.UI.Good("yes"), "m": f.UI.Good("module"), "": "missing"}[o.State]
			if o.State == "" && o.For == kernel.Required {
				state = f.UI.Bad("MISSING")
				missing++
				if kernel.Netfilter(o.Name) {
					netfilter++
				}
			}
			rows = append(rows, []string{"CONFIG_" + o.Name, state, o.For})
		}
		for _, x := range facts {
			if !x.OK && x.Required {
				missing++
			}
		}
		if asJSON {
			data, err := json.MarshalIndent(map[string]any{"release": release, "config": file, "options": options, "facts": facts}, "", "  ")
			if err != nil {
				return fail(CodeOther, err)
			}
			fmt.Fprintln(os.Stdout, string(data))
		} else {
			f.UI.Text(fmt.Sprintf("kernel %s, by %s and docker %s's own list", release, file, d.Version))
			f.UI.Text(ui.Table(rows))
			rows = [][]string{{"WHAT", "FOUND", "VERDICT"}}
			for _, x := range facts {
				verdict := f.UI.Good("ok")
				if !x.OK {
					if verdict = "without"; x.Required {
						verdict = f.UI.Bad("NO")
					}
				}
				rows = append(rows, []string{x.Name, strings.TrimSpace(x.Found), verdict})
			}
			f.UI.Text(ui.Table(rows))
		}
		if missing > 0 {
			choice := ""
			if missing == netfilter {
				choice = ": all of netfilter, which --iptables=false does without; the rows of the two bridge networks say what each choice lacks"
			}
			return fail(CodeHost, fmt.Errorf("kernel %s lacks %d of what docker %s calls necessary (MISSING or NO above)%s", release, missing, d.Version, choice))
		}
		return nil
	})
}
