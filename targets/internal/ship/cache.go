package ship

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/engine"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/pack"
	"drydock/targets/internal/platform"
	"drydock/targets/internal/prove"
	"drydock/targets/internal/release"
	"drydock/targets/internal/remote"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/ui"
)

// sharing is a command on the team's cache.
func sharing(ctx context.Context, do func(context.Context, *engine.Engine, *remote.Cache) error) error {
	return engine.Command(ctx, func(ctx context.Context, e *engine.Engine) error {
		if err := e.Shared.Usable(); err != nil {
			return err
		}
		return do(ctx, e, e.Shared)
	})
}

// CacheList prints what is in the team's cache. It fails where there is no cache, as the others do.
func CacheList(ctx context.Context) error {
	return sharing(ctx, func(ctx context.Context, e *engine.Engine, c *remote.Cache) error {
		all, err := c.List(ctx)
		if err == nil {
			e.UI.Text(remote.Table(all))
			e.UI.Line("%s: %d in it", c.Address, len(all))
		}
		return err
	})
}

// keptBuilds is how many of each component cache:prune keeps when it is not told.
const keptBuilds = 5

// CachePrune removes the older builds of each component from the team's cache. A number that is none is an error.
func CachePrune(ctx context.Context, keep string) error {
	n, err := strconv.Atoi(cmp.Or(keep, strconv.Itoa(keptBuilds)))
	if err != nil || n < 1 {
		return fmt.Errorf("-keep=%s: want how many of each are kept, 1 or more", keep)
	}
	return sharing(ctx, func(ctx context.Context, e *engine.Engine, c *remote.Cache) error {
		gone, err := c.Prune(ctx, n)
		for _, l := range gone {
			e.UI.Line("removed   %s %s of %s, made %s", l.Name, l.Version, l.Stack,
				l.Made.Local().Format(time.DateTime))
		}
		if err == nil {
			e.UI.Line("%s: %d removed; a registry frees their space when it collects its garbage", c.Address, len(gone))
		}
		return err
	})
}

// about are the members of a package that are put beside it, with their types.
var about = []remote.Note{{Name: "manifest.json", Type: "application/vnd.drydock.manifest.v1+json"},
	{Name: "sbom.cdx.json", Type: "application/vnd.cyclonedx+json"},
	{Name: "openvex.json", Type: "application/vnd.openvex+json"}, {Name: pack.SumsName,
		Type: "application/vnd.drydock.sha256sums.v1"},
	{Name: pack.SumsName + ".minisig", Type: "application/vnd.drydock.minisig.v1"}}

// Push puts a kept package into the team's registry, with its manifest, bill of materials, signature and audit beside
// it. One that is not what was kept is failure.Failed.
func Push(ctx context.Context, name string) error {
	return sharing(ctx, func(ctx context.Context, e *engine.Engine, c *remote.Cache) error {
		all, err := e.Kept().List()
		if err != nil {
			return err
		}
		r := e.Kept().Find(all, cmp.Or(name, release.Latest))
		if r == nil {
			return fmt.Errorf("no package %q: \"mage packages\" lists them", cmp.Or(name, release.Latest))
		}
		if err := r.Check(); err != nil {
			return failure.With(failure.Failed, err)
		}
		p := remote.Package{Name: r.Name, Version: r.Version, Stack: e.Stack.Tag(), Made: r.Built,
			Files: []string{r.Path()}}
		for _, w := range r.With {
			p.Files = append(p.Files, filepath.Join(filepath.Dir(r.Path()), w.File))
		}
		for _, n := range about {
			n.Data, err = archive.Member(r.Path(), "gz", n.Name)
			if errors.Is(err, fs.ErrNotExist) {
				continue // not signed; nothing is stated of advisories
			}
			if err != nil {
				return err
			}
			p.About = append(p.About, n)
		}
		if report, err := prove.AuditReport(e, prove.AuditOptions{File: r.Path()}); err == nil {
			if data, err := json.MarshalIndent(report, "", "  "); err == nil {
				p.About = append(p.About, remote.Note{Name: "audit.json", Type: "application/vnd.drydock.audit.v1+json",
					Data: data})
			}
		} else {
			e.UI.Line("notice    without an audit: %v", err)
		}
		if err := c.PushPackage(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", c.Address, err)
		}
		e.UI.Line("pushed    %s, with %d documents, to %s:%s, and as %s", r.Name, len(p.About), c.Address, r.Name,
			p.Stack)
		return nil
	})
}

// Pull gets a package from the team's registry into a directory. Neither a stack nor a repository is needed for it.
func Pull(ctx context.Context, name, dir string) error {
	ctx, stop := engine.Signalled(ctx)
	defer stop()
	u := ui.New(os.Stdout)
	c, err := remote.FromEnv(u, engine.IsSet("OFFLINE"))
	if err == nil {
		err = c.Usable()
	}
	if err != nil {
		return err
	}
	if name == release.Latest {
		of := stack.Stack{Name: cmp.Or(os.Getenv("STACK"), engine.DefaultStack),
			Target: stack.Target{Arch: cmp.Or(os.Getenv("ARCH"), platform.Default)}}
		if _, err := platform.Of(of.Target.Arch); err != nil {
			return fmt.Errorf("ARCH: %w", err)
		}
		name = of.Tag()
	}
	return c.Pull(ctx, name, cmp.Or(dir, "."), u)
}
