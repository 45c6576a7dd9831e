package smoke

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// busChecks need no daemon of Docker's.
var busChecks = []check{{"dbus: a system bus that answers", 30 * time.Second, false, false, bus}}

// bus starts dbus-daemon as the system's, with the configuration of its prefix, and asks it.
func bus(l *lab) {
	const id = "/var/lib/dbus/machine-id"
	a := l.command("", "dbus-uuidgen", "--ensure="+id)
	l.is("dbus-uuidgen: "+a.err+": exit code", a.code, 0)
	uuid, err := os.ReadFile(id)
	l.ok("dbus-uuidgen", err)
	l.is("length of the machine's id", len(strings.TrimSpace(string(uuid))), 32)
	l.ok("directory", os.MkdirAll("/var/run/dbus", 0o755))
	cmd := exec.CommandContext(l.ctx, filepath.Join(binDir, "dbus-daemon"), "--system", "--nofork", "--nosyslog")
	cmd.Env, cmd.Stdout, cmd.Stderr = environment, os.Stderr, os.Stderr // the run's log
	if err := cmd.Start(); err != nil {
		l.failf("start dbus-daemon: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { cmd.Process.Kill() }()
	send := func(method string) answer {
		return l.command("", "dbus-send", "--system", "--print-reply", "--dest=org.freedesktop.DBus",
			"/org/freedesktop/DBus", "org.freedesktop.DBus."+method)
	}
	l.until("the bus answers", 10*time.Second, func() bool { return send("GetId").code == 0 })
	l.has("ListNames", send("ListNames").out, `string "org.freedesktop.DBus"`)
	refused := send("UpdateActivationEnvironment")
	l.is("what the configuration forbids: exit code", refused.code != 0, true)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	l.ok("dbus-daemon", err)
	l.has("dbus-daemon runs as the user of its configuration", string(status), "Uid:\t81\t81\t81\t81")
	pid, err := os.ReadFile("/var/run/dbus/pid")
	l.ok("pid file", err)
	l.is("pid file", strings.TrimSpace(string(pid)), strconv.Itoa(cmd.Process.Pid))
	l.ok("stop", cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-ended:
		l.ok("dbus-daemon ends", err)
	case <-l.ctx.Done():
		l.failf("dbus-daemon does not end after SIGTERM")
	}
	l.note = "machine id, ListNames, a method that the configuration refuses"
}
