package install

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drydock/targets/internal/testlong"
)

// silent is a dockerd before 23.0, which cannot be asked.
func silent(f map[string]string) {
	f["docker/dockerd"] = "#!/bin/sh\necho 'unknown flag: --validate' >&2\nexit 125\n"
}

func TestLongWhatIsSaidTwiceIsRefusedForEveryKeyAndInit(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	saidTwice(t, quick())
}

func TestLongWhatIsSaidTwiceIsRefusedInEveryShell(t *testing.T) {
	testlong.Skip(t)
	saidTwice(t, shells())
}

func saidTwice(t *testing.T, shells map[string][]string) {
	dir := unpacked(t, "20.10.24", silent)
	for i, c := range []struct{ init, file, opts, json, want string }{
		{"sysv", "default", `"--log-level=debug"`, `{"log-level": "info"}`,
			"log-level: DOCKER_OPTS in /etc/default/docker (--log-level=debug) says it as well"},
		{"sysv", "sysconfig", `'-D'`, `{"debug": true}`, "debug: DOCKER_OPTS in /etc/sysconfig/docker (-D)"},
		{"openrc", "conf.d", `"--data-root /srv/docker"`, `{"data-root": "/var/lib/docker"}`,
			"data-root: DOCKER_OPTS in /etc/conf.d/docker"},
		{"openrc", "conf.d", `"--exec-root=/run/x" # ours`, "{\n \"exec-root\" : \"/run/y\"}",
			"exec-root: DOCKER_OPTS"},
		{"sysv", "default", `"--debug \
  --host=tcp://127.0.0.1:1"`, `{"hosts": ["unix:///var/run/docker.sock"]}`,
			"hosts: DOCKER_OPTS in /etc/default/docker (--host=tcp://127.0.0.1:1)"},
		{"sysv", "default", `"--insecure-registry=r:5000"`, `{"insecure-registries": []}`,
			"insecure-registries: DOCKER_OPTS"},
		{"systemd", "default", `--label=a=b`, `{"labels": ["c=d"]}`, "labels: DOCKER_OPTS in /etc/default/docker"},
		{"sysv", "default", `"--pidfile=/run/other.pid"`, `{"pidfile": "/run/d.pid"}`, "pidfile: DOCKER_OPTS"},
		{"sysv", "default", `"-H fd://"`, `{}`, "fd:// is systemd's"},
		// This package's own daemon.json is not written where it would keep the daemon from starting.
		{"sysv", "default", `"--log-driver=journald"`, "",
			"the daemon.json of this package is not accepted by dockerd 20.10.24: log-driver: DOCKER_OPTS"},
		{"systemd", "docker.service.d", "dockerd -H fd:// --log-level=warn", `{"log-level": "info"}`,
			"log-level: ExecStart in docker.service.d"},
		// Harmless.
		{"sysv", "default", `"--label=a=b"`, `{"log-opts": {"labels": "x"}}`, ""},
		{"sysv", "default", `"--add-runtime=a=/b"`, `{"runtimes": {"c": {"path": "/d"}}}`, ""},
		{"sysv", "default", `"--bip=1.2.3.4/8 $MORE"`, `{"debug": true}`, ""},
		{"systemd", "conf.d", `"--debug"`, `{"debug": true}`, ""}, // systemd does not read that file
		{"none", "default", `"--debug"`, `{"debug": true}`, ""},
		{"sysv", "default", `"--pidfile=/run/other.pid"`, `{}`, ""},
		{"systemd", "docker.service.d", "/usr/local/libexec/drydock/current/docker/dockerd $DOCKER_OPTS",
			`{"hosts": ["unix:///var/run/docker.sock"]}`, ""},
	} {
		k := newKit(t)
		switch c.file {
		case "docker.service.d":
			k.write("etc/systemd/system/docker.service.d/override.conf",
				"[Service]\nExecStart=\nExecStart="+c.opts+"\n")
		default:
			name := "etc/" + c.file + "/docker"
			if c.file == "conf.d" || c.file == "sysconfig" || c.file == "default" {
				k.write(name, "# of the operator\nDOCKER_OPTS=\"--debug --nonsense\"\nexport DOCKER_OPTS="+c.opts+"\n")
			}
		}
		if c.json != "" {
			k.write(daemonFile, c.json)
		}
		for _, k.shell = range shells {
			k.says(c.want, dir, c.init, asksDockerd)
		}
		if i == 0 {
			k.refused(5, c.want, dir, "--init="+c.init)
			k.refused(5, c.want, dir, "--init="+c.init, "--dry-run")
		}
	}
}

func TestDockerdIsAskedWithTheArgumentsOfItsService(t *testing.T) {
	t.Parallel()
	dir := unpacked(t, "26.1.5", func(f map[string]string) {
		f["docker/dockerd"] = "#!/bin/sh\necho \"asked $*\" >&2\nexit 1\n"
	})
	for _, c := range []struct{ init, opts, want string }{
		{"sysv", "--debug",
			"asked --validate --config-file=ROOT/etc/docker/daemon.json --pidfile=/var/run/docker.pid --debug"},
		{"systemd", "--debug", "asked --validate --config-file=ROOT/etc/docker/daemon.json -H fd:// --debug"},
		{"sysv", "--config-file=/etc/other.json",
			"ROOT/etc/other.json is not accepted by dockerd 26.1.5: asked --validate " +
				"--config-file=ROOT/etc/other.json"},
		{"sysv", "-p /run/x.pid", "asked --validate --config-file=ROOT/etc/docker/daemon.json -p /run/x.pid"},
	} {
		k := newKit(t)
		k.write("etc/default/docker", "DOCKER_OPTS=\""+c.opts+"\"\n")
		k.write(daemonFile, `{"debug": true}`)
		k.write("etc/other.json", `{}`)
		if c.opts == "--debug" {
			k.write(daemonFile, `{"icc": true}`)
		}
		k.says(strings.ReplaceAll(c.want, "ROOT", k.root), dir, c.init, asksDockerd)
	}
}

func TestLongAStorageDriverAmongTheArgumentsIsLookedAt(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	dir := unpacked(t, "26.1.5", func(f map[string]string) {
		f["manifest.json"] = "{\n \"features\": [\n  \"dockerd: graph driver overlay2\"\n ]\n}\n"
	})
	note := "which this dockerd does not have"
	for opts, want := range map[string]string{"--storage-driver=aufs": note, "--debug -s btrfs --icc": note,
		"--storage-driver devicemapper": note, "-s overlay2": ""} {
		k := newKit(t)
		k.write("etc/default/docker", "DOCKER_OPTS='"+opts+"'\n")
		k.says(want, dir, "sysv", asksDockerd)
	}
	k := newKit(t)
	k.write(daemonFile, "{}")
	other := unpacked(t, "26.1.6")
	k.ok(dir)
	k.ok(other)
	k.write(daemonFile, `{"log-opts": {"storage-driver": "overlay2"}, "storage-driver": "zfs"}`)
	if out := k.ok(other, "--rollback"); !strings.Contains(out, "names the storage driver zfs") {
		t.Errorf("a rollback said %s", out)
	}
}

func TestLongALinkInTheRootIsNotReadOnThisHost(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	k := newKit(t)
	host := filepath.Join(t.TempDir(), "daemon.json")
	must(t, os.WriteFile(host, []byte(`{"bad-26.1.5": 1}`), 0o644))
	must(t, os.MkdirAll(filepath.Join(k.root, "etc/docker"), 0o755))
	must(t, os.Symlink(host, filepath.Join(k.root, daemonFile)))
	dir := unpacked(t, "26.1.5")
	if out := k.ok(dir); !strings.Contains(out, "daemon.json is a link: what it leads to in that system "+
		"was not checked") {
		t.Errorf("said %s", out)
	}
	k.ok(dir, "--uninstall")
	if to, err := os.Readlink(filepath.Join(k.root, daemonFile)); to != host {
		t.Errorf("the link became %q, %v", to, err)
	}
}
