package smoke

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The program runs itself again inside the namespaces: as their first process, which takes the status of every orphan;
// when that has put itself under the kernel's filter, as the one that makes the root file system; and there, as the one
// that runs the checks. The name that it is called by says which.
const (
	stageInit  = "drydock-smoke-init"
	stageRoot  = "drydock-smoke-root"
	stageCheck = "drydock-smoke"
)

// reports is the file descriptor on which the inner process says what it finds.
const reports = 3

func init() {
	stage := map[string]func(Config) int{stageInit: first, stageRoot: second, stageCheck: third}[os.Args[0]]
	if stage == nil || len(os.Args) != 2 {
		return
	}
	var c Config
	if err := json.Unmarshal([]byte(os.Args[1]), &c); err != nil {
		say(message{Fatal: err.Error()})
		os.Exit(1)
	}
	os.Exit(stage(c))
}

func say(m message) {
	data, err := json.Marshal(m)
	if err == nil {
		_, err = unix.Write(reports, append(data, '\n'))
	}
	if err != nil { // nobody listens: the outer process is gone, or a defect
		fmt.Fprintln(os.Stderr, "smoke:", err)
		os.Exit(1)
	}
}

// first is the process 1 of the namespace.
func first(c Config) int {
	runtime.LockOSThread() // the filter is the thread's, and so is the death signal
	if c.Kernel != "" {
		if err := imitate(c.Kernel); err != nil {
			say(message{Refused: err.Error()})
			return 1
		}
	}
	// A plain fork and wait: nothing here may take the statuses that os/exec would wait for.
	pid, err := syscall.ForkExec("/proc/self/exe", []string{stageRoot, os.Args[1]},
		&syscall.ProcAttr{Dir: "/", Env: []string{}, Files: []uintptr{0, 1, 2, reports}})
	if err != nil {
		say(message{Fatal: err.Error()})
		return 1
	}
	for {
		var st syscall.WaitStatus
		got, err := syscall.Wait4(-1, &st, 0, nil)
		if err == nil && got == pid {
			return st.ExitStatus()
		}
		if err != nil && err != syscall.EINTR {
			return 1
		}
	}
}

// second builds the root file system and goes there. In a chroot, and on a machine's first root, that is its thread's
// root alone: then it becomes the third, which this program must be static for.
func second(c Config) int {
	runtime.LockOSThread()
	all, err := enter(c)
	if err != nil {
		say(message{Refused: "a root file system of its own: " + err.Error()})
		return 1
	}
	if all {
		return third(c)
	}
	err = syscall.Exec("/proc/self/exe", []string{stageCheck, os.Args[1]}, []string{})
	say(message{Fatal: fmt.Sprintf("start the checks in a root of their own: %v: in a chroot this program must be "+
		"linked statically, as ./mage does it", err)})
	return 1
}

// third runs the checks.
func third(c Config) int {
	unix.CloseOnExec(reports)
	h := &harness{c: c}
	each := func(r Result) { say(message{Result: &r}) }
	h.runAll(checks, each)
	h.runExtras(each)
	say(message{Done: true})
	return 0
}

// Places in the inner root.
const (
	binDir  = "/bin"
	workDir = "/work"
	dataDir = "/var/lib/docker"
	runDir  = "/run/docker"
	socket  = "/run/docker.sock"
)

// enter makes a root file system in memory with the built files in /bin and next to nothing else, and makes it ours.
// all reports whether it is the root of all threads.
func enter(c Config) (all bool, err error) {
	root := filepath.Join(c.Work, "root")
	if err := private(); err != nil {
		return false, fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "mode=0755"); err != nil {
		return false, fmt.Errorf("mount a tmpfs: %w", err)
	}
	for _, d := range []string{binDir, "/proc", "/sys", "/dev", "/run", "/etc", "/tmp", "/root", "/opt", "/usr/sbin",
		"/usr/local/share", "/var/lib/dbus", filepath.Dir(PluginDir), workDir, dataDir} {
		if err := os.MkdirAll(root+d, 0o755); err != nil {
			return false, err
		}
	}
	for name, data := range map[string]string{
		"/etc/passwd":     "root:x:0:0:root:/root:/bin/false\ndbus:x:81:81::/:/bin/false\n",
		"/etc/group":      "root:x:0:\ndbus:x:81:\ndocker:x:999:\n",
		"/etc/os-release": "NAME=smoke\nPRETTY_NAME=\"a root with nothing in it\"\n",
		"/etc/hostname":   "smoke\n",
		"/etc/hosts":      "127.0.0.1 localhost smoke\n", "/etc/resolv.conf": "nameserver 127.0.0.1\n",
	} {
		if err := os.WriteFile(root+name, []byte(data), 0o644); err != nil {
			return false, err
		}
	}
	if err := os.Symlink("../run", root+"/var/run"); err != nil {
		return false, err
	}
	if err := os.Symlink(filepath.Join(binDir, filepath.Base(PluginDir)), root+PluginDir); err != nil {
		return false, err
	}
	binds := [][2]string{{c.Bin, binDir}, {c.Work, workDir}, {filepath.Join(c.Work, "data"), dataDir}}
	if c.Share != "" {
		binds = append(binds, [2]string{c.Share, "/usr/local/share"})
	}
	for name, file := range c.Tools {
		at := "/usr/sbin/" + name
		if err := os.WriteFile(root+at, nil, 0o755); err != nil {
			return false, err
		}
		binds = append(binds, [2]string{file, at})
	}
	for _, b := range binds {
		if err := unix.Mount(b[0], root+b[1], "", unix.MS_BIND, ""); err != nil {
			return false, fmt.Errorf("bind %s: %w", b[1], err)
		}
	}
	if err := unix.Mount("", root+binDir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return false, fmt.Errorf("make %s read-only: %w", binDir, err)
	}
	// A sysfs of this network namespace's own shows the bridges that dockerd makes; what is mounted in the host's comes
	// along.
	shared := []string{"/dev", "/sys"}
	if unix.Mount("sysfs", root+"/sys", "sysfs", 0, "") == nil {
		shared = []string{"/dev", "/sys/fs/cgroup", "/sys/kernel/security"}
	}
	for _, d := range shared {
		if err := unix.Mount(d, root+d, "", unix.MS_BIND|unix.MS_REC, ""); err != nil && err != unix.ENOENT {
			return false, fmt.Errorf("bind %s: %w", d, err)
		}
	}
	if err := unix.Mount("proc", root+"/proc", "proc", 0, ""); err != nil {
		return false, fmt.Errorf("mount proc: %w", err)
	}
	if all, err = turn(root); err != nil {
		return false, err
	}
	if err := unix.Chdir("/"); err != nil {
		return false, err
	}
	if err := unix.Sethostname([]byte("smoke")); err != nil {
		return false, err
	}
	return all, Loopback()
}

// surface leaves a chroot: a thread that enters its own mount namespace gets that namespace's root. Whoever enters it
// later, as "docker exec" does with a container's, gets that one, too: so the roots of containers must be below it.
func surface() error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	fd, err := unix.Open("/proc/self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Setns(fd, unix.CLONE_NEWNS)
}

// private has no mount of this namespace go to others.
func private() error {
	here, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(here)
	if err := surface(); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Fchdir(here); err != nil { // names of files are those of the chroot, if we are in one
		return err
	}
	return unix.Chroot(".")
}

// turn makes a mounted directory the root, and leaves the old one. The kernel gives all threads the new one that had
// the old one, which those in a chroot have not.
func turn(root string) (all bool, err error) {
	var before, after unix.Stat_t
	if err := unix.Stat("/", &before); err != nil {
		return false, err
	}
	fresh, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(fresh)
	if err := surface(); err != nil {
		return false, err
	}
	if err := unix.Stat("/", &after); err != nil {
		return false, err
	}
	old, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(old)
	if err := unix.Fchdir(fresh); err != nil {
		return false, err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		// The first root of a machine (an initramfs) cannot be put aside. It can be covered.
		if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
			return false, fmt.Errorf("take %s as the root: %w", root, err)
		}
		return false, unix.Chroot(".")
	}
	// Both roots lie at "/" now. Before Linux 3.12 "." would be the new one.
	if err := unix.Fchdir(old); err != nil {
		return false, err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return false, fmt.Errorf("leave the old root: %w", err)
	}
	return before.Dev == after.Dev && before.Ino == after.Ino, nil
}

// Loopback brings the namespace's own lo up; an error is the kernel's.
func Loopback() error { return up("lo") }

// up brings an interface up.
func up(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// bridges says why the kernel cannot bridge; nil when it can.
func bridges() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	name := []byte("drydock0\x00")
	if err := ioctl(fd, unix.SIOCBRADDBR, name); err != nil {
		return err
	}
	return ioctl(fd, unix.SIOCBRDELBR, name)
}

// overlays says why the kernel has no overlay file system for the data root; nil when it has.
func overlays() error {
	base := filepath.Join(dataDir, "overlay-probe")
	defer os.RemoveAll(base)
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		if err := os.MkdirAll(filepath.Join(base, d), 0o755); err != nil {
			return err
		}
	}
	err := unix.Mount("overlay", base+"/merged", "overlay", 0,
		"lowerdir="+base+"/lower,upperdir="+base+"/upper,workdir="+base+"/work")
	if err != nil {
		return err
	}
	return unix.Unmount(base+"/merged", 0)
}

func ioctl(fd int, request uintptr, arg []byte) error {
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&arg[0]))); e != 0 {
		return e
	}
	return nil
}
