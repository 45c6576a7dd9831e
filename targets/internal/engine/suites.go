package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/host"
	"drydock/targets/internal/patch"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
	"drydock/targets/internal/smoke"
	"drydock/targets/internal/source"
	"drydock/targets/internal/ui"

	"golang.org/x/sys/unix"
)

// suite is what upstream's own tests said of one component.
type suite struct {
	component, name         string
	passed, failed, skipped int
	took                    time.Duration
	// why says why it was not run at all.
	why string
	// cases are the tests that did not pass: what they say, and what that means.
	cases []suiteCase
}

type suiteCase struct {
	name, verdict, reason string
	// known says that the failure has a reason outside of what was built.
	known bool
}

// knownReasons are failures that say nothing of what was built, by what the test prints.
var knownReasons = []struct {
	pattern *regexp.Regexp
	why     string
}{
	{regexp.MustCompile(`(ldconfig|findmnt): not found|stat /usr/bin/ionice: no such file|exec: \\?"(bash|findmnt|chrt)\\?": executable file not found`),
		"needs programs of the images that upstream downloads; here they are a busybox"},
	{regexp.MustCompile(`prlimit: failed to set .*: Operation not permitted`), "this machine does not let root raise that limit"},
	{regexp.MustCompile(`unable to access 'https://|Could not resolve host`), "clones a repository from the network, which is denied"},
	{regexp.MustCompile(`cannot set hugetlb limit`), "no hugetlb cgroup is mounted on this machine"},
}

// suiteLimit is the time that one suite has. libseccomp's takes 3 minutes on one machine and over 15 on another,
// where a process starts slowly.
const suiteLimit = 90 * time.Minute

// Suites runs upstream's own tests against what was built: libseccomp's regression tests on our archive, runc's
// integration tests on our runc; write puts the table into docs/proof.md. With a component it is that one's alone.
func Suites(ctx context.Context, component string, write bool) error {
	return command(ctx, func(ctx context.Context, e *Engine) error { return e.suites(ctx, component, write) })
}

func (e *Engine) suites(ctx context.Context, component string, write bool) error {
	if err := e.look(ctx); err != nil {
		return err
	}
	parts := []string{"libseccomp", "runc"}
	if component != "" {
		if !slices.Contains(parts, component) {
			return fmt.Errorf("suites: got component %q, want one of %s", component, strings.Join(parts, ", "))
		}
		if write {
			return errors.New("suites: got -write with a component, want all of them in docs/proof.md")
		}
		parts = []string{component}
	}
	for _, n := range parts {
		if e.records().Load(n) == nil {
			return failure.With(failure.Failed, fmt.Errorf("%s is not built: run \"mage %s\"", n, n))
		}
	}
	if err := e.lock(ctx, false); err != nil {
		return err
	}
	inputs, err := e.sources(ctx, parts, false)
	if err != nil {
		return failure.With(failure.Sources, err)
	}
	var all []*suite
	for _, s := range []struct {
		component, name string
		run             func(context.Context, *suite, *testTree) error
	}{{"libseccomp", "regression (make check)", e.libseccompSuite}, {"runc", "integration (bats)", e.runcSuite}} {
		if !slices.Contains(parts, s.component) {
			continue
		}
		x := &suite{component: s.component, name: s.name}
		all = append(all, x)
		t, err := e.testTree(s.component, inputs[s.component])
		if err != nil {
			return err
		}
		e.UI.Line("suite     %s %s: %s", s.component, e.versionOf(s.component), s.name)
		limited, cancel := context.WithTimeoutCause(ctx, suiteLimit, fmt.Errorf("the suite did not end in %s", suiteLimit))
		start := time.Now()
		err = s.run(limited, x, t)
		cancel()
		x.took = time.Since(start)
		if ctx.Err() != nil {
			return failure.With(failure.Stopped, context.Cause(ctx))
		}
		if err != nil {
			return failure.With(failure.Failed, fmt.Errorf("%s: %w: see %s", s.component, err, e.rel(t.log.Name())))
		}
		t.log.Close()
		if err := source.RemoveAll(t.base); err != nil {
			return err
		}
	}
	for _, n := range []string{"containerd", "dockerd"} {
		all = append(all, &suite{component: n, name: "integration", why: "its tests pull their images from registries; \"mage smoke\" is what runs these here"})
	}
	text, bad := e.suitesText(all)
	e.UI.Text("\n" + text)
	if write {
		file := filepath.Join(e.Root, "docs/proof.md")
		if err := archive.WriteFile(file, 0o644, func(w io.Writer) error { _, err := io.WriteString(w, text); return err }); err != nil {
			return err
		}
	}
	if bad > 0 {
		return failure.With(failure.Failed, fmt.Errorf("%d of upstream's tests failed without a known reason: see the table; logs in %s", bad, e.rel(e.build("suites"))))
	}
	e.UI.Line("drydock: %s: no test of upstream's failed without a known reason, %s", e.Stack.Name, ui.Duration(time.Since(e.start)))
	return nil
}

// testTree is a component's source, prepared as for a build, with the plan that would build it.
type testTree struct {
	base string
	p    recipe.Paths
	plan recipe.Plan
	host *host.Go
	log  *os.File
	box  *run.Sandbox
}

func (e *Engine) testTree(name string, in *input) (*testTree, error) {
	c := e.Stack.Component[name]
	tools, g := e.tools(c)
	base := e.build("suites", name)
	if err := source.RemoveAll(base); err != nil {
		return nil, err
	}
	p := recipe.Paths{Work: base + "/src", Shims: base + "/shims", Stage: base + "/stage", Home: base + "/home", Tmp: base + "/tmp",
		Cache: e.cache(c, g), Path: e.facts.PathDirs(e.cc()), Deps: map[string]string{}}
	for _, d := range []string{p.Work, p.Shims, p.Stage, p.Home, p.Tmp} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	for _, d := range e.needs(name) {
		p.Deps[d] = e.out.Path(d, e.records().Load(d).Key)
	}
	if _, err := e.store.Prepare(c, e.Stack.Lock, in.found, p.Work); err != nil {
		return nil, err
	}
	if _, err := patch.Apply(p.Work, in.patches); err != nil {
		return nil, err
	}
	log, err := os.Create(e.build("suites", name+".log"))
	if err != nil {
		return nil, err
	}
	t := &testTree{base, p, recipe.Of(e.Stack, name, tools, p), g, log, e.sandbox(p, g)}
	for _, file := range t.plan.Files {
		if err := writeFile(file); err != nil {
			return nil, err
		}
	}
	return t, t.box.Give()
}

// do runs one command in the tree, with the recipe's environment.
func (t *testTree) do(ctx context.Context, dir string, argv ...string) error {
	fmt.Fprintf(t.log, "# in %s\n%s\n", dir, run.Quote(argv))
	return run.Cmd{Argv: argv, Dir: dir, Env: t.plan.Steps[0].Env, Out: t.log, Sandbox: t.box}.Run(ctx)
}

// libseccompSuite compiles the tests, links them with the archive that runc is linked with, and runs them.
func (e *Engine) libseccompSuite(ctx context.Context, s *suite, t *testTree) error {
	for _, step := range t.plan.Steps[:2] { // configure, make
		if err := t.do(ctx, step.Dir, step.Argv...); err != nil {
			return err
		}
	}
	ours := filepath.Join(e.out.Path(s.component, e.records().Load(s.component).Key), "lib/libseccomp.a")
	t.box.Read = append(t.box.Read, ours)
	if err := t.do(ctx, t.p.Work, "cp", ours, "src/.libs/libseccomp.a"); err != nil {
		return err
	}
	j := "-j" + strconv.Itoa(jobs())
	for _, dir := range []string{"tools", "tests"} {
		argv := []string{e.facts.Make, j, "-C", dir}
		if e.Stack.OwnLibc() { // what is linked with it dynamically runs nowhere
			argv = append(argv, "LDFLAGS=-all-static")
		}
		if dir == "tests" {
			argv = append(argv, "check-build")
		}
		if err := t.do(ctx, t.p.Work, argv...); err != nil {
			return err
		}
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		s.why = "needs bash"
		return nil
	}
	var out bytes.Buffer
	for _, more := range [][]string{nil, {"-T", "live"}} { // simulated, then on this kernel
		err = run.Cmd{Argv: append([]string{bash, "./regression", j}, more...), Dir: t.p.Work + "/tests", Env: t.plan.Steps[0].Env,
			Out: io.MultiWriter(&out, t.log), Sandbox: t.box}.Run(ctx)
		if ctx.Err() != nil {
			return err
		}
	}
	if perr := s.regression(out.String(), e.Stack.OwnLibc()); perr != nil { // a test that fails is an exit code too, and told there
		return errors.Join(err, perr)
	}
	return nil
}

// asLive is why the first run leaves the tests of the second out.
const asLive = "must specify live tests"

var regressionCount = regexp.MustCompile(`(?m)^ tests (skipped|passed|failed|errored): (\d+)$`)
var regressionCase = regexp.MustCompile(`(?m)^Test (\S+) result: +(FAILURE|ERROR|SKIPPED)(.*)$`)

// regression reads what libseccomp's suite printed; own says that it is linked with musl.
func (s *suite) regression(out string, own bool) error {
	counts := regressionCount.FindAllStringSubmatch(out, -1)
	if len(counts) < 4 || len(counts)%4 != 0 {
		return fmt.Errorf("the suite printed no summary")
	}
	for _, m := range counts {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			return err
		}
		switch m[1] {
		case "skipped":
			s.skipped += n
		case "passed":
			s.passed += n
		default:
			s.failed += n
		}
	}
	for _, m := range regressionCase.FindAllStringSubmatch(out, -1) {
		verdict, why := "failed", strings.Trim(strings.TrimSpace(m[3]), "()")
		if m[2] == "SKIPPED" {
			verdict = "skipped"
		}
		if why == asLive {
			s.skipped--
			continue
		}
		known := own && ofGlibc.MatchString(why)
		if known {
			why = "the test's filter allows the system calls that glibc makes; musl's malloc and free make others (mmap, munmap), which it refuses"
		}
		s.cases = append(s.cases, suiteCase{m[1], verdict, why, known})
	}
	return nil
}

// ofGlibc are the live tests that a call of musl's own ends: strace shows mmap or munmap refused (rc 161: the trap was
// sprung; 232: no memory).
var ofGlibc = regexp.MustCompile(`^\d+-live-\w+ \d+ ALLOW rc=(161|232)$`)

// runcSuite runs upstream's bats files on our runc, in namespaces. They want a busybox for an image and some tools.
func (e *Engine) runcSuite(ctx context.Context, s *suite, t *testTree) error {
	tests := t.p.Work + "/tests/integration"
	if _, err := os.Stat(tests); err != nil {
		s.why = "these sources do not carry it"
		return nil
	}
	if os.Geteuid() != 0 {
		s.why = "needs root"
		return nil
	}
	var missing []string
	for _, p := range []string{"bats", "bash", "jq", "gawk", "busybox", "unshare", "tar"} {
		if _, err := exec.LookPath(p); err != nil {
			missing = append(missing, p)
		}
	}
	if missing != nil {
		s.why = "not installed: " + strings.Join(missing, ", ") + " (Debian: bats jq gawk busybox-static)"
		return nil
	}
	namespaces := []string{"--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"}
	if out, err := exec.CommandContext(ctx, "unshare", append(slices.Clone(namespaces), "true")...).CombinedOutput(); err != nil {
		s.why = fmt.Sprintf("the kernel refuses namespaces: %v: %s", err, bytes.TrimSpace(out))
		return nil
	}
	// The suite's own helpers: a terminal's other end, a seccomp agent.
	var dirs []string
	for _, h := range append(archive.Glob(t.p.Work, "contrib/cmd/*/*.go"), archive.Glob(t.p.Work, "tests/cmd/*/*.go")...) {
		dirs = append(dirs, filepath.Dir(h))
	}
	for _, d := range slices.Compact(dirs) {
		pkg, err := filepath.Rel(t.p.Work, d)
		if err != nil {
			return err
		}
		if err := t.do(ctx, t.p.Work, t.host.Path, "build", "-mod=vendor", "-buildvcs=false", "-tags", "seccomp", "-ldflags=-linkmode=external -extldflags=-static", "-o", d+"/"+filepath.Base(d), "./"+pkg); err != nil {
			return fmt.Errorf("helper %s: %w", pkg, err)
		}
		programs := filepath.Join(t.p.Work, "tests/cmd/_bin") // where runc 1.3 and later look for them
		if err := os.MkdirAll(programs, 0o755); err != nil {
			return err
		}
		if err := os.Link(d+"/"+filepath.Base(d), filepath.Join(programs, filepath.Base(d))); err != nil {
			return err
		}
	}
	for _, image := range []string{"busybox", "debian"} {
		if err := busyboxImage(ctx, filepath.Join(tests, "testdata", image+"-"+e.Stack.Target.Arch+".tar.xz")); err != nil {
			return err
		}
	}
	bin, err := filepath.EvalSymlinks(e.output("bin"))
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "unshare", append(namespaces, "bats", "--tap", ".")...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = tests, io.MultiWriter(&out, t.log), t.log
	cmd.Env = []string{"PATH=" + filepath.Dir(t.host.Path) + ":" + os.Getenv("PATH"), "HOME=" + t.p.Home, "RUNC=" + bin + "/runc", "LC_ALL=C", "TERM=dumb"}
	cmd.WaitDelay = 5 * time.Second
	terminal, err := pty()
	if err != nil {
		return err
	}
	defer terminal.Close()
	slave, err := os.OpenFile(ptsName(terminal), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer slave.Close()
	// Some tests open /dev/tty: the session needs a terminal, which nobody looks at.
	cmd.Stdin = slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	go io.Copy(io.Discard, terminal)
	err = cmd.Run()
	smoke.RemoveCgroups("runc-cgroups-integration-test")
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if perr := s.tap(out.String()); perr != nil {
		return errors.Join(err, perr)
	}
	return nil
}

// pty makes a terminal and gives its master.
func pty() (*os.File, error) {
	m, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.IoctlSetPointerInt(int(m.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func ptsName(m *os.File) string {
	n, err := unix.IoctlGetInt(int(m.Fd()), unix.TIOCGPTN)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("/dev/pts/%d", n)
}

// busyboxImage writes a root file system with nothing but a static busybox under all its names.
func busyboxImage(ctx context.Context, file string) error {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	names, err := run.Cmd{Argv: []string{path, "--list"}, Dir: "/", Env: []string{"PATH=/nonexistent"}}.Output(ctx)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	var errs []error
	put := func(name string, kind byte, mode int64, link string, data []byte) {
		errs = append(errs, w.WriteHeader(&tar.Header{Name: name, Typeflag: kind, Mode: mode, Linkname: link, Size: int64(len(data))}))
		_, err := w.Write(data)
		errs = append(errs, err)
	}
	// No proc and sys: two tests put links there.
	for _, d := range []string{"bin", "dev", "etc", "home", "lib", "root", "usr", "usr/bin", "var"} {
		put(d+"/", tar.TypeDir, 0o755, "", nil)
	}
	put("tmp/", tar.TypeDir, 0o1777, "", nil)
	put("bin/busybox", tar.TypeReg, 0o755, "", data)
	for _, n := range strings.Fields(names) {
		if n != "busybox" {
			put("bin/"+n, tar.TypeSymlink, 0o777, "busybox", nil)
		}
	}
	put("usr/bin/env", tar.TypeSymlink, 0o777, "../../bin/busybox", nil)
	put("etc/passwd", tar.TypeReg, 0o644, "", []byte("root:x:0:0:root:/root:/bin/sh\n"))
	put("etc/group", tar.TypeReg, 0o644, "", []byte("root:x:0:\n"))
	errs = append(errs, w.Close())
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

var tapLine = regexp.MustCompile(`^(ok|not ok) \d+ (.*?)(?: # skip ?(.*?))?\r?$`)
var tapPlan = regexp.MustCompile(`(?m)^1\.\.(\d+)\r?$`)

// tap reads what bats printed.
func (s *suite) tap(out string) error {
	var said strings.Builder
	last := -1 // the failed case whose output is being read
	end := func() {
		if last >= 0 {
			for _, k := range knownReasons {
				if k.pattern.MatchString(said.String()) {
					s.cases[last].reason, s.cases[last].known = k.why, true
				}
			}
		}
		last = -1
		said.Reset()
	}
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		m := tapLine.FindStringSubmatch(line)
		switch {
		case m == nil:
			said.WriteString(line + "\n")
			continue
		case m[1] == "not ok":
			end()
			s.failed++
			s.cases = append(s.cases, suiteCase{m[2], "failed", "", false})
			last = len(s.cases) - 1
		case strings.Contains(line, "# skip"):
			end()
			s.skipped++
			s.cases = append(s.cases, suiteCase{m[2], "skipped", m[3], false})
		default:
			end()
			s.passed++
		}
	}
	end()
	plan := tapPlan.FindStringSubmatch(out)
	if plan == nil {
		return fmt.Errorf("the suite printed no plan")
	}
	if n, _ := strconv.Atoi(plan[1]); n != s.passed+s.failed+s.skipped {
		return fmt.Errorf("the suite wanted to run %s tests and told of %d", plan[1], s.passed+s.failed+s.skipped)
	}
	return nil
}

// suitesText is the table, and how many tests failed without a known reason.
func (e *Engine) suitesText(all []*suite) (text string, bad int) {
	var b strings.Builder
	var release unix.Utsname
	kernel := ""
	if unix.Uname(&release) == nil {
		kernel, _, _ = strings.Cut(unix.ByteSliceToString(release.Release[:]), "-")
	}
	b.WriteString("# Upstream's own tests, on what was built\n\nMade by `./mage suites -write`; never edited by hand.\n\n")
	fmt.Fprintf(&b, "%s, %s, Linux %s, gcc %s.\n\n", e.Stack.Name, time.Now().UTC().Format(time.DateOnly), kernel, e.cc().Version)
	b.WriteString("| component | suite | passed | failed | skipped | time |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, s := range all {
		name := s.name
		if s.why != "" {
			name += ": not run: " + s.why
		}
		fmt.Fprintf(&b, "| %s %s | %s | %d | %d | %d | %s |\n", s.component, e.versionOf(s.component), name, s.passed, s.failed, s.skipped, ui.Duration(s.took))
	}
	for _, s := range all {
		groups := map[string][]string{}
		var order []string
		for _, c := range s.cases {
			if c.verdict == "failed" && !c.known {
				bad++
				c.reason = strings.TrimSpace("NOT EXPLAINED " + c.reason)
			}
			key := c.verdict + " | " + strings.ReplaceAll(c.reason, "|", "\\|")
			if groups[key] == nil {
				order = append(order, key)
			}
			groups[key] = append(groups[key], strings.ReplaceAll(c.name, "|", "\\|"))
		}
		if order == nil {
			continue
		}
		slices.Sort(order)
		fmt.Fprintf(&b, "\n## %s\n\n| verdict | why | tests |\n| --- | --- | --- |\n", s.component)
		for _, key := range order {
			names := groups[key]
			list := strings.Join(names[:min(len(names), 8)], "; ")
			if len(names) > 8 {
				list += fmt.Sprintf("; and %d more", len(names)-8)
			}
			fmt.Fprintf(&b, "| %s | %s |\n", key, list)
		}
	}
	return b.String(), bad
}
