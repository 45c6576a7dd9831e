package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drydock/targets/internal/testlong"
)

// plugin is a change of a package: it has one more plugin of the command docker.
func plugin(name, version string) func(map[string]string) {
	return func(files map[string]string) {
		files["docker/cli-plugins/docker-"+name] = "#!/bin/sh\necho " + name + " " + version + "\n"
	}
}

const pluginDir = "usr/local/libexec/docker/cli-plugins"

// plugins holds what the plugins in the place where docker looks for them say.
func (k *kit) plugins(want ...string) {
	k.t.Helper()
	var got []string
	files, _ := filepath.Glob(filepath.Join(k.root, pluginDir, "docker-*"))
	for _, f := range files {
		out, err := exec.Command(f).Output()
		if err != nil {
			k.t.Errorf("%s does not run: %v", f, err)
		}
		got = append(got, strings.TrimSpace(string(out)))
	}
	if !slices.Equal(got, want) {
		k.t.Errorf("got the plugins %q, want %q", got, want)
	}
}

func TestPluginsOfOthersStayAndAreNotTaken(t *testing.T) {
	t.Parallel()
	k := newKit(t, "sh")
	p := unpacked(t, "26.1.5", plugin("hello", "26.1.5"))
	mine := pluginDir + "/docker-hello"
	k.write(mine, "somebody's")
	k.refused(5, mine+" is there and not of this installer", p)
	must(t, os.Remove(filepath.Join(k.root, mine)))

	others := []string{"usr/libexec/docker/cli-plugins/docker-hello", "usr/local/lib/docker/cli-plugins/docker-other",
		pluginDir + "/docker-other"}
	for _, o := range others {
		k.write(o, "somebody's")
	}
	foreign := filepath.Join(k.root, pluginDir, "docker-link")
	must(t, os.Symlink("../../drydock/current/docker/docker", foreign)) // it is none of ours: another name
	if out := k.ok(p, "--dry-run"); !strings.Contains(out, "would link "+filepath.Join(k.root, mine)) {
		t.Errorf("--dry-run: no word of the plugin:\n%s", out)
	}
	k.ok(p)
	if to, err := os.Readlink(filepath.Join(k.root,
		mine)); to != "../../drydock/current/docker/cli-plugins/docker-hello" {
		t.Errorf("%s: got a link to %q (%v)", mine, to, err)
	}
	if out, err := exec.Command(filepath.Join(k.root, mine)).Output(); string(out) != "hello 26.1.5\n" {
		t.Errorf("%s says %q, %v", mine, out, err)
	}
	k.ok(p, "--uninstall")
	if k.has(mine) {
		t.Errorf("%s is still there", mine)
	}
	for _, o := range others {
		if k.read(o) != "somebody's" {
			t.Errorf("%s: not as it was", o)
		}
	}
	if _, err := os.Lstat(foreign); err != nil {
		t.Error(err)
	}
}

func TestLongPluginsBelowAnotherPrefixAreSaidToBeUnknownToDocker(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	k := newKit(t, "sh")
	p := unpacked(t, "26.1.5", plugin("hello", "26.1.5"))
	if out := k.ok(p, "--prefix=/opt/x"); !strings.Contains(out,
		`"cliPluginsExtraDirs": ["/opt/x/libexec/docker/cli-plugins"]`) ||
		!k.has("opt/x/libexec/docker/cli-plugins/docker-hello") {
		t.Errorf("got\n%s", out)
	}
	if out := k.ok(p); strings.Contains(out, "cliPluginsExtraDirs") {
		t.Errorf("docker finds them below /usr/local, and yet:\n%s", out)
	}
}

func TestLongAPlaceOfPluginsThatLeadsAwayIsRefused(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	k := newKit(t, "sh")
	for _, d := range []string{"usr/lib/docker", "usr/local/libexec"} {
		must(t, os.MkdirAll(filepath.Join(k.root, d), 0o755))
	}
	must(t, os.Symlink("../../lib/docker", k.root+"/usr/local/libexec/docker"))
	must(t, os.Mkdir(k.root+"/usr/lib/docker/cli-plugins", 0o755))
	k.refused(5, pluginDir+": is a link out of", unpacked(t, "26.1.5", plugin("hello", "26.1.5")))
	k.ok(unpacked(t, "26.1.5")) // without a plugin it does not matter
}

func TestAPackageWithoutACommandOfItsProfileIsNotWhole(t *testing.T) {
	t.Parallel()
	k := newKit(t, "sh")
	p := unpacked(t, "26.1.5", func(files map[string]string) { delete(files, "docker/ctr") })
	k.refused(4, "docker/ctr: not listed in SHA256SUMS", p)
}
