package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/run"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/ui"

	"golang.org/x/mod/module"
)

// downloadModule lets a go command fetch a module's zip to file, with the proxy and the checksum database that this
// machine is set up with. The version may be a query such as latest; it returns what that came to.
func (s *Set) downloadModule(ctx context.Context, m module.Version, file string, tool Go) (string, error) {
	tmp, done, err := s.Scratch("module-")
	if err != nil {
		return "", err
	}
	defer done()
	if err := os.WriteFile(filepath.Join(tmp, "go.mod"), []byte("module example.invalid/fetch\n"), 0o644); err != nil {
		return "", err
	}
	env := append(slices.Clip(tool.Env), "GOMODCACHE="+tmp+"/mod", "GOPATH="+tmp+"/gopath", "GOCACHE="+tmp+"/cache",
		"GOTOOLCHAIN=local", "GOWORK=off", "GO111MODULE=on", "GOFLAGS=", "GOENV=off")
	argv := []string{tool.Path, "mod", "download", "-json", m.Path + "@" + m.Version}
	out, err := run.Cmd{Argv: argv, Dir: tmp, Env: env}.Output(ctx)
	if err != nil {
		return "", missing("%s: %v\n%s", calledOf(m), err, tail(out, 8))
	}
	var got struct{ Zip, Version string }
	if i := strings.IndexByte(out, '{'); i >= 0 {
		err = json.NewDecoder(strings.NewReader(out[i:])).Decode(&got)
	}
	if err != nil || got.Zip == "" {
		return "", fmt.Errorf("go mod download: got %q, want JSON with a Zip (%w)", tail(out, 8), err)
	}
	return got.Version, archive.CopyFile(got.Zip, file, 0o644)
}

// module brings a module's zip to file: a go command fetches it, and asks the checksum database too; where there is
// none, the proxies are asked directly.
func (s *Set) module(ctx context.Context, m module.Version, file string) error {
	g, err := s.Online(ctx)
	if err == nil && g.Path != "" {
		_, err = s.downloadModule(ctx, m, file, g)
	} else if err == nil {
		err = s.downloadZip(ctx, m, file, g.proxies())
	}
	return err
}

// moduleOrSite is module where the site's mirror has no zip with that h1: sum, or where none is known.
func (s *Set) moduleOrSite(ctx context.Context, m module.Version, file, want string) error {
	if want != "" {
		if came, err := s.fromSite(ctx, filepath.Base(file), want, sumOfModule); came || err != nil {
			return err
		}
	}
	return s.module(ctx, m, file)
}

// downloadZip asks module proxies one after the other.
func (s *Store) downloadZip(ctx context.Context, m module.Version, file string, proxies []string) error {
	name := calledOf(m)
	var tried []string
	for _, p := range proxies {
		u := strings.TrimRight(p, "/") + "/" + m.Path + "/@v/" + m.Version + ".zip"
		err := s.download(ctx, fetch{url: u, name: filepath.Base(file), plain: true})
		if err == nil || ctx.Err() != nil {
			return err
		}
		tried = append(tried, ui.Masked(u+": "+err.Error()))
	}
	if len(tried) == 0 {
		return missing("%s: no module proxy is known on a machine without Go: set GOPROXY=<address>", name)
	}
	return missing("%s: no proxy gave it; tried:\n    %s", name, strings.Join(tried, "\n    "))
}

// calledOf is a module's name in messages.
func calledOf(m module.Version) string {
	if m.Path == toolchainModule {
		return "Go " + strings.TrimSuffix(strings.TrimPrefix(m.Version, "v0.0.1-go"), ".linux-amd64")
	}
	return m.String()
}

// AdvisoriesModule is the module with the Go vulnerability database.
const AdvisoriesModule = "golang.org/x/vulndb"

// Advisories brings the zip of the database into the store, compared with its h1: sum in the lock. It returns a
// MissingError where it cannot be had.
func (s *Set) Advisories(ctx context.Context, a *stack.Advisories) error {
	file := filepath.Join(s.Dir, a.Name())
	m := module.Version{Path: a.Module, Version: a.Version}
	_, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		if s.Client == nil {
			return s.noAdvisories(a)
		}
		err = s.moduleOrSite(ctx, m, file, a.Sum)
	}
	if err != nil {
		return err
	}
	_, err = s.AdvisoriesFile(a)
	return err
}

// AdvisoriesFile returns the path of the database's zip, which has the sum that the lock names; a MissingError where it
// is not there.
func (s *Store) AdvisoriesFile(a *stack.Advisories) (string, error) {
	file := filepath.Join(s.Dir, a.Name())
	got, err := s.Digests.OfModule(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", s.noAdvisories(a)
	case err != nil:
		return "", moveAway(file, "%w", err)
	case got != a.Sum:
		return "", moveAway(file, "got %s, want %s (from %s)", got, a.Sum, stack.AdvisoriesLock)
	}
	return file, nil
}

func (s *Store) noAdvisories(a *stack.Advisories) error {
	return missing("the database of advisories is not here (%s in %s): run \"mage fetch\" on a connected machine, "+
		"and carry vendor-sources/ over", a.Name(), s.Dir)
}

// NewestAdvisories fetches the newest database, and returns the line for its lock; a MissingError where there is none.
func (s *Set) NewestAdvisories(ctx context.Context) (*stack.Advisories, error) {
	tool, err := s.Online(ctx)
	if err != nil {
		return nil, err
	}
	if s.Client == nil || tool.Path == "" {
		return nil, missing("the newest database of advisories: OFFLINE is set, or this machine has no Go to ask with")
	}
	a := &stack.Advisories{Module: AdvisoriesModule}
	dir, done, err := s.Scratch("vulndb-")
	if err != nil {
		return nil, err
	}
	defer done()
	tmp := filepath.Join(dir, "vulndb.zip")
	latest := module.Version{Path: a.Module, Version: "latest"}
	if a.Version, err = s.downloadModule(ctx, latest, tmp, tool); err != nil {
		return nil, err
	}
	if a.SHA256, err = archive.SHA256File(tmp); err != nil {
		return nil, err
	}
	if err := s.keep(tmp, a.Name()); err != nil {
		return nil, err
	}
	a.Sum, err = s.Digests.OfModule(filepath.Join(s.Dir, a.Name()))
	return a, err
}
