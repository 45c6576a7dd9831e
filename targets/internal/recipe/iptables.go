package recipe

var _ = register(Component{
	Name: "iptables", After: Client, Extra: "iptables", Apart: true,
	Does: "builds iptables, whether or not the stack's extras have it.\n\n" +
		"It is the legacy variant, with every extension in one static file: docs/network.md.",
	Example:    "mage iptables dbus",
	SourceGoes: true,
	C:          true, Make: true, Plan: iptables,
})

// iptables is the variant that speaks to the kernel's ip_tables, which 3.10 has and Docker of every version can use. It
// is one program, which looks at the name that it is called by.
func iptables(r request) Plan {
	const name = "xtables-legacy-multi"
	return r.configured(configure{
		generated: []string{"aclocal.m4", "configure", "config.h.in", "libiptc/Makefile.in", "libxtables/Makefile.in",
			"iptables/Makefile.in", "extensions/GNUmakefile.in"},
		// /run is not there on old hosts; where it is, /var/run leads to it, and the lock is the one that the host's
		// own iptables takes.
		flags: []string{"--prefix=/usr/local", "--sysconfdir=/etc", "--with-xt-lock-name=/var/run/xtables.lock",
			"--disable-nftables", "--disable-devel", "--disable-bpf-compiler", "--disable-nfsynproxy",
			"--disable-connlabel"},
		targets: [][]string{{"libiptc", "libip4tc.la", "libip6tc.la"}, {"libxtables", "libxtables.la"},
			{"extensions", "libext.a", "libext4.a", "libext6.a"}, {"iptables", name}},
		take: [][]string{{".", "iptables/" + name}},
	},
		[]Output{{Name: name, Bin: true, Ask: []string{"iptables", "--version"},
			Want: []string{"iptables v" + r.c.Version + " (legacy)"},
			Links: []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save",
				"ip6tables-restore"}}})
}
