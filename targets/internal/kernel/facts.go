package kernel

import (
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
	{"cgroup v1", []string{"CGROUPS", "MEMCG", "CPUSETS", "CGROUP_DEVICE", "CGROUP_FREEZER", "MEMCG_V1", "CPUSETS_V1"},
		"2.6.29"},
	{"cgroup v2", []string{"CGROUPS", "MEMCG", "CGROUP_BPF"}, "4.15"},
	{"bridge network with --iptables=false", bridge, "2.6.32"},
	{"bridge network with iptables (legacy: NAT, names)", slices.Concat(bridge, netfilter,
		[]string{"IP_NF_IPTABLES", "IP_NF_FILTER", "IP_NF_NAT", "IP_NF_TARGET_MASQUERADE"}), "2.6.32"},
	{"bridge network with iptables (nf_tables: NAT, names)", slices.Concat(bridge, netfilter,
		[]string{"NF_TABLES", "NFT_COMPAT", "NFT_NAT"}), "3.13"},
	{"iptables for IPv6 (--ip6tables)",
		[]string{"IPV6", "IP6_NF_IPTABLES", "IP6_NF_FILTER", "IP6_NF_NAT", "IP6_NF_TARGET_MASQUERADE"}, "3.7"},
	{"iptables: table raw (Docker 28 and later)", []string{"IP_NF_RAW"}, "2.6.32"},
	{"iptables: rules of your own (LOG, REJECT, …)", []string{"IP_NF_MANGLE", "IP_NF_TARGET_REJECT",
		"NETFILTER_XT_TARGET_LOG", "NETFILTER_XT_MATCH_LIMIT", "NETFILTER_XT_MARK", "NETFILTER_XT_MATCH_MULTIPORT",
		"NETFILTER_XT_MATCH_COMMENT"}, "2.6.32"},
	{"overlay networks (swarm), encrypted too", []string{"VXLAN", "IP_VS", "NETFILTER_XT_MATCH_IPVS",
		"NETFILTER_XT_TARGET_REDIRECT", "NETFILTER_XT_MATCH_POLICY",
		"NETFILTER_XT_MATCH_U32|NETFILTER_XT_MATCH_BPF", "XFRM_USER", "INET_ESP"}, "3.7"},
}

// What the bridge networks are made of, and what every iptables needs of netfilter.
var (
	bridge    = []string{"NAMESPACES", "NET_NS", "BRIDGE", "VETH"}
	netfilter = []string{"BRIDGE_NETFILTER", "NETFILTER", "NETFILTER_XTABLES", "NF_CONNTRACK", "NF_NAT",
		"NETFILTER_XT_MATCH_ADDRTYPE", "NETFILTER_XT_MATCH_CONNTRACK"}
)

// lacks returns the options that a configuration has not, each with its CONFIG_, under the names of that release.
func (c Config) lacks(options []string, release int) []string {
	var all []string
	for _, o := range options {
		var n Need
		for name := range strings.SplitSeq(o, "|") {
			n.Options = append(n.Options, alternatives(name, release)...)
		}
		if len(n.Options) > 0 && n.met(c) == "" {
			all = append(all, n.String())
		}
	}
	return all
}

// Facts draws what a person asks for from the configuration. have is the kernel, least the oldest that the stack is
// for.
func Facts(c Config, have, least *version.Version) []Fact {
	fs := []Fact{{"kernel >= " + least.Original(), have.String(), have.GreaterThanOrEqual(least), true}}
	number := Number(have.String())
	for _, f := range features {
		x := Fact{Name: f.name, OK: true, Found: "yes"}
		lacks := c.lacks(f.options, number)
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
	switch err {
	case nil:
		x.Found, x.OK = "v2: "+strings.TrimSpace(string(controllers)), true
	default:
		var dirs []string
		at := filepath.Join(root, "sys/fs/cgroup")
		es, _ := os.ReadDir(at)
		for _, e := range es {
			if _, err := os.Stat(filepath.Join(at, e.Name(), "tasks")); err == nil {
				dirs = append(dirs, e.Name())
			}
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
