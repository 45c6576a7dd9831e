package install

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"drydock/targets/internal/testlong"
	"drydock/targets/internal/testprog"
)

var commands = []string{"containerd", "containerd-shim-runc-v2", "ctr", "docker", "docker-init", "docker-proxy",
	"dockerd", "runc"}

// script is as much of a check-config.sh as the table wants to see.
func script() []byte {
	var b strings.Builder
	b.WriteString("echo 'Generally Necessary:'\ncheck_flags NAMESPACES VETH IP_NF_FILTER\n")
	b.WriteString("if [ \"$kernelMajor\" -lt 4 ] || ([ \"$kernelMajor\" -eq 4 ] && [ \"$kernelMinor\" -lt 8 ]); " +
		"then\n\tcheck_flags OLD_ONE\nfi\n")
	b.WriteString("if [ \"$kernelMajor\" -ge 5 ] || ([ \"$kernelMajor\" -eq 4 ] && [ \"$kernelMinor\" -ge 15 ]); " +
		"then\n\tcheck_flags NEW_ONE\nfi\n")
	b.WriteString("echo 'Optional Features:'\ncheck_flags")
	for i := range 40 {
		fmt.Fprintf(&b, " OPTION_%d", i)
	}
	b.WriteString("\n")
	return []byte(b.String())
}

var checker = sync.OnceValues(func() (string, error) { return built("./check") })

// built is a compiled program.
func built(dir string) (string, error) {
	to, err := os.MkdirTemp("", "drydock-check-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(to)
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", to+"/program", dir)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	data, err := os.ReadFile(to + "/program")
	return string(data), err
}

// kit is a place to install into, and how.
type kit struct {
	t     *testing.T
	root  string
	shell []string
	path  string
}

func newKit(t *testing.T, shell ...string) *kit {
	if len(shell) == 0 {
		shell = []string{"sh"}
	}
	root := t.TempDir()
	for _, d := range []string{"etc/init.d", "etc/cron.hourly"} {
		must(t, os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	must(t, os.WriteFile(root+"/etc/group", []byte("root:x:0:\nusers:x:999:\n"), 0o644))
	return &kit{t, root, shell, commonPath()}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// unpacked makes a package of that version and gives its directory. change may spoil or add files before they are
// listed.
func unpacked(t *testing.T, version string, change ...func(files map[string]string)) string {
	t.Helper()
	dir := t.TempDir()
	es, err := Files(Profile{Version: version, Docker: version, Kernel: "3.10", Arch: "amd64", Commands: commands,
		KernelScript: script()})
	must(t, err)
	helper, err := checker()
	must(t, err)
	files := map[string]string{"manifest.json": "{}\n", CheckName: helper, "licenses/runc/LICENSE": "Apache\n"}
	exec := map[string]bool{CheckName: true}
	for _, e := range es {
		files[e.Name], exec[e.Name] = string(e.Data), e.Mode == 0o755
	}
	for _, c := range commands {
		files["docker/"+c] = "#!/bin/sh\necho " + c + " " + version + "\n"
		exec["docker/"+c] = true
	}
	files["docker/dockerd"] += "case $* in --validate*) if grep -q bad-" + version + " ${2#*=}; then echo no such " +
		"key >&2; exit 1; fi;; esac\n"
	for _, c := range change {
		c(files)
	}
	var sums []string
	for name, data := range files {
		file := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		if exec[name] || strings.HasPrefix(name, "iptables/") || strings.HasPrefix(name, "dbus/dbus-") ||
			strings.HasPrefix(name, "docker/cli-plugins/") {
			must(t, testprog.Write(file, data))
		} else {
			must(t, os.WriteFile(file, []byte(data), 0o644))
		}
		sums = append(sums, fmt.Sprintf("%x  %s\n", digestOf(data), name))
	}
	slices.SortFunc(sums, func(a, b string) int { return strings.Compare(a[66:], b[66:]) })
	must(t, os.WriteFile(dir+"/SHA256SUMS", []byte(strings.Join(sums, "")), 0o644))
	return dir
}

var digests sync.Map // of the large files, which are in each package

func digestOf(data string) [sha256.Size]byte {
	if len(data) < 1<<20 {
		return sha256.Sum256([]byte(data))
	}
	d, ok := digests.Load(data)
	if !ok {
		d, _ = digests.LoadOrStore(data, sha256.Sum256([]byte(data)))
	}
	return d.([sha256.Size]byte)
}

// commonPath is this machine's PATH, with the applets of a busybox before all, which start in half the time. Its sync
// does nothing: it would wait for the disks of everybody.
var commonPath = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "drydock-path-")
	if err == nil {
		err = testprog.Write(dir+"/sync", "#!/bin/sh\n")
	}
	if err != nil {
		return os.Getenv("PATH")
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return dir + ":" + os.Getenv("PATH")
	}
	list, _ := exec.Command(busybox, "--list").Output()
	for n := range strings.FieldsSeq(string(list)) {
		if !slices.Contains([]string{"sh", "ash", "mount", "umount"}, n) { // scripts of tests mount as util-linux does
			os.Symlink(busybox, filepath.Join(dir, n)) // sync is there
		}
	}
	return dir + ":" + os.Getenv("PATH")
})

// notShort skips what takes more than a moment, by -short. One life of an install is left.
func notShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes more than a moment")
	}
}

// installed is a root in which packages were installed once, for all tests that begin with them.
type installed struct {
	sync.Once
	root string
}

var installedRoots sync.Map

// ready is a place in which these packages were installed, one after the other.
func ready(t *testing.T, dirs ...string) *kit {
	t.Helper()
	notShort(t)
	k := newKit(t)
	var lists strings.Builder
	for _, d := range dirs {
		data, err := os.ReadFile(d + "/SHA256SUMS")
		must(t, err)
		lists.Write(append(data, '\n'))
	}
	v, _ := installedRoots.LoadOrStore(lists.String(), &installed{})
	shared := v.(*installed)
	first := false
	shared.Do(func() {
		first = true
		for _, d := range dirs {
			k.ok(d)
		}
		dir, _, _ := strings.Cut(commonPath(), ":")
		root, err := os.MkdirTemp(dir, "root-") //nolint:usetesting // it is of all tests
		must(t, err)
		copyTree(t, k.root, root)
		shared.root = root
	})
	if first {
		return k
	}
	if shared.root == "" {
		t.Fatalf("%v: could not be installed (see another test)", dirs)
	}
	copyTree(t, shared.root, k.root)
	return k
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _, _ := strings.Cut(commonPath(), ":"); strings.Contains(dir, "drydock-path-") {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// run runs a package's install.sh.
func (k *kit) run(dir string, args ...string) (string, int) {
	k.t.Helper()
	if !strings.HasSuffix(k.t.Name(), "/busybox") {
		notShort(k.t)
	}
	argv := slices.Concat(k.shell, []string{filepath.Join(dir, "install.sh"), "--root=" + k.root}, args)
	if !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--kernel") }) {
		argv = append(argv, "--no-kernel-check")
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=" + k.path, "TMPDIR=" + k.t.TempDir(), "HOME=/"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a test may kill the group
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		k.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// ok is run, which must succeed, and gives what it said.
func (k *kit) ok(dir string, args ...string) string {
	k.t.Helper()
	out, code := k.run(dir, args...)
	if code != 0 {
		k.t.Fatalf("install.sh %v: exit code %d:\n%s", args, code, out)
	}
	return out
}

// refused is run, which must end with that code and say that, and changes nothing.
func (k *kit) refused(code int, says, dir string, args ...string) {
	k.t.Helper()
	before := k.tree()
	out, got := k.run(dir, args...)
	if got != code || !strings.Contains(out, says) {
		k.t.Errorf("install.sh %v: got exit code %d, want %d and %q in:\n%s", args, got, code, says, out)
	}
	if after := k.tree(); after != before {
		k.t.Errorf("install.sh %v: it was refused, and yet the root changed:\n%s\nbefore:\n%s", args, after, before)
	}
}

// versions is what the eight commands say, each version once.
func (k *kit) versions() []string {
	var vs []string
	for _, c := range commands {
		out, err := exec.Command(filepath.Join(k.root, "usr/local/bin", c)).Output()
		name, v, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
		if err != nil || name != c {
			v = fmt.Sprintf("%s does not run: %v", c, err)
		}
		if !slices.Contains(vs, v) {
			vs = append(vs, v)
		}
	}
	return vs
}

func (k *kit) is(want string) {
	k.t.Helper()
	if got := k.versions(); len(got) != 1 || got[0] != want {
		k.t.Errorf("the commands are of version %q, want %q", got, want)
	}
}

func (k *kit) read(name string) string {
	k.t.Helper()
	data, err := os.ReadFile(filepath.Join(k.root, name))
	must(k.t, err)
	return string(data)
}

func (k *kit) write(name, data string) {
	k.t.Helper()
	must(k.t, os.MkdirAll(filepath.Dir(filepath.Join(k.root, name)), 0o755))
	must(k.t, os.WriteFile(filepath.Join(k.root, name), []byte(data), 0o644))
}

func (k *kit) has(name string) bool {
	_, err := os.Lstat(filepath.Join(k.root, name))
	return err == nil
}

// tree is every name below the root with what it holds, but for the empty directories of a first attempt.
func (k *kit) tree() string {
	var b strings.Builder
	filepath.WalkDir(k.root, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != ".locked" { // an empty file, which is locked and stays
			data, _ := os.ReadFile(p)
			link, _ := os.Readlink(p)
			fmt.Fprintf(&b, "%s %s %d %x\n", p, link, len(data), crc32.ChecksumIEEE(data))
		}
		return err
	})
	return b.String()
}

const daemonFile = "etc/docker/daemon.json"

// shells are those of this machine that stand for old ones.
func shells() map[string][]string {
	all := map[string][]string{"sh": {"sh"}}
	for name, argv := range map[string][]string{"dash": {"dash"}, "bash": {"bash", "--posix"},
		"busybox": {"busybox", "ash"}, "posh": {"posh"}, "mksh": {"mksh"}, "yash": {"yash", "--posixly-correct"},
		"ksh": {"ksh93"}} {
		if p, err := exec.LookPath(argv[0]); err == nil {
			all[name] = append([]string{p}, argv[1:]...)
		}
	}
	return all
}

// quick are the two strictest of the shells.
func quick() map[string][]string {
	all := shells()
	two := map[string][]string{}
	for _, name := range []string{"dash", "busybox"} {
		if all[name] != nil {
			two[name] = all[name]
		}
	}
	if len(two) == 0 {
		two["sh"] = all["sh"]
	}
	return two
}

// One life is enough where everybody runs the tests: in the strictest of the shells and with its commands, or, where no
// busybox is, in this machine's with old ones.
func TestInstallUpgradeRollBackUninstall(t *testing.T) {
	t.Parallel()
	name, shell := "busybox", shells()["busybox"]
	if shell == nil {
		name, shell = "sh", []string{"sh"}
	}
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		k := newKit(t, shell...)
		if name == "busybox" {
			k.path = applets(t, shell[0])
		} else {
			k.path = oldTools(t)
		}
		life(t, k)
	})
}

func TestLongInstallUpgradeRollBackUninstallInEveryShell(t *testing.T) {
	testlong.Skip(t)
	lives(t, shells())
}

// lives goes through a whole life in each of the shells, with this machine's commands and with old ones.
func lives(t *testing.T, shells map[string][]string) {
	for name, shell := range shells {
		for _, tools := range []string{"", "old"} {
			t.Run(name+tools, func(t *testing.T) {
				t.Parallel()
				k := newKit(t, shell...)
				switch {
				case name == "busybox" && tools == "old":
					k.path = applets(t, shell[0])
				case tools == "old":
					k.path = oldTools(t)
				}
				life(t, k)
			})
		}
	}
}

func life(t *testing.T, k *kit) {
	a, b, c := unpacked(t, "26.1.5"), unpacked(t, "28.5.2", plugin("hello", "28.5.2")), unpacked(t, "29.0.0",
		plugin("world", "29.0.0"))
	if out := k.ok(a); !strings.Contains(out, "docker 26.1.5") {
		t.Errorf("said %q", out)
	}
	k.is("26.1.5")
	if d := k.read(daemonFile); !strings.Contains(d, `"iptables": false`) || !strings.Contains(d, `"max-size":"10m"`) {
		t.Errorf("daemon.json: %s", d)
	}
	if g := k.read("etc/group"); !strings.Contains(g, "docker:x:998:\n") {
		t.Errorf("group: %s", g)
	}
	for _, f := range []string{"etc/init.d/docker", "etc/default/docker", "etc/cron.hourly/docker-log"} {
		if s := k.read(f); regexp.MustCompile("@[A-Z]+@").MatchString(s) {
			t.Errorf("%s: a place was not filled in:\n%s", f, s)
		}
	}
	if fi, err := os.Stat(k.root + "/etc/init.d/docker"); err != nil || fi.Mode().Perm() != 0o755 {
		t.Errorf("init script: %v %v", fi.Mode(), err)
	}
	before := k.tree()
	k.ok(a)
	if k.tree() != before {
		t.Errorf("a second time: not the same:\n%s\nwant\n%s", k.tree(), before)
	}
	k.refused(7, "no version before", a, "--rollback")

	k.write(daemonFile, "{\"debug\": true}\n")
	k.write("var/lib/docker/data", "precious")
	k.ok(b)
	k.is("28.5.2")
	k.plugins("hello 28.5.2")
	if k.read(daemonFile) != "{\"debug\": true}\n" {
		t.Error("the user's daemon.json was overwritten")
	}
	installed := filepath.Join(k.root, "usr/local/libexec/drydock/current")
	if out := k.ok(installed, "--status"); !strings.Contains(out, "installed: 28.5.2-") ||
		!strings.Contains(out, "before:    26.1.5-") {
		t.Errorf("status: %s", out)
	}
	k.ok(installed, "--rollback")
	k.is("26.1.5")
	k.plugins()
	k.ok(b, "--rollback") // from any package
	k.is("28.5.2")
	k.plugins("hello 28.5.2")
	k.ok(c)
	k.is("29.0.0")
	k.plugins("world 29.0.0")
	// current, 28.5.2, 29.0.0
	if left, _ := filepath.Glob(k.root + "/usr/local/libexec/drydock/[^.]*"); len(left) != 3 {
		t.Errorf("versions: %v", left)
	}
	k.ok(c, "--uninstall")
	for _, f := range []string{"usr/local/bin/docker", "etc/init.d/docker", "etc/default/docker",
		"etc/cron.hourly/docker-log", "usr/local/libexec/drydock", "usr/local/libexec/docker"} {
		if k.has(f) {
			t.Errorf("%s is still there", f)
		}
	}
	if k.read(daemonFile) != "{\"debug\": true}\n" || k.read("var/lib/docker/data") != "precious" {
		t.Error("what is the user's did not stay")
	}
	k.ok(c, "--uninstall")
}

// oldTools is a PATH as CentOS 4.3 has it: no sha256sum, mktemp, seq, getent; mv, cp and ln without -T, readlink
// without -f.
func oldTools(t *testing.T) string {
	dir := t.TempDir()
	for n := range strings.FieldsSeq("cat chmod cmp df diff du find grep gzip id ls mkdir rm rmdir sed sh sort tail " +
		"tr uname sleep printf true test [") {
		p, err := exec.LookPath(n)
		must(t, err)
		must(t, os.Symlink(p, filepath.Join(dir, n)))
	}
	wrap(t, dir, "sync", "")
	for _, n := range []string{"mv", "cp", "ln", "readlink"} {
		p, err := exec.LookPath(n)
		must(t, err)
		wrap(t, dir, n, `case " $*" in *" -T"*|*" -fT"*|*" -sfn"*|*" -f /"*readlink*|*" --"*)
	echo "`+n+`: invalid option" >&2; exit 1;; esac
[ `+n+` = readlink ] && case $1 in -*) exit 1;; esac
exec `+p+` "$@"`)
	}
	return dir
}

// applets is a PATH of busybox and nothing else.
func applets(t *testing.T, busybox string) string {
	dir := t.TempDir()
	out, err := exec.Command(busybox, "--list").Output()
	must(t, err)
	for n := range strings.FieldsSeq(string(out)) {
		must(t, os.Symlink(busybox, filepath.Join(dir, n)))
	}
	return dir
}

func wrap(t *testing.T, dir, name, body string) {
	t.Helper()
	must(t, testprog.Write(filepath.Join(dir, name), "#!/bin/sh\n"+body+"\n"))
}

func TestADryRunSaysWhatWouldBeDoneAndDoesNothing(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	a, b := unpacked(t, "26.1.5"), unpacked(t, "28.5.2")
	for _, step := range []struct {
		args []string
		says string
	}{
		{nil, "would write " + k.root + "/etc/docker/daemon.json"},
		{[]string{"--uninstall"}, "nothing is installed"},
	} {
		before := k.tree()
		if out := k.ok(a, append(step.args, "--dry-run")...); !strings.Contains(out, step.says) {
			t.Errorf("%v: got %s, want %q in it", step.args, out, step.says)
		}
		if k.tree() != before {
			t.Errorf("%v: it changed something", step.args)
		}
	}
	k = ready(t, a)
	before := k.tree()
	if out := k.ok(b, "--dry-run"); !strings.Contains(out, "would switch to 28.5.2-") {
		t.Errorf("upgrade: %s", out)
	}
	if out := k.ok(b, "--dry-run", "--uninstall"); !strings.Contains(out,
		"would remove "+k.root+"/usr/local/bin/runc") {
		t.Errorf("uninstall: %s", out)
	}
	if k.tree() != before {
		t.Error("it changed something")
	}
	k.is("26.1.5")
}

func TestDamageIsNamedAndNothingIsTouched(t *testing.T) { damaged(t, 3) }

func TestLongDamageOfEachKindIsNamedAndNothingIsTouched(t *testing.T) {
	testlong.Skip(t)
	damaged(t, 1)
}

// damaged tries each n-th kind of damage.
func damaged(t *testing.T, n int) {
	t.Parallel()
	flip := func(t *testing.T, file string, at int) {
		data, err := os.ReadFile(file)
		must(t, err)
		data[at] ^= 1
		must(t, testprog.Write(file, string(data)))
	}
	tools := map[string]string{"with sha256sum": commonPath(), "without": oldTools(t)}
	for how, path := range tools {
		for i, c := range []struct {
			says  string
			spoil func(t *testing.T, dir string)
		}{
			{"docker/runc: is not what SHA256SUMS says",
				func(t *testing.T, d string) { flip(t, d+"/docker/runc", 12) }},
			{"licenses/runc/LICENSE: is not what",
				func(t *testing.T, d string) { flip(t, d+"/licenses/runc/LICENSE", 0) }},
			{"docker/ctr", func(t *testing.T, d string) { must(t, os.Remove(d+"/docker/ctr")) }},
			{"docker/dockerd: is not what",
				func(t *testing.T, d string) { must(t, os.Truncate(d+"/docker/dockerd", 20)) }},
			{"SHA256SUMS", func(t *testing.T, d string) { must(t, os.Remove(d+"/SHA256SUMS")) }},
			{"SHA256SUMS", func(t *testing.T, d string) { flip(t, d+"/SHA256SUMS", 64) }},
			{"is there, but not listed", func(t *testing.T, d string) { flip(t, d+"/SHA256SUMS", 70) }},
			{"docker/runc: not listed", func(t *testing.T, d string) { must(t, os.Truncate(d+"/SHA256SUMS", 400)) }},
			{"extra: is there, but not listed",
				func(t *testing.T, d string) { must(t, os.WriteFile(d+"/extra", nil, 0o644)) }},
			{"init/profile", func(t *testing.T, d string) { must(t, os.Remove(d+"/init/profile")) }},
		} {
			if i%n != 0 {
				continue
			}
			k := newKit(t)
			k.path = path
			dir := unpacked(t, "26.1.5")
			c.spoil(t, dir)
			if how == "without" {
				if i < 4 { // the others are found before a digest is asked for
					k.says(c.says, dir, "sysv", `whole "$here"`)
				}
				continue
			}
			t.Log(how, c.says)
			k.refused(4, c.says, dir)
		}
	}
	k := ready(t, unpacked(t, "26.1.5"), unpacked(t, "28.5.2"))
	old, _ := filepath.Glob(k.root + "/usr/local/libexec/drydock/26.1.5-*/docker/runc")
	flip(t, old[0], 12)
	k.refused(4, "docker/runc: is not what", k.root+"/usr/local/libexec/drydock/current", "--rollback")
	k.is("28.5.2")
}

// TestAnUpgradeThatIsKilledLeavesOneWholeVersion kills the whole process group at one of the commands that change
// something: before it, or, for a copy, when half of it is written.
func TestAnUpgradeThatIsKilledLeavesOneWholeVersion(t *testing.T) {
	t.Parallel()
	killedAt(t, 1, "upgrade")
}

func TestLongAnUpgradeThatIsKilledAnywhereLeavesOneWholeVersion(t *testing.T) {
	testlong.Skip(t)
	killedAt(t, 25, "install", "upgrade", "rollback", "uninstall")
}

// killing is what is killed.
type killing struct {
	name      string
	before    []string // the packages that were installed before
	dir       string   // the package whose install.sh runs
	args      []string
	old, next string // the versions before and after
}

// killedAt kills each of these verbs at so many places that lie evenly between its first command and its last.
func killedAt(t *testing.T, places int, verbs ...string) {
	a, b := unpacked(t, "26.1.5"), unpacked(t, "28.5.2",
		func(f map[string]string) { f["init/daemon.json"] = "{\n  \"debug\": true\n}\n" })
	for _, v := range []killing{
		{"install", nil, a, nil, "", "26.1.5"},
		{"upgrade", []string{a}, b, nil, "26.1.5", "28.5.2"},
		{"rollback", []string{a, b}, b, []string{"--rollback"}, "28.5.2", "26.1.5"},
		{"uninstall", []string{a}, a, []string{"--uninstall"}, "26.1.5", ""},
	} {
		if !slices.Contains(verbs, v.name) {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			before := ready(t, v.before...)
			count := before.copied()
			path, called := killers(t, 0)
			count.path = path
			count.ok(v.dir, v.args...)
			all := called()
			if all < 2*places && all < 15 {
				t.Fatalf("only %d commands to be killed at: the test does not do what it says", all)
			}
			for i := range min(places, all) {
				at := 1 + (2*i+1)*(all-1)/(2*min(places, all))
				k := before.copied()
				k.path, _ = killers(t, at)
				out, code := k.run(v.dir, v.args...)
				k.path = commonPath()
				if code != -1 {
					t.Fatalf("killed at command %d of %d: exit code %d:\n%s", at, all, code, out)
				}
				v.finish(k, at)
			}
		})
	}
}

// copied is another place in which the same is installed.
func (k *kit) copied() *kit {
	k.t.Helper()
	root := k.t.TempDir()
	copyTree(k.t, k.root, root)
	return &kit{k.t, root, k.shell, k.path}
}

// finish runs what was killed again: then all is of one version, and nothing is left over.
func (v killing) finish(k *kit, at int) {
	t := k.t
	t.Helper()
	got := k.versions()
	if v.old != "" && v.next != "" && (len(got) != 1 || got[0] != v.old && got[0] != v.next) {
		t.Errorf("killed at command %d: the commands are of %q, want all of %s or all of %s", at, got, v.old, v.next)
	}
	if v.name == "rollback" && got[0] == v.next { // it is done: the rest comes with any next run
		k.ok(v.before[0])
	} else {
		k.ok(v.dir, v.args...)
	}
	if v.next == "" {
		if k.has("usr/local/libexec/drydock") || k.has("etc/init.d/docker") {
			t.Errorf("killed at command %d and run again: not all is gone: %s", at, k.tree())
		}
	} else {
		k.is(v.next)
		want := map[string]string{"26.1.5": "max-size", "28.5.2": "debug"}[v.next]
		if !strings.Contains(k.read(daemonFile), want) {
			t.Errorf("killed at command %d and run again: daemon.json is not that of %s: %s", at, v.next,
				k.read(daemonFile))
		}
	}
	if v.name == "upgrade" {
		k.ok(v.dir, "--rollback")
		k.is("26.1.5")
		if !strings.Contains(k.read(daemonFile), "max-size") {
			t.Errorf("killed at command %d, run again, rolled back: daemon.json: %s", at, k.read(daemonFile))
		}
	}
	if left, _ := filepath.Glob(k.root + "/etc/*/.*"); left != nil {
		t.Errorf("killed at command %d and run again: left %v", at, left)
	}
}

// killers is a PATH with commands of which the n-th one called, of all, kills its process group; called is how many
// were.
func killers(t *testing.T, n int) (path string, called func() int) {
	t.Helper()
	dir := t.TempDir()
	for _, c := range []string{"cat", "cp", "mv", "ln", "rm", "mkdir", "chmod", "rmdir"} {
		p, err := exec.LookPath(c)
		must(t, err)
		half := ""
		if c == "cat" {
			half = `head -c 30 "$1"; `
		}
		wrap(t, dir, c, fmt.Sprintf(`echo >>%[1]s/n
if [ $(wc -l <%[1]s/n) = %[2]d ]; then %[3]skill -9 0; fi
exec %[4]s "$@"`, dir, n, half, p))
	}
	return dir + ":" + commonPath(), func() int {
		data, err := os.ReadFile(filepath.Join(dir, "n"))
		must(t, err)
		return bytes.Count(data, []byte("\n"))
	}
}

func TestAKernelThatCannotRunItIsRefused(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	dir := unpacked(t, "26.1.5")
	config := func(options ...string) string {
		f := filepath.Join(t.TempDir(), "config")
		var b strings.Builder
		for _, o := range options {
			fmt.Fprintf(&b, "CONFIG_%s=y\n", o)
		}
		must(t, os.WriteFile(f, []byte(b.String()), 0o644))
		return "--kernel-config=" + f
	}
	k.refused(3, "kernel 2.6.32-754.el6.x86_64 is too old: docker 26.1.5 needs 3.10 or newer", dir,
		"--kernel-release=2.6.32-754.el6.x86_64")
	k.refused(3, "too old", dir, "--kernel-release=3.9.11")
	k.refused(3, "it lacks CONFIG_VETH CONFIG_OLD_ONE", dir, "--kernel-release=3.10.0-1160.el7.x86_64",
		config("NAMESPACES"))
	k.refused(3, "it lacks CONFIG_NEW_ONE (", dir, "--kernel-release=5.4.0", config("NAMESPACES", "VETH"))
	k.refused(2, "want one that begins with numbers", dir, "--kernel-release=linux")
	k.refused(2, "cannot read", dir, "--kernel-config=/nonexistent", "--kernel-release=5.4.0")
	out := k.ok(dir, "--kernel-release=4.9.0", config("NAMESPACES", "VETH"))
	if !strings.Contains(out, "without CONFIG_OVERLAY_FS: ") || strings.Contains(out, "IP_NF_FILTER") {
		t.Errorf("said %s", out)
	}
	k.is("26.1.5")
	// With rules of its own, dockerd needs what they need.
	own := unpacked(t, "26.1.6", func(f map[string]string) { f["iptables/xtables-legacy-multi"] = "#!/bin/sh\n" })
	k.refused(3, "it lacks CONFIG_IP_NF_FILTER (", own, "--kernel-release=4.9.0", config("NAMESPACES", "VETH"),
		"--with-iptables")
}

func TestUpstreamsListBecomesATableByRelease(t *testing.T) {
	t.Parallel()
	data, err := kernelTable(Profile{KernelScript: script()})
	must(t, err)
	for _, l := range []string{"need NAMESPACES - -\n", "legacy IP_NF_FILTER - -\n", "need OLD_ONE - 4.7\n",
		"need NEW_ONE 4.15 -\n"} {
		if !strings.Contains(string(data), l) {
			t.Errorf("got\n%swant the line %q", data, l)
		}
	}
	for _, script := range []string{"", "echo hello\n",
		strings.Replace(string(script()), "if [", "if frobnicate [", 1)} {
		p := Profile{KernelScript: []byte(script)}
		if script == "" {
			p.KernelScript = nil
		}
		data, err = kernelTable(p)
		if err != nil || strings.Contains(string(data), "need ") || !strings.Contains(string(data), "\nunknown ") {
			t.Errorf("%q: got %q, %v; want a line that says why there are none", script, data, err)
		}
	}
}

func TestADaemonJSONKeepsToWhatTheDaemonKnows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p         Profile
		want, not string
	}{
		{Profile{Docker: "19.03.15"}, `"iptables": false`, "ip6tables"},
		{Profile{Docker: "20.10.24"}, `"ip6tables": false`, "storage"},
		{Profile{Docker: "26.1.5", Cgroup: "v1", Storage: "vfs"}, `"storage-driver": "vfs"`, "systemd"},
	} {
		got, err := daemonJSON(c.p)
		if err != nil || !strings.Contains(string(got), c.want) || strings.Contains(string(got), c.not) {
			t.Errorf("%+v: got %s, %v; want %q and not %q", c.p, got, err, c.want, c.not)
		}
	}
}

func TestLongWhatIsTheUsersStaysTheUsers(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	a, b := unpacked(t, "26.1.5"), unpacked(t, "28.5.2", func(f map[string]string) {
		f["init/daemon.json"] = "{\n  \"debug\": true\n}\n"
		f["init/docker.sysv"] += "# newer\n"
	})
	k := ready(t, a)
	k.ok(b)
	if !strings.Contains(k.read(daemonFile), "debug") || !strings.HasSuffix(k.read("etc/init.d/docker"), "# newer\n") {
		t.Error("an unchanged file was not brought to the new version's")
	}
	k.ok(b, "--rollback")
	if !strings.Contains(k.read(daemonFile), "max-size") ||
		strings.HasSuffix(k.read("etc/init.d/docker"), "# newer\n") {
		t.Error("an unchanged file did not go back with the rollback")
	}
	must(t, os.Remove(filepath.Join(k.root, daemonFile)))
	if out := k.ok(b); k.has(daemonFile) || !strings.Contains(out, "was taken away and stays away") {
		t.Errorf("a daemon.json that was removed came back; said %s", out)
	}
	k.write(daemonFile, `{"bad-26.1.5": 1}`)
	before := k.read(daemonFile)
	if out, code := k.run(b, "--rollback"); code != 5 ||
		!strings.Contains(out, "is not accepted by the dockerd of 26.1.5") {
		t.Errorf("a daemon.json that the old daemon refuses: exit code %d: %s", code, out)
	}
	k.is("28.5.2")
	k.ok(b, "--uninstall")
	if k.read(daemonFile) != before {
		t.Error("the user's daemon.json changed")
	}

	k = newKit(t)
	k.write("usr/local/bin/runc", "another's")
	k.refused(5, "usr/local/bin/runc is there and not of this installer", a)
	k.ok(a, "--prefix=/opt/docker")
	if k.read("usr/local/bin/runc") != "another's" ||
		!strings.Contains(k.read("etc/init.d/docker"), "service=/opt/docker/libexec/drydock/current/init/service\n") {
		t.Error("another prefix: not as asked")
	}
}

func TestLongTheHostsInitSystemIsServed(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	for _, c := range []struct{ init, has, not string }{
		{"systemd", "etc/systemd/system/docker.socket", "etc/init.d/docker"},
		{"openrc", "etc/conf.d/docker", "etc/default/docker"},
		{"none", "etc/docker/daemon.json", "etc/init.d/docker"},
	} {
		k := newKit(t)
		dir := unpacked(t, "26.1.5")
		k.ok(dir, "--init="+c.init)
		if !k.has(c.has) || k.has(c.not) {
			t.Errorf("%s: want %s and no %s:\n%s", c.init, c.has, c.not, k.tree())
		}
		if c.init == "openrc" {
			k.ok(dir) // it was asked for once
			if !k.has(c.has) || k.has(c.not) {
				t.Errorf("%s, a second time: want %s and no %s", c.init, c.has, c.not)
			}
			continue
		}
		k.ok(dir, "--init=sysv")
		if c.init != "none" && k.has(c.has) != (c.has == "etc/docker/daemon.json") {
			t.Errorf("from %s to sysv: %s is still there", c.init, c.has)
		}
	}
}

// withExtras is a package that has iptables and a bus.
func withExtras(t *testing.T) string {
	dir := unpacked(t, "26.1.5", func(f map[string]string) {
		f["iptables/xtables-legacy-multi"] = "#!/bin/sh\necho ${0##*/}\n"
		for _, n := range []string{"dbus-daemon", "dbus-send", "dbus-uuidgen"} {
			f["dbus/"+n] = "#!/bin/sh\necho " + n + "\n"
		}
		f["dbus/share/dbus-1/system.conf"] = "<busconfig/>\n"
	})
	must(t, os.Symlink("xtables-legacy-multi", dir+"/iptables/iptables")) // as a package has it
	return dir
}

// hasExtras holds what is installed against what the extras are.
func (k *kit) hasExtras() {
	t := k.t
	t.Helper()
	if d := k.read(daemonFile); strings.Contains(d, "tables") || !strings.Contains(d, "log-opts") {
		t.Errorf("daemon.json: %s", d)
	}
	// what init/service reads
	if s := k.read("usr/local/libexec/drydock/current/.options"); !strings.Contains(s, "with_iptables=yes\n") {
		t.Errorf("options: %s", s)
	}
	for _, c := range []string{"libexec/drydock/current/iptables/ip6tables-restore", "bin/dbus-uuidgen"} {
		if out, err := exec.Command(filepath.Join(k.root, "usr/local", c)).Output(); err != nil ||
			string(out) != filepath.Base(c)+"\n" {
			t.Errorf("%s: got %q, %v", c, out, err)
		}
	}
	if s := k.read("etc/init.d/dbus"); !strings.Contains(s, "dir=/usr/local/libexec/drydock/current/dbus\n") {
		t.Errorf("the bus's init script: %s", s)
	}
}

func TestExtrasAreInstalledWhenThePackageHasThem(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.refused(5, "carries no iptables", unpacked(t, "26.1.5"), "--with-iptables")
	dir := withExtras(t)
	k.ok(dir, "--with-iptables", "--with-dbus")
	k.hasExtras()
	k.ok(dir, "--uninstall")
	if k.has("usr/local/bin/dbus-daemon") || k.has("etc/init.d/dbus") {
		t.Error("uninstalled, and the bus is still there")
	}
}

func TestLongExtrasAreInstalledAsTheyAreAskedFor(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	k := newKit(t)
	k.refused(5, "carries no dbus", unpacked(t, "26.1.5"), "--with-dbus")
	dir := withExtras(t)
	k.ok(dir)
	if k.has("usr/local/bin/dbus-send") || !strings.Contains(k.read(daemonFile), `"iptables": false`) {
		t.Error("extras were installed unasked")
	}
	k.ok(dir, "--with-iptables", "--with-dbus")
	k.hasExtras()
	k.ok(dir) // the choice goes on
	k.hasExtras()
	k.ok(dir, "--init=systemd")
	if s := k.read("etc/systemd/system/docker.service"); !strings.Contains(s,
		"/current/docker:/usr/local/libexec/drydock/current/iptables:/usr") ||
		!strings.Contains(s, "ExecStart=/usr/local/libexec/drydock/current/docker/dockerd ") {
		t.Errorf("unit: %s", s)
	}
	if k.has("etc/init.d/dbus") {
		t.Error("systemd brings a bus, and ours has a service")
	}
	k.ok(dir, "--init=sysv", "--without-iptables", "--without-dbus")
	if d := k.read(daemonFile); !strings.Contains(d, `"iptables": false`) {
		t.Errorf("daemon.json: %s", d)
	}
	if k.has("etc/init.d/dbus") || k.has("usr/local/bin/dbus-daemon") {
		t.Error("the bus is still there")
	}
	k.write("etc/init.d/messagebus", "the system's own\n")
	if out := k.ok(dir, "--with-dbus"); k.has("etc/init.d/dbus") || !strings.Contains(out, "a bus of its own") {
		t.Errorf("a second bus was made a service; said %s", out)
	}
	k.ok(dir, "--uninstall")
	if k.has("usr/local/bin/dbus-daemon") || !k.has("etc/init.d/messagebus") {
		t.Error("uninstalled: ours is there, or the system's own is not")
	}
}

func TestASignatureIsHeldAgainstTheKey(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	dir := unpacked(t, "26.1.5")
	pub, secret, err := ed25519.GenerateKey(nil)
	must(t, err)
	_, other, err := ed25519.GenerateKey(nil)
	must(t, err)
	id := []byte("12345678")
	key := filepath.Join(t.TempDir(), "key.pub")
	must(t, os.WriteFile(key, []byte("untrusted comment: key\n"+b64("Ed", id, pub)+"\n"), 0o644))
	k.refused(4, "the package is not signed", dir, "--key="+key)
	sums, err := os.ReadFile(dir + "/SHA256SUMS")
	must(t, err)
	sign := func(secret ed25519.PrivateKey, what []byte) {
		s := ed25519.Sign(secret, what)
		global := ed25519.Sign(secret, append(bytes.Clone(s), "drydock"...))
		must(t,
			os.WriteFile(dir+"/SHA256SUMS.minisig",
				[]byte("untrusted comment: x\n"+b64("Ed", id, s)+"\n"+
					"trusted comment: drydock\n"+b64("", nil, global)+"\n"), 0o644))
	}
	sign(other, sums)
	k.refused(4, "is not what was signed", dir, "--key="+key)
	sign(secret, append(sums, 'x'))
	k.refused(4, "is not what was signed", dir, "--key="+key)
	sign(secret, sums)
	k.ok(dir, "--key="+key)
	k.is("26.1.5")
	if minisign, err := exec.LookPath("minisign"); err == nil { // the same file, by the format's own program
		if out, err := exec.Command(minisign, "-V", "-p", key, "-m", dir+"/SHA256SUMS").CombinedOutput(); err != nil {
			t.Errorf("minisign: %s", out)
		}
	}
}

func b64(kind string, id, data []byte) string {
	return base64.StdEncoding.EncodeToString(slices.Concat([]byte(kind), id, data))
}

func TestAWrongCommandLineIsRefused(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	dir := unpacked(t, "26.1.5")
	for _, a := range []string{"--frobnicate", "install", "--prefix=relative", "--prefix=/a b", "--prefix=/a/../b",
		"--init=upstart", "--key="} {
		k.refused(2, "install.sh: ", dir, a)
	}
	if out := k.ok(dir, "--help"); !strings.Contains(out, "exit codes:") {
		t.Errorf("help: %s", out)
	}
}

func TestLongTheScriptsAreCleanForShellcheck(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	notShort(t)
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip(err)
	}
	for _, f := range executable {
		name := strings.TrimPrefix(f, "init/")
		file := filepath.Join(t.TempDir(), name)
		must(t, os.WriteFile(file, inPackage(t, name), 0o644))
		args := []string{"-s", "sh", file}
		if name == "docker.openrc" {
			args = append([]string{"-e", "SC2034"}, args...) // its variables are openrc-run's
		}
		if out, err := exec.Command(shellcheck, args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// An old terminal shows no more, and some shells read no more in the C locale.
func TestTheScriptsAreASCII(t *testing.T) {
	t.Parallel()
	es, err := Files(Profile{Version: "26.1.5", Docker: "26.1.5"})
	must(t, err)
	for _, e := range es {
		if i := bytes.IndexFunc(e.Data, func(r rune) bool { return r > 126 }); i >= 0 {
			t.Errorf("%s: not ASCII: %q", e.Name, e.Data[i:min(i+20, len(e.Data))])
		}
	}
}

func TestALogIsCutInPlaceAndItsOldPartsAreKept(t *testing.T) {
	t.Parallel()
	notShort(t)
	dir := t.TempDir()
	log := dir + "/docker.log"
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640) // as the daemon holds it
	must(t, err)
	defer f.Close()
	for round := range 7 {
		_, err := f.Write(bytes.Repeat([]byte{'a' + byte(round)}, 11<<20))
		must(t, err)
		out, err := exec.Command("sh", "files/rotate", log).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	_, err = f.WriteString("after\n")
	must(t, err)
	if data, _ := os.ReadFile(log); string(data) != "after\n" {
		t.Errorf("the log has %d bytes, want what came after", len(data))
	}
	kept, _ := filepath.Glob(log + ".*")
	if len(kept) != 5 {
		t.Errorf("kept %v, want 5 of them", kept)
	}
	out, err := exec.Command("gzip", "-dc", log+".5.gz").Output()
	if err != nil || len(out) != 11<<20 || out[0] != 'c' {
		t.Errorf("the oldest: %d bytes, %v", len(out), err)
	}
	must(t, os.WriteFile(log, []byte("small\n"), 0o640))
	must(t, exec.Command("sh", "files/rotate", log).Run())
	if data, _ := os.ReadFile(log); string(data) != "small\n" {
		t.Error("a small log was rotated")
	}
}
