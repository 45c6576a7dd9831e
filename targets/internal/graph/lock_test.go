package graph

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// outsider is a process, of that user, that has a file's lock and does nothing else.
func outsider(t *testing.T, file string, uid int) *exec.Cmd {
	t.Helper()
	flock, err := exec.LookPath("flock")
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(flock, "-x", file, "sh", "-c", "echo locked; exec cat")
	if uid != os.Geteuid() {
		if os.Geteuid() != 0 {
			t.Skip("to be another user needs root")
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	in, err := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err = errors.Join(err, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
		t.Fatalf("flock: got %q, %v", line, err)
	}
	return cmd
}

// open makes a directory that everybody can reach, with an old drydock's lock in it.
func open(t *testing.T, record string) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file = filepath.Join(dir, "lock")
	if err := os.WriteFile(file, []byte(record), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

func TestALockIsOpenToItsOwnerOnly(t *testing.T) {
	t.Parallel()
	for name, dirOf := range map[string]func() string{
		"new":              t.TempDir,
		"an old drydock's": func() string { dir, _ := open(t, "{}"); return dir },
	} {
		dir := dirOf()
		unlock, err := Lock(t.Context(), dir, "mage all", nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // held, and free
			if fi, err := os.Stat(filepath.Join(dir, "lock")); err != nil || fi.Mode() != 0o600 {
				t.Errorf("%s: got mode %v, %v, want 0600", name, fi.Mode(), err)
			}
			unlock()
		}
	}
}

func TestALockOfAnotherUsersProcessIsNamedAndNotWaitedFor(t *testing.T) {
	t.Parallel()
	gone, _ := json.Marshal(Holder{PID: 4194305, Command: "mage all", Since: time.Now()})
	dir, file := open(t, string(gone))
	other := outsider(t, file, 65534)
	for _, waiting := range []func(Holder){nil, func(Holder) { t.Error("it waits") }} {
		_, err := Lock(t.Context(), dir, "mage all", waiting)
		var locked *LockedError
		if !errors.As(err, &locked) || locked.PID != other.Process.Pid || locked.User != "65534" {
			t.Fatalf("got %v, want pid %d of user 65534", err, other.Process.Pid)
		}
		if text := err.Error(); !strings.Contains(text, file) || !strings.Contains(text, "flock -x") ||
			!strings.Contains(text, "remove the file") {
			t.Errorf("got %q, want the file, the command and what to do", text)
		}
	}
}

func TestTheHolderOfALockIsWhoTheKernelSays(t *testing.T) {
	t.Parallel()
	for _, record := range []string{"", `{"pid":1,"command":"mage all"}`, `{"pid":4194305,"command":"mage all"}`,
		`{"pid":`} {
		dir, file := open(t, record)
		other := outsider(t, file, os.Geteuid())
		_, err := Lock(t.Context(), dir, "mage all", nil)
		var locked *LockedError
		if !errors.As(err, &locked) || locked.PID != other.Process.Pid ||
			!strings.Contains(locked.Command, "flock -x "+file) || !locked.Since.IsZero() {
			t.Errorf("%q: got %v, want pid %d", record, err, other.Process.Pid)
		}
		// One of ours is waited for, and named so.
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := Lock(ctx, dir, "mage all", func(h Holder) {
			if h.PID != other.Process.Pid {
				t.Errorf("%q: waits for %v", record, h)
			}
			cancel()
		}); !errors.Is(err, context.Canceled) {
			t.Errorf("%q: got %v", record, err)
		}
	}
}

func TestWhatIsNoFileOfOursIsNoLock(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(victim, lock string) error{
		"a link":                 os.Symlink,
		"another name of a file": os.Link,
		"a link to nothing":      func(victim, lock string) error { return os.Symlink(victim+".gone", lock) },
		"a pipe":                 func(_, lock string) error { return syscall.Mkfifo(lock, 0o600) },
		"a directory":            func(_, lock string) error { return os.Mkdir(lock, 0o755) },
		"a link to the lock of a": func(victim, lock string) error {
			return os.Symlink(filepath.Join(filepath.Dir(victim), "a/lock"), lock)
		},
	} {
		dir := t.TempDir()
		victim := filepath.Join(t.TempDir(), "victim")
		if err := errors.Join(os.WriteFile(victim, []byte("precious"), 0o644),
			plant(victim, filepath.Join(dir, "lock"))); err != nil {
			t.Fatal(err)
		}
		if _, err := Lock(t.Context(), dir, "mage all", nil); err == nil ||
			!strings.Contains(err.Error(), filepath.Join(dir, "lock")) {
			t.Errorf("%s: got %v, want an error that names the file", name, err)
		}
		if data, err := os.ReadFile(victim); string(data) != "precious" {
			t.Errorf("%s: the file has %q, %v", name, data, err)
		}
		if _, err := os.Stat(victim + ".gone"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a file was made through it: %v", name, err)
		}
	}
}

func TestAHoldersCommandCannotDrawOnTheTerminal(t *testing.T) {
	t.Parallel()
	if got := (Holder{PID: 7, Command: "a\x1b]52;c;x\a\nb\u202e"}).String(); got != "pid 7 (a?]52;c;x??b?)" {
		t.Errorf("got %q", got)
	}
}
