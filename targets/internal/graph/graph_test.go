package graph

import (
	"context"
	"drydock/targets/internal/testlong"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

type quiet struct{}

func (quiet) Fresh(string, *Record)      {}
func (quiet) Restored(string, *Record)   {}
func (quiet) Begin(string, string)       {}
func (quiet) End(string, *Record, error) {}
func (quiet) Blocked(string, string)     {}

// world is a graph of nodes that write one file each, of a content that depends on their input and their needs' files.
type world struct {
	root  string
	needs map[string][]string
	input map[string]string
	// coarse nodes write a content that depends on the length of their input only: a change may come out the same.
	coarse map[string]bool
	broken map[string]bool

	mu  sync.Mutex
	ran []string
}

func (w *world) content(n string) string {
	in := w.input[n]
	if w.coarse[n] {
		in = fmt.Sprint(len(in))
	}
	for _, d := range w.needs[n] {
		in += "(" + w.content(d) + ")"
	}
	return in
}

func (w *world) graph() *Graph {
	g := &Graph{Root: w.root, Records: filepath.Join(w.root, "record"), Width: 3, KeepGoing: true, Watch: quiet{}}
	for n := range w.needs {
		g.Nodes = append(g.Nodes, &Node{Name: n, Needs: w.needs[n], Inputs: []Input{{"input", w.input[n]}},
			Do: func(ctx context.Context, key string) (Made, error) {
				w.mu.Lock()
				w.ran = append(w.ran, n)
				w.mu.Unlock()
				if w.broken[n] {
					return Made{}, errors.New("broken")
				}
				return Made{Outputs: []string{n}}, os.WriteFile(filepath.Join(w.root, n), []byte(w.content(n)), 0o644)
			}})
	}
	return g
}

func (w *world) run(t *testing.T, want ...string) ([]Result, error) {
	t.Helper()
	w.ran = nil
	res, err := w.graph().Run(context.Background(), want)
	slices.Sort(w.ran)
	return res, err
}

func newWorld(t *testing.T, needs map[string][]string) *world {
	w := &world{root: t.TempDir(), needs: needs, input: map[string]string{}, coarse: map[string]bool{},
		broken: map[string]bool{}}
	for n := range needs {
		w.input[n] = n
	}
	return w
}

var diamond = map[string][]string{"base": nil, "left": {"base"}, "right": {"base"}, "top": {"left", "right"}}

func TestASecondRunDoesNothing(t *testing.T) {
	w := newWorld(t, diamond)
	if _, err := w.run(t, "top"); err != nil || len(w.ran) != 4 {
		t.Fatalf("first run: ran %v, error %v, want 4 nodes", w.ran, err)
	}
	if _, err := w.run(t, "top"); err != nil || len(w.ran) != 0 {
		t.Errorf("second run: ran %v, error %v, want none", w.ran, err)
	}
}

func TestARebuildWithTheSameOutputStopsThere(t *testing.T) {
	w := newWorld(t, diamond)
	w.coarse["base"] = true
	w.run(t, "top")
	w.input["base"] = "BASE" // same length
	if w.run(t, "top"); !slices.Equal(w.ran, []string{"base"}) {
		t.Errorf("ran %v, want just base", w.ran)
	}
}

func TestADamagedOutputIsNoticedAndMadeAgain(t *testing.T) {
	for name, damage := range map[string]func(string) error{
		"deleted":   os.Remove,
		"truncated": func(p string) error { return os.Truncate(p, 1) },
		"edited":    func(p string) error { return os.WriteFile(p, []byte("LEFT(base)"), 0o644) },
	} {
		w := newWorld(t, diamond)
		w.run(t, "top")
		if err := damage(filepath.Join(w.root, "left")); err != nil {
			t.Fatal(err)
		}
		if w.run(t, "top"); !slices.Equal(w.ran, []string{"left"}) {
			t.Errorf("%s: ran %v, want just left", name, w.ran)
		}
	}
}

func TestWhatIsDamagedAfterThePlanIsNoticedOnceSomethingWasMade(t *testing.T) {
	w := newWorld(t, map[string][]string{"first": nil, "left": {"first"}, "second": {"first"}})
	w.run(t, "left", "second")
	w.input["second"] = "changed"
	g := w.graph()
	g.Width = 1
	plan, err := g.Plan([]string{"second", "left"})
	if err != nil {
		t.Fatal(err)
	}
	if plan[0].Name != "first" || plan[0].Status != Fresh || plan[2].Status != Fresh {
		t.Fatalf("plan: got %v, want first and left fresh", plan)
	}
	for _, n := range g.Nodes { // second's making damages left, which comes after it
		if do := n.Do; n.Name == "second" {
			n.Do = func(ctx context.Context, key string) (Made, error) {
				if err := os.Remove(filepath.Join(w.root, "left")); err != nil {
					t.Error(err)
				}
				return do(ctx, key)
			}
		}
	}
	if g.fresh("left", plan[2].Record.Key) == nil {
		t.Error("Run will look at left again, which Plan has just looked at")
	}
	if _, err := g.Run(t.Context(), []string{"second"}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Run(t.Context(), []string{"left"}); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(w.ran, "left") {
		t.Errorf("ran %v, want left, too", w.ran)
	}
}

func TestTouchRebuildsNothing(t *testing.T) {
	w := newWorld(t, diamond)
	w.run(t, "top")
	p := filepath.Join(w.root, "left")
	data, _ := os.ReadFile(p)
	os.WriteFile(p, data, 0o644) // the same bytes
	then := time.Unix(1e9, 0)
	os.Chtimes(p, then, then)
	if w.run(t, "top"); len(w.ran) != 0 {
		t.Errorf("ran %v, want none", w.ran)
	}
	if r := (&Graph{Root: w.root, Records: filepath.Join(w.root, "record")}).Load("left"); r == nil ||
		r.Outputs[0].Mtime != then.UnixNano() {
		t.Errorf("the record has not taken the new time, the output would be hashed each time: %+v", r)
	}
}

func TestAFailureBlocksItsDependentsInADiamondAndNothingElse(t *testing.T) {
	w := newWorld(t, map[string][]string{"base": nil, "left": {"base"}, "right": {"base"}, "top": {"left", "right"},
		"aside": nil})
	w.broken["left"] = true
	res, err := w.run(t, "top", "aside")
	if err == nil || !strings.Contains(err.Error(), "left: broken") {
		t.Errorf("got error %v, want one that names left", err)
	}
	got := map[string]Status{}
	for _, r := range res {
		got[r.Name] = r.Status
	}
	want := map[string]Status{"base": Built, "left": Failed, "right": Built, "top": Blocked, "aside": Built}
	for n, s := range want {
		if got[n] != s {
			t.Errorf("%s: got %s, want %s", n, got[n], s)
		}
	}
}

func TestACycleAndAnUnknownNeedAreErrorsBeforeAnythingRuns(t *testing.T) {
	for want, needs := range map[string]map[string][]string{
		"a → b → c → a":     {"a": {"b"}, "b": {"c"}, "c": {"a"}},
		"a needs nowhere":   {"a": {"nowhere"}},
		"unknown node a":    {"b": nil},
		"cycle: a → a":      {"a": {"a"}},
		"b needs elsewhere": {"a": {"c", "b"}, "b": {"elsewhere"}, "c": nil},
	} {
		w := newWorld(t, needs)
		if _, err := w.run(t, "a"); err == nil || !strings.Contains(err.Error(), want) || len(w.ran) > 0 {
			t.Errorf("got error %v, ran %v; want %q and nothing run", err, w.ran, want)
		}
	}
}

func TestTheLockNamesItsHolder(t *testing.T) {
	dir := t.TempDir()
	unlock, err := Lock(t.Context(), dir, "mage all", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Lock(t.Context(), dir, "mage docker", nil)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() || locked.Command != "mage all" || locked.Since.IsZero() {
		t.Errorf("got %v, want the holder", err)
	}
	unlock()
	unlock, err = Lock(t.Context(), dir, "mage docker", nil)
	if err != nil {
		t.Fatalf("after unlock: %v", err)
	}
	unlock()
}

// TestRandomGraphsRunWhatTheModelSays changes random graphs at random and holds what ran against a model.
func TestRandomGraphsRunWhatTheModelSays(t *testing.T) { randomGraphs(t, 12) }

func TestLongManyRandomGraphsRunWhatTheModelSays(t *testing.T) {
	testlong.Skip(t)
	randomGraphs(t, 60)
}

func randomGraphs(t *testing.T, seeds uint64) {
	t.Parallel()
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 1))
		var names []string
		needs := map[string][]string{}
		for i := range 2 + r.IntN(12) {
			n := fmt.Sprintf("n%02d", i)
			needs[n] = nil
			for _, d := range names {
				if r.IntN(3) == 0 {
					needs[n] = append(needs[n], d)
				}
			}
			names = append(names, n)
		}
		w := newWorld(t, needs)
		for _, n := range names {
			w.coarse[n] = r.IntN(3) == 0
		}
		type built struct{ key, content string }
		done := map[string]built{}
		for round := range 8 {
			for _, n := range names {
				if r.IntN(5) == 0 {
					w.input[n] = fmt.Sprintf("%s-%d", n, r.IntN(30))
				}
				w.broken[n] = r.IntN(8) == 0
			}
			var want []string
			ok := map[string]bool{}
			for _, n := range names { // names are in order of needs
				key, blocked := w.input[n], false
				for _, d := range needs[n] {
					blocked = blocked || !ok[d]
					key += "|" + d + "=" + done[d].content
				}
				switch {
				case blocked:
				case done[n].key == key:
					ok[n] = true
				default:
					want = append(want, n)
					if !w.broken[n] {
						ok[n] = true
						done[n] = built{key, w.content(n)}
					}
				}
			}
			plan, err := w.graph().Plan(names)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.run(t, names...)
			for _, p := range plan { // what was planned is what ran, but for the blocked and what turned out the same
				ran := slices.Contains(w.ran, p.Name)
				if p.Status == Fresh && ran || p.Status == Stale && !ran && slices.Contains(want, p.Name) {
					t.Fatalf("seed %d round %d: %s was planned as %s (%s), ran: %v", seed, round, p.Name, p.Status,
						p.Why, ran)
				}
			}
			if !slices.Equal(w.ran, want) {
				t.Fatalf("seed %d round %d: ran %v, want %v (needs %v)", seed, round, w.ran, want, needs)
			}
			if (err == nil) != (len(ok) == len(names)) {
				t.Fatalf("seed %d round %d: error %v with %d of %d done", seed, round, err, len(ok), len(names))
			}
		}
	}
}

func TestAWaitingRunGetsTheLockWhenItsHolderLetsGo(t *testing.T) {
	dir := t.TempDir()
	unlock, err := Lock(t.Context(), dir, "first", nil)
	if err != nil {
		t.Fatal(err)
	}
	var heard Holder
	second, err := Lock(t.Context(), dir, "second", func(h Holder) { heard = h; unlock() })
	if err != nil || heard.Command != "first" {
		t.Fatalf("got %v, waited for %q; want the lock after \"first\"", err, heard.Command)
	}
	defer second()
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Lock(ctx, dir, "third", func(Holder) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while it waited: got %v, want context.Canceled", err)
	}
}

func TestSimulateSharesCoresAndKeepsOrder(t *testing.T) {
	step := func(wall, cpu float64, excl bool) StepTime { return StepTime{Seconds: wall, CPU: cpu, Exclusive: excl} }
	near := func(got, want float64) bool { return got > want*0.99 && got < want*1.01 }
	compile := []Job{{Name: "a", Steps: []StepTime{step(10, 20, true)}},
		{Name: "b", Steps: []StepTime{step(10, 20, true)}}}
	for cores, want := range map[int]float64{1: 40, 2: 20, 4: 10} {
		if got := Simulate(compile, 4, cores, 2); !near(got, want) {
			t.Errorf("two parallel compiles on %d cores: got %.2f s, want %.2f", cores, got, want)
		}
	}
	overlap := []Job{{Name: "a", Steps: []StepTime{step(4, 4, true), step(6, 6, false)}},
		{Name: "b", Steps: []StepTime{step(6, 6, true)}}}
	if got := Simulate(overlap, 4, 2, 2); !near(got, 10) {
		t.Errorf("a serial link beside a serial compile: got %.2f s, want 10", got)
	}
	chain := []Job{{Name: "a", Steps: []StepTime{step(3, 3, false)}},
		{Name: "b", Needs: []string{"a"}, Steps: []StepTime{step(3, 3, false)}}}
	if got := Simulate(chain, 4, 8, 2); !near(got, 6) {
		t.Errorf("a chain: got %.2f s, want 6", got)
	}
	if got := Simulate([]Job{{Name: "a", Needs: []string{"b"}}, {Name: "b", Needs: []string{"a"}}}, 4, 2, 2); got != 0 {
		t.Errorf("a circle: got %.2f s, want 0", got)
	}
}

// "clean" removes the lock's file with all the rest: who waited for that file must not hold what nobody else sees.
func TestALockWhoseFileWasRemovedIsTakenAgainByItsName(t *testing.T) {
	dir := t.TempDir()
	unlock, err := Lock(t.Context(), dir, "clean", nil)
	if err != nil {
		t.Fatal(err)
	}
	waited, err := Lock(t.Context(), dir, "waits", func(Holder) {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
		unlock()
	})
	if err != nil {
		t.Fatal(err)
	}
	defer waited()
	var locked *LockedError
	if _, err := Lock(t.Context(), dir, "second", nil); !errors.As(err, &locked) || locked.Command != "waits" {
		t.Errorf("got %v, want that the one who waited holds it", err)
	}
	// The same where the file goes between its opening and its lock.
	f, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !inPlace(f) {
		t.Error("the file of that name: got not in place")
	}
	if err := errors.Join(os.Remove(f.Name()), os.WriteFile(f.Name(), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if inPlace(f) {
		t.Error("a file of another: got in place")
	}
}

func TestARecordOfAnOlderDrydockIsReadAndItsStepsAreUnknown(t *testing.T) {
	t.Parallel()
	g := &Graph{Records: t.TempDir()}
	old := `{"name": "a", "key": "k", "inputs": [{"name": "source", "value": "s"},
		{"name": "go", "value": "1.19.13 d"}, {"name": "step 1 command", "value": "x"}]}`
	if err := os.WriteFile(g.recordFile("a"), []byte(old), 0o644); err != nil {
		t.Fatal(err)
	}
	r := g.Load("a")
	if r == nil || r.Key != "k" || len(r.Inputs) != 3 {
		t.Fatalf("got %+v, want the record with its key and inputs", r)
	}
	if want := (From{Source: "s", Tools: map[string]string{"go": "1.19.13 d"}}); !reflect.DeepEqual(r.From, want) {
		t.Errorf("got %+v, want %+v", r.From, want)
	}
}
