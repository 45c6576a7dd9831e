package targets

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
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

// variant makes fakes say another word: those components, or all.
func variant(word string, components ...string) func(string, map[string]string) {
	return func(c string, files map[string]string) {
		if len(components) > 0 && !slices.Contains(components, c) {
			return
		}
		for n, data := range files {
			files[n] = strings.ReplaceAll(data, `[]byte("`, `[]byte("`+word+` `)
		}
		if f, ok := files["src/tini.c"]; ok {
			files["src/tini.c"] = strings.Replace(f, `printf("`, `printf("`+word+` `, 1)
		}
	}
}

// mixed gives the first group of files that are published together of which now has not all from the same build; the
// builds' outputs are given.
func mixed(now map[string]string, builds ...map[string]string) []string {
	for _, group := range [][]string{{"bin/containerd", "bin/ctr", "bin/containerd-shim-runc-v2"},
		{"bin/dockerd", "bin/docker-proxy"}, {"bin/docker"}, {"bin/runc"}, {"bin/docker-init"}} {
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

// TestAKilledRunIsMadeGoodByTheNext kills the runner with SIGKILL at random times. Whatever the moment, nothing is left
// running, every file in bin/ is whole and belongs to one of the two builds that are going on (a component's files to
// the same), and the next run ends with the very bytes of an undisturbed build.
func TestAKilledRunIsMadeGoodByTheNext(t *testing.T) {
	t.Parallel()
	killedRuns(t, kills(t, 1), "tini", "dockerd")
}

func TestLongAKilledRunIsMadeGoodByTheNext(t *testing.T) {
	testlong.Skip(t)
	killedRuns(t, kills(t, 12))
}

// killedRuns kills n runs. Those components differ between the two builds, or all do.
func killedRuns(t *testing.T, n int, components ...string) {
	a, b := newFakeRepo(t, nil), newFakeRepo(t, variant("another", components...))
	// One repository that goes back and forth between the two sets of sources.
	r := newBuiltRepo(t, nil)
	pristine := []map[string]string{r.outputs(t), nil}
	// How long a warm rebuild takes bounds the moments worth trying.
	r.take(t, b)
	start := time.Now()
	r.must(t, "all")
	whole := time.Since(start)
	pristine[1] = r.outputs(t)
	for _, n := range []string{"bin/docker-init", "bin/dockerd", "bin/docker-proxy"} {
		if pristine[0][n] == pristine[1][n] {
			t.Fatalf("%s is the same in both variants: the test would show nothing", n)
		}
	}

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

// TestLongASignalWhileThePackageIsExaminedStopsTheRun has a docker that does not answer when it is asked for its
// version, which is done when the package is ready. Where it runs it sees nothing of this machine; a limit that nobody
// else uses is handed down.
func TestLongASignalWhileThePackageIsExaminedStopsTheRun(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	r := newBuiltRepo(t, func(component string, files map[string]string) {
		if component == "docker-cli" {
			main := files["cmd/docker/main.go"]
			files["cmd/docker/main.go"] = strings.Replace(main, "func main() {", fmt.Sprintf(
				"func main() {\n\tvar l syscall.Rlimit\n\tfor syscall.Getrlimit(%d, &l); l.Cur == %d; "+
					"{\n\t\tsyscall.Pause()\n\t}\n", unusedLimit, silent), 1)
		}
	})
	r.must(t, "docker")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	all := r.start(t, nil, self, "silent", "-", runner, "all")
	until(t, "the package is examined", func() bool {
		return strings.Contains(all.said(), "built     package") && runs(func(argv []string) bool {
			return len(argv) == 2 && strings.HasPrefix(argv[0], r.root) && filepath.Base(argv[0]) == "docker" &&
				argv[1] == "--version"
		})
	})
	all.Process.Signal(syscall.SIGTERM)
	all.Wait()
	if code := all.ProcessState.ExitCode(); code != 130 ||
		!strings.Contains(all.said(), "STOPPED: stopped by a signal") {
		t.Errorf("got exit code %d, want 130 and that it was stopped\n%s", code, all.said())
	}
	if out := r.must(t, "all"); !strings.Contains(out, "latest    26.1.5-") {
		t.Errorf("the next run did not examine the package: %s", out)
	}
}

// TestASignalEndsARunThatReadsWhatDoesNotAnswer has a named pipe in place of a file, which is open for writing and
// never written to.
func TestASignalEndsARunThatReadsWhatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	r := newFakeRepo(t, nil)
	pipe := filepath.Join(r.root, ".cache/host.json")
	if err := errors.Join(os.MkdirAll(filepath.Dir(pipe), 0o755), os.RemoveAll(pipe),
		syscall.Mkfifo(pipe, 0o644)); err != nil {
		t.Fatal(err)
	}
	cmd, out := r.command("check")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var w *os.File
	until(t, "it reads "+pipe, func() (ok bool) {
		var err error
		w, err = os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		return err == nil
	})
	defer w.Close()
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 ||
		!strings.Contains(out.String(), "STOPPED: stopped by a signal") {
		t.Errorf("got exit code %d, want 130, and that it was stopped: %s", code, out)
	}
}

// TestRunsThatStartTogetherBuildOnce starts three runs at once on a fresh tree, and one that does not wait when the
// first of them builds and the others wait: all of these end right. What is built first takes until all of that has
// happened.
func TestRunsThatStartTogetherBuildOnce(t *testing.T) {
	t.Parallel()
	event := t.TempDir()
	r := newFakeRepo(t, func(component string, files map[string]string) {
		if component == "libseccomp" {
			files["configure"] += "until test -e " + event + "/go; do sleep 0.1; done\n"
		}
	})
	env := []string{"TOOLS=" + event} // a directory that build steps may read
	var all []*started
	for range 3 {
		all = append(all, r.start(t, env, runner, "libseccomp", "-wait"))
	}
	say := func(what string) (n int) {
		for _, s := range all {
			n += strings.Count(s.said(), what)
		}
		return n
	}
	until(t, "one builds, and two wait",
		func() bool { return say("build     libseccomp") == 1 && say("waiting   for ") == 2 })
	refused := r.start(t, env, runner, "tini")
	if refused.Wait(); refused.ProcessState.ExitCode() != 6 ||
		!strings.Contains(refused.said(), "another run holds this stack") {
		t.Errorf("one that does not wait: got exit code %d\n%s", refused.ProcessState.ExitCode(), refused.said())
	}
	if err := os.WriteFile(filepath.Join(event, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if err := s.Wait(); err != nil {
			t.Errorf("%v: %v\n%s", s.Args, err, s.said())
		}
	}
	if built := say("built     "); built != 1 {
		t.Errorf("built it %d times, want once", built)
	}
}

// TestLongAFullDiskLeavesTheLastGoodOutputs builds on a small tmpfs: when it fails, it says why, and what was published
// before stays; with room again, the next run is right.
func TestLongAFullDiskLeavesTheLastGoodOutputs(t *testing.T) {
	testlong.Skip(t)
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	r := newBuiltRepo(t, nil)
	want := r.outputs(t)
	full := 0
	for _, kb := range []int{40, 200, 600, 900, 1500, 2500, 4000, 8000} {
		// All is stale, and the place that the work and the new outputs go to is small.
		os.RemoveAll(filepath.Join(r.root, "build/fake/record"))
		script := fmt.Sprintf("mount -t tmpfs -o size=%dk none %[2]s/build/fake/work && mount -t tmpfs -o "+
			"size=%[1]dk none %[2]s/build/fake/store && exec %[3]s all", kb, r.root, runner)
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
	if full < 3 {
		t.Errorf("the disk was full %d times: the sizes show too little", full)
	}
	r.must(t, "all")
	if got := r.outputs(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("with room again: got %v, want %v", got, want)
	}
}

// TestLongADiskThatFillsUpAnywhereLeavesTheLastGoodOutputs keeps all that a run writes, outputs, logs and records too,
// on a tmpfs that has ever other amounts of room left when everything is to be built anew from other sources. What is
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
	// the directory itself stays where there is room, for the check of the disk
	for _, d := range []string{"build/fake", "output"} {
		place := filepath.Join(disk, filepath.Base(d))
		if err := errors.Join(os.RemoveAll(filepath.Join(r.root, d)), os.Mkdir(place, 0o755),
			os.Symlink(place, filepath.Join(r.root, d))); err != nil {
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

// TestARealRuncThatIsKilledIsMadeGoodByTheNextRun does with the real runc and libseccomp what the fakes' test does:
// with and without a patch to both, so that each run has to compile. DRYDOCK_REAL_KILLS says how often; it needs the
// sources of the default stack in vendor-sources/, and half a minute for each.
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
	r := &fakeRepo{root: root, env: append(os.Environ(), "DRYDOCK_ROOT="+root, "STACK=", "OFFLINE=1")}
	patches := map[string]string{
		"libseccomp": "--- /dev/null\n+++ b/src/api-kill.h\n@@ -0,0 +1 @@\n+/* another tree */\n",
		"runc": "--- /dev/null\n+++ b/zz_killed.go\n@@ -0,0 +1,3 @@\n+package main\n+\n" +
			"+var killed = \"patched\"; func init() { if killed == \"\" { panic(killed) } }\n",
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
