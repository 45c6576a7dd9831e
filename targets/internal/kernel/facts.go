package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	version "github.com/hashicorp/go-version"
)

// Fact is something that a kernel offers, drawn from several options or from the running system.
type Fact struct {
	Name     string `json:"name"`
	Found    string `json:"found"`
	OK       bool   `json:"ok"`
	Required bool   `json:"required"`
}

// features are what a person asks for, each with the options that it takes and the release that brought it.
var features = []struct {
	name    string
	options []string
	since   string
}{
	{"storage driver overlay2", []string{"OVERLAY_FS"}, "3.10"}, // upstream is 3.18; el7 carries it in its 3.10
	{"storage driver btrfs", []string{"BTRFS_FS"}, "3.10"},
	{"user namespaces (userns-remap, rootless)", []string{"USER_NS"}, "3.8"},
	{"seccomp profiles", []string{"SECCOMP", "SECCOMP_FILTER"}, "3.5"},
	{"cgroup v1", []string{"CGROUPS", "MEMCG", "CPUSETS", "CGROUP_DEVICE", "CGROUP_FREEZER"}, "2.6.29"},
	{"cgroup v2", []string{"CGROUPS", "MEMCG", "CGROUP_BPF"}, "4.15"},
	{"iptables (bridge network, NAT)", []string{"NETFILTER", "NF_CONNTRACK", "IP_NF_IPTABLES", "IP_NF_FILTER", "IP_NF_NAT", "IP_NF_TARGET_MASQUERADE",
		"NETFILTER_XT_MATCH_ADDRTYPE", "NETFILTER_XT_MATCH_CONNTRACK", "BRIDGE", "BRIDGE_NETFILTER", "VETH"}, "2.6.32"},
	{"iptables for IPv6", []string{"IP6_NF_IPTABLES", "IP6_NF_FILTER"}, "2.6.32"},
}

// Facts draws what a person asks for from the configuration. have is the kernel, least the oldest that the stack is for.
func Facts(options []Option, c Config, have, least *version.Version) []Fact {
	required, missing := 0, []string{}
	for _, o := range options {
		if o.For == Required {
			required++
			if o.State == "" {
				missing = append(missing, o.Name)
			}
		}
	}
	found := fmt.Sprintf("all %d", required)
	if len(missing) > 0 {
		found = "without " + strings.Join(missing, ", ")
	}
	fs := []Fact{
		{"kernel >= " + least.Original(), have.String(), have.GreaterThanOrEqual(least), true},
		{"required options", found, len(missing) == 0, false}, // each missing one is counted by itself
	}
	for _, f := range features {
		x := Fact{Name: f.name, OK: true, Found: "yes"}
		var lacks []string
		for _, o := range f.options {
			if c[o] == "" {
				lacks = append(lacks, "CONFIG_"+o)
			}
		}
		switch {
		case have.LessThan(version.Must(version.NewVersion(f.since))):
			x.OK, x.Found = false, "no: came with "+f.since
		case len(lacks) > 0:
			x.OK, x.Found = false, "no: without "+strings.Join(lacks, ", ")
		}
		fs = append(fs, x)
	}
	return fs
}

// Running asks the running system, whose files lie below root, what its configuration cannot say.
func Running(root string) []Fact {
	controllers, err := os.ReadFile(filepath.Join(root, "sys/fs/cgroup/cgroup.controllers"))
	x := Fact{Name: "cgroup layout here", Required: true}
	switch {
	case err == nil:
		x.Found, x.OK = "v2: "+strings.TrimSpace(string(controllers)), true
	default:
		dirs, _ := filepath.Glob(filepath.Join(root, "sys/fs/cgroup/*/tasks"))
		for i := range dirs {
			dirs[i] = filepath.Base(filepath.Dir(dirs[i]))
		}
		x.Found, x.OK = "v1: "+strings.Join(dirs, " "), len(dirs) > 0
		if !x.OK {
			x.Found = "none is mounted at /sys/fs/cgroup"
		}
	}
	fs := []Fact{x}
	if n, err := os.ReadFile(filepath.Join(root, "proc/sys/user/max_user_namespaces")); err == nil {
		s := strings.TrimSpace(string(n))
		fs = append(fs, Fact{Name: "user namespaces allowed here", Found: s, OK: s != "0"})
	}
	return fs
}
