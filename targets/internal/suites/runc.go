package suites

import (
	"archive/tar"
	"bytes"
	"context"
	_ "embed"
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
	"drydock/targets/internal/run"
	"drydock/targets/internal/smoke"

	"golang.org/x/sys/unix"
)

// reasonsText has failures that say nothing of what was built: a line with a pattern of what the test prints, one with
// the reason.
//
//go:embed reasons.txt
var reasonsText string

// integration is where runc's sources have their bats files.
const integration = "/tests/integration"

// namespaces are the suite's own, as unshare takes them.
var namespaces = []string{"--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"}

// lacksForRunc says why runc's suite cannot be run here; empty when it can.
func lacksForRunc(ctx context.Context, t *Tree) string {
	if _, err := os.Stat(t.Paths.Work + integration); err != nil {
		return "these sources do not carry it"
	}
	if os.Geteuid() != 0 {
		return "needs root"
	}
	installed := func(program string) bool { _, err := exec.LookPath(program); return err == nil }
	missing := slices.DeleteFunc(strings.Fields("bats bash jq gawk busybox unshare tar"), installed)
	if len(missing) > 0 {
		return "not installed: " + strings.Join(missing, ", ") + " (Debian: bats jq gawk busybox-static)"
	}
	try := exec.CommandContext(ctx, "unshare", append(slices.Clone(namespaces), "true")...)
	if out, err := try.CombinedOutput(); err != nil {
		return fmt.Sprintf("the kernel refuses namespaces: %v: %s", err, bytes.TrimSpace(out))
	}
	return ""
}

// runc runs upstream's bats files on our runc, in namespaces. They want a busybox for an image and some tools.
func (s *Suite) runc(ctx context.Context, t *Tree) error {
	if s.Why = lacksForRunc(ctx, t); s.Why != "" {
		return nil
	}
	if err := runcHelpers(ctx, t); err != nil {
		return err
	}
	tests := t.Paths.Work + integration
	for _, image := range []string{"busybox", "debian"} {
		if err := busyboxImage(ctx, filepath.Join(tests, "testdata", image+"-"+t.Arch+".tar.xz")); err != nil {
			return err
		}
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "unshare", append(slices.Clone(namespaces), "bats", "--tap", ".")...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = tests, io.MultiWriter(&out, t.Log), t.Log
	cmd.Env = []string{"PATH=" + filepath.Dir(t.Go) + ":" + os.Getenv("PATH"), "HOME=" + t.Paths.Home,
		"RUNC=" + t.Built + "/runc", "LC_ALL=C", "TERM=dumb"}
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

// runcHelpers compiles the suite's own helpers: a terminal's other end, a seccomp agent.
func runcHelpers(ctx context.Context, t *Tree) error {
	var dirs []string
	for _, h := range append(archive.Glob(t.Paths.Work, "contrib/cmd/*/*.go"),
		archive.Glob(t.Paths.Work, "tests/cmd/*/*.go")...) {
		dirs = append(dirs, filepath.Dir(h))
	}
	for _, d := range slices.Compact(dirs) {
		pkg, err := filepath.Rel(t.Paths.Work, d)
		if err != nil {
			return err
		}
		if err := t.do(ctx, t.Paths.Work, t.Go, "build", "-mod=vendor", "-buildvcs=false", "-tags", "seccomp",
			"-ldflags=-linkmode=external -extldflags=-static", "-o", d+"/"+filepath.Base(d), "./"+pkg); err != nil {
			return fmt.Errorf("helper %s: %w", pkg, err)
		}
		programs := filepath.Join(t.Paths.Work, "tests/cmd/_bin") // where runc 1.3 and later look for them
		if err := os.MkdirAll(programs, 0o755); err != nil {
			return err
		}
		if err := os.Link(d+"/"+filepath.Base(d), filepath.Join(programs, filepath.Base(d))); err != nil {
			return err
		}
	}
	return nil
}

// pty makes a terminal and returns its master.
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
		h := &tar.Header{Name: name, Typeflag: kind, Mode: mode, Linkname: link, Size: int64(len(data))}
		errs = append(errs, w.WriteHeader(h))
		_, err := w.Write(data)
		errs = append(errs, err)
	}
	// No proc and sys: two tests put links there.
	for _, d := range []string{"bin", "dev", "etc", "home", "lib", "root", "usr", "usr/bin", "var"} {
		put(d+"/", tar.TypeDir, 0o755, "", nil)
	}
	put("tmp/", tar.TypeDir, 0o1777, "", nil)
	put("bin/busybox", tar.TypeReg, 0o755, "", data)
	for n := range strings.FieldsSeq(names) {
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
func (s *Suite) tap(out string) error {
	var said strings.Builder
	last := -1 // the failed case whose output is being read
	end := func() {
		if last >= 0 {
			for known := range slices.Chunk(strings.Split(strings.TrimSpace(reasonsText), "\n"), 2) {
				if regexp.MustCompile(known[0]).MatchString(said.String()) {
					s.Cases[last].Reason, s.Cases[last].Known = known[1], true
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
			s.Failed++
			s.Cases = append(s.Cases, Case{m[2], "failed", "", false})
			last = len(s.Cases) - 1
		case strings.Contains(line, "# skip"):
			end()
			s.Skipped++
			s.Cases = append(s.Cases, Case{m[2], "skipped", m[3], false})
		default:
			end()
			s.Passed++
		}
	}
	end()
	plan := tapPlan.FindStringSubmatch(out)
	if plan == nil {
		return errors.New("the suite printed no plan")
	}
	if n, _ := strconv.Atoi(plan[1]); n != s.Passed+s.Failed+s.Skipped {
		return fmt.Errorf("the suite wanted to run %s tests and told of %d", plan[1], s.Passed+s.Failed+s.Skipped)
	}
	return nil
}
