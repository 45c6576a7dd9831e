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
func bus(h *harness) {
	const id = "/var/lib/dbus/machine-id"
	a := h.command("", "dbus-uuidgen", "--ensure="+id)
	h.is("dbus-uuidgen: "+a.err+": exit code", a.code, 0)
	uuid, err := os.ReadFile(id)
	h.ok("dbus-uuidgen", err)
	h.is("length of the machine's id", len(strings.TrimSpace(string(uuid))), 32)
	h.ok("directory", os.MkdirAll("/var/run/dbus", 0o755))
	cmd := exec.CommandContext(h.ctx, filepath.Join(binDir, "dbus-daemon"), "--system", "--nofork", "--nosyslog")
	cmd.Env, cmd.Stdout, cmd.Stderr = environment, os.Stderr, os.Stderr // the run's log
	if err := cmd.Start(); err != nil {
		h.failf("start dbus-daemon: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { cmd.Process.Kill() }()
	send := func(method string) answer {
		return h.command("", "dbus-send", "--system", "--print-reply", "--dest=org.freedesktop.DBus",
			"/org/freedesktop/DBus", "org.freedesktop.DBus."+method)
	}
	h.until("the bus answers", 10*time.Second, func() bool { return send("GetId").code == 0 })
	h.has("ListNames", send("ListNames").out, `string "org.freedesktop.DBus"`)
	refused := send("UpdateActivationEnvironment")
	h.is("what the configuration forbids: exit code", refused.code != 0, true)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	h.ok("dbus-daemon", err)
	h.has("dbus-daemon runs as the user of its configuration", string(status), "Uid:\t81\t81\t81\t81")
	pid, err := os.ReadFile("/var/run/dbus/pid")
	h.ok("pid file", err)
	h.is("pid file", strings.TrimSpace(string(pid)), strconv.Itoa(cmd.Process.Pid))
	h.ok("stop", cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-ended:
		h.ok("dbus-daemon ends", err)
	case <-h.ctx.Done():
		h.failf("dbus-daemon does not end after SIGTERM")
	}
	h.note = "machine id, ListNames, a method that the configuration refuses"
}
