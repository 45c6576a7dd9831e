package source

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/origins"
	"drydock/targets/internal/stack"
)

// body is the whole of a small archive, and body2 that of another.
var body, body2 = archiveOf("one"), archiveOf("two")

func archiveOf(text string) string {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	if err := archive.WriteTar(zw, []archive.Entry{{Name: "top/a", Data: []byte(text), Mode: 0o644}},
		time.Unix(0, 0)); err != nil {
		panic(err)
	}
	zw.Close()
	return b.String()
}

func put[T string | []byte](t testing.TB, file string, data T) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(data), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func sum(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }

// setOf is the set of a store's files and a lock, which is recorded or not.
func setOf(t *testing.T, s *Store, l *stack.Lock, record bool, packages ...string) *Set {
	none := func(context.Context) (Go, error) { return Go{}, nil }
	return &Set{Store: s, Stack: &stack.Stack{Lock: l, Packages: packages}, Root: t.TempDir(), Record: record,
		Online: none}
}

func setUp(t *testing.T, h http.Handler) (*Store, *stack.Component, *stack.Lock, string) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	s := &Store{Dir: t.TempDir(), Digests: OpenDigests(filepath.Join(t.TempDir(), "d.json")), Client: srv.Client(),
		Backoff: time.Millisecond}
	c := &stack.Component{Name: "runc", Origin: []*stack.Origin{
		{Kind: "debian", Path: "pool/r.tar.gz"}, {Kind: "url", URL: srv.URL + "/up/r2.tar.gz"},
	}}
	l := &stack.Lock{File: []*stack.LockedFile{
		{Component: "runc", Name: "r.tar.gz", SHA256: sum(body), Size: int64(len(body))},
		{Component: "runc", Name: "r2.tar.gz", SHA256: sum(body2), Size: int64(len(body2))},
	}}
	s.Mirrors = origins.Mirrors{Main: []string{srv.URL + "/debian"}}
	return s, c, l, srv.URL
}

func TestAMirrorThatDroppedTheFileGoesOnToTheNextOrigin(t *testing.T) {
	s, c, l, _ := setUp(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/up/") {
			fmt.Fprint(w, body2)
			return
		}
		http.NotFound(w, r)
	}))
	f, err := setOf(t, s, l, false).Get(context.Background(), c)
	if err != nil || filepath.Base(f.Path) != "r2.tar.gz" {
		t.Fatalf("got %v %v, want the second origin's file", f, err)
	}
}

func TestTheLastErrorNamesEveryAddressThatWasTried(t *testing.T) {
	s, c, l, url := setUp(t, http.NotFoundHandler())
	_, err := setOf(t, s, l, false).Get(context.Background(), c)
	var missing *MissingError
	if !errors.As(err, &missing) {
		t.Fatalf("got %v, want a MissingError", err)
	}
	for _, u := range []string{url + "/debian/pool/r.tar.gz: 404", url + "/up/r2.tar.gz: 404"} {
		if !strings.Contains(err.Error(), u) {
			t.Errorf("no %q in %v", u, err)
		}
	}
}

func TestADownloadIsRetriedAndResumedWhereItBroke(t *testing.T) {
	var calls atomic.Int32
	var ranges []string
	s, c, l, _ := setUp(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ranges = append(ranges, r.Header.Get("Range"))
		switch calls.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			fmt.Fprint(w, body[:10]) // and the connection breaks
		default:
			http.ServeContent(w, r, "r", time.Time{}, strings.NewReader(body))
		}
	}))
	f, err := setOf(t, s, l, false).Get(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(f.Path)
	if string(data) != body || len(ranges) != 3 || ranges[2] != "bytes=10-" {
		t.Errorf("got %q by requests %q, want the whole by a third request from byte 10", data, ranges)
	}
}

func TestBytesThatDoNotMatchTheLockNeverGetTheName(t *testing.T) {
	s, c, l, _ := setUp(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		other := []byte([]string{body, body2}[strings.Count(r.URL.Path, "r2")])
		other[len(other)-1] ^= 1
		w.Write(other)
	}))
	if _, err := setOf(t, s, l, false).Get(context.Background(), c); err == nil ||
		!strings.Contains(err.Error(), "sha256: got") {
		t.Errorf("got %v, want a digest error", err)
	}
	if es, _ := os.ReadDir(s.Dir); len(es) != 0 {
		t.Errorf("got files %v, want none", es)
	}
}

func TestAnEndlessAnswerIsCut(t *testing.T) {
	s, c, l, _ := setUp(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 1000 {
			fmt.Fprint(w, body)
		}
	}))
	if _, err := setOf(t, s, l, false).Get(context.Background(), c); err == nil {
		t.Error("got no error, want one")
	}
	es, _ := os.ReadDir(s.Dir)
	for _, e := range es {
		if fi, _ := e.Info(); fi.Size() > int64(len(body))+1 {
			t.Errorf("%s has %d bytes, want at most one more than the lock says", e.Name(), fi.Size())
		}
	}
}

func TestAnOriginWithoutADigestIsUsedOnlyToRecordIt(t *testing.T) {
	s, c, l, _ := setUp(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, body) }))
	l.File = nil
	if _, err := setOf(t, s, l, false).Get(context.Background(), c); err == nil ||
		!strings.Contains(err.Error(), "the lock has no digest") {
		t.Errorf("got %v, want a refusal", err)
	}
	f, err := setOf(t, s, l, true).Get(context.Background(), c)
	if err != nil || len(l.File) != 1 || l.File[0].SHA256 != sum(body) || f.SHA256 != sum(body) {
		t.Errorf("got %v %v, lock %v; want the digest recorded", f, err, l.File)
	}
}

func TestAFileOfTheUsersIsTakenWithoutTheNetwork(t *testing.T) {
	s, c, l, _ := setUp(t, http.NotFoundHandler())
	s.Client = nil
	if err := os.WriteFile(filepath.Join(s.Dir, "r2.tar.gz"), []byte(body2), 0o644); err != nil {
		t.Fatal(err)
	}
	if f, err := setOf(t, s, l, false).Get(context.Background(), c); err != nil ||
		filepath.Base(f.Path) != "r2.tar.gz" {
		t.Errorf("got %v %v, want the user's file", f, err)
	}
}

func TestDigestsAreTakenAgainWhenAFileChanges(t *testing.T) {
	p := filepath.Join(t.TempDir(), "f")
	d := OpenDigests(filepath.Join(t.TempDir(), "cache/d.json")) // whose directory is not there yet
	for _, content := range []string{"one", "two"} {             // the same size
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Of(p); err != nil || got != sum(content) {
			t.Errorf("got %s %v, want the digest of %q", got, err, content)
		}
	}
	if err := d.Save(); err != nil {
		t.Fatal(err)
	}
	if got, _ := OpenDigests(d.file).Of(p); got != sum("two") {
		t.Errorf("after reading it back: got %s", got)
	}
}
