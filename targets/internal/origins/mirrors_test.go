package origins

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func put(t testing.TB, file, data string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(data), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// apt makes apt's two directories of files by name: those that contain "Release" are what apt has downloaded.
func apt(t *testing.T, files map[string]string) (etc, lists string) {
	t.Helper()
	etc, lists = t.TempDir(), t.TempDir()
	for name, data := range files {
		dir := etc
		if strings.Contains(name, "Release") {
			dir = lists
		}
		put(t, filepath.Join(dir, name), data)
	}
	return etc, lists
}

func TestAptsSourcesAreReadAsAptReadsThem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files          map[string]string
		main, security string
	}{
		"lines": {map[string]string{"sources.list": "# deb http://comment.example/debian x main\n" +
			"deb [signed-by=/k trusted=yes] http://one.example/debian/ trixie main # http://tail.example/debian\n" +
			"deb-src http://one.example/debian trixie main\n" +
			"deb cdrom:[x y]/ y main\n" +
			"\tdeb\t[ arch=amd64,i386  lang=de ]\thttps://two.example/debian   trixie   main contrib\n" +
			"deb [signed-by=/k#1.gpg] http://three.example/debian trixie main\n" +
			"deb \"http://four.example/debian\" trixie main\n" +
			"deb http://five.example/debian\n" +
			"rpm http://six.example/debian trixie main\n"},
			"http://one.example/debian https://two.example/debian http://three.example/debian " +
				"http://four.example/debian", ""},
		"folded": {map[string]string{"sources.list.d/a.sources": "Types: deb\n# URIs: http://comment.example/debian\n" +
			"URIs:\n http://one.example/debian\n# in between\n\thttp://two.example/debian\nSuites: trixie\n" +
			" trixie-updates\nComponents: main\n"},
			"http://one.example/debian http://two.example/debian", ""},
		"several on a line, no blank, any case": {map[string]string{
			"sources.list.d/a.sources": "types:deb deb-src\r\n" +
				"uris:http://one.example/debian http://two.example/debian\r\nSUITES:trixie\r\ncomponents:main\r\n"},
			"http://one.example/debian http://two.example/debian", ""},
		"a key in a field": {map[string]string{"sources.list.d/a.sources": "Types: deb\n" +
			"URIs: http://one.example/debian\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n" +
			" http://key.example/debian\n -----END\nSuites: x\nComponents: main\n"},
			"http://one.example/debian", ""},
		"disabled": {map[string]string{"sources.list.d/a.sources": "Enabled: no\nTypes: deb\n" +
			"URIs: http://off.example/debian\nSuites: x\nComponents: main\n\nTypes: deb\n" +
			"URIs: http://off2.example/debian\nSuites: x\nComponents: main\nEnabled:FALSE\n\n\n" +
			"Types: deb\nURIs: http://on.example/debian\nSuites: x\nComponents: main\nEnabled: yes\n"},
			"http://on.example/debian", ""},
		"no types": {map[string]string{"sources.list.d/a.sources": "URIs: http://one.example/debian\nSuites: x\n" +
			"Components: main\n"}, "", ""},
		"names": {map[string]string{
			"sources.list.d/x.list.save":     "deb http://save.example/debian x main\n",
			"sources.list.d/old.list~":       "deb http://old.example/debian x main\n",
			"sources.list.d/y.list.disabled": "deb http://disabled.example/debian x main\n",
			"sources.list.d/.z.list":         "deb http://hidden.example/debian x main\n",
			"sources.list.d/a b.list":        "deb http://blank.example/debian x main\n",
			"sources.list.d/c.sources.dpkg-old": "Types: deb\nURIs: http://dpkg.example/debian\nSuites: x\n" +
				"Components: main\n",
			"sources.list.d/d+e.list":     "deb http://plus.example/debian x main\n",
			"sources.list.d/list":         "deb http://list.example/debian x main\n",
			"sources.list.d/f-1.2_3.list": "deb http://good.example/debian x main\n",
			"sources.list.d/0.list":       "deb http://first.example/debian x main\n",
			"sources.list.save":           "deb http://saved.example/debian x main\n"},
			"http://first.example/debian http://good.example/debian", ""},
		"vendors": {map[string]string{"sources.list": "deb https://download.example/linux/debian trixie stable\n" +
			"deb https://packages.example/apt stable main\n" +
			"deb http://archive.example/ubuntu noble main\n" +
			"deb https://repo.example/debian/12/prod bookworm main\n" +
			"deb https://packages.example/debian-like trixie main\n" +
			"deb https://flat.example/vendor ./\n" +
			"deb http://securityfirst.example/debian trixie main\n" +
			"deb http://cache.example:3142/mirror.example/debian trixie main\n" +
			"deb https://snapshot.example/archive/debian/20250101T000000Z/ trixie main\n"},
			"http://securityfirst.example/debian http://cache.example:3142/mirror.example/debian " +
				"https://snapshot.example/archive/debian/20250101T000000Z", ""},
		"by apt's own lists": {map[string]string{
			"sources.list": "deb https://user:pw@art.example:8443/remote/deb_x trixie main\n" +
				"deb https://pkgs.example/stable/debian trixie main\n" +
				"deb http://all.example/mirror trixie-security main\n" +
				"deb http://flat.example/debian ./\n",
			"art.example:8443_remote_deb%5fx_dists_trixie_InRelease": "-----BEGIN PGP SIGNED MESSAGE-----\n" +
				"Hash: SHA512\n\nOrigin: Debian\nLabel: Debian\n",
			"pkgs.example_stable_debian_dists_trixie_InRelease": "Origin: Pkgs\nLabel: Debian\n" +
				"Description: x\n Origin: Debian\n",
			"all.example_mirror_dists_trixie-security_Release":            "Origin: Debian\nLabel: Debian-Security\n",
			"flat.example_debian_._Release":                               "Origin: Somebody\n",
			"unused.example_debian_dists_trixie_main_binary-amd64Release": "Origin: Debian\n",
		}, "https://user:pw@art.example:8443/remote/deb_x", "http://all.example/mirror"},
		"security": {map[string]string{"sources.list": "deb http://mirror.example/debian-security trixie-security " +
			"main\ndeb http://security.example/ buster/updates main\n" +
			"deb http://mirror.example/debian trixie main\ndeb http://security.example/ubuntu noble-security main\n"},
			"http://mirror.example/debian", "http://mirror.example/debian-security http://security.example"},
	} {
		etc, lists := apt(t, c.files)
		got := AptMirrors(etc, lists)
		if main, security := strings.Join(got.Main, " "), strings.Join(got.Security, " "); main != c.main ||
			security != c.security {
			t.Errorf("%s: got %q and for security %q, want %q and %q", name, main, security, c.main, c.security)
		}
	}
}

func TestTheSecurityArchiveHasAPoolOfItsOwn(t *testing.T) {
	t.Parallel()
	m := Mirrors{Main: []string{"main"}, Security: []string{"security"}}
	for p, want := range map[string]string{"pool/main/r/runc/x": "[main]", "pool/updates/main/r/runc/x": "[security]"} {
		if got := fmt.Sprint(m.Of(p)); got != want {
			t.Errorf("%s: got %s, want %s", p, got, want)
		}
	}
	one, err := OneMirror("http://user:secret@mine.example/debian")
	if err != nil || len(one.Of("pool/main/x")) != 1 || len(one.Of("pool/updates/x")) != 1 {
		t.Errorf("one mirror: got %v, %v, want it for both", one, err)
	}
	for _, bad := range []string{"mirror.example/debian", "ftp://u:secret@mirror.example",
		"http://u:secret/x@mirror.example/debian", "http://u:secret%zz@h/"} {
		if _, err := OneMirror(bad); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want an error without the password", bad, err)
		}
	}
}
