package gocache

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// gocached is a server that keeps things in memory.
type gocached struct {
	*httptest.Server
	mu   sync.Mutex
	kept map[string][2]string // output and data, by action
	gets int
	puts int
}

func newGocached(t *testing.T) *gocached {
	s := &gocached{kept: map[string][2]string{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *gocached) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	path := strings.Split(r.URL.Path, "/")
	if r.Method == http.MethodPut {
		s.puts++
		s.kept[path[1]] = [2]string{path[2], string(body)}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	s.gets++
	e, ok := s.kept[path[len(path)-1]]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Go-Output-Id", e[0])
	w.Header().Set("Content-Length", fmt.Sprint(len(e[1])))
	io.WriteString(w, e[1])
}

// machine is one with a Go cache, and what Go would start there.
type machine struct {
	t     *testing.T
	cache string
	names []string
	*Server
	mu   sync.Mutex
	told []string
}

func newMachine(t *testing.T, address string, names ...string) *machine {
	m := &machine{t: t, cache: t.TempDir(), names: names}
	var err error
	m.Server, err = New(address, "", func(text string) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.told = append(m.told, text)
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// asks has both halves answer questions one after another, as one run of Go, and returns the answers and the tally.
func (m *machine) asks(questions ...string) (got []answer, tally *Tally) {
	m.t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	upR, upW, _ := os.Pipe()
	downR, downW, _ := os.Pipe()
	g := &goSide{cache: m.cache, up: newRunner(downR, upW), out: json.NewEncoder(outW)}
	var both sync.WaitGroup
	both.Go(func() {
		if err := g.serve(inR); err != nil {
			m.t.Error(err)
		}
		upW.Close()
	})
	both.Go(func() { tally = m.Serve(context.Background(), m.names, upR, downW) })
	dec := json.NewDecoder(outR)
	hear := func() {
		var a answer
		if err := dec.Decode(&a); err != nil {
			m.t.Fatal(err)
		}
		got = append(got, a)
	}
	hear()
	for i, q := range append(questions, `"Command":"close"}`) {
		go fmt.Fprintf(inW, `{"ID":%d,%s`, i+1, q)
		hear()
		if last := got[len(got)-1]; last.ID != int64(i+1) {
			m.t.Fatalf("%s: got the answer of %d, want %d", q, last.ID, i+1)
		}
	}
	both.Wait()
	for _, f := range []*os.File{upR, downR, downW} {
		f.Close()
	}
	return got[1 : len(got)-1], tally
}

func raw(hexa string) string {
	data, _ := hex.DecodeString(hexa)
	return base64.StdEncoding.EncodeToString(data)
}

func get(action string) string {
	return fmt.Sprintf(`"Command":"get","ActionID":%q}`, raw(digest([]byte(action))))
}

func put(action, output string) string {
	q := fmt.Sprintf(`"Command":"put","ActionID":%q,"OutputID":%q,"BodySize":%d}`, raw(digest([]byte(action))),
		raw(digest([]byte(output))), len(output))
	if output != "" {
		q += "\n\"" + base64.StdEncoding.EncodeToString([]byte(output)) + "\"\n"
	}
	return q
}

// has reports whether an answer is that output.
func has(a answer, output string) bool {
	data, err := os.ReadFile(a.DiskPath)
	return !a.Miss && a.Err == "" && err == nil && string(data) == output && a.Size == int64(len(output))
}

func TestWhatOneMachineCompiledAnotherTakes(t *testing.T) {
	t.Parallel()
	s := newGocached(t)
	first, second := newMachine(t, s.URL, "go-1"), newMachine(t, s.URL+"/", "go-1")
	got, tally := first.asks(get("x"), put("x", "compiled"), put("empty", ""), get("x"), put("dir", "go index v2\n"))
	if !got[0].Miss || !has(got[1], "compiled") || !has(got[2], "") || !has(got[3], "compiled") ||
		!has(got[4], "go index v2\n") || tally.Given.Load() != 1 || tally.Taken.Load() != 0 {
		t.Fatalf("got %+v, %s", got, tally)
	}
	got, tally = second.asks(get("x"), get("empty"), get("y"))
	if !has(got[0], "compiled") || !has(got[1], "") || !got[2].Miss ||
		tally.String() != "1 outputs came from the server, 0 were given to it" {
		t.Fatalf("got %+v, %s", got, tally)
	}
	if string(got[0].OutputID) != string(mustHex(digest([]byte("compiled")))) || got[0].Time == nil {
		t.Errorf("got %+v, want the output's digest and time", got[0])
	}
	s.Close() // it is in Go's own cache now, as Go writes it
	if got, _ = second.asks(get("x")); !has(got[0], "compiled") || len(second.told) > 0 {
		t.Errorf("without the server: got %+v, %q", got, second.told)
	}
	action := digest([]byte("x"))
	if data, output := cacheEntry(second.cache, filepath.Join(second.cache, action[:2], action+"-a")); output == "" {
		t.Errorf("got the entry %q, want one that Go reads", data)
	}
}

func mustHex(s string) []byte { data, _ := hex.DecodeString(s); return data }

func TestWhatHostileSourcesWroteOthersDoNotTake(t *testing.T) {
	t.Parallel()
	s := newGocached(t)
	newMachine(t, s.URL, "go-1").asks(put("pure", "compiled"))
	newMachine(t, s.URL, "go-1-runc", "go-1").asks(put("c", "compiled"), put("late", "poison"))
	for name, want := range map[string][2]bool{"go-1": {true, false}, "go-1-dockerd": {true, false},
		"go-1-runc": {true, true}, "go-2": {false, false}} {
		names := []string{name}
		if strings.Count(name, "-") == 2 {
			names = append(names, "go-1")
		}
		got, _ := newMachine(t, s.URL, names...).asks(get("pure"), get("c"), get("late"))
		if !got[0].Miss != want[0] || !got[1].Miss != want[1] || !got[2].Miss != want[1] {
			t.Errorf("%s: got misses %v %v %v, want the shared one %v, runc's %v", name, got[0].Miss, got[1].Miss,
				got[2].Miss, want[0], want[1])
		}
	}
}

func TestABadServerCostsTimeAndIsToldOnce(t *testing.T) {
	t.Parallel()
	right := digest([]byte("compiled"))
	answers := func(output, length, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				w.Header().Set("Go-Output-Id", output)
				w.Header().Set("Content-Length", length)
				io.WriteString(w, body)
			}
		}
	}
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	for name, c := range map[string]struct {
		do   http.HandlerFunc
		want string
	}{
		"500": {func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "no", http.StatusInternalServerError)
		}, "500 Internal Server Error"},
		"another digest": {answers(right, "8", "poisoned"), "got 8 bytes with the SHA-256 " +
			digest([]byte("poisoned")) + ", want " + right},
		"too short": {answers(right, "8", "comp"), "of 8 bytes: unexpected EOF"},
		"too long":  {answers(right, "4", "compiled"), "of 4 bytes"},
		"no digest": {answers("../../x", "8", "compiled"), `got the output "../../x" of 8 bytes`},
		"no length": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Go-Output-Id", right)
			w.(http.Flusher).Flush()
		}, "of -1 bytes"},
		"leads on": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/", http.StatusFound)
		}, "302 Found"},
		"never answers": {func(w http.ResponseWriter, r *http.Request) { <-stop }, "context deadline exceeded"},
		"cuts the line": {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "GET: EOF"},
		"wants a password": {func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "no", http.StatusUnauthorized)
		}, "401 Unauthorized"},
		"is gone": {nil, "connection refused"},
		"takes nothing": {func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "no", map[string]int{"GET": 404, "PUT": 507}[r.Method])
		}, "takes nothing, and is only read: PUT: 507"},
		"breaks off a body": {func(w http.ResponseWriter, r *http.Request) {
			answers(right, "8", "comp")(w, r)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, "of 8 bytes: unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(c.do)
			t.Cleanup(s.CloseClientConnections)
			if c.do == nil {
				s.Close()
			}
			m := newMachine(t, s.URL, "go-1-runc", "go-1")
			if name == "never answers" {
				m.wait = 50 * time.Millisecond
			}
			got, tally := m.asks(get("x"), put("x", "compiled"), get("x"), get("y"), put("y", "more"))
			if !got[0].Miss || !has(got[1], "compiled") || !has(got[2], "compiled") || !got[3].Miss ||
				!has(got[4], "more") || tally.Taken.Load() != 0 {
				t.Errorf("got %+v, want what the local cache has", got)
			}
			if len(m.told) != 1 || !strings.Contains(m.told[0], c.want) {
				t.Errorf("got the notices %q, want one with %q", m.told, c.want)
			}
		})
	}
}

func TestAServerThatIsSlowerThanCompilingIsGivenUp(t *testing.T) {
	t.Parallel()
	s := newGocached(t)
	m := newMachine(t, s.URL, "go-1")
	m.slow = 0 // any answer is too slow
	var questions []string
	for i := range 2 * many {
		questions = append(questions, get(fmt.Sprint(i)))
	}
	m.asks(questions...)
	if len(m.told) != 1 || !strings.Contains(m.told[0], "is no gain") || s.gets != many {
		t.Errorf("got %q after %d questions, want one notice after %d", m.told, s.gets, many)
	}
}

func TestAHostileStepIsAnsweredNothing(t *testing.T) {
	t.Parallel()
	s := newGocached(t)
	id := digest(nil)
	for name, said := range map[string]string{
		"no JSON":         "GET /action\n",
		"no action":       `{"ID":1}` + "\n",
		"a path":          `{"ID":1,"Action":"../../auth/exchange-token"}` + "\n",
		"an output's":     `{"ID":1,"Put":true,"Action":"` + id + `","Output":"../x"}` + "\n",
		"too large":       `{"ID":1,"Put":true,"Action":"` + id + `","Output":"` + id + `","Size":99999999999}` + "\n",
		"a negative size": `{"ID":1,"Put":true,"Action":"` + id + `","Output":"` + id + `","Size":-1}` + "\n",
		"an endless line": `{"ID":1,"Action":"` + strings.Repeat("a", 1<<20),
		"half an output":  `{"ID":1,"Put":true,"Action":"` + id + `","Output":"` + id + `","Size":9}` + "\nhalf",
		"another digest":  `{"ID":1,"Put":true,"Action":"` + id + `","Output":"` + id + `","Size":4}` + "\nhalf",
	} {
		var out bytes.Buffer
		m := newMachine(t, s.URL, "go-1")
		m.Serve(context.Background(), m.names, strings.NewReader(said), &out)
		if len(s.kept) > 0 || s.gets+s.puts > 0 || len(m.told) > 0 {
			t.Errorf("%s: the server was asked %d times and given %v; notices %q; want nothing", name, s.gets, s.kept,
				m.told)
		}
	}
}

func TestTheEndOfAStepIsNoFaultOfTheServer(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-asked; cancel() }()
	m := newMachine(t, s.URL, "go-1")
	m.Serve(ctx, m.names, strings.NewReader(`{"ID":1,"Action":"`+digest(nil)+`"}`+"\n"), io.Discard)
	if len(m.told) > 0 || !m.use(true) {
		t.Errorf("got the notices %q, want none", m.told)
	}
}

func TestARunnerThatIsGoneHasNothing(t *testing.T) {
	t.Parallel()
	in, out := io.Pipe()
	r := newRunner(in, io.Discard)
	go out.Close()
	if output, _ := r.get(digest(nil)); output != "" {
		t.Errorf("got %s, want nothing", output)
	}
	r.put(digest(nil), digest(nil), os.DevNull)
	r.puts.Wait()
	if m, err := readMessage(bufio.NewReader(strings.NewReader(`{"Size":5}` + "\nab"))); err != nil || m.Size != 5 {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestATokenIsExchangedAndSentWithEachQuestion(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		want   string // as the server is told; empty where it is not used
	}{
		"gocached":       {200, `{"access_token":"gocached-token-1","expires_in":3600}`, "Bearer gocached-token-1"},
		"another server": {404, "", "Bearer secret"},
		"refused":        {401, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var exchanged int
			seen := map[string]bool{}
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if r.Method == http.MethodPost {
					var q map[string]string
					if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q["jwt"] != "secret" ||
						r.URL.Path != "/auth/exchange-token" {
						t.Errorf("got %v, %v at %s", q, err, r.URL)
					}
					exchanged++
					w.WriteHeader(c.status)
					io.WriteString(w, c.body)
					return
				}
				seen[r.Header.Get("Authorization")] = true
				http.NotFound(w, r)
			}))
			t.Cleanup(s.Close)
			file := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(file, []byte("secret\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			m := newMachine(t, s.URL, "go-1")
			m.token = file
			m.asks(get("x"), get("y"))
			mu.Lock()
			defer mu.Unlock()
			if exchanged != 1 || len(seen) > 1 || seen[c.want] != (c.want != "") ||
				(len(m.told) == 0) != (c.want != "") {
				t.Errorf("got %d exchanges, %v, notices %q; want one, and %q", exchanged, seen, m.told, c.want)
			}
			if strings.Contains(fmt.Sprint(m.told), "secret") {
				t.Errorf("got the token in %q", m.told)
			}
		})
	}
}

func TestOnlyAWebAddressIsAServer(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]bool{"http://cache:31364": true, "https://cache.example/go/": true,
		"cache:31364": false, "/dir": false, "ftp://x": false,
		"http://": false, "http://u:p@cache": false, "http://cache?x": false, "://": false} {
		if _, err := New(at, "", nil); (err == nil) != want {
			t.Errorf("%s: got %v, want it taken: %v", at, err, want)
		} else if err != nil && strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: got the password in %v", at, err)
		}
	}
}
