package smoke

import (
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
	all := []check{{pluginStartCheck, 90 * time.Second, false, true, func(l *lab) { l.start() }}}
	if slices.Contains(plugins, "docker-buildx") {
		all = append(all,
			check{"buildx: version", 20 * time.Second, true, false,
				func(l *lab) { l.pluginVersion(buildx, l.c.Commits[buildx]) }},
			check{"buildx: stages, arguments, a secret, a cache mount", 2 * time.Minute, true, false, buildxBuilds},
			check{"buildx: docker build", time.Minute, true, false, buildKit})
	}
	if slices.Contains(plugins, "docker-compose") {
		all = append(all,
			check{"compose: version", 20 * time.Second, true, false, func(l *lab) { l.pluginVersion(compose, "") }},
			check{"compose: up, healthy, ps, logs, exec, down", 2 * time.Minute, true, false, composes})
	}
	return append(all, check{lastPluginCheck, time.Minute, true, false, nothingLeft})
}

// runPlugins runs the plugins part, with iptables where this kernel has tables for it.
func (l *lab) runPlugins(daemon []string, each func(Result)) {
	if l.c.Daemon = daemon; l.c.Network != nil && l.noTables == nil {
		l.c.Daemon = l.c.Network
	}
	l.runAll(pluginChecks(l.c.Plugins), each)
}

// pluginVersion compares what a plugin says of itself with what it was built from. Compose has no place for its commit.
func (l *lab) pluginVersion(name, commit string) {
	got := l.docker(name, "version")
	l.has(name+" version", got, "v"+l.c.Versions[name])
	l.has(name+" version", got, commit)
	l.note = got
}

// context writes the files of a directory.
func (l *lab) context(dir string, files map[string]string) {
	l.ok("context", os.MkdirAll(dir, 0o755))
	for name, text := range files {
		l.ok("context", os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
}

// stages is a file of two stages. The cache mount lives from one build to the next.
const stages = `FROM ` + Image + ` AS made
ARG WORD=none
ENV WORD=$WORD
RUN ["/guest", "write", "/made", "by a step"]
RUN --mount=type=secret,id=key,required ["/guest", "cat", "/run/secrets/key"]
RUN --mount=type=cache,target=/kept ["/guest", "append", "/kept/runs", "$TURN"]

FROM scratch
COPY --from=made /guest /guest
COPY --from=made /made /made
COPY words /words
ENTRYPOINT ["/guest"]
CMD ["cat", "/made", "/words"]
`

func buildxBuilds(l *lab) {
	const dir, key = "/tmp/stages", "/tmp/key"
	l.ok("secret", os.WriteFile(key, []byte("whispered\n"), 0o600))
	for turn := range 2 {
		l.context(dir, map[string]string{"words": "by a file\n",
			"Dockerfile": strings.ReplaceAll(stages, "$TURN", fmt.Sprint(turn))})
		a := l.try(buildx, "build", "--progress=plain", "--network=none", "--load", "--build-arg=WORD=given",
			"--secret=id=key,src="+key, "-t", "stages:1", dir)
		if a.code != 0 {
			l.failf("docker buildx build: exit code %d: %s", a.code, a.err)
		}
		if turn == 0 {
			l.has("what the step with the secret printed", a.err, "whispered")
		}
		l.has("lines in the cache mount", a.err, fmt.Sprintf("lines %d", turn+1))
	}
	l.is("its command", l.docker("run", "--rm", "stages:1"), "by a step\nby a file")
	if out := l.try("run", "--rm", "stages:1", "cat", "/run/secrets/key"); out.code == 0 {
		l.failf("the secret is in the image: %q", out.out)
	}
	l.docker(buildx, "build", "--network=none", "--target=made", "--build-arg=WORD=given", "--secret=id=key,src="+key,
		"-t", "stages:made", dir)
	l.is("the argument", l.docker("run", "--rm", "stages:made", "env", "WORD"), "given")
	l.docker("rmi", "stages:1", "stages:made")
	l.docker(buildx, "prune", "-af")
}

// buildKit is the plain command, which the plugin does.
func buildKit(l *lab) {
	const dir = "/tmp/plain"
	l.context(dir,
		map[string]string{"Dockerfile": "FROM " + Image + "\nRUN [\"/guest\", \"write\", \"/made\", \"plainly\"]\n"})
	l.more = []string{"DOCKER_BUILDKIT=1"}
	l.docker("build", "--network=none", "-t", "plain:1", dir)
	l.is("what a step made", l.docker("run", "--rm", "plain:1", "cat", "/made"), "plainly")
	l.docker("rmi", "plain:1")
	l.docker(buildx, "prune", "-af")
}

// Project is a file of Compose with two services of Image: one that others wait for, and one that waits.
const Project = `services:
  store:
    image: ` + Image + `
    command: ["listen", "7000"]
    volumes: ["kept:/data"]
    networks: [inner]
    healthcheck: {test: ["CMD", "/guest", "dial", "127.0.0.1:7000", "well"], interval: 1s, timeout: 20s, retries: 60}
  front:
    image: ` + Image + `
    command: ["listen", "7001"]
    networks: [inner]
    depends_on: {store: {condition: service_healthy}}
volumes: {kept: {}}
networks: {inner: {}}
`

func composes(l *lab) {
	l.bridged()
	const dir = "/tmp/project"
	l.context(dir, map[string]string{"compose.yaml": Project})
	compose := func(args ...string) string {
		return l.docker(append([]string{compose, "--ansi=never", "--project-directory=" + dir}, args...)...)
	}
	compose("up", "-d")
	l.is("the service that others wait for", l.inspect("project-store-1", ".State.Health.Status"), "healthy")
	running := strings.Fields(compose("ps", "--services", "--status=running"))
	slices.Sort(running)
	l.is("running services", strings.Join(running, " "), "front store")
	l.until("the log of front", 10*time.Second,
		func() bool { return strings.Contains(compose("logs", "front"), "ready") })
	compose("exec", "-T", "store", "/guest", "write", "/data/file", "kept")
	compose("restart", "store")
	l.is("the volume after a restart", compose("exec", "-T", "store", "/guest", "cat", "/data/file"), "kept")
	server := "store"
	if l.c.Network == nil || l.noTables != nil { // names are answered through a rule of iptables
		server = l.inspect("project-store-1", "range .NetworkSettings.Networks}}{{.IPAddress}}{{end")
		l.note = "by address: without iptables dockerd answers no names"
	}
	l.until("store listens again", 20*time.Second,
		func() bool { return strings.Contains(compose("logs", "--tail=1", "store"), "ready") })
	l.is("from one service to the other", compose("exec", "-T", "front", "/guest", "dial", server+":7000", "hello"),
		"heard hello")
	compose("down", "-v")
	for _, what := range []string{"ps", "network", "volume"} {
		args := map[string][]string{"ps": {"ps", "-a"}, "network": {"network", "ls"}, "volume": {"volume", "ls"}}[what]
		l.is(what+" after down -v",
			l.docker(append(args, "-q", "--filter=label=com.docker.compose.project=project")...), "")
	}
}
