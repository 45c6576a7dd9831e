// Package smoke starts a built stack and uses it: dockerd with its containerd, the shim, runc, docker-proxy and
// docker-init, in namespaces and on a root file system where there is nothing else, and compares what they do with a
// table of checks. It knows not how they were built.
package smoke

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"drydock/targets/internal/archive"
)

// Config says what is tried and where.
type Config struct {
	// Bin is the directory of the built files. They are all that is in the daemon's PATH but for Tools.
	Bin string `json:"bin"`
	// Tools are other programs for the daemon's PATH, by name: iptables, for one.
	Tools map[string]string `json:"tools,omitempty"`
	// Work is a directory of this run alone, with the guest in it (see CompileGuest). Data roots are removed, logs
	// stay.
	Work string `json:"work"`
	// Kernel imitates the system calls of an older kernel; empty for this one's.
	Kernel string `json:"kernel,omitempty"`
	// Files are the names that must be in Bin.
	Files []string `json:"files"`
	// Versions are what "docker version" must say: docker, containerd, runc, docker-init; and plugins of themselves:
	// buildx, compose. Commits may be unknown: "".
	Versions map[string]string `json:"versions"`
	Commits  map[string]string `json:"commits,omitempty"`
	// Network are dockerd's flags for the network part, with an iptables that is in Bin; nil leaves that part out, and
	// NoNetwork says why.
	Network   []string `json:"network,omitempty"`
	NoNetwork string   `json:"no_network,omitempty"`
	// Share is the directory with dbus's configuration, where a dbus is in Bin; empty where there is none.
	Share string `json:"share,omitempty"`
	// Plugins are the command line's plugins in Bin's cli-plugins/; nil where there are none. Run sets it.
	Plugins []string `json:"plugins,omitempty"`
	// Daemon are dockerd's flags beyond those that every run needs. Nil for the ones that need no iptables.
	Daemon []string `json:"daemon"`
	// Only are the names of the checks that are run; nil for all.
	Only []string `json:"only,omitempty"`
	// Slow is by how much a program takes longer to start here than on a machine of today; limits of time are so many
	// times longer. Run sets it.
	Slow float64 `json:"slow"`
	// Cgroup is the name of the cgroup below which the daemon makes its own. Run sets it.
	Cgroup string `json:"cgroup"`
}

// Verdicts of a check.
const (
	Passed  = "passed"
	Failed  = "failed"
	Skipped = "skipped"
)

// Result is what one check found.
type Result struct {
	Name    string  `json:"name"`
	Verdict string  `json:"verdict"`
	Seconds float64 `json:"seconds"`
	// Detail is why it failed or was skipped; for one that passed, what there is to say.
	Detail string `json:"detail,omitempty"`
	// Warnings are what dockerd and containerd logged meanwhile, as warning or error.
	Warnings []string `json:"warnings,omitempty"`
}

// Refusal says that nothing could be tried on this machine, and why.
type Refusal struct{ Why string }

func (r *Refusal) Error() string { return "cannot run the stack here: " + r.Why }

// Allowed returns a *Refusal to who is not root.
func Allowed() error {
	if os.Geteuid() != 0 {
		return &Refusal{"it needs root, for namespaces, mounts and cgroups: nothing was tried; \"mage verify\" says " +
			"what can be said without it"}
	}
	return nil
}

// message is one line from the inner process.
type message struct {
	Result  *Result `json:"result,omitempty"`
	Refused string  `json:"refused,omitempty"`
	Fatal   string  `json:"fatal,omitempty"`
	Done    bool    `json:"done,omitempty"`
}

// longest is the whole run's time: more than the checks' own limits can add up to is a hang of our own.
const longest = 20 * time.Minute

// slowness is how many times longer than usual a program of Go takes to say its version, from 1 to 20: the best of
// three.
func slowness(ctx context.Context, program string) float64 {
	const usual = 100 * time.Millisecond // 40 ms on an idle machine of today
	best := 20 * usual
	for range 3 {
		start := time.Now()
		if err := exec.CommandContext(ctx, program, "--version").Run(); err != nil {
			return 1
		}
		best = min(best, time.Since(start))
	}
	return max(1, float64(best)/float64(usual))
}

func times(d time.Duration, n float64) time.Duration {
	return time.Duration(float64(d) * n).Round(time.Second)
}

// Run tries the stack and returns every check's result, of which each is told as they come. The error is a *Refusal
// where nothing could be tried; a check that fails is none.
func Run(ctx context.Context, c Config, each func(Result)) ([]Result, error) {
	if err := Allowed(); err != nil {
		return nil, err
	}
	if err := Known(c.Kernel, runtime.GOARCH); err != nil {
		return nil, err
	}
	bin, err := filepath.EvalSymlinks(c.Bin)
	if err != nil {
		return nil, err
	}
	c.Bin, c.Slow = bin, slowness(ctx, filepath.Join(bin, "docker"))
	for _, file := range archive.Glob(filepath.Join(bin, filepath.Base(PluginDir)), "docker-*") {
		c.Plugins = append(c.Plugins, filepath.Base(file))
	}
	limit := times(longest, c.Slow)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the smoke test did not end in %s", limit))
	defer cancel()
	sweep()
	c.Cgroup = cgroupPrefix + strconv.Itoa(os.Getpid())
	if why := cgroupsUsable(c.Cgroup); why != "" {
		return nil, &Refusal{why}
	}
	defer RemoveCgroups(c.Cgroup)
	for _, d := range []string{"root", "data"} {
		if err := os.MkdirAll(filepath.Join(c.Work, d), 0o755); err != nil {
			return nil, err
		}
	}
	before := snapshotHost(c.Bin)
	results, err := inside(ctx, c, each)
	if c.Network != nil && err == nil && (c.Only == nil || slices.Contains(c.Only, hostCheck)) {
		r := Result{Name: hostCheck, Verdict: Passed, Detail: before.note}
		if d := before.differs(snapshotHost(c.Bin)); d != "" {
			r.Verdict, r.Detail = Failed, d
		}
		results = append(results, r)
		each(r)
	}
	return results, errors.Join(err, os.RemoveAll(filepath.Join(c.Work, "data")),
		os.RemoveAll(filepath.Join(c.Work, "root")))
}

// inside runs the checks in namespaces of their own, which end with the process that is the first in them.
func inside(ctx context.Context, c Config, each func(Result)) ([]Result, error) {
	config, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	stderr, err := os.Create(filepath.Join(c.Work, "smoke.log"))
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	cmd := exec.Command("/proc/self/exe", string(config))
	cmd.Args[0] = stageInit
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = stderr, stderr, []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC |
			syscall.CLONE_NEWUTS}
	started := make(chan error)
	ended := make(chan error, 1)
	go func() { // Pdeathsig is tied to the thread that forks
		runtime.LockOSThread()
		err := cmd.Start()
		w.Close()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, &Refusal{"the kernel refuses namespaces: " + err.Error()}
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() }) // the kernel ends all others in the namespace
	defer stop()
	var results []Result
	var last message
	for s := bufio.NewScanner(r); s.Scan(); {
		last = message{}
		if err := json.Unmarshal(s.Bytes(), &last); err != nil {
			last.Fatal = fmt.Sprintf("%q: %v", s.Text(), err)
			break
		}
		if last.Result != nil {
			results = append(results, *last.Result)
			each(*last.Result)
		}
	}
	err = <-ended
	switch {
	case ctx.Err() != nil:
		return results, context.Cause(ctx)
	case last.Refused != "":
		return results, &Refusal{last.Refused}
	case last.Fatal != "":
		return results, errors.New(last.Fatal)
	case !last.Done:
		return results, fmt.Errorf("the smoke test ended before its last check: %s: see %s", fmt.Sprint(err),
			stderr.Name())
	}
	return results, nil
}

// controllers are the directories of the cgroup file systems: one for each version 1 hierarchy, or the one of version
// 2.
func controllers() []string {
	mounts, _ := os.ReadFile("/proc/self/mounts")
	var dirs []string
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && strings.HasPrefix(f[2], "cgroup") &&
			strings.HasPrefix(f[1], "/sys/fs/cgroup") {
			dirs = append(dirs, f[1])
		}
	}
	return dirs
}

// cgroupsUsable makes the cgroups below which the daemon will make its own, and says why it cannot.
func cgroupsUsable(name string) string {
	dirs := controllers()
	if len(dirs) == 0 {
		return "no cgroup file system is mounted below /sys/fs/cgroup"
	}
	for _, d := range dirs {
		if err := os.Mkdir(filepath.Join(d, name), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			RemoveCgroups(name)
			return "cgroups cannot be made: " + err.Error()
		}
		if err := delegate(d); err != nil {
			RemoveCgroups(name)
			return "this cgroup of version 2 cannot hand its controllers on, as the daemon's containers need (in a " +
				"container, because processes live in the same cgroup): " + err.Error()
		}
	}
	return ""
}

// delegate lets the cgroups in one of version 2 have its controllers. Those of version 1 need nothing.
func delegate(dir string) error {
	all, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	given, err2 := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	for c := range strings.FieldsSeq(string(all)) {
		if !slices.Contains(strings.Fields(string(given)), c) && slices.Contains([]string{"cpu", "memory", "pids"}, c) {
			if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// cgroupPrefix begins the names of the runs' cgroups; the process's number follows.
const cgroupPrefix = "drydock-smoke-"

// sweep removes the cgroups of runs that were killed.
func sweep() {
	for _, d := range controllers() {
		for _, dir := range archive.Glob(d, cgroupPrefix+"*") {
			pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), cgroupPrefix))
			if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
				RemoveCgroups(filepath.Base(dir))
			}
		}
	}
}

// RemoveCgroups removes the cgroups of that name and all below them, once their processes have ended.
func RemoveCgroups(name string) {
	for _, d := range controllers() {
		for range 50 {
			for _, dir := range slices.Backward(cgroupsBelow(filepath.Join(d, name))) {
				syscall.Rmdir(dir)
			}
			if err := syscall.Rmdir(filepath.Join(d, name)); err == nil || errors.Is(err, fs.ErrNotExist) {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// cgroupsBelow lists the cgroups in one, outer before inner.
func cgroupsBelow(dir string) []string {
	var all []string
	filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && p != dir {
			all = append(all, p)
		}
		return nil
	})
	return all
}
