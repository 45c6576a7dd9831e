package targets

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"drydock/targets/internal/testlong"
)

// fakeRepo is a repository with fake upstreams, its sources fetched, and the environment that makes the runner work
// on it. The Go cache is shared by all that a test makes.
type fakeRepo struct {
	root string
	env  []string
}

func newFakeRepo(t *testing.T, edit func(component string, files map[string]string)) *fakeRepo {
	t.Helper()
	if testing.Short() {
		t.Skip("builds made-up stacks")
	}
	r := &fakeRepo{t.TempDir(), nil}
	if err := r.fetch(t.TempDir(), edit); err != nil {
		t.Fatal(err)
	}
	return r
}

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
	for name, data := range map[string]string{"mage": "", "vendor-sources/fake.toml": s, "vendor-sources/fake.lock": l} {
		if err := os.WriteFile(filepath.Join(r.root, name), []byte(data), 0o644); err != nil {
			return err
		}
	}
	if err := os.Symlink(goCache, filepath.Join(r.root, "build/cache")); err != nil {
		return err
	}
	r.env = append(os.Environ(), "DRYDOCK_ROOT="+r.root, "STACK=fake")
	return r.run("fetch")
}

func (r *fakeRepo) run(args ...string) error {
	cmd, out := r.command(args...)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%v: %w\n%s", args, err, out)
	}
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
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		left := r.orphans()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("kill %d: still running: %s", kill, strings.Join(left, "; "))
		}
	}
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

// variant makes every fake say another word.
func variant(word string) func(string, map[string]string) {
	return func(c string, files map[string]string) {
		for n, data := range files {
			files[n] = strings.ReplaceAll(data, `fmt.Println("`, `fmt.Println("`+word+`", "`)
		}
		if f, ok := files["src/tini.c"]; ok {
			files["src/tini.c"] = strings.Replace(f, `printf("`, `printf("`+word+` `, 1)
		}
	}
}

// mixed gives the first group of files that are published together of which now has not all from the same build; the
// builds' outputs are given.
func mixed(now map[string]string, builds ...map[string]string) []string {
	for _, group := range [][]string{{"bin/containerd", "bin/ctr", "bin/containerd-shim-runc-v2"}, {"bin/dockerd", "bin/docker-proxy"}, {"bin/docker"}, {"bin/runc"}, {"bin/docker-init"}} {
		fits := func(p map[string]string) bool {
			return !slices.ContainsFunc(group, func(n string) bool { return now[n] != p[n] })
		}
		if !slices.ContainsFunc(builds, fits) {
			return group
		}
	}
	return nil
}

// kills is how many runs are to be ended by a kill: DRYDOCK_KILLS, or a few.
func kills(t *testing.T, few int) int {
	if s := os.Getenv("DRYDOCK_KILLS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("DRYDOCK_KILLS=%s: %v", s, err)
		}
		return n
	}
	return few
}

// TestAKilledRunIsMadeGoodByTheNext kills the runner with SIGKILL at random times. Whatever the moment, nothing is
// left running, every file in bin/ is whole and belongs to one of the two builds that are going on (a component's
// files to the same), and the next run ends with the very bytes of an undisturbed build.
func TestAKilledRunIsMadeGoodByTheNext(t *testing.T) { killedRuns(t, kills(t, 2)) }

func TestLongAKilledRunIsMadeGoodByTheNext(t *testing.T) {
	testlong.Skip(t)
	killedRuns(t, kills(t, 12))
}

func killedRuns(t *testing.T, n int) {
	a, b := newFakeRepo(t, variant("first")), newFakeRepo(t, variant("second"))
	a.must(t, "all")
	b.must(t, "all")
	pristine := []map[string]string{a.outputs(t), b.outputs(t)}
	for n := range pristine[0] {
		if strings.HasPrefix(n, "bin/") && n != "bin/runc" && pristine[0][n] == pristine[1][n] {
			t.Fatalf("%s is the same in both variants: the test would show nothing", n)
		}
	}

	// One repository that goes back and forth between the two sets of sources.
	r := newFakeRepo(t, variant("first"))
	r.must(t, "all")
	// How long a warm rebuild takes bounds the moments worth trying.
	r.take(t, b)
	start := time.Now()
	r.must(t, "all")
	whole := time.Since(start)

	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d, a run takes %v", seed, whole)
	interrupted := 0
	for i := 0; interrupted < n && i < 4*n+20; i++ {
		repo := []*fakeRepo{a, b}[i%2]
		r.take(t, repo)
		cmd, _ := r.command("all")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rnd.Int64N(int64(whole))))
		cmd.Process.Signal(syscall.SIGKILL)
		if err := cmd.Wait(); err != nil {
			interrupted++
		} else {
			whole = whole * 3 / 4 // it was measured on a busier machine
		}
		r.gone(t, i)
		if g := mixed(r.outputs(t), pristine...); g != nil {
			t.Fatalf("kill %d: %v are not the files of one build", i, g)
		}
		out := r.must(t, "all")
		for n, want := range pristine[i%2] {
			if got := r.outputs(t)[n]; got != want {
				t.Fatalf("kill %d: after the next run, %s has digest %q, want %q\n%s", i, n, got, want, out)
			}
		}
		if out := r.must(t, "all"); !strings.Contains(out, "nothing to do") {
			t.Fatalf("kill %d: the run after the next did something:\n%s", i, out)
		}
	}
	if interrupted < n {
		t.Errorf("%d runs were interrupted, want %d: the test shows too little", interrupted, n)
	}
	// Nothing half-published or half-written is left lying about.
	for _, dir := range []string{"output", "build/fake/record", "build/fake/store"} {
		filepath.WalkDir(filepath.Join(r.root, dir), func(p string, d fs.DirEntry, err error) error {
			if err == nil && (strings.HasSuffix(p, ".tmp") || strings.Contains(filepath.Base(p), ".tmp-")) {
				t.Errorf("left behind: %s", p)
			}
			return nil
		})
	}
}

// TestASignalWhileThePackageIsExaminedStopsTheRun has a docker that takes long to say its version, which is asked for when the
// package is ready.
func TestASignalWhileThePackageIsExaminedStopsTheRun(t *testing.T) {
	r := newFakeRepo(t, func(component string, files map[string]string) {
		if component == "docker-cli" {
			main := files["cmd/docker/main.go"]
			files["cmd/docker/main.go"] = strings.Replace(strings.Replace(main, "import (", "import (\n\t\"time\"\n", 1), "func main() {", "func main() {\n\ttime.Sleep(3 * time.Second)\n", 1)
		}
	})
	r.must(t, "docker")
	cmd, out := r.command("all")
	pipe, err := os.Create(filepath.Join(r.root, "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	cmd.Stdout, cmd.Stderr = pipe, pipe
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := func() string { data, _ := os.ReadFile(pipe.Name()); return string(data) }
	for deadline := time.Now().Add(3 * time.Minute); !strings.Contains(said(), "drydock: fake: built"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no package: %s", said())
		}
		if strings.Contains(said(), "built     package") { // it is examined now
			break
		}
	}
	time.Sleep(300 * time.Millisecond)
	start := time.Now()
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(said(), "STOPPED: stopped by a signal") || time.Since(start) > 10*time.Second {
		t.Errorf("got exit code %d after %v, want 130 and that it was stopped\n%s%s", code, time.Since(start), said(), out)
	}
	if out := r.must(t, "all"); !strings.Contains(out, "latest    26.1.5-") {
		t.Errorf("the next run did not examine the package: %s", out)
	}
}

// TestASignalEndsARunThatReadsWhatDoesNotAnswer has a named pipe in place of a file, which is open for writing and never
// written to.
func TestASignalEndsARunThatReadsWhatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	r := newFakeRepo(t, nil)
	pipe := filepath.Join(r.root, ".cache/host.json")
	if err := errors.Join(os.MkdirAll(filepath.Dir(pipe), 0o755), os.RemoveAll(pipe), syscall.Mkfifo(pipe, 0o644)); err != nil {
		t.Fatal(err)
	}
	cmd, out := r.command("check")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var w *os.File
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // until it is being read
		var err error
		if w, err = os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			break
		}
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			t.Fatalf("nothing reads %s: %v", pipe, err)
		}
	}
	defer w.Close()
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(out.String(), "STOPPED: stopped by a signal") {
		t.Errorf("got exit code %d, want 130, and that it was stopped: %s", code, out)
	}
}

// TestRunsThatStartTogetherBuildOnce starts three runs at once on a fresh tree: those that wait do, and all end right.
func TestRunsThatStartTogetherBuildOnce(t *testing.T) {
	r := newFakeRepo(t, nil)
	type run struct {
		cmd *exec.Cmd
		out *bytes.Buffer
	}
	var runs []run
	for _, args := range [][]string{{"all", "-wait"}, {"all", "-wait"}, {"docker", "-wait"}, {"all"}} {
		cmd, out := r.command(args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run{cmd, out})
	}
	built, waited, refused := 0, 0, 0
	for _, x := range runs {
		err := x.cmd.Wait()
		text := x.out.String()
		built += strings.Count(text, "built     ")
		if strings.Contains(text, "waiting   for ") {
			waited++
		}
		if err != nil {
			if x.cmd.ProcessState.ExitCode() != 6 || !strings.Contains(text, "another run holds this stack") {
				t.Errorf("%v: %v\n%s", x.cmd.Args, err, text)
			}
			refused++
		}
	}
	if built != 7 {
		t.Errorf("built %d components, want each of 7 once", built)
	}
	if refused > 1 {
		t.Errorf("%d runs were refused, want at most the one that did not wait", refused)
	}
	if waited < 2 {
		t.Errorf("%d runs waited, want 2 or more", waited)
	}
	if n := len(r.outputs(t)); n != 11 {
		t.Errorf("%d outputs, want 8 files, the package, its checksum and its objects", n)
	}
}

// TestAFullDiskLeavesTheLastGoodOutputs builds on a small tmpfs of ever other sizes: when it fails, it says why, and
// what was published before stays; with room again, the next run is right.
func TestAFullDiskLeavesTheLastGoodOutputs(t *testing.T) { fullDisk(t, 40, 900) }

func TestLongAFullDiskLeavesTheLastGoodOutputs(t *testing.T) {
	testlong.Skip(t)
	fullDisk(t, 40, 200, 600, 900, 1500, 2500, 4000, 8000)
}

func fullDisk(t *testing.T, sizes ...int) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	r := newFakeRepo(t, nil)
	r.must(t, "all")
	want := r.outputs(t)
	full := 0
	for _, kb := range sizes {
		// Everything is stale, and the place that the work and the new outputs go to is small.
		os.RemoveAll(filepath.Join(r.root, "build/fake/record"))
		script := fmt.Sprintf("mount -t tmpfs -o size=%dk none %[2]s/build/fake/work && mount -t tmpfs -o size=%[1]dk none %[2]s/build/fake/store && exec %[3]s all", kb, r.root, runner)
		for _, d := range []string{"work", "store"} {
			os.MkdirAll(filepath.Join(r.root, "build/fake", d), 0o755)
		}
		cmd := exec.Command("unshare", "-m", "sh", "-c", script)
		cmd.Env = r.env
		out, err := cmd.CombinedOutput()
		if err != nil {
			full++
			if !strings.Contains(strings.ToLower(string(out)), "no space left on device") {
				t.Errorf("%d kB: the error does not say that the disk is full:\n%s", kb, out)
			}
		}
		if got := r.outputs(t); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%d kB: outputs changed:\ngot  %v\nwant %v\n%s", kb, got, want, out)
		}
	}
	if full < min(3, len(sizes)) {
		t.Errorf("the disk was full %d times: the sizes show too little", full)
	}
	r.must(t, "all")
	if got := r.outputs(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("with room again: got %v, want %v", got, want)
	}
}

// TestLongADiskThatFillsUpAnywhereLeavesTheLastGoodOutputs keeps all that a run writes, outputs, logs and records too, on a
// tmpfs that has ever other amounts of room left when everything is to be built anew from other sources. What is
// published is always whole; with more room, the next run is right.
func TestLongADiskThatFillsUpAnywhereLeavesTheLastGoodOutputs(t *testing.T) {
	testlong.Skip(t)
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	a, b, r := newFakeRepo(t, variant("first")), newFakeRepo(t, variant("second")), newFakeRepo(t, variant("first"))
	a.must(t, "all")
	b.must(t, "all")
	pristine := []map[string]string{a.outputs(t), b.outputs(t)}
	disk := t.TempDir()
	if err := syscall.Mount("none", disk, "tmpfs", 0, "size=1g"); err != nil {
		t.Skipf("no tmpfs here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) })
	size := func(bytes uint64) {
		t.Helper()
		if err := syscall.Mount("none", disk, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", bytes)); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"build/fake", "output"} { // the directory itself stays where there is room, for the check of the disk
		place := filepath.Join(disk, filepath.Base(d))
		if err := errors.Join(os.RemoveAll(filepath.Join(r.root, d)), os.Mkdir(place, 0o755), os.Symlink(place, filepath.Join(r.root, d))); err != nil {
			t.Fatal(err)
		}
	}
	r.must(t, "all")
	full := 0
	for i, room := range []uint64{0, 300, 3000, 8000, 20000} { // kB
		r.take(t, []*fakeRepo{b, a}[i%2])
		var st syscall.Statfs_t
		if err := syscall.Statfs(disk, &st); err != nil {
			t.Fatal(err)
		}
		size((st.Blocks-st.Bfree)*uint64(st.Bsize) + room<<10)
		cmd, out := r.command("all")
		if err := cmd.Run(); err != nil {
			full++
			if !strings.Contains(strings.ToLower(out.String()), "no space left on device") {
				t.Errorf("%d kB: the error does not say that the disk is full:\n%s", room, out)
			}
		}
		if g := mixed(r.outputs(t), pristine...); g != nil {
			t.Fatalf("%d kB: %v are not the files of one build", room, g)
		}
		size(1 << 30)
		text := r.must(t, "all")
		if got, want := r.outputs(t), pristine[(i+1)%2]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%d kB: with room again: got %v, want %v\n%s", room, got, want, text)
		}
	}
	if full < 3 {
		t.Errorf("the disk was full %d times: the sizes show too little", full)
	}
}

// TestARealRuncThatIsKilledIsMadeGoodByTheNextRun does with the real runc and libseccomp what the fakes' test does: with
// and without a patch to both, so that each run has to compile. DRYDOCK_REAL_KILLS says how often; it needs the sources
// of the default stack in vendor-sources/, and half a minute for each.
func TestARealRuncThatIsKilledIsMadeGoodByTheNextRun(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("DRYDOCK_REAL_KILLS"))
	if err != nil {
		t.Skip("DRYDOCK_REAL_KILLS is not set to a number")
	}
	here, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, d := range []string{"patches", "vendor-sources"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := filepath.Glob(filepath.Join(here, "vendor-sources/*"))
	for _, f := range append(files, filepath.Join(here, "mage")) {
		rel, _ := filepath.Rel(here, f)
		if err := os.Symlink(f, filepath.Join(root, rel)); err != nil {
			t.Fatal(err)
		}
	}
	r := &fakeRepo{root, append(os.Environ(), "DRYDOCK_ROOT="+root, "STACK=", "OFFLINE=1")}
	patches := map[string]string{
		"libseccomp": "--- /dev/null\n+++ b/src/api-kill.h\n@@ -0,0 +1 @@\n+/* another tree */\n",
		"runc":       "--- /dev/null\n+++ b/zz_killed.go\n@@ -0,0 +1,3 @@\n+package main\n+\n+var killed = \"patched\"; func init() { if killed == \"\" { panic(killed) } }\n",
	}
	patched := func(on bool) {
		t.Helper()
		for c, text := range patches {
			dir := filepath.Join(root, "patches", c, ">= 0")
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if !on {
				continue
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, data := range map[string]string{"series": "kill.patch\n", "kill.patch": text} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	digest := func() string {
		data, _ := os.ReadFile(filepath.Join(root, "output/docker-26.1/bin/runc"))
		return fmt.Sprintf("%x", sha256.Sum256(data))
	}
	var pristine []string
	var whole time.Duration
	for i := range 4 { // the first two fill the cache, the others tell how long a run takes
		patched(i%2 == 1)
		start := time.Now()
		r.must(t, "runc")
		whole = time.Since(start)
		if pristine = append(pristine, digest()); i >= 2 && pristine[i] != pristine[i-2] {
			t.Fatalf("two undisturbed builds of the same differ: %s, %s", pristine[i-2], pristine[i])
		}
	}
	if pristine[0] == pristine[1] {
		t.Fatal("runc is the same with and without the patch: the test would show nothing")
	}
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d, a run takes %v", seed, whole)
	interrupted := 0
	for i := 0; interrupted < n && i < 4*n; i++ {
		patched(i%2 == 1)
		cmd, _ := r.command("runc")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rnd.Int64N(int64(whole))))
		cmd.Process.Signal(syscall.SIGKILL)
		if cmd.Wait() != nil {
			interrupted++
		}
		r.gone(t, i)
		if d := digest(); !slices.Contains(pristine, d) {
			t.Fatalf("kill %d: runc is of neither build", i)
		}
		out := r.must(t, "runc")
		if d := digest(); d != pristine[i%2] {
			t.Fatalf("kill %d: after the next run runc has digest %s, want %s\n%s", i, d, pristine[i%2], out)
		}
		if out := r.must(t, "runc"); !strings.Contains(out, "nothing to do") {
			t.Fatalf("kill %d: the run after the next did something:\n%s", i, out)
		}
	}
	if interrupted < n {
		t.Errorf("%d runs were interrupted, want %d: the test shows too little", interrupted, n)
	}
}
