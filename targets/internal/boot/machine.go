package boot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"drydock/targets/internal/run"
	"drydock/targets/internal/smoke"

	"golang.org/x/sys/unix"
)

// Machine is one that is started.
type Machine struct {
	Target    *Target
	Kernel    Kernel
	Contents  Contents
	Cgroup    string // v1, v2, hybrid, or none: mounted before the service starts
	Memory    int    // MB
	Initramfs bool   // the first root is the only one
	Disk      string // an image with a file system for the root; empty for a root in memory
	Root      Root   // another root than busybox's, for a machine with a disk
	// Accelerator is qemu's: see the function of that name.
	Accelerator string
	// CutIn is the step in which the machine loses its power, CutAfter after its beginning; empty for none.
	CutIn    string
	CutAfter time.Duration
	Work     string // a directory of this machine alone: its first root, and what it printed
}

// Cgroups are the layouts that a machine can be started with.
var Cgroups = []string{"v1", "v2", "hybrid", "none"}

// KnownCgroup returns an error for a layout that is none of Cgroups.
func KnownCgroup(name string) error {
	if !slices.Contains(Cgroups, name) {
		return fmt.Errorf("-cgroup: got %q, want one of %s", name, strings.Join(Cgroups, ", "))
	}
	return nil
}

// Accelerator returns what qemu can run a machine with here: kvm where that can run a machine of this processor's, else
// tcg. The error is a *smoke.Refusal where there is no qemu. work is a directory for the trial.
func (t *Target) Accelerator(ctx context.Context, work string) (string, error) {
	if _, err := run.LookPath(t.qemu(), env()); err != nil {
		return "", &smoke.Refusal{Why: "there is no " + t.qemu() + " (Debian: " + t.debian + "): nothing was booted"}
	}
	if !t.pc() || !t.Native() {
		return "tcg", nil
	}
	if unix.Access("/dev/kvm", unix.R_OK|unix.W_OK) != nil {
		return "tcg", nil
	}
	// It may be there and refuse, or never come back: a boot sector that ends the machine shows it.
	sector := make([]byte, 512)
	copy(sector, "\xb0\x10\xe6\xf4\xf4") // mov $0x10, %al; out %al, $0xf4; hlt
	copy(sector[510:], "\x55\xaa")
	disk := filepath.Join(work, "kvm.img")
	if err := os.WriteFile(disk, sector, 0o644); err != nil {
		return "", err
	}
	defer os.Remove(disk)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	argv := []string{t.qemu(), "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-accel", "kvm",
		"-cpu", "host", "-m", "64", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", "-drive",
		"format=raw,file=" + disk}
	err := run.Cmd{Argv: argv, Dir: work, Env: env()}.Run(ctx)
	if e := (*run.Error)(nil); errors.As(err, &e) && e.Code == 0x10<<1|1 {
		return "kvm", nil
	}
	return "tcg", nil
}

func env() []string { return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"} }

// argv is qemu's command line. The first serial line is the console, into a file; the second brings results to standard
// output.
func (m Machine) argv(initrd string) []string {
	cpu := "host"
	if m.Accelerator == "tcg" {
		cpu = m.Target.cpu
	}
	line := "console=" + m.Target.console + " panic=-1 loglevel=4 cgroup_enable=memory swapaccount=1 " +
		"drydock.cgroup=" + m.Cgroup
	if m.Initramfs {
		line += " drydock.root=initramfs"
	}
	if m.Root.Path != "" {
		line += fmt.Sprintf(" drydock.tar=%d", m.Root.Size)
		if m.Cgroup != "v2" { // how systemd is told
			line += " systemd.unified_cgroup_hierarchy=0"
		}
		if m.Cgroup == "v1" {
			line += " systemd.legacy_systemd_cgroup_controller=1"
		}
	}
	argv := []string{m.Target.qemu(), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", m.Target.machine, "-accel", m.Accelerator, "-cpu", cpu,
		"-smp", "2", "-m", strconv.Itoa(m.Memory), "-kernel", m.Kernel.Image, "-initrd", initrd, "-append", line}
	argv = append(append(argv, m.Target.serial(m.console())...), "-device", "virtio-rng-pci", "-pidfile", m.pidFile())
	if m.Disk != "" {
		argv = append(argv, "-drive", "if=virtio,format=raw,file="+m.Disk)
	}
	if m.Root.Path != "" {
		argv = append(argv, "-drive", "if=virtio,format=raw,readonly=on,file="+m.Root.Path)
	}
	return argv
}

// newDisk makes an image with an empty ext4 file system of so many MB; it takes no space until it is written to. The
// error has what mke2fs said.
func newDisk(ctx context.Context, file string, mb int) error {
	// What the ext4 of Linux 3.10 knows, whatever the mke2fs here would choose.
	const features = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,flex_bg,sparse_super," +
		"large_file,huge_file,dir_nlink,extra_isize"
	argv := []string{"mke2fs", "-q", "-F", "-t", "ext4", "-O", features, file, strconv.Itoa(mb) + "M"}
	e := env()
	e[0] += ":/usr/sbin:/sbin"
	out, err := run.Cmd{Argv: argv, Dir: filepath.Dir(file), Env: e}.Output(ctx)
	if err != nil {
		return fmt.Errorf("a disk for the machine (mke2fs is e2fsprogs'): %w: %s", err, out)
	}
	return nil
}

// Root is a root file system in a tar archive, plain or compressed by gzip.
type Root struct {
	Path string
	Size int64 // bytes
}

// RootIn returns the root in that archive. It fails on a file that begins neither as a tar nor as gzip.
func RootIn(file string) (Root, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return Root{}, err
	}
	head, err := os.Open(path)
	if err != nil {
		return Root{}, err
	}
	defer head.Close()
	fi, err := head.Stat()
	if err != nil {
		return Root{}, err
	}
	b := make([]byte, 262)
	if _, err := io.ReadFull(head, b); err != nil || string(b[257:]) != "ustar" && string(b[:2]) != "\x1f\x8b" {
		return Root{}, fmt.Errorf("%s: want a tar archive of a root file system, plain or compressed by gzip", file)
	}
	return Root{Path: path, Size: fi.Size()}, nil
}

// copyDisk makes a copy of an image, holes and all; it fails where a file cannot be read or written.
func copyDisk(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	end, err := in.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	for at := int64(0); ; {
		data, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // a hole to the end
			return errors.Join(out.Truncate(end), out.Close())
		} else if err != nil {
			return err
		}
		if at, err = unix.Seek(int(in.Fd()), data, unix.SEEK_HOLE); err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, data), io.NewSectionReader(in, data, at-data)); err != nil {
			return err
		}
	}
}

// Start boots the machine with an order, and calls each with the rows that it reports. It returns when the machine is
// off. It fails where the machine ended, or was silent, before the last row; not on rows that failed.
func (m Machine) Start(ctx context.Context, o Order, each func(smoke.Result)) error {
	order, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(m.Work, 0o755); err != nil {
		return err
	}
	initrd := filepath.Join(m.Work, "initrd.cpio")
	if err := writeImage(initrd, m.Target, m.Kernel, m.Contents, order); err != nil {
		return err
	}
	defer os.Remove(initrd)
	off, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := fmt.Errorf("the machine said nothing for %s", silence)
	alive := time.AfterFunc(silence, func() { cancel(silent) })
	defer alive.Stop()
	var cut atomic.Bool
	var timer *time.Timer
	defer func() {
		if timer != nil {
			timer.Stop() // a cut that comes late must not meet the next machine
		}
	}()
	in := &reports{
		each:  each,
		done:  func() { time.AfterFunc(offGrace, func() { cancel(nil) }) },
		works: func() { alive.Reset(silence) },
		begins: func(step string) {
			if step == m.CutIn {
				timer = time.AfterFunc(m.CutAfter, func() {
					cut.Store(true) // before it: the machine's end is seen at once
					if m.kill() != nil {
						cut.Store(false)
					}
				})
			}
		},
	}
	err = run.Cmd{Argv: m.argv(initrd), Dir: m.Work, Env: env(), Out: in}.Run(off)
	switch {
	case cut.Load():
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case in.ended: // one that does not switch itself off was ended
		return nil
	case in.failure != "":
		return errors.New(in.failure)
	default:
		return fmt.Errorf("the machine ended before its last row: %w: see %s", errors.Join(err, errors.New(in.last())),
			m.console())
	}
}

// silence is how long a machine may take for one row, and offGrace for switching itself off.
const (
	silence  = time.Hour
	offGrace = 5 * time.Minute
)

// kill takes the machine's power away: nothing in it can be written any more.
func (m Machine) kill() error {
	data, err := os.ReadFile(m.pidFile())
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid < 2 {
		return fmt.Errorf("%s: got %q, want a process", m.pidFile(), data)
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

func (m Machine) console() string { return filepath.Join(m.Work, "console.log") }
func (m Machine) pidFile() string { return filepath.Join(m.Work, "machine.pid") }

// reports takes apart what comes from the machine's second serial line: a line of JSON each. What qemu itself says is
// kept.
type reports struct {
	each    func(smoke.Result)
	done    func()
	begins  func(step string)
	works   func() // a message came
	rest    []byte
	said    []byte
	ended   bool
	failure string
}

func (r *reports) Write(p []byte) (int, error) {
	r.rest = append(r.rest, p...)
	for {
		line, rest, found := bytes.Cut(r.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		r.rest = rest
		var m message
		if err := json.Unmarshal(line, &m); err != nil {
			r.said = append(append(r.said, line...), '\n')
			continue
		}
		r.works()
		switch {
		case m.Row != nil:
			r.each(*m.Row)
		case m.Begins != "":
			r.begins(m.Begins)
		case m.Fatal != "":
			r.failure = m.Fatal
		case m.Done:
			r.ended = true
			r.done()
		}
	}
}

func (r *reports) last() string { return string(r.said) + string(r.rest) }
