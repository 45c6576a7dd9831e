package targets

import (
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

//go:embed testdata/attack.c
var attackSource string

// attacked makes libseccomp's configure try what a hostile one may: see testdata/attack.c. Its arguments are files and
// directories that are not its own. More may be said in $MORE, a shell script that runs after it. A socket is opened
// that everybody may connect to, in a directory that the build reads, and another in no directory.
func attacked(ts *testscript.TestScript, neg bool, args []string) {
	tools := ts.MkAbs("tools")
	ts.Check(os.MkdirAll(tools, 0o755))
	socket := filepath.Join(tools, "socket")
	if _, err := os.Stat(socket); err != nil {
		for _, name := range []string{socket, "@" + socket} {
			l, err := net.Listen("unix", name)
			ts.Check(err)
			ts.Defer(func() { l.Close() })
		}
		ts.Check(os.Chmod(socket, 0o777))
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(ts.Getenv("URL"), "http://"), ":")
	words := []string{"./attack", port, socket, ts.MkAbs("key")}
	for _, a := range args {
		words = append(words, ts.MkAbs(a))
	}
	rewrite(ts, "libseccomp", map[string]string{"attack.c": attackSource,
		"configure": "#!/bin/sh\n$CC -w -o attack attack.c || exit 1\n" + strings.Join(words, " ") + " || exit 1\n" +
			"SECRET=" + ts.MkAbs("key") + "\n" + ts.Getenv("MORE") + "\n"})
}

// rewrite puts other files into a component's archive, with what records its digest.
func rewrite(ts *testscript.TestScript, component string, more map[string]string) {
	s, l, err := writeFakes(ts.MkAbs("served"), ts.Getenv("URL"), func(c string, files map[string]string) {
		if c == component {
			maps.Copy(files, more)
		}
	})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("repo/vendor-sources/fake.toml"), []byte(s), 0o644))
	ts.Check(os.WriteFile(ts.MkAbs("repo/vendor-sources/fake.lock"), []byte(l), 0o644))
	ts.Check(os.RemoveAll(ts.MkAbs("repo/vendor-sources/" + component + "-fake.tar.gz")))
}

// owned gives all that the script works on to a user, who can reach it.
func owned(ts *testscript.TestScript, neg bool, args []string) {
	uid, err := strconv.Atoi(args[0])
	ts.Check(err)
	work := ts.MkAbs(".")
	ts.Check(os.Remove(filepath.Join(work, "repo/build/cache"))) // that of the tests is another's
	for d := work; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		ts.Check(os.Chmod(d, 0o755))
	}
	ts.Check(filepath.WalkDir(work, func(p string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(p, uid, uid))
	}))
}

// kept remembers what is in the named places, or, with a "!", holds them against that: modes, owners, times and
// contents.
func kept(ts *testscript.TestScript, neg bool, args []string) {
	var b strings.Builder
	for _, a := range args {
		err := filepath.WalkDir(ts.MkAbs(a), func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			fi, err := d.Info()
			if err != nil {
				return err
			}
			data, _ := os.ReadFile(p)
			fmt.Fprintf(&b, "%s %v %d %v %x\n", p, fi.Mode(), fi.Sys().(*syscall.Stat_t).Uid, fi.ModTime(),
				sha256.Sum256(data))
			return nil
		})
		ts.Check(err)
	}
	if !neg {
		ts.Setenv("KEPT", b.String())
		return
	}
	was, is := strings.Split(ts.Getenv("KEPT"), "\n"), strings.Split(b.String(), "\n")
	for _, l := range slices.Concat(was, is) {
		if !slices.Contains(was, l) || !slices.Contains(is, l) {
			ts.Fatalf("it is not as it was: %s", l)
		}
	}
}

// unusedLimit is RLIMIT_MSGQUEUE, the bytes of POSIX message queues, and silent a value of it that says something.
const (
	unusedLimit = unix.RLIMIT_MSGQUEUE
	silent      = 4242
)

// play is this test's own program as another: "as UID COMMAND…" is a command of another user's, "refusing CALL
// COMMAND…" is one whose kernel refuses a system call, "silent - COMMAND…" one whose limit says so to its programs, and
// "hearing - COMMAND…" one that a hang-up reaches, though who started the tests may ignore it, as nohup(1) does.
func play(args []string) {
	runtime.LockOSThread()
	var err error
	switch args[0] {
	case "as":
		uid, _ := strconv.Atoi(args[1])
		err = errors.Join(unix.Setgroups(nil), unix.Setresgid(uid, uid, uid), unix.Setresuid(uid, uid, uid))
	case "silent":
		err = unix.Setrlimit(unusedLimit, &unix.Rlimit{Cur: silent, Max: unix.RLIM_INFINITY})
		if err != nil {
			err = unix.Setrlimit(unusedLimit, &unix.Rlimit{Cur: silent, Max: silent})
		}
	case "hearing":
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) // which another program then does not, nor ignores it
	case "refusing":
		nr := map[string]uint32{"mount": unix.SYS_MOUNT, "pivot_root": unix.SYS_PIVOT_ROOT, "seccomp": unix.SYS_PRCTL,
			"clone": unix.SYS_CLONE}[args[1]]
		err = refuse(nr, args[1])
	}
	if err == nil {
		var path string
		if path, err = exec.LookPath(args[2]); err == nil {
			err = syscall.Exec(path, args[2:], os.Environ())
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(99)
}

// refuse puts this thread under a filter that answers EPERM to a system call: to a clone only where it asks for a
// namespace, to a prctl only where it asks for a filter, and then to seccomp as well.
func refuse(nr uint32, name string) error {
	jeq := func(code uint16, k uint32, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | code | unix.BPF_K, K: k, Jf: no}
	}
	load := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: k}
	}
	eperm := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	p := []unix.SockFilter{load(0)}
	switch name {
	case "clone":
		p = append(p, jeq(unix.BPF_JEQ, nr, 3), load(16),
			jeq(unix.BPF_JSET, unix.CLONE_NEWNS|unix.CLONE_NEWUSER|unix.CLONE_NEWNET|unix.CLONE_NEWPID|
				unix.CLONE_NEWIPC|unix.CLONE_NEWUTS, 1), eperm)
	case "seccomp":
		p = append(p, jeq(unix.BPF_JEQ, unix.SYS_SECCOMP, 1), eperm, jeq(unix.BPF_JEQ, nr, 3), load(16),
			jeq(unix.BPF_JEQ, unix.PR_SET_SECCOMP, 1), eperm)
	default:
		p = append(p, jeq(unix.BPF_JEQ, nr, 1), eperm)
	}
	p = append(p, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
}
