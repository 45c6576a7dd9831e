package boot

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/smoke"
	"drydock/targets/internal/testlong"
)

func try(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// made is an object file with nothing but a section .modinfo.
func made(info string) []byte {
	const names = "\x00.modinfo\x00.shstrtab\x00"
	le := binary.LittleEndian
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...)
	for _, v := range []uint16{1, 62} {
		b = le.AppendUint16(b, v)
	}
	b = le.AppendUint32(b, 1)
	at := uint64(64)
	for _, v := range []uint64{0, 0, at + uint64(len(info)+len(names))} {
		b = le.AppendUint64(b, v)
	}
	b = le.AppendUint32(b, 0)
	for _, v := range []uint16{64, 0, 0, 64, 3, 2} {
		b = le.AppendUint16(b, v)
	}
	b = append(append(b, info...), names...)
	section := func(name, kind uint32, from, size uint64) {
		b = le.AppendUint32(le.AppendUint32(b, name), kind)
		for _, v := range []uint64{0, 0, from, size} {
			b = le.AppendUint64(b, v)
		}
		b = append(b, make([]byte, 8)...)
		b = le.AppendUint64(le.AppendUint64(b, 1), 0)
	}
	section(0, 0, 0, 0)
	section(1, 1, at, uint64(len(info)))
	section(10, 3, at+uint64(len(info)), uint64(len(names)))
	return b
}

func modulesIn(t *testing.T) string {
	dir := t.TempDir()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(made("depends=nf_defrag,nf-base\x00"))
	try(t, w.Close(), os.MkdirAll(filepath.Join(dir, "kernel/net"), 0o755))
	for name, data := range map[string][]byte{
		"kernel/net/iptable_nat.ko": made("license=GPL\x00depends=nf_nat,ip_tables\x00"),
		"kernel/net/nf_nat.ko.gz":   z.Bytes(),
		"kernel/net/nf-base.ko":     made("depends=\x00softdep=pre: crc-made post: later\x00"),
		"kernel/net/nf_defrag.ko":   made("depends=built_in\x00"),
		"kernel/crc-made.ko":        made(""), "kernel/later.ko": made(""),
		"kernel/net/ip_tables.ko": made("depends=nf_nat\x00"),
	} {
		try(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	return dir
}

func TestModulesComeAfterWhatTheyNeed(t *testing.T) {
	ms, err := loadable(modulesIn(t), []string{"iptable_nat", "not_here", "nf_nat"})
	try(t, err)
	var got []string
	for _, m := range ms {
		got = append(got, m.name)
	}
	want := []string{"nf_defrag", "crc_made", "nf_base", "nf_nat", "ip_tables", "iptable_nat"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if !bytes.HasPrefix(ms[3].data, []byte("\x7fELF")) {
		t.Error("a compressed module is not unpacked")
	}
}

func TestAModuleThatCannotBeReadIsNamed(t *testing.T) {
	for name, data := range map[string]string{"odd.ko": "not a module", "odd.ko.zst": "", "odd.ko.gz": "no gzip"} {
		dir := t.TempDir()
		file := filepath.Join(dir, name)
		try(t, os.WriteFile(file, []byte(data), 0o644))
		if _, err := loadable(dir, []string{"odd"}); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: got %v, want an error that names it", name, err)
		}
	}
}

// unpacked reads what writeCpio wrote: name → mode in octal, and content.
func unpacked(t *testing.T, b []byte) map[string][2]string {
	all := map[string][2]string{}
	for len(b) > 110 {
		field := func(i int) int {
			n, err := strconv.ParseUint(string(b[6+8*i:14+8*i]), 16, 32)
			try(t, err)
			return int(n)
		}
		if string(b[:6]) != "070701" {
			t.Fatalf("got the magic %q", b[:6])
		}
		mode, size, nameSize := field(1), field(6), field(11)
		name, from := string(b[110:110+nameSize-1]), (110+nameSize+3)&^3
		if name == "TRAILER!!!" {
			return all
		}
		if _, twice := all[name]; twice {
			t.Errorf("%s: is there twice", name)
		}
		all[name] = [2]string{strconv.FormatInt(int64(mode), 8), string(b[from : from+size])}
		b = b[(from+size+3)&^3:]
	}
	t.Fatal("no trailer")
	return nil
}

func TestAnInitramfsHasItsFilesAndTheDirectoriesAboveThem(t *testing.T) {
	var b bytes.Buffer
	try(t,
		writeCpio(&b,
			[]archive.Entry{{Name: "init", Data: []byte("#!/bin/sh\n"), Mode: 0o755},
				{Name: "tree/etc/hosts", Data: []byte("abcde"), Mode: 0o644},
				{Name: "tree/sbin/init", Link: "../bin/busybox"}}))
	want := map[string][2]string{"tree": {"40755", ""}, "tree/etc": {"40755", ""}, "tree/sbin": {"40755", ""},
		"init": {"100755", "#!/bin/sh\n"}, "tree/etc/hosts": {"100644", "abcde"},
		"tree/sbin/init": {"120777", "../bin/busybox"}}
	got := unpacked(t, b.Bytes())
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s: got %q, want %q", name, got[name], w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d entries, want %d", len(got), len(want))
	}
	if cpio, err := exec.LookPath("cpio"); err == nil { // another's reading of the form
		cmd := exec.Command(cpio, "-t", "--quiet")
		cmd.Stdin = bytes.NewReader(b.Bytes())
		out, err := cmd.CombinedOutput()
		if lines := strings.Fields(string(out)); err != nil || len(lines) != len(want) {
			t.Errorf("cpio -t: got %q, %v", out, err)
		}
	}
}

func TestTheMachinesRootHasWhatItIsGiven(t *testing.T) {
	dir := modulesIn(t)
	file := filepath.Join(dir, "some")
	try(t, os.WriteFile(file, []byte("content"), 0o644))
	es, err := image(targets[0], Kernel{Release: "3.10.0", Modules: dir, Config: file},
		Contents{Busybox: file, Runner: file, Guest: file, Package: file}, []byte(`{"steps":[]}`))
	try(t, err)
	var b bytes.Buffer
	try(t, writeCpio(&b, es))
	got := unpacked(t, b.Bytes())
	for name, want := range map[string]string{"tree/srv/order.json": `{"steps":[]}`,
		"tree/boot/config-3.10.0": "content", "tree/srv/package.tar.gz": "content", "tree/srv/drydock-boot": "runner"} {
		if got[name][1] != want {
			t.Errorf("%s: got %q, want %q", name, got[name][1], want)
		}
	}
	order := strings.Fields(got["modules/order"][1])
	if slices.Index(order, "nf_nat.ko") > slices.Index(order, "iptable_nat.ko") || got["modules/nf_nat.ko"][1] == "" {
		t.Errorf("modules: got %q", order)
	}
	if _, there := got["tree/srv/to.tar.gz"]; there {
		t.Error("a second package is there that nobody gave")
	}
}

func TestResultsAreToldFromWhatQemuSays(t *testing.T) {
	var rows []string
	r := &reports{each: func(x smoke.Result) { rows = append(rows, x.Name+" "+x.Verdict) }, done: func() {},
		works: func() {}, begins: func(step string) { rows = append(rows, "begins "+step) }}
	text := "qemu: a warning\r\n" + `{"begins":"run"}` + "\n" +
		`{"row":{"name":"run","verdict":"passed","seconds":1}}` + "\r\n" +
		`{"row":{"name":"exec","verdict":"failed","seconds":1}}` + "\n" + `{"done":true}` + "\n"
	for _, b := range []byte(text) {
		r.Write([]byte{b})
	}
	if !slices.Equal(rows, []string{"begins run", "run passed", "exec failed"}) ||
		!r.ended || r.last() != "qemu: a warning\r\n" {
		t.Errorf("got rows %q, ended %t, said %q", rows, r.ended, r.last())
	}
}

func TestAKernelsReleaseIsInItsHeader(t *testing.T) {
	b := make([]byte, 0x1000)
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x20e:], 0x600)
	copy(b[0x800:], "3.10.0-1160.el7.x86_64 (mockbuild@x) #1 SMP\x00")
	if got, err := releaseOfPC(bytes.NewReader(b)); err != nil || got != "3.10.0-1160.el7.x86_64" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := releaseOfPC(strings.NewReader("\x7fELF, a vmlinux")); err == nil ||
		!strings.Contains(err.Error(), "bzImage") {
		t.Errorf("not a bzImage: got %v", err)
	}
	if _, err := targets[0].Find("2.4"); err == nil || !strings.Contains(err.Error(), "6.1") {
		t.Errorf("a series that is not known: got %v, want those that are", err)
	}
}

func TestAnARMKernelsReleaseIsInWhatItSays(t *testing.T) {
	t.Parallel()
	const says = "\x00%s version %s\x00Linux version 4.4.302+ (build@nas) #1 SMP\n\x00"
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write([]byte(says))
	try(t, w.Close())
	for name, data := range map[string]string{"Image": says, "Image.gz": z.String(),
		"zImage": "\x1f\x8b\x08 decompressor" + z.String() + "\x00\x00\x00\x00tail"} {
		if got, err := releaseOfARM(strings.NewReader(data)); err != nil || got != "4.4.302+" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for _, data := range []string{"", "a text", "Linux version %s (%s)"} {
		if got, err := releaseOfARM(strings.NewReader(data)); err == nil || !strings.Contains(err.Error(), "zImage") {
			t.Errorf("%q: got %q, %v, want an error that says what is wanted", data, got, err)
		}
	}
}

func TestAMachineIsOfTheArchitecture(t *testing.T) {
	t.Parallel()
	for arch, want := range map[string][]string{
		"amd64": {"qemu-system-x86_64 ", "-machine pc ", "console=ttyS0 ", "-serial stdio"},
		"arm64": {"qemu-system-aarch64 ", "-machine virt ", "console=ttyAMA0 ", "-device virtconsole,"},
		"armv7": {"qemu-system-arm ", "-machine virt,highmem=off ", "console=ttyAMA0 ", "-device virtconsole,"},
	} {
		target, err := TargetOf(arch)
		try(t, err)
		line := strings.Join(Machine{Target: target, Accelerator: "tcg", Work: "/w"}.argv("/w/initrd"), " ")
		for _, w := range want {
			if !strings.Contains(line, w) {
				t.Errorf("%s: got %q, want %q in it", arch, line, w)
			}
		}
		for _, s := range append(slices.Clone(target.Kernels), target.Busybox) {
			if !strings.HasSuffix(s.Path, "_"+target.Debian+".deb") || len(s.SHA256) != 64 || s.Size == 0 {
				t.Errorf("%s: got the source %+v, want a package of %s", arch, s, target.Debian)
			}
		}
	}
	if _, err := TargetOf("mips"); err == nil || !strings.Contains(err.Error(), "armv7") {
		t.Errorf("an architecture that is not known: got %v, want those that are", err)
	}
}

func TestWithoutQemuNothingIsBooted(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, target := range targets {
		_, err := target.Accelerator(context.Background(), t.TempDir())
		if r := (*smoke.Refusal)(nil); !errors.As(err, &r) || !strings.Contains(err.Error(), target.qemu()) {
			t.Errorf("got %v, want a refusal that names %s", err, target.qemu())
		}
	}
}

func TestTheCommandLineIsOfAnOldMachineToo(t *testing.T) {
	m := Machine{Target: targets[0], Kernel: Kernel{Image: "vmlinuz"}, Cgroup: "v2", Memory: 1024,
		Accelerator: "tcg", Work: "/w"}
	line := strings.Join(m.argv("/w/initrd"), " ")
	for _, want := range []string{"-kernel vmlinuz", "-initrd /w/initrd", "drydock.cgroup=v2", "-accel tcg -cpu qemu64",
		"-serial stdio", "-m 1024"} {
		if !strings.Contains(line, want) {
			t.Errorf("got %q, want %q in it", line, want)
		}
	}
	if strings.Contains(line, "-drive") {
		t.Errorf("got %q, want no disk", line)
	}
	m.Disk = "/w/disk"
	if line := strings.Join(m.argv("/w/initrd"), " "); !strings.Contains(line, "if=virtio,format=raw,file=/w/disk") {
		t.Errorf("got %q, want the disk", line)
	}
}

// TestLongAKernelBootsFromMemoryAndFromADisk boots the distribution's kernels where they were fetched.
func TestLongAKernelBootsFromMemoryAndFromADisk(t *testing.T) {
	testlong.Skip(t)
	for _, target := range targets {
		t.Run(target.Name, func(t *testing.T) { boots(t, target) })
	}
}

func boots(t *testing.T, target *Target) {
	const sources = "../../../vendor-sources/"
	debs := map[string]string{}
	for _, s := range []Source{target.Kernels[0], target.Busybox} {
		file := filepath.Join(sources, filepath.Base(s.Path))
		if !isThere(file) {
			t.Skip("fetched by \"mage boot\": " + file)
		}
		r, err := archive.Open(file, "deb")
		try(t, err)
		dir := t.TempDir()
		try(t, archive.ExtractOnly(r, dir, 0, nil), r.Close())
		debs[s.Name] = dir
	}
	work := t.TempDir()
	accelerator, err := target.Accelerator(t.Context(), work)
	if r := (*smoke.Refusal)(nil); errors.As(err, &r) {
		t.Skip(err)
	}
	try(t, err)
	runner, err := target.Runner(t.Context(), "../../..", work)
	try(t, err)
	if target.Native() { // this test's own file may need libraries
		runner = filepath.Join(work, "runner")
		build := exec.Command("go", "test", "-c", "-o", runner, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	k, err := target.Unpacked(debs[target.Kernels[0].Name])
	try(t, err)
	busybox, err := busyboxIn(debs[target.Busybox.Name])
	try(t, err)
	disk := filepath.Join(work, "disk")
	disks := []string{"", disk, disk} // the second time it is the root that the first made
	if err := newDisk(t.Context(), disk, 256); err != nil {
		t.Log(err)
		disks = disks[:1]
	}
	for _, disk := range disks {
		var rows []smoke.Result
		m := Machine{Target: target, Kernel: k, Contents: Contents{Busybox: busybox, Runner: runner}, Cgroup: "v1",
			Memory: 512, Accelerator: accelerator, Disk: disk, Work: work}
		err := m.Start(t.Context(), Order{Steps: []string{"machine"}}, func(r smoke.Result) { rows = append(rows, r) })
		if err != nil || len(rows) != 1 || rows[0].Verdict != smoke.Passed ||
			!strings.Contains(rows[0].Detail, k.Release) {
			console, _ := os.ReadFile(filepath.Join(work, "console.log"))
			t.Fatalf("disk %q: got %+v, %v; console: %s", disk, rows, err, console[max(0, len(console)-2000):])
		}
	}
}

func TestAPowerCutEndsTheMachineAtOnceAndNothingElse(t *testing.T) {
	m := Machine{Work: t.TempDir()}
	for _, text := range []string{"", "1\n", "-1\n", "words"} { // those would be others
		try(t, os.WriteFile(m.pidFile(), []byte(text), 0o644))
		if err := m.kill(); err == nil {
			t.Errorf("the process %q: got no error", text)
		}
	}
	cmd := exec.Command("sleep", "600")
	try(t, cmd.Start(), os.WriteFile(m.pidFile(), []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o644), m.kill())
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
		t.Errorf("got %v, want it killed", err)
	}
}

func TestADisksCopyHasItsDataAndItsHoles(t *testing.T) {
	t.Parallel()
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	f, err := os.Create(from)
	try(t, err)
	const size = 64 << 20
	for _, at := range []int64{0, 8 << 20, size / 2} {
		_, err := f.WriteAt(bytes.Repeat([]byte{1, byte(at >> 20)}, 3000), at)
		try(t, err)
	}
	try(t, f.Truncate(size), f.Close(), os.WriteFile(to, bytes.Repeat([]byte("older"), 100), 0o644), copyDisk(to, from))
	want, err := os.ReadFile(from)
	try(t, err)
	got, err := os.ReadFile(to)
	try(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("got %d bytes that differ, want the %d of the disk", len(got), len(want))
	}
	var st syscall.Stat_t
	if try(t, syscall.Stat(to, &st)); st.Blocks*512 > size/4 {
		t.Errorf("got %d bytes on the file system, want the holes kept", st.Blocks*512)
	}
}

func TestARootIsATarArchive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, c := range map[string]struct {
		data []byte
		ok   bool
	}{
		"root.tar":    {append(make([]byte, 257), "ustar\x0000"...), true},
		"root.tar.gz": {append([]byte("\x1f\x8b"), make([]byte, 300)...), true},
		"root.tar.xz": {append([]byte("\xfd7zXZ"), make([]byte, 300)...), false},
		"empty":       {nil, false},
	} {
		file := filepath.Join(dir, name)
		try(t, os.WriteFile(file, c.data, 0o644))
		r, err := RootIn(file)
		if c.ok != (err == nil) || !c.ok && !strings.Contains(err.Error(), file) ||
			c.ok && r.Size != int64(len(c.data)) {
			t.Errorf("%s: got %+v, %v", name, r, err)
		}
	}
	m := Machine{Target: targets[0], Cgroup: "v1", Work: dir, Disk: "/w/disk",
		Root: Root{Path: "/w/root.tar", Size: 10240}}
	line := strings.Join(m.argv("/w/initrd"), " ")
	for _, want := range []string{"drydock.tar=10240", "systemd.unified_cgroup_hierarchy=0",
		"readonly=on,file=/w/root.tar"} {
		if !strings.Contains(line, want) {
			t.Errorf("got %q, want %q in it", line, want)
		}
	}
}
