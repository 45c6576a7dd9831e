package forge

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/host"
	"drydock/targets/internal/recipe"
)

// goFits says whether some Go of this machine meets each component's constraint.
func (f *Forge) goFits(components []string) bool {
	for _, n := range components {
		if c := f.Stack.Component[n]; c != nil && recipe.UsesGo(n) {
			if g, _ := f.facts.Pick(f.Stack.GoConstraint(c)); g == nil {
				return false
			}
		}
	}
	return true
}

// unpackToolchain unpacks the stack's Go where its zip was carried to this machine and not unpacked yet.
func (f *Forge) unpackToolchain() error {
	for _, r := range f.Stack.Toolchains() {
		if _, err := os.Stat(f.store.ToolchainDir(r)); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if _, err := os.Stat(f.store.ToolchainFile(r)); err != nil {
			continue
		}
		f.UI.Line("unpack    Go %s", r)
		if err := f.store.UnpackToolchain(r, f.Stack.Lock); err != nil {
			return err
		}
	}
	return nil
}

// bringGo gets the stack's own Go for a build that may use the network, where no Go of this machine fits, nobody named
// one, and the lock has its sum.
func (f *Forge) bringGo(ctx context.Context, parts []string) error {
	unknown := func(release string) bool { return f.Stack.Lock.GoFor(release) == nil }
	if f.offline || os.Getenv("GO") != "" || f.goFits(parts) || slices.ContainsFunc(f.Stack.Toolchains(), unknown) {
		return nil
	}
	return f.Toolchain(ctx, false, false)
}

// Toolchain brings the stack's own Gos into vendor-sources/: where no Go of this machine fits some component, or
// always, for a machine that has none.
func (f *Forge) Toolchain(ctx context.Context, always, record bool) error {
	releases := f.Stack.Toolchains()
	if len(releases) == 0 || !always && f.goFits(f.Stack.Parts()) {
		return nil
	}
	scratch := filepath.Join(f.Root, "build/tmp")
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return err
	}
	tool, env, err := f.online(ctx, scratch)
	if err != nil {
		return err
	}
	for _, r := range releases {
		if _, err := os.Stat(f.store.ToolchainFile(r)); err != nil {
			f.UI.Line("fetch     Go %s", r)
		}
		if err := f.store.Toolchain(ctx, r, f.Stack.Lock, tool, env, proxies(env), scratch, record); err != nil {
			return err
		}
	}
	f.facts = nil
	return f.look(ctx)
}

// online gives a go command that can reach modules, whatever its release, and its environment; without one, the
// environment alone.
func (f *Forge) online(ctx context.Context, home string) (string, []string, error) {
	env := []string{"PATH=" + f.facts.PathDirs(f.cc()), "HOME=" + home, "LC_ALL=C"}
	for _, k := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	g, _ := f.facts.Pick(">= 1.13") // the first that knows GOPROXY lists and the checksum database
	if g == nil {
		return "", append(env, "GOPROXY="+os.Getenv("GOPROXY")), nil
	}
	more, err := host.GoEnv(ctx, g.Path)
	return g.Path, append(env, more...), err
}

// proxies are the addresses in GOPROXY.
func proxies(env []string) []string {
	var list string
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "GOPROXY="); ok {
			list = v
		}
	}
	var urls []string
	for _, p := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == '|' }) {
		if strings.Contains(p, "://") {
			urls = append(urls, p)
		}
	}
	return urls
}
