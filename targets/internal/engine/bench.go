package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/patch"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
	"drydock/targets/internal/source"
	"drydock/targets/internal/ui"
)

// bench measures drydock against what the same work must cost at least, in one run on one machine.
type bench struct {
	e      *Engine
	dir    string // build/bench
	inputs map[string]*source.Source
	rows   [][]string
	peak   int64   // bytes, of drydock itself
	others float64 // the share of the cores that other processes used
}

// Bench builds the stack several times, cold and changed, and by hand, and writes docs/bench.md.
func Bench(ctx context.Context) error {
	return command(ctx, func(ctx context.Context, e *Engine) error {
		if err := e.look(ctx); err != nil {
			return err
		}
		b := &bench{e: e, dir: filepath.Join(e.Root, "build/bench")}
		var err error
		if b.inputs, err = e.src.Fetch(ctx, e.Stack.Parts()); err != nil {
			return failure.With(failure.Sources, err)
		}
		unlock, err := graph.Lock(ctx, b.dir, strings.Join(os.Args, " "), nil)
		if err != nil {
			return err
		}
		defer unlock()
		if err := b.clear(); err != nil { // of a bench that was killed
			return err
		}
		err = b.run(ctx)
		if ctx.Err() == nil { // it takes longer than mage gives who is stopped; the next bench, or clean, removes it
			err = errors.Join(err, b.clear())
		}
		return failure.With(failure.Failed, err)
	})
}

// clear removes what a bench makes, but for its lock.
func (b *bench) clear() error {
	return errors.Join(source.RemoveAll(filepath.Join(b.dir, "hand")), source.RemoveAll(filepath.Join(b.dir, "root")))
}

func (b *bench) run(ctx context.Context) error {
	began, others := time.Now(), busy()-ours()
	hand, err := b.byHand(ctx)
	if err != nil {
		return err
	}
	root := filepath.Join(b.dir, "root")
	if err := b.newRoot(root); err != nil {
		return err
	}
	cold, err := b.drydock(ctx, root, "all")
	if err != nil {
		return err
	}
	b.row("everything, cold", hand.cold, cold)
	steps := (&Engine{Root: root, Stack: b.e.Stack}).jobs()

	for _, c := range []struct{ what, program string }{
		{"nothing to do", filepath.Join(root, ".cache/drydock")},
		{"nothing to do, through ./mage", filepath.Join(root, "mage")},
	} {
		took, err := b.idle(ctx, root, c.program)
		if err != nil {
			return err
		}
		b.rows = append(b.rows, []string{c.what, "0", ms(took), ""})
	}

	// Each change is one patch; the least that it can cost is its compile commands, in a tree that is built already.
	for _, c := range []struct{ what, component, file, text, target string }{
		{"one file of dockerd changed", "dockerd", "daemon/bench_change.go", "package daemon\n\nvar benchChange = \"changed\"\n\nfunc init() { println(benchChange[:0]) }\n", "docker"},
		{"a patch to docker-init", "tini", "src/tini.c", "static const int bench_change = 1;\n", "tini"},
		{"libseccomp changed (and runc with it)", "libseccomp", "src/api.c", "const int bench_change = 1;\n", "runc"},
	} {
		patch, err := b.change(hand.trees[c.component], c.file, c.text)
		if err != nil {
			return err
		}
		least, err := hand.again(ctx, c.component)
		if err != nil {
			return err
		}
		dir := filepath.Join(root, "patches", c.component, ">= 0")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for name, data := range map[string]string{"series": "bench.patch\n", "bench.patch": patch} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
				return err
			}
		}
		took, err := b.drydock(ctx, root, c.target)
		if err != nil {
			return err
		}
		b.row(c.what, least, took)
	}

	if err := source.RemoveAll(filepath.Join(root, "build")); err != nil {
		return err
	}
	one := time.Duration(0)
	if runtime.NumCPU() > 1 {
		if err := b.newRoot(root); err != nil {
			return err
		}
		if one, err = b.drydock(ctx, root, "all", "taskset", "-c", "0"); err != nil {
			return err
		}
	}
	b.others = (busy() - ours() - others) / time.Since(began).Seconds() / float64(runtime.NumCPU())
	return b.write(cold, one, steps)
}

// jobs are the steps as the records have them.
func (e *Engine) jobs() []graph.Job {
	var jobs []graph.Job
	for _, n := range append(e.Stack.Parts(), packageNode) {
		if r := e.records().Load(n); r != nil {
			jobs = append(jobs, graph.Job{Name: n, Needs: e.needs(n), Steps: r.Steps})
		}
	}
	return jobs
}

// manual is the same work done by hand.
type manual struct {
	b     *bench
	cold  time.Duration
	trees map[string]string
	plans map[string]recipe.Plan
}

// byHand unpacks all trees (which is not counted), then runs the compile commands one after the other with one Go
// cache: the link commands, which compile what they need, without drydock's split and without its -dwarf=false.
func (b *bench) byHand(ctx context.Context) (*manual, error) {
	m := &manual{b: b, trees: map[string]string{}, plans: map[string]recipe.Plan{}}
	for _, n := range b.e.Stack.Parts() {
		c := b.e.Stack.Component[n]
		work := filepath.Join(b.dir, "hand", n)
		t, _ := b.e.tools(c)
		p := recipe.Paths{Work: work + "/src", Shims: work + "/shims", Stage: work + "/stage", Home: work + "/home", Tmp: work + "/tmp",
			Cache: filepath.Join(b.dir, "hand/cache"), Path: b.e.facts.PathDirs(b.e.cc()), Deps: map[string]string{}, Gopath: b.inputs[n].Layout, Libraries: b.inputs[n].Libraries()}
		for _, d := range b.e.needs(n) {
			p.Deps[d] = filepath.Join(b.dir, "hand", d, "stage")
		}
		for _, d := range []string{p.Work, p.Shims, p.Stage, p.Home, p.Tmp, p.Cache} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return nil, err
			}
		}
		if _, err := b.e.src.Prepare(c, b.inputs[n].Found, p.Work); err != nil {
			return nil, err
		}
		if _, err := patch.Apply(p.Work, b.inputs[n].Patches); err != nil {
			return nil, err
		}
		plan := recipe.Of(b.e.Stack, n, t, p)
		for _, file := range plan.Files {
			if err := writeFile(file); err != nil {
				return nil, err
			}
		}
		m.trees[n], m.plans[n] = p.Work, plan
	}
	start := time.Now()
	for _, n := range b.e.Stack.Parts() {
		b.e.UI.Line("bench     %s by hand", n)
		if _, err := m.again(ctx, n); err != nil {
			return nil, err
		}
	}
	m.cold = time.Since(start)
	return m, nil
}

// again runs a component's commands, and those of what is linked with it.
func (m *manual) again(ctx context.Context, component string) (time.Duration, error) {
	start := time.Now()
	names := []string{component}
	if m.cold > 0 && component == "libseccomp" {
		names = append(names, "runc")
	}
	for _, n := range names {
		for _, s := range m.plans[n].Steps {
			if slices.Contains(s.Argv, "list") {
				continue
			}
			argv := slices.DeleteFunc(slices.Clone(s.Argv), func(a string) bool { return a == recipe.NoDWARF })
			env := s.Env
			if len(names) > 1 && n == "runc" { // Go does not see that the library changed, so it is told
				env = append(slices.Clone(env), "CGO_CFLAGS=-O2 -DBENCH "+strings.TrimPrefix(valueOf(env, "CGO_CFLAGS"), "-O2 "))
			}
			if out, err := (run.Cmd{Argv: argv, Dir: s.Dir, Env: env}).Output(ctx); err != nil {
				return 0, fmt.Errorf("%s by hand: %s: %w\n%s", n, s.Name, err, out)
			}
		}
	}
	return time.Since(start), nil
}

func valueOf(env []string, key string) string {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, key+"="); ok {
			return v
		}
	}
	return ""
}

// change puts text at the beginning of a file of a tree, or makes the file, and gives the patch that does the same.
func (b *bench) change(tree, file, text string) (string, error) {
	p := filepath.Join(tree, file)
	data, err := os.ReadFile(p)
	n := strings.Count(text, "\n")
	var lines []string
	added := "+" + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n+") + "\n"
	patch := fmt.Sprintf("--- /dev/null\n+++ b/%s\n@@ -0,0 +1,%d @@\n%s", file, n, added)
	if err == nil {
		lines = strings.SplitN(string(data), "\n", 4)[:3]
		patch = fmt.Sprintf("--- a/%s\n+++ b/%s\n@@ -1,3 +1,%d @@\n%s", file, file, 3+n, added)
		for _, l := range lines {
			patch += " " + l + "\n"
		}
	}
	return patch, os.WriteFile(p, append([]byte(text), data...), 0o644)
}

// newRoot makes a repository of its own, with the sources of this one and this very program as its runner, which is
// written last: the launcher compiles a runner that is older than its source files.
func (b *bench) newRoot(root string) error {
	if err := source.RemoveAll(root); err != nil {
		return err
	}
	for _, d := range []string{"patches", ".cache"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	for _, n := range []string{"vendor-sources", "LICENSE"} {
		if err := os.Symlink(filepath.Join(b.e.Root, n), filepath.Join(root, n)); err != nil {
			return err
		}
	}
	if err := os.CopyFS(filepath.Join(root, "targets"), os.DirFS(filepath.Join(b.e.Root, "targets"))); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, c := range [][2]string{{"go.mod", "go.mod"}, {"go.sum", "go.sum"}, {"magefile.go", "magefile.go"}, {"mage", "mage"}, {self, ".cache/drydock"}} {
		from := c[0]
		if !filepath.IsAbs(from) {
			from = filepath.Join(b.e.Root, from)
		}
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, c[1]), data, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// drydock runs this very program on another repository, and gives its time.
func (b *bench) drydock(ctx context.Context, root, target string, before ...string) (time.Duration, error) {
	argv := append(slices.Clone(before), filepath.Join(root, ".cache/drydock"), target)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "DRYDOCK_ROOT="+root, "OFFLINE=1", "KEEP=0", "MAGEFILE_VERBOSE=0")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	b.e.UI.Line("bench     %s", strings.Join(append(before, "drydock", target), " "))
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
				b.peak = max(b.peak, peakOf(cmd.Process.Pid))
			}
		}
	}()
	err := cmd.Wait()
	took := time.Since(start)
	close(done)
	if err != nil {
		return 0, fmt.Errorf("drydock %s: %w\n%s", target, err, out.String())
	}
	return took, nil
}

// peakOf is the largest resident set of a process so far, in bytes.
func peakOf(pid int) int64 {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(data)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			return kb << 10
		}
	}
	return 0
}

// idle times "all" with nothing to do: the middle one of nine.
func (b *bench) idle(ctx context.Context, root, program string) (time.Duration, error) {
	var ts []time.Duration
	for range 9 {
		cmd := exec.CommandContext(ctx, program, "all")
		cmd.Env = append(os.Environ(), "DRYDOCK_ROOT="+root, "OFFLINE=1", "KEEP=0", "MAGEFILE_VERBOSE=0")
		start := time.Now()
		out, err := cmd.CombinedOutput()
		ts = append(ts, time.Since(start))
		if err != nil || !strings.Contains(string(out), "nothing to do") {
			return 0, fmt.Errorf("%s all: got %v, want nothing to do\n%s", program, err, out)
		}
	}
	slices.Sort(ts)
	return ts[4], nil
}

// busy is the CPU time, in seconds, that this machine has spent so far on anything, and that its host took from it.
func busy() float64 {
	data, _ := os.ReadFile("/proc/stat")
	var user, nice, system, idle, iowait, irq, softirq, steal float64
	_, _ = fmt.Sscanf(string(data), "cpu %f %f %f %f %f %f %f %f", &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal)
	return (user + nice + system + irq + softirq + steal) / 100 // USER_HZ
}

// ours is the CPU time, in seconds, of this process and of all that it has waited for.
func ours() float64 {
	sum := 0.0
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
		}
	}
	return sum
}

func (b *bench) row(what string, least, took time.Duration) {
	b.rows = append(b.rows, []string{what, secs(least), secs(took), fmt.Sprintf("%.2f", took.Seconds()/least.Seconds())})
}

func secs(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
func ms(d time.Duration) string   { return fmt.Sprintf("%d ms", d.Milliseconds()) }

// write makes docs/bench.md.
func (b *bench) write(cold, one time.Duration, jobs []graph.Job) error {
	var s strings.Builder
	s.WriteString("# How fast it is\n\nMade by `./mage bench`, in one run; never edited by hand.\n\n")
	fmt.Fprintf(&s, "%s, %s, %d cores, %s, gcc %s, %s. Other processes used %.0f %% of the cores meanwhile.\n\n", b.e.Stack.Name, time.Now().UTC().Format("2006-01-02"), b.e.cores(), runtime.GOARCH, b.e.cc().Version, "Go "+b.goVersion(),
		max(0, b.others*100))
	s.WriteString("\"By hand\" is the least that the work must cost: the bare compile commands, one after the other, with one Go cache, in trees\nthat are unpacked and patched already. drydock's time is the whole run: host, keys, unpacking, compiling, proof, publishing\nand, cold, the package.\n\n")
	s.WriteString("| what | by hand | drydock | ratio |\n| --- | --- | --- | --- |\n")
	for _, r := range b.rows {
		fmt.Fprintf(&s, "| %s |\n", strings.Join(r, " | "))
	}
	s.WriteString("\n| cores | cold | |\n| --- | --- | --- |\n")
	n := b.e.cores()
	if one > 0 {
		fmt.Fprintf(&s, "| 1 | %s | measured |\n", secs(one))
	}
	fmt.Fprintf(&s, "| %d | %s | measured |\n", n, secs(cold))
	for _, c := range []int{n, 4, 8} {
		fmt.Fprintf(&s, "| %d | %.1f s | simulated from the step times of the measured run |\n", c, graph.Simulate(jobs, b.e.width(), c, n))
	}
	fmt.Fprintf(&s, "\nPeak memory of drydock itself: %s.\n", ui.Bytes(b.peak))
	file := filepath.Join(b.e.Root, "docs/bench.md")
	if err := archive.WriteFile(file, 0o644, func(w io.Writer) error { _, err := io.WriteString(w, s.String()); return err }); err != nil {
		return err
	}
	b.e.UI.Text(s.String())
	return nil
}

func (b *bench) goVersion() string {
	g, _ := b.e.facts.Pick(b.e.Stack.Go)
	if g == nil {
		return "none"
	}
	return g.Version
}
