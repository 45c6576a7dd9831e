package stack

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/go-version"
)

// upstreamTable has what is known of upstream's archives: the digests that packagers publish, or what git makes of a
// tag.
//
//go:embed upstream.csv
var upstreamTable string

// Archive is one that upstream publishes, with its digest.
type Archive struct {
	Component, Version, URL, SHA256 string
	Size                            int64  // bytes; 0 where it is not known
	Commit                          string // upstream's, of that release; empty where it is not known
	// Publishers is how many independent packagers publish the same digest; 0 where it was computed from upstream's git
	// alone.
	Publishers int
}

// Archives are those that are known. A table that does not hold together is a mistake in it; the error names the line.
func Archives() ([]Archive, error) {
	lines, err := csv.NewReader(strings.NewReader(upstreamTable)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("upstream.csv: %w", err)
	}
	var all []Archive
	for i, l := range lines[1:] {
		a := Archive{Component: l[0], Version: l[1], URL: l[2], SHA256: l[3], Commit: l[5]}
		if l[4] != "" {
			a.Size, err = strconv.ParseInt(l[4], 10, 64)
		}
		if err == nil {
			a.Publishers, err = strconv.Atoi(l[6])
		}
		if err != nil || !hexDigest.MatchString(a.SHA256) || urlProblem(a.URL) != "" ||
			a.Commit != "" && !commitRE.MatchString(a.Commit) {
			return nil, fmt.Errorf("upstream.csv:%d: got %q: %w", i+2, l, err)
		}
		all = append(all, a)
	}
	return all, nil
}

// archivesOf are those of a component's release. Where none is known, the first is what upstream would call it, without
// a digest: as it called its last release before that one.
func archivesOf(all []Archive, component, release string) []Archive {
	of := those(all, func(a Archive) bool { return a.Component == component })
	if exact := those(of, func(a Archive) bool { return a.Version == release }); len(exact) > 0 {
		return exact
	}
	v, err := version.NewVersion(release)
	if err != nil || len(of) == 0 {
		return nil
	}
	like := of[0]
	for _, a := range of {
		if o, err := version.NewVersion(a.Version); err == nil && o.LessThanOrEqual(v) {
			like = a
		}
	}
	return []Archive{{Component: component, Version: release, URL: strings.ReplaceAll(like.URL, like.Version, release)}}
}
