package remote

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/pack"
	"drydock/targets/internal/testregistry"
)

// team is a cache with one build in it, and what its user was told.
type team struct {
	*Cache
	record *Record
	dir    string // with the build's files
	sign   *pack.Signer
	told   *strings.Builder
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newSigner(t *testing.T) (sign *pack.Signer, public string) {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key")
	_, err := pack.NewKey(key)
	must(t, err)
	sign, err = pack.OpenSigner(key, "")
	must(t, err)
	return sign, key + ".pub"
}

// newTeam fills a cache. The build has a program, a text and a directory.
func newTeam(t *testing.T, address string) *team {
	t.Helper()
	x := &team{dir: t.TempDir(), told: &strings.Builder{}}
	for name, mode := range map[string]os.FileMode{"runc": 0o755, "table": 0o644, "tree/include/a.h": 0o644,
		"tree/tool": 0o755} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(x.dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(x.dir, name), bytes.Repeat([]byte(name), 5000), mode))
	}
	must(t, os.Symlink("include/a.h", filepath.Join(x.dir, "tree/link")))
	inputs := []graph.Input{{Name: "source", Value: "one"}}
	x.record = &Record{Stack: "fake", Version: "1.0",
		Build: graph.Record{Name: "runc", Key: graph.Key(inputs), Inputs: inputs, Built: time.Unix(1700000000, 0)}}
	for _, name := range []string{"runc", "table", "tree"} {
		sum, err := archive.SHA256Tree(filepath.Join(x.dir, name))
		must(t, err)
		x.record.Files = append(x.record.Files, File{Name: name, SHA256: sum})
	}
	var public string
	x.sign, public = newSigner(t)
	x.Cache = x.open(t, address, public)
	must(t, x.Push(t.Context(), x.record, x.dir, x.sign))
	return x
}

// open opens the cache as another machine does.
func (x *team) open(t *testing.T, address, keys string) *Cache {
	t.Helper()
	c, err := Open(address, keys)
	must(t, err)
	c.Say = func(format string, a ...any) { fmt.Fprintf(x.told, format+"\n", a...) }
	return c
}

func registry(t *testing.T) *testregistry.Registry {
	t.Helper()
	g := testregistry.New()
	t.Cleanup(g.Close)
	return g
}

func TestWhatOneMachinePushedAnotherTakes(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"file://" + t.TempDir(), registry(t).Address("team/drydock")} {
		x := newTeam(t, address)
		to := t.TempDir()
		r := x.Ask(t.Context(), x.record.Build.Key)
		if r == nil || r.By() != x.sign.ID() || r.Version != "1.0" {
			t.Fatalf("%s: got %+v; it said %s", address, r, x.told)
		}
		n := 0
		must(t, x.Take(t.Context(), r, to, func(b int) { n += b }))
		a, erra := archive.SHA256Tree(x.dir)
		b, errb := archive.SHA256Tree(to)
		if a != b || erra != nil || errb != nil || n == 0 {
			t.Errorf("%s: got %s, %v, of %d bytes, want %s, %v", address, b, errb, n, a, erra)
		}
		if r := x.Ask(t.Context(), graph.Key(nil)); r != nil || x.Down() != nil {
			t.Errorf("%s: a key of nothing: got %v, %v", address, r, x.Down())
		}
		before := x.told.String()
		must(t, x.Push(t.Context(), x.record, x.dir, x.sign)) // once more
		all, err := x.List(t.Context())
		if err != nil || len(all) != 1 || all[0].Name != "runc" || all[0].Stack != "fake" || x.told.String() != before {
			t.Errorf("%s: got %+v, %v; it said %s", address, all, err, x.told)
		}
	}
}

// faults are what can be wrong with a cache, and what is said of each.
var faults = []struct {
	name, said string
	fault      func(x *team, g *testregistry.Registry)
}{
	{"a blob of other bytes", "", func(x *team, g *testregistry.Registry) {
		g.Change(func(b []byte) []byte {
			if bytes.HasPrefix(b, []byte("{")) || bytes.HasPrefix(b, []byte("untrusted")) {
				return b
			}
			b[len(b)/2] ^= 1
			return b
		})
	}},
	{"a shorter blob", "", func(x *team, g *testregistry.Registry) {
		g.Change(func(b []byte) []byte {
			if bytes.HasPrefix(b, []byte("{")) || bytes.HasPrefix(b, []byte("untrusted")) {
				return b
			}
			return b[:len(b)/2]
		})
	}},
	{"a record of another key", "under the key .* the record of another", func(x *team, g *testregistry.Registry) {
		other := *x.record
		other.Build.Inputs = []graph.Input{{Name: "source", Value: "two"}}
		other.Build.Key = graph.Key(other.Build.Inputs)
		if err := x.Push(context.Background(), &other, x.dir, x.sign); err != nil {
			panic(err)
		}
		g.Retag()
	}},
	{"inputs that are not the key's", "under the key .* the record of another",
		func(x *team, g *testregistry.Registry) {
			other := *x.record
			other.Build.Inputs = []graph.Input{{Name: "source", Value: "two"}}
			if err := x.Push(context.Background(), &other, x.dir, x.sign); err != nil {
				panic(err)
			}
		}},
	{"a file that leads out", `a record with the file "../runc"`, func(x *team, g *testregistry.Registry) {
		other := *x.record
		other.Files = []File{{Name: "../runc", SHA256: x.record.Files[0].SHA256}}
		below := filepath.Join(x.dir, "tree")
		if err := x.Push(context.Background(), &other, below, x.sign); err != nil {
			panic(err)
		}
	}},
	{"a changed record", "that is not what its digest says", func(x *team, g *testregistry.Registry) {
		g.Change(func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"version":"1.0"`), []byte(`"version":"6.6"`), 1)
		})
	}},
	{"a truncated manifest", "not what its digest says|cannot be read|does not answer",
		func(x *team, g *testregistry.Registry) {
			g.Change(func(b []byte) []byte {
				if bytes.Contains(b, []byte("schemaVersion")) {
					return b[:len(b)/2]
				}
				return b
			})
		}},
	{"status 500", "does not answer, and is not asked again in this run: .*500",
		func(x *team, g *testregistry.Registry) {
			g.Fail(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				w.WriteHeader(http.StatusInternalServerError)
			})
		}},
	{"nobody there", "does not answer", func(x *team, g *testregistry.Registry) { g.Close() }},
	{"no answer", "no answer in", func(x *team, g *testregistry.Registry) {
		x.patience.ask = 100 * time.Millisecond
		g.Fail(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() })
	}},
	{"a transfer that stands still", "", func(x *team, g *testregistry.Registry) {
		x.patience.stall = 100 * time.Millisecond
		g.Fail(func(w http.ResponseWriter, r *http.Request, answer http.Handler) {
			if r.Method == http.MethodGet &&
				strings.Contains(r.URL.Path, "/blobs/"+x.record.Files[0].Blob.Digest.String()) {
				w.Header().Set("Content-Length", fmt.Sprint(x.record.Files[0].Blob.Size))
				w.WriteHeader(http.StatusOK)
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}
			answer.ServeHTTP(w, r)
		})
	}},
	{"killed in a transfer", "", func(x *team, g *testregistry.Registry) {
		g.Fail(func(w http.ResponseWriter, r *http.Request, answer http.Handler) {
			if r.Method == http.MethodGet &&
				strings.Contains(r.URL.Path, "/blobs/"+x.record.Files[0].Blob.Digest.String()) {
				w.Header().Set("Content-Length", fmt.Sprint(x.record.Files[0].Blob.Size))
				_, _ = w.Write([]byte("half"))
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			answer.ServeHTTP(w, r)
		})
	}},
}

func TestABadCacheGivesNothing(t *testing.T) {
	t.Parallel()
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			g := registry(t)
			x := newTeam(t, g.Address("drydock"))
			f.fault(x, g)
			to := t.TempDir()
			r := x.Ask(t.Context(), x.record.Build.Key)
			if f.said != "" {
				if r != nil || !matches(f.said, x.told.String()) || strings.Count(x.told.String(), "\n") != 1 {
					t.Fatalf("got %v, and it said %q; want nothing, and one line with %q", r, x.told, f.said)
				}
				return
			}
			if r == nil {
				t.Fatalf("got no record: it said %q", x.told)
			}
			err := x.Take(t.Context(), r, to, nil)
			if _, gone := os.Stat(filepath.Join(to, ".blob")); err == nil || gone == nil {
				t.Errorf("got %v, and what was being read: %v", err, gone)
			}
		})
	}
}

func TestOnlyATeamsKeysAreBelieved(t *testing.T) {
	t.Parallel()
	x := newTeam(t, "file://"+t.TempDir())
	_, other := newSigner(t)
	c := x.open(t, x.Address, other)
	for range 2 {
		if r := c.Ask(t.Context(), x.record.Build.Key); r != nil {
			t.Errorf("got %+v of a key that is not believed", r)
		}
	}
	if want := "no key of CACHE_KEYS has signed (it was key " + x.sign.ID(); strings.Count(x.told.String(), want) != 1 {
		t.Errorf("got %q, want %q, once", x.told, want)
	}
	data, err := os.ReadFile(other)
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if ids := x.open(t, x.Address, lines[len(lines)-1]).Keys(); len(ids) != 1 {
		t.Errorf("a key as text: got %v", ids)
	}
}

func TestACacheThatTakesNothingIsAnError(t *testing.T) {
	t.Parallel()
	g := registry(t)
	x := newTeam(t, g.Address("drydock"))
	g.Fail(func(w http.ResponseWriter, r *http.Request, answer http.Handler) {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusInsufficientStorage)
			return
		}
		answer.ServeHTTP(w, r)
	})
	must(t, os.WriteFile(filepath.Join(x.dir, "runc"), []byte("new"), 0o755))
	if err := x.Push(t.Context(), x.record, x.dir, x.sign); err == nil || !strings.Contains(err.Error(), "507") {
		t.Errorf("got %v, want the status", err)
	}
}

func TestPruneKeepsTheNewest(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"file://" + t.TempDir(), registry(t).Address("drydock")} {
		x := newTeam(t, address)
		var keys []string
		for i := range 3 {
			r := *x.record
			r.Build.Inputs = []graph.Input{{Name: "source", Value: fmt.Sprint(i)}}
			r.Build.Key, r.Build.Built = graph.Key(r.Build.Inputs), time.Unix(1700000001+int64(i), 0)
			must(t, x.Push(t.Context(), &r, x.dir, x.sign))
			keys = append(keys, r.Build.Key)
		}
		gone, err := x.Prune(t.Context(), 2)
		if err != nil || len(gone) != 2 {
			t.Errorf("%s: got %d removed, %v, want 2", address, len(gone), err)
		}
		for i, key := range append(keys, x.record.Build.Key) {
			r := x.Ask(t.Context(), key)
			if there := i == 1 || i == 2; there != (r != nil) {
				t.Errorf("%s: build %d: got %v, want it there: %v", address, i, r, there)
			} else if there {
				must(t, x.Take(t.Context(), r, t.TempDir(), nil))
			}
		}
	}
}

func TestAPackageIsFoundWithWhatIsKnownOfIt(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"file://" + t.TempDir(), registry(t).Address("drydock")} {
		x := newTeam(t, address)
		p := Package{Name: "26.1.5-20240715T021503Z", Version: "26.1.5", Stack: "fake", Made: time.Unix(1700000000, 0),
			Files: []string{filepath.Join(x.dir, "runc"), filepath.Join(x.dir, "table")},
			About: []Note{{Name: "sbom.cdx.json", Type: "application/vnd.cyclonedx+json", Data: []byte("{}")}}}
		must(t, x.PushPackage(t.Context(), p))
		for _, name := range []string{p.Name, "fake"} {
			to := t.TempDir()
			files, err := x.pullPackage(t.Context(), name, to, nil)
			if err != nil || len(files) != 2 {
				t.Fatalf("%s: got %v, %v", address, files, err)
			}
			if _, err := x.pullPackage(t.Context(), name, to, nil); err == nil ||
				!strings.Contains(err.Error(), "not overwritten") {
				t.Errorf("%s: over itself: got %v", address, err)
			}
		}
		if _, err := x.pullPackage(t.Context(), "none", t.TempDir(), nil); err == nil ||
			!strings.Contains(err.Error(), "has no package none") {
			t.Errorf("%s: got %v", address, err)
		}
	}
}

func TestAnAddressIsOneOfThree(t *testing.T) {
	t.Parallel()
	_, public := newSigner(t)
	for _, address := range []string{"registry:5000/drydock", "http://registry/drydock", "oci://registry/drydock:tag",
		"oci://", "file://relative", ""} {
		if _, err := Open(address, public); err == nil || !strings.Contains(err.Error(), "REMOTE_CACHE="+address) {
			t.Errorf("%s: got %v, want an error that names it", address, err)
		}
	}
	if _, err := Open("oci://registry/drydock", "/nonexistent"); err == nil ||
		!strings.Contains(err.Error(), "CACHE_KEYS: /nonexistent") {
		t.Errorf("got %v", err)
	}
}

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }

func TestADamagedDirectoryGivesNothing(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		damage func(t *testing.T, dir string)
		said   string
	}{
		"half an index": {func(t *testing.T, dir string) { must(t, os.Truncate(filepath.Join(dir, "index.json"), 20)) },
			"index.json that cannot be read"},
		"no directory": {func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) },
			"does not answer.*no such file"},
		"no blobs": {func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, "blobs"))) }, ""},
		"a link as index": {func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "index.json")))
			must(t, os.Mkdir(filepath.Join(dir, "index.json"), 0o755))
		}, "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c := newTeam(t, "file://"+dir)
			x.damage(t, dir)
			if r := c.Ask(t.Context(), c.record.Build.Key); r != nil || !matches(x.said, c.told.String()) {
				t.Errorf("got %v, and it said %q, want nothing, and %q", r, c.told, x.said)
			}
		})
	}
}
