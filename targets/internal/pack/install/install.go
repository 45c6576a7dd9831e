// Package install has what a package installs itself with: install.sh and, below init/, the services' files for the
// target host, a program that checks and renames where the host's tools cannot, and what the kernel must have.
// install.sh is POSIX sh for the oldest shells; its own --help is its reference. It is one file in the package, and
// parts here.
package install

import (
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	version "github.com/hashicorp/go-version"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/kernel"
	"drydock/targets/internal/platform"
)

//go:embed files
var files embed.FS

// CheckSource is the program init/check, one file that every Go since 1.13 compiles without a module.
//
//go:embed check/main.go
var CheckSource []byte

// CheckName is where the compiled CheckSource lies in the package.
const CheckName = "init/check"

// Profile is what the installer must know of the stack and of the host that it is for.
type Profile struct {
	// Version is the stack's; Docker that of its dockerd, which says what a daemon.json may hold.
	Version, Docker string
	// Kernel, Init, Cgroup, Arch, IPTables and Storage are the stack's [target].
	Kernel, Init, Cgroup, Arch string
	IPTables                   *bool
	Storage                    string
	// Commands are the files that docker/ has in the package. Those in it are commands, those in cli-plugins/ plugins
	// of docker.
	Commands []string
	// KernelScript is upstream's check-config.sh; nil where the source has none.
	KernelScript []byte
}

// executable are the files that are run; the rest is read.
var executable = []string{"install.sh", "init/dbus.sysv", "init/docker.sysv", "init/docker.openrc",
	"init/docker.hourly", "init/service", "init/rotate", "init/cgroup-mount"}

// Files returns the installer's entries of the package: install.sh and what lies below init/, but for CheckName. It
// fails on a check-config.sh that cannot be read.
func Files(p Profile) ([]archive.Entry, error) {
	made := map[string][]byte{}
	for name, make := range map[string]func(Profile) ([]byte, error){"profile": profile, "daemon.json": daemonJSON,
		"kernel": kernelTable} {
		data, err := make(p)
		if err != nil {
			return nil, fmt.Errorf("init/%s: %w", name, err)
		}
		made["init/"+name] = data
	}
	// A directory's files are joined in the order of their names, which is that of WalkDir.
	err := fs.WalkDir(files, "files", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := files.ReadFile(name)
		name, part, _ := strings.Cut(strings.TrimPrefix(name, "files/"), "/")
		if part == "" {
			name = "init/" + name
		}
		made[name] = append(made[name], strings.ReplaceAll(string(data), "@CGROUP@", cmp.Or(p.Cgroup, "either"))...)
		return err
	})
	if err != nil {
		return nil, err
	}
	var es []archive.Entry
	for name, data := range made {
		e := archive.Entry{Name: name, Data: data, Mode: 0o644}
		if slices.Contains(executable, name) {
			e.Mode = 0o755
		}
		es = append(es, e)
	}
	slices.SortFunc(es, func(a, b archive.Entry) int { return strings.Compare(a.Name, b.Name) })
	return es, nil
}

// profile are the lines NAME=value that install.sh reads.
func profile(p Profile) ([]byte, error) {
	var iptables string
	if p.IPTables != nil {
		iptables = map[bool]string{true: "yes", false: "no"}[*p.IPTables]
	}
	arch, err := platform.Of(cmp.Or(p.Arch, platform.Default))
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "version=%s\nkernel=%s\narch=%s\nmachine=%s\ninit=%s\ncgroup=%s\niptables=%s\n"+
		"commands=%s\n", p.Version, p.Kernel, p.Arch, strings.Join(arch.Uname, " "), p.Init, p.Cgroup, iptables,
		strings.Join(p.Commands, " ")), nil
}

// daemonJSON is the daemon's first configuration. install.sh takes the lines with iptables out where dockerd is to make
// rules, so each of them stands alone and none is the last.
func daemonJSON(p Profile) ([]byte, error) {
	v, err := version.NewVersion(p.Docker)
	if err != nil {
		return nil, err
	}
	since := func(least string) bool { return v.GreaterThanOrEqual(version.Must(version.NewVersion(least))) }
	type setting struct {
		name  string
		value any
	}
	set := []setting{{"iptables", false}}
	if since("20.10") { // an older daemon does not start with a name that it does not know
		set = append(set, setting{"ip6tables", false})
	}
	if p.Cgroup == "v1" { // where no systemd manages the groups; with version 2 dockerd's own choice is right
		set = append(set, setting{"exec-opts", []string{"native.cgroupdriver=cgroupfs"}})
	}
	if p.Storage != "" {
		set = append(set, setting{"storage-driver", p.Storage})
	}
	set = append(set,
		setting{"log-driver", "json-file"},
		setting{"log-opts", map[string]string{"max-size": "10m", "max-file": "3"}}) // upstream's default has no limit
	var b strings.Builder
	for i, s := range set {
		value, err := json.Marshal(s.value)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%s  %q: %s", map[bool]string{true: "{\n", false: ",\n"}[i == 0], s.name, value)
	}
	b.WriteString("\n}\n")
	return []byte(b.String()), nil
}

// kernelTable writes down what dockerd asks of a kernel: install.sh must answer as drydock does, without it. Lines: the
// kind of need (package kernel has them), the options with | between those of which any will do, the first and the last
// release by two numbers or "-", and why. A list that drydock cannot read does not keep a package from being made: a
// line "unknown" says why only the release is checked.
func kernelTable(p Profile) ([]byte, error) {
	var b strings.Builder
	b.WriteString("# What the kernel must have, by contrib/check-config.sh of this dockerd's source. " +
		"Read by install.sh.\n")
	if p.KernelScript == nil {
		b.WriteString("unknown the source of this dockerd has no list of kernel options\n")
		return []byte(b.String()), nil
	}
	needs, err := kernel.Needs(string(p.KernelScript))
	if err != nil {
		fmt.Fprintf(&b, "unknown %v\n", err)
	}
	for _, n := range needs {
		row := fmt.Sprintf("%s %s %s %s %s", n.Kind, strings.Join(n.Options, "|"), cmp.Or(n.From, "-"),
			cmp.Or(n.To, "-"), n.Why)
		fmt.Fprintln(&b, strings.TrimSpace(row))
	}
	return []byte(b.String()), nil
}
