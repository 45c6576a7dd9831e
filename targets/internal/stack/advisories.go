package stack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drydock/targets/internal/archive"

	"golang.org/x/mod/module"
)

// Advisories pins the database of published holes: a Go module, as the module proxy serves it. All stacks share it.
type Advisories struct {
	Module  string `toml:"module"`
	Version string `toml:"version"`
	Sum     string `toml:"h1"`     // the module's h1: sum, which the zip is held against
	SHA256  string `toml:"sha256"` // the digest of the zip that was recorded, for who carries it by hand
}

// AdvisoriesLock is the name of the lock of the database, beside those of the stacks.
const AdvisoriesLock = "advisories.lock"

// Name is the file name of the zip in vendor-sources/.
func (a *Advisories) Name() string {
	return "vulndb_" + strings.ReplaceAll(a.Version, "+", "_") + ".zip"
}

// Date is the day of the database, in UTC, from its pseudo-version; empty where the version has none.
func (a *Advisories) Date() string {
	t, err := module.PseudoVersionTime(a.Version)
	if err != nil {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// LoadAdvisories reads the lock of the database in dir. It gives nil and no error where there is none; what is wrong
// with one is a Problems.
func LoadAdvisories(dir string) (*Advisories, error) {
	file := filepath.Join(dir, AdvisoriesLock)
	data, err := archive.ReadFile(file, maxFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	a := &Advisories{}
	lines, ps := Decode(data, file, a)
	bad := func(key, format string, x ...any) {
		ps = append(ps, Problem{file, lines[key], fmt.Sprintf(format, x...)})
	}
	if err := module.Check(a.Module, a.Version); err != nil && len(ps) == 0 {
		bad("version", "module, version: %v", err)
	}
	if !strings.HasPrefix(a.Sum, "h1:") && len(ps) == 0 {
		bad("h1", "h1: got %q, want the module's h1: sum", a.Sum)
	}
	if !hexDigest.MatchString(a.SHA256) && len(ps) == 0 {
		bad("sha256", "sha256: got %q, want 64 hex digits", a.SHA256)
	}
	if len(ps) > 0 {
		return nil, ps
	}
	return a, nil
}

// Encode returns the lock's file content.
func (a *Advisories) Encode() []byte {
	return fmt.Appendf(nil, "# The database of published holes, by version and digest. "+
		"Written by \"mage fetch -advisories\"; do not edit.\n"+
		"module = %q\nversion = %q\nh1 = %q\nsha256 = %q\n", a.Module, a.Version, a.Sum, a.SHA256)
}

// isStack reports whether a .toml file in vendor-sources/ is a stack's, by its name without the ending: others have
// what is known against stacks.
func isStack(name string) bool {
	return !strings.HasSuffix(name, ".vex") && name != "advisories-c"
}
