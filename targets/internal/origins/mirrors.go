// Package origins knows where a file can be had: at the Debian archives that apt on this machine is set up with, a
// site's own mirror, Debian's snapshot service, a git repository. It trusts none of them: who asks checks what comes by
// digest.
package origins

import (
	"bytes"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/ui"
)

// Mirrors are the bases of Debian archives, in the order in which they are tried. The security archive has a pool of
// its own, below pool/updates.
type Mirrors struct {
	Main, Security []string
}

// Of returns the bases that can have a path of a pool.
func (m Mirrors) Of(p string) []string {
	if ofSecurity(p) {
		return m.Security
	}
	return m.Main
}

// ofSecurity says that a path is one of the security archive's pool.
func ofSecurity(p string) bool { return strings.HasPrefix(p, "pool/updates/") }

// SettingOf is the name of the setting that a base of a path's pool is.
func SettingOf(p string) string {
	if ofSecurity(p) {
		return "DEBIAN_SECURITY_MIRROR"
	}
	return "DEBIAN_MIRROR"
}

// OneMirror is a base that a person names; it is asked for everything. What is no web address is an error.
func OneMirror(base string) (Mirrors, error) {
	u, err := url.Parse(base)
	if err != nil || !isWeb(u) {
		return Mirrors{}, fmt.Errorf("got %s, want an address such as http://mirror.example/debian", ui.Masked(base))
	}
	return Mirrors{Main: []string{base}, Security: []string{base}}, nil
}

func isWeb(u *url.URL) bool { return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" }

// aptSource is a repository that apt is told of: sources.list(5).
type aptSource struct {
	uri        string
	suite      string
	components []string
}

// AptMirrors returns the Debian archives among the repositories that apt on this machine is set up with: etc is its
// directory of settings (/etc/apt), lists the one of what it has downloaded (/var/lib/apt/lists). Files that cannot
// be read count as empty.
func AptMirrors(etc, lists string) Mirrors {
	var m Mirrors
	for _, s := range aptSources(etc) {
		to := &m.Main
		switch debianKind(s, lists) {
		case notDebian:
			continue
		case debianSecurity:
			to = &m.Security
		}
		if base := strings.TrimRight(s.uri, "/"); !slices.Contains(*to, base) {
			*to = append(*to, base)
		}
	}
	return m
}

// maxApt is the size, in bytes, up to which one of apt's files is read.
const maxApt = 4 << 20

// aptName are the names that apt reads in sources.list.d; it passes over all others, such as x.list.save.
var aptName = regexp.MustCompile(`^[A-Za-z0-9_:-][A-Za-z0-9_.:-]*\.(list|sources)$`)

// aptSources reads apt's files in its order.
func aptSources(etc string) []aptSource {
	files := []string{filepath.Join(etc, "sources.list")}
	for _, f := range archive.Glob(etc, "sources.list.d/*") {
		if aptName.MatchString(filepath.Base(f)) {
			files = append(files, f)
		}
	}
	var all []aptSource
	for _, f := range files {
		data, err := archive.ReadFile(f, maxApt)
		if err != nil {
			continue
		}
		if strings.HasSuffix(f, ".sources") {
			all = append(all, deb822Sources(data)...)
			continue
		}
		for line := range bytes.Lines(data) {
			if s, ok := oneLine(string(line)); ok {
				all = append(all, s)
			}
		}
	}
	return slices.DeleteFunc(all, func(s aptSource) bool {
		u, err := url.Parse(s.uri)
		return err != nil || !isWeb(u)
	})
}

// oneLine reads "deb [option=value …] uri suite component…". A "#" ends the line, unless it stands in brackets.
func oneLine(line string) (s aptSource, ok bool) {
	depth := 0
	cut := strings.IndexFunc(line, func(r rune) bool {
		switch r {
		case '[':
			depth++
		case ']':
			depth = 0
		}
		return r == '#' && depth == 0
	})
	if cut >= 0 {
		line = line[:cut]
	}
	kind, rest := word(line)
	if kind != "deb" && kind != "deb-src" {
		return s, false
	}
	if strings.HasPrefix(rest, "[") {
		_, after, closed := strings.Cut(rest, "]")
		if !closed {
			return s, false
		}
		rest = strings.TrimSpace(after)
	}
	s.uri, rest = word(rest)
	s.suite, rest = word(rest)
	s.components = strings.Fields(rest)
	return s, s.suite != ""
}

// word cuts the first word off, which may be quoted.
func word(s string) (first, rest string) {
	s = strings.TrimSpace(s)
	if quoted, ok := strings.CutPrefix(s, `"`); ok {
		first, rest, _ = strings.Cut(quoted, `"`)
		return first, strings.TrimSpace(rest)
	}
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimSpace(s[i:])
}

// deb822Sources reads stanzas of fields, whose values may go on in lines that begin with a blank.
func deb822Sources(data []byte) (all []aptSource) {
	stanza, field := map[string]string{}, ""
	end := func() {
		all = append(all, ofStanza(stanza)...)
		stanza, field = map[string]string{}, ""
	}
	for l := range bytes.Lines(data) {
		line := strings.TrimRight(string(l), "\r\n")
		name, value, ok := strings.Cut(line, ":")
		switch {
		case strings.HasPrefix(line, "#"): // also within a value
		case strings.TrimSpace(line) == "":
			end()
		case line[0] == ' ' || line[0] == '\t':
			stanza[field] += " " + strings.TrimSpace(line)
		case ok:
			field = strings.ToLower(strings.TrimSpace(name))
			stanza[field] = value
		}
	}
	end()
	return all
}

func ofStanza(stanza map[string]string) (all []aptSource) {
	no := []string{"no", "false", "without", "off", "disable", "0"}
	if slices.Contains(no, strings.ToLower(strings.TrimSpace(stanza["enabled"]))) {
		return nil
	}
	known := func(t string) bool { return t == "deb" || t == "deb-src" }
	if !slices.ContainsFunc(strings.Fields(stanza["types"]), known) {
		return nil
	}
	for uri := range strings.FieldsSeq(stanza["uris"]) {
		for suite := range strings.FieldsSeq(stanza["suites"]) {
			all = append(all, aptSource{uri, suite, strings.Fields(stanza["components"])})
		}
	}
	return all
}

// Kinds of repository.
const (
	notDebian = iota
	debianMain
	debianSecurity
)

// debianKind says what a repository is, by its own word where apt has downloaded that, else by its address.
func debianKind(s aptSource, lists string) int {
	u, _ := url.Parse(s.uri) // it was parsed before
	if release := releaseOf(u, s.suite, lists); release != nil {
		switch {
		case release["origin"] != "Debian":
			return notDebian
		case release["label"] == "Debian-Security":
			return debianSecurity
		}
		return debianMain
	}
	if len(s.components) > 0 && !slices.Contains(s.components, "main") { // a vendor's
		return notDebian
	}
	dir := strings.TrimRight(u.Path, "/")
	if snapshotTime.MatchString(path.Base(dir)) {
		dir = path.Dir(dir)
	}
	ofSecurity := strings.HasSuffix(s.suite, "-security") || strings.HasSuffix(s.suite, "/updates")
	switch base := path.Base(dir); {
	case base == "debian-security", dir == "" && ofSecurity:
		return debianSecurity
	case base == "debian":
		return debianMain
	}
	return notDebian
}

// snapshotTime is the last element of a snapshot's address: an archive as it was at a time.
var snapshotTime = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z$`)

// releaseOf reads the head of the Release file that apt has of a suite; nil where it has none.
func releaseOf(u *url.URL, suite, lists string) map[string]string {
	at := strings.TrimRight(u.Host+u.EscapedPath(), "/") + "/dists/" + suite
	if strings.HasSuffix(suite, "/") { // a repository without dists/
		at = strings.TrimRight(u.Host+u.EscapedPath(), "/") + "/" + strings.TrimRight(suite, "/")
	}
	for _, name := range []string{"InRelease", "Release"} {
		data, err := archive.ReadFile(filepath.Join(lists, aptFileName(at+"/"+name)), maxApt)
		if err != nil {
			continue
		}
		head := map[string]string{}
		for line := range bytes.Lines(data) {
			if k, v, ok := strings.Cut(string(line), ":"); ok && line[0] != ' ' {
				head[strings.ToLower(k)] = strings.TrimSpace(v)
			}
		}
		return head
	}
	return nil
}

// aptFileName is the name under which apt keeps what it got from an address: its URItoFileName.
func aptFileName(at string) string {
	var b strings.Builder
	for i := range len(at) {
		switch c := at[i]; {
		case c == '/':
			b.WriteByte('_')
		case c <= ' ' || c >= 0x7f || strings.IndexByte(`\|{}[]<>"^~_=!@#$%^&*`, c) >= 0:
			fmt.Fprintf(&b, "%%%02x", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
