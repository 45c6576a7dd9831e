package targets

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeRepo is a repository with fake upstreams, its sources fetched, and the environment that makes the runner work on
// it. The Go cache is shared by all that a test makes.
type fakeRepo struct {
	root string
	env  []string
	said string // by all that run ran
}

func newFakeRepo(t *testing.T, edit func(component string, files map[string]string)) *fakeRepo {
	t.Helper()
	if testing.Short() {
		t.Skip("builds made-up stacks")
	}
	r := &fakeRepo{root: t.TempDir()}
	looked, err := lookedRepo()
	if err == nil {
		err = looked.giveFacts(r.root, r.home())
	}
	if err == nil {
		err = r.fetch(t.TempDir(), edit)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// newBuiltRepo is a repository in which all is built of the untouched fakes, where the others are not built yet.
func newBuiltRepo(t *testing.T, edit func(component string, files map[string]string)) *fakeRepo {
	t.Helper()
	r := newFakeRepo(t, edit)
	from, err := builtRepo()
	if err == nil {
		err = errors.Join(from.copyTo(r.root), from.giveFacts(r.root, r.home()))
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// until waits for an event, as long as the test may take: nobody knows how busy the machine is.
func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	end := time.Now().Add(time.Hour)
	if d, ok := t.Deadline(); ok {
		end = d.Add(-20 * time.Second)
	}
	for ; !happened(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// started is a command that runs. What it has said so far is in a file.
type started struct {
	*exec.Cmd
	file string
}

func (r *fakeRepo) start(t *testing.T, env []string, argv ...string) *started {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "said")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = append(slices.Clone(r.env), env...), "/", f, f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return &started{cmd, f.Name()}
}

func (s *started) said() string { data, _ := os.ReadFile(s.file); return string(data) }

// runs reports whether a process has such a command line.
func runs(matches func(argv []string) bool) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	return slices.ContainsFunc(files, func(f string) bool {
		data, _ := os.ReadFile(f)
		return matches(strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00"))
	})
}

// home is the HOME of its commands. Nothing is there.
func (r *fakeRepo) home() string { return r.root + "-home" }

// testPath is the PATH of what drydock is run by, and of drydock.
func testPath() string { return filepath.Dir(runner) + ":" + os.Getenv("PATH") }

// fetch makes the repository and fetches its sources, which are served from a directory meanwhile.
func (r *fakeRepo) fetch(served string, edit func(component string, files map[string]string)) error {
	srv := httptest.NewServer(http.FileServer(http.Dir(served)))
	defer srv.Close()
	s, l, err := writeFakes(served, srv.URL, edit)
	if err != nil {
		return err
	}
	for _, d := range []string{"vendor-sources", "patches", "build"} {
		if err := os.MkdirAll(filepath.Join(r.root, d), 0o755); err != nil {
			return err
		}
	}
	for name, data := range map[string]string{"mage": "", "vendor-sources/fake.toml": s,
		"vendor-sources/fake.lock": l} {
		if err := os.WriteFile(filepath.Join(r.root, name), []byte(data), 0o644); err != nil {
			return err
		}
	}
	if err := os.Symlink(goCache, filepath.Join(r.root, "build/cache")); err != nil {
		return err
	}
	// The settings of whoever runs the tests are not the tests'.
	gotool, err := exec.LookPath("go")
	if err != nil {
		return err
	}
	r.env = []string{"PATH=" + testPath(), "HOME=" + r.home(), "GO=" + gotool, "DRYDOCK_ROOT=" + r.root, "STACK=fake"}
	return r.run("fetch")
}

func (r *fakeRepo) run(args ...string) error {
	cmd, out := r.command(args...)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%v: %w\n%s", args, err, out)
	}
	r.said += out.String()
	return nil
}

func (r *fakeRepo) command(args ...string) (*exec.Cmd, *bytes.Buffer) {
	var out bytes.Buffer
	cmd := exec.Command(runner, args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = r.env, "/", &out, &out
	cmd.WaitDelay = 10 * time.Second
	return cmd, &out
}

func (r *fakeRepo) must(t *testing.T, args ...string) string {
	t.Helper()
	cmd, out := r.command(args...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out.String()
}

// outputs are the digests of all that was published, by name.
func (r *fakeRepo) outputs(t *testing.T) map[string]string {
	t.Helper()
	sums := map[string]string{}
	dir := filepath.Join(r.root, "output/fake")
	for _, pattern := range []string{"bin/*", "*.tar.gz*"} {
		files, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			rel, _ := filepath.Rel(dir, f)
			sums[rel] = fmt.Sprintf("%x", sha256.Sum256(data))
		}
	}
	return sums
}

// orphans are the processes that work below the repository, but for this test's own.
func (r *fakeRepo) orphans() (found []string) {
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		cwd, err := os.Readlink(p + "/cwd")
		if err == nil && strings.HasPrefix(cwd, r.root+"/") {
			line, _ := os.ReadFile(p + "/cmdline")
			found = append(found, filepath.Base(p)+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// gone waits until nothing of a killed run is left.
func (r *fakeRepo) gone(t *testing.T, kill int) {
	t.Helper()
	until(t, fmt.Sprintf("kill %d: nothing of it runs in %s", kill, r.root),
		func() bool { return len(r.orphans()) == 0 })
}

// take gives a repository the sources of another.
func (r *fakeRepo) take(t *testing.T, of *fakeRepo) {
	t.Helper()
	for _, pattern := range []string{"*.tar.gz", "fake.toml", "fake.lock"} {
		files, _ := filepath.Glob(filepath.Join(of.root, "vendor-sources", pattern))
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(r.root, "vendor-sources", filepath.Base(f)), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
