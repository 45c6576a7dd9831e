package boot

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"drydock/targets/internal/smoke"
)

// anyone is a user who is nobody but a member of the group docker.
const anyone = 1234

// plugins has such a user start the smoke test's project, where the package has the plugin for it.
func (g *guest) plugins() (string, error) {
	if !isThere(smoke.PluginDir + "/docker-compose") {
		return "the package has none", nil
	}
	groups, err := os.ReadFile("/etc/group")
	if err != nil {
		return "", err
	}
	id := 0
	for line := range strings.Lines(string(groups)) {
		if f := strings.Split(line, ":"); len(f) > 2 && f[0] == "docker" {
			id, err = strconv.Atoi(f[2])
		}
	}
	if id == 0 || err != nil {
		return "", fmt.Errorf("/etc/group: got %q, %s, want a group docker", groups, fmt.Sprint(err))
	}
	const home = "/srv/anyone"
	imported := `tar -C /srv -cf - guest | docker import -c 'ENTRYPOINT ["/guest"]' - ` + smoke.Image
	if said, err := g.run("sh", "-c", imported); err != nil {
		return said, err
	}
	if err := os.MkdirAll(home+"/project", 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(home+"/project/compose.yaml", []byte(smoke.Project), 0o644); err != nil {
		return "", err
	}
	if err := os.Chown(home, anyone, anyone); err != nil {
		return "", err
	}
	docker := func(args string) (string, error) {
		return g.runAs(func(cmd *exec.Cmd) {
			cmd.Dir, cmd.Env = home+"/project", []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}
			who := &syscall.Credential{Uid: anyone, Gid: anyone, Groups: []uint32{uint32(id)}}
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
		}, append([]string{"docker"}, strings.Fields(args)...)...)
	}
	for _, args := range []string{"buildx version", "compose up -d",
		"compose exec -T store /guest write /data/file kept", "compose ps"} {
		if said, err := docker(args); err != nil {
			return said, err
		}
	}
	if got, err := docker("compose exec -T store /guest cat /data/file"); err != nil || got != "kept" {
		return "", fmt.Errorf("the file in the volume: got %q, %s, want kept", got, fmt.Sprint(err))
	}
	if said, err := docker("compose down -v"); err != nil {
		return said, err
	}
	said, err := docker("compose version --short")
	return "compose " + said, err
}
