package gocache

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a server that keeps what Go compiles. What goes wrong there is told once, and the server is not asked
// again.
type Server struct {
	base   string
	token  string // a file with it; empty for none
	notice func(text string)
	client *http.Client

	wait     time.Duration // for one answer, all of it
	slow     time.Duration // what an answer takes, on average of many, from a server that is no gain
	mu       sync.Mutex    // of what follows
	asked    int
	spent    time.Duration
	down     bool // it is not asked any more
	full     bool // it is not given anything any more
	exchange sync.Mutex
	access   string
	until    time.Time // access is good until then
}

// Tally is what a step had of the server. What a compiler printed, which is nothing as a rule, is not counted: Go notes
// that of links, too, which are not shared.
type Tally struct{ Taken, Given atomic.Int64 }

func (t *Tally) String() string {
	return fmt.Sprintf("%d outputs came from the server, %d were given to it", t.Taken.Load(), t.Given.Load())
}

// New returns the server at an http or https address; any other is an error. The file token, where it is named, has
// what the server knows us by.
func New(address, token string, notice func(text string)) (*Server, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return nil, errors.New("GO_CACHE_SERVER: want an address such as http://gocached.example:31364, " +
			"without a password: GO_CACHE_TOKEN_FILE names a file with a token")
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	t.MaxIdleConnsPerHost = atOnce
	t.DisableCompression = true // the length is what is checked
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Server{base: strings.TrimRight(address, "/"), token: token, notice: notice, wait: 30 * time.Second,
		slow: 250 * time.Millisecond, client: &http.Client{Transport: t, CheckRedirect: stay}}, nil
}

// atOnce is how many questions are answered at a time. Each may have an output in memory.
const atOnce = 4

// many is how many answers make an average.
const many = 50

// Serve answers the program that a step's Go asks, until that ends or ctx does. Actions are looked for under each of
// the names, and what is new is put under the first: what hostile sources can have written there is taken by those
// alone who use that name.
func (s *Server) Serve(ctx context.Context, names []string, r io.Reader, w io.Writer) *Tally {
	var t Tally
	var writing sync.Mutex
	var busy sync.WaitGroup
	room := make(chan struct{}, atOnce)
	in := bufio.NewReader(r)
	for {
		m, err := readMessage(in)
		if err != nil || !isDigest(m.Action) || m.Put && !isDigest(m.Output) {
			break
		}
		room <- struct{}{}
		data, err := readOutput(in, m)
		if err != nil {
			break
		}
		busy.Go(func() {
			defer func() { <-room }()
			a := message{ID: m.ID}
			if m.Put {
				s.put(ctx, named(names[0], m.Action), m.Output, data, &t)
				data = nil
			} else {
				a.Output, data = s.find(ctx, names, m.Action, &t)
			}
			writing.Lock()
			defer writing.Unlock()
			writeMessage(w, a, data) // an error is the other's end
		})
	}
	busy.Wait()
	return &t
}

// named is what the server knows an action by.
func named(name, action string) string { return digest([]byte("drydock " + name + " " + action)) }

// find asks for an action under each name.
func (s *Server) find(ctx context.Context, names []string, action string, t *Tally) (output string, data []byte) {
	for _, n := range names {
		if !s.use(false) {
			break
		}
		start := time.Now()
		output, data, err := s.get(ctx, named(n, action))
		if err := cmp.Or(err, s.count(start)); err != nil {
			s.fail(ctx, err, true)
		}
		if output != "" {
			t.Taken.Add(int64(min(1, len(data))))
			return output, data
		}
	}
	return "", nil
}

// use reports whether the server is to be asked, or given something.
func (s *Server) use(give bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.down && !(give && s.full)
}

// fail notes that the server does not do what it should. What our own end cut short is not its fault.
func (s *Server) fail(ctx context.Context, err error, down bool) {
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	told := s.down || s.full && !down
	s.down, s.full = s.down || down, true
	s.mu.Unlock()
	switch {
	case told:
	case down:
		s.notice(fmt.Sprintf("GO_CACHE_SERVER is not used any more, Go's own cache is: %v", err))
	default:
		s.notice(fmt.Sprintf("GO_CACHE_SERVER takes nothing, and is only read: %v", err))
	}
}

// get asks for an action; output is empty where the server has none.
func (s *Server) get(ctx context.Context, id string) (output string, data []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	resp, err := s.do(ctx, http.MethodGet, "/action/"+id, nil)
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound:
		io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection is used again
		return "", nil, nil
	case resp.StatusCode != http.StatusOK:
		return "", nil, fmt.Errorf("GET /action: %s", resp.Status)
	case resp.ContentLength > maxOutput:
		return "", nil, nil
	}
	output = resp.Header.Get("Go-Output-Id")
	if !isDigest(output) || resp.ContentLength < 0 {
		return "", nil, fmt.Errorf("GET /action: got the output %q of %d bytes, want a SHA-256 and a length", output,
			resp.ContentLength)
	}
	data = make([]byte, resp.ContentLength)
	if _, err := io.ReadFull(resp.Body, data); err != nil {
		return "", nil, fmt.Errorf("GET /action: of %d bytes: %w", len(data), err)
	}
	if got := digest(data); got != output {
		return "", nil, fmt.Errorf("GET /action: got %d bytes with the SHA-256 %s, want %s", len(data), got, output)
	}
	return output, data, nil
}

// put gives the server what an action made.
func (s *Server) put(ctx context.Context, id, output string, data []byte, t *Tally) {
	if !s.use(true) || digest(data) != output {
		return
	}
	within, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	resp, err := s.do(within, http.MethodPut, "/"+id+"/"+output, data)
	if err != nil {
		s.fail(ctx, err, true)
		return
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, 4<<10)
	if resp.StatusCode/100 != 2 {
		s.fail(ctx, fmt.Errorf("PUT: %s", resp.Status), false)
		return
	}
	t.Given.Add(int64(min(1, len(data))))
}

// do sends a request. An error says that the server cannot be used.
func (s *Server) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	access, err := s.authorization(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Want-Object", "1")
	if access != "" {
		req.Header.Set("Authorization", "Bearer "+access)
	}
	resp, err := s.client.Do(req)
	var u *url.Error
	if errors.As(err, &u) { // the address is the user's own, and what was asked for says nothing
		err = fmt.Errorf("%s: %w", method, u.Err)
	}
	return resp, err
}

// count returns an error where a server takes longer than compiling would.
func (s *Server) count(start time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	s.spent += time.Since(start)
	if mean := s.spent / time.Duration(s.asked); s.asked >= many && mean > s.slow {
		return fmt.Errorf("its %d answers took %v on average, and more than %v is no gain", s.asked,
			mean.Round(time.Millisecond), s.slow)
	}
	return nil
}

// authorization is what the server knows us by. gocached gives an access token for the one in the file, a JWT; others
// take that as it is.
func (s *Server) authorization(ctx context.Context) (string, error) {
	if s.token == "" {
		return "", nil
	}
	s.exchange.Lock()
	defer s.exchange.Unlock()
	if time.Now().Before(s.until) {
		return s.access, nil
	}
	token, err := os.ReadFile(s.token)
	if err != nil {
		return "", fmt.Errorf("GO_CACHE_TOKEN_FILE: %w", err)
	}
	jwt := strings.TrimSpace(string(token))
	body, err := json.Marshal(map[string]string{"jwt": jwt})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+"/auth/exchange-token", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return "", errors.Unwrap(err)
	}
	defer resp.Body.Close()
	var got struct {
		Access string  `json:"access_token"`
		Lives  float64 `json:"expires_in"` // seconds
	}
	switch resp.StatusCode {
	case http.StatusOK:
		if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&got); err != nil {
			return "", fmt.Errorf("POST /auth/exchange-token: %w", err)
		}
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed: // it has no exchange
		got.Access = jwt
	default:
		return "", fmt.Errorf("POST /auth/exchange-token: %s", resp.Status)
	}
	s.access = got.Access
	s.until = time.Now().Add(time.Duration(cmp.Or(got.Lives, 3600) * 0.9 * float64(time.Second)))
	return s.access, nil
}
