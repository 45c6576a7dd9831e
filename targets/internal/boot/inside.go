package boot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/smoke"

	"golang.org/x/sys/unix"
)

// Order is what is done in the machine.
type Order struct {
	Steps []string     `json:"steps"` // names of steps
	Run   string       `json:"run"`   // the shell command of the step of that name
	Smoke smoke.Config `json:"smoke"` // of the smoke test, without what the machine knows itself
}

// message is one line from the machine.
type message struct {
	Row *smoke.Result `json:"row,omitempty"`
	// Begins is a step that is begun.
	Begins string `json:"begins,omitempty"`
	Fatal  string `json:"fatal,omitempty"`
	Done   bool   `json:"done,omitempty"`
	Works  bool   `json:"works,omitempty"` // a long step goes on
}

// insideName is the name by which the program is called in the machine.
const insideName = "drydock-boot"

func init() {
	if filepath.Base(os.Args[0]) == insideName && len(os.Args) == 2 {
		os.Exit(inside(os.Args[1]))
	}
}

// guest is the machine, from inside.
type guest struct {
	order Order
	say   func(message)
}

// inside carries an order out, and switches the machine off.
func inside(file string) int {
	out, err := os.OpenFile(resultLine(), os.O_WRONLY, 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	raw(out)
	g := &guest{say: func(m message) {
		data, _ := json.Marshal(m)
		out.Write(append(data, '\n'))
	}}
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &g.order)
	}
	if err != nil {
		g.say(message{Fatal: err.Error()})
	}
	if err := smoke.Loopback(); err != nil { // a smallest root has nothing that brings it up
		g.say(message{Fatal: err.Error()})
	}
	os.Setenv("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	os.Setenv("HOME", "/root")
	for _, name := range g.order.Steps {
		if !g.step(name) {
			break
		}
	}
	g.say(message{Done: true})
	unix.Sync()
	exec.Command("poweroff").Run()
	return 0
}

// raw has the line carry what is written, as it is.
func raw(f *os.File) {
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err == nil {
		t.Oflag &^= unix.OPOST
		t.Lflag &^= unix.ECHO
		unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t)
	}
}

// step does one, says what came out, and reports whether the ones after it can be tried.
func (g *guest) step(name string) bool {
	if name == "smoke" {
		return g.smoke()
	}
	do, row := steps[name].do, smoke.Result{Name: steps[name].says, Verdict: smoke.Passed}
	start := time.Now()
	g.say(message{Begins: name})
	if do == nil {
		g.say(message{Fatal: "no step is named " + name})
		return false
	}
	detail, err := do(g)
	row.Seconds, row.Detail = time.Since(start).Seconds(), detail
	if err != nil {
		row.Verdict, row.Detail = smoke.Failed, err.Error()
	}
	g.say(message{Row: &row})
	return err == nil
}

// steps are what an operator does, by name.
var steps = map[string]struct {
	says string
	do   func(g *guest) (string, error)
}{
	"machine": {"machine: boots", (*guest).machine},
	"unpack":  {"machine: the packages are unpacked", (*guest).unpack},
	"install": {"machine: install.sh", func(g *guest) (string, error) { return g.install("package") }},
	"upgrade": {"machine: install.sh of the later package",
		func(g *guest) (string, error) { return g.install("to", "--restart") }},
	"start":     {"machine: the service starts", func(g *guest) (string, error) { return g.service("start") }},
	"whole":     {"machine: after a power cut the installed version is whole", (*guest).whole},
	"container": {"machine: a container", (*guest).container},
	"plugins":   {"machine: docker compose and buildx, by a user of the group docker", (*guest).plugins},
	"kept":      {"machine: after a reboot the service and its container run again", (*guest).kept},
	"version":   {"machine: the version that runs, and its container", (*guest).version},
	"rollback": {"machine: install.sh --rollback", func(g *guest) (string, error) {
		return g.run("sh", "/usr/local/libexec/drydock/current/install.sh", "--rollback", "--restart")
	}},
	"run":  {"machine: the command", (*guest).command},
	"stop": {"machine: the service stops", func(g *guest) (string, error) { return g.service("stop") }},
	"uninstall": {"machine: install.sh --uninstall", func(g *guest) (string, error) {
		said, err := g.run("sh", "/usr/local/libexec/drydock/current/install.sh", "--uninstall")
		if _, there := os.Lstat("/usr/local/bin/docker"); err == nil && there == nil {
			err = errors.New("/usr/local/bin/docker is still there")
		}
		return said, err
	}},
}

// run runs a command, and returns the end of what it said.
func (g *guest) run(argv ...string) (string, error) { return g.runAs(func(*exec.Cmd) {}, argv...) }

// runAs is run of a command that is changed before.
func (g *guest) runAs(change func(*exec.Cmd), argv ...string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), 10*time.Minute, errors.New("no end after 10 min"))
	defer cancel()
	return runIn(ctx, change, argv...)
}

// runIn is runAs until a context ends.
func runIn(ctx context.Context, change func(*exec.Cmd), argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	change(cmd)
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) { // a daemon that it started has its output
		err = nil
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	said := strings.Join(lines[max(0, len(lines)-6):], "; ")
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), errors.Join(err, context.Cause(ctx)), said)
	}
	return said, err
}

func (g *guest) machine() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", err
	}
	up, _ := os.ReadFile("/proc/uptime")
	seconds, _, _ := strings.Cut(string(up), " ")
	init, _ := os.ReadFile("/proc/1/comm")
	return fmt.Sprintf("Linux %s, %s, %s s", unix.ByteSliceToString(u.Release[:]),
		strings.TrimSpace(string(init)), seconds), nil
}

// unpack unpacks the packages that are there, each whole or not at all.
func (g *guest) unpack() (string, error) {
	for _, name := range []string{"package", "to"} {
		dir := filepath.Join("/srv", name)
		if isThere(dir) || !isThere(dir+".tar.gz") {
			continue
		}
		line := fmt.Sprintf("rm -rf %[1]s.new && mkdir %[1]s.new && tar -xzf %[1]s.tar.gz -C %[1]s.new && sync && "+
			"mv %[1]s.new %[1]s && sync", dir)
		if said, err := g.run("sh", "-c", line); err != nil {
			return said, err
		}
	}
	return "", nil
}

func (g *guest) install(name string, flags ...string) (string, error) {
	if said, err := g.unpack(); err != nil {
		return said, err
	}
	dir := filepath.Join("/srv", name)
	flags = append([]string{"sh", dir + "/install.sh"}, flags...)
	if isThere("/etc/boot") { // busybox's init is none that the installer would know
		flags = append(flags, "--init=sysv")
	}
	if isThere(dir + "/iptables") {
		flags = append(flags, "--with-iptables")
	}
	return g.run(flags...)
}

// service asks the machine's own init for it.
func (g *guest) service(verb string) (string, error) {
	switch {
	case isThere("/run/systemd/system"):
		said, err := g.run("systemctl", verb, "docker")
		// Restart= starts it again, where its containerd took too long
		for i := 0; i < 60 && err != nil && verb == "start"; i++ {
			time.Sleep(time.Second)
			said, err = g.run("systemctl", "is-active", "docker")
		}
		return said, err
	case isThere("/run/openrc"):
		return g.run("rc-service", "docker", verb)
	}
	return g.run("/etc/init.d/docker", verb)
}

// command is the user's own, which may take hours.
func (g *guest) command() (string, error) {
	alive := time.NewTicker(time.Minute)
	defer alive.Stop()
	go func() {
		for range alive.C {
			g.say(message{Works: true})
		}
	}()
	return runIn(context.Background(), func(*exec.Cmd) {}, "sh", "-c", g.order.Run)
}

// whole holds the version that "current" points to against its own list of digests. Where nothing is linked, nothing
// may be there to be called.
func (g *guest) whole() (string, error) {
	const current = "/usr/local/libexec/drydock/current"
	to, err := os.Readlink(current)
	if err != nil {
		if _, there := os.Stat("/usr/local/bin/docker"); there == nil {
			return "", errors.New("/usr/local/bin/docker can be called, and no version is linked")
		}
		return "no version is linked yet", nil
	}
	if said, err := g.run("sh", "-c", "cd "+current+" && sha256sum -c SHA256SUMS"); err != nil {
		return said, err
	}
	said, err := g.run(current+"/docker/docker", "--version")
	return to + ": " + said, err
}

// container imports an image and leaves a container that is to run again by itself, with a volume.
func (g *guest) container() (string, error) {
	if said, err := g.run("sh", "-c", "tar -C /srv -cf - guest | docker import - guest"); err != nil {
		return said, err
	}
	for _, line := range []string{"run --rm -v keep:/data guest /guest write /data/file kept by a volume",
		"run -d --name server --restart=always -p 8080:7000 guest /guest listen 7000"} {
		if said, err := g.run(append([]string{"docker"}, strings.Fields(line)...)...); err != nil {
			return said, err
		}
	}
	return g.version()
}

// version is what runs, and whether its containers do.
func (g *guest) version() (string, error) {
	said, err := g.run("docker", "version", "--format", "{{.Client.Version}} {{.Server.Version}}")
	if err != nil {
		return said, err
	}
	for _, want := range [][]string{
		{"from a container", "docker", "run", "--rm", "guest", "/guest", "print", "from a container"},
		{"kept by a volume", "docker", "run", "--rm", "-v", "keep:/data", "guest", "/guest", "cat", "/data/file"},
		{"heard hello", "/srv/guest", "dial", "127.0.0.1:8080", "hello"},
	} {
		got, err := g.run(want[1:]...)
		if err == nil && got != want[0] {
			err = fmt.Errorf("%s: got %q, want %q", strings.Join(want[1:], " "), got, want[0])
		}
		if err != nil {
			return "", err
		}
	}
	return said, nil
}

// kept waits for the container that is to run again by itself.
func (g *guest) kept() (string, error) {
	var said string
	var err error
	for range 60 {
		if said, err = g.run("docker", "inspect", "-f", "{{.State.Running}}", "server"); said == "true" {
			break
		}
		time.Sleep(time.Second)
	}
	if said != "true" {
		return "", fmt.Errorf("the container: running: got %q, %s, want true", said, fmt.Sprint(err))
	}
	return g.version()
}

// smoke runs the smoke test on the installed files.
func (g *guest) smoke() bool {
	c, fatal := g.order.Smoke, func(err error) bool {
		g.say(message{Row: &smoke.Result{Name: "smoke", Verdict: smoke.Failed, Detail: err.Error()}})
		return false
	}
	c.Bin, c.Work = "/srv/bin", "/srv/smoke"
	if err := errors.Join(os.MkdirAll(c.Bin, 0o755), os.MkdirAll(c.Work, 0o755)); err != nil {
		return fatal(err)
	}
	const current = "/usr/local/libexec/drydock/current/"
	said, err := g.run("sh", "-c", "cp -al "+current+"docker/* /srv/bin/ && cp /srv/guest /srv/smoke/guest && "+
		"if [ -d "+current+"iptables ]; then cp -al "+current+"iptables/* /srv/bin/; fi")
	if err != nil {
		return fatal(errors.New(said))
	}
	if !isThere("/srv/bin/iptables") {
		c.Network = nil
		c.NoNetwork = "the package has no iptables"
	}
	bus := func(name string) bool { return strings.HasPrefix(name, "dbus-") } // is not installed
	c.Files = slices.DeleteFunc(slices.Clone(c.Files), bus)
	_, err = smoke.Run(context.Background(), c, func(r smoke.Result) { g.say(message{Row: &r}) })
	if err != nil {
		return fatal(err)
	}
	return true
}
