package suites

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"drydock/targets/internal/run"
)

// libseccomp compiles the tests, links them with the archive that runc is linked with, and runs them.
func (s *Suite) libseccomp(ctx context.Context, t *Tree) error {
	for _, step := range t.Plan.Steps[:2] { // configure, make
		if err := t.do(ctx, step.Dir, step.Argv...); err != nil {
			return err
		}
	}
	ours := filepath.Join(t.Built, "lib/libseccomp.a")
	t.Box.Read = append(t.Box.Read, ours)
	if err := t.do(ctx, t.Paths.Work, "cp", ours, "src/.libs/libseccomp.a"); err != nil {
		return err
	}
	j := "-j" + strconv.Itoa(t.Jobs)
	for _, dir := range []string{"tools", "tests"} {
		argv := []string{t.Make, j, "-C", dir}
		if t.Musl { // what is linked with it dynamically runs nowhere
			argv = append(argv, "LDFLAGS=-all-static")
		}
		if dir == "tests" {
			argv = append(argv, "check-build")
		}
		if err := t.do(ctx, t.Paths.Work, argv...); err != nil {
			return err
		}
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		s.Why = "needs bash"
		return nil
	}
	var out bytes.Buffer
	for _, more := range [][]string{nil, {"-T", "live"}} { // simulated, then on this kernel
		err = run.Cmd{Argv: append([]string{bash, "./regression", j}, more...), Dir: t.Paths.Work + "/tests",
			Env: t.Plan.Steps[0].Env, Out: io.MultiWriter(&out, t.Log), Sandbox: t.Box}.Run(ctx)
		if ctx.Err() != nil {
			return err
		}
	}
	// a test that fails is an exit code too, and told there
	if perr := s.regression(out.String(), t.Musl); perr != nil {
		return errors.Join(err, perr)
	}
	return nil
}

// asLive is why the first run leaves the tests of the second out.
const asLive = "must specify live tests"

var regressionCount = regexp.MustCompile(`(?m)^ tests (skipped|passed|failed|errored): (\d+)$`)
var regressionCase = regexp.MustCompile(`(?m)^Test (\S+) result: +(FAILURE|ERROR|SKIPPED)(.*)$`)

// regression reads what libseccomp's suite printed; own reports whether it is linked with musl.
func (s *Suite) regression(out string, own bool) error {
	counts := regressionCount.FindAllStringSubmatch(out, -1)
	if len(counts) < 4 || len(counts)%4 != 0 {
		return errors.New("the suite printed no summary")
	}
	for _, m := range counts {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			return err
		}
		switch m[1] {
		case "skipped":
			s.Skipped += n
		case "passed":
			s.Passed += n
		default:
			s.Failed += n
		}
	}
	for _, m := range regressionCase.FindAllStringSubmatch(out, -1) {
		verdict, why := "failed", strings.Trim(strings.TrimSpace(m[3]), "()")
		if m[2] == "SKIPPED" {
			verdict = "skipped"
		}
		if why == asLive {
			s.Skipped--
			continue
		}
		known := own && ofGlibc.MatchString(why)
		if known {
			why = "the test's filter allows the system calls that glibc makes; " +
				"musl's malloc and free make others (mmap, munmap), which it refuses"
		}
		s.Cases = append(s.Cases, Case{m[1], verdict, why, known})
	}
	return nil
}

// ofGlibc are the live tests that a call of musl's own ends: strace shows mmap or munmap refused (rc 161: the trap was
// sprung; 232: no memory).
var ofGlibc = regexp.MustCompile(`^\d+-live-\w+ \d+ ALLOW rc=(161|232)$`)
