package targets

import (
	"bytes"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"drydock/targets/internal/testregistry"
)

// A cache that lies, breaks off or fails costs a build, which is right.
func TestABadCacheCostsTimeAndNoBytes(t *testing.T) {
	t.Parallel()
	a := newBuiltRepo(t, nil)
	want := a.outputs(t)["bin/docker-init"]
	key := filepath.Join(t.TempDir(), "team.key")
	a.must(t, "key", key)
	for _, x := range []struct {
		name, said string
		fault      func(g *testregistry.Registry)
	}{
		{"whole", "fetched   tini", func(*testregistry.Registry) {}},
		{"blobs of other bytes", "not taken from .*: docker-init: ", func(g *testregistry.Registry) {
			g.Change(func(b []byte) []byte {
				if bytes.HasPrefix(b, []byte("\x1f\x8b")) {
					b[len(b)/2] ^= 1
				}
				return b
			})
		}},
		{"other records' names", "the record of another", (*testregistry.Registry).Retag},
		{"status 500", "does not answer, and is not asked again", func(g *testregistry.Registry) {
			g.Fail(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				w.WriteHeader(http.StatusInternalServerError)
			})
		}},
		{"killed while it sends", "not taken from .*: docker-init: ", func(g *testregistry.Registry) {
			g.Fail(func(w http.ResponseWriter, r *http.Request, answer http.Handler) {
				if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") &&
					r.Header.Get("Range") == "" {
					rec := &half{ResponseWriter: w}
					answer.ServeHTTP(rec, r)
					if rec.cut {
						panic(http.ErrAbortHandler)
					}
					return
				}
				answer.ServeHTTP(w, r)
			})
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			g := testregistry.New()
			t.Cleanup(g.Close)
			address := "REMOTE_CACHE=" + g.Address("drydock")
			first := &fakeRepo{root: a.root, env: append(append([]string{}, a.env...), address, "SIGN_KEY="+key)}
			first.must(t, "tini", "-push", "-wait")
			x.fault(g)
			b := newFakeRepo(t, nil)
			b.env = append(b.env, address, "CACHE_KEYS="+key+".pub")
			said := b.must(t, "tini")
			if got := b.outputs(t)["bin/docker-init"]; got != want || want == "" {
				t.Errorf("docker-init: got %s, want %s as without a cache", got, want)
			}
			if !regexp.MustCompile(x.said).MatchString(said) {
				t.Errorf("got %s, want %q", said, x.said)
			}
		})
	}
}

// half sends the first half of what is large.
type half struct {
	http.ResponseWriter
	cut bool
}

func (h *half) Write(b []byte) (int, error) {
	if len(b) > 100_000 {
		h.cut = true
		b = b[:len(b)/2]
	}
	return h.ResponseWriter.Write(b)
}
