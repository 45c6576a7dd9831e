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
	// daemon reports whether it needs a running daemon and the guest's image.
	daemon bool
	// always reports whether it is run even when only some are asked for: the others stand on it.
	always bool
	run    func(l *harness)
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
	{startCheck, 90 * time.Second, false, true, func(h *harness) { h.hide(Firewall, "ip6tables"); h.start() }},
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
	{"run", 30 * time.Second, true, false, func(h *harness) { h.is("output", h.run("--", "print", "hello"), "hello") }},
	{"exit codes", time.Minute, true, false, exitCodes},
	{"environment", 30 * time.Second, true, false, func(h *harness) {
		h.is("output", h.run("-e", "COLOUR=dry dock", "--", "env", "COLOUR"), "dry dock")
	}},
	{"working directory", 30 * time.Second, true, false,
		func(h *harness) { h.is("output", h.run("-w", "/tmp", "--", "cwd"), "/tmp") }},
	{"stdin", 30 * time.Second, true, false, func(h *harness) {
		text := strings.Repeat("0123456789abcdef\n", 8192)
		h.is("what came back", h.feed(text, runArgs("--rm", []string{"-i", "--", "cat"})...)+"\n" == text, true)
	}},
	{"terminal", 30 * time.Second, true, false, func(h *harness) {
		h.is("with -t", h.run("-t", "--", "tty"), "true")
		h.is("without", h.run("--", "tty"), "false")
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

func filesThere(h *harness) {
	there := func(f string) bool { _, err := os.Stat(filepath.Join(binDir, f)); return err == nil }
	h.is("missing", strings.Join(slices.DeleteFunc(slices.Clone(h.c.Files), there), " "), "")
}

func filesExecutable(h *harness) {
	for _, f := range h.c.Files {
		fi, err := os.Stat(filepath.Join(binDir, f))
		if err == nil && (!fi.Mode().IsRegular() || fi.Mode()&0o111 != 0o111) {
			h.failf("%s: got mode %s, want it executable for all", f, fi.Mode())
		}
	}
}

func filesStatic(h *harness) {
	for _, name := range h.c.Files {
		f, err := elf.Open(filepath.Join(binDir, name))
		if os.IsNotExist(err) {
			continue // another check's
		}
		h.ok(name, err)
		libs, _ := f.ImportedLibraries()
		h.is(name+": shared libraries", strings.Join(libs, " "), "")
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				h.failf("%s: it asks for a dynamic loader, want it static", name)
			}
		}
		f.Close()
	}
}

// versionCheck is of a part of the stack by the name that "docker version" has for it, which ends its own.
func versionCheck(name string) check {
	part := strings.TrimPrefix(name, "version: ")
	return check{name, 20 * time.Second, true, false, func(h *harness) { versionOf(h, part) }}
}

func versionOf(h *harness, part string) {
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
	h.ok("docker version", json.Unmarshal([]byte(h.docker("version", "--format", "{{json .}}")), &v))
	want := h.c.Versions[part]
	if part == "docker" {
		h.is("docker", v.Client.Version, want)
		h.is("the daemon", v.Server.Version, want)
		h.note = "docker " + v.Client.GitCommit + ", dockerd " + v.Server.GitCommit
		return
	}
	for _, c := range v.Server.Components {
		if c.Name == part {
			h.is(part, strings.TrimPrefix(c.Version, "v"), want)
			if commit := h.c.Commits[part]; commit != "" {
				h.has(part+": commit", c.Details["GitCommit"], commit[:min(len(commit), 7)])
			}
			h.note = c.Version + " " + c.Details["GitCommit"]
			return
		}
	}
	h.failf("docker version does not name %s", part)
}

func infoRuntime(h *harness) {
	h.is("default runtime, init", h.docker("info", "-f", "{{.DefaultRuntime}} {{.InitBinary}}"), "runc docker-init")
}

func infoStorage(h *harness) {
	want := "overlay2"
	got := h.docker("info", "-f", "{{.Driver}}")
	if h.overlay != nil {
		h.note = fmt.Sprintf("%s: no overlay on this file system: %v", got, h.overlay)
		if got != want {
			return
		}
	}
	h.is("driver", got, want)
	h.note = got
}

func infoSeccomp(h *harness) {
	got := h.docker("info", "-f", "{{.SecurityOptions}}")
	if !strings.Contains(got, "name=seccomp,profile=builtin") &&
		!strings.Contains(got, "name=seccomp,profile=default") {
		h.failf("security options: got %s, want name=seccomp with the built-in profile", got)
	}
	h.note = got
}

func infoCgroups(h *harness) {
	want := "1"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		want = "2"
	}
	// 19.03 and older do not say the version: they know one only.
	a := h.try("info", "-f", "{{.CgroupVersion}}")
	if a.code == 0 {
		h.is("cgroup version", a.out, want)
	}
	h.note = "version " + want + ", driver " + h.docker("info", "-f", "{{.CgroupDriver}}")
}

// infoPlugins wants the drivers that every release since 18.09 has.
func infoPlugins(h *harness) {
	for kind, want := range map[string][]string{
		"Log":     {"awslogs", "fluentd", "gcplogs", "gelf", "journald", "json-file", "local", "splunk", "syslog"},
		"Network": {"bridge", "host", "ipvlan", "macvlan", "null", "overlay"},
		"Volume":  {"local"},
	} {
		got := strings.Fields(strings.Trim(h.docker("info", "-f", "{{.Plugins."+kind+"}}"), "[]"))
		for _, w := range want {
			if !slices.Contains(got, w) {
				h.failf("%s drivers: got %s, want %s among them", kind, strings.Join(got, " "), w)
			}
		}
	}
}

// containerdPlugins wants no plugin of the running containerd to have failed, but for those that this machine has no
// use for.
func containerdPlugins(h *harness) {
	a := h.command("", "ctr", "-a", runDir+"/containerd/containerd.sock", "plugins", "ls")
	h.is("exit code", a.code, 0)
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
			h.failf("%s %s: error", f[0], f[1])
		}
	}
	if n["ok"] == 0 {
		h.failf("no plugin is ok: %s", a.out)
	}
	h.note = fmt.Sprintf("%d ok, %d skipped by themselves", n["ok"], n["skip"])
}

// importImage makes the image: the guest, a file for each user, and a place to write.
func importImage(h *harness) {
	guest, err := os.ReadFile(workDir + "/guest")
	h.ok("guest", err)
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
		h.ok("tar",
			w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), Typeflag: tar.TypeReg}))
		_, err := w.Write(f.data)
		h.ok("tar", err)
	}
	h.ok("tar", w.WriteHeader(&tar.Header{Name: "tmp/", Mode: 0o1777, Typeflag: tar.TypeDir}))
	h.ok("tar", w.Close())
	h.feed(b.String(), "import", "-c", `ENTRYPOINT ["/guest"]`, "-", Image)
	h.has("images", h.docker("images", "--format", "{{.Repository}}:{{.Tag}}"), Image)
}

func builds(h *harness) {
	dir := "/tmp/build"
	h.ok("context", os.MkdirAll(dir, 0o755))
	guest, err := os.ReadFile(workDir + "/guest")
	h.ok("guest", err)
	h.ok("context", os.WriteFile(dir+"/guest", guest, 0o755))
	h.ok("context", os.WriteFile(dir+"/Dockerfile", []byte("FROM scratch\nCOPY guest /guest\nENV WORD=built\n"+
		"RUN [\"/guest\", \"write\", \"/made\", \"by a step\"]\nENTRYPOINT [\"/guest\"]\nCMD [\"env\", \"WORD\"]\n"),
		0o644))
	h.docker("build", "--network=none", "-t", "built:1", dir)
	h.is("its command", h.docker("run", "--rm", "built:1"), "built")
	h.is("what a step made", h.docker("run", "--rm", "built:1", "cat", "/made"), "by a step")
	h.docker("rmi", "built:1")
}

func commits(h *harness) {
	h.docker(runArgs("--name=changed", []string{"--", "write", "/tmp/new", "committed"})...)
	h.has("diff", h.docker("diff", "changed"), "A /tmp/new")
	h.docker("commit", "changed", "committed:1")
	h.is("file", h.docker("run", "--rm", "committed:1", "cat", "/tmp/new"), "committed")
	h.docker("rm", "changed")
	h.docker("rmi", "committed:1")
}

func saves(h *harness) {
	h.docker("tag", Image, "saved:1")
	h.docker("save", "-o", "/tmp/saved.tar", "saved:1")
	h.docker("rmi", "saved:1")
	h.has("load", h.docker("load", "-i", "/tmp/saved.tar"), "saved:1")
	h.is("output", h.docker("run", "--rm", "saved:1", "print", "loaded"), "loaded")
	h.detach("exported", "--", "sleep", "600")
	h.docker("export", "-o", "/tmp/exported.tar", "exported")
	h.docker("rmi", "saved:1")
}

func atOnce(h *harness) {
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
			answers[i] = h.try(runArgs("--rm", []string{"--", "print", strconv.Itoa(i)})...)
		})
	}
	all.Wait()
	for i, a := range answers {
		if a.code != 0 || a.out != strconv.Itoa(i) {
			h.failf("container %d: exit code %d: got %q, %s", i, a.code, a.out, a.err)
		}
	}
}

func liveRestore(h *harness) {
	h.restart(syscall.SIGTERM, "--live-restore")
	h.detach("lives", "--", "sleep", "600")
	pid := h.inspect("lives", ".State.Pid")
	h.stop(syscall.SIGTERM)
	if _, err := os.Stat("/proc/" + pid); err != nil {
		h.failf("the container ended with the daemon: %v", err)
	}
	h.start("--live-restore")
	h.is("pid afterwards", h.inspect("lives", ".State.Pid"), pid)
	h.is("exec afterwards", h.docker("exec", "lives", "/guest", "print", "alive"), "alive")
	h.docker("rm", "-f", "lives")
	h.restart(syscall.SIGTERM)
}

func killed(h *harness) {
	h.detach("survivor", "--restart=always", "--", "sleep", "600")
	h.stop(syscall.SIGKILL)
	h.start()
	h.is("output", h.run("--", "print", "again"), "again")
	h.until("a container with --restart=always runs again", 20*time.Second, func() bool {
		return h.inspect("survivor", ".State.Running") == "true"
	})
	h.is("exec", h.docker("exec", "survivor", "/guest", "print", "alive"), "alive")
}

// nothingLeft stops the daemon while a container runs.
func nothingLeft(h *harness) {
	h.detach("last", "--", "signal")
	h.logged("last", "ready")
	h.stop(syscall.SIGTERM)
	var left []string
	h.untilOrNot(10*time.Second, func() bool {
		left = nil
		for _, p := range processes() {
			left = append(left, fmt.Sprintf("process %d %s (%c)", p.pid, p.name, p.state))
		}
		for _, m := range mountPoints() {
			// dockerd keeps the host's own network namespace there, whatever its version, and finds it again.
			if !slices.Contains(h.mounts, m) && m != runDir+"/netns/default" {
				left = append(left, "mount "+m)
			}
		}
		for _, d := range controllers() {
			for _, g := range cgroupsBelow(filepath.Join(d, h.c.Cgroup)) {
				// the empty parent of those of its steps, which it keeps
				if g != filepath.Join(d, h.c.Cgroup, "buildkit") {
					left = append(left, "cgroup "+g)
				}
			}
		}
		return left == nil
	})
	h.is("left", strings.Join(left, ", "), "")
}

// untilOrNot waits until a condition holds, but not for ever, and leaves it to the caller to say what is wrong.
func (h *harness) untilOrNot(limit time.Duration, holds func() bool) {
	for end := time.Now().Add(h.slowly(limit)); !holds() && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
	}
}
