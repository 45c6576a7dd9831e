package origins

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-version"
	"github.com/therootcompany/xz"
)

// lifetimes say until when upstream mends a series: a day or a month, or "mended" where none is set. Each line has the
// date on which it was read at upstream; what is not in it is not known.
//
//go:embed lifetimes.csv
var lifetimes string

// Used is a component that a stack has.
type Used struct {
	Component, Version string
	Module             string   // its Go module, without a major version's suffix; empty for none
	Together           bool     // is released with the others of which that is said
	Debian             []string // its files in Debian's pool
}

// Outdated is what there is that is newer.
type Outdated struct {
	Component string `json:"component"`
	Version   string `json:"version"`
	Released  string `json:"released,omitempty"`         // the day
	Days      int    `json:"days,omitempty"`             // since then
	InSeries  string `json:"newest_of_series,omitempty"` // empty where ours is it, or nothing is known
	Newest    string `json:"newest,omitempty"`           // of all
	Life      string `json:"series,omitempty"`           // whether upstream mends the series
	Debian    string `json:"debian,omitempty"`           // a security upload of the same release
	// Closes are advisories that the newest has mended; filled by the caller.
	Closes []string `json:"closes,omitempty"`
}

// Ask runs "go list" with the machine's module proxies: argv are its arguments.
type Ask func(ctx context.Context, argv ...string) (string, error)

// Newer asks for what is newer than those, at module proxies and in the security archives; now is the day that it is
// asked. It returns an error where no module proxy answers.
func Newer(ctx context.Context, used []Used, ask Ask, sources []SecuritySource, now time.Time) ([]Outdated, error) {
	lists, err := versions(ctx, used, ask)
	if err != nil {
		return nil, err
	}
	var together []string
	for _, u := range used {
		if u.Together {
			together = append(together, lists[u.Component]...)
		}
	}
	var found []Outdated
	for _, u := range used {
		o := Outdated{Component: u.Component, Version: u.Version, Debian: securityOf(u, sources)}
		list := lists[u.Component]
		if u.Together {
			list = together
		}
		o.Newest, o.InSeries = newest(list, u.Version, ""), newest(list, u.Version, series(u.Version))
		found = append(found, o)
	}
	return found, dates(ctx, used, found, ask, now)
}

// series is a release's first two numbers.
func series(release string) string {
	parts := strings.SplitN(release, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// newest is the newest release of a list, of a series where one is named; empty where none is newer than ours.
func newest(list []string, ours, of string) string {
	best, err := version.NewVersion(ours)
	if err != nil {
		return ""
	}
	is := ""
	for _, r := range list {
		v, err := version.NewVersion(r)
		if err == nil && v.Prerelease() == "" && v.GreaterThan(best) && (of == "" || series(r) == of) {
			best, is = v, r
		}
	}
	return is
}

// paths are the names under which a proxy can have a module's releases from ours on. Go knows releases by years as some
// of a time before modules.
func paths(module, ours string) []string {
	major, _, _ := strings.Cut(ours, ".")
	n, err := strconv.Atoi(major)
	switch {
	case err != nil || n >= 10:
		return []string{module}
	case n < 2:
		return []string{module, module + "/v2"}
	}
	return []string{fmt.Sprintf("%s/v%d", module, n), fmt.Sprintf("%s/v%d", module, n+1)}
}

// listed is what "go list -m -json" says of a module.
type listed struct {
	Path, Version string
	Time          time.Time
	Versions      []string
	Error         *struct{ Err string }
}

func list(ctx context.Context, ask Ask, argv ...string) (all []listed, err error) {
	if len(argv) == 0 {
		return nil, nil
	}
	out, err := ask(ctx, append([]string{"-m", "-e", "-json", "-versions"}, argv...)...)
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var l listed
		if derr := d.Decode(&l); errors.Is(derr, io.EOF) {
			break
		} else if derr != nil {
			return nil, errors.Join(err, derr)
		}
		all = append(all, l)
	}
	if all != nil {
		err = nil
	}
	return all, err
}

// versions are the releases of each component. A module that there is none of is no error, unless no module can be
// asked for.
func versions(ctx context.Context, used []Used, ask Ask) (map[string][]string, error) {
	of, argv := map[string]string{}, []string{}
	for _, u := range used {
		if u.Module == "" {
			continue
		}
		for _, p := range paths(u.Module, u.Version) {
			of[p] = u.Component
			argv = append(argv, p+"@latest")
		}
	}
	all, err := list(ctx, ask, argv...)
	if err != nil {
		return nil, err
	}
	found, why := map[string][]string{}, ""
	for _, l := range all {
		if l.Error != nil {
			why = l.Error.Err
		}
		for _, v := range append(l.Versions, l.Version) {
			if bare, _, _ := strings.Cut(strings.TrimPrefix(v, "v"), "+"); bare != "latest" && bare != "" {
				found[of[l.Path]] = append(found[of[l.Path]], bare)
			}
		}
	}
	if len(found) == 0 && len(argv) > 0 {
		return nil, fmt.Errorf("no module proxy answers: %s", cmp.Or(why, "no releases"))
	}
	return found, nil
}

// dates fills in when ours were released, and whether their series are mended.
func dates(ctx context.Context, used []Used, found []Outdated, ask Ask, now time.Time) error {
	of, argv := map[string]int{}, []string{}
	for i, u := range used {
		if u.Module != "" {
			p, suffix := paths(u.Module, u.Version)[0], ""
			if p == u.Module && u.Version >= "10" && !strings.HasPrefix(u.Version, "1.") {
				suffix = "+incompatible"
			}
			of[p] = i
			argv = append(argv, p+"@v"+u.Version+suffix)
		}
		found[i].Life = life(u.Component, u.Version, now)
	}
	all, err := list(ctx, ask, argv...)
	for _, l := range all {
		if i, ok := of[l.Path]; ok && !l.Time.IsZero() {
			found[i].Released = l.Time.UTC().Format(time.DateOnly)
			found[i].Days = int(now.Sub(l.Time).Hours() / 24)
		}
	}
	return err
}

// life says whether upstream mends the series of a release.
func life(component, release string, now time.Time) string {
	for line := range strings.Lines(lifetimes) {
		f := strings.Split(strings.TrimSpace(line), ",")
		if len(f) != 4 || f[0] != component || f[1] != series(release) {
			continue
		}
		switch { // a month or a day, which sort as text
		case f[2] == "mended":
			return "mended"
		case f[2] < now.UTC().Format(time.DateOnly):
			return "ended " + f[2]
		}
		return "until " + f[2]
	}
	return "not known"
}

// SecuritySource is a source package of a security archive.
type SecuritySource struct{ Name, Version string }

var stanza = regexp.MustCompile(`(?m)^(Package|Version): (.*)$`)

// SecuritySources reads what the security archives have for Debian's stable release and the one before. Those that
// cannot be asked are in the error; what the others said is returned in any case.
func (m Mirrors) SecuritySources(ctx context.Context, client *http.Client) (all []SecuritySource, err error) {
	for _, base := range m.Security {
		for _, suite := range []string{"stable-security", "oldstable-security"} {
			url := base + "/dists/" + suite + "/main/source/Sources.xz"
			got, gerr := securitySources(ctx, client, url)
			if gerr != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", url, gerr))
			}
			all = append(all, got...)
		}
	}
	return all, err
}

// maxSources is how much of an index is read, in bytes; Debian's have 2 MB.
const maxSources = 64 << 20

func securitySources(ctx context.Context, client *http.Client, url string) (all []SecuritySource, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	z, err := xz.NewReader(io.LimitReader(resp.Body, maxSources), 0)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(z, maxSources))
	if err != nil {
		return nil, err
	}
	for part := range bytes.SplitSeq(data, []byte("\n\n")) {
		f := map[string]string{}
		for _, m := range stanza.FindAllSubmatch(part, -1) {
			f[string(m[1])] = string(m[2])
		}
		all = append(all, SecuritySource{f["Package"], f["Version"]})
	}
	return all, nil
}

// securityOf is the security upload of the same release of one of a component's Debian files; empty where ours is that
// one.
func securityOf(u Used, sources []SecuritySource) string {
	revisions := map[[2]string]string{} // by the source's name and upstream's release
	for _, p := range u.Debian {
		name, ours, ok := strings.Cut(path.Base(p), "_")
		ours, _, _ = strings.Cut(ours, ".debian.")
		ours, _, _ = strings.Cut(ours, ".orig")
		upstream, revision, _ := strings.Cut(ours, "-")
		if key := [2]string{name, upstream}; ok {
			revisions[key] = cmp.Or(revision, revisions[key])
		}
	}
	for _, s := range sources {
		release := s.Version[strings.Index(s.Version, ":")+1:] // an epoch is in no file's name
		upstream, revision, _ := strings.Cut(release, "-")
		if ours, ok := revisions[[2]string{s.Name, upstream}]; ok && ours != revision {
			return s.Name + " " + s.Version
		}
	}
	return ""
}

// Table has a row for each component of which something is known, and one of those of which nothing is.
func Table(found []Outdated) [][]string {
	rows := [][]string{{"COMPONENT", "OURS", "RELEASED", "OF ITS SERIES", "NEWEST", "SERIES", "CLOSES",
		"DEBIAN'S SECURITY ARCHIVE"}}
	var silent []string
	for _, o := range found {
		if o.Released == "" && o.Debian == "" {
			silent = append(silent, o.Component+" "+o.Version)
			continue
		}
		released := fmt.Sprintf("%s, %d days", o.Released, o.Days)
		rows = append(rows, []string{o.Component, o.Version, released, cmp.Or(o.InSeries, "-"),
			cmp.Or(o.Newest, "-"), o.Life, strings.Join(o.Closes, " "), o.Debian})
	}
	if silent != nil {
		rows = append(rows, []string{"not known of " + strings.Join(silent, ", ")})
	}
	return rows
}
