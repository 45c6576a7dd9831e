package install

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drydock/targets/internal/testlong"
)

func TestLongWhatIsReadOnlyIsNamedBeforeAnythingIsWritten(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	onHost(t, []string{"sh"}, wants+`
ro() { mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"; }
for d in /etc /etc/init.d /usr/local/bin; do
	mkdir -p $d
	ro $d
	wants 1 "cannot be written: $d is mounted read-only; nothing was changed" $I --init=sysv
	if [ $d = /etc ]; then wants 1 "cannot be written: /etc is mounted read-only" $I --init=sysv --dry-run; fi
	umount $d
	[ -z "$(find /usr/local ! -type d)" ] && [ ! -e /etc/docker ] || { echo "$d: something was written"; exit 1; }
done
wants 0 "is installed" $I --init=sysv
ro /etc/init.d # nothing is to be written there
wants 0 "is installed" $N
wants 1 "/etc/init.d/docker: cannot be written: /etc/init.d is mounted read-only; nothing was changed" $N --uninstall
[ -e /etc/default/docker ] && [ -e /usr/local/bin/docker ]
umount /etc/init.d
wants 0 "what stays" $N --uninstall
`)
}

func TestLongAGroupFileThatIsAMountGetsItsLine(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	onHost(t, []string{"sh"}, wants+`
cp /etc/group /run/group
mount --bind /run/group /etc/group
wants 0 "is installed" $I --init=sysv
[ "$(sed 's/:[0-9]*:$//' /etc/group)" = "root:x
docker:x" ] || { cat /etc/group; exit 1; }
[ ! -e /etc/group.drydock-tmp ]
`)
}

func TestAnOldGroupaddIsCalledWithoutItsNewOption(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	bin := t.TempDir()
	wrap(t, bin, "groupadd",
		`case $1 in -*) echo "groupadd: invalid option -- r" >&2; exit 2 ;; esac; echo "$1" >>`+bin+`/made`)
	k.path = bin + ":" + k.path
	// On the host itself: its /etc is only read, in these functions.
	k.says("", unpacked(t, "26.1.5"), "sysv", "root=''; make_group no-such-group-here")
	if data, err := os.ReadFile(bin + "/made"); string(data) != "no-such-group-here\n" {
		t.Errorf("got %q, %v", data, err)
	}
}

func TestLongACommandDirectoryThatLeadsElsewhereIsRefused(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	dir := unpacked(t, "26.1.5")
	for to, want := range map[string]string{"../../opt/bin": "usr/local/bin: is a link out of ", "sbin": ""} {
		k := newKit(t)
		for _, d := range []string{"usr/local/sbin", "opt/bin"} {
			must(t, os.MkdirAll(filepath.Join(k.root, d), 0o755))
		}
		must(t, os.Symlink(to, k.root+"/usr/local/bin"))
		if want != "" {
			k.refused(5, want, dir)
			continue
		}
		k.ok(dir)
		k.is("26.1.5")
	}
}

func TestLongTheCallersEnvironmentDoesNotMatter(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	onHost(t, []string{"sh"}, wants+`
cd /run
printf '#!/bin/sh\n: >/run/from.here\n' >sed
chmod 755 sed
for path in "" /nonexistent; do
	wants 0 "is installed" env -i PATH=$path GREP_OPTIONS=--color=always IFS=: CDPATH=/run:/ \
		/bin/sh $PKG/install.sh --no-kernel-check --init=sysv
done
[ ! -e /run/from.here ]
`)
}

func TestABraceInAStringIsNoBrace(t *testing.T) {
	t.Parallel()
	dir := unpacked(t, "20.10.24", silent)
	for json, want := range map[string]string{
		`{"label": "a{b", "pidfile": "/x"}`:                             "pidfile: the service's own argument",
		`{"log-opts": {"tag": "}"}, "pidfile": "/x"}`:                   "pidfile: the service's own argument",
		`{"data-root": "\\", "pidfile": "/x"}`:                          "pidfile: the service's own argument",
		`{"data-root": "/a \"pidfile\": b"}`:                            "",
		`{"log-opts": {"tag": "{{.Name}}", "pidfile": "/x"}}`:           "",
		`{"log-opts": {"tag": "{", "pidfile": "/x"}, "bip": "1.2.3.4"}`: "",
	} {
		k := newKit(t)
		k.write(daemonFile, json)
		for _, k.shell = range quick() {
			k.says(want, dir, "sysv", asksDockerd)
		}
		for _, shell := range quick() { // the service reads it by the same words
			got := functions(t, shell, "service", "\ncase ${1:-} in", `config=$1; echo "pidfile $(setting pidfile)"`,
				nil, filepath.Join(k.root, daemonFile))
			if strings.Contains(got, "pidfile /x\n") != (want != "") {
				t.Errorf("%s: the service reads %q", json, got)
			}
		}
	}
}
