package smoke

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"drydock/targets/internal/archive"
)

// harness is a daemon and what is tried on it.
type harness struct {
	c   Config
	ctx context.Context // of the check that runs

	daemon *exec.Cmd
	ended  chan struct{} // closed when that daemon has ended
	log    *os.File      // dockerd's and containerd's
	read   int64         // how much of it earlier checks have had
	note   string        // what the running check has to say when it passes
	more   []string      // environment for the running check's commands, beside the usual

	mounts  []string // before the first daemon
	bridge  error    // why there can be none
	overlay error

	netpeer  *netpeer // in the network part
	noTables error    // why this kernel has no tables for iptables
	hidden   []string // files that the first part does not see
}

// failure is how a check says that it failed, and skip that it cannot be tried here: by panic, from any depth.
type failure struct{ text string }

func (f *failure) Error() string { return f.text }

type skip struct{ why string }

func (h *harness) failf(format string, a ...any) { panic(&failure{fmt.Sprintf(format, a...)}) }
func (h *harness) skipf(format string, a ...any) { panic(&skip{fmt.Sprintf(format, a...)}) }

// is compares what was got with what is wanted.
func (h *harness) is(what string, got, want any) {
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		h.failf("%s: got %q, want %q", what, g, w)
	}
}

// has wants a text somewhere in what was got.
func (h *harness) has(what, got, want string) {
	if !strings.Contains(got, want) {
		h.failf("%s: got %q, want %q in it", what, got, want)
	}
}

func (h *harness) ok(what string, err error) {
	if err != nil {
		h.failf("%s: %v", what, err)
	}
}

// answer is what a command printed and how it ended.
type answer struct {
	out, err string // without the last line end
	code     int
}

// command runs a program of the stack.
func (h *harness) command(stdin string, argv ...string) answer {
	cmd := exec.CommandContext(h.ctx, filepath.Join(binDir, argv[0]), argv[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Stdin = &out, &errs, strings.NewReader(stdin)
	cmd.Env, cmd.WaitDelay = append(slices.Clone(environment), h.more...), time.Second
	err := cmd.Run()
	a := answer{strings.TrimRight(out.String(), "\r\n"), strings.TrimRight(errs.String(), "\r\n"),
		cmd.ProcessState.ExitCode()}
	if err != nil && cmd.ProcessState == nil {
		a.code, a.err = -1, err.Error()
	}
	if h.ctx.Err() != nil {
		h.failf("%s: %v; until then it said %q", strings.Join(argv, " "), context.Cause(h.ctx), a.out+a.err)
	}
	return a
}

var environment = []string{"PATH=" + binDir + ":/usr/sbin", "HOME=/root", "DOCKER_HOST=unix://" + socket,
	"DOCKER_BUILDKIT=0", "TMPDIR=/tmp", "LC_ALL=C"}

// try runs a docker command, which may fail.
func (h *harness) try(args ...string) answer {
	return h.command("", append([]string{"docker"}, args...)...)
}

// docker runs a docker command, which must not fail, and returns its standard output.
func (h *harness) docker(args ...string) string { return h.feed("", args...) }

// feed is docker with a standard input.
func (h *harness) feed(stdin string, args ...string) string {
	a := h.command(stdin, append([]string{"docker"}, args...)...)
	if a.code != 0 {
		h.failf("docker %s: exit code %d: %s", strings.Join(args, " "), a.code, a.err+a.out)
	}
	return a.out
}

// Image is the name of the image with the guest in it, which it starts.
const Image = "smoke:latest"

// run is "docker run --rm" of the guest: flags, then "--", then the guest's arguments.
func (h *harness) run(args ...string) string { return h.docker(runArgs("--rm", args)...) }

// detach is "docker run -d" under a name.
func (h *harness) detach(name string, args ...string) string {
	return h.docker(runArgs("-d", append([]string{"--name", name}, args...))...)
}

func runArgs(how string, args []string) []string {
	i := slices.Index(args, "--")
	all := append([]string{"run", how}, args[:i]...)
	return append(append(all, Image), args[i+1:]...)
}

// inspect returns one property.
func (h *harness) inspect(name, format string) string {
	return h.docker("inspect", "-f", "{{"+format+"}}", name)
}

// until waits until a condition holds.
func (h *harness) until(what string, limit time.Duration, holds func() bool) {
	limit = h.slowly(limit)
	for end := time.Now().Add(limit); !holds(); time.Sleep(50 * time.Millisecond) {
		if h.ctx.Err() != nil || time.Now().After(end) {
			h.failf("%s: not after %s", what, limit)
		}
	}
}

// slowly is a limit of time on this machine.
func (h *harness) slowly(d time.Duration) time.Duration { return times(d, max(1, h.c.Slow)) }

// logged waits until a container has said something.
func (h *harness) logged(name, text string) {
	h.until(name+" says "+text, 10*time.Second, func() bool { return strings.Contains(h.try("logs", name).out, text) })
}

// slowContainerd is the last that dockerd says where its containerd needs more than the 15 s that it gives it. The next
// one finds that containerd running.
const slowContainerd = "timeout waiting for containerd to start"

// start starts the daemon and waits until it answers.
func (h *harness) start(more ...string) {
	if h.log == nil {
		f, err := os.OpenFile(workDir+"/dockerd.log", os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
		h.ok("log", err)
		h.log = f
		h.mounts = mountPoints()
	}
	args := []string{"--host=unix://" + socket, "--data-root=" + dataDir, "--exec-root=" + runDir,
		"--pidfile=/run/docker.pid", "--cgroup-parent=/" + h.c.Cgroup}
	if h.bridge != nil {
		args = append(args, "--bridge=none")
	}
	args = append(append(args, h.c.Daemon...), more...)
	fmt.Fprintf(h.log, "# dockerd %s\n", strings.Join(args, " "))
	cmd := exec.Command(binDir+"/dockerd", args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = environment, "/", h.log, h.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		h.failf("start dockerd: %v", err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	h.daemon, h.ended = cmd, ended
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}}
	for {
		if resp, err := client.Get("http://docker/_ping"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ended:
			h.daemon = nil
			words := h.lastWords()
			if h.c.Slow > 1 && strings.HasSuffix(words, slowContainerd) && h.ctx.Err() == nil {
				h.start(more...)
				return
			}
			h.failf("dockerd ended while it started: %s: %s", cmd.ProcessState, words)
		case <-h.ctx.Done():
			h.failf("dockerd does not answer: %s", h.lastWords())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// lastWords are the end of the daemon's log.
func (h *harness) lastWords() string {
	data, _ := os.ReadFile(h.log.Name())
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-4):], " | ")
}

// stop sends the daemon a signal and waits until it has ended.
func (h *harness) stop(sig syscall.Signal) {
	if h.daemon == nil {
		h.failf("no daemon runs")
	}
	h.ok("signal dockerd", h.daemon.Process.Signal(sig))
	select {
	case <-h.ended:
	case <-h.ctx.Done():
		h.failf("dockerd does not end after %s: %s", sig, h.lastWords())
	}
	h.daemon = nil
}

// restart is stop and start.
func (h *harness) restart(sig syscall.Signal, more ...string) {
	h.stop(sig)
	h.start(more...)
}

// process is one of the namespace's.
type process struct {
	pid   int
	name  string // of the program's file
	state byte
}

// processes lists all but us and the first, which are no part of what is tried.
func processes() []process {
	var all []process
	for _, d := range archive.Glob("/proc", "[0-9]*") {
		pid, _ := strconv.Atoi(filepath.Base(d))
		stat, err := os.ReadFile(d + "/stat")
		if err != nil || pid == 1 || pid == os.Getpid() {
			continue
		}
		i := bytes.LastIndex(stat, []byte(") "))
		if i < 0 || i+2 >= len(stat) {
			continue
		}
		name, _ := os.Readlink(d + "/exe")
		if name == "" {
			name = string(stat[:i])
		}
		all = append(all, process{pid, filepath.Base(name), stat[i+2]})
	}
	return all
}

// proxies counts the living processes of docker-proxy.
func proxies() int {
	n := 0
	for _, p := range processes() {
		if p.name == proxy && p.state != 'Z' {
			n++
		}
	}
	return n
}

func mountPoints() []string {
	data, _ := os.ReadFile("/proc/self/mounts")
	var all []string
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 {
			all = append(all, f[1])
		}
	}
	return all
}

// tooLate is how many checks may run into their time limits before the others are given up: a stack that hangs must not
// hold up who waits for the verdict.
const tooLate = 3

// runAll runs the checks of a table, one after the other. The last of them is run whatever the others did.
func (h *harness) runAll(table []check, each func(Result)) {
	h.bridge, h.overlay = bridges(), overlays()
	late := 0
	for i, k := range table {
		if h.c.Only != nil && !slices.Contains(h.c.Only, k.name) && !k.always {
			continue
		}
		if k.daemon && !h.alive() {
			each(Result{Name: k.name, Verdict: Skipped, Detail: "no daemon runs"})
			continue
		}
		if late == tooLate && i < len(table)-1 {
			each(Result{Name: k.name, Verdict: Skipped,
				Detail: fmt.Sprintf("%d checks before it ran into their time limits", late)})
			continue
		}
		r, hangs := h.one(k)
		each(r)
		if r.Verdict == Failed && h.ctx.Err() != nil {
			late++
		}
		if hangs {
			return
		}
		if k.daemon && h.alive() {
			h.tidy()
		} else if k.daemon && r.Verdict == Failed {
			// A check that broke the daemon must not take the others with it.
			if r, _ := h.one(check{name: "daemon starts again", limit: time.Minute,
				run: func(h *harness) { h.start() }}); r.Verdict == Failed {
				each(r)
			}
		}
	}
	if h.alive() { // a run of some checks only
		h.ctx = context.Background()
		h.daemon.Process.Signal(syscall.SIGTERM)
		select {
		case <-h.ended:
		case <-time.After(h.slowly(20 * time.Second)):
		}
	}
}

func (h *harness) alive() bool {
	if h.daemon == nil {
		return false
	}
	select {
	case <-h.ended:
		h.daemon = nil
		return false
	default:
		return true
	}
}

// one runs one check within its limit; hangs reports whether it did not come back even then.
func (h *harness) one(k check) (r Result, hangs bool) {
	k.limit = h.slowly(k.limit)
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(context.Background(), k.limit, fmt.Errorf("no end after %s", k.limit))
	h.ctx, h.note, h.more = ctx, "", nil
	defer func() {
		if ctx.Err() == nil { // whether it ran into its limit is asked afterwards
			cancel()
			h.ctx = context.Background()
		}
	}()
	done := make(chan Result, 1)
	go func() {
		r := Result{Name: k.name, Verdict: Passed}
		defer func() {
			switch x := recover().(type) {
			case nil:
				r.Detail = h.note
			case *failure:
				r.Verdict, r.Detail = Failed, x.text
			case *skip:
				r.Verdict, r.Detail = Skipped, x.why
			default:
				r.Verdict, r.Detail = Failed, fmt.Sprintf("a defect of this check: %v", x)
			}
			done <- r
		}()
		k.run(h)
	}()
	select {
	case r = <-done:
	case <-time.After(k.limit + 10*time.Second):
		r, hangs = Result{Name: k.name, Verdict: Failed, Detail: "it hangs; the checks after it were not tried"}, true
	}
	r.Seconds = time.Since(start).Seconds()
	r.Warnings = h.warnings()
	return r, hangs
}

// tidy removes the containers that a check has left.
func (h *harness) tidy() {
	ctx, cancel := context.WithTimeout(context.Background(), h.slowly(time.Minute))
	defer cancel()
	defer func(was context.Context) { h.ctx = was }(h.ctx)
	h.ctx = ctx
	defer func() { _ = recover() }() // the next check says what is wrong
	if ids := strings.Fields(h.try("ps", "-aq").out); len(ids) > 0 {
		h.try(append([]string{"rm", "-f", "-v"}, ids...)...)
	}
}

var logLine = regexp.MustCompile(`level=(?:warning|error|fatal) msg=("(?:[^"\\]|\\.)*"|\S+)(.*)`)

// warnings are what the daemons have logged since the last time.
func (h *harness) warnings() []string {
	if h.log == nil {
		return nil
	}
	data, err := io.ReadAll(io.NewSectionReader(h.log, h.read, 1<<30))
	if err != nil && !errors.Is(err, io.EOF) {
		return []string{err.Error()}
	}
	h.read += int64(len(data))
	var all []string
	for line := range strings.Lines(string(data)) {
		if m := logLine.FindStringSubmatch(line); m != nil && !slices.Contains(all, m[1]) {
			text, err := strconv.Unquote(m[1])
			if err != nil {
				text = m[1]
			}
			if _, cause, found := strings.Cut(m[2], "error="); found {
				text += ": " + strings.Trim(cause, "\"\n ")
			}
			if !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
	}
	return all
}
