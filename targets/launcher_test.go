package targets

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"drydock/targets/internal/testlong"
	"drydock/targets/internal/testprog"
)

// launcher is a repository with nothing but ./mage in it and a stand-in for the go command, whose runner says which of
// its compilations it is.
type launcher struct {
	root, bin string
	env       []string // besides PATH
	dir       string   // where it is started
	as        string   // how: the launcher's path when empty
}

func newLauncher(t *testing.T) launcher { return launcherIn(t, t.TempDir()) }

func launcherIn(t *testing.T, root string) launcher {
	t.Helper()
	l := launcher{root: root, bin: t.TempDir(), dir: "/"}
	data, err := os.ReadFile("../mage")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(l.root, "targets"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"mage": string(data), "magefile.go": "", "go.mod": "", "go.sum": "",
		"targets/a.go": ""} {
		if err := testprog.Write(filepath.Join(l.root, name), data); err != nil {
			t.Fatal(err)
		}
	}
	l.release(t, "1.25.0")
	return l
}

// release puts a stand-in for that release of Go into PATH.
func (l launcher) release(t *testing.T, release string) {
	t.Helper()
	text := "#!/bin/sh\n" +
		"case $1 in version) env >" + l.bin + "/version-env; echo go version go" + release +
		" linux/amd64; exit;; esac\n" +
		"echo x >>" + l.bin + "/count\nn=$(wc -l <" + l.bin + "/count)\nenv >" + l.bin + "/env\n" +
		"printf '#!/bin/sh\\necho runner %d $*\\n' $n >\"$4\"\nchmod +x \"$4\"\n"
	if err := testprog.Write(filepath.Join(l.bin, "go"), text); err != nil {
		t.Fatal(err)
	}
}

// run starts ./mage as cron would, without HOME; hidden takes the machine's own Go out of sight.
func (l launcher) run(t *testing.T, hidden bool, args ...string) (string, int) {
	t.Helper()
	argv := append([]string{cmp.Or(l.as, filepath.Join(l.root, "mage"))}, args...)
	if _, err := os.Stat("/usr/local/go"); hidden && err == nil {
		if os.Geteuid() != 0 {
			t.Skip("hiding /usr/local/go needs root")
		}
		argv = append([]string{"unshare", "-m", "sh", "-c", `mount -t tmpfs none /usr/local/go && exec "$0" "$@"`},
			argv...)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = append(slices.Clone(l.env), "PATH="+l.bin+":/usr/bin:/bin"), l.dir
	out, _ := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), cmd.ProcessState.ExitCode()
}

// given is the environment in which the last compilation ran.
func (l launcher) given(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(l.bin, "env"))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(data)) {
		k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		env[k] = v
	}
	return env
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
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644),
			os.Chtimes(file, later, later)); err != nil {
			t.Fatal(err)
		}
		if after, _ := l.run(t, false); (after == before) != c.old {
			t.Errorf("%s is newer: got %q after %q; want it compiled again: %v", c.name, after, before, !c.old)
		}
	}
	user, _ := os.UserHomeDir()
	if fi, err := os.Stat(user); err != nil || !fi.IsDir() || os.Geteuid() != 0 {
		user = ""
	}
	if got := l.given(t)["HOME"]; got == "" || user == "/root" && got != "/root" {
		t.Errorf("without HOME, Go was run with HOME=%q, want the user's own", got)
	}
}

func TestTheLauncherCompilesInACleanGoEnvironment(t *testing.T) {
	t.Parallel()
	l := newLauncher(t)
	home := t.TempDir()
	goenv := "GOFLAGS=-mod=vendor\nGOOS=windows\nGOWORK=/x/go.work\nGOPRIVATE=corp.example\n" +
		"GOPROXY=http://in.the.file\nGOEXPERIMENT=nonsense\nGOTOOLCHAIN=go1.1"
	if err := errors.Join(os.MkdirAll(filepath.Join(home, ".config/go"), 0o755),
		os.WriteFile(filepath.Join(home, ".config/go/env"), []byte(goenv), 0o644)); err != nil {
		t.Fatal(err)
	}
	l.env = []string{"HOME=" + home, "GOFLAGS=-race -tags=x", "GO111MODULE=off", "GOWORK=/y/go.work", "GOOS=plan9",
		"GOARCH=mips", "GOAMD64=v4", "GOEXPERIMENT=none", "GOTOOLCHAIN=go1.20.1", "CGO_ENABLED=1", "CGO_CFLAGS=-x",
		"GODEBUG=panicnil=1", "GOROOT=/nowhere", "GOBIN=/b", "MAGEFILE_GOCMD=false", "MAGEFILE_DEBUG=1",
		"GOENV_ROOT=/r", "ASDF_DIR=/a", "GOCACHE=off", "GOTMPDIR=/nowhere", "GOPROXY=http://in.the.environment",
		"GOSUMDB=off", "GOMODCACHE=/m", "https_proxy=http://proxy", "SSL_CERT_FILE=/c"}
	if got, code := l.run(t, false, "all"); got != "runner 1 all" || code != 0 {
		t.Fatalf("got %q, exit code %d", got, code)
	}
	env := l.given(t)
	for k, want := range map[string]string{
		"GOFLAGS": "-buildvcs=false", "GO111MODULE": "on", "GOWORK": "off", "GOENV": "off",
		"CGO_ENABLED": "0", "GOTOOLCHAIN": "auto",
		"GOOS": "", "GOARCH": "", "GOAMD64": "", "GOEXPERIMENT": "", "CGO_CFLAGS": "", "GODEBUG": "", "GOROOT": "",
		"GOBIN": "", "MAGEFILE_DEBUG": "", "MAGEFILE_GOCMD": "go",
		"GOTMPDIR": filepath.Join(l.root, ".cache/compiling"), "GOCACHE": filepath.Join(l.root, ".cache/go-build"),
		// The way to the modules stays.
		"GOPROXY": "http://in.the.environment", "GOPRIVATE": "corp.example", "GOSUMDB": "off", "GOMODCACHE": "/m",
		"https_proxy": "http://proxy", "SSL_CERT_FILE": "/c", "HOME": home,
		// So do the settings of version managers, whose script the go command may be.
		"GOENV_ROOT": "/r", "ASDF_DIR": "/a",
	} {
		if env[k] != want {
			t.Errorf("%s: got %q, want %q", k, env[k], want)
		}
	}
	asked, err := os.ReadFile(filepath.Join(l.bin, "version-env"))
	for _, want := range []string{"HOME=" + home, "ASDF_DIR=/a", "GOTOOLCHAIN=local", "GOENV=off", "GOFLAGS=",
		"GOWORK=off", "GOEXPERIMENT="} {
		if err != nil || !strings.Contains("\n"+string(asked), "\n"+want+"\n") {
			t.Errorf("for its version, Go was asked without %s: %v", want, err)
		}
	}
	if strings.Contains(string(asked), "GOROOT=") {
		t.Error("for its version, Go was asked with the user's GOROOT")
	}
}

func TestTheLauncherFindsItsDirectoryWhateverItsName(t *testing.T) {
	t.Parallel()
	names := []string{"it's [a] $HOME", "-n", "ends\n", `back\slash`, "drydock", "a b", `q"`, "x[1]", "*", "a:b", "ü",
		"line\nbreak", "~", "%d", "#"}
	if testing.Short() {
		names = names[:4]
	}
	for _, name := range names {
		l := launcherIn(t, filepath.Join(t.TempDir(), name))
		parent := filepath.Dir(l.root)
		l.dir, l.as, l.env = parent, "./"+name+"/mage", []string{"CDPATH=" + parent + ":/"}
		if !strings.HasPrefix(name, "-") {
			l.as = name + "/mage"
		}
		for _, l.as = range []string{l.as, filepath.Join(l.root, "mage")} {
			if got, code := l.run(t, false, "status"); got != "runner 1 status" || code != 0 {
				t.Errorf("%q as %q: got %q, exit code %d", name, l.as, got, code)
			}
		}
		if es, err := os.ReadDir(parent); err != nil || len(es) != 1 {
			t.Errorf("%q: %v %v, want nothing made beside it", name, es, err)
		}
	}
}

func TestTheLauncherRunsInEveryShell(t *testing.T) {
	t.Parallel()
	for _, shell := range [][]string{{"dash"}, {"bash", "--posix"}, {"busybox", "ash"}, {"posh"}, {"mksh"},
		{"yash", "--posixly-correct"}, {"ksh93"}} {
		path, err := exec.LookPath(shell[0])
		if err != nil {
			continue
		}
		l := launcherIn(t, filepath.Join(t.TempDir(), "it's [a] $b"))
		l.locked(t, "4194305 1\n")
		for range 2 {
			cmd := exec.Command(path, append(shell[1:], filepath.Join(l.root, "mage"), "all", "a b")...)
			cmd.Env, cmd.Dir = []string{"PATH=" + l.bin + ":/usr/bin:/bin", "HOME=" + l.bin, "GOFLAGS=-race"}, "/"
			if out, err := cmd.CombinedOutput(); string(out) != "runner 1 all a b\n" || err != nil {
				t.Errorf("%s: got %q, %v", shell[0], out, err)
			}
		}
		if flags := l.given(t)["GOFLAGS"]; flags != "-buildvcs=false" {
			t.Errorf("%s: compiled with GOFLAGS=%s", shell[0], flags)
		}
	}
}

func TestTheLauncherIsCleanShell(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("shellcheck"); err != nil {
		t.Skip("no shellcheck here")
	}
	if out, err := exec.Command("shellcheck", "-s", "sh", "../mage").CombinedOutput(); err != nil {
		t.Errorf("%s", out)
	}
}

// noexec runs the launcher where a directory is mounted without programs.
func (l launcher) noexec(t *testing.T, dir string, args ...string) (string, int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("to mount needs root")
	}
	argv := append([]string{"-m", "sh", "-c", `mount -t tmpfs -o noexec none "$0" && exec "$@"`, dir,
		filepath.Join(l.root, "mage")}, args...)
	cmd := exec.Command("unshare", argv...)
	cmd.Env, cmd.Dir = append(slices.Clone(l.env), "PATH="+l.bin+":/usr/bin:/bin"), "/"
	out, _ := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), cmd.ProcessState.ExitCode()
}

func TestTheLauncherNeedsNoProgramsElsewhere(t *testing.T) {
	t.Parallel()
	l := newLauncher(t)
	home := t.TempDir()
	l.env = []string{"HOME=" + home}
	got, code := l.noexec(t, home, "all")
	if env := l.given(t); got != "runner 1 all" || code != 0 ||
		env["GOCACHE"] != filepath.Join(l.root, ".cache/go-build") {
		t.Errorf("a noexec home: got %q, exit code %d, GOCACHE=%s", got, code, env["GOCACHE"])
	}
	cache := filepath.Join(l.root, ".cache") // with the runner in it
	if err := os.Rename(cache, cache+".there"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, code := l.noexec(t, cache, "all"); code != 3 ||
		!strings.Contains(got, "file system at "+cache+" is mounted noexec") {
		t.Errorf("a noexec .cache: got %q, exit code %d, want 3 and the mount", got, code)
	}
}

func TestTheLauncherCompilesForTheOwnerOfTheRepositoryOnly(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("to give a directory away needs root")
	}
	l := newLauncher(t)
	if err := os.Chown(l.root, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if got, code := l.run(t, false, "all"); code != 1 ||
		!strings.Contains(got, l.root+" belongs to user 12345, and this is user 0") {
		t.Errorf("got %q, exit code %d, want it refused", got, code)
	}
	if _, err := os.Stat(filepath.Join(l.root, ".cache")); err == nil {
		t.Error("something was made in another user's repository")
	}
	l.env = []string{"SUDO_UID=12344"}
	if got, code := l.run(t, false, "all"); code != 1 {
		t.Errorf("sudo by another: got %q, exit code %d, want it refused", got, code)
	}
	for i, env := range []string{"SUDO_UID=12345", "TRUST_OWNER=1"} {
		l.env = []string{env}
		if err := os.RemoveAll(filepath.Join(l.root, ".cache")); err != nil {
			t.Fatal(err)
		}
		if got, code := l.run(t, false, "all"); got != fmt.Sprintf("runner %d all", i+1) || code != 0 {
			t.Errorf("%s: got %q, exit code %d", env, got, code)
		}
	}
}

// startOf is a process's start, as the kernel has it.
func startOf(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))[19]
}

// locked puts a lock of compiling there.
func (l launcher) locked(t *testing.T, text string) string {
	t.Helper()
	lock := filepath.Join(l.root, ".cache/compile.lock")
	if err := errors.Join(os.MkdirAll(filepath.Dir(lock), 0o755), os.WriteFile(lock, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
	return lock
}

func TestTheLauncherIsNotHeldByALockWhoseOwnerIsGone(t *testing.T) {
	t.Parallel()
	other := exec.Command("sleep", "600") // its name has been another process's before
	zombie := exec.Command("true")
	if err := errors.Join(other.Start(), zombie.Start()); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer other.Process.Kill()
	defer zombie.Wait()
	dead := fmt.Sprint(zombie.Process.Pid, " ", startOf(t, zombie.Process.Pid))
	for stat := "R"; stat != "Z"; stat = strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])[0] {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", zombie.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		stat = string(data)
	}
	for name, text := range map[string]string{"no such process": "4194305 1",
		"a process that is something else now": fmt.Sprint(other.Process.Pid, " 1"), "the first process": "1 99999999",
		"one that is dead, and not buried": dead} {
		l := newLauncher(t)
		lock := l.locked(t, text+"\n")
		if got, code := l.run(t, false, "all"); got != "runner 1 all" || code != 0 {
			t.Errorf("%s: got %q, exit code %d, want it compiled without waiting", name, got, code)
		}
		if _, err := os.Stat(lock); err == nil {
			t.Errorf("%s: the lock is still there", name)
		}
	}
}

func TestTheLauncherWaitsForAnotherThatCompilesAndNamesIt(t *testing.T) {
	t.Parallel()
	l := newLauncher(t)
	other := exec.Command("cat")
	in, err := other.StdinPipe()
	if err = errors.Join(err, other.Start()); err != nil {
		t.Fatal(err)
	}
	l.locked(t, fmt.Sprintf("%d %s\n", other.Process.Pid, startOf(t, other.Process.Pid)))
	cmd := exec.Command(filepath.Join(l.root, "mage"), "all")
	cmd.Env, cmd.Dir = []string{"PATH=" + l.bin + ":/usr/bin:/bin"}, "/"
	stderr, err := cmd.StderrPipe()
	var out strings.Builder
	cmd.Stdout = &out
	if err = errors.Join(err, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	said, _ := bufio.NewReader(stderr).ReadString('\n')
	if want := fmt.Sprintf("drydock: waiting for process %d, which compiles drydock\n",
		other.Process.Pid); said != want {
		t.Errorf("got %q, want %q", said, want)
	}
	if _, err := os.Stat(filepath.Join(l.bin, "count")); err == nil {
		t.Error("it compiled beside another")
	}
	in.Close() // the other one ends, and leaves its lock
	other.Wait()
	if err := cmd.Wait(); err != nil || out.String() != "runner 1 all\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

func TestLongTheLauncherRefusesALockThatIsNone(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	l := newLauncher(t)
	lock := filepath.Join(l.root, ".cache/compile.lock")
	if err := os.MkdirAll(lock, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, code := l.run(t, false, "all"); code != 1 ||
		!strings.Contains(got, lock+": got something that is no lock") {
		t.Errorf("got %q, exit code %d", got, code)
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
