package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/origins"
	"drydock/targets/internal/stack"
)

// from answers with body for one path, and with h for all others; asked has the paths.
func from(path string, h http.HandlerFunc, asked *[]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.Path)
		if r.URL.Path == path {
			fmt.Fprint(w, body)
			return
		}
		h(w, r)
	}
}

func TestPlacesAreAskedInOrderAndEachIsNamed(t *testing.T) {
	sha1, sha256 := strings.Repeat("1", 40), sum(body)
	order := []string{"/site/r.tar.gz", "/site/sha256/" + sha256, "/site/r2.tar.gz", "/site/sha256/" + sum(body2),
		"/debian/pool/r.tar.gz", "/snapshot/file/" + sha1, "/up/r2.tar.gz"}
	for i, at := range append(order, "") {
		// which is another file
		if at == "/site/r2.tar.gz" || at == "/site/sha256/"+sum(body2) || at == "/up/r2.tar.gz" {
			continue
		}
		var asked []string
		s, c, l, url := setUp(t, from(at, http.NotFound, &asked))
		s.Site, s.Snapshot = url+"/site", url+"/snapshot"
		l.File[0].SHA1 = sha1
		f, err := setOf(t, s, l, false).Get(context.Background(), c)
		if at == "" {
			var missing *MissingError
			if !errors.As(err, &missing) || strings.Join(asked, " ") != strings.Join(order, " ") {
				t.Errorf("nowhere: got %v after %q, want a MissingError after %q", err, asked, order)
			}
			for _, p := range order {
				if n := strings.Count(fmt.Sprint(err), url+p+": 404 Not Found"); n != 1 {
					t.Errorf("nowhere: %s is named %d times in %v", p, n, err)
				}
			}
			continue
		}
		if err != nil || filepath.Base(f.Path) != "r.tar.gz" ||
			strings.Join(asked, " ") != strings.Join(order[:i+1], " ") {
			t.Errorf("%s: got %v %v after %q, want the file after %q", at, f, err, asked, order[:i+1])
		}
	}
}

func TestEachBogusAnswerOfASiteOrASnapshotIsNamedAndTheNextPlaceAsked(t *testing.T) {
	for name, b := range bogus {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked []string
			s, c, l, url := setUp(t, from("/snapshot/file/1", b.answer, &asked))
			c.Origin = c.Origin[:1]
			s.Site, s.Snapshot, l.File[0].SHA1 = url+"/site", url+"/snapshot", "1"
			var told told
			s.Meter = &told
			f, err := setOf(t, s, l, false).Get(context.Background(), c)
			if err != nil || f.SHA256 != sum(body) {
				t.Fatalf("got %v %v, want the snapshot's file", f, err)
			}
			if got := strings.Join(told, "\n"); strings.Count(got, b.want) != 3 || strings.Contains(got, "secret") {
				t.Errorf("got %q, want %q of the site twice and the mirror once", got, b.want)
			}
			os.Remove(f.Path)
			s.Snapshot = url + "/none"
			if _, err := setOf(t, s, l, false).Get(context.Background(), c); err == nil ||
				strings.Count(err.Error(), b.want) != 4 || strings.Contains(err.Error(), "secret") {
				t.Errorf("nowhere: got %v, want %q of four addresses", err, b.want)
			}
		})
	}
}

func TestASiteMayBeADirectory(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file string
		put  func(t *testing.T, file string)
		want string
	}{
		"by name":   {"r.tar.gz", func(t *testing.T, file string) { put(t, file, body) }, ""},
		"by digest": {"sha256/" + sum(body), func(t *testing.T, file string) { put(t, file, body) }, ""},
		"a link": {"r.tar.gz", func(t *testing.T, file string) {
			put(t, file+".x", body)
			if err := os.Symlink(file+".x", file); err != nil {
				t.Fatal(err)
			}
		}, ""},
		"another file": {"r.tar.gz", func(t *testing.T, file string) { put(t, file, "x"+body[1:]) },
			"r.tar.gz: sha256: got "},
		"cut": {"r.tar.gz", func(t *testing.T, file string) { put(t, file, body[:9]) },
			"r.tar.gz: got a file of 9 bytes, want "},
		"a page": {"r.tar.gz",
			func(t *testing.T, file string) { put(t, file, page+strings.Repeat(" ", len(body)-len(page))) },
			"r.tar.gz: got a web page"},
		"a directory": {"r.tar.gz/x", func(t *testing.T, file string) { put(t, file, body) }, "r.tar.gz: 404"},
		"a pipe": {"r.tar.gz", func(t *testing.T, file string) {
			if out, err := exec.Command("mkfifo", file).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}, "r.tar.gz: 404"},
		"nothing": {"other", func(t *testing.T, file string) { put(t, file, body) }, "r.tar.gz: 404"},
	} {
		if name == "a page" && len(body) < len(page) {
			continue
		}
		dir := filepath.Join(t.TempDir(), "a #dir? 100%")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		c.put(t, filepath.Join(dir, c.file))
		s, component, l, _ := setUp(t, http.NotFoundHandler())
		var err error
		if s.Site, err = origins.SiteOf(dir); err != nil {
			t.Fatal(err)
		}
		s.Client = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			return nil, errors.New("no network")
		})}
		f, err := setOf(t, s, l, false).Get(context.Background(), component)
		if c.want == "" && (err != nil || f.SHA256 != sum(body)) {
			t.Errorf("%s: got %v %v, want the file", name, f, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), filepath.Join(dir, c.want))) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	// No server leads to a file of this machine, and no stack file names one.
	secret := filepath.Join(t.TempDir(), "secret")
	put(t, secret, body)
	s, c, l, _ := setUp(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "file://"+secret, http.StatusFound)
	}))
	if f, err := setOf(t, s, l, false).Get(context.Background(), c); err == nil {
		t.Errorf("a redirect to a file: got %v, want a refusal", f)
	}
}

func TestTheSiteIsNotAskedForWhatTheLockDoesNotKnow(t *testing.T) {
	t.Parallel()
	for _, record := range []bool{false, true} {
		var asked []string
		s, c, l, url := setUp(t, from("/debian/pool/r.tar.gz", http.NotFound, &asked))
		s.Site, s.Snapshot, l.File = url+"/site", url+"/snapshot", nil
		_, err := setOf(t, s, l, record).Get(context.Background(), c)
		if got := strings.Join(asked, " "); strings.Contains(got, "/site/") || strings.Contains(got, "/snapshot/") ||
			(err == nil) != record {
			t.Errorf("record %v: got %v after %s", record, err, got)
		}
		if record && (len(l.File) != 1 || len(l.File[0].SHA1) != 40) {
			t.Errorf("got %+v, want the line with the SHA-1 of a file that came from Debian", l.File)
		}
	}
}

func TestAVendorTreeComesFromTheSiteWhereItIsTheRecordedOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	es := []archive.Entry{{Name: "vendor/modules.txt", Data: []byte("# x\n"), Mode: 0o644}}
	tar, err := archive.WriteTarGz(filepath.Join(dir, "v.tar.gz"), es, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"v.tar.gz": "", "other.tar.gz": "no go command"} {
		put(t, filepath.Join(dir, "other.tar.gz"), body)
		s, c, l, _ := setUp(t, http.NotFoundHandler())
		s.Site, _ = origins.SiteOf(dir)
		c.Vendor = &stack.Vendor{}
		f := &Found{Origin: c.Origin[0], Path: filepath.Join(s.Dir, "r.tar.gz"), SHA256: sum(body), sum: sum(body)}
		l.Vendor = []*stack.LockedVendor{{Component: "runc", Name: name, Source: f.SHA256, TarSHA256: tar}}
		set := setOf(t, s, l, false)
		set.Pick = func(string) (string, string) { return "", "" }
		err := set.restore(context.Background(), c, f)
		if _, serr := os.Stat(filepath.Join(s.Dir, name)); (serr == nil) != (want == "") ||
			(err == nil) != (want == "") {
			t.Errorf("%s: got %v, %v", name, err, serr)
		}
	}
}

func TestAToolchainAndTheAdvisoriesComeFromTheSite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	zip := packedAs(t, dir, "go1.2.3.linux-amd64.zip", toolchainOf("1.2.3").String()+"/",
		map[string]string{"bin/go": "x"})
	h1, err := sumOfModule(zip.Path)
	if err != nil {
		t.Fatal(err)
	}
	a := &stack.Advisories{Module: AdvisoriesModule, Version: "v1.0.0", Sum: h1}
	data, _ := os.ReadFile(zip.Path)
	put(t, filepath.Join(dir, a.Name()), data)
	for _, want := range []string{h1, "h1:other"} {
		s, _, l, _ := setUp(t, http.NotFoundHandler())
		s.Site, _ = origins.SiteOf(dir)
		l.Go = []*stack.LockedGo{{Version: "1.2.3", Sum: want}}
		a.Sum = want
		set := setOf(t, s, l, false)
		for _, err := range []error{set.Toolchain(context.Background(), "1.2.3"),
			set.Advisories(context.Background(), a)} {
			if (err == nil) != (want == h1) {
				t.Errorf("sum %s: got %v", want, err)
			}
		}
	}
}

// repository makes a git repository with a tag, and returns it, the commit, and the archive that git and gzip make of
// the tag.
func repository(t *testing.T) (dir, commit, data string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "x.git")
	put(t, filepath.Join(dir, "main.go"), "package main\n")
	for _, line := range []string{"git init -q .", "git add .", "git -c user.name=x -c user.email=x@x commit -qm one",
		"git -c user.name=x -c user.email=x@x tag -am one v1.0.0",
		"git -c user.name=x -c user.email=x@x commit -qm two --allow-empty", "git tag moved"} {
		cmd := exec.Command("sh", "-c", line)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("%s: %v\n%s", line, err, out)
		}
	}
	out := func(line string) string {
		cmd := exec.Command("sh", "-c", line)
		cmd.Dir = dir
		b, err := cmd.Output()
		if err != nil {
			t.Fatal(line, err)
		}
		return string(b)
	}
	return dir, strings.TrimSpace(out("git rev-parse v1.0.0^{commit}")),
		out("git archive --prefix=x-1.0.0/ v1.0.0 | gzip -cn")
}

func TestAGitRepositoryIsAnOrigin(t *testing.T) {
	t.Parallel()
	dir, commit, data := repository(t)
	if err := exec.Command("git", "-C", dir, "update-server-info").Run(); err != nil {
		t.Fatal(err)
	}
	dumb := httptest.NewServer(http.FileServer(http.Dir(dir + "/.git")))
	t.Cleanup(dumb.Close)
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, page) }))
	t.Cleanup(bad.Close)
	for name, c := range map[string]struct {
		o    stack.Origin
		sha  string
		want string
	}{
		"a directory":        {stack.Origin{Git: dir, Tag: "v1.0.0"}, sum(data), ""},
		"a plain web server": {stack.Origin{Git: dumb.URL, Tag: "v1.0.0"}, sum(data), ""},
		"a tag that moved":   {stack.Origin{Git: dir, Tag: "moved"}, sum(data), "moved: got commit "},
		"no such tag":        {stack.Origin{Git: dir, Tag: "v9"}, sum(data), "git: exit status 128: fatal: "},
		"no such repository": {stack.Origin{Git: dir + "/none", Tag: "v1.0.0"}, sum(data),
			"git: exit status 128: "},
		"a web page": {stack.Origin{Git: bad.URL, Tag: "v1.0.0"}, sum(data), "git: exit status 128: "},
		"nobody listens": {stack.Origin{Git: "http://127.0.0.1:1/x", Tag: "v1.0.0"}, sum(data),
			"git: exit status 128: "},
		"other bytes than the lock": {stack.Origin{Git: dir, Tag: "v1.0.0"}, sum("other"),
			"git archive and gzip of this machine: sha256: got " + sum(data)},
	} {
		s, component, l, _ := setUp(t, http.NotFoundHandler())
		o := c.o
		o.Kind, o.Commit, o.File = stack.KindGit, commit, "x-1.0.0.tar.gz"
		component.Origin = []*stack.Origin{&o}
		l.File = []*stack.LockedFile{{Component: "runc", Name: o.File, SHA256: c.sha}}
		f, err := setOf(t, s, l, false).Get(context.Background(), component)
		switch {
		case c.want == "" && (err != nil || f.SHA256 != sum(data)):
			t.Errorf("%s: got %v %v, want the archive", name, f, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), o.Git+": ") ||
			!strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if es, _ := os.ReadDir(s.Dir); c.want != "" && len(es) > 0 {
			t.Errorf("%s: got files %v, want none", name, es)
		}
	}
}
