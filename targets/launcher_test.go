package targets

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// launcher is a repository with nothing but ./mage in it and a stand-in for the go command, whose runner says which of
// its compilations it is.
type launcher struct{ root, bin string }

func newLauncher(t *testing.T) launcher {
	t.Helper()
	l := launcher{t.TempDir(), t.TempDir()}
	data, err := os.ReadFile("../mage")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(l.root, "targets"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"mage": string(data), "magefile.go": "", "go.mod": "", "go.sum": "", "targets/a.go": ""} {
		if err := os.WriteFile(filepath.Join(l.root, name), []byte(data), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l.release(t, "1.25.0")
	return l
}

// release puts a stand-in for that release of Go into PATH.
func (l launcher) release(t *testing.T, release string) {
	t.Helper()
	text := "#!/bin/sh\ncase $1 in version) echo go version go" + release + " linux/amd64; exit;; esac\n" +
		"echo x >>" + l.bin + "/count\nn=$(wc -l <" + l.bin + "/count)\necho \"HOME=$HOME\" >" + l.bin + "/home\n" +
		"printf '#!/bin/sh\\necho runner %d $*\\n' $n >\"$4\"\nchmod +x \"$4\"\n"
	if err := os.WriteFile(filepath.Join(l.bin, "go"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// run starts ./mage as cron would, without HOME; hidden takes the machine's own Go out of sight.
func (l launcher) run(t *testing.T, hidden bool, args ...string) (string, int) {
	t.Helper()
	argv := append([]string{filepath.Join(l.root, "mage")}, args...)
	if _, err := os.Stat("/usr/local/go"); hidden && err == nil {
		if os.Geteuid() != 0 {
			t.Skip("hiding /usr/local/go needs root")
		}
		argv = append([]string{"unshare", "-m", "sh", "-c", `mount -t tmpfs none /usr/local/go && exec "$0" "$@"`}, argv...)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = []string{"PATH=" + l.bin + ":/usr/bin:/bin"}, "/"
	out, _ := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), cmd.ProcessState.ExitCode()
}

func TestTheLauncherCompilesWhenASourceIsNewerAndOnlyThen(t *testing.T) {
	l := newLauncher(t)
	for i, want := range []string{"runner 1 all -k", "runner 1 all -k", "runner 2 all -k"} {
		if i == 2 {
			later := time.Now().Add(time.Minute)
			if err := os.Chtimes(filepath.Join(l.root, "targets/a.go"), later, later); err != nil {
				t.Fatal(err)
			}
		}
		if got, code := l.run(t, false, "all", "-k"); got != want || code != 0 {
			t.Errorf("run %d: got %q, exit code %d, want %q", i, got, code, want)
		}
	}
	past := time.Now().Add(-time.Minute)
	if err := os.Chtimes(filepath.Join(l.root, "targets/a.go"), past, past); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		old  bool
	}{{"targets/a_test.go", true}, {"targets/testdata/x.txtar", true}, {"targets/files/embedded.sh", false}} {
		before, _ := l.run(t, false)
		file, later := filepath.Join(l.root, c.name), time.Now().Add(2*time.Minute)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644), os.Chtimes(file, later, later)); err != nil {
			t.Fatal(err)
		}
		if after, _ := l.run(t, false); (after == before) != c.old {
			t.Errorf("%s is newer: got %q after %q; want it compiled again: %v", c.name, after, before, !c.old)
		}
	}
	home, _ := os.ReadFile(filepath.Join(l.bin, "home"))
	user, _ := os.UserHomeDir()
	if fi, err := os.Stat(user); err != nil || !fi.IsDir() || os.Geteuid() != 0 {
		user = ""
	}
	if got := strings.TrimSpace(string(home)); got == "HOME=" || user == "/root" && got != "HOME=/root" {
		t.Errorf("without HOME, Go was run with %q, want the user's own", got)
	}
}

func TestTheLauncherIsNotHeldByALockWhoseOwnerIsGone(t *testing.T) {
	for name, pid := range map[string]string{"no such process": "4194305", "a process that is something else now": "1"} {
		l := newLauncher(t)
		lock := filepath.Join(l.root, ".cache/compiling")
		if err := errors.Join(os.MkdirAll(lock, 0o755), os.WriteFile(filepath.Join(lock, "pid"), []byte(pid+"\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
		if got, code := l.run(t, false, "all"); got != "runner 1 all" || code != 0 {
			t.Errorf("%s: got %q, exit code %d, want it compiled without waiting", name, got, code)
		}
	}
	// One that does compile is waited for, and named.
	l := newLauncher(t)
	lock := filepath.Join(l.root, ".cache/compiling")
	other := exec.Command("sh", "-c", "sleep 2; rm -r "+lock+" # mage")
	if err := errors.Join(os.MkdirAll(lock, 0o755), other.Start(), os.WriteFile(filepath.Join(lock, "pid"), fmt.Appendln(nil, other.Process.Pid), 0o644)); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	if got, code := l.run(t, false, "all"); !strings.HasPrefix(got, "drydock: waiting for process "+strconv.Itoa(other.Process.Pid)) || !strings.HasSuffix(got, "runner 1 all") || code != 0 {
		t.Errorf("another compiles: got %q, exit code %d", got, code)
	}
}

func TestTheLauncherPassesOverAGoThatIsTooOldWhereARunnerCameAlong(t *testing.T) {
	l := newLauncher(t)
	l.run(t, false, "all")
	l.release(t, "1.19.13")
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(filepath.Join(l.root, "targets/a.go"), later, later); err != nil {
		t.Fatal(err)
	}
	if got, code := l.run(t, true, "all"); got != "runner 1 all" || code != 0 {
		t.Errorf("got %q, exit code %d, want the runner that is there", got, code)
	}
	if err := os.RemoveAll(filepath.Join(l.root, ".cache")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(l.bin, "go")); err != nil {
		t.Fatal(err)
	}
	if got, code := l.run(t, true, "all"); !strings.Contains(got, "install Go 1.25 or newer") || code != 3 {
		t.Errorf("without a Go and a runner: got %q, exit code %d, want what to install and 3", got, code)
	}
}
