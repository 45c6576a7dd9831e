package store

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/recipe"
)

// Keys of a component's two builds, and what it makes: a program with another name for it, a table and a library.
var (
	firstKey, secondKey = strings.Repeat("1", 64), strings.Repeat("2", 64)
	outputs             = []recipe.Output{{Name: "tool", Bin: true, Links: []string{"alias"}},
		{Name: "table", Data: true}, {Name: "lib/lib.a"}}
)

// kept returns a store in which a component was kept, with a content of its own.
func kept(t *testing.T, s *Store, component, key, content string, outputs []recipe.Output) *Store {
	t.Helper()
	if s == nil {
		root := t.TempDir()
		s = &Store{Root: root, Dir: filepath.Join(root, "build/s/store"), Output: filepath.Join(root, "output/s")}
	}
	stage := t.TempDir()
	for _, o := range outputs {
		file := filepath.Join(stage, o.Name)
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(t, os.WriteFile(file, []byte(content), 0o600))
	}
	must(t, s.Keep(component, key, stage, outputs))
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bin is what a reader finds in bin: contents by name, and of links their target.
func bin(t *testing.T, s *Store) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, p := range archive.Glob(s.output("bin"), "*") {
		data, err := os.ReadFile(p)
		must(t, err)
		if to, err := os.Readlink(p); err == nil {
			data = []byte("-> " + to)
		}
		got[filepath.Base(p)] = string(data)
	}
	return got
}

func TestAPublicationThatIsCutLeavesAllOldFilesOrAllNewOnes(t *testing.T) {
	t.Parallel()
	before := map[string]string{"tool": "old", "alias": "-> tool", "other": "kept"}
	after := map[string]string{"tool": "new", "alias": "-> tool", "other": "kept"}
	moved := false
	for cut := 0; ; cut++ {
		s := kept(t, nil, "other", firstKey, "kept", []recipe.Output{{Name: "other", Bin: true}})
		must(t, s.Publish("other", firstKey, []recipe.Output{{Name: "other", Bin: true}}))
		kept(t, s, "part", firstKey, "old", outputs)
		must(t, s.Publish("part", firstKey, outputs))
		kept(t, s, "part", secondKey, "new", outputs)
		steps := s.publication("part", secondKey, outputs)
		if cut > len(steps) {
			break
		}
		for _, step := range steps[:cut] {
			must(t, step())
		}
		got := bin(t, s)
		moved = moved || maps.Equal(got, after)
		if want := map[bool]map[string]string{false: before, true: after}[moved]; !maps.Equal(got, want) {
			t.Fatalf("cut after %d steps: got %v, want %v", cut, got, want)
		}
		must(t, s.Publish("part", secondKey, outputs))
		if got := bin(t, s); !maps.Equal(got, after) {
			t.Fatalf("cut after %d steps, then published: got %v, want %v", cut, got, after)
		}
		if left := archive.Glob(s.Output, binPrefix+"*"); len(left) != 1 {
			t.Fatalf("cut after %d steps, then published: got %q, want one directory", cut, left)
		}
	}
	if !moved {
		t.Error("the whole publication did not publish")
	}
}

func TestWhatIsPublishedIsNoFileOfTheStore(t *testing.T) {
	t.Parallel()
	s := kept(t, nil, "part", firstKey, "good", outputs)
	must(t, s.Publish("part", firstKey, outputs))
	for _, name := range []string{"bin/tool", "table"} {
		must(t, os.WriteFile(s.output(name), []byte("evil"), 0o755))
	}
	for _, o := range outputs {
		if data, err := os.ReadFile(filepath.Join(s.Path("part", firstKey), o.Name)); string(data) != "good" {
			t.Errorf("%s in the store: got %q, %v, want it as it was", o.Name, data, err)
		}
	}
	for name, want := range map[string]os.FileMode{"bin/tool": 0o755, "table": 0o644} {
		if fi, err := os.Stat(s.output(name)); err != nil || fi.Mode() != want {
			t.Errorf("%s: got %v, %v, want mode %v", name, fi, err, want)
		}
	}
}

func TestADirectoryOfTheUsersInThePlaceOfBinGivesWayAndKeepsItsFiles(t *testing.T) {
	t.Parallel()
	s := kept(t, nil, "part", firstKey, "new", outputs)
	must(t, os.MkdirAll(s.output("bin"), 0o755))
	must(t, os.WriteFile(s.output("bin/mine"), []byte("mine"), 0o644))
	must(t, s.Publish("part", firstKey, outputs))
	if got, want := bin(t, s), map[string]string{"tool": "new", "alias": "-> tool",
		"mine": "mine"}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAStoreWithoutAFileIsNotPublished(t *testing.T) {
	t.Parallel()
	s := kept(t, nil, "part", firstKey, "old", outputs)
	must(t, s.Publish("part", firstKey, outputs))
	kept(t, s, "part", secondKey, "new", outputs)
	must(t, os.Remove(filepath.Join(s.Path("part", secondKey), "lib/lib.a")))
	if err := s.Publish("part", secondKey, outputs); err == nil || !strings.Contains(err.Error(), "lib/lib.a") {
		t.Errorf("got %v, want an error that names lib/lib.a", err)
	}
	if got := bin(t, s)["tool"]; got != "old" {
		t.Errorf("tool: got %q, want the old one", got)
	}
	if data, _ := os.ReadFile(s.output("table")); string(data) != "old" {
		t.Errorf("table: got %q, want the old one", data)
	}
}

func TestADamagedEntryIsNoticed(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(file string) error{
		"":           func(string) error { return nil },
		"its bytes":  flip,
		"its length": func(f string) error { return os.WriteFile(f, []byte("longer than before"), 0o644) },
		"its mode":   func(f string) error { return os.Chmod(f, 0o777) },
		"its name":   os.Remove,
	} {
		s := kept(t, nil, "part", firstKey, "content", outputs)
		must(t, s.Publish("part", firstKey, outputs))
		rec := &graph.Record{Name: "part", Key: firstKey}
		for _, p := range s.Paths("part", firstKey, outputs) {
			stamp, err := archive.Stat(filepath.Join(s.Root, p))
			must(t, err)
			sum, err := archive.SHA256Tree(filepath.Join(s.Root, p))
			must(t, err)
			rec.Outputs = append(rec.Outputs, graph.Output{Path: p, Stamp: stamp, SHA256: sum})
		}
		must(t, os.Remove(s.output("bin/tool"))) // not the store's business
		must(t, damage(filepath.Join(s.Path("part", firstKey), "lib/lib.a")))
		if err := s.Whole(rec); (err == nil) != (name == "") ||
			err != nil && !strings.Contains(err.Error(), "lib/lib.a") {
			t.Errorf("%q damaged: got %v", name, err)
		}
	}
}

// flip changes a byte in place, and leaves size and time as they were.
func flip(file string) error {
	fi, err := os.Stat(file)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	data[0] ^= 1
	if err := os.WriteFile(file, data, 0o644); err != nil {
		return err
	}
	return os.Chtimes(file, fi.ModTime(), fi.ModTime())
}

func TestWhatIsKeptAppearsWholeAndAnEarlierKeyIsDropped(t *testing.T) {
	t.Parallel()
	s := kept(t, nil, "part", firstKey, "old", outputs)
	stage := t.TempDir()
	must(t, os.WriteFile(filepath.Join(stage, "tool"), []byte("new"), 0o755))
	if err := s.Keep("part", secondKey, stage, outputs); err == nil {
		t.Error("a stage without all outputs was kept")
	}
	if _, err := os.Stat(s.Path("part", secondKey)); err == nil {
		t.Error("half of the outputs are under the name of their key")
	}
	kept(t, s, "part", secondKey, "new", outputs)
	s.DropOld("part", secondKey)
	if got := archive.Glob(s.Dir, "part/*"); len(got) != 1 || got[0] != s.Path("part", secondKey) {
		t.Errorf("got %q, want the second key alone", got)
	}
}

func TestARecordListsTheStoresFileBeforeThePublishedNames(t *testing.T) {
	t.Parallel()
	s := &Store{Root: "/r", Dir: "/r/build/s/store", Output: "/r/output/s"}
	got := fmt.Sprint(s.Paths("part", firstKey, outputs))
	kept := "build/s/store/part/1111111111111111/"
	want := fmt.Sprint([]string{kept + "tool", "output/s/bin/tool", "output/s/bin/alias", kept + "table",
		"output/s/table", kept + "lib/lib.a"})
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAnotherPublicationKeepsProgramsInDirectoriesOfBin(t *testing.T) {
	s := &Store{Dir: t.TempDir(), Output: filepath.Join(t.TempDir(), "output")}
	plugin := []recipe.Output{{Name: "cli-plugins/docker-x", Bin: true}}
	for name, outputs := range map[string][]recipe.Output{"plugin": plugin, "part": {{Name: "prog", Bin: true}}} {
		file := filepath.Join(s.Path(name, firstKey), outputs[0].Name)
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		must(t, os.WriteFile(file, []byte(name), 0o755))
	}
	must(t, s.Publish("plugin", firstKey, plugin))
	must(t, s.Publish("part", firstKey, []recipe.Output{{Name: "prog", Bin: true}}))
	must(t, s.Publish("part", firstKey, []recipe.Output{{Name: "prog", Bin: true}}))
	for name, want := range map[string]string{"cli-plugins/docker-x": "plugin", "prog": "part"} {
		if got, err := os.ReadFile(filepath.Join(s.Output, "bin", name)); string(got) != want {
			t.Errorf("bin/%s: got %q, %v", name, got, err)
		}
	}
}
