package kernel

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kinds of needs.
const (
	Always   = "need"     // nothing runs without it
	Network  = "network"  // dockerd's iptables rules need it, whichever iptables makes them
	Legacy   = "legacy"   // the same, with an iptables of the legacy kind
	NFTables = "nftables" // the same, with an iptables of the nf_tables kind
	Cgroup1  = "cgroup1"  // control groups of version 1 need it
	Want     = "want"     // Docker runs without it, but not as a user expects
)

// Need is what a range of kernel releases must have.
type Need struct {
	Kind    string
	Options []string // names without CONFIG_, any of which will do; the first is the right one for these releases
	// From and To are the first and the last release, such as 4.15; empty where the range is open.
	From, To string
	Why      string // what does not work without it; for Want only
}

// lifetimes are the releases of vanilla Linux in which an option exists, where upstream's list names it for others as
// well or where this package asks for it. Outside of them another option does the work, or nothing needs to. Source:
// the Kconfig files of the releases on both sides of each border. Distributions bring newer names into older releases
// (RHEL 7's 3.10 has IP_NF_NAT): an option that is set counts wherever it is asked for.
var lifetimes = map[string]struct{ from, to, instead string }{
	"IP_NF_NAT":                      {"3.17", "", "NF_NAT_IPV4"},
	"IP6_NF_NAT":                     {"3.17", "", "NF_NAT_IPV6"},
	"NF_NAT_IPV4":                    {"3.7", "5.0", "NF_NAT"},
	"NF_NAT_IPV6":                    {"3.7", "5.0", "NF_NAT"},
	"NF_NAT_NEEDED":                  {"", "5.1", "NF_NAT"},
	"NETFILTER_XT_TARGET_REDIRECT":   {"3.7", "", "IP_NF_TARGET_REDIRECT"},
	"NETFILTER_XT_TARGET_LOG":        {"3.4", "", "IP_NF_TARGET_LOG"},
	"NETFILTER_XT_TARGET_MASQUERADE": {"5.2", "", "IP_NF_TARGET_MASQUERADE"},
	"NFT_NAT":                        {"5.1", "", "NFT_CHAIN_NAT_IPV4"},
	"NFT_MASQ":                       {"3.18", "", ""},
	"MEMCG":                          {"3.6", "", "CGROUP_MEM_RES_CTLR"},
	"CGROUP_NET_PRIO":                {"3.14", "", "NETPRIO_CGROUP"},
	"MEMCG_V1":                       {"6.11", "", ""},
	"CPUSETS_V1":                     {"6.12", "", ""},
}

// alternatives returns the options that do what the named one does in a release, the right one first; none where
// nothing needs to.
func alternatives(option string, release int) []string {
	l, known := lifetimes[option]
	if !known || (l.from == "" || release >= Number(l.from)) && (l.to == "" || release <= Number(l.to)) {
		return []string{option}
	}
	if l.instead == "" {
		return nil
	}
	return append(alternatives(l.instead, release), option)
}

// Number returns major*1000 + minor of a release, by which ranges are compared; 0 for what does not begin with numbers.
func Number(release string) int {
	major, rest, _ := strings.Cut(releaseRE.FindString(release), ".")
	n, _ := strconv.Atoi(major)
	minor, _ := strconv.Atoi(rest)
	return n*1000 + minor
}

// Netfilter reports whether an option is one of netfilter's, and so only needed where dockerd makes rules.
func Netfilter(option string) bool {
	begins := func(p string) bool { return strings.HasPrefix(option, p) }
	return slices.ContainsFunc([]string{"NETFILTER_", "NF_", "IP_NF_", "IP6_NF_", "BRIDGE_NETFILTER"}, begins)
}

// kindOf returns the kind of an option that upstream's list calls necessary.
func kindOf(option string) string {
	switch {
	case option == "NETFILTER_XT_MATCH_IPVS": // dockerd loads it for swarm's services alone
		return Want
	case strings.HasPrefix(option, "IP_NF_"), strings.HasPrefix(option, "IP6_NF_"), option == "NF_NAT_IPV4",
		option == "NF_NAT_IPV6":
		return Legacy
	case Netfilter(option):
		return Network
	}
	return Always
}

// wanted says what does not work without an option.
var wanted = map[string]string{
	"NETFILTER_XT_MATCH_IPVS": "swarm's services cannot balance their load",
	"SECCOMP_FILTER":          "containers run without a seccomp profile",
	"CGROUP_PIDS":             "limits of processes do not work",
	"CFS_BANDWIDTH":           "limits of CPU time (--cpus) do not work",
	"OVERLAY_FS": "without overlay2 dockerd takes the storage driver vfs, " +
		"which copies all files for every container",
}

// asked are the options that this package asks for beside upstream's list. An iptables of the nf_tables kind hands
// MASQUERADE to the kernel as an expression (NFT_MASQ) or through NFT_COMPAT.
var asked = []struct{ kind, options string }{
	{NFTables, "NF_TABLES"}, {NFTables, "NFT_COMPAT"}, {NFTables, "NFT_NAT"},
	{NFTables, "NFT_MASQ|NETFILTER_XT_TARGET_MASQUERADE"},
	{Cgroup1, "MEMCG_V1"}, {Cgroup1, "CPUSETS_V1"},
	{Want, "OVERLAY_FS"}, {Want, "SECCOMP_FILTER"}, {Want, "CGROUP_PIDS"}, {Want, "CFS_BANDWIDTH"},
}

// releases are all that Needs looks at, oldest first.
func releases() []string {
	all := []string{"2.6"}
	for i, last := range []int{19, 20, 19, 19, 0} { // of 3, 4, 5, 6, 7
		for minor := range last + 1 {
			all = append(all, fmt.Sprintf("%d.%d", i+3, minor))
		}
	}
	return all
}

// Needs returns what dockerd asks of a kernel, by release, in the order of upstream's list: that list, but for the
// names that are wrong for a release (see lifetimes), and what it does not ask for. The error is that of Options.
func Needs(script string) ([]Need, error) {
	type run struct{ first, last int }
	all := releases()
	at := map[string][]run{} // by kind and options
	var order []Need
	add := func(i int, kind string, options []string) {
		key := kind + " " + strings.Join(options, "|")
		rs := at[key]
		switch n := len(rs); {
		case len(options) == 0:
			return
		case n == 0:
			order = append(order, Need{Kind: kind, Options: options})
			rs = append(rs, run{i, i})
		case rs[n-1].last == i: // named twice
		case rs[n-1].last == i-1:
			rs[n-1].last = i
		default:
			rs = append(rs, run{i, i})
		}
		at[key] = rs
	}
	for i, r := range all {
		options, err := Options(script, r, Config{})
		if err != nil {
			return nil, err
		}
		for _, o := range options {
			if o.For == Required {
				add(i, kindOf(o.Name), alternatives(o.Name, Number(r)))
			}
		}
		for _, a := range asked {
			var one []string
			for o := range strings.SplitSeq(a.options, "|") {
				one = append(one, alternatives(o, Number(r))...)
			}
			add(i, a.kind, one)
		}
	}
	var needs []Need
	for _, n := range order {
		for _, r := range at[n.Kind+" "+strings.Join(n.Options, "|")] {
			n.From, n.To, n.Why = "", "", wanted[n.Options[0]]
			if r.first > 0 {
				n.From = all[r.first]
			}
			if r.last < len(all)-1 {
				n.To = all[r.last]
			}
			needs = append(needs, n)
		}
	}
	return needs, nil
}

// in reports whether the need is one of a release.
func (n Need) in(release int) bool {
	return (n.From == "" || release >= Number(n.From)) && (n.To == "" || release <= Number(n.To))
}

// met returns the state of the first option that is set: y, m, or empty for none.
func (n Need) met(c Config) string {
	for _, o := range n.Options {
		if c[o] != "" {
			return c[o]
		}
	}
	return ""
}

// String returns the options, each with its CONFIG_.
func (n Need) String() string { return "CONFIG_" + strings.Join(n.Options, " or CONFIG_") }

// Verdict is what a kernel lacks.
type Verdict struct {
	// Lacks keep Docker from running there.
	Lacks []Need
	// Netfilter keep dockerd from making iptables rules of either kind; --iptables=false does without.
	Netfilter []Need
}

// Judge compares a kernel with the needs. cgroup is the layout of control groups that is wanted: v1, v2, or empty for
// either.
func Judge(needs []Need, release, cgroup string, c Config) Verdict {
	lacks := map[string][]Need{}
	for _, n := range needs {
		if n.in(Number(release)) && n.met(c) == "" {
			lacks[n.Kind] = append(lacks[n.Kind], n)
		}
	}
	v := Verdict{Lacks: lacks[Always]}
	if cgroup == "v1" {
		v.Lacks = append(v.Lacks, lacks[Cgroup1]...)
	}
	v.Netfilter = lacks[Network]
	if len(lacks[NFTables]) > 0 {
		v.Netfilter = append(v.Netfilter, lacks[Legacy]...)
	}
	return v
}

// labels are what the kinds are called in an option's For.
var labels = map[string]string{
	Always: Required, Network: "required with iptables", Legacy: "required with iptables (legacy)",
	NFTables: "required with iptables (nf_tables)", Cgroup1: "control groups of version 1",
}

// Asked returns the options for one release as Options does, with the necessary ones as Needs has them: under the name
// that is right for the release, and said where upstream's list has another.
func Asked(options []Option, needs []Need, release string, c Config) []Option {
	var all []Option
	for _, n := range needs {
		if !n.in(Number(release)) {
			continue
		}
		o := Option{Name: n.Options[0], For: labels[n.Kind], State: n.met(c)}
		if i := slices.IndexFunc(n.Options, func(other string) bool { return c[other] != "" }); i >= 0 {
			o.Name = n.Options[i]
		}
		if n.Kind == Want {
			needed := func(u Option) bool { return u.Name == o.Name && u.For == Required }
			if o.For = n.Why; !slices.ContainsFunc(options, needed) {
				continue // among the optional ones of upstream's list
			}
		}
		theirs := n.Options[len(n.Options)-1]
		if theirs != n.Options[0] && lifetimes[theirs].instead != "" && n.Kind != NFTables {
			o.Note = "upstream's list has CONFIG_" + theirs + ", which vanilla " + trim(release) + " does not know"
		}
		all = append(all, o)
	}
	optional := slices.DeleteFunc(slices.Clone(options), func(o Option) bool { return o.For == Required })
	return append(all, optional...)
}

// trim returns a release without what a distribution adds.
func trim(release string) string { return releaseRE.FindString(release) }
