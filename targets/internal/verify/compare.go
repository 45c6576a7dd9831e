package verify

import (
	"debug/buildinfo"
	"fmt"
	"maps"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"drydock/targets/internal/graph"
	"drydock/targets/internal/stack"
)

// Comparison is what two builds of a component have in common, by their records.
type Comparison struct {
	SameInputs bool   // all of them: the keys are the same
	Compilers  bool   // nothing differs but the compilers
	SameGo     bool   // where Go is one of them
	Cause      string // what differs between the inputs
	Files      []Pair
}

// Pair is a file of the first build with the second's of the same name, whose Path is empty where it has none.
type Pair struct{ A, B graph.Output }

// Name is the file's name without directories.
func (p Pair) Name() string { return filepath.Base(p.A.Path) }

// Same reports whether both were recorded with the same digest. What is on disk may be another by now.
func (p Pair) Same() bool { return p.A.SHA256 == p.B.SHA256 }

// Compare compares two builds of a component, input by input and file by file.
func Compare(a, b *graph.Record) Comparison {
	c := Comparison{SameInputs: a.Key == b.Key, SameGo: input(a, "go") == input(b, "go")}
	c.Compilers, c.Cause = cause(a, b)
	others := Files(b)
	for _, o := range Files(a) {
		p := Pair{A: o}
		same := func(x graph.Output) bool { return filepath.Base(x.Path) == p.Name() }
		if i := slices.IndexFunc(others, same); i >= 0 {
			p.B = others[i]
		}
		c.Files = append(c.Files, p)
	}
	return c
}

// Files are a build's outputs, without what lies in the store and is listed under its name in bin, too.
func Files(r *graph.Record) []graph.Output {
	return slices.DeleteFunc(slices.Clone(r.Outputs), func(o graph.Output) bool {
		return strings.Contains(o.Path, "/store/") && slices.ContainsFunc(r.Outputs, func(p graph.Output) bool {
			return p.Path != o.Path && filepath.Base(p.Path) == filepath.Base(o.Path)
		})
	})
}

func input(r *graph.Record, name string) string {
	for _, in := range r.Inputs {
		if in.Name == name {
			return in.Value
		}
	}
	return ""
}

// cause says what differs between the inputs of two builds, and whether that is their compilers alone.
func cause(here, there *graph.Record) (compilers bool, why string) {
	was := map[string]string{}
	for _, in := range there.Inputs {
		was[in.Name] = in.Value
	}
	var names, others []string
	for _, in := range here.Inputs {
		v, known := was[in.Name]
		delete(was, in.Name)
		switch {
		case known && v == in.Value:
		case in.Name == "go":
			names = append(names, "Go "+shortID(in.Value)+", there "+shortID(v))
		case in.Name == "cc":
			names = append(names, "gcc "+shortID(in.Value)+", there "+shortID(v))
		case strings.HasPrefix(in.Name, "output of ") && known: // told of that component
		default:
			others = append(others, in.Name)
		}
	}
	others = slices.AppendSeq(others, maps.Keys(was))
	switch {
	case len(others) > 0:
		slices.Sort(others)
		return false, "made from something else: " + strings.Join(others, ", ")
	case len(names) == 0:
		return false, "from the same inputs"
	}
	return true, strings.Join(names, "; ")
}

// MayDiffer reports whether a built file may differ from the other build's, and why.
func (c *Comparison) MayDiffer(file string) (bool, string) {
	if c.Compilers && c.SameGo && pureGo(file) {
		return false, "no C is in it, and the Go is the same"
	}
	return c.Compilers, c.Cause
}

// pureGo reports whether a file was compiled by Go without cgo.
func pureGo(file string) bool {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(info.Settings,
		func(s debug.BuildSetting) bool { return s.Key == "CGO_ENABLED" && s.Value == "0" })
}

// Short is the beginning of a digest; a record that was carried here may say anything.
func Short(digest string) string { return digest[:min(16, len(digest))] }

// shortID is a toolchain's version with the beginning of its digest.
func shortID(id string) string {
	v, d, _ := strings.Cut(id, " ")
	return strings.TrimSpace(v + " " + d[:min(8, len(d))])
}

// Recorded returns what is noted of a build, without the files that are named.
func Recorded(rec *graph.Record, without ...string) *stack.RecordedBuild {
	b := &stack.RecordedBuild{Component: rec.Name, Key: rec.Key, Go: input(rec, "go"), CC: input(rec, "cc"),
		Files: map[string]string{}}
	for _, o := range rec.Outputs {
		if n := filepath.Base(o.Path); !slices.Contains(without, n) {
			b.Files[n] = o.SHA256
		}
	}
	return b
}

// record is the record that a build was noted from, as far as it is noted.
func record(b *stack.RecordedBuild) *graph.Record {
	r := &graph.Record{Name: b.Component, Key: b.Key,
		Inputs: []graph.Input{{Name: "go", Value: b.Go}, {Name: "cc", Value: b.CC}}}
	for _, n := range slices.Sorted(maps.Keys(b.Files)) {
		r.Outputs = append(r.Outputs, graph.Output{Path: n, SHA256: b.Files[n]})
	}
	return r
}

// Identical is said only of files that were hashed in this run.
const Identical = "bit-identical to the recorded build"

// CompareRecorded says of one component how it compares with the recorded builds; wrong reports whether it is not what
// the same inputs made elsewhere.
func CompareRecorded(all *stack.Recorded, mine *stack.RecordedBuild) (text string, wrong bool) {
	b := all.Find(mine.Component, mine.Go, mine.CC)
	if b == nil {
		others := all.Of(mine.Component)
		if len(others) == 0 {
			return "no build of it is recorded", false
		}
		o := others[len(others)-1]
		switch {
		case o.Go != mine.Go && o.CC != mine.CC:
			return "recorded with another Go and C compiler: " + shortID(o.Go) + ", gcc " + shortID(o.CC), false
		case o.Go != mine.Go:
			return fmt.Sprintf("recorded with another Go: %s, this one %s", shortID(o.Go), shortID(mine.Go)), false
		default:
			return fmt.Sprintf("recorded with another C compiler or library: gcc %s, this one %s", shortID(o.CC),
				shortID(mine.CC)), false
		}
	}
	c := Compare(record(mine), record(b))
	var differ []string
	for _, p := range c.Files {
		if !p.Same() {
			differ = append(differ, p.Name())
		}
	}
	switch {
	case differ == nil:
		return Identical, false
	case c.SameInputs:
		return fmt.Sprintf("%s differs from the recorded build, which had the same inputs",
			strings.Join(differ, ", ")), true
	default:
		return "recorded with other sources or commands", false
	}
}
