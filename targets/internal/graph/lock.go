package graph

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// Holder is who has a lock.
type Holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"` // zero where the kernel alone knows of it
	User    string    `json:"-"`     // whose it is, by number, when it cannot be a run of this repository
}

func (h Holder) String() string {
	if h.PID == 0 { // it has not written its name yet, or cannot be seen from here
		return "another run"
	}
	clean := func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}
	text := fmt.Sprintf("pid %d (%s)", h.PID, strings.Map(clean, h.Command))
	if h.User != "" {
		text += " of user " + h.User
	}
	if !h.Since.IsZero() {
		text += " since " + h.Since.Local().Format(time.DateTime)
	}
	return text
}

// LockedError says that another process has the lock.
type LockedError struct {
	Holder
	File string
}

func (e *LockedError) Error() string {
	if e.User != "" {
		return fmt.Sprintf("%s is locked by %s, which is no run of drydock's: end that process, or remove the file",
			e.File, e.Holder)
	}
	return "another run holds this stack: " + e.String()
}

// poll is how often a waiting run looks whether the lock is free.
const poll = 200 * time.Millisecond

// Lock takes the lock of a directory. When another process has it, it returns a *LockedError, or, with a waiting
// function, calls that once with the holder and waits until the lock is free or the context ends. A lock that a process
// of another user has is not waited for. The kernel drops the lock with its process, so it can never be stale. The
// function that it returns lets go.
func Lock(ctx context.Context, dir, command string, waiting func(Holder)) (func(), error) {
	var f *os.File
	for said := false; f == nil; {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		var free bool
		var err error
		if f, free, err = tryLock(filepath.Join(dir, "lock")); err != nil {
			return nil, err
		}
		if f != nil || free {
			continue
		}
		h := holder(filepath.Join(dir, "lock"))
		if waiting == nil || h.User != "" {
			return nil, &LockedError{h, filepath.Join(dir, "lock")}
		}
		if !said {
			waiting(h)
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(poll):
		}
	}
	data, err := json.Marshal(Holder{PID: os.Getpid(), Command: command, Since: time.Now()})
	if err == nil {
		if err = f.Truncate(0); err == nil {
			_, err = f.WriteAt(data, 0)
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return func() {
		// The name goes with the lock, so that the next holder is not taken for this one while it starts.
		_ = f.Truncate(0)
		f.Close()
	}, nil
}

// tryLock opens a lock's file and takes its lock. It returns no file when another process has it, and again when the
// file was just replaced.
func tryLock(name string) (f *os.File, again bool, err error) {
	// Whoever can open the file can lock it: nobody else may. A link, or another name of a file, was put there.
	f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		if errors.Is(err, unix.ELOOP) {
			err = fmt.Errorf("%s: got a link, want a file of drydock's own: remove it", name)
		}
		return nil, false, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(int(f.Fd()), &st); err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink > 1) {
		err = fmt.Errorf("%s: got mode %o and %d names, want a file of drydock's own: remove it",
			name, st.Mode, st.Nlink)
	}
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		f.Close()
		return nil, false, nil
	case err != nil:
		f.Close()
		return nil, false, fmt.Errorf("%s: lock: %w", name, err)
	case !inPlace(f): // "clean" removed it meanwhile: the next file of this name is the lock
		f.Close()
		return nil, true, nil
	case st.Mode&0o077 != 0: // an earlier drydock made it, and others may have it open
		os.Remove(name)
		f.Close()
		return nil, true, nil
	}
	return f, false, nil
}

// inPlace reports whether an open file is still the one of its name.
func inPlace(f *os.File) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(mine, now)
}

// holder finds out who has a lock. The file says who took it last; the kernel says which process has it now.
func holder(file string) Holder {
	var h Holder
	if data, err := os.ReadFile(file); err == nil {
		_ = json.Unmarshal(data, &h) // half a name is no name
	}
	pid := lockedBy(file)
	if pid == 0 && h.PID != 0 && unix.Kill(h.PID, 0) == nil { // the kernel does not say
		return h
	}
	if pid != h.PID {
		h = Holder{PID: pid}
		if pid != 0 {
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			command := strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
			h.Command = cmp.Or(command, "it has ended, and something that it started has the lock")
		}
	}
	h.User = stranger(pid, file)
	return h
}

// lockedBy returns the number of the process that has a file's lock, from the kernel's table; 0 where that does not
// say.
func lockedBy(file string) int {
	var st unix.Stat_t
	if unix.Stat(file, &st) != nil {
		return 0
	}
	id := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	data, _ := os.ReadFile("/proc/locks")
	for line := range strings.Lines(string(data)) {
		// 1: FLOCK ADVISORY WRITE 4242 fd:00:131 0 EOF; who waits for one has an arrow after the number.
		if f := strings.Fields(line); len(f) > 5 && f[1] == "FLOCK" && f[5] == id {
			pid, _ := strconv.Atoi(f[4])
			return max(pid, 0)
		}
	}
	return 0
}

// stranger returns the user of a process that is neither ours nor root's nor the owner's of the file; empty for those.
func stranger(pid int, file string) string {
	var st unix.Stat_t
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if pid == 0 || err != nil || unix.Stat(file, &st) != nil {
		return ""
	}
	_, after, _ := strings.Cut(string(status), "\nUid:")
	ids := strings.Fields(after)
	if len(ids) < 2 || slices.Contains([]string{"0", fmt.Sprint(os.Geteuid()), fmt.Sprint(st.Uid)}, ids[1]) {
		return ""
	}
	return ids[1]
}
