package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/origins"
	"drydock/targets/internal/stack"
	"drydock/targets/internal/ui"
)

const (
	tries = 4  // of one address, before the next origin gets its turn
	hops  = 10 // redirects that are followed
	// patience is how long a server may send nothing, or next to nothing, and the longest wait that it may ask for.
	patience = time.Minute
	// leastRate is how many bytes a second a server must send, on the average of patience. A modem has ten times that.
	leastRate = 512
	// unknownLimit is the default of Store.Limit. The largest archive of a stack has 20 MB, a Go toolchain 80 MB.
	unknownLimit = 1 << 30
)

// fetch is one file that is asked of one address.
type fetch struct {
	url, name string
	line      *stack.LockedFile // what it must be; nil where that is to be recorded
	plain     bool              // http is allowed, for the lock vouches for the bytes
	// check, where it is not nil, says in line's place what the file must be.
	check func(file string) error
}

// refusal is an answer that another try would not better.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func refused(format string, a ...any) error { return &refusal{fmt.Sprintf(format, a...)} }

// later is an answer that asks for patience.
type later struct {
	status string
	after  time.Duration
}

func (l *later) Error() string { return fmt.Sprintf("%s, come back in %v", l.status, l.after) }

// transfer is a fetch that goes on: bytes that have arrived, and what the next request must say.
type transfer struct {
	fetch
	s    *Store
	f    *os.File // the part file, without a name that matters
	have int64
	// mixed says that the bytes are not all of one answer: an earlier run's, or those of a file that may have changed
	// meanwhile.
	mixed     bool
	validator string // the ETag or the date of the file that the bytes are of; empty where the server names none
	whole     int64  // the size of that file in bytes; 0 where it is not known
	undone    bool   // the server packed the file once more for the way, and that the bytes are without that
}

// download brings one file into the store. Its name appears only after its digest matched, or where there is none to
// match, after the whole was read as what its name says.
func (s *Store) download(ctx context.Context, want fetch) (err error) {
	if s.Meter != nil {
		s.Meter.Start(want.name, shown(want.url), want.size())
		defer func() { s.Meter.Done(want.name, err) }()
	}
	part := filepath.Join(s.Dir, "."+want.name+".part")
	t := &transfer{fetch: want, s: s}
	if err := t.open(part); err != nil {
		return err
	}
	defer t.f.Close()
	if err := t.complete(ctx, part); err != nil {
		if want.line == nil || t.have == 0 {
			os.Remove(part)
		}
		return err
	}
	if err := t.f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(part, filepath.Join(s.Dir, want.name)); err != nil {
		return err
	}
	return archive.SyncDir(s.Dir)
}

// shown is an address as people see it: without a password, and of a file of this machine the path.
func shown(address string) string {
	if u, err := url.Parse(address); err == nil && u.Scheme == "file" {
		return u.Path
	}
	return ui.Masked(address)
}

// size is what the lock says, in bytes; 0 where it does not know.
func (w fetch) size() int64 {
	if w.line == nil {
		return 0
	}
	return w.line.Size
}

// open opens the part file: what an earlier run left, where the lock can tell whether it is any good, or a new one.
// A link, or a file that has another name too, or another owner, is nothing that an earlier run left.
func (t *transfer) open(part string) error {
	if t.line != nil {
		f, err := os.OpenFile(part, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		if err == nil {
			fi, err := f.Stat()
			st, _ := fi.Sys().(*syscall.Stat_t)
			if err == nil && fi.Mode().IsRegular() && st.Nlink == 1 && int(st.Uid) == os.Geteuid() &&
				fi.Size() <= t.size() {
				t.f, t.have, t.mixed = f, fi.Size(), fi.Size() > 0
				return nil
			}
			f.Close()
		}
	}
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	var err error
	t.f, err = os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_RDWR|syscall.O_NOFOLLOW, 0o644)
	return err
}

// restart throws away what has arrived.
func (t *transfer) restart() error {
	t.have, t.mixed, t.validator, t.whole, t.undone = 0, false, "", 0, false
	return t.f.Truncate(0)
}

// complete asks until the part file is whole and right. Bytes of several answers that make a wrong file are asked
// for once more, from the beginning.
func (t *transfer) complete(ctx context.Context, part string) error {
	for {
		if err := t.receive(ctx); err != nil {
			return err
		}
		err := t.check(part)
		if err == nil {
			return nil
		}
		again := t.mixed
		if rerr := t.restart(); rerr != nil {
			return rerr
		}
		if !again {
			return err
		}
	}
}

// check compares the whole with the lock.
func (t *transfer) check(part string) error {
	if t.fetch.check != nil {
		return t.fetch.check(part)
	}
	if t.line == nil {
		return complete(part, t.name)
	}
	if _, err := t.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	got, err := archive.SHA256(t.f)
	if err == nil && got != t.line.SHA256 {
		err = fmt.Errorf("sha256: got %s, want %s%s", got, t.line.SHA256, t.strange(part))
	}
	return err
}

// strange says how a file begins, where that is not what its name says.
func (t *transfer) strange(part string) string {
	if err := complete(part, t.name); err != nil {
		return " (" + err.Error() + ")"
	}
	return ""
}

// receive makes requests until all bytes are there.
func (t *transfer) receive(ctx context.Context) error {
	wait := cmp.Or(t.s.Backoff, time.Second)
	for try := 1; ; try++ {
		if size := t.size(); size > 0 && t.have == size {
			return nil
		}
		err := t.attempt(ctx)
		var no *refusal
		var disk *fs.PathError
		if err == nil || ctx.Err() != nil || errors.As(err, &no) || errors.As(err, &disk) || try == tries {
			return err
		}
		pause := wait
		var l *later
		if errors.As(err, &l) {
			if l.after > patience {
				return err
			}
			pause = max(pause, l.after)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
			wait *= 2
		}
	}
}

// attempt makes one request, from where the part file ends. The error says whether another may help.
func (t *transfer) attempt(ctx context.Context) error {
	if t.have > 0 && (t.undone || t.line == nil && t.validator == "") { // nothing says that the rest would fit
		if err := t.restart(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var got atomic.Int64
	go watch(ctx, cancel, &got)
	resp, err := t.ask(ctx)
	if err != nil {
		return because(ctx, err)
	}
	defer resp.Body.Close()
	got.Add(leastRate * int64(patience/time.Second+1)) // the time until here is not counted
	if err := t.accept(resp); err != nil {
		return err
	}
	if t.s.Meter != nil {
		t.s.Meter.Add(t.name, t.have)
	}
	body := io.Reader(&counted{resp.Body, func(n int) {
		got.Add(int64(n))
		if t.s.Meter != nil {
			t.s.Meter.Add(t.name, int64(n))
		}
	}})
	if t.have == 0 {
		if body, t.undone, err = plainBody(body, resp.Header.Get("Content-Encoding"), t.name); err != nil {
			return because(ctx, err)
		}
	}
	return t.write(ctx, body, resp.ContentLength)
}

// watch ends a request whose server sends nothing, or next to nothing.
func watch(ctx context.Context, cancel context.CancelCauseFunc, got *atomic.Int64) {
	tick := time.NewTicker(patience)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch n := got.Swap(0); {
		case n == 0:
			cancel(fmt.Errorf("nothing received for %v", patience))
			return
		case float64(n) < leastRate*patience.Seconds():
			cancel(refused("too slow: got %d bytes in %v, want %d a second at least", n, patience, leastRate))
			return
		}
	}
}

// ask sends the request. Redirects are followed as far as they are no worse than the address that was asked.
func (t *transfer) ask(ctx context.Context) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		return nil, refused("not an address") // the error quotes parts of it, which may be a password's
	}
	if err := t.allowed(req.URL, nil); err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "identity")
	if t.have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", t.have))
		if t.validator != "" {
			req.Header.Set("If-Range", t.validator)
		}
	}
	if req.URL.Scheme == "file" {
		return origins.Answer(req), nil
	}
	client := *t.s.Client
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) > hops {
			return refused("redirected more than %d times", hops)
		}
		return t.allowed(req.URL, via[len(via)-1].URL)
	}
	return client.Do(req)
}

// allowed judges an address by its parsed host, and by the one that redirects to it.
func (t *transfer) allowed(u, from *url.URL) error {
	switch {
	case u.Scheme == "https" && u.Host != "", u.Scheme == "file" && from == nil:
		return nil
	case u.Scheme != "http" || u.Host == "":
		return refused("leads to %q, want https", u.Scheme+"://"+u.Host)
	case from != nil && from.Scheme == "https":
		return refused("redirected from https to http://%s, where anybody on the way can change it", u.Host)
	case !t.plain && !stack.IsLoopback(u.Hostname()):
		return refused("leads to http://%s, want https", u.Host)
	}
	return nil
}

// accept judges the head of an answer.
func (t *transfer) accept(resp *http.Response) error {
	size, total := t.size(), resp.ContentLength
	switch resp.StatusCode {
	case http.StatusOK:
		if t.have > 0 { // the server starts again from the beginning
			if err := t.restart(); err != nil {
				return err
			}
		}
		t.validator, t.whole = validatorOf(resp), max(0, total)
	case http.StatusPartialContent:
		from, whole, ok := contentRange(resp.Header.Get("Content-Range"))
		now := validatorOf(resp)
		another := t.validator != "" && now != "" && now != t.validator || t.whole > 0 && whole >= 0 && whole != t.whole
		if !ok || t.have == 0 || from != t.have || another {
			return errors.Join(t.restart(),
				errors.New(resp.Status+", which does not go on from where the last answer ended"))
		}
		t.mixed, total = true, whole
	case http.StatusRequestedRangeNotSatisfiable:
		return errors.Join(t.restart(), errors.New(resp.Status))
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		if after := retryAfter(resp.Header.Get("Retry-After")); after > 0 {
			return &later{resp.Status, after}
		}
		return errors.New(resp.Status)
	default:
		if resp.StatusCode >= 500 {
			return errors.New(resp.Status)
		}
		return refused("%s", resp.Status)
	}
	if resp.Header.Get("Content-Encoding") != "" {
		return nil // how long it will be is not known
	}
	page := ""
	if kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";"); kind == "text/html" {
		page = ": a web page (" + kind + "), such as a proxy's login or an error that calls itself " + resp.Status
	}
	if size > 0 && total >= 0 && total != size {
		return refused("got a file of %d bytes, want %d%s", total, size, page)
	}
	if total > t.limit() {
		return refused("got a file of %d bytes, want at most %d%s", total, t.limit(), page)
	}
	return nil
}

// limit is how many bytes are taken.
func (t *transfer) limit() int64 {
	switch {
	case t.size() > 0:
		return t.size()
	case strings.HasSuffix(t.name, ".asc"):
		return maxOpenPGP
	case t.s.Limit > 0:
		return t.s.Limit
	}
	return unknownLimit
}

// validatorOf is what names a version of a file in If-Range: a strong ETag, or its date, where that is so long ago
// that the file cannot have changed since under the same one (RFC 9110, 8.8.2.2).
func validatorOf(resp *http.Response) string {
	if tag := resp.Header.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	changed, err := http.ParseTime(resp.Header.Get("Last-Modified"))
	now, err2 := http.ParseTime(resp.Header.Get("Date"))
	if err != nil || err2 != nil || now.Sub(changed) < time.Minute {
		return ""
	}
	return resp.Header.Get("Last-Modified")
}

// contentRange reads "bytes 10-19/20"; whole is -1 where the server does not know it.
func contentRange(h string) (from, whole int64, ok bool) {
	span, of, ok := strings.Cut(strings.TrimPrefix(h, "bytes "), "/")
	first, _, ok2 := strings.Cut(span, "-")
	from, err := strconv.ParseInt(first, 10, 64)
	if whole, err2 := strconv.ParseInt(of, 10, 64); err2 == nil {
		return from, whole, ok && ok2 && err == nil
	}
	return from, -1, ok && ok2 && err == nil
}

// retryAfter reads a number of seconds or a date; zero for neither.
func retryAfter(h string) time.Duration {
	if n, err := strconv.Atoi(h); err == nil && n > 0 {
		return time.Duration(min(n, 1<<30)) * time.Second
	}
	if at, err := http.ParseTime(h); err == nil {
		return time.Until(at).Round(time.Second)
	}
	return 0
}

// write appends an answer's body to the part file; length is what the answer's head says of it, -1 for nothing.
func (t *transfer) write(ctx context.Context, body io.Reader, length int64) error {
	limit := t.limit()
	was := t.have
	// One byte more tells a file that is too long.
	n, err := io.Copy(io.NewOffsetWriter(t.f, t.have), io.LimitReader(body, limit-t.have+1))
	t.have += n
	switch {
	case t.have > limit:
		return errors.Join(t.restart(), refused("got more than %d bytes, want at most that", limit))
	case errors.Is(err, io.ErrUnexpectedEOF) && length > 0:
		return fmt.Errorf("ended after %d of %d bytes", t.have, was+length)
	case err != nil:
		return because(ctx, err)
	case t.size() > 0 && t.have < limit:
		return fmt.Errorf("ended after %d of %d bytes", t.have, limit)
	}
	return nil
}

// because is why a request ended: the reason for which it was ended here, or its own error.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return withoutAddress(err)
}

// withoutAddress drops net/http's repetition of the address, which the caller prints already, and what quotes an
// address that cannot be parsed, for parts of that may be a password's.
func withoutAddress(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	for start, text := range map[string]string{
		"failed to parse Location header": "redirected to what is no address",
		"invalid proxy address":           "the address of the proxy (http_proxy, https_proxy) cannot be read",
	} {
		if strings.HasPrefix(err.Error(), start) {
			return refused("%s", text)
		}
	}
	return err
}

type counted struct {
	r   io.Reader
	got func(int)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.got(n)
	return n, err
}
