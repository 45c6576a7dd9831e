package prove

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/engine"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/ui"
)

// variant is one of the two surroundings in which a stack is built to see whether they show in it.
type variant struct {
	dir   string
	uid   int // where root may become another user
	umask int
	jobs  int
	host  string // in a namespace, where root may have one
	env   []string
}

func variants() []variant {
	return []variant{
		{dir: "a", umask: 0o022, jobs: runtime.NumCPU(), host: "alpha",
			env: []string{"TZ=UTC", "LC_ALL=C", "USER=root", "LOGNAME=root"}},
		{dir: "b/a-longer-name", uid: 65534, umask: 0o077, jobs: runtime.NumCPU() + 3, host: "omega.example",
			env: []string{"TZ=Pacific/Kiritimati", "LC_ALL=tr_TR.UTF-8", "LANG=tr_TR.UTF-8", "USER=somebody",
				"LOGNAME=somebody", "GOFLAGS=-v", "CFLAGS=-O0"}},
	}
}

// reproduced is the directory of the repositories in which a stack is built again.
func reproduced(e *engine.Engine) string { return e.BuildDir("reproduce") }

// root is the repository of a variant.
func (v variant) root(e *engine.Engine) string { return filepath.Join(reproduced(e), v.dir) }

// remove removes it, and the directories above.
func (v variant) remove(e *engine.Engine) error {
	return archive.RemoveAll(filepath.Join(reproduced(e), v.dir[:1]))
}

// build builds a target in a repository made of links to this one, in the variant's surroundings. The error is a
// failure.Exit that names the repository.
func (v variant) build(ctx context.Context, e *engine.Engine, target string) error {
	err := v.lay(e)
	if err == nil {
		err = v.run(ctx, e, target)
	}
	if err != nil {
		return failure.Errorf(failure.Failed, "reproduce in %s: %w", e.Rel(v.root(e)), err)
	}
	return nil
}

// lay makes the repository.
func (v variant) lay(e *engine.Engine) error {
	root := v.root(e)
	if err := errors.Join(archive.RemoveAll(root), os.MkdirAll(filepath.Join(root, "home"), 0o755)); err != nil {
		return err
	}
	for _, n := range []string{"vendor-sources", "patches", "mage", "LICENSE"} { // the last one is packed
		if err := os.Symlink(filepath.Join(e.Root, n), filepath.Join(root, n)); err != nil {
			return err
		}
	}
	if !v.another(e) {
		return nil
	}
	err := os.Chown(filepath.Join(root, "home"), v.uid, v.uid)
	for d := root; d != reproduced(e); d = filepath.Dir(d) {
		err = errors.Join(err, os.Chown(d, v.uid, v.uid))
	}
	return err
}

// another reports whether the build is another user's.
func (v variant) another(e *engine.Engine) bool {
	return v.uid != 0 && os.Geteuid() == 0 && readableByAll(e.Root)
}

// run runs this program in the repository.
func (v variant) run(ctx context.Context, e *engine.Engine, target string) error {
	root := v.root(e)
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	user := "the same user"
	if v.another(e) {
		attr.Credential = &syscall.Credential{Uid: uint32(v.uid), Gid: uint32(v.uid)}
		user = fmt.Sprintf("user %d", v.uid)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	logFile := filepath.Join(reproduced(e), v.dir[:1]+".log")
	log, err := os.Create(logFile)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, self, target)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = root, log, log, attr
	cmd.Env = append(slices.Clone(v.env), "PATH="+os.Getenv("PATH"), "HOME="+filepath.Join(root, "home"),
		"DRYDOCK_ROOT="+root, "STACK="+e.Stack.Name, "ARCH="+e.Stack.Target.Arch, "LIBC="+e.Stack.Libc, "OFFLINE=1",
		"KEEP=0", fmt.Sprintf("JOBS=%d", v.jobs))
	for _, k := range []string{"GO", "CC", "CC_" + e.Stack.Target.Arch, "KERNEL_HEADERS", "GOROOT", "EXTRAS",
		"TRUST_OWNER"} {
		if x, ok := os.LookupEnv(k); ok {
			cmd.Env = append(cmd.Env, k+"="+x)
		}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	name := "the same host name"
	start := time.Now()
	ended := make(chan error, 1)
	go func() {
		// The name and the umask are set for a thread of our own, which ends with this function: the child gets them.
		runtime.LockOSThread()
		if syscall.Unshare(syscall.CLONE_NEWUTS|syscall.CLONE_FS) == nil && syscall.Sethostname([]byte(v.host)) == nil {
			name = "host " + v.host
		}
		if syscall.Unshare(syscall.CLONE_FS) == nil {
			syscall.Umask(v.umask)
		}
		e.UI.Line("build     %s: %s, %s, umask %03o, -j%d, %s", e.Rel(root), user, name, v.umask, v.jobs,
			strings.Join(v.env, " "))
		ended <- cmd.Run()
	}()
	if err := <-ended; err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%w: see %s", err, e.Rel(logFile))
	}
	e.UI.Line("built     %s in %s", e.Rel(root), ui.Duration(time.Since(start)))
	return nil
}

// readableByAll reports whether another user may get to a directory.
func readableByAll(dir string) bool {
	for ; ; dir = filepath.Dir(dir) {
		if fi, err := os.Stat(dir); err != nil || fi.Mode()&0o005 != 0o005 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}
