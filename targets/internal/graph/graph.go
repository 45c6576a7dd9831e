// Package graph runs nodes in the order of their needs, skips those whose inputs and outputs are what a record says,
// and writes the record last. It knows nothing of what the nodes do.
package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Node is one unit of work.
type Node struct {
	Name   string
	Needs  []string
	Inputs []Input
	From   From // what the inputs say, for the record
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
	// Elsewhere is the record of another machine that made this, nil where it was made here; Origin says where it was
	// found.
	Elsewhere *Record
	Origin    string
}

// Graph is a set of nodes with the directory of their records.
type Graph struct {
	Root    string // the directory that outputs' paths are relative to
	Records string // the directory of the records
	Nodes   []*Node
	Width   int // how many nodes run at a time
	// KeepGoing begins what does not depend on a failure, too.
	KeepGoing bool
	Watch     Watcher
	Done      map[string]Result // nodes that this process has brought up to date before; they are not looked at again
	// Elsewhere returns the record of another machine that made a node with this key; nil where none did. Plan asks it
	// of what is stale; it may be nil.
	Elsewhere func(n *Node, key string) *Record

	// looked are the records of nodes that Plan found fresh. Run takes its word until it makes something, for looking
	// at an output costs by its files, and a making takes minutes, in which somebody may have changed another.
	mu     sync.Mutex
	looked map[string]*Record
}

// fresh gives the record of a node that Plan found to be as recorded, with this key, if nothing was made since.
func (g *Graph) fresh(name, key string) *Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r := g.looked[name]; r != nil && r.Key == key {
		return r
	}
	return nil
}

// look remembers what Plan found fresh, in place of what it found before.
func (g *Graph) look(looked map[string]*Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.looked = looked
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
	Seconds float64    // of work, as in Record
	Steps   []StepTime // of a making, failed ones too
}

// Status is what was done with a node.
type Status string

// What becomes of a node.
const (
	Fresh    Status = "fresh"
	Restored Status = "restored"
	Built    Status = "built"
	Fetched  Status = "fetched" // made elsewhere
	Failed   Status = "failed"
	Blocked  Status = "blocked" // something that it needs failed
	Stopped  Status = "stopped" // the run was cancelled, or something failed, before its turn
)

// What a plan says of a node beside Fresh.
const (
	Stale   Status = "stale"   // it would be made
	Damaged Status = "damaged" // its outputs would be put back in place
	Ready   Status = "ready"   // it would be fetched
	Depends Status = "depends" // it would be made if what it needs comes out differently
)

// Planned is what Run would do with a node.
type Planned struct {
	Name    string
	Status  Status
	Why     string
	Changes []Change // all inputs that are not what they were
	Record  *Record  // what is remembered of it; nil when it was never made
}

// Plan says what Run would do, and does nothing. Its errors are Order's.
func (g *Graph) Plan(want []string) ([]Planned, error) {
	order, err := g.Order(want)
	if err != nil {
		return nil, err
	}
	var plan []Planned
	by, looked := map[string]Planned{}, map[string]*Record{}
	for _, n := range order {
		p := Planned{Name: n.Name, Status: Stale, Record: g.Load(n.Name)}
		digests := map[string]string{}
		var moving []string // needs whose outputs are not known yet
		for _, d := range n.Needs {
			if s := by[d].Status; s == Stale || s == Depends {
				moving = append(moving, d)
			}
			if r := by[d].Record; r != nil {
				digests[d] = r.Digest()
			}
		}
		in := inputs(n, digests)
		if p.Record != nil {
			p.Changes = changes(p.Record, in)
		}
		switch p.Why = Differs(p.Record, in); {
		case len(moving) == 0 && p.Why != "" && g.Elsewhere != nil:
			if r := g.Elsewhere(n, Key(in)); r != nil {
				p.Status, p.Record = Ready, r
			}
		case p.Why != "":
		case len(moving) > 0:
			p.Status, p.Why = Depends, "if the output of "+strings.Join(moving, " or ")+" changes"
		default:
			p.Status = Fresh
			was := slices.Clone(p.Record.Outputs)
			if p.Why = g.Damage(p.Record, false); p.Why != "" {
				p.Status = Damaged
			} else if slices.Equal(was, p.Record.Outputs) { // with other times Run looks again, and writes them down
				looked[n.Name] = p.Record
			}
		}
		by[n.Name] = p
		plan = append(plan, p)
	}
	g.look(looked)
	return plan, nil
}

// Order returns the nodes that the wanted ones need, and these, needs first. It refuses an unknown need and a cycle.
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

// inputs are a node's own and its needs' outputs.
func inputs(n *Node, digests map[string]string) []Input {
	in := slices.Clone(n.Inputs)
	for _, d := range n.Needs {
		in = append(in, Input{"output of " + d, digests[d]})
	}
	return in
}

// Run brings the wanted nodes and all that they need up to date. It gives a result for each, in order, and the errors
// of those that failed, joined, each with its node's name in front.
func (g *Graph) Run(ctx context.Context, want []string) ([]Result, error) {
	order, err := g.Order(want)
	if err != nil {
		return nil, err
	}
	// After a failure, what runs is finished, for its work is not lost then; nothing new begins.
	var halt atomic.Bool
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
		if res, ok := g.Done[n.Name]; ok {
			c.res = res
			close(c.done)
			continue
		}
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
			if ctx.Err() != nil || halt.Load() {
				c.res.Status = Stopped
				return
			}
			g.one(ctx, n, inputs(n, digests), &c.res)
			if c.res.Status == Failed && !g.KeepGoing {
				halt.Store(true)
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
	if rec := g.fresh(n.Name, key); rec != nil {
		res.Status, res.Record = Fresh, rec
		g.Watch.Fresh(n.Name, rec)
		return
	}
	rec := g.Load(n.Name)
	res.Why = Differs(rec, in)
	if rec != nil && rec.Key == key {
		was := slices.Clone(rec.Outputs)
		damage := g.Damage(rec, false)
		if damage == "" {
			if !slices.Equal(was, rec.Outputs) {
				g.write(rec) // or the next run hashes what was touched again: no more is lost when this fails
			}
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
	g.look(nil)
	start := time.Now()
	g.Watch.Begin(n.Name, res.Why)
	made, err := n.Do(ctx, key)
	res.Steps = made.Steps
	var r *Record
	if err == nil {
		r = &Record{Name: n.Name, Key: key, Inputs: in, From: n.From, Built: start.UTC(),
			Seconds: worked(made.Steps, start), Steps: made.Steps, Notes: made.Notes}
		for _, p := range made.Outputs {
			r.Outputs = append(r.Outputs, Output{Path: p})
		}
		if o := made.Elsewhere; o != nil {
			r.From, r.Built, r.Seconds, r.Steps, r.Notes = o.From, o.Built, o.Seconds, o.Steps, o.Notes
			r.Origin = made.Origin
		}
		err = g.restamp(r)
	}
	res.Seconds = worked(made.Steps, start)
	if err != nil {
		res.Status, res.Err = Failed, err
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			res.Status = Stopped
		}
	} else {
		if res.Status, res.Record = Built, r; made.Elsewhere != nil {
			res.Status = Fetched
		}
	}
	g.Watch.End(n.Name, r, err)
}

// worked is what the steps took, in seconds; without steps, all since start. Between steps a node waits for its turn,
// which says nothing of the node.
func worked(steps []StepTime, start time.Time) (sum float64) {
	for _, s := range steps {
		sum += s.Seconds
	}
	if len(steps) == 0 {
		sum = time.Since(start).Seconds()
	}
	return sum
}
