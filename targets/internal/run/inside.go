package run

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A confined child is this program again, in namespaces of its own: it makes a root with nothing in it but what it is
// told, gives up all that it may, and becomes the command. The name that it is called by says so; what it is to do is
// its one argument.
const insideName = "drydock-step"

// statusFD is a socket to the process that started the child: what could not be done is written there. It ends with
// the exec.
const statusFD = 3

// order is what a child does to itself before it becomes the command.
type order struct {
	Path   string // the program; empty for one that only tries what can be done
	Argv   []string
	Dir    string
	Parts  []string // those of the confinement that are to be made
	Mounts []mount
	UID    int  // the user and group that it becomes; 0 for none
	Beside bool // the command is to have BesideIn and BesideOut
}

// mount is something of the host's that is there in the child's root, under the same path.
type mount struct {
	Path   string
	Access access
	From   string // its path on the host, where that is another
}

type access string

// From what is sure to be seen to what is sure not to be, where one path has several.
const (
	writable access = "write"
	readable access = "read"
	hidden   access = "hide"
)

func (o *order) has(part string) bool { return slices.Contains(o.Parts, part) }

func init() {
	if len(os.Args) == 2 && os.Args[0] == insideName {
		os.Exit(inside(os.Args[1]))
	}
}

// partError says which part of the confinement could not be had.
type partError struct {
	Part string
	Err  error
}

func (e *partError) Error() string { return e.Err.Error() }

// inside returns only where it failed, and from a try.
func inside(text string) int {
	runtime.LockOSThread() // privileges, the filter and the death signal are a thread's
	var o order
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = o.become()
	}
	if err != nil {
		var p *partError
		part := ""
		if errors.As(err, &p) {
			part = p.Part
		}
		unix.Write(statusFD, []byte(part+"\x00"+err.Error()))
		return 126
	}
	return 0
}

// become goes through all that is ordered, and ends as the command.
func (o *order) become() error {
	if err := o.closeOnExec(); err != nil {
		return err
	}
	if o.has(Files) {
		if err := o.root(); err != nil {
			return err
		}
	} else if o.has(Processes) {
		err := private()
		if err == nil {
			err = mountProc("/proc")
		}
		if err != nil {
			return &partError{Processes, err}
		}
	}
	if o.has(Privileges) { // while it may still be done
		if err := dropBounding(); err != nil {
			return &partError{Privileges, err}
		}
	}
	if o.UID > 0 {
		if err := switchUser(o.UID); err != nil {
			return &partError{User, fmt.Errorf("become user %d: %w", o.UID, err)}
		}
	}
	if o.Path != "" {
		if err := os.Chdir(o.Dir); err != nil {
			return err
		}
	}
	if o.has(Privileges) {
		if err := dropPrivileges(); err != nil {
			return &partError{Privileges, err}
		}
	}
	// Another user has no death signal any more. Who died before it was set again has closed the socket.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	if n, _, err := unix.Recvfrom(statusFD, make([]byte, 1), unix.MSG_DONTWAIT); n == 0 && err == nil {
		return errors.New("its runner is gone")
	}
	if o.Path == "" {
		return nil
	}
	if err := syscall.Exec(o.Path, o.Argv, os.Environ()); err != nil {
		return fmt.Errorf("%s: %w: a build step sees what all may read of the system's directories, "+
			"the tools' and those that TOOLS names", o.Path, err)
	}
	return nil
}

// closeOnExec keeps from the command whatever this process was started with besides its output: a descriptor of a
// directory is a way out of any root.
func (o *order) closeOnExec() error {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range fds {
		fd, err := strconv.Atoi(e.Name())
		if beside := o.Beside && (fd == BesideIn || fd == BesideOut); err == nil && fd > 2 && !beside {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

func switchUser(uid int) error {
	if err := unix.Setgroups(nil); err != nil {
		return err
	}
	if err := unix.Setresgid(uid, uid, uid); err != nil {
		return err
	}
	return unix.Setresuid(uid, uid, uid)
}

// private keeps the mounts of this namespace to itself. In a chroot "/" may be no mount point: nothing can be set
// then, and nothing is to be, but where systemd shares all mounts.
func private() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil && err != unix.EINVAL {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	return nil
}

func mountProc(at string) error {
	if err := unix.Mount("proc", at, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount a /proc of its own: %w", err)
	}
	return nil
}

// base is where the new root is put together. Its sources are opened before something is mounted there, which any
// machine has.
const base = "/dev"

// devices are all that a compiler, or a configure, asks for. A terminal is none of them: who can open one can type in
// it.
var devices = []string{"null", "zero", "full", "random", "urandom"}

// root makes a root of its own: a file system in memory, with the mounts in it, read-only but for those that are
// writable.
func (o *order) root() error {
	failed := func(what string, err error) error { return &partError{Files, fmt.Errorf("%s: %w", what, err)} }
	if err := private(); err != nil {
		return &partError{Files, err}
	}
	// What is in a directory comes after it.
	slices.SortStableFunc(o.Mounts, func(a, b mount) int { return cmp.Compare(a.Path, b.Path) })
	sources := make([]int, len(o.Mounts))
	for i, m := range o.Mounts {
		fd, err := unix.Open(cmp.Or(m.From, m.Path), unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil && (m.Access == writable || err != unix.ENOENT && err != unix.ENOTDIR && err != unix.EACCES) {
			return failed(m.Path, err)
		}
		sources[i] = fd
	}
	nodes := make([]int, len(devices))
	for i, d := range devices {
		var err error
		if nodes[i], err = unix.Open("/dev/"+d, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
			return failed("/dev/"+d, err)
		}
	}
	proc, err := unix.Open("/proc", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return failed("/proc", err)
	}
	if err := unix.Mount("tmpfs", base, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=16m"); err != nil {
		return failed("mount a root in memory", err)
	}
	for _, d := range []string{"/proc", "/dev", "/tmp"} {
		if err := os.Mkdir(base+d, 0o755); err != nil {
			return failed("make a root", err)
		}
	}
	err = unix.Mount("tmpfs", base+"/tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777,size=256m")
	if err != nil {
		return failed("mount /tmp", err)
	}
	r := &newRoot{own: map[uint64]bool{}}
	r.owns(base)
	r.owns(base + "/tmp")
	for i, d := range devices {
		if err := r.bind(nodes[i], "/dev/"+d); err != nil {
			return failed("/dev/"+d, err)
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0",
		"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(to, base+"/dev/"+name); err != nil {
			return failed("/dev/"+name, err)
		}
	}
	for i, m := range o.Mounts {
		if err := r.put(m, sources[i], o.Mounts); err != nil {
			return failed(m.Path, err)
		}
	}
	if o.has(Processes) {
		if err := mountProc(base + "/proc"); err != nil {
			return &partError{Processes, err}
		}
	} else if err := bindAt(proc, base+"/proc"); err != nil {
		return failed("/proc", err)
	}
	if err := turn(base); err != nil {
		return failed("take a root of its own", err)
	}
	if err := o.lock(); err != nil {
		return failed("make the root read-only", err)
	}
	return nil
}

// newRoot is a root below base.
type newRoot struct {
	own map[uint64]bool // the file systems in which places are made
}

func (r *newRoot) owns(dir string) {
	var st unix.Stat_t
	if unix.Stat(dir, &st) == nil {
		r.own[st.Dev] = true
	}
}

// put makes a mount, where its source is there.
func (r *newRoot) put(m mount, source int, all []mount) error {
	if m.Access == hidden {
		return r.hide(m.Path)
	}
	if source < 0 {
		return nil
	}
	if to, err := os.Readlink(m.Path); err == nil && m.Access == readable {
		at := to
		if !filepath.IsAbs(at) {
			at = filepath.Join(filepath.Dir(m.Path), at)
		}
		there := func(x mount) bool { return x.Access == readable && x.Path != m.Path && below(at, x.Path) }
		if slices.ContainsFunc(all, there) {
			return r.link(m.Path, to) // as /bin is one to usr/bin
		}
	}
	return r.bind(source, m.Path)
}

func (r *newRoot) link(path, to string) error {
	if _, err := os.Lstat(base + path); err == nil {
		return nil
	}
	if _, err := r.place(filepath.Dir(path), true); err != nil {
		return err
	}
	return os.Symlink(to, base+path)
}

// below reports whether a path is a directory, or lies in it.
func below(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// bind puts what a descriptor names under that path of the new root.
func (r *newRoot) bind(source int, path string) error {
	var st unix.Stat_t
	if err := unix.Fstat(source, &st); err != nil {
		return err
	}
	at, err := r.place(path, st.Mode&unix.S_IFMT == unix.S_IFDIR)
	if err != nil || at == "" {
		return err
	}
	return bindAt(source, at)
}

func bindAt(source int, at string) error {
	return unix.Mount(fmt.Sprintf("/proc/self/fd/%d", source), at, "", unix.MS_BIND|unix.MS_REC, "")
}

// hide covers what would be seen under that path.
func (r *newRoot) hide(path string) error {
	at := base + path
	fi, err := os.Lstat(at)
	switch {
	case err != nil || fi.Mode()&fs.ModeSymlink != 0: // nothing is there; or it leads to what is hidden by its own path
		return nil
	case !fi.IsDir():
		return unix.Mount(base+"/dev/null", at, "", unix.MS_BIND, "")
	}
	if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=16m"); err != nil {
		return err
	}
	r.owns(at)
	return nil
}

// place makes sure that something can be mounted under that path, and returns where. It is empty where a link is in
// the way: what that leads to has its own mount.
func (r *newRoot) place(path string, dir bool) (string, error) {
	at := base
	names := strings.Split(strings.Trim(filepath.Clean(path), "/"), "/")
	for i, name := range names {
		up := at
		at += "/" + name
		fi, err := os.Lstat(at)
		switch {
		case err == nil && fi.Mode()&fs.ModeSymlink != 0:
			return "", nil
		case err == nil:
			continue
		}
		var st unix.Stat_t
		if err := unix.Stat(up, &st); err != nil {
			return "", err
		}
		if !r.own[st.Dev] { // nothing is made in the host's directories
			return "", fmt.Errorf("not in %s, which is the host's", strings.TrimPrefix(up, base))
		}
		if i < len(names)-1 || dir {
			err = os.Mkdir(at, 0o755)
		} else {
			err = os.WriteFile(at, nil, 0o644)
		}
		if err != nil {
			return "", err
		}
	}
	return at, nil
}

// turn makes a mounted directory the root, and leaves the old one.
func turn(root string) error {
	old, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(old)
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		// A machine's first root (an initramfs), and one that is no mount point (of a chroot), can be covered only.
		if moved := unix.Mount(".", "/", "", unix.MS_MOVE, ""); moved != nil {
			return err
		}
		return unix.Chroot(".")
	}
	// Both roots lie at "/" now. Before Linux 3.12 "." would be the new one.
	if err := unix.Fchdir(old); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the old root: %w", err)
	}
	return unix.Chdir("/")
}

// mountFlags are the options of a mount that must be said again when it is changed: in a user namespace they cannot
// be taken off.
var mountFlags = map[string]uintptr{"ro": unix.MS_RDONLY, "nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV,
	"noexec": unix.MS_NOEXEC, "noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME,
	"relatime": unix.MS_RELATIME}

// lock makes all mounts read-only, with what is mounted in them, but for the writable ones. That is asked of the
// kernel mount by mount: before Linux 5.12 it has no call for all.
func (o *order) lock() error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 6 {
			continue
		}
		at := Unescape(f[4])
		flags := uintptr(unix.MS_NOSUID)
		switch {
		case below(at, "/proc") || at == "/tmp":
			continue
		case slices.ContainsFunc(o.Mounts, func(m mount) bool { return m.Access == writable && below(at, m.Path) }):
			flags |= unix.MS_NODEV
		case below(at, "/dev") && at != "/dev":
			flags |= unix.MS_RDONLY
		default:
			flags |= unix.MS_NODEV | unix.MS_RDONLY
		}
		for opt := range strings.SplitSeq(f[5], ",") {
			flags |= mountFlags[opt]
		}
		err := unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_BIND|flags, "")
		if err != nil && err != unix.EACCES { // which cannot even be reached
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return nil
}

var octal = regexp.MustCompile(`\\[0-3][0-7]{2}`)

// Unescape reads a path of mountinfo, where blanks and backslashes are written as octal numbers.
func Unescape(path string) string {
	return octal.ReplaceAllStringFunc(path, func(o string) string {
		n, _ := strconv.ParseUint(o[1:], 8, 8)
		return string([]byte{byte(n)})
	})
}
