package source

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"drydock/targets/internal/origins"
	"drydock/targets/internal/stack"
)

const page = "<!DOCTYPE html>\n<html><head><title>Please log in</title></head><body>…</body></html>\n"

// serve is setUp with one mirror that answers with h, and no other origin.
func serve(t *testing.T, h http.HandlerFunc) (*Store, *stack.Component, *stack.Lock) {
	t.Helper()
	s, c, l, _ := setUp(t, h)
	c.Origin = c.Origin[:1]
	return s, c, l
}

// bogus are answers that are not the file, and what has to be said of them.
var bogus = map[string]struct {
	answer http.HandlerFunc
	want   string
}{
	"an error page with 200": {func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, page) }, "web page"},
	"a page that is called an archive": {func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/gzip")
		w.(http.Flusher).Flush() // no length
		fmt.Fprint(w, "\xef\xbb\xbf\n "+page)
	}, `a web page with the title "Please log in"`},
	"a proxy's login behind a redirect": {func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/login" {
			http.Redirect(w, r, "/login", http.StatusFound)
			return
		}
		w.(http.Flusher).Flush()
		fmt.Fprint(w, page)
	}, "web page"},
	"an error in JSON": {func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		fmt.Fprint(w, `{"errors":[{"status":404}]}`)
	}, "a text that begins"},
	"404": {http.NotFound, "404 Not Found"},
	"503, come back tomorrow": {func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "86400")
		w.WriteHeader(http.StatusServiceUnavailable)
	}, "503 Service Unavailable, come back in 24h0m0s"},
	"503 for ever": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"503 Service Unavailable"},
	"truncated": {func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		fmt.Fprint(w, body[:10])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}, "ended after "},
	"endless": {func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			fmt.Fprint(w, body)
		}
	}, "got more than "},
	"too long, and says so": {func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000000000")
		w.WriteHeader(http.StatusOK)
	}, "got a file of 1000000000000 bytes, want "},
	"packed in another way": {func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		fmt.Fprint(w, body)
	}, `Content-Encoding: got "br", want none`},
	"redirected in a circle": {func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path, http.StatusFound)
	}, "redirected more than 10 times"},
	"redirected to another protocol": {func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "ftp://admin:secret@127.0.0.1/x", http.StatusFound)
	}, `leads to "ftp://127.0.0.1", want https`},
	"redirected to what is no address": {func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://admin:secret/x@h/")
		w.WriteHeader(http.StatusFound)
	}, "redirected to what is no address"},
}

func TestEachBogusAnswerIsNamedAndTheNextOriginAsked(t *testing.T) {
	for name, b := range bogus {
		for _, record := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, record %v", name, record), func(t *testing.T) {
				t.Parallel()
				s, c, l, url := setUp(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if strings.HasPrefix(r.URL.Path, "/up/") {
						fmt.Fprint(w, body2)
						return
					}
					b.answer(w, r)
				}))
				s.Limit = 1 << 20
				if record {
					l.File = nil
				}
				var told told
				s.Meter = &told
				f, err := setOf(t, s, l, record).Get(context.Background(), c)
				if err != nil || filepath.Base(f.Path) != "r2.tar.gz" {
					t.Fatalf("got %v %v, want the next origin's file", f, err)
				}
				if got := strings.Join(told, "\n"); !strings.Contains(got, b.want) || strings.Contains(got, "secret") {
					t.Errorf("got %q, want %q in it", got, b.want)
				}
				if record && (len(l.File) != 1 || l.File[0].Name != "r2.tar.gz") {
					t.Errorf("got the lock %v, want the good file's line alone", l.File)
				}
				_, err = setOf(t, s, &stack.Lock{}, true).Get(context.Background(),
					&stack.Component{Name: "runc", Origin: c.Origin[:1]})
				if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), url) {
					t.Errorf("alone: got %v, want an error that names %s", err, url)
				}
			})
		}
	}
}

// roundTripper answers requests without a network.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// trickle is a body of which a byte comes every ten seconds.
type trickle struct{ ctx context.Context }

func (b trickle) Read(p []byte) (int, error) {
	select {
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	case <-time.After(10 * time.Second):
		return copy(p[:1], body), nil
	}
}

func (trickle) Close() error { return nil }

// The clock is the test's own: a minute of patience, as users have, takes no time, and a loaded machine changes
// nothing.
func TestAServerThatKeepsOneWaitingIsLeftForTheNextOrigin(t *testing.T) {
	for name, c := range map[string]struct {
		answer roundTripper
		want   string
	}{
		"a byte every ten seconds": {func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: trickle{r.Context()},
				ContentLength: -1, Request: r}, nil
		}, "too slow: got "},
		"nothing": {func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, "nothing received for 1m0s"},
	} {
		for _, record := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, record %v", name, record), func(t *testing.T) {
				t.Parallel()
				s, component, l, _ := setUp(t, http.NotFoundHandler())
				s.Client = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					if !strings.HasPrefix(r.URL.Path, "/up/") {
						return c.answer(r)
					}
					return &http.Response{StatusCode: http.StatusOK, Header: http.Header{},
						Body: io.NopCloser(strings.NewReader(body2)), ContentLength: int64(len(body2)), Request: r}, nil
				})}
				l.File[0].Size = 1 << 20
				if record {
					l.File = nil
				}
				var told told
				s.Meter = &told
				synctest.Test(t, func(t *testing.T) {
					f, err := setOf(t, s, l, record).Get(t.Context(), component)
					if err != nil || filepath.Base(f.Path) != "r2.tar.gz" {
						t.Fatalf("got %v %v, want the next origin's file", f, err)
					}
				})
				if got := strings.Join(told, "\n"); !strings.Contains(got, c.want) {
					t.Errorf("got %q, want %q in it", got, c.want)
				}
			})
		}
	}
}

// told keeps how transfers ended.
type told []string

func (told) Start(string, string, int64) {}
func (told) Add(string, int64)           {}
func (m *told) Done(_ string, err error) {
	if err != nil {
		*m = append(*m, err.Error())
	}
}

func TestRetryAfterIsKept(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for h, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0,
		now.Add(time.Hour).UTC().Format(http.TimeFormat): time.Hour} {
		if got := retryAfter(h); got > want || got < want-time.Second-time.Since(now) { // the header has whole seconds
			t.Errorf("%q: got %v, want %v", h, got, want)
		}
	}
}

func TestPasswordsAreInNoError(t *testing.T) {
	for name, c := range map[string]struct{ proxy, host string }{
		"refused":       {"", "127.0.0.1:1"},
		"proxy":         {"http://admin:secret@127.0.0.1:1", "mirror.invalid"},
		"broken proxy":  {"http://admin:secret%zz@127.0.0.1:1", "mirror.invalid"},
		"strange proxy": {"http://admin:se/secret@127.0.0.1:1", "mirror.invalid"},
		"ftp proxy":     {"ftp://admin:secret@127.0.0.1:1", "mirror.invalid"},
		"bad port":      {"", "127.0.0.1:x"},
	} {
		s, component, l, _ := setUp(t, http.NotFoundHandler())
		s.Client = &http.Client{Transport: &http.Transport{Proxy: proxyOf(c.proxy)}}
		component.Origin = component.Origin[:1]
		s.Mirrors = origins.Mirrors{Main: []string{"http://admin:secret@" + c.host + "/debian"}}
		_, err := setOf(t, s, l, false).Get(context.Background(), component)
		if err == nil || strings.Contains(err.Error(), "secret") ||
			!strings.Contains(err.Error(), "http://admin:***@") {
			t.Errorf("%s: got %v, want an error without the password", name, err)
		}
	}
}

// proxyOf is http.ProxyFromEnvironment, which reads the environment once, with an address of its own, and with its
// words.
func proxyOf(address string) func(*http.Request) (*url.URL, error) {
	return func(*http.Request) (*url.URL, error) {
		if address == "" {
			return nil, nil
		}
		u, err := url.Parse(address)
		if err != nil {
			return nil, fmt.Errorf("invalid proxy address %q: %w", address, err)
		}
		return u, nil
	}
}

func TestAfterHTTPSNoHopIsPlain(t *testing.T) {
	t.Parallel()
	var plainAsked atomic.Int32
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		plainAsked.Add(1)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(plain.Close)
	var hopsLeft atomic.Int32
	var secure *httptest.Server
	secure = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hopsLeft.Add(-1) > 0 {
			http.Redirect(w, r, secure.URL+"/again", http.StatusFound)
			return
		}
		http.Redirect(w, r, plain.URL+"/r.tar.gz", http.StatusFound)
	}))
	t.Cleanup(secure.Close)
	for _, n := range []int32{1, 4} {
		for _, kind := range []string{stack.KindDebian, stack.KindURL} {
			s, c, l, _ := setUp(t, http.NotFoundHandler())
			s.Client = secure.Client()
			s.Mirrors = origins.Mirrors{Main: []string{secure.URL}}
			c.Origin = []*stack.Origin{{Kind: kind, Path: "r.tar.gz", URL: secure.URL + "/r.tar.gz"}}
			hopsLeft.Store(n)
			_, err := setOf(t, s, l, false).Get(context.Background(), c)
			if err == nil || !strings.Contains(err.Error(), "redirected from https to http://127.0.0.1") ||
				plainAsked.Load() > 0 {
				t.Errorf("%s, %d hops: got %v, asked %d times; want a refusal", kind, n, err, plainAsked.Load())
			}
		}
	}
}

func TestTheParsedHostDecidesWhetherPlainHTTPIsAllowed(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"http://127.0.0.1:x@other.invalid/r.tar.gz": false, "http://localhost:80@other.invalid/r.tar.gz": false,
		"http://127.0.0.1.other.invalid:80/r.tar.gz": false,
		"http://other.invalid/r.tar.gz":              false, "http://127.0.0.1:1/r.tar.gz": true,
		"http://[::1]:1/r.tar.gz": true, "http://localhost:1/r.tar.gz": true,
	} {
		s, c, l, _ := setUp(t, http.NotFoundHandler())
		c.Origin = []*stack.Origin{{Kind: stack.KindURL, URL: address, File: "r.tar.gz"}}
		s.Client = &http.Client{Transport: &http.Transport{}}
		_, err := setOf(t, s, l, false).Get(context.Background(), c)
		if got := err != nil && !strings.Contains(err.Error(), "want https"); got != ok {
			t.Errorf("%s: got %v, want it asked: %v", address, err, ok)
		}
	}
}

func TestARecordingBeginsFromNothingAndIsOfOneFile(t *testing.T) {
	t.Parallel()
	long := archiveOf(strings.Repeat("A", 30) + "one")
	other := archiveOf(strings.Repeat("A", 30) + "two")
	for name, head := range map[string]http.Header{
		"etag": {"Etag": {`"1"`}}, "weak etag": {"Etag": {`W/"1"`}},
		"date": {"Last-Modified": {"Mon, 02 Jan 2006 15:04:05 GMT"}}, "none": nil,
	} {
		var n atomic.Int32
		s, c, l := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1) == 1 {
				maps.Copy(w.Header(), head)
				w.Header().Set("Content-Length", fmt.Sprint(len(long)))
				fmt.Fprint(w, long[:len(long)-20])
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			// The file is another now. As an old server would, it looks at Range alone where there is no If-Range.
			if r.Header.Get("If-Range") == "" && r.Header.Get("Range") != "" {
				http.ServeContent(w, r, "", time.Time{}, strings.NewReader(other))
				return
			}
			fmt.Fprint(w, other)
		})
		l.File = nil
		put(t, filepath.Join(s.Dir, ".r.tar.gz.part"), long[:40])
		f, err := setOf(t, s, l, true).Get(context.Background(), c)
		if err != nil || l.File[0].SHA256 != sum(other) || f.SHA256 != sum(other) {
			t.Errorf("%s: got %v, %v, want the digest of the file that is there now", name, err, l.File)
		}
	}
}

func TestAWrongPartBeginsAnewInTheSameRun(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]string{"short": "garbage", "of the right size": strings.Repeat("x", len(body)),
		"too long": strings.Repeat("x", 1000)} {
		s, c, l := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
		})
		put(t, filepath.Join(s.Dir, ".r.tar.gz.part"), part)
		if f, err := setOf(t, s, l, false).Get(context.Background(), c); err != nil || f.SHA256 != sum(body) {
			t.Errorf("%s: got %v %v, want the file", name, f, err)
		}
	}
}

func TestPlantedPartsAreNotWrittenThrough(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(from, to string) error{"symbolic link": os.Symlink, "hard link": os.Link} {
		for _, record := range []bool{false, true} {
			s, c, l := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, body) })
			if record {
				l.File = nil
			}
			victim := filepath.Join(t.TempDir(), "victim")
			put(t, victim, "mine")
			if err := plant(victim, filepath.Join(s.Dir, ".r.tar.gz.part")); err != nil {
				t.Fatal(err)
			}
			_, err := setOf(t, s, l, record).Get(context.Background(), c)
			data, _ := os.ReadFile(victim)
			if err != nil || string(data) != "mine" {
				t.Errorf("%s, record %v: got %v, and the file behind it has %q", name, record, err, data)
			}
		}
	}
}

func TestAContentEncodingDoesNotChangeTheFile(t *testing.T) {
	t.Parallel()
	packed := func(s string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write([]byte(s))
		w.Close()
		return b.String()
	}
	for name, answer := range map[string]string{"as it is": body, "packed once more": packed(body)} {
		for _, encoding := range []string{"gzip", "x-gzip"} {
			for _, record := range []bool{false, true} {
				asked := make(chan string, 9)
				s, c, l := serve(t, func(w http.ResponseWriter, r *http.Request) {
					asked <- r.Header.Get("Accept-Encoding")
					w.Header().Set("Content-Encoding", encoding)
					fmt.Fprint(w, answer)
				})
				if record {
					l.File = nil
				}
				f, err := setOf(t, s, l, record).Get(context.Background(), c)
				if err != nil || f.SHA256 != sum(body) || len(l.File) == 0 || l.File[0].SHA256 != sum(body) {
					t.Errorf("%s, %s, record %v: got %v %v, want the file", name, encoding, record, f, err)
				}
				if got := <-asked; got != "identity" {
					t.Errorf("asked for %q, want identity", got)
				}
			}
		}
	}
}

func TestWhatIsNoWholeArchiveIsNotRecorded(t *testing.T) {
	t.Parallel()
	cut := body[:len(body)-9]
	for name, data := range map[string]string{"cut": cut, "page": page, "text": "hello", "empty": ""} {
		s, c, l := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close")
			w.(http.Flusher).Flush()
			fmt.Fprint(w, data)
		})
		l.File = nil
		var missing *MissingError
		if _, err := setOf(t, s, l, true).Get(context.Background(), c); !errors.As(err, &missing) || len(l.File) != 0 {
			t.Errorf("%s: got %v, lock %v, want it refused", name, err, l.File)
		}
		s.Client = nil
		file := filepath.Join(s.Dir, "r.tar.gz")
		put(t, file, data)
		if _, err := setOf(t, s, l, true).Get(context.Background(), c); err == nil ||
			!strings.Contains(err.Error(), file+": not recorded: it is ") || len(l.File) != 0 {
			t.Errorf("%s, brought: got %v, lock %v, want it refused", name, err, l.File)
		}
	}
}
