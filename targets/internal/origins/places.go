package origins

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"drydock/targets/internal/ui"
)

// Places are where files can be had besides the addresses that a stack names.
type Places struct {
	Mirrors  Mirrors // Debian's archives
	Site     string  // the base address of a site's own mirror; empty for none
	Snapshot string  // the base address of Debian's snapshot service; empty for none
}

// Named are the places that settings name (DEBIAN_MIRROR, DEBIAN_SECURITY_MIRROR, SOURCE_MIRROR, DEBIAN_SNAPSHOT), and
// where they name no archives of Debian, those of this machine's apt. An error names the setting that is wrong.
func Named(setting func(name string) string) (p Places, err error) {
	p.Mirrors = AptMirrors("/etc/apt", "/var/lib/apt/lists")
	for _, s := range []struct {
		name string
		take func(given string) error
	}{
		{"DEBIAN_MIRROR", func(given string) (err error) { p.Mirrors, err = OneMirror(given); return err }},
		{"DEBIAN_SECURITY_MIRROR", func(given string) error {
			one, err := OneMirror(given)
			p.Mirrors.Security = one.Security
			return err
		}},
		{"SOURCE_MIRROR", func(given string) (err error) { p.Site, err = SiteOf(given); return err }},
		{"DEBIAN_SNAPSHOT", func(given string) (err error) { p.Snapshot, err = SnapshotOf(given); return err }},
	} {
		if given := setting(s.name); given != "" {
			if err := s.take(given); err != nil {
				return p, fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	return p, nil
}

// SiteOf returns the base address that a person means by an http or https address, or by a directory; else an error.
func SiteOf(given string) (string, error) {
	if u, err := url.Parse(given); err == nil && isWeb(u) {
		return strings.TrimRight(given, "/"), nil
	}
	dir, err := filepath.Abs(given)
	if fi, serr := os.Stat(dir); err == nil && serr == nil && fi.IsDir() {
		return (&url.URL{Scheme: "file", Path: strings.TrimRight(dir, "/")}).String(), nil
	}
	return "", fmt.Errorf("got %s, want an address such as https://mirror.example/sources, or a directory",
		ui.Masked(given))
}

// SnapshotOf returns the base address of a snapshot service that a person names; an error for what is no address.
func SnapshotOf(given string) (string, error) {
	if u, err := url.Parse(given); err != nil || !isWeb(u) {
		return "", fmt.Errorf("got %s, want an address such as https://snapshot.example", ui.Masked(given))
	}
	return strings.TrimRight(given, "/"), nil
}

// AtSite returns where the site's mirror has a file: by its name, and where its SHA-256 is known, by that.
func (p Places) AtSite(name, sha256 string) (urls []string) {
	if p.Site == "" {
		return nil
	}
	urls = []string{p.Site + "/" + name}
	if sha256 != "" {
		urls = append(urls, p.Site+"/sha256/"+sha256)
	}
	return urls
}

// AtSnapshot returns where the snapshot service has a file, which it calls by its SHA-1.
func (p Places) AtSnapshot(sha1 string) (urls []string) {
	if p.Snapshot == "" || sha1 == "" {
		return nil
	}
	return []string{p.Snapshot + "/file/" + sha1}
}

// Answer is what a server would answer to a request for a file of this machine.
func Answer(req *http.Request) *http.Response {
	r := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, ContentLength: -1, Request: req,
		Body: http.NoBody}
	f, err := os.OpenFile(req.URL.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	var fi fs.FileInfo
	if err == nil {
		fi, err = f.Stat()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.StatusCode = http.StatusNotFound
	case err != nil:
		r.StatusCode = http.StatusForbidden
	case !fi.Mode().IsRegular():
		r.StatusCode = http.StatusNotFound
	default:
		r.Body, r.ContentLength = f, fi.Size()
	}
	if r.StatusCode != http.StatusOK && f != nil {
		f.Close()
	}
	r.Status = fmt.Sprintf("%d %s", r.StatusCode, http.StatusText(r.StatusCode))
	return r
}
