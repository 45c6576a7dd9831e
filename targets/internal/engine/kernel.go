package engine

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"

	"drydock/targets/internal/failure"
	"drydock/targets/internal/kernel"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/ui"

	version "github.com/hashicorp/go-version"
)

// Kernel tells whether the stack can run on a kernel: the running one, or the one whose configuration is in the file
// config, of that release (by default the one that the file's head names). What is asked comes from the stack's own
// dockerd archive. One on which it cannot is failure.Host, a source that is not here failure.Sources.
func Kernel(ctx context.Context, config, release string, asJSON bool) error {
	return Reading(ctx, func(_ context.Context, e *Engine) error {
		k, err := e.kernel(config, release)
		if err != nil {
			return err
		}
		if asJSON {
			if err := ui.JSON(k); err != nil {
				return err
			}
		} else {
			k.Print(e.UI)
		}
		return failure.With(failure.Host, k.Err())
	})
}

// kernel finds the configuration and the list of options, and compares them.
func (e *Engine) kernel(config, release string) (*kernel.Judged, error) {
	running := kernel.Release()
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
	have, err := kernel.Version(release)
	if err != nil {
		return nil, err
	}
	d := e.Stack.Component[recipe.Daemon]
	found, err := e.Sources.Locate(d)
	if err == nil && found == nil {
		err = fmt.Errorf("the option list is in dockerd's source, which is not in %s: run \"mage fetch\"",
			e.Rel(e.Sources.Dir))
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
	k := &kernel.Judged{Release: release, Config: file, Docker: d.Version,
		Options: kernel.Asked(options, needs, release, c),
		Facts:   kernel.Facts(c, have, version.Must(version.NewVersion(e.Stack.Target.Kernel))),
		Verdict: kernel.Judge(needs, release, e.Stack.Target.Cgroup, c)}
	if here {
		k.Facts = append(k.Facts, kernel.Running("/")...)
	}
	return k, nil
}
