package stack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheTableOfUpstreamsArchivesHoldsTogether(t *testing.T) {
	t.Parallel()
	all, err := Archives()
	if err != nil {
		t.Fatal(err)
	}
	digests := map[string]string{}
	for _, a := range all {
		if was := digests[a.URL]; was != "" {
			t.Errorf("%s: is there twice, with %s and %s", a.URL, was, a.SHA256)
		}
		digests[a.URL] = a.SHA256
		if !strings.Contains(a.URL, a.Version) || !fileName.MatchString(fileOf(a.Component, a)) {
			t.Errorf("%+v: its address does not have its version, or it gets the name %s", a, fileOf(a.Component, a))
		}
	}
	if len(all) < 150 {
		t.Errorf("got %d archives, want all", len(all))
	}
}

func TestAReleaseThatIsNotInTheTableIsCalledAsTheLastBeforeItWas(t *testing.T) {
	t.Parallel()
	all, err := Archives()
	if err != nil {
		t.Fatal(err)
	}
	for release, want := range map[string]string{
		"27.5.2": "https://github.com/moby/moby/archive/v27.5.2.tar.gz",
		"29.9.9": "https://github.com/moby/moby/archive/docker-v29.9.9.tar.gz",
	} {
		got := archivesOf(all, "dockerd", release)
		if len(got) != 1 || got[0].URL != want || got[0].SHA256 != "" {
			t.Errorf("%s: got %+v, want %s without a digest", release, got, want)
		}
	}
	if got := archivesOf(all, "made-up", "1.0"); got != nil {
		t.Errorf("got %+v, want nothing", got)
	}
}

func TestModulesAreNamedAsAProxyNamesThem(t *testing.T) {
	t.Parallel()
	for want, a := range map[string][3]string{
		"example.org/x@v1.3.6":               {"example.org/x", "1.3.6", "https://h/archive/v1.3.6.tar.gz"},
		"example.org/x/v2@v2.3.4":            {"example.org/x", "2.3.4", "https://h/archive/v2.3.4.tar.gz"},
		"example.org/x@v27.5.1+incompatible": {"example.org/x", "27.5.1", "https://h/archive/v27.5.1.tar.gz"},
		"":                                   {"example.org/x", "29.7.2", "https://h/archive/docker-v29.7.2.tar.gz"},
	} {
		if got := moduleOf(a[0], a[1], a[2]); got != want {
			t.Errorf("%v: got %q, want %q", a, got, want)
		}
	}
}

func TestAShippedStackIsDraftedAgainAsItIs(t *testing.T) {
	t.Parallel()
	const dir = "../../../vendor-sources"
	for _, name := range []string{"docker-20.10", "docker-26.1", "docker-28.5"} {
		s, err := Load(dir, name, Shipped)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(s.File)
		if err != nil {
			t.Fatal(err)
		}
		w := Wanted{Name: "again", Release: s.Version, Versions: map[string]string{"runc": s.Component["runc"].Version}}
		d, err := w.draft(s, string(text))
		if err != nil {
			t.Fatal(err)
		}
		_, was, _ := strings.Cut(string(text), "[component.")
		_, is, _ := strings.Cut(d.File, "[component.")
		if is != was || d.Unknown != nil {
			t.Errorf("%s: components that stay are not taken over as they are", name)
		}
		w.Versions["runc"], w.Versions["dockerd"] = "1.2.9", "27.5.1"
		if d, err = w.draft(s, string(text)); err != nil {
			t.Fatal(err)
		}
		to := t.TempDir()
		for ending, data := range map[string]string{".toml": d.File, ".lock": d.Lock} {
			if err := os.WriteFile(filepath.Join(to, "again"+ending), []byte(data), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		again, err := Load(to, "again", Shipped)
		if err != nil {
			t.Fatal(err)
		}
		if again.Component["runc"].Version != "1.2.9" || again.Lock.FileFor("runc", "runc-1.2.9.tar.gz") == nil &&
			again.Lock.FileFor("runc", "runc-1.2.9.tar.xz") == nil {
			t.Errorf("%s: got runc %+v, want 1.2.9 with its digest", name, again.Component["runc"])
		}
	}
}
