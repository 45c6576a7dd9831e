package smoke

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The plugins part: the same daemon, used by the command line's plugins that lie beside it.

// PluginDir is where the docker command finds plugins for all users.
const PluginDir = "/usr/local/libexec/docker/cli-plugins"

// The plugins, as docker's commands.
const buildx, compose = "buildx", "compose"

const (
	pluginStartCheck = "plugins: dockerd starts"
	lastPluginCheck  = "plugins: dockerd stops, nothing left"
)

// pluginChecks are the checks for those plugins that are there.
func pluginChecks(plugins []string) []check {
	all := []check{{pluginStartCheck, 90 * time.Second, false, true, func(h *harness) { h.start() }}}
	if slices.Contains(plugins, "docker-buildx") {
		all = append(all,
			check{"buildx: version", 20 * time.Second, true, false,
				func(h *harness) { h.pluginVersion(buildx, h.c.Commits[buildx]) }},
			check{"buildx: stages, arguments, a secret, a cache mount", 2 * time.Minute, true, false, buildxBuilds},
			check{"buildx: docker build", time.Minute, true, false, buildKit})
	}
	if slices.Contains(plugins, "docker-compose") {
		all = append(all,
			check{"compose: version", 20 * time.Second, true, false, func(h *harness) { h.pluginVersion(compose, "") }},
			check{"compose: up, healthy, ps, logs, exec, down", 2 * time.Minute, true, false, composes})
	}
	return append(all, check{lastPluginCheck, time.Minute, true, false, nothingLeft})
}

// runPlugins runs the plugins part, with iptables where this kernel has tables for it.
func (h *harness) runPlugins(daemon []string, each func(Result)) {
	if h.c.Daemon = daemon; h.c.Network != nil && h.noTables == nil {
		h.c.Daemon = h.c.Network
	}
	h.runAll(pluginChecks(h.c.Plugins), each)
}

// pluginVersion compares what a plugin says of itself with what it was built from. Compose has no place for its commit.
func (h *harness) pluginVersion(name, commit string) {
	got := h.docker(name, "version")
	h.has(name+" version", got, "v"+h.c.Versions[name])
	h.has(name+" version", got, commit)
	h.note = got
}

// context writes the files of a directory.
func (h *harness) context(dir string, files map[string]string) {
	h.ok("context", os.MkdirAll(dir, 0o755))
	for name, text := range files {
		h.ok("context", os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
}

// stages is a file of two stages. The cache mount lives from one build to the next.
//
//go:embed stages.dockerfile
var stages string

func buildxBuilds(h *harness) {
	const dir, key = "/tmp/stages", "/tmp/key"
	h.ok("secret", os.WriteFile(key, []byte("whispered\n"), 0o600))
	for turn := range 2 {
		h.context(dir, map[string]string{"words": "by a file\n",
			"Dockerfile": strings.ReplaceAll(stages, "$TURN", fmt.Sprint(turn))})
		a := h.try(buildx, "build", "--progress=plain", "--network=none", "--load", "--build-arg=WORD=given",
			"--secret=id=key,src="+key, "-t", "stages:1", dir)
		if a.code != 0 {
			h.failf("docker buildx build: exit code %d: %s", a.code, a.err)
		}
		if turn == 0 {
			h.has("what the step with the secret printed", a.err, "whispered")
		}
		h.has("lines in the cache mount", a.err, fmt.Sprintf("lines %d", turn+1))
	}
	h.is("its command", h.docker("run", "--rm", "stages:1"), "by a step\nby a file")
	if out := h.try("run", "--rm", "stages:1", "cat", "/run/secrets/key"); out.code == 0 {
		h.failf("the secret is in the image: %q", out.out)
	}
	h.docker(buildx, "build", "--network=none", "--target=made", "--build-arg=WORD=given", "--secret=id=key,src="+key,
		"-t", "stages:made", dir)
	h.is("the argument", h.docker("run", "--rm", "stages:made", "env", "WORD"), "given")
	h.docker("rmi", "stages:1", "stages:made")
	h.docker(buildx, "prune", "-af")
}

// buildKit is the plain command, which the plugin does.
func buildKit(h *harness) {
	const dir = "/tmp/plain"
	h.context(dir,
		map[string]string{"Dockerfile": "FROM " + Image + "\nRUN [\"/guest\", \"write\", \"/made\", \"plainly\"]\n"})
	h.more = []string{"DOCKER_BUILDKIT=1"}
	h.docker("build", "--network=none", "-t", "plain:1", dir)
	h.is("what a step made", h.docker("run", "--rm", "plain:1", "cat", "/made"), "plainly")
	h.docker("rmi", "plain:1")
	h.docker(buildx, "prune", "-af")
}

// Project is a file of Compose with two services of Image: one that others wait for, and one that waits.
//
//go:embed compose.yaml
var Project string

func composes(h *harness) {
	h.bridged()
	const dir = "/tmp/project"
	h.context(dir, map[string]string{"compose.yaml": Project})
	compose := func(args ...string) string {
		return h.docker(append([]string{compose, "--ansi=never", "--project-directory=" + dir}, args...)...)
	}
	compose("up", "-d")
	h.is("the service that others wait for", h.inspect("project-store-1", ".State.Health.Status"), "healthy")
	running := strings.Fields(compose("ps", "--services", "--status=running"))
	slices.Sort(running)
	h.is("running services", strings.Join(running, " "), "front store")
	h.until("the log of front", 10*time.Second,
		func() bool { return strings.Contains(compose("logs", "front"), "ready") })
	compose("exec", "-T", "store", "/guest", "write", "/data/file", "kept")
	compose("restart", "store")
	h.is("the volume after a restart", compose("exec", "-T", "store", "/guest", "cat", "/data/file"), "kept")
	server := "store"
	if h.c.Network == nil || h.noTables != nil { // names are answered through a rule of iptables
		server = h.inspect("project-store-1", "range .NetworkSettings.Networks}}{{.IPAddress}}{{end")
		h.note = "by address: without iptables dockerd answers no names"
	}
	h.until("store listens again", 20*time.Second,
		func() bool { return strings.Contains(compose("logs", "--tail=1", "store"), "ready") })
	h.is("from one service to the other", compose("exec", "-T", "front", "/guest", "dial", server+":7000", "hello"),
		"heard hello")
	compose("down", "-v")
	for _, what := range []string{"ps", "network", "volume"} {
		args := map[string][]string{"ps": {"ps", "-a"}, "network": {"network", "ls"}, "volume": {"volume", "ls"}}[what]
		h.is(what+" after down -v",
			h.docker(append(args, "-q", "--filter=label=com.docker.compose.project=project")...), "")
	}
}
