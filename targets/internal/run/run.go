// Package run starts one child process the way a build wants it: in a process group of its own, with an environment
// from scratch, its output in a log, confined to what it is given, and gone to the last grandchild when the context
// ends.
package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Cmd is one child process.
type Cmd struct {
	Argv []string
	Dir  string
	Env  []string // the whole environment, as KEY=value; nothing of ours is added
	// Out receives standard output and standard error. Nil throws them away.
	Out io.Writer
	// Sandbox is what the child is confined to. One without can do what we can: for tools that are asked about
	// themselves.
	Sandbox *Sandbox
	// Gate, when not nil, is called once, when the child first prints what At wants (anything, where that is nil), with
	// the CPU time that the child has taken without its own children. All its group stands still until Gate returns; an
	// error closes its output. Its context ends with the child, too, which may have been gone before it could be
	// stopped.
	Gate func(ctx context.Context, cpu time.Duration) error
	At   func(printed []byte) bool
	// Beside, when not nil, goes on beside a confined child: what the child writes to the descriptor BesideOut, r
	// reads, and what is written to w the child reads from BesideIn. Both end with the child, and the context with it.
	Beside func(ctx context.Context, r io.Reader, w io.Writer)
	// Usage, when not nil, is set to what the child and its own children took.
	Usage *Usage
}

// Usage is what a child took, its own children included.
type Usage struct {
	CPU  time.Duration // on all cores together
	Peak int64         // bytes: the largest resident set of any one process
}

// grace is what a cancelled child has between SIGTERM and SIGKILL. Mage gives up 5 s after SIGINT.
const grace = 1500 * time.Millisecond

// Error says which command failed and how.
type Error struct {
	Cmd  Cmd
	Code int // exit code; -1 when a signal ended it or it did not start
	Err  error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %v", Quote(e.Cmd.Argv), e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Run starts the child and waits for it. The error is the context's when that ended first, else an *Error.
func (c Cmd) Run(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// Pdeathsig is tied to the thread that forks, so it must live as long as the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	path, err := LookPath(c.Argv[0], c.Env)
	if err != nil {
		return &Error{c, -1, err}
	}
	cmd, st, err := c.command(path)
	if err != nil {
		return err
	}
	defer st.close()
	out, err := c.output(cmd)
	if err != nil {
		return &Error{c, -1, err}
	}
	defer out.close()
	beside, err := c.beside(cmd)
	if err != nil {
		return &Error{c, -1, err}
	}
	defer beside.close()
	err = cmd.Start()
	st.started()
	if err != nil {
		return &Error{c, -1, err}
	}
	pgid := cmd.Process.Pid
	alive, gone := context.WithCancel(ctx)
	defer gone()
	beside.begin(alive)
	if c.Gate != nil {
		out.to = &gated{w: out.to, at: c.At, gate: func() error {
			syscall.Kill(-pgid, syscall.SIGSTOP)
			defer syscall.Kill(-pgid, syscall.SIGCONT)
			err := c.Gate(alive, cpuOf(pgid))
			if alive.Err() != nil {
				return context.Cause(ctx) // nil where only the child is gone: what it said is wanted
			}
			return err
		}}
	}
	out.begin()
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { endWith(ctx, pgid, done) })
	err = st.or(cmd.Wait())
	close(done)
	gone()
	watch.Wait()
	syscall.Kill(-pgid, syscall.SIGKILL) // what the child left behind
	beside.close()
	err = errors.Join(err, out.wait(ctx))
	c.Usage.take(cmd.ProcessState)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		code := -1
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		}
		return &Error{c, code, err}
	}
	return nil
}

// endWith ends a process group with a context: it gets the time to end by itself, and then none. It returns when the
// group has, or done is closed.
func endWith(ctx context.Context, pgid int, done <-chan struct{}) {
	select {
	case <-done:
		return
	case <-ctx.Done():
	}
	syscall.Kill(-pgid, syscall.SIGTERM)
	syscall.Kill(-pgid, syscall.SIGCONT) // where it stands still
	select {
	case <-done:
	case <-time.After(grace):
	}
	syscall.Kill(-pgid, syscall.SIGKILL)
}

// take notes what an ended process used; u may be nil, and there may have been none.
func (u *Usage) take(st *os.ProcessState) {
	if st == nil || u == nil {
		return
	}
	u.CPU = st.UserTime() + st.SystemTime()
	if r, ok := st.SysUsage().(*syscall.Rusage); ok {
		u.Peak = r.Maxrss << 10
	}
}

// command is what is started, and the way by which a confined child says why it did not become what it should.
func (c Cmd) command(path string) (*exec.Cmd, *status, error) {
	if c.Sandbox != nil {
		cmd, st, err := c.confined(path)
		if err == nil {
			cmd.Env = c.Env
		}
		return cmd, st, err
	}
	cmd := exec.Command(path)
	cmd.Args, cmd.Dir, cmd.Env = c.Argv, c.Dir, c.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd, nil, nil
}

// held is how long the output of a child that has ended may stay open. Besides its grandchildren, it is held for a
// moment by every other child that this process is just making: making one with a network of its own takes seconds on a
// busy machine.
var held = 30 * time.Second

// output is the way of a child's output to a writer that is not a file.
type output struct {
	to   io.Writer
	r, w *os.File
	done chan error
}

// gated calls gate before the first write that at says yes to.
type gated struct {
	w    io.Writer
	at   func([]byte) bool
	gate func() error
}

func (g *gated) Write(p []byte) (int, error) {
	if gate := g.gate; gate != nil && (g.at == nil || g.at(p)) {
		g.gate = nil
		if err := gate(); err != nil {
			return 0, err
		}
	}
	return g.w.Write(p)
}

// cpuOf is the CPU time of a process, all its threads together; 0 where it is gone. The number of such a clock is made
// of the process's, as clock_getcpuclockid(3) does it.
func cpuOf(pid int) time.Duration {
	const sched = 2
	var ts unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|sched), &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// output connects the command's output with c.Out.
func (c Cmd) output(cmd *exec.Cmd) (*output, error) {
	o := &output{to: c.Out}
	if f, ok := c.Out.(*os.File); ok || c.Out == nil {
		if ok {
			cmd.Stdout, cmd.Stderr = f, f
		}
		return o, nil
	}
	var err error
	if o.r, o.w, err = os.Pipe(); err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = o.w, o.w
	return o, nil
}

// begin copies what the child, which has started, writes.
func (o *output) begin() {
	if o.r == nil {
		return
	}
	o.w.Close()
	o.done = make(chan error, 1)
	go func() {
		_, err := io.Copy(o.to, o.r)
		o.r.Close() // when the writer failed: the child learns of it, and does not wait for ever
		o.done <- err
	}()
}

// wait waits until all is copied. Nothing is written to the writer after it.
func (o *output) wait(ctx context.Context) error {
	if o.done == nil {
		return nil
	}
	late := time.NewTimer(held)
	defer late.Stop()
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done(): // what it printed is of no use then
	case <-late.C:
	}
	o.r.Close()
	<-o.done
	return errors.New("it has ended, and something that it started holds its output open")
}

func (o *output) close() {
	if o.r != nil {
		o.r.Close()
		o.w.Close()
	}
}

// Output is Run, errors too, and returns what the child printed, at most 1 MiB of it.
func (c Cmd) Output(ctx context.Context) (string, error) {
	var b limited
	c.Out = &b
	err := c.Run(ctx)
	return string(b.buf), err
}

// UnlessStopped does not wait for the end of what takes seconds, when the run is stopped: its error is the context's
// then. The lock stays with this process until it is gone, and the next run throws away what it leaves.
func UnlessStopped(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

type limited struct{ buf []byte }

func (l *limited) Write(p []byte) (int, error) {
	l.buf = append(l.buf, p[:min(len(p), max(0, 1<<20-len(l.buf)))]...)
	return len(p), nil
}

// LookPath finds a program in the PATH of env, not in ours. The error names the PATH in which it is not.
func LookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, kv := range env {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok {
			for dir := range strings.SplitSeq(path, ":") {
				file := dir + "/" + name
				if fi, err := os.Stat(file); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
					return file, nil
				}
			}
			return "", fmt.Errorf("%s: not found in PATH=%s", name, path)
		}
	}
	return "", fmt.Errorf("%s: not found: the environment has no PATH", name)
}

// plain is a word that means itself to every shell.
var plain = regexp.MustCompile(`^[a-zA-Z0-9%+,./:=@_-]+$`)

// Quote writes argv so that a POSIX shell reads it back as the same words.
func Quote(argv []string) string {
	q := slices.Clone(argv)
	for i, a := range q {
		if !plain.MatchString(a) {
			q[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(q, " ")
}
