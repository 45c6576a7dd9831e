package install

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drydock/targets/internal/testlong"
)

// each runs text behind install.sh's functions in every shell of this machine, and wants it to print that.
func each(t *testing.T, text, want string, args ...string) {
	t.Helper()
	for name, shell := range shells() {
		got := functions(t, shell, "install.sh", "\nmain \"$@\"", text, nil, args...)
		if strings.TrimSpace(got) != want {
			t.Errorf("%s: %s: got %q, want %q", name, text, got, want)
		}
	}
}

func TestLongReleasesWithALeadingZeroAreNumbers(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	each(t, `while [ $# != 0 ]; do
	if older "$1" "$2"; then printf 'older '; else printf 'not '; fi
	shift 2
done`, "older older older not not not", "18.09.1", "19.03.0", "17.09.0", "17.12.1", "18.06.3", "18.09.0",
		"18.09.9", "18.09.1", "20.10.0", "18.09.9", "17.05.0", "17.05.0")
	k := newKit(t)
	k.ok(unpacked(t, "18.09.1"))
	k.refused(5, "docker 18.09.1 is installed, and 17.09.0 is older", unpacked(t, "17.09.0"))
}

func TestLongAnInstallerThatWasKilledWhileItCopiesOrRemovesLeavesNothing(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	a, b := unpacked(t, "26.1.5"), unpacked(t, "26.1.6")
	k := ready(t, a)
	k.path = oldTools(t)
	at := "usr/local/libexec/drydock/"
	leave := func() {
		must(t, os.MkdirAll(filepath.Join(k.root, at+"26.1.1-0123456789ab"), 0o755))
		k.write(at+"26.1.2-0123456789ab/.SHA256SUMS.drydock-tmp", "half")
		k.write(at+".gone.26.1.3-0123456789ab/docker/runc", "half")
	}
	leave()
	k.ok(b)
	for _, f := range []string{"26.1.1-0123456789ab", "26.1.2-0123456789ab", ".gone.26.1.3-0123456789ab"} {
		if k.has(at + f) {
			t.Errorf("%s is still there", f)
		}
	}
	leave()
	// From the installed version, whose own programs go with it.
	k.ok(filepath.Join(k.root, at, "current"), "--uninstall")
	if k.has(at) {
		t.Errorf("not all is gone:\n%s", k.tree())
	}
	k.write(at+".gone.26.1.3-0123456789ab/docker/runc", "half") // of an uninstall that was killed at its end
	k.ok(b, "--uninstall")
	if k.has(at) {
		t.Errorf("not all is gone:\n%s", k.tree())
	}
}

func TestLongALinkPlantedBesideOurOwnFilesIsNotFollowed(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	a, b := unpacked(t, "26.1.5"), unpacked(t, "26.1.6")
	k := ready(t, a, b)
	victim := filepath.Join(t.TempDir(), "victim")
	must(t, os.WriteFile(victim, []byte("precious"), 0o600))
	versions, err := filepath.Glob(k.root + "/usr/local/libexec/drydock/26.1.*")
	must(t, err)
	for _, v := range versions {
		for _, f := range []string{".options.tmp", ".previous.tmp", ".complete.tmp"} {
			must(t, os.Symlink(victim, filepath.Join(v, f)))
		}
		must(t, os.Remove(filepath.Join(v, ".complete")))
		must(t, os.Symlink(victim, filepath.Join(v, ".complete")))
	}
	must(t, os.Symlink(victim, filepath.Join(k.root, "etc/.group.drydock-tmp")))
	must(t, os.Symlink(victim, filepath.Join(k.root, "etc/group.drydock-tmp")))
	k.write("etc/group", "root:x:0:")
	k.ok(b, "--rollback")
	k.ok(b)
	if data, err := os.ReadFile(victim); err != nil || string(data) != "precious" {
		t.Errorf("got %q, %v", data, err)
	}
}

func TestLongDirectoriesThatLostTheirModesAreMended(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	a, b := unpacked(t, "26.1.5"), unpacked(t, "26.1.6")
	k := ready(t, a, b)
	for _, args := range [][]string{nil, {"--rollback"}} {
		versions, err := filepath.Glob(k.root + "/usr/local/libexec/drydock/26.1.*")
		must(t, err)
		for _, v := range versions {
			must(t, os.Chmod(v+"/docker", 0o700))
			must(t, os.Chmod(v+"/SHA256SUMS", 0o600))
		}
		k.ok(b, args...)
		for f, want := range map[string]os.FileMode{"docker": 0o755, "SHA256SUMS": 0o644} {
			fi, err := os.Stat(k.root + "/usr/local/libexec/drydock/current/" + f)
			must(t, err)
			if fi.Mode().Perm() != want {
				t.Errorf("%v: %s: got mode %s, want %s", args, f, fi.Mode(), want)
			}
		}
	}
}

func TestTheInstallersModesAreThePackages(t *testing.T) {
	t.Parallel()
	es, err := Files(Profile{Version: "26.1.5", Docker: "26.1.5"})
	must(t, err)
	var args []string
	var want strings.Builder
	for _, e := range es {
		args = append(args, e.Name)
		if e.Mode&0o111 != 0 {
			want.WriteString("755 ")
		} else {
			want.WriteString("644 ")
		}
	}
	each(t, `for f; do mode_of "$f"; printf "%s " "$mode"; done`, strings.TrimSpace(want.String()), args...)
}

func TestWhatIsInTheWayIsNamedBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	dir := unpacked(t, "26.1.5")
	outside := t.TempDir()
	for _, c := range []struct {
		make func(k *kit)
		want string
	}{
		{func(k *kit) { k.write("usr/local/bin", "a file") }, "usr/local/bin: is no directory"},
		{func(k *kit) { k.write("usr/local/libexec", "a file") }, "usr/local/libexec: is no directory"},
		{func(k *kit) { k.write("usr", "a file") }, "usr: is no directory"},
		{func(k *kit) { k.write("etc/docker", "a file") }, "etc/docker: is no directory"},
		{func(k *kit) { k.write("etc/default", "a file") }, "etc/default: is no directory"},
		{func(k *kit) { k.write("etc/docker/daemon.json/x", "in a directory") },
			"etc/docker/daemon.json: is a directory"},
		{func(k *kit) { k.write("etc/init.d/docker/x", "in a directory") }, "etc/init.d/docker: is a directory"},
		{func(k *kit) { k.write("usr/local/libexec/drydock/current/x", "mine") },
			"drydock/current: got a file or directory"},
		{func(k *kit) { k.write("usr/local/libexec/drydock/current", "mine") },
			"drydock/current: got a file or directory"},
		{func(k *kit) {
			k.write("usr/local/libexec/drydock/x", "")
			must(t, os.Symlink(outside, k.root+"/usr/local/libexec/drydock/current"))
		}, "drydock/current: got a link to " + outside},
		{func(k *kit) { // a version's directory, or one in it, that leads elsewhere
			k.ok(dir)
			docker := k.root + "/usr/local/libexec/drydock/current/docker"
			must(t, os.RemoveAll(docker))
			must(t, os.Symlink(outside, docker))
		}, "/docker: is a link to " + outside},
		{func(k *kit) {
			must(t, os.Symlink("init.d", k.root+"/etc/docker"))
			must(t, os.RemoveAll(k.root+"/etc/init.d"))
			must(t, os.Symlink("docker", k.root+"/etc/init.d"))
		}, "is a link to "}, // a loop
	} {
		k := newKit(t)
		c.make(k)
		k.refused(5, c.want, dir, "--init=sysv")
		if es, err := os.ReadDir(outside); err != nil || len(es) > 0 {
			t.Fatalf("%s: written outside: %v, %v", c.want, es, err)
		}
	}
}

func TestARefusalLeavesNoDirectories(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.refused(5, "carries no iptables", unpacked(t, "26.1.5"), "--with-iptables", "--prefix=/opt/a/b")
	k.ok(unpacked(t, "26.1.5"), "--uninstall", "--prefix=/opt/a/b")
	if k.has("opt") || k.has("usr") {
		t.Error("directories were left")
	}
}

func TestAnEmptyRootIsInstalledInto(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	must(t, os.RemoveAll(k.root+"/etc"))
	k.ok(unpacked(t, "26.1.5"))
	k.is("26.1.5")
	if got := k.read("etc/group"); got != "docker:x:999:\n" {
		t.Errorf("group: got %q", got)
	}
}

func TestLongTheBussUserIsWholeAfterAKill(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	withBus := unpacked(t, "26.1.6", func(f map[string]string) {
		for _, n := range []string{"dbus-daemon", "dbus-send", "dbus-uuidgen", "share/dbus-1/system.conf"} {
			f["dbus/"+n] = "#!/bin/sh\n"
		}
	})
	for i, c := range []struct{ passwd, group, wantPasswd, wantGroup string }{
		{"root:x:0:0::/:/bin/sh", "root:x:0:", "dbus:x:998:998:", "\ndbus:x:998:\n"},
		{"root:x:0:0::/:/bin/sh\ndbus:x:81:81::/:/bin/false", "root:x:0:\n", "\ndbus:x:81:81::/:/bin/false",
			"\ndbus:x:998:\n"},
		{"dbusd:x:81:81::/:/bin/false\n", "dbus:x:81:\r\nusers:x:999:", "\ndbus:x:80:81:system bus",
			"dbus:x:81:\r\nusers:x:999:\ndocker:x:998:\n"},
	} {
		k := newKit(t)
		k.write("etc/passwd", c.passwd)
		k.write("etc/group", c.group)
		if i == 0 {
			k.ok(withBus, "--with-dbus")
		} else {
			must(t, os.MkdirAll(filepath.Join(k.root, "usr/local/libexec/drydock"), 0o755))
			k.says("", withBus, "sysv", "make_group docker && make_bus_user")
		}
		if p, g := k.read("etc/passwd"), k.read("etc/group"); !strings.Contains(p, c.wantPasswd) ||
			!strings.Contains(g, c.wantGroup) {
			t.Errorf("%q, %q: got %q, %q", c.passwd, c.group, p, g)
		}
		if i > 0 {
			continue
		}
		k.ok(withBus, "--without-dbus") // what was made is known to the end
		if out := k.ok(withBus, "--uninstall"); !strings.Contains(out, "the user and the group dbus") {
			t.Errorf("uninstall says: %s", out)
		}
	}
}
