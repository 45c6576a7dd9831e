package origins

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var day = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func TestWhatIsNewerIsToldBySeries(t *testing.T) {
	t.Parallel()
	used := []Used{
		{Component: "dockerd", Version: "26.1.4", Module: "m.example/engine", Together: true,
			Debian: []string{"pool/main/d/docker.io/docker.io_26.1.4+dfsg1.orig.tar.xz",
				"pool/main/d/docker.io/docker.io_26.1.4+dfsg1-9+deb13u1.debian.tar.xz"}},
		{Component: "docker-cli", Version: "26.1.4", Module: "m.example/cli", Together: true},
		{Component: "containerd", Version: "1.7.9", Module: "m.example/c"},
		{Component: "expat", Version: "2.7.1", Debian: []string{"pool/main/e/expat/expat_2.7.1.orig.tar.gz"}},
	}
	said := map[string]string{
		"latest": `{"Path":"m.example/engine","Version":"v28.5.2+incompatible",
"Versions":["v26.1.4+incompatible","v26.1.5+incompatible","v28.5.2+incompatible"]}
{"Path":"m.example/cli","Version":"v29.1.0+incompatible",
"Versions":["v26.1.5+incompatible","v29.1.0+incompatible","v30.0.0-rc.1+incompatible"]}
{"Path":"m.example/c","Version":"v1.7.10","Versions":["v1.7.9","v1.7.10"]}
{"Path":"m.example/c/v2","Version":"v2.0.1"}
{"Path":"m.example/other/v9","Error":{"Err":"404"}}`,
		"dates": `{"Path":"m.example/engine","Version":"v26.1.4+incompatible","Time":"2026-11-18T00:00:00Z"}`,
	}
	var asked [][]string
	ask := func(_ context.Context, argv ...string) (string, error) {
		asked = append(asked, argv[4:])
		if strings.HasSuffix(argv[4], "@latest") {
			return said["latest"], errors.New("exit status 1")
		}
		return said["dates"], nil
	}
	sources := []SecuritySource{{"docker.io", "26.1.4+dfsg1-9+deb13u2"}, {"expat", "2:2.7.1-2+deb13u1"},
		{"runc", "1.1.5-1"}}
	got, err := Newer(context.Background(), used, ask, sources, day)
	want := []Outdated{
		{Component: "dockerd", Version: "26.1.4", Released: "2026-11-18", Days: 10, InSeries: "26.1.5",
			Newest: "29.1.0", Life: "not known", Debian: "docker.io 26.1.4+dfsg1-9+deb13u2"},
		{Component: "docker-cli", Version: "26.1.4", InSeries: "26.1.5", Newest: "29.1.0", Life: "not known"},
		{Component: "containerd", Version: "1.7.9", InSeries: "1.7.10", Newest: "2.0.1", Life: "ended 2026-09"},
		{Component: "expat", Version: "2.7.1", Life: "not known", Debian: "expat 2:2.7.1-2+deb13u1"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v and\n%+v\nwant\n%+v", err, got, want)
	}
	if len(asked) != 2 ||
		!slices.Equal(asked[1], []string{"m.example/engine@v26.1.4+incompatible", "m.example/cli@v26.1.4+incompatible",
			"m.example/c@v1.7.9"}) {
		t.Errorf("asked for %q", asked)
	}
}

func TestAProxyThatDoesNotAnswerIsAnError(t *testing.T) {
	t.Parallel()
	used := []Used{{Component: "x", Version: "1.0.0", Module: "m.example/x"}}
	for said, want := range map[string]string{
		`{"Path":"m.example/x","Error":{"Err":"dial tcp: no such host"}}`: "no module proxy answers: dial tcp",
		"": "exit status 1", "{": "unexpected EOF",
	} {
		ask := func(context.Context, ...string) (string, error) { return said, errors.New("exit status 1") }
		if _, err := Newer(context.Background(), used, ask, nil, day); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", said, err, want)
		}
	}
}

func TestUploadsOfASecurityArchiveAreRead(t *testing.T) {
	t.Parallel()
	// An index of three packages, by xz.
	const index = "/Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4ACbAGZdACgYSGbb2jCF/hbhsJLC2XkrPCpj8I7udhuiXoovx2+ioYojnk7y" +
		"99nqcdNYncTePU4wikHkJOp5l9+ttxy48PXk4XLI1pZxY2HpjFvOd8VS+hy7QU+qw91f70QrtcsWUiJxSFpEAAAAAMV3G7pVrpVt" +
		"AAGCAZwBAACVfBlbscRn+wIAAAAABFla"
	data, err := base64.StdEncoding.DecodeString(index)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/security/dists/stable-security/main/source/Sources.xz":
			w.Write(data)
		case "/html/dists/stable-security/main/source/Sources.xz":
			w.Write([]byte("<html>"))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	m := Mirrors{Security: []string{srv.URL + "/security", srv.URL + "/html"}}
	all, err := m.SecuritySources(context.Background(), srv.Client())
	want := []SecuritySource{{"docker.io", "26.1.5+dfsg1-9+deb13u2"}, {"runc", "1.1.5+ds1-1+deb12u1"},
		{"expat", "2:2.7.1-2+deb13u1"}}
	if !reflect.DeepEqual(all, want) {
		t.Errorf("got %+v, want %+v", all, want)
	}
	if err == nil || !strings.Contains(err.Error(), "oldstable-security/main/source/Sources.xz: 404") ||
		!strings.Contains(err.Error(), "/html/dists/stable-security") {
		t.Errorf("got the error %v, want the two that did not answer and the page that is none", err)
	}
}
