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

func exitCodes(h *harness) {
	for _, code := range []int{0, 1, 42, 255} {
		h.is("exit code", h.try(runArgs("--rm", []string{"--", "exit", strconv.Itoa(code)})...).code, code)
	}
	h.is("a file that is no program", h.try(runArgs("--rm", []string{"--entrypoint=/notexec", "--"})...).code, 126)
	h.is("a program that is not there", h.try(runArgs("--rm", []string{"--entrypoint=/nothing", "--"})...).code, 127)
}

func execs(h *harness) {
	h.detach("execs", "--", "sleep", "600")
	h.is("output", h.docker("exec", "execs", "/guest", "print", "inside"), "inside")
	h.is("exit code", h.try("exec", "execs", "/guest", "exit", "7").code, 7)
	h.is("environment", h.docker("exec", "-e", "WORD=yes", "execs", "/guest", "env", "WORD"), "yes")
	h.is("user", h.docker("exec", "-u", "guest", "execs", "/guest", "whoami"), "1234 1234")
	h.is("stdin", h.feed("fed\n", "exec", "-i", "execs", "/guest", "cat"), "fed")
	for i := range 10 { // the first stage of runc ran into C library bugs now and then
		h.is("output", h.docker("exec", "execs", "/guest", "print", strconv.Itoa(i)), i)
	}
}

func logs(h *harness) {
	h.detach("logs", "--", "both")
	h.docker("wait", "logs")
	a := h.try("logs", "logs")
	h.is("output", a.out, "out")
	h.is("errors", a.err, "err")
	h.is("none", h.docker("logs", "--tail=0", "logs"), "")
}

func copies(h *harness) {
	h.ok("file", os.WriteFile("/tmp/in.txt", []byte("copied\n"), 0o644))
	h.detach("copies", "--", "sleep", "600")
	h.docker("cp", "/tmp/in.txt", "copies:/tmp/there.txt")
	h.is("inside", h.docker("exec", "copies", "/guest", "cat", "/tmp/there.txt"), "copied")
	h.docker("cp", "copies:/tmp/there.txt", "/tmp/back.txt")
	data, err := os.ReadFile("/tmp/back.txt")
	h.ok("file", err)
	h.is("outside", string(data), "copied\n")
	h.is("in a stream", h.docker("cp", "copies:/etc/passwd", "-") != "", true)
}

func kills(h *harness) {
	h.detach("kills", "--", "signal")
	h.logged("kills", "ready")
	h.docker("kill", "-s", "USR1", "kills")
	h.is("exit code", h.docker("wait", "kills"), 0)
	h.logged("kills", "got user defined signal 1")
	h.detach("kills9", "--", "deaf")
	h.docker("kill", "kills9")
	h.is("exit code", h.docker("wait", "kills9"), 137)
}

func stops(h *harness) {
	h.detach("polite", "--", "signal")
	h.logged("polite", "ready")
	h.docker("stop", "polite")
	h.is("exit code", h.inspect("polite", ".State.ExitCode"), 0)
	h.has("log", h.docker("logs", "polite"), "got terminated")
	h.detach("deaf", "--", "deaf")
	h.logged("deaf", "ready")
	h.docker("stop", "-t", "1", "deaf")
	h.is("exit code of one that does not listen", h.inspect("deaf", ".State.ExitCode"), 137)
}

func pauses(h *harness) {
	h.detach("pauses", "--", "signal")
	h.logged("pauses", "ready")
	h.docker("pause", "pauses")
	h.is("state", h.inspect("pauses", ".State.Status"), "paused")
	h.docker("unpause", "pauses")
	h.docker("stop", "pauses")
	h.is("exit code", h.inspect("pauses", ".State.ExitCode"), 0)
}

func removes(h *harness) {
	id := h.detach("removes", "--", "sleep", "600")
	pid := h.inspect("removes", ".State.Pid")
	h.docker("rm", "-f", "removes")
	h.is("containers", h.docker("ps", "-aq"), "")
	if _, err := os.Stat("/proc/" + pid); err == nil {
		h.failf("process %s of container %s lives on", pid, id[:12])
	}
}

func initReaps(h *harness) {
	h.is("without --init", h.run("--", "orphan"), "zombies 1")
	h.is("with --init", h.run("--init", "--", "orphan"), "zombies 0")
	h.has("process 1 with --init", h.run("--init", "--", "cat", "/proc/1/cmdline"), "docker-init")
}

// controlled skips where the cgroups of this machine lack a controller.
func (h *harness) controlled(name string) {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		data, _ := os.ReadFile("/sys/fs/cgroup/cgroup.subtree_control")
		all, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
		if !slices.Contains(strings.Fields(string(data)+" "+string(all)), name) {
			h.skipf("this machine's cgroup version 2 gives us no %s controller: it has %q", name,
				strings.TrimSpace(string(all)))
		}
		return
	}
	for _, d := range controllers() {
		if slices.Contains(strings.Split(filepath.Base(d), ","), name) {
			return
		}
	}
	h.skipf("no %s cgroup is mounted on this machine", name)
}

func memoryLimit(h *harness) {
	h.controlled("memory")
	h.is("within the limit", h.run("-m", "64m", "--", "eat", "16"), "ate 16")
	a := h.try(runArgs("--name=memory", []string{"-m", "32m", "--memory-swap", "32m", "--", "eat", "256"})...)
	h.is("exit code beyond it", a.code, 137)
	h.is("killed by the kernel", h.inspect("memory", ".State.OOMKilled"), true)
}

func cpuLimit(h *harness) {
	h.controlled("cpu")
	const most = 450
	free := cpuOf(h, h.run("--", "burn", "1000"))
	held := cpuOf(h, h.run("--cpus=0.2", "--", "burn", "1000"))
	if held > most {
		h.failf("with --cpus=0.2: got %d ms of processor time in a second, want some 200", held)
	}
	h.note = fmt.Sprintf("%d ms of processor time in a second, %d without the limit", held, free)
	if free < 500 {
		h.skipf("this machine is too busy to tell: %s", h.note)
	}
}

func cpuOf(h *harness, out string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(out, "cpu "))
	h.ok(out, err)
	return n
}

func pidsLimit(h *harness) {
	h.controlled("pids")
	h.is("without a limit", h.run("--", "forks", "60"), "forks 60 refused false")
	out := h.run("--pids-limit=40", "--", "forks", "60")
	var n int
	var refused bool
	if _, err := fmt.Sscanf(out, "forks %d refused %t", &n, &refused); err != nil || !refused || n >= 40 || n < 10 {
		h.failf("with a limit of 40: got %q, want less than 40 forks and then a refusal", out)
	}
	h.note = out
}

func seccompBlocks(h *harness) {
	h.is("without a profile", h.run("--security-opt=seccomp=unconfined", "--", "calls"), "allowed")
	h.is("with the default profile", h.run("--", "calls"), "refused: operation not permitted")
}

func volumes(h *harness) {
	h.docker("volume", "create", "vol")
	h.run("-v", "vol:/data", "--", "write", "/data/file", "kept")
	h.is("a volume", h.run("-v", "vol:/data", "--", "cat", "/data/file"), "kept")
	h.docker("volume", "rm", "vol")
	h.ok("directory", os.MkdirAll("/tmp/bind", 0o755))
	h.run("-v", "/tmp/bind:/data", "--", "write", "/data/file", "bound")
	data, err := os.ReadFile("/tmp/bind/file")
	h.ok("a directory", err)
	h.is("a directory", string(data), "bound\n")
	a := h.try(runArgs("--rm", []string{"-v", "/tmp/bind:/data:ro", "--", "write", "/data/file", "no"})...)
	h.has("a read-only directory", a.err, "read-only file system")
	h.run("--mount", "type=tmpfs,destination=/scratch", "--", "write", "/scratch/file", "gone")
}

func readOnly(h *harness) {
	h.has("the root", h.try(runArgs("--rm", []string{"--read-only", "--", "write", "/tmp/file", "x"})...).err,
		"read-only file system")
	h.run("--read-only", "--tmpfs=/tmp", "--", "write", "/tmp/file", "x")
}

func users(h *harness) {
	h.is("by number", h.run("-u", "55:66", "--", "whoami"), "55 66")
	h.is("by name", h.run("-u", "guest", "--", "whoami"), "1234 1234")
	h.has("what is root's", h.try(runArgs("--rm", []string{"-u", "guest", "--", "write", "/etc/passwd", "x"})...).err,
		"permission denied")
}

func restartPolicy(h *harness) {
	h.detach("again", "--restart=on-failure:3", "--", "count", "/tmp/runs")
	h.until("three restarts", 30*time.Second, func() bool {
		return h.inspect("again", ".RestartCount") == "3" && h.inspect("again", ".State.Running") == "false"
	})
	h.is("runs", len(strings.Fields(h.docker("logs", "again")))/2, 4)
	h.detach("always", "--restart=always", "--", "sleep", "600")
	before := h.inspect("always", ".State.Pid")
	pid, err := strconv.Atoi(before)
	h.ok("pid", err)
	h.ok("kill", syscall.Kill(pid, syscall.SIGKILL))
	h.until("it runs again", 20*time.Second, func() bool {
		return h.inspect("always", ".State.Running") == "true" && h.inspect("always", ".State.Pid") != before
	})
}

// noNetwork wants what the kernel makes in every new namespace by itself: lo, and sit0 or tunl0 where their modules are
// loaded.
func noNetwork(h *harness) {
	var made string
	h.ok("a network namespace", elsewhere(func() error {
		var err error
		made, err = interfaces()
		return err
	}))
	h.is("interfaces", h.run("--network=none", "--", "ifaces"), made)
	h.note = made
}

func hostNetwork(h *harness) {
	names, err := interfaces()
	h.ok("interfaces", err)
	h.is("interfaces", h.run("--network=host", "--", "ifaces"), names)
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

func (h *harness) bridged() {
	if h.bridge != nil {
		h.skipf("this kernel makes no bridge for us: %v", h.bridge)
	}
}

func published(h *harness) {
	h.bridged()
	h.detach("server", "-p", "127.0.0.1:8080:7000", "--", "listen", "7000")
	h.logged("server", "ready")
	h.is(proxy+" processes", proxies(), 1)
	h.is("docker port", h.docker("port", "server", "7000"), "127.0.0.1:8080")
	c, err := net.DialTimeout("tcp", "127.0.0.1:8080", 5*time.Second)
	h.ok("connect", err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(h.slowly(10 * time.Second)))
	fmt.Fprintln(c, "ahoy")
	line, err := bufio.NewReader(c).ReadString('\n')
	h.ok("read", err)
	h.is("answer", line, "heard ahoy\n")
	h.docker("rm", "-f", "server")
	h.until(proxy+" has ended", 10*time.Second, func() bool { return proxies() == 0 })
}

func reach(h *harness) {
	h.bridged()
	h.detach("server", "--", "listen", "7000")
	h.logged("server", "ready")
	ip := h.inspect("server", "range .NetworkSettings.Networks}}{{.IPAddress}}{{end")
	h.is("answer", h.run("--", "dial", ip+":7000", "hello"), "heard hello")
	h.docker("network", "create", "net1")
	defer h.try("network", "rm", "net1")
	h.is("interfaces in a network of its own", h.run("--network=net1", "--", "ifaces"), "lo eth0")
}
