package run

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var env = []string{"PATH=/usr/bin:/bin", "ONLY=this"}

func TestTheEnvironmentIsJustWhatIsGiven(t *testing.T) {
	t.Setenv("LEAK", "yes")
	out, err := Cmd{Argv: []string{"env"}, Env: env}.Output(context.Background())
	if err != nil || strings.Contains(out, "LEAK") || !strings.Contains(out, "ONLY=this") {
		t.Errorf("got %q %v", out, err)
	}
}

func TestAFailureSaysTheCommandAndItsCode(t *testing.T) {
	_, err := Cmd{Argv: []string{"sh", "-c", "exit 7"}, Env: env}.Output(context.Background())
	var e *Error
	if !errors.As(err, &e) || e.Code != 7 || !strings.Contains(err.Error(), "sh -c 'exit 7'") {
		t.Errorf("got %v, want code 7 and the command", err)
	}
	_, err = Cmd{Argv: []string{"no-such-tool"}, Env: env}.Output(context.Background())
	if err == nil || !strings.Contains(err.Error(), "not found in PATH=/usr/bin:/bin") {
		t.Errorf("got %v, want where it was looked for", err)
	}
}

// fifo makes a named pipe, which nobody who opens it waits for, and who reads it waits until the test is over.
func fifo(t *testing.T, file string) {
	t.Helper()
	if err := syscall.Mkfifo(file, 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
}

// until waits for an event, as long as the test may take. Nobody waits for less than what a loaded machine may need.
func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	end := time.Now().Add(time.Hour)
	if d, ok := t.Deadline(); ok {
		end = d.Add(-10 * time.Second)
	}
	for ; !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("never: %s", what)
			return
		}
	}
}

func TestAnOutputThatIsHeldOpenIsWaitedForAndThenAnError(t *testing.T) {
	// Who leaves the group outlives its parent, where there is no namespace of processes that ends with that. The first
	// ends when its parent has ended and is buried, the second does not.
	holds := func(script string) Cmd {
		return Cmd{Argv: []string{"sh", "-c", "p=$$; setsid sh -c 'touch up; " + script +
			"' hold $p & until test -e up; do :; done; echo said"}, Dir: t.TempDir(), Env: env}
	}
	out, err := holds("while kill -0 $1 2>/dev/null; do :; done").Output(t.Context())
	if err != nil || out != "said\n" {
		t.Errorf("held for a moment: got %q, %v", out, err)
	}
	before := held
	defer func() { held = before }()
	held = 100 * time.Millisecond
	c := holds("read x <pipe")
	fifo(t, filepath.Join(c.Dir, "pipe"))
	_, err = c.Output(t.Context())
	if err == nil || !strings.Contains(err.Error(), "holds its output open") {
		t.Errorf("held for long: got %v", err)
	}
}

// group are the states of the processes of a group, as proc(5) has them: "T" stands still.
func group(pgid int) (states string) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range files {
		data, _ := os.ReadFile(f)
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		if len(fields) > 2 && fields[2] == strconv.Itoa(pgid) {
			states += fields[0]
		}
	}
	return states
}

// pidIn is the process whose number a child wrote into a file.
func pidIn(t *testing.T, file string) int {
	t.Helper()
	data, _ := os.ReadFile(file)
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Error(err)
		return 4194305 // nobody's
	}
	return pid
}

func TestAtItsGateTheWholeGroupStandsStill(t *testing.T) {
	dir := t.TempDir()
	calls := 0
	var out strings.Builder
	err := Cmd{Argv: []string{"sh", "-c",
		"(until test -e go; do :; done; touch child) & echo $$ >pid; echo one; wait; test -e child && echo two"},
		Dir: dir, Env: env, Out: &out,
		Gate: func(_ context.Context, cpu time.Duration) error {
			calls++
			if cpu <= 0 || cpu > time.Minute {
				t.Errorf("got %v of CPU time", cpu)
			}
			pgid := pidIn(t, filepath.Join(dir, "pid"))
			until(t, "parent and child stand still", func() bool {
				g := group(pgid)
				return len(g) > 1 && strings.Trim(g, "T") == ""
			})
			return os.WriteFile(filepath.Join(dir, "go"), nil, 0o644)
		}}.Run(t.Context())
	if err != nil || calls != 1 || out.String() != "one\ntwo\n" {
		t.Errorf("got %v, %d calls, %q; want it to go on to its end", err, calls, out.String())
	}
}

func TestTheGateStandsAtWhatIsWanted(t *testing.T) {
	for _, c := range []struct{ says, want string }{
		{"echo an error", ""},
		{"echo warning; until test -e seen; do :; done; echo pkg; until test -e passed; do :; done; echo pkg2",
			"pkg\n"},
	} {
		dir, at := t.TempDir(), ""
		touch := func(name string) error { return os.WriteFile(filepath.Join(dir, name), nil, 0o644) }
		err := Cmd{Argv: []string{"sh", "-c", c.says}, Dir: dir, Env: env, Out: &strings.Builder{},
			At: func(p []byte) bool {
				if err := touch("seen"); err != nil {
					t.Error(err)
				}
				if strings.HasPrefix(string(p), "pkg") {
					at += string(p)
					return true
				}
				return false
			}, Gate: func(context.Context, time.Duration) error { return touch("passed") }}.Run(t.Context())
		if err != nil || at != c.want {
			t.Errorf("%s: got %v, stood at %q, want %q", c.says, err, at, c.want)
		}
	}
}

func TestWhoStandsAtItsGateEndsWithTheContext(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	dir := t.TempDir()
	fifo(t, filepath.Join(dir, "pipe"))
	err := Cmd{Argv: []string{"sh", "-c", "echo $$ >pid; echo one; read x <pipe"}, Dir: dir, Env: env,
		Out: &strings.Builder{}, Gate: func(ctx context.Context, _ time.Duration) error {
			stop(stopped)
			<-ctx.Done()
			return context.Cause(ctx)
		}}.Run(ctx)
	if !errors.Is(err, stopped) {
		t.Errorf("got %v, want %v", err, stopped)
	}
	if left := group(pidIn(t, filepath.Join(dir, "pid"))); left != "" {
		t.Errorf("processes of the group are left, in the states %s", left)
	}
}

func TestAChildThatIsGoneIsNotHeldAtItsGate(t *testing.T) {
	var out strings.Builder
	dir := t.TempDir()
	fifo(t, filepath.Join(dir, "pipe"))
	err := Cmd{Argv: []string{"sh", "-c", "echo $$ >pid; printf 'one\ntwo\n'; read x <pipe"}, Dir: dir, Env: env,
		Out: &out, Gate: func(ctx context.Context, _ time.Duration) error {
			syscall.Kill(pidIn(t, filepath.Join(dir, "pid")), syscall.SIGKILL)
			<-ctx.Done()
			return context.Cause(ctx)
		}}.Run(t.Context())
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "killed") || strings.Contains(err.Error(), "holds") ||
		out.String() != "one\ntwo\n" {
		t.Errorf("got %v, %q; want its end and all that it said", err, out.String())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestALogThatCannotBeWrittenEndsTheChild(t *testing.T) {
	c := Cmd{Argv: []string{"sh", "-c", "while echo much; do :; done"}, Dir: "/", Env: env, Out: broken{}}
	err := c.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v, want the writer's error", err)
	}
}

// called calls itself with what is written.
type called func([]byte)

func (f called) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestCancellingEndsGrandchildrenThatIgnoreSIGTERM(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	fifo(t, filepath.Join(dir, "pipe"))
	err := Cmd{Argv: []string{"sh", "-c",
		"trap '' TERM; echo $$ >pid; sh -c 'trap \"\" TERM; echo up; read x <pipe' & wait"}, Dir: dir, Env: env,
		Out: called(func([]byte) { cancel() })}.Run(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	pgid := pidIn(t, filepath.Join(dir, "pid"))
	until(t, "the grandchild is gone", func() bool { return group(pgid) == "" })
}

func processes() []string {
	var out []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		data, _ := os.ReadFile(f)
		out = append(out, string(data))
	}
	return out
}

// TestMain also plays the runner that is killed.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "play-runner" {
		Cmd{Argv: []string{"sh", "-c", "sh -c 'sleep " + os.Args[2] + "; :' & wait"}, Dir: "/", Env: env,
			Sandbox: &Sandbox{Read: system}}.Run(context.Background())
		return
	}
	os.Exit(m.Run())
}

func TestWhenTheRunnerIsKilledNothingIsLeftBehind(t *testing.T) {
	confines(t)
	mark := "8" + strings.ReplaceAll(time.Now().Format("150405.000000"), ".", "")
	cmd := exec.Command("/proc/self/exe", "play-runner", mark)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	there := func() bool {
		for _, p := range processes() {
			if strings.Contains(p, "sleep\x00"+mark) {
				return true
			}
		}
		return false
	}
	until(t, "the grandchild starts", there)
	cmd.Process.Signal(syscall.SIGKILL)
	cmd.Wait()
	until(t, "the grandchild is gone", func() bool { return !there() })
}

func TestQuoteIsReadBackByAShell(t *testing.T) {
	argv := []string{"printf", "%s\n", "a b", "it's", "", "$HOME", "`x`", "new\nline", "*"}
	got, err := exec.Command("sh", "-c", Quote(argv)).Output()
	want, err2 := exec.Command(argv[0], argv[1:]...).Output()
	if err != nil || err2 != nil || string(got) != string(want) {
		t.Errorf("got %q, want %q (%v %v)", got, want, err, err2)
	}
}
