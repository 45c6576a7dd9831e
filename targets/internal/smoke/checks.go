package smoke

import (
	"archive/tar"
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// check is one thing that is tried.
type check struct {
	name  string
	limit time.Duration
	// daemon says that it needs a running daemon and the guest's image.
	daemon bool
	// always says that it is run even when only some are asked for: the others stand on it.
	always bool
	run    func(l *lab)
}

// The checks that the others lean on, and the one that ends the daemon.
const (
	startCheck = "daemon starts"
	lastCheck  = "dockerd stops: nothing left"
)

// Brief are the checks that show the most in a short time: where a slow machine has minutes only.
var Brief = []string{"info: storage driver", "info: cgroups", "run", "memory limit", "bridge and -p through docker-proxy", "a bridge gets its address when it is there", lastCheck}

// Programs of the stack that checks ask for by name.
const (
	Firewall = "iptables"
	proxy    = "docker-proxy"
)

// checks are run in this order.
var checks = []check{
	{"files are there", 10 * time.Second, false, false, filesThere},
	{"files are executable", 10 * time.Second, false, false, filesExecutable},
	{"files are static", 10 * time.Second, false, false, filesStatic},
	{startCheck, 90 * time.Second, false, true, func(l *lab) { l.hide(Firewall, "ip6tables"); l.start() }},
	versionCheck("version: docker"),
	versionCheck("version: containerd"),
	versionCheck("version: runc"),
	versionCheck("version: docker-init"),
	{"info: runtime", 20 * time.Second, true, false, infoRuntime},
	{"info: storage driver", 20 * time.Second, true, false, infoStorage},
	{"info: seccomp", 20 * time.Second, true, false, infoSeccomp},
	{"info: cgroups", 20 * time.Second, true, false, infoCgroups},
	{"info: plugins", 20 * time.Second, true, false, infoPlugins},
	{"containerd: plugins", 20 * time.Second, true, false, containerdPlugins},
	{"import an image", 30 * time.Second, true, true, importImage},
	{"run", 30 * time.Second, true, false, func(l *lab) { l.is("output", l.run("--", "print", "hello"), "hello") }},
	{"exit codes", time.Minute, true, false, exitCodes},
	{"environment", 30 * time.Second, true, false, func(l *lab) {
		l.is("output", l.run("-e", "COLOUR=dry dock", "--", "env", "COLOUR"), "dry dock")
	}},
	{"working directory", 30 * time.Second, true, false, func(l *lab) { l.is("output", l.run("-w", "/tmp", "--", "cwd"), "/tmp") }},
	{"stdin", 30 * time.Second, true, false, func(l *lab) {
		text := strings.Repeat("0123456789abcdef\n", 8192)
		l.is("what came back", l.feed(text, runArgs("--rm", []string{"-i", "--", "cat"})...)+"\n" == text, true)
	}},
	{"terminal", 30 * time.Second, true, false, func(l *lab) {
		l.is("with -t", l.run("-t", "--", "tty"), "true")
		l.is("without", l.run("--", "tty"), "false")
	}},
	{"exec", time.Minute, true, false, execs},
	{"logs", 30 * time.Second, true, false, logs},
	{"cp", 30 * time.Second, true, false, copies},
	{"kill", 30 * time.Second, true, false, kills},
	{"stop", time.Minute, true, false, stops},
	{"pause", 30 * time.Second, true, false, pauses},
	{"rm -f of a running container", 30 * time.Second, true, false, removes},
	{"--init reaps zombies", 30 * time.Second, true, false, initReaps},
	{"memory limit", time.Minute, true, false, memoryLimit},
	{"cpu limit", time.Minute, true, false, cpuLimit},
	{"pids limit", time.Minute, true, false, pidsLimit},
	{"default seccomp profile blocks", 30 * time.Second, true, false, seccompBlocks},
	{"volumes", time.Minute, true, false, volumes},
	{"read-only root", 30 * time.Second, true, false, readOnly},
	{"user", 30 * time.Second, true, false, users},
	{"restart policy", time.Minute, true, false, restartPolicy},
	{"--network=none", 30 * time.Second, true, false, noNetwork},
	{"--network=host", 30 * time.Second, true, false, hostNetwork},
	{"bridge and -p through docker-proxy", time.Minute, true, false, published},
	{"containers reach each other", time.Minute, true, false, reach},
	{"a bridge gets its address when it is there", 30 * time.Second, true, false, bridgeAddress},
	{"build", time.Minute, true, false, builds},
	{"commit", 30 * time.Second, true, false, commits},
	{"save and load", time.Minute, true, false, saves},
	{"20 containers at once", 2 * time.Minute, true, false, atOnce},
	{"daemon restarts, containers live", 2 * time.Minute, true, false, liveRestore},
	{"dockerd killed and started again", 2 * time.Minute, true, false, killed},
	{lastCheck, time.Minute, true, false, nothingLeft},
}

func filesThere(l *lab) {
	var missing []string
	for _, f := range l.c.Files {
		if _, err := os.Stat(filepath.Join(binDir, f)); err != nil {
			missing = append(missing, f)
		}
	}
	l.is("missing", strings.Join(missing, " "), "")
}

func filesExecutable(l *lab) {
	for _, f := range l.c.Files {
		if fi, err := os.Stat(filepath.Join(binDir, f)); err == nil && (!fi.Mode().IsRegular() || fi.Mode()&0o111 != 0o111) {
			l.failf("%s: got mode %s, want it executable for all", f, fi.Mode())
		}
	}
}

func filesStatic(l *lab) {
	for _, name := range l.c.Files {
		f, err := elf.Open(filepath.Join(binDir, name))
		if os.IsNotExist(err) {
			continue // another check's
		}
		l.ok(name, err)
		libs, _ := f.ImportedLibraries()
		l.is(name+": shared libraries", strings.Join(libs, " "), "")
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				l.failf("%s: it asks for a dynamic loader, want it static", name)
			}
		}
		f.Close()
	}
}

// versionCheck is of a part of the stack by the name that "docker version" has for it, which ends its own.
func versionCheck(name string) check {
	part := strings.TrimPrefix(name, "version: ")
	return check{name, 20 * time.Second, true, false, func(l *lab) { versionOf(l, part) }}
}

func versionOf(l *lab, part string) {
	var v struct {
		Client struct{ Version, GitCommit string }
		Server struct {
			Version, GitCommit string
			Components         []struct {
				Name, Version string
				Details       map[string]string
			}
		}
	}
	l.ok("docker version", json.Unmarshal([]byte(l.docker("version", "--format", "{{json .}}")), &v))
	want := l.c.Versions[part]
	if part == "docker" {
		l.is("docker", v.Client.Version, want)
		l.is("the daemon", v.Server.Version, want)
		l.note = "docker " + v.Client.GitCommit + ", dockerd " + v.Server.GitCommit
		return
	}
	for _, c := range v.Server.Components {
		if c.Name == part {
			l.is(part, strings.TrimPrefix(c.Version, "v"), want)
			if commit := l.c.Commits[part]; commit != "" {
				l.has(part+": commit", c.Details["GitCommit"], commit[:min(len(commit), 7)])
			}
			l.note = c.Version + " " + c.Details["GitCommit"]
			return
		}
	}
	l.failf("docker version does not name %s", part)
}

func infoRuntime(l *lab) {
	l.is("default runtime, init", l.docker("info", "-f", "{{.DefaultRuntime}} {{.InitBinary}}"), "runc docker-init")
}

func infoStorage(l *lab) {
	want := "overlay2"
	got := l.docker("info", "-f", "{{.Driver}}")
	if l.overlay != nil {
		l.note = fmt.Sprintf("%s: no overlay on this file system: %v", got, l.overlay)
		if got != want {
			return
		}
	}
	l.is("driver", got, want)
	l.note = got
}

func infoSeccomp(l *lab) {
	got := l.docker("info", "-f", "{{.SecurityOptions}}")
	if !strings.Contains(got, "name=seccomp,profile=builtin") && !strings.Contains(got, "name=seccomp,profile=default") {
		l.failf("security options: got %s, want name=seccomp with the built-in profile", got)
	}
	l.note = got
}

func infoCgroups(l *lab) {
	want := "1"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		want = "2"
	}
	// 19.03 and older do not say the version: they know one only.
	a := l.try("info", "-f", "{{.CgroupVersion}}")
	if a.code == 0 {
		l.is("cgroup version", a.out, want)
	}
	l.note = "version " + want + ", driver " + l.docker("info", "-f", "{{.CgroupDriver}}")
}

// infoPlugins wants the drivers that every release since 18.09 has.
func infoPlugins(l *lab) {
	for kind, want := range map[string][]string{
		"Log":     {"awslogs", "fluentd", "gcplogs", "gelf", "journald", "json-file", "local", "splunk", "syslog"},
		"Network": {"bridge", "host", "ipvlan", "macvlan", "null", "overlay"},
		"Volume":  {"local"},
	} {
		got := strings.Fields(strings.Trim(l.docker("info", "-f", "{{.Plugins."+kind+"}}"), "[]"))
		for _, w := range want {
			if !slices.Contains(got, w) {
				l.failf("%s drivers: got %s, want %s among them", kind, strings.Join(got, " "), w)
			}
		}
	}
}

// containerdPlugins wants no plugin of the running containerd to have failed, but for those that this machine has no use for.
func containerdPlugins(l *lab) {
	a := l.command("", "ctr", "-a", runDir+"/containerd/containerd.sock", "plugins", "ls")
	l.is("exit code", a.code, 0)
	n := map[string]int{}
	for i, line := range strings.Split(a.out, "\n") {
		f := strings.Fields(line)
		if i == 0 || len(f) < 2 {
			continue
		}
		status := f[len(f)-1]
		if status == "error" && f[1] == "devmapper" { // containerd before 1.7 says so of one that nobody configured
			status = "skip"
		}
		n[status]++
		if status == "error" {
			l.failf("%s %s: error", f[0], f[1])
		}
	}
	if n["ok"] == 0 {
		l.failf("no plugin is ok: %s", a.out)
	}
	l.note = fmt.Sprintf("%d ok, %d skipped by themselves", n["ok"], n["skip"])
}

// importImage makes the image: the guest, a file for each user, and a place to write.
func importImage(l *lab) {
	guest, err := os.ReadFile(workDir + "/guest")
	l.ok("guest", err)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		name string
		mode int64
		data []byte
	}{
		{"guest", 0o755, guest},
		{"notexec", 0o644, []byte("no program\n")},
		{"etc/passwd", 0o644, []byte("root:x:0:0::/:/guest\nguest:x:1234:1234::/:/guest\n")},
		{"etc/group", 0o644, []byte("root:x:0:\nguest:x:1234:\n")},
	} {
		l.ok("tar", w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), Typeflag: tar.TypeReg}))
		_, err := w.Write(f.data)
		l.ok("tar", err)
	}
	l.ok("tar", w.WriteHeader(&tar.Header{Name: "tmp/", Mode: 0o1777, Typeflag: tar.TypeDir}))
	l.ok("tar", w.Close())
	l.feed(b.String(), "import", "-c", `ENTRYPOINT ["/guest"]`, "-", Image)
	l.has("images", l.docker("images", "--format", "{{.Repository}}:{{.Tag}}"), Image)
}

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
			l.skipf("this machine's cgroup version 2 gives us no %s controller: it has %q", name, strings.TrimSpace(string(all)))
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
	free := cpuOf(l, l.run("--", "burn", "1000"))
	held := cpuOf(l, l.run("--cpus=0.2", "--", "burn", "1000"))
	if held > 450 {
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
	l.has("the root", l.try(runArgs("--rm", []string{"--read-only", "--", "write", "/tmp/file", "x"})...).err, "read-only file system")
	l.run("--read-only", "--tmpfs=/tmp", "--", "write", "/tmp/file", "x")
}

func users(l *lab) {
	l.is("by number", l.run("-u", "55:66", "--", "whoami"), "55 66")
	l.is("by name", l.run("-u", "guest", "--", "whoami"), "1234 1234")
	l.has("what is root's", l.try(runArgs("--rm", []string{"-u", "guest", "--", "write", "/etc/passwd", "x"})...).err, "permission denied")
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

// noNetwork wants what the kernel makes in every new namespace by itself: lo, and sit0 or tunl0 where their modules are loaded.
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
	l.is(proxy+" processes", named(proxy), 1)
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
	l.until(proxy+" has ended", 10*time.Second, func() bool { return named(proxy) == 0 })
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

func builds(l *lab) {
	dir := "/tmp/build"
	l.ok("context", os.MkdirAll(dir, 0o755))
	guest, err := os.ReadFile(workDir + "/guest")
	l.ok("guest", err)
	l.ok("context", os.WriteFile(dir+"/guest", guest, 0o755))
	l.ok("context", os.WriteFile(dir+"/Dockerfile", []byte("FROM scratch\nCOPY guest /guest\nENV WORD=built\n"+
		"RUN [\"/guest\", \"write\", \"/made\", \"by a step\"]\nENTRYPOINT [\"/guest\"]\nCMD [\"env\", \"WORD\"]\n"), 0o644))
	l.docker("build", "--network=none", "-t", "built:1", dir)
	l.is("its command", l.docker("run", "--rm", "built:1"), "built")
	l.is("what a step made", l.docker("run", "--rm", "built:1", "cat", "/made"), "by a step")
	l.docker("rmi", "built:1")
}

func commits(l *lab) {
	l.docker(runArgs("--name=changed", []string{"--", "write", "/tmp/new", "committed"})...)
	l.has("diff", l.docker("diff", "changed"), "A /tmp/new")
	l.docker("commit", "changed", "committed:1")
	l.is("file", l.docker("run", "--rm", "committed:1", "cat", "/tmp/new"), "committed")
	l.docker("rm", "changed")
	l.docker("rmi", "committed:1")
}

func saves(l *lab) {
	l.docker("tag", Image, "saved:1")
	l.docker("save", "-o", "/tmp/saved.tar", "saved:1")
	l.docker("rmi", "saved:1")
	l.has("load", l.docker("load", "-i", "/tmp/saved.tar"), "saved:1")
	l.is("output", l.docker("run", "--rm", "saved:1", "print", "loaded"), "loaded")
	l.detach("exported", "--", "sleep", "600")
	l.docker("export", "-o", "/tmp/exported.tar", "exported")
	l.docker("rmi", "saved:1")
}

func atOnce(l *lab) {
	const n = 20
	answers := make([]answer, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			defer func() {
				if x := recover(); x != nil {
					answers[i] = answer{err: fmt.Sprint(x), code: -1}
				}
			}()
			answers[i] = l.try(runArgs("--rm", []string{"--", "print", strconv.Itoa(i)})...)
		})
	}
	all.Wait()
	for i, a := range answers {
		if a.code != 0 || a.out != strconv.Itoa(i) {
			l.failf("container %d: exit code %d: got %q, %s", i, a.code, a.out, a.err)
		}
	}
}

func liveRestore(l *lab) {
	l.restart(syscall.SIGTERM, "--live-restore")
	l.detach("lives", "--", "sleep", "600")
	pid := l.inspect("lives", ".State.Pid")
	l.stop(syscall.SIGTERM)
	if _, err := os.Stat("/proc/" + pid); err != nil {
		l.failf("the container ended with the daemon: %v", err)
	}
	l.start("--live-restore")
	l.is("pid afterwards", l.inspect("lives", ".State.Pid"), pid)
	l.is("exec afterwards", l.docker("exec", "lives", "/guest", "print", "alive"), "alive")
	l.docker("rm", "-f", "lives")
	l.restart(syscall.SIGTERM)
}

func killed(l *lab) {
	l.detach("survivor", "--restart=always", "--", "sleep", "600")
	l.stop(syscall.SIGKILL)
	l.start()
	l.is("output", l.run("--", "print", "again"), "again")
	l.until("a container with --restart=always runs again", 20*time.Second, func() bool {
		return l.inspect("survivor", ".State.Running") == "true"
	})
	l.is("exec", l.docker("exec", "survivor", "/guest", "print", "alive"), "alive")
}

// nothingLeft stops the daemon while a container runs.
func nothingLeft(l *lab) {
	l.detach("last", "--", "signal")
	l.logged("last", "ready")
	l.stop(syscall.SIGTERM)
	var left []string
	l.untilOrNot(10*time.Second, func() bool {
		left = nil
		for _, p := range processes() {
			left = append(left, fmt.Sprintf("process %d %s (%c)", p.pid, p.name, p.state))
		}
		for _, m := range mountPoints() {
			// dockerd keeps the host's own network namespace there, whatever its version, and finds it again.
			if !slices.Contains(l.mounts, m) && m != runDir+"/netns/default" {
				left = append(left, "mount "+m)
			}
		}
		for _, d := range controllers() {
			for _, g := range cgroupsBelow(filepath.Join(d, l.c.Cgroup)) {
				if g != filepath.Join(d, l.c.Cgroup, "buildkit") { // the empty parent of those of its steps, which it keeps
					left = append(left, "cgroup "+g)
				}
			}
		}
		return left == nil
	})
	l.is("left", strings.Join(left, ", "), "")
}

// untilOrNot waits until a condition holds, but not for ever, and leaves it to the caller to say what is wrong.
func (l *lab) untilOrNot(limit time.Duration, holds func() bool) {
	for end := time.Now().Add(l.slowly(limit)); !holds() && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
	}
}
