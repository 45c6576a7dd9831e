package smoke

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What a container is, and what is done with one.

func exitCodes(l *lab) {
	for _, code := range []int{0, 1, 42, 255} {
		l.is("exit code", l.try(runArgs("--rm", []string{"--", "exit", strconv.Itoa(code)})...).code, code)
	}
	l.is("a file that is no program", l.try(runArgs("--rm", []string{"--entrypoint=/notexec", "--"})...).code, 126)
	l.is("a program that is not there", l.try(runArgs("--rm", []string{"--entrypoint=/nothing", "--"})...).code, 127)
}

func execs(l *lab) {
	l.detach("execs", "--", "sleep", "600")
	l.is("output", l.docker("exec", "execs", "/guest", "print", "inside"), "inside")
	l.is("exit code", l.try("exec", "execs", "/guest", "exit", "7").code, 7)
	l.is("environment", l.docker("exec", "-e", "WORD=yes", "execs", "/guest", "env", "WORD"), "yes")
	l.is("user", l.docker("exec", "-u", "guest", "execs", "/guest", "whoami"), "1234 1234")
	l.is("stdin", l.feed("fed\n", "exec", "-i", "execs", "/guest", "cat"), "fed")
	for i := range 10 { // the first stage of runc ran into C library bugs now and then
		l.is("output", l.docker("exec", "execs", "/guest", "print", strconv.Itoa(i)), i)
	}
}

func logs(l *lab) {
	l.detach("logs", "--", "both")
	l.docker("wait", "logs")
	a := l.try("logs", "logs")
	l.is("output", a.out, "out")
	l.is("errors", a.err, "err")
	l.is("none", l.docker("logs", "--tail=0", "logs"), "")
}

func copies(l *lab) {
	l.ok("file", os.WriteFile("/tmp/in.txt", []byte("copied\n"), 0o644))
	l.detach("copies", "--", "sleep", "600")
	l.docker("cp", "/tmp/in.txt", "copies:/tmp/there.txt")
	l.is("inside", l.docker("exec", "copies", "/guest", "cat", "/tmp/there.txt"), "copied")
	l.docker("cp", "copies:/tmp/there.txt", "/tmp/back.txt")
	data, err := os.ReadFile("/tmp/back.txt")
	l.ok("file", err)
	l.is("outside", string(data), "copied\n")
	l.is("in a stream", l.docker("cp", "copies:/etc/passwd", "-") != "", true)
}

func kills(l *lab) {
	l.detach("kills", "--", "signal")
	l.logged("kills", "ready")
	l.docker("kill", "-s", "USR1", "kills")
	l.is("exit code", l.docker("wait", "kills"), 0)
	l.logged("kills", "got user defined signal 1")
	l.detach("kills9", "--", "deaf")
	l.docker("kill", "kills9")
	l.is("exit code", l.docker("wait", "kills9"), 137)
}

func stops(l *lab) {
	l.detach("polite", "--", "signal")
	l.logged("polite", "ready")
	l.docker("stop", "polite")
	l.is("exit code", l.inspect("polite", ".State.ExitCode"), 0)
	l.has("log", l.docker("logs", "polite"), "got terminated")
	l.detach("deaf", "--", "deaf")
	l.logged("deaf", "ready")
	l.docker("stop", "-t", "1", "deaf")
	l.is("exit code of one that does not listen", l.inspect("deaf", ".State.ExitCode"), 137)
}

func pauses(l *lab) {
	l.detach("pauses", "--", "signal")
	l.logged("pauses", "ready")
	l.docker("pause", "pauses")
	l.is("state", l.inspect("pauses", ".State.Status"), "paused")
	l.docker("unpause", "pauses")
	l.docker("stop", "pauses")
	l.is("exit code", l.inspect("pauses", ".State.ExitCode"), 0)
}

func removes(l *lab) {
	id := l.detach("removes", "--", "sleep", "600")
	pid := l.inspect("removes", ".State.Pid")
	l.docker("rm", "-f", "removes")
	l.is("containers", l.docker("ps", "-aq"), "")
	if _, err := os.Stat("/proc/" + pid); err == nil {
		l.failf("process %s of container %s lives on", pid, id[:12])
	}
}

func initReaps(l *lab) {
	l.is("without --init", l.run("--", "orphan"), "zombies 1")
	l.is("with --init", l.run("--init", "--", "orphan"), "zombies 0")
	l.has("process 1 with --init", l.run("--init", "--", "cat", "/proc/1/cmdline"), "docker-init")
}

// controlled skips where the cgroups of this machine lack a controller.
func (l *lab) controlled(name string) {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		data, _ := os.ReadFile("/sys/fs/cgroup/cgroup.subtree_control")
		all, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
		if !slices.Contains(strings.Fields(string(data)+" "+string(all)), name) {
			l.skipf("this machine's cgroup version 2 gives us no %s controller: it has %q", name,
				strings.TrimSpace(string(all)))
		}
		return
	}
	for _, d := range controllers() {
		if slices.Contains(strings.Split(filepath.Base(d), ","), name) {
			return
		}
	}
	l.skipf("no %s cgroup is mounted on this machine", name)
}

func memoryLimit(l *lab) {
	l.controlled("memory")
	l.is("within the limit", l.run("-m", "64m", "--", "eat", "16"), "ate 16")
	a := l.try(runArgs("--name=memory", []string{"-m", "32m", "--memory-swap", "32m", "--", "eat", "256"})...)
	l.is("exit code beyond it", a.code, 137)
	l.is("killed by the kernel", l.inspect("memory", ".State.OOMKilled"), true)
}

func cpuLimit(l *lab) {
	l.controlled("cpu")
	const most = 450
	free := cpuOf(l, l.run("--", "burn", "1000"))
	held := cpuOf(l, l.run("--cpus=0.2", "--", "burn", "1000"))
	if held > most {
		l.failf("with --cpus=0.2: got %d ms of processor time in a second, want some 200", held)
	}
	l.note = fmt.Sprintf("%d ms of processor time in a second, %d without the limit", held, free)
	if free < 500 {
		l.skipf("this machine is too busy to tell: %s", l.note)
	}
}

func cpuOf(l *lab, out string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(out, "cpu "))
	l.ok(out, err)
	return n
}

func pidsLimit(l *lab) {
	l.controlled("pids")
	l.is("without a limit", l.run("--", "forks", "60"), "forks 60 refused false")
	out := l.run("--pids-limit=40", "--", "forks", "60")
	var n int
	var refused bool
	if _, err := fmt.Sscanf(out, "forks %d refused %t", &n, &refused); err != nil || !refused || n >= 40 || n < 10 {
		l.failf("with a limit of 40: got %q, want less than 40 forks and then a refusal", out)
	}
	l.note = out
}

func seccompBlocks(l *lab) {
	l.is("without a profile", l.run("--security-opt=seccomp=unconfined", "--", "calls"), "allowed")
	l.is("with the default profile", l.run("--", "calls"), "refused: operation not permitted")
}

func volumes(l *lab) {
	l.docker("volume", "create", "vol")
	l.run("-v", "vol:/data", "--", "write", "/data/file", "kept")
	l.is("a volume", l.run("-v", "vol:/data", "--", "cat", "/data/file"), "kept")
	l.docker("volume", "rm", "vol")
	l.ok("directory", os.MkdirAll("/tmp/bind", 0o755))
	l.run("-v", "/tmp/bind:/data", "--", "write", "/data/file", "bound")
	data, err := os.ReadFile("/tmp/bind/file")
	l.ok("a directory", err)
	l.is("a directory", string(data), "bound\n")
	a := l.try(runArgs("--rm", []string{"-v", "/tmp/bind:/data:ro", "--", "write", "/data/file", "no"})...)
	l.has("a read-only directory", a.err, "read-only file system")
	l.run("--mount", "type=tmpfs,destination=/scratch", "--", "write", "/scratch/file", "gone")
}

func readOnly(l *lab) {
	l.has("the root", l.try(runArgs("--rm", []string{"--read-only", "--", "write", "/tmp/file", "x"})...).err,
		"read-only file system")
	l.run("--read-only", "--tmpfs=/tmp", "--", "write", "/tmp/file", "x")
}

func users(l *lab) {
	l.is("by number", l.run("-u", "55:66", "--", "whoami"), "55 66")
	l.is("by name", l.run("-u", "guest", "--", "whoami"), "1234 1234")
	l.has("what is root's", l.try(runArgs("--rm", []string{"-u", "guest", "--", "write", "/etc/passwd", "x"})...).err,
		"permission denied")
}

func restartPolicy(l *lab) {
	l.detach("again", "--restart=on-failure:3", "--", "count", "/tmp/runs")
	l.until("three restarts", 30*time.Second, func() bool {
		return l.inspect("again", ".RestartCount") == "3" && l.inspect("again", ".State.Running") == "false"
	})
	l.is("runs", len(strings.Fields(l.docker("logs", "again")))/2, 4)
	l.detach("always", "--restart=always", "--", "sleep", "600")
	before := l.inspect("always", ".State.Pid")
	pid, err := strconv.Atoi(before)
	l.ok("pid", err)
	l.ok("kill", syscall.Kill(pid, syscall.SIGKILL))
	l.until("it runs again", 20*time.Second, func() bool {
		return l.inspect("always", ".State.Running") == "true" && l.inspect("always", ".State.Pid") != before
	})
}

// noNetwork wants what the kernel makes in every new namespace by itself: lo, and sit0 or tunl0 where their modules are
// loaded.
func noNetwork(l *lab) {
	var made string
	l.ok("a network namespace", elsewhere(func() error {
		var err error
		made, err = interfaces()
		return err
	}))
	l.is("interfaces", l.run("--network=none", "--", "ifaces"), made)
	l.note = made
}

func hostNetwork(l *lab) {
	names, err := interfaces()
	l.ok("interfaces", err)
	l.is("interfaces", l.run("--network=host", "--", "ifaces"), names)
}

// interfaces returns the names of this thread's network interfaces, as the guest prints them.
func interfaces() (string, error) {
	is, err := net.Interfaces()
	var names []string
	for _, i := range is {
		names = append(names, i.Name)
	}
	return strings.Join(names, " "), err
}

func (l *lab) bridged() {
	if l.bridge != nil {
		l.skipf("this kernel makes no bridge for us: %v", l.bridge)
	}
}

func published(l *lab) {
	l.bridged()
	l.detach("server", "-p", "127.0.0.1:8080:7000", "--", "listen", "7000")
	l.logged("server", "ready")
	l.is(proxy+" processes", proxies(), 1)
	l.is("docker port", l.docker("port", "server", "7000"), "127.0.0.1:8080")
	c, err := net.DialTimeout("tcp", "127.0.0.1:8080", 5*time.Second)
	l.ok("connect", err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(l.slowly(10 * time.Second)))
	fmt.Fprintln(c, "ahoy")
	line, err := bufio.NewReader(c).ReadString('\n')
	l.ok("read", err)
	l.is("answer", line, "heard ahoy\n")
	l.docker("rm", "-f", "server")
	l.until(proxy+" has ended", 10*time.Second, func() bool { return proxies() == 0 })
}

func reach(l *lab) {
	l.bridged()
	l.detach("server", "--", "listen", "7000")
	l.logged("server", "ready")
	ip := l.inspect("server", "range .NetworkSettings.Networks}}{{.IPAddress}}{{end")
	l.is("answer", l.run("--", "dial", ip+":7000", "hello"), "heard hello")
	l.docker("network", "create", "net1")
	defer l.try("network", "rm", "net1")
	l.is("interfaces in a network of its own", l.run("--network=net1", "--", "ifaces"), "lo eth0")
}
