package verify

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// builtName is how a feature shows in a Go file: the table of function names stays when all symbols are stripped.
type builtName struct {
	file, kind string
	name       *regexp.Regexp
}

var built = []builtName{
	{"dockerd", "graph driver", regexp.MustCompile(`/daemon/graphdriver/([a-z0-9-]+)\.Init\x00`)},
	{"dockerd", "log driver", regexp.MustCompile(`/daemon/logger/([a-z0-9-]+)\.New\x00`)},
	{"dockerd", "network driver", regexp.MustCompile(`libnetwork/drivers/([a-z0-9-]+)\.(?:Register|Init)\x00`)},
	{"dockerd", "security profile", regexp.MustCompile(`/profiles/(seccomp|apparmor)\.(?:GetDefaultProfile|InstallDefault|DefaultProfile)\x00`)},
	{"dockerd", "labels of", regexp.MustCompile(`opencontainers/(selinux)/go-selinux\.getEnabled\x00`)},
	{"dockerd", "project", regexp.MustCompile(`/(quota)\.setProjectQuota\x00`)},
	{"dockerd", "builder", regexp.MustCompile(`/builder/(builder-next|dockerfile)\.(?:New|NewBuildManager)\x00`)},
	{"dockerd", "swarm", regexp.MustCompile(`/daemon/(cluster)\.New\x00`)},
}

var pluginLine = regexp.MustCompile(`(?m)^\s*\[plugins\.["']([^"']+)["']\]`)

// Features lists what is built into those files of a stack that are in dir, as "file: kind name", sorted. It runs runc and containerd,
// which say it of themselves; both are too old for that where they do not know the command.
func Features(ctx context.Context, dir string, files []string) ([]string, error) {
	var all []string
	add := func(file, kind, name string) {
		all = append(all, strings.TrimSpace(file+": "+kind+" "+name))
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	for _, file := range files {
		info, err := buildinfo.ReadFile(filepath.Join(dir, file))
		if err != nil {
			continue // no Go in it
		}
		for _, s := range info.Settings {
			if s.Key == "-tags" {
				for _, tag := range strings.Split(s.Value, ",") {
					add(file, "build tag", tag)
				}
			}
		}
		if !slices.ContainsFunc(built, func(b builtName) bool { return b.file == file }) {
			continue
		}
		err = windows(filepath.Join(dir, file), func(data []byte, _ int64) bool {
			for _, b := range built {
				if b.file == file {
					for _, m := range b.name.FindAllSubmatch(data, -1) {
						add(file, b.kind, string(m[1]))
					}
				}
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	if out, err := says(ctx, filepath.Join(dir, "containerd"), []string{"config", "default"}); err == nil {
		for _, m := range pluginLine.FindAllStringSubmatch(out, -1) {
			add("containerd", "plugin", m[1])
		}
	}
	if out, err := says(ctx, filepath.Join(dir, "runc"), []string{"features"}); err == nil && strings.HasPrefix(out, "{") { // before 1.1 it does not know the command
		if err := runcFeatures([]byte(out), add); err != nil {
			return nil, fmt.Errorf("runc features: %w", err)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// runcFeatures takes "runc features" apart.
func runcFeatures(data []byte, add func(file, kind, name string)) error {
	var f struct {
		Hooks []string `json:"hooks"`
		Linux struct {
			Namespaces []string        `json:"namespaces"`
			Cgroup     map[string]bool `json:"cgroup"`
			Seccomp    struct {
				Enabled bool     `json:"enabled"`
				Actions []string `json:"actions"`
				Archs   []string `json:"archs"`
			} `json:"seccomp"`
			Apparmor, Selinux struct {
				Enabled bool `json:"enabled"`
			}
		} `json:"linux"`
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	list := func(kind string, names []string) {
		for _, n := range names {
			add("runc", kind, n)
		}
	}
	list("hook", f.Hooks)
	list("namespace", f.Linux.Namespaces)
	list("seccomp action", f.Linux.Seccomp.Actions)
	list("seccomp architecture", f.Linux.Seccomp.Archs)
	for name, on := range f.Linux.Cgroup {
		if on {
			add("runc", "cgroup", name)
		}
	}
	for name, on := range map[string]bool{"seccomp": f.Linux.Seccomp.Enabled, "apparmor": f.Linux.Apparmor.Enabled, "selinux": f.Linux.Selinux.Enabled,
		"checkpoint": f.Annotations["org.opencontainers.runc.checkpoint.enabled"] == "true"} {
		if on {
			add("runc", name, "")
		}
	}
	return nil
}

// Parity holds the features that are there against the recorded ones. A recorded line that begins with "-" names what
// upstream's build has and this one leaves out on purpose.
func Parity(recorded string, have []string) (lost, gained, left []string) {
	known := map[string]bool{}
	for line := range strings.Lines(recorded) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "-"):
			left = append(left, strings.TrimSpace(line[1:]))
		default:
			known[line] = true
			if !slices.Contains(have, line) {
				lost = append(lost, line)
			}
		}
	}
	for _, h := range have {
		if !known[h] {
			gained = append(gained, h)
		}
	}
	return lost, gained, left
}
