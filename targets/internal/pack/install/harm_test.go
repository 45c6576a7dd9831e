package install

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"drydock/targets/internal/testlong"
)

// These are the ways in which an installer can harm a host that nobody can restore.

// inPackage is a file as the package has it.
func inPackage(t *testing.T, name string) []byte {
	t.Helper()
	es, err := Files(Profile{Version: "26.1.5", Docker: "26.1.5"})
	must(t, err)
	for _, e := range es {
		if strings.TrimPrefix(e.Name, "init/") == name {
			return e.Data
		}
	}
	t.Fatalf("%s: not in the package", name)
	return nil
}

// functions runs the functions of a script, without what it does at its end, and then text, with arguments.
func functions(t *testing.T, shell []string, name, end, text string, env []string, args ...string) string {
	t.Helper()
	head, _, ok := strings.Cut(string(inPackage(t, name)), end)
	if !ok {
		t.Fatalf("%s: no %q in it", name, end)
	}
	file := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(file, []byte(head+"\n"+text+"\n"), 0o644))
	cmd := exec.Command(shell[0], slices.Concat(shell[1:], []string{file}, args)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	out, _ := cmd.CombinedOutput()
	return string(out)
}

// asksDockerd is what install.sh asks before it changes anything.
const asksDockerd = `render daemon.json >"$scratch.daemon.json"
accepts "$here/docker" "$scratch.daemon.json" || not_accepted "dockerd $version"
storage_note "$here"`

// says runs functions of install.sh in the root of the kit, for a package and an init system, and wants them to say
// that, or nothing.
func (k *kit) says(want, dir, init, call string) {
	k.t.Helper()
	text, _, ok := strings.Cut(string(inPackage(k.t, "install.sh")), "\n\tfor a in \"$@\"; do\n")
	functions, begin, ok2 := strings.Cut(text, "\nmain() {\n")
	if !ok || !ok2 {
		k.t.Fatal("install.sh: its main does not begin as this test thinks")
	}
	file := filepath.Join(k.t.TempDir(), "install.sh")
	must(k.t, os.WriteFile(file, []byte(functions+"\n"+begin+`
root=$1 here=$2 init=$3 prefix=/usr/local with_iptables='' with_dbus='' iptables=no daemon_path=''
base=$root$prefix/libexec/drydock scratch=$4/x profile=$here/init/profile
version=$(value version "$profile")
system_files >"$scratch.system"
`+call+"\n"), 0o644))
	cmd := exec.Command(k.shell[0], slices.Concat(k.shell[1:], []string{file, k.root, dir, init, k.t.TempDir()})...)
	cmd.Env = []string{"PATH=" + k.path}
	out, err := cmd.CombinedOutput()
	if want == "" && (err != nil || len(out) > 0) || !strings.Contains(string(out), want) {
		k.t.Errorf("%v: %s: got %v: %s, want %q", k.shell, call, err, out, want)
	}
}

// particular is a dockerd that wants docker-proxy in its PATH, and complains of a setting that is an argument, too.
func particular(f map[string]string) {
	f["docker/dockerd"] = `#!/bin/sh
command -v docker-proxy >/dev/null || { echo "userland-proxy-path is not set" >&2; exit 1; }
case $* in *bad*) exit 1 ;; esac
for a; do case $a in --config-file=*)
	if grep -q unknown "${a#*=}"; then echo "no such setting" >&2; exit 1; fi ;; esac; done
`
}

func TestAnOperatorsDaemonJSONIsTaken(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.path = oldTools(t) + ":/usr/sbin:/usr/bin:/sbin:/bin" // sudo's, say: no docker-proxy in it
	k.write(daemonFile, `{}`)
	a := unpacked(t, "26.1.5", particular)
	k.ok(a)
	if got := k.read(daemonFile); got != `{}` {
		t.Errorf("daemon.json became %q", got)
	}
	k.write(daemonFile, `{"unknown":1}`)
	k.refused(5, "is not accepted by dockerd 26.1.6: no such setting", unpacked(t, "26.1.6", particular))
}

func TestLongAnOperatorsDaemonJSONIsTakenByAnUpgradeAndARollback(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	for i, json := range []string{"{\n  \"debug\": true\n}", `{}`} {
		k := newKit(t)
		k.path = oldTools(t) + ":/usr/sbin:/usr/bin:/sbin:/bin" // sudo's, say: no docker-proxy in it
		k.write(daemonFile, json)
		a, b := unpacked(t, "26.1.5", particular), unpacked(t, "26.1.6", particular)
		k.says("", a, "sysv", asksDockerd)
		if i == 0 {
			k.ok(a)
			k.ok(a)
			k.ok(b, "--prefix=/opt/x")
			k.ok(b)
			k.ok(b, "--rollback")
		}
		if got := k.read(daemonFile); got != json {
			t.Errorf("daemon.json became %q", got)
		}
		if i > 0 {
			continue
		}
		k.write(daemonFile, `{"unknown":1}`)
		k.refused(5, "is not accepted by dockerd 26.1.6: no such setting", b)
		k.refused(5, "no such setting; change it first", b, "--dry-run")
		k.refused(5, "is not accepted by the dockerd of 26.1.6", a, "--rollback")
	}
}

func TestASettingThatTheServiceSaysItselfIsRefused(t *testing.T) {
	t.Parallel()
	dir := unpacked(t, "26.1.5", particular)
	for _, c := range []struct{ init, json, want string }{
		{"systemd", `{"hosts": ["unix:///var/run/docker.sock"]}`, "hosts: the service's own argument"},
		{"systemd", "{\n\"hosts\":\n[\"tcp://127.0.0.1:2375\"]}", "hosts: the service's own argument"},
		{"sysv", `{"pidfile": "/run/d.pid"}`, "pidfile: the service's own argument"},
		{"openrc", `{"debug":true,"pidfile":"/run/d.pid"}`, "pidfile: the service's own argument"},
		{"sysv", `{"hosts": ["fd://"]}`, "hosts: fd:// is systemd's"},
		{"sysv", `{"hosts": ["tcp://127.0.0.1:2375"]}`, ""},
		{"systemd", `{"pidfile": "/run/d.pid"}`, ""},
		{"none", `{"pidfile": "/run/d.pid", "hosts": ["tcp://127.0.0.1:2375"]}`, ""},
	} {
		k := newKit(t)
		k.write(daemonFile, c.json)
		k.says(c.want, dir, c.init, asksDockerd)
	}
}

func TestTheServiceAsksTheDaemonWhereItListens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ opts, json, want string }{
		{"", "", "unix:///var/run/docker.sock"},
		{"", `{"debug": true}`, "unix:///var/run/docker.sock"},
		{"", `{"hosts": ["tcp://0.0.0.0:2375"]}`, "tcp://127.0.0.1:2375"},
		{"", `{"hosts": ["tcp://10.0.0.1:2376", "unix:///run/other.sock"]}`, "unix:///run/other.sock"},
		{"-H tcp://127.0.0.1:9", "", "tcp://127.0.0.1:9"},
		{"--debug --host=unix:///run/x.sock -H tcp://1.2.3.4:5", "", "unix:///run/x.sock"},
		{"--debug --host unix:///run/y.sock", "", "unix:///run/y.sock"},
		{"-Hunix:///run/z.sock", "", "unix:///run/z.sock"},
		{"-H=tcp://[::]:2375", "", "tcp://[::1]:2375"},
		{"-H :2375", "", "tcp://127.0.0.1:2375"},
		{"-H 10.0.0.1:2375 --label host=-H", "", "tcp://10.0.0.1:2375"},
		{"-H tcp://", "", "tcp://127.0.0.1:2375"},
		{"-H unix://", "", "unix:///var/run/docker.sock"},
		{"-H fd:// -H tcp://1.2.3.4:5", "", "tcp://1.2.3.4:5"},
		{"--tls -H tcp://0.0.0.0:2376 -H unix:///a.sock -H tcp://0.0.0.0:2375", "", "unix:///a.sock"},
		{"",
			`{"log-opts": {"hosts": "x"}, "hosts": ["unix:///run/a.sock", "unix:///run/b.sock"], ` +
				`"runtimes": {"r": {"path": "/r", "hosts": ["y"]}}}`, "unix:///run/b.sock"},
		{"", "{\"hosts\"\t:\r\n[\t\"tcp://127.0.0.1:1\"\r\n]}", "tcp://127.0.0.1:1"},
	} {
		for name, shell := range quick() {
			config := filepath.Join(t.TempDir(), "daemon.json")
			if c.json != "" {
				must(t, os.WriteFile(config, []byte(c.json), 0o644))
			}
			got := functions(t, shell, "service", "\ncase ${1:-} in",
				"DOCKER_OPTS=\"$1 --config-file=$2\"; find_address; echo \"address $address\"", nil, c.opts, config)
			if !strings.Contains(got, "address "+c.want+"\n") {
				t.Errorf("%s: %q, %q: got %s, want %s", name, c.opts, c.json, got, c.want)
			}
		}
	}
}

func TestLongModesAreThePackagesOwnWhateverBecameOfThem(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	k := newKit(t)
	lost, good := unpacked(t, "26.1.5"), unpacked(t, "26.1.6")
	modes := func(dir string, mode fs.FileMode) {
		must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				err = os.Chmod(p, mode)
			}
			return err
		}))
	}
	right := func(version string) {
		t.Helper()
		for _, f := range []string{"docker/runc", "docker/dockerd", "install.sh", "init/check", "init/service",
			"init/cgroup-mount"} {
			fi, err := os.Stat(filepath.Join(k.root, "usr/local/libexec/drydock/current", f))
			must(t, err)
			if fi.Mode().Perm() != 0o755 {
				t.Errorf("%s: %s: got mode %s, want 0755", version, f, fi.Mode())
			}
		}
		fi, err := os.Stat(filepath.Join(k.root, "usr/local/libexec/drydock/current/init/profile"))
		must(t, err)
		if fi.Mode().Perm() != 0o644 {
			t.Errorf("%s: init/profile: got mode %s, want 0644", version, fi.Mode())
		}
	}
	modes(lost, 0o644) // as after a stick with FAT on it
	k.ok(lost)
	right("modes were lost")
	modes(filepath.Join(k.root, "usr/local/libexec/drydock/current")+"/docker", 0o644)
	k.ok(lost)
	right("modes were lost later")
	modes(good, 0o777)
	k.ok(good)
	right("modes were too many")
	installed, err := filepath.Glob(k.root + "/usr/local/libexec/drydock/26.1.*")
	must(t, err)
	for _, dir := range installed {
		modes(dir, 0o600)
	}
	k.ok(good, "--rollback")
	right("back")
}

func TestWhatLiesOnANoexecMountIsInstalledAndNothingIsInstalledThere(t *testing.T) {
	t.Parallel()
	notShort(t)
	if os.Geteuid() != 0 || exec.Command("unshare", "-m", "true").Run() != nil {
		t.Skip("needs root and unshare, for a mount")
	}
	k := newKit(t)
	dir := unpacked(t, "26.1.5")
	at := t.TempDir()
	inside := func(script string) (string, error) {
		cmd := exec.Command("unshare", "-m", "sh", "-c", "mount -t tmpfs -o noexec tmpfs \"$1\" && cp -a "+
			"\"$2/.\" \"$1\" && "+script, "sh", at, dir, k.root)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir()}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := inside(`sh "$1/install.sh" --root="$3" --no-kernel-check`); err != nil {
		t.Errorf("the package on a noexec mount: %v: %s", err, out)
	}
	k.is("26.1.5")
	// On the host itself a prefix on such a mount is refused, by its mount, before anything is there.
	out, err := inside(`cd / && sh "$2/install.sh" --prefix="$1/prefix" --init=none --no-kernel-check --dry-run
		code=$?; ls "$1/prefix" 2>&1; exit $code`)
	if err == nil || !strings.Contains(out, at+" is mounted noexec") || !strings.Contains(out, "No such file") {
		t.Errorf("a prefix on a noexec mount: %v: %s", err, out)
	}
}

func TestLongLinksThatLeadOutOfTheRootAreRefusedBeforeAnythingIsWritten(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	outside := t.TempDir()
	must(t, os.WriteFile(outside+"/group", []byte("root:x:0:\n"), 0o644))
	dir := unpacked(t, "26.1.5")
	for _, c := range []struct {
		link, to, want string // want is empty where the link is harmless
	}{
		{"usr/local", outside, "usr/local: is a link to " + outside},
		{"usr/local", "/opt/local", "usr/local: is a link to /opt/local"},
		{"usr", "../../../../../../.." + outside, "usr: is a link to "},
		{"usr/local/bin", outside, "usr/local/bin: is a link"},
		{"etc/init.d", "/etc/rc.d/init.d", "etc/init.d: is a link to /etc/rc.d/init.d"},
		{"etc/docker", outside, "etc/docker: is a link"},
		{"etc/default", "nowhere", "etc/default: is a link to nowhere"},
		{"etc/group", outside + "/group", "etc/group: is a link"},
		{"etc/init.d", "rc.d/init.d", ""},
		{"usr/local", "../opt/local", ""},
	} {
		k := newKit(t)
		at := filepath.Join(k.root, c.link)
		must(t, os.RemoveAll(at))
		must(t, os.MkdirAll(filepath.Dir(at), 0o755))
		for _, d := range []string{"etc/rc.d/init.d", "opt/local"} {
			must(t, os.MkdirAll(filepath.Join(k.root, d), 0o755))
		}
		must(t, os.Symlink(c.to, at))
		if c.want == "" {
			k.ok(dir)
			k.is("26.1.5")
		} else {
			k.refused(5, c.want, dir)
		}
		es, err := os.ReadDir(outside)
		must(t, err)
		if len(es) != 1 {
			t.Fatalf("%s -> %s: something was written outside: %v", c.link, c.to, es)
		}
	}
}

func TestLongAGroupFileWithoutALastNewlineKeepsItsLines(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	dir := unpacked(t, "26.1.5")
	for before, want := range map[string]string{
		"root:x:0:\nusers:x:100:":          "root:x:0:\nusers:x:100:\ndocker:x:999:\n",
		"root:x:0:\nusers:x:100:\n":        "root:x:0:\nusers:x:100:\ndocker:x:999:\n",
		"dockerusers:x:999:":               "dockerusers:x:999:\ndocker:x:998:\n",
		"":                                 "docker:x:999:\n",
		"root:x:0:\ndocker:x:77:me":        "root:x:0:\ndocker:x:77:me",
		"root:x:0:\r\nusers:x:100:someone": "root:x:0:\r\nusers:x:100:someone\ndocker:x:999:\n",
	} {
		k := newKit(t)
		k.write("etc/group", before)
		k.says("", dir, "sysv", "there docker group || make_group docker")
		if got := k.read("etc/group"); got != want {
			t.Errorf("%q: got %q, want %q", before, got, want)
		}
	}
}

func TestLongWhatStaysAndWhatIsRememberedIsSaid(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	k := newKit(t)
	k.write("etc/passwd", "root:x:0:0::/:/bin/sh")
	withBus := unpacked(t, "26.1.6", func(f map[string]string) {
		for _, n := range []string{"dbus-daemon", "dbus-send", "dbus-uuidgen", "share/dbus-1/system.conf"} {
			f["dbus/"+n] = "#!/bin/sh\n"
		}
	})
	k.ok(withBus, "--with-dbus")
	if got := k.read("etc/passwd"); got != "root:x:0:0::/:/bin/sh\ndbus:x:997:997:system bus:/:/sbin/nologin\n" {
		t.Errorf("passwd: got %q", got)
	}
	bare := unpacked(t, "26.1.7")
	k.refused(5, "--with-dbus (said when 26.1.6-", bare)
	k.refused(5, "or say --without-dbus", bare)
	if out := k.ok(withBus, "--uninstall"); !strings.Contains(out,
		"the group docker, the user and the group dbus, and what you changed") {
		t.Errorf("uninstall says: %s", out)
	}
}

func TestAnIptablesThatDoesNotWorkIsNotTaken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, script, want string }{
		{"none", "", "no: this host has no iptables"},
		{"works", `case $1 in --version) echo "iptables v1.8.7 (legacy)" ;; -t) exit 0 ;; esac`, "yes: "},
		{"nf_tables on an old kernel",
			`case $1 in --version) echo "iptables v1.8.7 (nf_tables)" ;; *) echo "Failed to initialize nft: ` +
				`Protocol not supported" >&2; exit 1 ;; esac`,
			"no: this host's iptables 1.8.7 does not work here: Failed to initialize nft: Protocol not supported"},
		{"old", `echo "iptables v1.2.11"`, "no: this host's iptables 1.2.11 is older than 1.4.11"},
	} {
		bin := oldTools(t)
		os.Remove(filepath.Join(bin, "iptables"))
		if c.script != "" {
			wrap(t, bin, "iptables", c.script)
		}
		got := functions(t, []string{"/bin/sh"}, "install.sh", "\nmain \"$@\"",
			`dry= root=; if usable_iptables; then echo "yes: $iptables_why"; else echo "no: $iptables_why"; fi`,
			[]string{"PATH=" + bin})
		if strings.TrimSpace(got) != strings.TrimSpace(c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAForeignServiceIsNotStartedInOurName(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	dir := unpacked(t, "26.1.5")
	k.write("etc/init.d/docker", "#!/bin/sh\n# a distribution's\n")
	k.refused(5, "etc/init.d/docker is not of this installer, and starts another daemon: move it away", dir,
		"--restart")
	if out := k.ok(dir); !strings.Contains(out, "/etc/init.d/docker is yours and stays as it is") {
		t.Errorf("said %s", out)
	}
	must(t, os.Remove(filepath.Join(k.root, "etc/init.d/docker")))
	k.ok(dir, "--restart")
}

func TestLongAStorageDriverThatThisDockerdLacksIsSaid(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	k := newKit(t)
	drivers := func(f map[string]string) {
		f["manifest.json"] = "{\n \"features\": [\n  \"dockerd: graph driver overlay2\",\n" +
			"  \"dockerd: graph driver vfs\"\n ]\n}\n"
	}
	k.write(daemonFile, `{"storage-driver": "devicemapper"}`)
	out := k.ok(unpacked(t, "26.1.5", drivers))
	if !strings.Contains(out, "names the storage driver devicemapper, which this dockerd does not have: it will not "+
		"start. It has overlay2 vfs") {
		t.Errorf("said %s", out)
	}
	k.write(daemonFile, `{"storage-driver": "overlay2"}`)
	if out := k.ok(unpacked(t, "26.1.5", drivers)); strings.Contains(out, "storage driver") {
		t.Errorf("said %s", out)
	}
}

func TestLongNothingOfTheUsersInThePrefixIsTouched(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	a, b, c := unpacked(t, "26.1.5"), unpacked(t, "26.1.6"), unpacked(t, "26.1.7")
	k := ready(t, a)
	k.write("usr/local/libexec/drydock/mydata/file", "mine")
	k.write("usr/local/libexec/drydock/26.0.0-0123456789ab/file", "mine, too")
	k.ok(b)
	k.ok(c)
	must(t, os.Remove(filepath.Join(k.root, "usr/local/bin/docker")))
	k.write("usr/local/bin/docker", "my own")
	k.refused(5, "usr/local/bin/docker is there and not of this installer", c, "--rollback")
	must(t, os.Remove(filepath.Join(k.root, "usr/local/bin/docker")))
	must(t, os.Mkdir(filepath.Join(k.root, "usr/local/bin/docker"), 0o755))
	k.refused(5, "usr/local/bin/docker is there and not of this installer", c, "--rollback")
	must(t, os.Remove(filepath.Join(k.root, "usr/local/bin/docker")))
	out := k.ok(c, "--uninstall")
	if k.read("usr/local/libexec/drydock/mydata/file") != "mine" ||
		k.read("usr/local/libexec/drydock/26.0.0-0123456789ab/file") != "mine, too" {
		t.Error("a directory of the user's is gone")
	}
	if !strings.Contains(out, "mydata is not of this installer, and stays") {
		t.Errorf("uninstall says: %s", out)
	}
}

func TestALinkThatWasPlantedIsNotFollowed(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	victim := filepath.Join(t.TempDir(), "victim")
	must(t, os.WriteFile(victim, []byte("precious"), 0o600))
	must(t, os.MkdirAll(filepath.Join(k.root, "etc/docker"), 0o755))
	must(t, os.Symlink(victim, filepath.Join(k.root, "etc/docker/.daemon.json.drydock-tmp")))
	k.ok(unpacked(t, "26.1.5"))
	log := filepath.Join(t.TempDir(), "docker.log")
	must(t, os.WriteFile(log, bytes.Repeat([]byte("line\n"), 3<<20), 0o640))
	must(t, os.Symlink(victim, log+".rotating"))
	out, err := exec.Command("sh", "files/rotate", log).CombinedOutput()
	if err != nil {
		t.Errorf("rotate: %v: %s", err, out)
	}
	if data, err := os.ReadFile(victim); err != nil || string(data) != "precious" {
		t.Errorf("got %q, %v", data, err)
	}
	if fi, err := os.Lstat(log + ".1.gz"); err != nil || !fi.Mode().IsRegular() {
		t.Errorf("got %v, %v", fi, err)
	}
}

func TestOneInstallerIsAtWorkAtATime(t *testing.T) {
	t.Parallel()
	dir := unpacked(t, "26.1.5")
	k := newKit(t)
	at := k.root + "/usr/local/libexec/drydock"
	lock := at + "/.lock"
	must(t, os.MkdirAll(at, 0o755))
	// One of an installer before this one, which knows the link alone.
	other := exec.Command("sh", "-c", "read _; exit", "install.sh")
	in, err := other.StdinPipe()
	must(t, err)
	must(t, other.Start())
	must(t, os.Symlink(fmt.Sprint(other.Process.Pid), lock))
	k.refused(6, fmt.Sprintf("another installer (process %d)", other.Process.Pid), dir)
	in.Close()
	other.Wait()
	// A stale one, whose number is another program's now.
	must(t, os.Remove(lock))
	must(t, os.Symlink(fmt.Sprint(os.Getpid()), lock))
	k.ok(dir)
	must(t, os.Symlink("999999999", lock))
	k.ok(dir)
	// Anything else is an error, at once.
	must(t, os.WriteFile(lock, nil, 0o644))
	k.refused(5, ".lock: is not of this installer", dir)
	must(t, os.Remove(lock))
	must(t, os.Mkdir(lock, 0o755))
	k.refused(5, ".lock: is not of this installer", dir)
	must(t, os.Remove(lock))
	must(t, os.Remove(at+"/.locked"))
	must(t, os.Symlink("/etc/passwd", at+"/.locked"))
	k.refused(5, ".locked: is a link", dir)
}

func TestLongOfManyInstallersAtOnceOneIsAtWork(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	k := newKit(t)
	at := k.root + "/usr/local/libexec/drydock"
	lock := at + "/.lock"
	must(t, os.MkdirAll(at, 0o755))
	// Over a stale lock: each has installed or was refused, and what is there is whole.
	must(t, os.Symlink("999999999", lock))
	var wg sync.WaitGroup
	codes := make([]int, 4)
	for i := range codes {
		d := unpacked(t, fmt.Sprintf("26.1.%d", 6+i))
		wg.Go(func() { _, codes[i] = k.run(d, "--downgrade") })
	}
	wg.Wait()
	for i, c := range codes {
		if c != 0 && c != 6 {
			t.Errorf("installer %d: exit code %d, want 0 or 6", i, c)
		}
	}
	if !slices.Contains(codes, 0) {
		t.Error("nobody installed")
	}
	if _, err := os.Lstat(lock); err == nil {
		t.Error("a lock is left")
	}
	current, err := filepath.EvalSymlinks(at + "/current")
	must(t, err)
	cmd := exec.Command("sha256sum", "--quiet", "-c", "SHA256SUMS")
	cmd.Dir = current
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", current, err, out)
	}
}

// signing are a key pair's public file, and what signs a package with it.
func signing(t *testing.T, id string) (key string, sign func(dir string)) {
	pub, secret, err := ed25519.GenerateKey(nil)
	must(t, err)
	key = filepath.Join(t.TempDir(), "key.pub")
	must(t, os.WriteFile(key, []byte("untrusted comment: key\n"+b64("Ed", []byte(id), pub)+"\n"), 0o644))
	return key, func(dir string) {
		sums, err := os.ReadFile(dir + "/SHA256SUMS")
		must(t, err)
		s := ed25519.Sign(secret, sums)
		global := ed25519.Sign(secret, append(bytes.Clone(s), "drydock"...))
		must(t,
			os.WriteFile(dir+"/SHA256SUMS.minisig",
				[]byte("untrusted comment: x\n"+b64("Ed", []byte(id), s)+"\n"+
					"trusted comment: drydock\n"+b64("", nil, global)+"\n"), 0o644))
	}
}

func TestAForgedPackageDoesNotCheckItself(t *testing.T) {
	t.Parallel()
	good := unpacked(t, "26.1.5")
	key, sign := signing(t, "12345678")
	_, signOther := signing(t, "87654321")
	// Its checker finds all good.
	forged := unpacked(t, "26.1.7", func(f map[string]string) { f[CheckName] = "#!/bin/sh\nexit 0\n" })
	sign(good)
	signOther(forged)
	k := newKit(t)
	k.ok(good, "--key="+key)
	k.refused(4, "says the installed version", forged)
}

func TestLongTheKeyIsRememberedAndAForgedPackageDoesNotCheckItself(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	k := newKit(t)
	key, sign := signing(t, "12345678")
	other, signOther := signing(t, "87654321")
	good, unsigned, foreign := unpacked(t, "26.1.5"), unpacked(t, "26.1.6"), unpacked(t, "26.1.6")
	// Its checker finds all good.
	forged := unpacked(t, "26.1.7", func(f map[string]string) { f[CheckName] = "#!/bin/sh\nexit 0\n" })
	sign(good)
	signOther(foreign)
	signOther(forged)
	if out := k.ok(good, "--key="+key); !strings.Contains(out,
		"the signature was checked by a program of the package itself") {
		t.Errorf("said %s", out)
	}
	k.refused(4, "the key of the installed version: the package is not signed", unsigned)
	k.refused(4, "signed by another key", foreign)
	k.refused(4, "is not the key that the installed version was signed with", foreign, "--key="+other)
	k.refused(4, "says the installed version", forged)
	k.refused(4, "says the installed version", forged, "--key="+key)
	sign(unsigned)
	k.ok(unsigned)
	k.is("26.1.6")
	k.ok(foreign, "--forget-key", "--key="+other)
	k.refused(4, "signed by another key", good, "--downgrade")
	k.ok(unpacked(t, "26.1.8"), "--forget-key")
	k.ok(unpacked(t, "26.1.9"))
}

func TestLongAnOlderVersionIsInstalledOnlyWhenItIsAskedFor(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	k := ready(t, unpacked(t, "26.1.5"))
	for _, v := range []string{"17.03.2", "26.1.4", "26.0.9"} {
		k.refused(5, "docker 26.1.5 is installed, and "+v+" is older: --downgrade", unpacked(t, v))
	}
	old := unpacked(t, "20.10.24")
	k.ok(old, "--downgrade")
	k.is("20.10.24")
	k.ok(old, "--rollback")
	k.is("26.1.5")
	k.ok(old, "--rollback")
	k.is("20.10.24")
}

// taken are names that a shell of the time has for itself, as an alias or a builtin that comes before a function.
var taken = strings.Fields(`stop start suspend history functions integer local nohup r type hash login autoload float
	times command compound fc nameref redirect source let print whence alias bg cd echo eval exec exit export fg getopts
	jobs kill newgrp pwd read readonly return set shift test trap true false typeset ulimit umask unalias unset wait
	break continue builtin enum select time help logout where which`)

func TestNoFunctionHasAShellsOwnName(t *testing.T) {
	name := regexp.MustCompile(`(?m)^([A-Za-z_]\w*)\(\)`)
	must(t, fs.WalkDir(files, ".", func(p string, d fs.DirEntry, err error) error {
		// openrc-run calls start and stop, in its own shell
		if err != nil || d.IsDir() || strings.HasSuffix(p, ".openrc") {
			return err
		}
		data, err := files.ReadFile(p)
		for _, m := range name.FindAllStringSubmatch(string(data), -1) {
			if slices.Contains(taken, m[1]) {
				t.Errorf("%s: function %s: a shell has an alias or a builtin of that name", p, m[1])
			}
		}
		return err
	}))
}

func TestTheServiceStopsInEveryShell(t *testing.T) {
	t.Parallel()
	for name, shell := range shells() {
		out, _ := exec.Command(shell[0], append(slices.Clone(shell[1:]), "files/service", "status")...).CombinedOutput()
		if !strings.Contains(string(out), "docker: ") || strings.Contains(string(out), "Usage") {
			t.Errorf("%s: status: %s", name, out)
		}
		out, _ = exec.Command(shell[0], append(slices.Clone(shell[1:]), "files/service")...).CombinedOutput()
		if !strings.Contains(string(out), "usage: /etc/init.d/docker start|stop") {
			t.Errorf("%s: without a verb: %s", name, out)
		}
	}
}
