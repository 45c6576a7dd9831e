package graph

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/archive"
)

// Input is one named thing that a node is made from. Its value must not depend on where or when.
type Input struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// From is what a node is made from, where the flat inputs of a key would have to be taken apart. A record that an older
// drydock wrote has no steps.
type From struct {
	Source string            `json:"source,omitempty"` // digest
	Tools  map[string]string `json:"tools,omitempty"`  // by "go" and "cc": release, blank, digest
	Steps  []Command         `json:"steps,omitempty"`
}

// Command is what one step runs, with symbolic paths.
type Command struct {
	Command string   `json:"command"`
	Env     []string `json:"env"`
}

// StepTime is what one step took.
type StepTime struct {
	Name    string    `json:"name"`
	Start   time.Time `json:"start"`
	Seconds float64   `json:"seconds"`
	CPU     float64   `json:"cpu,omitempty"` // in seconds, on all cores together; Peak in bytes, of the largest process
	Peak    int64     `json:"peak,omitempty"`
	// Exclusive says that no other such step ran beside it.
	Exclusive bool `json:"exclusive,omitempty"`
	// Units is how many pieces of work it did, where that is known (packages that Go compiled).
	Units int `json:"units,omitempty"`
}

// Record is what is remembered of a node that was made.
type Record struct {
	Name    string     `json:"name"`
	Key     string     `json:"key"`
	Inputs  []Input    `json:"inputs"`
	From    From       `json:"from"`
	Outputs []Output   `json:"outputs"`
	Built   time.Time  `json:"built"`
	Seconds float64    `json:"seconds"` // of work; what it waited for its turn is not counted
	Steps   []StepTime `json:"steps,omitempty"`
	Notes   []string   `json:"notes,omitempty"`
	Origin  string     `json:"origin,omitempty"` // where it was fetched from; empty where it was built here
}

// Output is one file, or one directory with all that is in it, as it was when it was made.
type Output struct {
	Path          string `json:"path"` // relative to the root
	archive.Stamp        // an older drydock noted no mode and no inode
	SHA256        string `json:"sha256"`
}

// Digest is the digest of a node's outputs: what its dependents have in their keys.
func (r *Record) Digest() string {
	h := sha256.New()
	for _, o := range r.Outputs {
		fmt.Fprintf(h, "%s %s\n", filepath.Base(o.Path), o.SHA256)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Of returns the output with a path relative to the root; an empty one where the record has none.
func (r *Record) Of(path string) Output {
	if i := slices.IndexFunc(r.Outputs, func(o Output) bool { return o.Path == path }); i >= 0 {
		return r.Outputs[i]
	}
	return Output{}
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
	if r.From.Tools == nil { // of an older drydock
		r.From.Tools = map[string]string{}
		for _, i := range r.Inputs {
			switch i.Name {
			case "source":
				r.From.Source = i.Value
			case "go", "cc":
				r.From.Tools[i.Name] = i.Value
			}
		}
	}
	return &r
}

func (g *Graph) recordFile(name string) string { return filepath.Join(g.Records, name+".json") }

// Key is the digest over named inputs.
func Key(in []Input) string {
	h := sha256.New()
	for _, i := range in {
		fmt.Fprintf(h, "%d:%s=%d:%s\n", len(i.Name), i.Name, len(i.Value), i.Value)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Change is one input that is not what it was; Was or Is is empty when it is new or gone.
type Change struct{ Name, Was, Is string }

func (c Change) String() string {
	switch {
	case c.Was == "":
		return fmt.Sprintf("%s: new: %s", c.Name, brief(c.Is))
	case c.Is == "":
		return fmt.Sprintf("%s: gone: was %s", c.Name, brief(c.Was))
	}
	was, is := Parting(c.Was, c.Is)
	return fmt.Sprintf("%s: was %s, is %s", c.Name, brief(was), brief(is))
}

// Parting cuts the words off that two long values begin and end with alike, so that what differs is left.
func Parting(a, b string) (string, string) {
	if len(a)+len(b) < 160 {
		return a, b
	}
	x, y := strings.Fields(a), strings.Fields(b)
	for len(x) > 1 && len(y) > 1 && x[0] == y[0] {
		x, y = x[1:], y[1:]
	}
	for len(x) > 1 && len(y) > 1 && x[len(x)-1] == y[len(y)-1] {
		x, y = x[:len(x)-1], y[:len(y)-1]
	}
	return strings.Join(x, " "), strings.Join(y, " ")
}

// changes holds inputs against a record's, in the order of the inputs; what is gone comes last.
func changes(r *Record, in []Input) []Change {
	was := map[string]string{}
	for _, i := range r.Inputs {
		was[i.Name] = i.Value
	}
	var cs []Change
	for _, i := range in {
		if v, ok := was[i.Name]; !ok || v != i.Value {
			cs = append(cs, Change{i.Name, v, i.Value})
		}
		delete(was, i.Name)
	}
	for _, i := range r.Inputs {
		if _, gone := was[i.Name]; gone {
			cs = append(cs, Change{i.Name, i.Value, ""})
		}
	}
	return cs
}

// Differs names the first input that differs from a record's, with both values; empty when none does.
func Differs(r *Record, in []Input) string {
	if r == nil {
		return "never built"
	}
	if cs := changes(r, in); len(cs) > 0 {
		return cs[0].String()
	}
	return ""
}

// brief shortens a digest to 12 digits, and anything long to one line of 200 bytes.
func brief(s string) string {
	if len(s) == 64 && !strings.ContainsAny(s, " /") {
		return s[:12]
	}
	s = strings.ReplaceAll(s, "\n", " ")
	if len(s) > 200 {
		s = s[:100] + " … " + s[len(s)-96:]
	}
	return s
}

// Damage names the first output that is not as recorded, with what was got and wanted; empty when all are. Without
// full, contents are believed where size, mode, time and inode are as recorded: nothing is hashed then. An output that
// has another time or inode and the same content is taken into r with those.
func (g *Graph) Damage(r *Record, full bool) string {
	for i := range r.Outputs {
		o := &r.Outputs[i]
		p := filepath.Join(g.Root, o.Path)
		is, err := archive.Stat(p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return o.Path + ": gone"
		case err != nil:
			return o.Path + ": " + err.Error()
		case is.Size != o.Size:
			return fmt.Sprintf("%s: %d bytes, was %d", o.Path, is.Size, o.Size)
		case o.Mode != 0 && is.Mode != o.Mode:
			return fmt.Sprintf("%s: mode %s, was %s", o.Path, octal(is.Mode), octal(o.Mode))
		case full || is.Mtime != o.Mtime || o.Inode != 0 && is.Inode != o.Inode:
			sum, err := archive.SHA256Tree(p)
			if err != nil {
				return o.Path + ": " + err.Error()
			}
			if sum != o.SHA256 {
				return fmt.Sprintf("%s: sha256: got %s, want %s", o.Path, brief(sum), brief(o.SHA256))
			}
			o.Mtime, o.Inode = is.Mtime, is.Inode
		}
	}
	return ""
}

// octal writes a mode as chmod takes it.
func octal(m fs.FileMode) string {
	n := uint32(m.Perm())
	for bit, high := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			n |= high
		}
	}
	return fmt.Sprintf("%04o", n)
}

// restamp takes the outputs' sizes, times and digests as they are on disk into the record, and writes it. Outputs that
// have a digest already must still have it, and their mode.
func (g *Graph) restamp(r *Record) error {
	for i := range r.Outputs {
		o := &r.Outputs[i]
		p := filepath.Join(g.Root, o.Path)
		is, err := archive.Stat(p)
		if err != nil {
			return err
		}
		sum, err := archive.SHA256Tree(p)
		if err != nil {
			return err
		}
		if o.SHA256 != "" && o.SHA256 != sum {
			return fmt.Errorf("%s: sha256: got %s, want %s", o.Path, sum, o.SHA256)
		}
		if o.Mode != 0 && o.Mode != is.Mode {
			return fmt.Errorf("%s: mode: got %s, want %s", o.Path, octal(is.Mode), octal(o.Mode))
		}
		*o = Output{o.Path, is, sum}
	}
	return g.write(r)
}

// write puts a record in its place.
func (g *Graph) write(r *Record) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(g.Records, 0o755); err != nil {
		return err
	}
	return archive.WriteBytes(g.recordFile(r.Name), 0o644, append(data, '\n'))
}
