package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// features are what a person asks for, each with the options that it takes ("A|B" is one of them) and the release that
// brought it.
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
	{"bridge network with --iptables=false", []string{"NAMESPACES", "NET_NS", "BRIDGE", "VETH"}, "2.6.32"},
	{"bridge network with iptables (NAT, names)", []string{"NAMESPACES", "NET_NS", "BRIDGE", "VETH", "BRIDGE_NETFILTER",
		"NETFILTER", "NETFILTER_XTABLES", "NF_CONNTRACK", "NF_NAT", "IP_NF_IPTABLES", "IP_NF_FILTER", "IP_NF_NAT|NF_NAT_IPV4", "IP_NF_TARGET_MASQUERADE|NETFILTER_XT_TARGET_MASQUERADE",
		"NETFILTER_XT_MATCH_ADDRTYPE", "NETFILTER_XT_MATCH_CONNTRACK"}, "2.6.32"},
	{"iptables for IPv6 (--ip6tables)", []string{"IPV6", "IP6_NF_IPTABLES", "IP6_NF_FILTER", "IP6_NF_NAT|NF_NAT_IPV6", "IP6_NF_TARGET_MASQUERADE|NETFILTER_XT_TARGET_MASQUERADE"}, "3.7"},
	{"iptables: table raw (Docker 28 and later)", []string{"IP_NF_RAW"}, "2.6.32"},
	{"iptables: rules of your own (LOG, REJECT, …)", []string{"IP_NF_MANGLE", "IP_NF_TARGET_REJECT", "NETFILTER_XT_TARGET_LOG|IP_NF_TARGET_LOG",
		"NETFILTER_XT_MATCH_LIMIT", "NETFILTER_XT_MARK", "NETFILTER_XT_MATCH_MULTIPORT", "NETFILTER_XT_MATCH_COMMENT"}, "2.6.32"},
	{"overlay networks (swarm), encrypted too", []string{"VXLAN", "IP_VS", "NETFILTER_XT_MATCH_IPVS", "NETFILTER_XT_TARGET_REDIRECT|IP_NF_TARGET_REDIRECT", "NETFILTER_XT_MATCH_POLICY",
		"NETFILTER_XT_MATCH_U32|NETFILTER_XT_MATCH_BPF", "XFRM_USER", "INET_ESP"}, "3.7"},
}

// lacks are the options that a configuration has not, each with its CONFIG_. Options got other names as netfilter was
// rebuilt: where several stand in one, any will do.
func (c Config) lacks(options []string) []string {
	var all []string
	for _, o := range options {
		names := strings.Split(o, "|")
		if !slices.ContainsFunc(names, func(n string) bool { return c[n] != "" }) {
			all = append(all, "CONFIG_"+strings.Join(names, " or CONFIG_"))
		}
	}
	return all
}

// Netfilter says whether an option is one of netfilter's.
func Netfilter(option string) bool {
	for _, p := range []string{"NETFILTER_", "NF_", "IP_NF_", "IP6_NF_", "BRIDGE_NETFILTER"} {
		if strings.HasPrefix(option, p) {
			return true
		}
	}
	return false
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
		lacks := c.lacks(f.options)
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
