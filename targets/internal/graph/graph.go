// Package graph runs nodes in the order of their needs, skips those whose inputs and outputs are what a record says,
// and writes the record last. It knows nothing of what the nodes do.
package graph

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"drydock/targets/internal/archive"
)

// Input is one named thing that a node is made from. Its value must not depend on where or when.
type Input struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Node is one unit of work.
type Node struct {
	Name   string
	Needs  []string
	Inputs []Input
	// Do makes the outputs and puts them in place, atomically. It gives their paths, relative to the graph's root.
	Do func(ctx context.Context, key string) (Made, error)
	// Restore puts outputs back in place that were damaged or deleted, without making them again; nil, or an error,
	// sends the node to Do.
	Restore func(r *Record) error
}

// Made is what Do has to say.
type Made struct {
	Outputs []string
	Steps   []StepTime
	Notes   []string
}

// StepTime is how long one step took.
type StepTime struct {
	Name    string    `json:"name"`
	Start   time.Time `json:"start"`
	Seconds float64   `json:"seconds"`
}

// Record is what is remembered of a node that was made.
type Record struct {
	Name    string     `json:"name"`
	Key     string     `json:"key"`
	Inputs  []Input    `json:"inputs"`
	Outputs []Output   `json:"outputs"`
	Built   time.Time  `json:"built"`
	Seconds float64    `json:"seconds"`
	Steps   []StepTime `json:"steps,omitempty"`
	Notes   []string   `json:"notes,omitempty"`
}

// Output is one file as it was when it was made.
type Output struct {
	Path   string `json:"path"` // relative to the root
	Size   int64  `json:"size"`
	Mtime  int64  `json:"mtime_ns"`
	SHA256 string `json:"sha256"`
}

// Digest is the digest of a node's outputs: what its dependents have in their keys.
func (r *Record) Digest() string {
	h := sha256.New()
	for _, o := range r.Outputs {
		fmt.Fprintf(h, "%s %s\n", filepath.Base(o.Path), o.SHA256)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Graph is a set of nodes with the directory of their records.
type Graph struct {
	// Root is the directory that outputs' paths are relative to.
	Root string
	// Records is the directory of the records.
	Records string
	Nodes   []*Node
	// Width is how many nodes run at a time.
	Width int
	// KeepGoing goes on with what does not depend on a failure.
	KeepGoing bool
	Watch     Watcher
}

// Watcher is told what happens, from several goroutines.
type Watcher interface {
	Fresh(name string, r *Record)
	Restored(name string, r *Record)
	Begin(name, why string)
	End(name string, r *Record, err error)
	Blocked(name, by string)
}

// Result is what became of one node.
type Result struct {
	Name    string
	Status  Status
	Record  *Record
	Err     error
	Why     string
	Seconds float64
}

// Status is what was done with a node.
type Status string

// What becomes of a node.
const (
	Fresh    Status = "fresh"
	Restored Status = "restored"
	Built    Status = "built"
	Failed   Status = "failed"
	Blocked  Status = "blocked" // something that it needs failed
	Stopped  Status = "stopped" // the run was cancelled before its turn
)

// Order gives the nodes that the wanted ones need, and these, needs first. It refuses an unknown need and a cycle.
func (g *Graph) Order(want []string) ([]*Node, error) {
	by := map[string]*Node{}
	for _, n := range g.Nodes {
		if by[n.Name] != nil {
			return nil, fmt.Errorf("graph: %s is there twice", n.Name)
		}
		by[n.Name] = n
	}
	var order []*Node
	state := map[string]int{} // 1 on the path, 2 done
	var visit func(name string, path []string) error
	visit = func(name string, path []string) error {
		path = append(path, name)
		switch state[name] {
		case 1:
			return fmt.Errorf("graph: a cycle: %s", strings.Join(path[slices.Index(path, name):], " → "))
		case 2:
			return nil
		}
		n := by[name]
		if n == nil {
			if len(path) > 1 {
				return fmt.Errorf("graph: %s needs %s, which is not there", path[len(path)-2], name)
			}
			return fmt.Errorf("graph: unknown node %s", name)
		}
		state[name] = 1
		for _, d := range n.Needs {
			if err := visit(d, path); err != nil {
				return err
			}
		}
		state[name] = 2
		order = append(order, n)
		return nil
	}
	for _, w := range want {
		if err := visit(w, nil); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// Load reads a node's record; nil when there is none that can be read.
func (g *Graph) Load(name string) *Record {
	data, err := os.ReadFile(g.recordFile(name))
	if err != nil {
		return nil
	}
	var r Record
	if json.Unmarshal(data, &r) != nil || r.Name != name {
		return nil
	}
	return &r
}

func (g *Graph) recordFile(name string) string { return filepath.Join(g.Records, name+".json") }

// inputs are a node's own and its needs' outputs.
func inputs(n *Node, digests map[string]string) []Input {
	in := slices.Clone(n.Inputs)
	for _, d := range n.Needs {
		in = append(in, Input{"output of " + d, digests[d]})
	}
	return in
}

// Key is the digest over named inputs.
func Key(in []Input) string {
	h := sha256.New()
	for _, i := range in {
		fmt.Fprintf(h, "%d:%s=%d:%s\n", len(i.Name), i.Name, len(i.Value), i.Value)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Differs names the first input that differs from a record's, with both values.
func Differs(r *Record, in []Input) string {
	if r == nil {
		return "never built"
	}
	was := map[string]string{}
	for _, i := range r.Inputs {
		was[i.Name] = i.Value
	}
	for _, i := range in {
		v, ok := was[i.Name]
		if !ok {
			return fmt.Sprintf("%s: new: %s", i.Name, brief(i.Value))
		}
		if v != i.Value {
			return fmt.Sprintf("%s: was %s, is %s", i.Name, brief(v), brief(i.Value))
		}
		delete(was, i.Name)
	}
	for _, i := range r.Inputs {
		if _, gone := was[i.Name]; gone {
			return fmt.Sprintf("%s: gone: was %s", i.Name, brief(i.Value))
		}
	}
	return ""
}

func brief(s string) string {
	if len(s) == 64 && !strings.ContainsAny(s, " /") {
		return s[:12]
	}
	return s
}

// Damage names the first output that is not as recorded; empty when all are. With full, contents are hashed, too.
func (g *Graph) Damage(r *Record, full bool) string {
	for _, o := range r.Outputs {
		p := filepath.Join(g.Root, o.Path)
		fi, err := os.Stat(p)
		switch {
		case err != nil:
			return o.Path + ": gone"
		case fi.Size() != o.Size:
			return fmt.Sprintf("%s: %d bytes, was %d", o.Path, fi.Size(), o.Size)
		case full || fi.ModTime().UnixNano() != o.Mtime:
			sum, err := archive.SHA256File(p)
			if err != nil {
				return o.Path + ": " + err.Error()
			}
			if sum != o.SHA256 {
				return fmt.Sprintf("%s: content %s, was %s", o.Path, brief(sum), brief(o.SHA256))
			}
		}
	}
	return ""
}

// Run brings the wanted nodes and all that they need up to date. It gives a result for each, in order, and the errors
// of those that failed, joined, each with its node's name in front.
func (g *Graph) Run(ctx context.Context, want []string) ([]Result, error) {
	order, err := g.Order(want)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	type cell struct {
		done chan struct{}
		res  Result
	}
	cells := map[string]*cell{}
	for _, n := range order {
		cells[n.Name] = &cell{done: make(chan struct{}), res: Result{Name: n.Name}}
	}
	slots := make(chan struct{}, max(1, g.Width))
	var wg sync.WaitGroup
	for _, n := range order {
		c := cells[n.Name]
		wg.Go(func() {
			defer close(c.done)
			digests := map[string]string{}
			for _, d := range n.Needs {
				<-cells[d].done
				dep := cells[d].res
				if dep.Record == nil {
					c.res.Status = Blocked
					c.res.Why = d
					if dep.Status == Stopped {
						c.res.Status = Stopped
						return
					}
					g.Watch.Blocked(n.Name, d)
					return
				}
				digests[d] = dep.Record.Digest()
			}
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				c.res.Status = Stopped
				return
			}
			g.one(ctx, n, inputs(n, digests), &c.res)
			if c.res.Status == Failed && !g.KeepGoing {
				stop()
			}
		})
	}
	wg.Wait()
	var results []Result
	var errs []error
	for _, n := range order {
		res := cells[n.Name].res
		results = append(results, res)
		if res.Err != nil && !errors.Is(res.Err, context.Canceled) {
			errs = append(errs, fmt.Errorf("%s: %w", n.Name, res.Err))
		}
	}
	return results, errors.Join(errs...)
}

func (g *Graph) one(ctx context.Context, n *Node, in []Input, res *Result) {
	key := Key(in)
	rec := g.Load(n.Name)
	res.Why = Differs(rec, in)
	if rec != nil && rec.Key == key {
		damage := g.Damage(rec, false)
		if damage == "" {
			res.Status, res.Record = Fresh, rec
			g.Watch.Fresh(n.Name, rec)
			return
		}
		res.Why = damage
		if n.Restore != nil && n.Restore(rec) == nil && g.restamp(rec) == nil {
			res.Status, res.Record = Restored, rec
			g.Watch.Restored(n.Name, rec)
			return
		}
	}
	start := time.Now()
	g.Watch.Begin(n.Name, res.Why)
	made, err := n.Do(ctx, key)
	var r *Record
	if err == nil {
		r = &Record{Name: n.Name, Key: key, Inputs: in, Built: start.UTC(), Seconds: time.Since(start).Seconds(), Steps: made.Steps, Notes: made.Notes}
		for _, p := range made.Outputs {
			r.Outputs = append(r.Outputs, Output{Path: p})
		}
		err = g.restamp(r)
	}
	res.Seconds = time.Since(start).Seconds()
	if err != nil {
		res.Status, res.Err = Failed, err
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			res.Status = Stopped
		}
	} else {
		res.Status, res.Record = Built, r
	}
	g.Watch.End(n.Name, r, err)
}

// restamp takes the outputs' sizes, times and digests as they are on disk into the record, and writes it. Outputs that
// have a digest already must still have it.
func (g *Graph) restamp(r *Record) error {
	for i := range r.Outputs {
		o := &r.Outputs[i]
		p := filepath.Join(g.Root, o.Path)
		fi, err := os.Stat(p)
		if err != nil {
			return err
		}
		sum, err := archive.SHA256File(p)
		if err != nil {
			return err
		}
		if o.SHA256 != "" && o.SHA256 != sum {
			return fmt.Errorf("%s: sha256: got %s, want %s", o.Path, sum, o.SHA256)
		}
		*o = Output{o.Path, fi.Size(), fi.ModTime().UnixNano(), sum}
	}
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(g.Records, 0o755); err != nil {
		return err
	}
	return archive.WriteFile(g.recordFile(r.Name), 0o644, func(w io.Writer) error { _, err := w.Write(append(data, '\n')); return err })
}

// Holder is who has a lock.
type Holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

// LockedError says that another run has the lock.
type LockedError struct{ Holder }

func (e *LockedError) Error() string {
	return fmt.Sprintf("another run holds this stack: pid %d (%s) since %s", e.PID, e.Command, e.Since.Local().Format(time.DateTime))
}

// Lock takes the lock of a directory of records, or gives a *LockedError. The kernel drops it with the process, so a
// lock can never be stale. The function that it gives lets go.
func Lock(dir, command string) (func(), error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: lock: %w", f.Name(), err)
		}
		var h Holder
		_ = json.NewDecoder(f).Decode(&h) // a holder that is just starting has written nothing yet
		return nil, &LockedError{h}
	}
	data, _ := json.Marshal(Holder{os.Getpid(), command, time.Now()})
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt(data, 0)
		if err != nil {
			f.Close()
			return nil, err
		}
	}
	return func() { f.Close() }, nil
}
