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

// lab is a daemon and what is tried on it.
type lab struct {
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

	outside  *outside // in the network part
	noTables error    // why this kernel has no tables for iptables
	hidden   []string // files that the first part does not see
}

func newLab(c Config) *lab { return &lab{c: c} }

// failure is how a check says that it failed, and skip that it cannot be tried here: by panic, from any depth.
type failure struct{ text string }

func (f *failure) Error() string { return f.text }

type skip struct{ why string }

func (l *lab) failf(format string, a ...any) { panic(&failure{fmt.Sprintf(format, a...)}) }
func (l *lab) skipf(format string, a ...any) { panic(&skip{fmt.Sprintf(format, a...)}) }

// is holds what was got against what is wanted.
func (l *lab) is(what string, got, want any) {
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		l.failf("%s: got %q, want %q", what, g, w)
	}
}

// has wants a text somewhere in what was got.
func (l *lab) has(what, got, want string) {
	if !strings.Contains(got, want) {
		l.failf("%s: got %q, want %q in it", what, got, want)
	}
}

func (l *lab) ok(what string, err error) {
	if err != nil {
		l.failf("%s: %v", what, err)
	}
}

// answer is what a command printed and how it ended.
type answer struct {
	out, err string // without the last line end
	code     int
}

// command runs a program of the stack.
func (l *lab) command(stdin string, argv ...string) answer {
	cmd := exec.CommandContext(l.ctx, filepath.Join(binDir, argv[0]), argv[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Stdin = &out, &errs, strings.NewReader(stdin)
	cmd.Env, cmd.WaitDelay = append(slices.Clone(environment), l.more...), time.Second
	err := cmd.Run()
	a := answer{strings.TrimRight(out.String(), "\r\n"), strings.TrimRight(errs.String(), "\r\n"),
		cmd.ProcessState.ExitCode()}
	if err != nil && cmd.ProcessState == nil {
		a.code, a.err = -1, err.Error()
	}
	if l.ctx.Err() != nil {
		l.failf("%s: %v; until then it said %q", strings.Join(argv, " "), context.Cause(l.ctx), a.out+a.err)
	}
	return a
}

var environment = []string{"PATH=" + binDir + ":/usr/sbin", "HOME=/root", "DOCKER_HOST=unix://" + socket,
	"DOCKER_BUILDKIT=0", "TMPDIR=/tmp", "LC_ALL=C"}

// try runs a docker command, which may fail.
func (l *lab) try(args ...string) answer {
	return l.command("", append([]string{"docker"}, args...)...)
}

// docker runs a docker command, which must not fail, and gives its standard output.
func (l *lab) docker(args ...string) string { return l.feed("", args...) }

// feed is docker with a standard input.
func (l *lab) feed(stdin string, args ...string) string {
	a := l.command(stdin, append([]string{"docker"}, args...)...)
	if a.code != 0 {
		l.failf("docker %s: exit code %d: %s", strings.Join(args, " "), a.code, a.err+a.out)
	}
	return a.out
}

// Image is the name of the image with the guest in it, which it starts.
const Image = "smoke:latest"

// run is "docker run --rm" of the guest: flags, then "--", then the guest's arguments.
func (l *lab) run(args ...string) string { return l.docker(runArgs("--rm", args)...) }

// detach is "docker run -d" under a name.
func (l *lab) detach(name string, args ...string) string {
	return l.docker(runArgs("-d", append([]string{"--name", name}, args...))...)
}

func runArgs(how string, args []string) []string {
	i := slices.Index(args, "--")
	all := append([]string{"run", how}, args[:i]...)
	return append(append(all, Image), args[i+1:]...)
}

// inspect gives one property.
func (l *lab) inspect(name, format string) string {
	return l.docker("inspect", "-f", "{{"+format+"}}", name)
}

// until waits until a condition holds.
func (l *lab) until(what string, limit time.Duration, holds func() bool) {
	limit = l.slowly(limit)
	for end := time.Now().Add(limit); !holds(); time.Sleep(50 * time.Millisecond) {
		if l.ctx.Err() != nil || time.Now().After(end) {
			l.failf("%s: not after %s", what, limit)
		}
	}
}

// slowly is a limit of time on this machine.
func (l *lab) slowly(d time.Duration) time.Duration { return times(d, max(1, l.c.Slow)) }

// logged waits until a container has said something.
func (l *lab) logged(name, text string) {
	l.until(name+" says "+text, 10*time.Second, func() bool { return strings.Contains(l.try("logs", name).out, text) })
}

// slowContainerd is the last that dockerd says where its containerd needs more than the 15 s that it gives it. The next
// one finds that containerd running.
const slowContainerd = "timeout waiting for containerd to start"

// start starts the daemon and waits until it answers.
func (l *lab) start(more ...string) {
	if l.log == nil {
		f, err := os.OpenFile(workDir+"/dockerd.log", os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
		l.ok("log", err)
		l.log = f
		l.mounts = mountPoints()
	}
	args := []string{"--host=unix://" + socket, "--data-root=" + dataDir, "--exec-root=" + runDir,
		"--pidfile=/run/docker.pid", "--cgroup-parent=/" + l.c.Cgroup}
	if l.bridge != nil {
		args = append(args, "--bridge=none")
	}
	args = append(append(args, l.c.Daemon...), more...)
	fmt.Fprintf(l.log, "# dockerd %s\n", strings.Join(args, " "))
	cmd := exec.Command(binDir+"/dockerd", args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = environment, "/", l.log, l.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		l.failf("start dockerd: %v", err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	l.daemon, l.ended = cmd, ended
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
			l.daemon = nil
			words := l.lastWords()
			if l.c.Slow > 1 && strings.HasSuffix(words, slowContainerd) && l.ctx.Err() == nil {
				l.start(more...)
				return
			}
			l.failf("dockerd ended while it started: %s: %s", cmd.ProcessState, words)
		case <-l.ctx.Done():
			l.failf("dockerd does not answer: %s", l.lastWords())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// lastWords are the end of the daemon's log.
func (l *lab) lastWords() string {
	data, _ := os.ReadFile(l.log.Name())
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-4):], " | ")
}

// stop sends the daemon a signal and waits until it has ended.
func (l *lab) stop(sig syscall.Signal) {
	if l.daemon == nil {
		l.failf("no daemon runs")
	}
	l.ok("signal dockerd", l.daemon.Process.Signal(sig))
	select {
	case <-l.ended:
	case <-l.ctx.Done():
		l.failf("dockerd does not end after %s: %s", sig, l.lastWords())
	}
	l.daemon = nil
}

// restart is stop and start.
func (l *lab) restart(sig syscall.Signal, more ...string) {
	l.stop(sig)
	l.start(more...)
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
func (l *lab) runAll(table []check, each func(Result)) {
	l.bridge, l.overlay = bridges(), overlays()
	late := 0
	for i, k := range table {
		if l.c.Only != nil && !slices.Contains(l.c.Only, k.name) && !k.always {
			continue
		}
		if k.daemon && !l.alive() {
			each(Result{Name: k.name, Verdict: Skipped, Detail: "no daemon runs"})
			continue
		}
		if late == tooLate && i < len(table)-1 {
			each(Result{Name: k.name, Verdict: Skipped,
				Detail: fmt.Sprintf("%d checks before it ran into their time limits", late)})
			continue
		}
		r, hangs := l.one(k)
		each(r)
		if r.Verdict == Failed && l.ctx.Err() != nil {
			late++
		}
		if hangs {
			return
		}
		if k.daemon && l.alive() {
			l.tidy()
		} else if k.daemon && r.Verdict == Failed {
			// A check that broke the daemon must not take the others with it.
			if r, _ := l.one(check{name: "daemon starts again", limit: time.Minute,
				run: func(l *lab) { l.start() }}); r.Verdict == Failed {
				each(r)
			}
		}
	}
	if l.alive() { // a run of some checks only
		l.ctx = context.Background()
		l.daemon.Process.Signal(syscall.SIGTERM)
		select {
		case <-l.ended:
		case <-time.After(l.slowly(20 * time.Second)):
		}
	}
}

func (l *lab) alive() bool {
	if l.daemon == nil {
		return false
	}
	select {
	case <-l.ended:
		l.daemon = nil
		return false
	default:
		return true
	}
}

// one runs one check within its limit; hangs says that it did not come back even then.
func (l *lab) one(k check) (r Result, hangs bool) {
	k.limit = l.slowly(k.limit)
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(context.Background(), k.limit, fmt.Errorf("no end after %s", k.limit))
	l.ctx, l.note, l.more = ctx, "", nil
	defer func() {
		if ctx.Err() == nil { // whether it ran into its limit is asked afterwards
			cancel()
			l.ctx = context.Background()
		}
	}()
	done := make(chan Result, 1)
	go func() {
		r := Result{Name: k.name, Verdict: Passed}
		defer func() {
			switch x := recover().(type) {
			case nil:
				r.Detail = l.note
			case *failure:
				r.Verdict, r.Detail = Failed, x.text
			case *skip:
				r.Verdict, r.Detail = Skipped, x.why
			default:
				r.Verdict, r.Detail = Failed, fmt.Sprintf("a defect of this check: %v", x)
			}
			done <- r
		}()
		k.run(l)
	}()
	select {
	case r = <-done:
	case <-time.After(k.limit + 10*time.Second):
		r, hangs = Result{Name: k.name, Verdict: Failed, Detail: "it hangs; the checks after it were not tried"}, true
	}
	r.Seconds = time.Since(start).Seconds()
	r.Warnings = l.warnings()
	return r, hangs
}

// tidy removes the containers that a check has left.
func (l *lab) tidy() {
	ctx, cancel := context.WithTimeout(context.Background(), l.slowly(time.Minute))
	defer cancel()
	defer func(was context.Context) { l.ctx = was }(l.ctx)
	l.ctx = ctx
	defer func() { _ = recover() }() // the next check says what is wrong
	if ids := strings.Fields(l.try("ps", "-aq").out); len(ids) > 0 {
		l.try(append([]string{"rm", "-f", "-v"}, ids...)...)
	}
}

var logLine = regexp.MustCompile(`level=(?:warning|error|fatal) msg=("(?:[^"\\]|\\.)*"|\S+)(.*)`)

// warnings are what the daemons have logged since the last time.
func (l *lab) warnings() []string {
	if l.log == nil {
		return nil
	}
	data, err := io.ReadAll(io.NewSectionReader(l.log, l.read, 1<<30))
	if err != nil && !errors.Is(err, io.EOF) {
		return []string{err.Error()}
	}
	l.read += int64(len(data))
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
