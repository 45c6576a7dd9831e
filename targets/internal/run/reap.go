package run

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Reap ends what a killed run left running with a HOME below a directory, and returns the ids of those processes.
// Children die with their runner, but for one that was just being made: as the first process of a namespace of its own
// it is not told.
func Reap(below string) (ended []int) {
	home := []byte("\x00HOME=" + below + "/")
	processes, _ := filepath.Glob("/proc/[0-9]*") // the pattern is a good one
	for _, p := range processes {
		if !orphan(p) { // who replays a failed step in a shell does so with the same HOME
			continue
		}
		if env, _ := os.ReadFile(p + "/environ"); !bytes.Contains(append([]byte{0}, env...), home) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(p)); err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
			ended = append(ended, pid)
		}
	}
	return ended
}

// orphan reports whether a process, named by its directory in /proc, has been left to the first one, or to a session's
// systemd.
func orphan(proc string) bool {
	status, _ := os.ReadFile(proc + "/status")
	_, after, _ := bytes.Cut(status, []byte("\nPPid:\t"))
	parent, _, _ := bytes.Cut(after, []byte("\n"))
	name, _ := os.ReadFile("/proc/" + string(parent) + "/comm")
	return string(parent) == "1" || string(name) == "systemd\n"
}
