package smoke

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
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
var Brief = []string{"info: storage driver", "info: cgroups", "run", "memory limit",
	"bridge and -p through docker-proxy", "a bridge gets its address when it is there", lastCheck}

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
	{"working directory", 30 * time.Second, true, false,
		func(l *lab) { l.is("output", l.run("-w", "/tmp", "--", "cwd"), "/tmp") }},
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
		fi, err := os.Stat(filepath.Join(binDir, f))
		if err == nil && (!fi.Mode().IsRegular() || fi.Mode()&0o111 != 0o111) {
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
	if !strings.Contains(got, "name=seccomp,profile=builtin") &&
		!strings.Contains(got, "name=seccomp,profile=default") {
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

// containerdPlugins wants no plugin of the running containerd to have failed, but for those that this machine has no
// use for.
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
		l.ok("tar",
			w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), Typeflag: tar.TypeReg}))
		_, err := w.Write(f.data)
		l.ok("tar", err)
	}
	l.ok("tar", w.WriteHeader(&tar.Header{Name: "tmp/", Mode: 0o1777, Typeflag: tar.TypeDir}))
	l.ok("tar", w.Close())
	l.feed(b.String(), "import", "-c", `ENTRYPOINT ["/guest"]`, "-", Image)
	l.has("images", l.docker("images", "--format", "{{.Repository}}:{{.Tag}}"), Image)
}

func builds(l *lab) {
	dir := "/tmp/build"
	l.ok("context", os.MkdirAll(dir, 0o755))
	guest, err := os.ReadFile(workDir + "/guest")
	l.ok("guest", err)
	l.ok("context", os.WriteFile(dir+"/guest", guest, 0o755))
	l.ok("context", os.WriteFile(dir+"/Dockerfile", []byte("FROM scratch\nCOPY guest /guest\nENV WORD=built\n"+
		"RUN [\"/guest\", \"write\", \"/made\", \"by a step\"]\nENTRYPOINT [\"/guest\"]\nCMD [\"env\", \"WORD\"]\n"),
		0o644))
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
				// the empty parent of those of its steps, which it keeps
				if g != filepath.Join(d, l.c.Cgroup, "buildkit") {
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
