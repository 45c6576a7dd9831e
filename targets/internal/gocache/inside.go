package gocache

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"go/version"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// insideArg makes this program the one that Go asks.
const insideArg = "drydock-gocache"

func init() {
	if len(os.Args) == 4 && os.Args[1] == insideArg {
		os.Exit(inside(os.Args[2], os.Args[3]))
	}
}

// Program is the value of GOCACHEPROG that makes Go ask the program self, which may be read where Go runs. It speaks
// with its runner over the two descriptors, the first of which is for reading.
func Program(self string, in, out int) string {
	return fmt.Sprintf("'%s' %s %d %d", self, insideArg, in, out)
}

// Asks reports whether the Go of that release asks a program for what it has compiled.
func Asks(goVersion string) bool { return version.Compare("go"+goVersion, "go1.24") >= 0 }

// inside is what the program does: Go's cache is where GOCACHE says.
func inside(in, out string) int {
	up := newRunner(os.NewFile(number(in), "from the runner"), os.NewFile(number(out), "to the runner"))
	g := &goSide{cache: os.Getenv("GOCACHE"), up: up, out: json.NewEncoder(os.Stdout)}
	if err := g.serve(os.Stdin); err != nil {
		fmt.Fprintf(os.Stderr, "the compile cache: %v\n", err)
		return 1
	}
	return 0
}

func number(s string) (n uintptr) {
	fmt.Sscan(s, &n)
	return n
}

// question and answer are Go's: see cmd/go/internal/cacheprog. A put with a BodySize is followed by a JSON string,
// which is the output in base64.
type question struct {
	ID                 int64
	Command            string
	ActionID, OutputID []byte
	BodySize           int64
}

type answer struct {
	ID            int64
	Err           string     `json:",omitempty"`
	KnownCommands []string   `json:",omitempty"`
	Miss          bool       `json:",omitempty"`
	OutputID      []byte     `json:",omitempty"`
	Size          int64      `json:",omitempty"`
	Time          *time.Time `json:",omitempty"`
	DiskPath      string     `json:",omitempty"`
}

// goSide answers Go.
type goSide struct {
	cache string
	up    *runner
	mu    sync.Mutex // of out
	out   *json.Encoder
}

// serve answers until Go has no more questions, and what is new is with the runner.
func (g *goSide) serve(in io.Reader) error {
	if err := g.say(answer{KnownCommands: []string{"get", "put", "close"}}); err != nil {
		return err
	}
	dec := json.NewDecoder(in)
	for {
		var q question
		var body []byte
		err := dec.Decode(&q)
		if err == nil && q.Command == "put" && q.BodySize > 0 {
			err = dec.Decode(&body)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case q.Command == "close":
			g.up.puts.Wait()
			return g.say(answer{ID: q.ID})
		}
		go func() { // an error of say is Go's end
			action, output := hex.EncodeToString(q.ActionID), hex.EncodeToString(q.OutputID)
			if q.Command == "put" {
				g.say(g.put(q.ID, action, output, body))
			} else {
				g.say(g.get(q.ID, action))
			}
		}()
	}
}

func (g *goSide) say(a answer) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.out.Encode(a)
}

// get finds an action in Go's cache, or else where the runner looks; then it is in Go's cache, too.
func (g *goSide) get(id int64, action string) answer {
	if !isDigest(action) {
		return answer{ID: id, Miss: true}
	}
	a, ok := g.local(action)
	if !ok {
		if output, data := g.up.get(action); output != "" && keep(g.cache, action, output, data) == nil {
			a, ok = g.local(action)
		}
	}
	a.ID, a.Miss = id, !ok
	return a
}

// local finds an action in Go's cache.
func (g *goSide) local(action string) (a answer, ok bool) {
	entry := filepath.Join(g.cache, action[:2], action+"-a")
	_, output := cacheEntry(g.cache, entry)
	if output == "" {
		return a, false
	}
	a.DiskPath = filepath.Join(g.cache, output)
	fi, err := os.Stat(a.DiskPath)
	if err != nil {
		return a, false
	}
	a.OutputID, err = hex.DecodeString(filepath.Base(output)[:64])
	made := fi.ModTime()
	a.Size, a.Time = fi.Size(), &made
	if now := time.Now(); now.Sub(made) > time.Hour { // as Go does: what is in use is not the oldest
		os.Chtimes(entry, now, now)
		os.Chtimes(a.DiskPath, now, now)
	}
	return a, err == nil
}

// index begins what Go noted of a directory, by its path and its files' times: it is of no use to others.
const index = "go index v"

// put keeps what an action made, and gives it to the runner in the background.
func (g *goSide) put(id int64, action, output string, data []byte) answer {
	err := errors.New("want an action and the digest of what it made")
	if isDigest(action) && digest(data) == output {
		err = keep(g.cache, action, output, data)
	}
	if err != nil {
		return answer{ID: id, Err: err.Error()}
	}
	a, ok := g.local(action)
	a.ID, a.OutputID, a.Time = id, nil, nil
	if !ok {
		return answer{ID: id, Err: "is not there any more"}
	}
	if !bytes.HasPrefix(data, []byte(index)) {
		g.up.put(action, output, a.DiskPath)
	}
	return a
}

// keep writes what an action made to a Go cache: the output, unless it is there, and then the entry.
func keep(cache, action, output string, data []byte) error {
	out := filepath.Join(cache, output[:2], output+"-d")
	if have, err := os.ReadFile(out); err != nil || digest(have) != output {
		if err := replace(out, data); err != nil {
			return err
		}
	}
	entry := fmt.Sprintf("v1 %s %s %20d %20d\n", action, output, len(data), time.Now().UnixNano())
	return replace(filepath.Join(cache, action[:2], action+"-a"), []byte(entry))
}

// replace writes a file that appears whole. What a killed step leaves has a name that Go's cleaning of its cache knows.
func replace(file string, data []byte) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "new*-d")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// runner is the way to the other half. One that does not answer has nothing.
type runner struct {
	puts sync.WaitGroup
	room chan struct{} // of puts that are on their way

	writing sync.Mutex
	out     io.Writer

	mu   sync.Mutex // never held while something is written: the other half may wait for us to read
	last int64
	wait map[int64]chan<- reply // nil when the runner is gone
}

type reply struct {
	output string
	data   []byte
}

func newRunner(in io.Reader, out io.Writer) *runner {
	r := &runner{room: make(chan struct{}, 2), out: out, wait: map[int64]chan<- reply{}}
	go r.listen(bufio.NewReader(in))
	return r
}

// listen hands out the answers, until there are no more.
func (r *runner) listen(in *bufio.Reader) {
	for {
		m, err := readMessage(in)
		var data []byte
		if err == nil {
			data, err = readOutput(in, m)
		}
		r.mu.Lock()
		if err != nil {
			for _, c := range r.wait {
				close(c)
			}
			r.wait = nil
			r.mu.Unlock()
			return
		}
		if c := r.wait[m.ID]; c != nil {
			c <- reply{m.Output, data}
			delete(r.wait, m.ID)
		}
		r.mu.Unlock()
	}
}

// ask sends a question and waits for its answer.
func (r *runner) ask(m message, data []byte) reply {
	c := make(chan reply, 1)
	r.mu.Lock()
	if r.wait == nil {
		r.mu.Unlock()
		return reply{}
	}
	r.last++
	m.ID = r.last
	r.wait[m.ID] = c
	r.mu.Unlock()
	r.writing.Lock()
	err := writeMessage(r.out, m, data)
	r.writing.Unlock()
	if err != nil {
		return reply{}
	}
	return <-c
}

func (r *runner) get(action string) (output string, data []byte) {
	a := r.ask(message{Action: action}, nil)
	return a.output, a.data
}

// put gives an output that is in a file, and does not wait.
func (r *runner) put(action, output, file string) {
	r.puts.Go(func() {
		r.room <- struct{}{}
		defer func() { <-r.room }()
		if fi, err := os.Stat(file); err != nil || fi.Size() > maxOutput {
			return
		}
		if data, err := os.ReadFile(file); err == nil {
			r.ask(message{Put: true, Action: action, Output: output}, data)
		}
	})
}
