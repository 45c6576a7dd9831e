package run

import (
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

func TestAnOutputThatIsHeldOpenIsWaitedForAndThenAnError(t *testing.T) {
	// Who leaves the group outlives its parent, where there is no namespace of processes that ends with that.
	out, err := (Cmd{Argv: []string{"sh", "-c", "setsid sh -c 'touch up; sleep 0.3' & until test -e up; do :; done; echo said"}, Dir: t.TempDir(), Env: env}).Output(t.Context())
	if err != nil || out != "said\n" {
		t.Errorf("held for a moment: got %q, %v", out, err)
	}
	before := held
	defer func() { held = before }()
	held = 100 * time.Millisecond
	_, err = (Cmd{Argv: []string{"sh", "-c", "setsid sh -c 'touch up; sleep 5' & until test -e up; do :; done; echo said"}, Dir: t.TempDir(), Env: env}).Output(t.Context())
	if err == nil || !strings.Contains(err.Error(), "holds its output open") {
		t.Errorf("held for long: got %v", err)
	}
}

func TestAtItsGateTheWholeGroupStandsStill(t *testing.T) {
	dir := t.TempDir()
	exists := func(n string) bool { _, err := os.Stat(filepath.Join(dir, n)); return err == nil }
	calls := 0
	var out strings.Builder
	err := Cmd{Argv: []string{"sh", "-c", "(i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; until test -e said; do :; done; touch child) & echo one; touch said; wait; touch done; echo two"}, Dir: dir, Env: env, Out: &out,
		Gate: func(_ context.Context, cpu time.Duration) error {
			calls++
			if cpu <= 0 || cpu > time.Minute {
				t.Errorf("got %v of CPU time", cpu)
			}
			time.Sleep(20 * time.Millisecond) // what ran on the other core when it was stopped
			os.Remove(filepath.Join(dir, "child"))
			time.Sleep(300 * time.Millisecond)
			if exists("child") || exists("done") {
				t.Error("a process of the group went on")
			}
			return nil
		}}.Run(t.Context())
	if err != nil || calls != 1 || out.String() != "one\ntwo\n" || !exists("done") {
		t.Errorf("got %v, %d calls, %q; want it to go on to its end", err, calls, out.String())
	}
}

func TestTheGateStandsAtWhatIsWanted(t *testing.T) {
	for _, c := range []struct{ says, want string }{{"echo an error", ""}, {"echo warning; sleep 0.1; echo pkg; sleep 0.1; echo pkg2", "pkg\n"}} {
		at := ""
		err := Cmd{Argv: []string{"sh", "-c", c.says}, Dir: "/", Env: env, Out: &strings.Builder{}, At: func(p []byte) bool {
			if strings.HasPrefix(string(p), "pkg") {
				at += string(p)
				return true
			}
			return false
		}, Gate: func(context.Context, time.Duration) error { return nil }}.Run(t.Context())
		if err != nil || at != c.want {
			t.Errorf("%s: got %v, stood at %q, want %q", c.says, err, at, c.want)
		}
	}
}

func TestWhoStandsAtItsGateEndsWithTheContext(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	start := time.Now()
	err := Cmd{Argv: []string{"sh", "-c", "echo one; sleep 60"}, Dir: "/", Env: env, Out: &strings.Builder{}, Gate: func(ctx context.Context, _ time.Duration) error {
		stop(stopped)
		<-ctx.Done()
		return context.Cause(ctx)
	}}.Run(ctx)
	if err != stopped || time.Since(start) > 20*time.Second {
		t.Errorf("got %v after %v, want %v at once", err, time.Since(start), stopped)
	}
}

func TestAChildThatIsGoneIsNotHeldAtItsGate(t *testing.T) {
	var out strings.Builder
	start := time.Now()
	dir := t.TempDir()
	err := Cmd{Argv: []string{"sh", "-c", "echo $$ >pid; printf 'one\ntwo\n'; sleep 60"}, Dir: dir, Env: env, Out: &out, Gate: func(ctx context.Context, _ time.Duration) error {
		data, _ := os.ReadFile(filepath.Join(dir, "pid"))
		pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil {
			return err
		}
		syscall.Kill(pid, syscall.SIGKILL)
		<-ctx.Done()
		return context.Cause(ctx)
	}}.Run(t.Context())
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "killed") || out.String() != "one\ntwo\n" || time.Since(start) > held/2 {
		t.Errorf("got %v, %q after %v; want its end and all that it said, at once", err, out.String(), time.Since(start))
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestALogThatCannotBeWrittenEndsTheChild(t *testing.T) {
	err := Cmd{Argv: []string{"sh", "-c", "while echo much; do :; done"}, Dir: "/", Env: env, Out: broken{}}.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v, want the writer's error", err)
	}
}

func TestCancellingEndsGrandchildrenThatIgnoreSIGTERM(t *testing.T) {
	mark := "7" + strings.ReplaceAll(time.Now().Format("150405.000000"), ".", "")
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(300*time.Millisecond, cancel)
	start := time.Now()
	_, err := Cmd{Argv: []string{"sh", "-c", "trap '' TERM; sh -c 'trap \"\" TERM; sleep " + mark + "' & wait; wait"}, Env: env}.Output(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	if d := time.Since(start); d > 4*time.Second {
		t.Errorf("took %v, want under 4s", d)
	}
	time.Sleep(100 * time.Millisecond)
	for _, p := range processes() {
		if strings.Contains(p, "sleep\x00"+mark) {
			t.Errorf("%q is still there", p)
		}
	}
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
		Cmd{Argv: []string{"sh", "-c", "sh -c 'sleep " + os.Args[2] + "; :' & wait"}, Dir: "/", Env: env, Sandbox: &Sandbox{Read: system}}.Run(context.Background())
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
	for range 3000 {
		if there() {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if !there() {
		t.Fatal("the grandchild did not start")
	}
	cmd.Process.Signal(syscall.SIGKILL)
	cmd.Wait()
	for range 3000 {
		if !there() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the grandchild lives on")
}

func TestQuoteIsReadBackByAShell(t *testing.T) {
	argv := []string{"printf", "%s\n", "a b", "it's", "", "$HOME", "`x`", "new\nline", "*"}
	got, err := exec.Command("sh", "-c", Quote(argv)).Output()
	want, err2 := exec.Command(argv[0], argv[1:]...).Output()
	if err != nil || err2 != nil || string(got) != string(want) {
		t.Errorf("got %q, want %q (%v %v)", got, want, err, err2)
	}
}
