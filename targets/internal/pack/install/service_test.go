package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"drydock/targets/internal/testlong"
)

var decoy = sync.OnceValues(func() (string, error) { return built("./testdata/decoy") })

// decoys is a package whose dockerd is a process that can be stopped, and whose docker finds that it answers.
func decoys(t *testing.T, version string) string {
	t.Helper()
	dockerd, err := decoy()
	must(t, err)
	return unpacked(t, version, func(f map[string]string) {
		f["docker/dockerd"] = dockerd + version // an ELF file is none the worse for it
		for _, n := range []string{"dbus-daemon", "dbus-send", "dbus-uuidgen", "share/dbus-1/system.conf"} {
			f["dbus/"+n] = "#!/bin/sh\n"
		}
		f["docker/docker"] = "#!/bin/sh\ntest -e /var/run/answers.not && exit 1\necho 26.1\n"
	})
}

// onHost runs a script in a mount namespace in which /etc, /usr/local, /run, /var/log and /var/lib are decoys, and
// /bin/sh and the first sh in PATH are that shell. PKG and NEXT are packages. What runs at the end is ended.
func onHost(t *testing.T, shell []string, script string) string {
	t.Helper()
	notShort(t)
	if os.Geteuid() != 0 || exec.Command("unshare", "-m", "-p", "-f", "true").Run() != nil {
		t.Skip("needs root and unshare, for mounts")
	}
	host := t.TempDir()
	for _, d := range []string{"etc/init.d", "etc/default", "etc/cron.hourly", "local", "run/lock", "log",
		"lib", "bin"} {
		must(t, os.MkdirAll(filepath.Join(host, d), 0o755))
	}
	for f, data := range map[string]string{"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/group": "root:x:0:"} {
		must(t, os.WriteFile(filepath.Join(host, f), []byte(data), 0o644))
	}
	for name, body := range map[string]string{"chkconfig": `echo "chkconfig $*" >>/run/said`,
		"systemctl": `echo "systemctl $*" >>/run/said`,
		"iptables": `case $1 in --version) echo "iptables v1.8.7 (nf_tables)" ;; ` +
			`*) [ ! -e /run/iptables ] || { cat /run/iptables >&2; exit 1; } ;; esac`} {
		wrap(t, filepath.Join(host, "bin"), name, body)
	}
	busybox, _, _ := strings.Cut(commonPath(), ":")
	link := shell[0]
	if path, err := exec.LookPath(shell[0]); err == nil {
		link = path
	}
	must(t, os.Symlink(link, filepath.Join(host, "bin/sh")))
	cmd := exec.Command("unshare", "-m", "-p", "-f", "--mount-proc", "sh", "-c", `
H=$1 PKG=$2 NEXT=$3 APPLETS=$4
mount --bind $H/etc /etc && mount --bind $H/local /usr/local && mount --bind $H/run /run &&
	mount --bind $H/log /var/log && mount --bind $H/lib /var/lib || exit 99
PATH=$H/bin:$APPLETS:/usr/sbin:/usr/bin:/sbin:/bin
cd /
`+script, "sh", host, decoys(t, "26.1.5"), decoys(t, "26.1.6"), busybox)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 99 {
		t.Skipf("no mounts here: %s", out)
	}
	if err != nil {
		t.Errorf("%v: %v:\n%s", shell, err, out)
	}
	return string(out)
}

func TestTheServiceLives(t *testing.T) {
	t.Parallel()
	serviceLives(t, map[string][]string{"sh": {"sh"}})
}

func TestLongTheServiceLivesInEveryShell(t *testing.T) {
	testlong.Skip(t)
	serviceLives(t, shells())
}

// serviceLives starts and stops what stands for the daemon, in each of the shells.
func serviceLives(t *testing.T, shells map[string][]string) {
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := onHost(t, shell, `set -e
PATH=$H/bin:/usr/sbin:/usr/bin:/sbin:/bin
D=/etc/init.d/docker
sh "$PKG/install.sh" --init=sysv --no-kernel-check
wants() {
	want=$1; shift; got=0; "$@" || got=$?
	[ $got = $want ] || { echo "$*: got exit code $got, want $want"; exit 1; }
}
wants 3 sh $D status
wants 0 sh $D start
wants 0 sh $D status
: >/run/answers.not
wants 4 sh $D status
rm /run/answers.not
wants 0 sh $D reload
wants 0 sh $D restart
sh "$NEXT/install.sh" --no-kernel-check | grep 'still 26.1.5'
sh /usr/local/libexec/drydock/current/install.sh --rollback --restart
sh /usr/local/libexec/drydock/current/install.sh --status | grep '^running: *26.1.5'
wants 0 sh $D stop
wants 3 sh $D status
wants 7 sh $D reload
echo 'DOCKER_OPTS="--debug --pidfile /run/other.pid"' >/etc/default/docker
wants 0 sh $D start
[ -s /run/other.pid ] && [ ! -e /run/docker.pid ]
sh "$PKG/install.sh" --status | grep '^running:'
wants 0 sh $D stop
[ ! -e /run/other.pid ]
wants 0 sh $D start
sh "$PKG/install.sh" --uninstall
[ ! -e /run/other.pid ]
[ ! -e /usr/local/libexec/drydock ] && [ ! -e $D ]
`)
			if strings.Contains(out, "Usage:") || !strings.Contains(out, "stopped (process ") {
				t.Errorf("said %s", out)
			}
		})
	}
}

// wants is a shell's function that ends the script where a command's exit code is another, or it does not say that.
const wants = `
wants() {
	want=$1 says=$2
	shift 2
	got=0
	out=$("$@" 2>&1) || got=$?
	case $got:$out in
	$want:*"$says"*) ;;
	*) echo "$*: got exit code $got, want $want and \"$says\": $out"; exit 1 ;;
	esac
}
I="sh $PKG/install.sh --no-kernel-check" N="sh $NEXT/install.sh --no-kernel-check"
`

func TestLongAForeignServiceIsLeftAlone(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	onHost(t, []string{"sh"}, wants+`
printf '#!/bin/sh\n: >/run/foreign.ran\n' >/etc/init.d/docker
chmod 755 /etc/init.d/docker
wants 5 "/etc/init.d/docker is not of this installer, and starts another daemon" $I --init=sysv --restart
wants 0 "the service is left as it is, and nothing of ours is started" $I --init=sysv
wants 0 "is installed" $N
wants 5 "/etc/init.d/docker is not of this installer" $N --rollback --restart
wants 0 "is left as it is" $N --uninstall
if [ -e /run/said ] && grep docker /run/said; then echo "its links were changed"; exit 1; fi
[ ! -e /run/foreign.ran ] && [ -x /etc/init.d/docker ] || { echo "it was run, or is gone"; exit 1; }
rm /etc/init.d/docker
# A drop-in decides what systemd runs.
mkdir -p /etc/systemd/system/docker.service.d
printf '[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -H fd://\n' >/etc/systemd/system/docker.service.d/a.conf
wants 5 "docker.service.d is not of this installer" $I --init=systemd --restart
wants 0 "docker.service.d is not of this installer" $I --init=systemd
! grep -s "enable" /run/said || exit 1
printf '[Service]\nExecStart=\nExecStart=/usr/local/libexec/drydock/current/docker/dockerd -H fd:// -D\n' \
	>/etc/systemd/system/docker.service.d/a.conf
wants 0 "" $I --init=systemd --restart
grep -q "systemctl restart docker.service" /run/said
`)
}

func TestLongADaemonOfSomebodyElseIsNotTakenForOurs(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	onHost(t, []string{"sh"}, wants+`
mkdir /run/other
cp $PKG/docker/dockerd /run/other/dockerd
wants 0 "is installed" $I --init=systemd
/run/other/dockerd --pidfile=/run/docker.pid >/dev/null &
while [ ! -s /run/docker.pid ]; do sleep 1; done
wants 1 "got a daemon that runs from /run/other/dockerd" $I --restart
wants 0 "installed:" $I --status
case $out in *running:*) echo "$out"; exit 1 ;; esac
wants 0 "what stays" $I --uninstall
kill -0 $! || { echo "it was stopped"; exit 1; }
`)
}

func TestLongAnIptablesThatWasTakenIsTriedAgain(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	onHost(t, []string{"sh"}, wants+`
wants 0 "makes its rules with this host's" $I --init=sysv
! grep tables /etc/docker/daemon.json || exit 1
echo "Failed to initialize nft: Protocol not supported" >/run/iptables
wants 0 "iptables: off in daemon.json" $N
case $out in *"--with-iptables"*) ;; *) echo "$out"; exit 1 ;; esac
grep -q '"iptables": false' /etc/docker/daemon.json || { cat /etc/docker/daemon.json; exit 1; }
echo '{"debug": true}' >/etc/docker/daemon.json
wants 0 "dockerd makes rules by /etc/docker/daemon.json, and will not start: "\
"this host's iptables 1.8.7 does not work here: Failed" $N
echo '{"iptables": false}' >/etc/docker/daemon.json
wants 0 "is installed" $N
case $out in *"will not start"*) echo "$out"; exit 1 ;; esac
`)
}

func TestLongASlowContainerdIsGivenOtherTriesAndAnythingElseIsNot(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	onHost(t, []string{"sh"}, wants+`
wants 0 "is installed" $I --init=sysv
D=/etc/init.d/docker
printf ss >/run/slow
wants 0 "its containerd took too long to start: try 3" sh $D start
wants 0 "stopped" sh $D stop
printf sssss >/run/slow
wants 1 "the daemon ended while it started" sh $D start
[ "$(cat /run/slow)" = ss ] || { echo "tries that are left: $(cat /run/slow), want 2"; exit 1; }
rm /run/slow
echo 'DOCKER_OPTS="--pidfile /nowhere/pid"' >/etc/default/docker
wants 1 "the daemon ended while it started" sh $D start
case $out in *"took too long"*) echo "an older line of the log was taken for one of now: $out"; exit 1 ;; esac
`)
}

func TestALockThatCannotBeTakenIsSaid(t *testing.T) {
	t.Parallel()
	onHost(t, []string{"sh"}, wants+`
wants 0 "is installed" $I --init=sysv
mount -o remount,bind,ro /usr/local || mount -t tmpfs -o ro x /usr/local
wants 1 "install.sh: /usr/local/libexec/drydock: cannot be" $N
`)
}

func TestLongTheHostsOwnToolsMakeGroupsAndUsers(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	onHost(t, []string{"sh"}, wants+`
printf 'root:x:0:0::/root:/bin/sh\ndbusx:x:81:81::/:/bin/sh' >/etc/passwd
printf 'root:x:0:\ndockerx:x:999:\ndbus:x:998:' >/etc/group
wants 0 "is installed" $I --init=sysv --with-dbus
wants 0 "is installed" $N
cat /etc/group /etc/passwd
for l in root:x:0: dockerx:x:999: dbus:x:998: dbusx:x:81:81::/:/bin/sh; do
	grep -qx "$l" /etc/group /etc/passwd || { echo "no line $l"; exit 1; }
done
[ "$(grep -c '^docker:x:[0-9]*:$' /etc/group)" = 1 ] && [ "$(grep -c '^dbus:[^:]*:[0-9]*:998:' /etc/passwd)" = 1 ]
`)
}
