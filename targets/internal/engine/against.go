package engine

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/ui"
	"drydock/targets/internal/verify"
)

// Against holds what was built here against what another drydock built, which may have been carried here from another
// host: dir is its repository, of which build/<stack>/record and the outputs count. A file may differ where a compiler
// does that it was made with; anything else is a failure. With record, the digests of the components that both made
// from the same inputs, and the same, are noted beside the stack file.
func Against(ctx context.Context, dir string, record bool) error {
	return reading(ctx, func(_ context.Context, e *Engine) error { return e.against(dir, record) })
}

func (e *Engine) against(dir string, record bool) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	other := &graph.Graph{Root: dir, Records: filepath.Join(dir, "build", e.Stack.Name, "record")}
	rows := [][]string{{"COMPONENT", "FILE", "HERE", "THERE", "VERDICT"}}
	same, differ, bad := 0, 0, 0
	var twice []string
	for _, n := range e.Stack.Parts() {
		here, there := e.records().Load(n), other.Load(n)
		if here == nil || there == nil {
			where := e.Root
			if here != nil {
				where = dir
			}
			return fmt.Errorf("%s: not built in %s: want a drydock that built %s with the same C library (LIBC)", n, where, e.Stack.Name)
		}
		allowed, why := reasons(here, there)
		before := differ
		for _, o := range here.Outputs {
			if published(here, o) {
				continue
			}
			i := slices.IndexFunc(there.Outputs, func(p graph.Output) bool { return nameIn(p.Path) == nameIn(o.Path) })
			row := []string{n, filepath.Base(o.Path), firstOf(o.SHA256), "none", ""}
			switch {
			case i >= 0 && there.Outputs[i].SHA256 == o.SHA256:
				same++
				row[3], row[4] = firstOf(o.SHA256), e.UI.Good("identical")
				// By the records; what is said is said of the files.
				d := e.records().Damage(&graph.Record{Outputs: []graph.Output{o}}, true)
				if d == "" {
					d = other.Damage(&graph.Record{Outputs: there.Outputs[i : i+1]}, true)
				}
				if d != "" {
					row[4] = e.UI.Bad("DIFFERS") + ": not as it was built: " + d
					same, differ, bad = same-1, differ+1, bad+1
				}
			default:
				ok := allowed
				text := why
				if i >= 0 {
					row[3] = firstOf(there.Outputs[i].SHA256)
					mine, theirs := filepath.Join(e.Root, o.Path), filepath.Join(dir, there.Outputs[i].Path)
					if ok && pureGo(mine) && !goDiffers(here, there) {
						ok, text = false, "no C is in it, and the Go is the same"
					}
					if d, err := verify.Difference(mine, theirs); err == nil && !ok {
						text += ": " + d
					}
				} else {
					ok, text = false, "not made there"
				}
				if row[4] = "differs: " + text; !ok {
					row[4] = e.UI.Bad("DIFFERS") + ": " + text
					bad++
				}
				differ++
			}
			rows = append(rows, row)
		}
		if differ == before && here.Key == there.Key {
			twice = append(twice, n)
		}
	}
	e.UI.Text(ui.Table(rows))
	if bad > 0 {
		return failure.With(failure.Failed, fmt.Errorf("%s: %d of %d files differ from those of %s for another reason than the compiler: see the table", e.Stack.Name, bad, same+differ, dir))
	}
	if record {
		if len(twice) == 0 {
			return errors.New("no component was made from the same inputs by both: nothing is recorded")
		}
		if err := e.recordDigests(e.Root, twice); err != nil {
			return err
		}
	}
	e.UI.Line("drydock: %s: %d files identical, %d differ by what compiled them", e.Stack.Name, same, differ)
	return nil
}

// firstOf is the beginning of a digest; a record that was carried here may say anything.
func firstOf(digest string) string { return digest[:min(16, len(digest))] }

// nameIn is an output's name within its component, whatever the key in its path.
func nameIn(p string) string {
	parts := strings.Split(filepath.ToSlash(p), "/")
	if i := slices.Index(parts, "store"); i >= 0 && i+3 <= len(parts) { // build/<stack>/store/<component>/<key>/…
		return "store/" + strings.Join(parts[min(i+3, len(parts)):], "/")
	}
	return p
}

// published says that an output in the store is listed under its name in bin, too.
func published(r *graph.Record, o graph.Output) bool {
	return strings.Contains(o.Path, "/store/") && slices.ContainsFunc(r.Outputs, func(p graph.Output) bool {
		return p.Path != o.Path && filepath.Base(p.Path) == filepath.Base(o.Path)
	})
}

// reasons says what differs between the inputs of two builds, and whether that is their compilers alone.
func reasons(here, there *graph.Record) (compilers bool, why string) {
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
			names = append(names, "Go "+nameOf(in.Value)+", there "+nameOf(v))
		case in.Name == "cc":
			names = append(names, "gcc "+nameOf(in.Value)+", there "+nameOf(v))
		case strings.HasPrefix(in.Name, "output of ") && known: // told of that component
		default:
			others = append(others, in.Name)
		}
	}
	for n := range was {
		others = append(others, n)
	}
	switch {
	case len(others) > 0:
		slices.Sort(others)
		return false, "made from something else: " + strings.Join(others, ", ")
	case len(names) == 0:
		return false, "from the same inputs"
	}
	return true, strings.Join(names, "; ")
}

func goDiffers(here, there *graph.Record) bool { return recorded(here).Go != recorded(there).Go }

// pureGo says that a file was compiled by Go without cgo.
func pureGo(file string) bool {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "CGO_ENABLED" && s.Value == "0" })
}
