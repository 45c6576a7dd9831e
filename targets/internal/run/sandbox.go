package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// BuildUser is the user and group that confined children are where root starts them. No distribution hands the number
// out: it lies between what systemd takes for dynamic users and what Debian keeps for packages.
const BuildUser = 61000

// Sandbox is what a child is confined to: the files and directories that are there for it, each under its own path,
// beside /proc, an empty /tmp and a few devices. It has no capability, and sees neither the host's processes nor its
// sockets.
type Sandbox struct {
	// Read are for reading; what this machine lacks is left out. Write are its own (see Give). Hide are covered where
	// they lie in something that is read; what the other two name is seen even there.
	Read, Write, Hide []string
	Names             map[string]string // further paths, by which the child can read directories of ours
	// Online leaves it in our network.
	Online bool
}

// mounts are the directories and files of the child's root.
func (s *Sandbox) mounts() ([]mount, error) {
	as := map[string]access{}
	for _, l := range []struct {
		paths  []string
		access access
	}{{s.Hide, hidden}, {s.Read, readable}, {s.Write, writable}} {
		for _, p := range l.paths {
			abs, err := filepath.Abs(p)
			if err != nil {
				return nil, err
			}
			if p == "" || abs == "/" {
				continue
			}
			as[abs] = l.access
			if real, err := filepath.EvalSymlinks(abs); err == nil && l.access == hidden {
				as[real] = hidden
			}
		}
	}
	var all []mount
	for p, a := range as {
		all = append(all, mount{Path: p, Access: a})
	}
	for p, of := range s.Names {
		all = append(all, mount{Path: p, Access: readable, From: of})
	}
	return all, nil
}

// confined is the command that becomes the child, and the way by which it says what it could not do.
func (c Cmd) confined(path string) (*exec.Cmd, *status, error) {
	i := Isolated()
	if err := i.Allowed(); err != nil {
		return nil, nil, err
	}
	mounts, err := c.Sandbox.mounts()
	if err != nil {
		return nil, nil, err
	}
	cmd, st, err := i.child(order{Path: path, Argv: c.Argv, Dir: c.Dir, Parts: i.parts(), Mounts: mounts,
		UID: i.uid(c.Sandbox), Beside: c.Beside != nil})
	if err == nil && c.Sandbox.Online {
		cmd.SysProcAttr.Cloneflags &^= unix.CLONE_NEWNET
	}
	return cmd, st, err
}

// child is this program again, with an order.
func (i Isolation) child(o order) (*exec.Cmd, *status, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, nil, err
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	st := &status{ours: fds[0], theirs: os.NewFile(uintptr(fds[1]), "status")}
	cmd := exec.Command("/proc/self/exe", string(text))
	cmd.Args[0], cmd.Dir = insideName, "/"
	cmd.ExtraFiles = []*os.File{st.theirs}
	cmd.SysProcAttr = i.attributes()
	return cmd, st, nil
}

// status is a child's word on why it did not become the command; nil for one that is not confined. Our end is open as
// long as we live: the child looks at that.
type status struct {
	ours   int
	theirs *os.File
}

// started is to be called when the child has its end, or never will.
func (s *status) started() {
	if s != nil {
		s.theirs.Close()
	}
}

func (s *status) close() {
	if s != nil {
		s.theirs.Close()
		unix.Close(s.ours)
	}
}

// or is what a child that has ended said, or else its own end.
func (s *status) or(end error) error {
	if s == nil {
		return end
	}
	buf := make([]byte, 4096)
	n, _, err := unix.Recvfrom(s.ours, buf, unix.MSG_DONTWAIT)
	if err != nil || n <= 0 {
		return end
	}
	part, text, _ := bytes.Cut(buf[:n], []byte{0})
	if len(part) == 0 {
		return errors.New(string(text))
	}
	return &partError{string(part), errors.New(string(text))}
}

// Give makes the directories that the sandbox may write, and gives them with all that is in them to the user who will
// be in it. What belongs to that user already is left as it is. The errors are the file system's.
func (s *Sandbox) Give() error {
	for _, dir := range s.Write {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if os.Geteuid() != 0 {
		return nil
	}
	uid := Isolated().uid(s)
	for _, dir := range s.Write {
		if err := own(dir, uid); err != nil {
			return fmt.Errorf("give it to user %d: %w", uid, err)
		}
	}
	return nil
}

// own changes the owner of a tree; that of the directory itself last, so that one which was left half done is done
// again.
func own(dir string, uid int) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil || int(st.Uid) == uid {
		return err
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	err = filepath.WalkDir(real, func(p string, _ fs.DirEntry, err error) error {
		if err == nil && p != real {
			err = os.Lchown(p, uid, uid)
		}
		return err
	})
	return errors.Join(err, os.Lchown(real, uid, uid))
}

// Take makes files and trees below dir, which a child has left, ours again. They must be what they seem: plain files
// and directories, and links that stay in dir, or it is an error; for whoever looks at them from here on may read what
// the child could not.
func Take(dir string, names ...string) error {
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	within := func(p string) error {
		real, err := filepath.EvalSymlinks(p)
		if err == nil && !below(real, root) {
			err = fmt.Errorf("%s: leads out of %s, to %s", p, dir, real)
		}
		return err
	}
	for _, n := range names {
		top := filepath.Join(root, n)
		if err := within(top); err != nil {
			return err
		}
		err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			switch d.Type() {
			case 0, fs.ModeDir:
				fi, err := d.Info()
				if err == nil && os.Geteuid() == 0 {
					err = os.Lchown(p, 0, 0)
				}
				if err == nil && fi.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 {
					err = os.Chmod(p, fi.Mode().Perm())
				}
				return err
			case fs.ModeSymlink:
				return within(p)
			}
			return fmt.Errorf("%s: want a file or a directory, got %s", p, strings.TrimSpace(d.Type().String()))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// secluded reports whether only its owner may go where a path leads.
func secluded(path string) bool {
	for d := filepath.Dir(path); ; d = filepath.Dir(d) {
		if fi, err := os.Stat(d); err == nil && fi.Mode()&0o001 == 0 {
			return true
		}
		if d == filepath.Dir(d) {
			return false
		}
	}
}
