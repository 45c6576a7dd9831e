package smoke

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The network part: the same daemon, now with the iptables that lies beside it, and a world outside.

const (
	worldCheck   = "iptables: tables, and a world outside"
	lastNetCheck = "iptables: dockerd stops, nothing left"
	hostCheck    = "iptables: the host's own network is untouched"
)

// networkChecks are run after checks, in this order.
var networkChecks = []check{
	{worldCheck, 30 * time.Second, false, true, world},
	{"iptables: every extension that Docker uses", time.Minute, false, false, extensions},
	{"iptables: dockerd starts with it", 90 * time.Second, false, true, startsWithTables},
	{"iptables: containers reach each other", time.Minute, true, false, neighbours},
	{"iptables: NAT to the world outside", time.Minute, true, false, masquerade},
	{"iptables: -p through DNAT", time.Minute, true, false, translated},
	{"iptables: -p through docker-proxy", time.Minute, true, false, proxied},
	{"iptables: what is not published is closed", time.Minute, true, false, closed},
	{"iptables: names on a user-defined bridge", time.Minute, true, false, resolved},
	{"iptables: networks are kept apart", time.Minute, true, false, apart},
	{"iptables: --internal has no way outside", time.Minute, true, false, internal},
	{"iptables: the same rules after a restart", 2 * time.Minute, true, false, sameRules},
	{"iptables: IPv6", time.Minute, true, false, ipv6},
	{"iptables: network rm leaves no rule", time.Minute, true, false, noRuleLeft},
	{lastNetCheck, time.Minute, true, false, func(l *lab) {
		if l.outside != nil {
			l.outside.close()
			l.outside = nil
		}
		nothingLeft(l)
	}},
}

// runExtras runs what needs parts that not every stack has.
func (l *lab) runExtras(each func(Result)) {
	daemon := l.c.Daemon
	switch {
	case l.c.Network != nil:
		l.c.Daemon = l.c.Network
		l.runAll(networkChecks, each)
		if l.outside != nil {
			l.outside.close()
		}
	case l.c.NoNetwork != "" && l.c.Only == nil:
		each(Result{Name: "iptables: the network part", Verdict: Skipped, Detail: l.c.NoNetwork})
	}
	if l.c.Share != "" {
		l.runAll(busChecks, each)
	}
	if l.c.Plugins != nil {
		l.runPlugins(daemon, each)
	}
}

// hide takes programs out of the PATH: the first part shows what the daemon does where they are missing.
func (l *lab) hide(names ...string) {
	for _, n := range names {
		file, err := filepath.EvalSymlinks(filepath.Join(binDir, n))
		if err != nil || slices.Contains(l.hidden, file) {
			continue
		}
		l.ok("hide", os.WriteFile("/tmp/hidden", nil, 0o644))
		l.ok("hide "+n, unix.Mount("/tmp/hidden", file, "", unix.MS_BIND, ""))
		l.hidden = append(l.hidden, file)
	}
}

// world brings the programs back and builds the world outside. What this kernel lacks is the reason that the checks
// after it are skipped with.
func world(l *lab) {
	for _, file := range l.hidden {
		l.ok("show "+file, unix.Unmount(file, 0))
	}
	l.hidden = nil
	for _, table := range []string{"filter", "nat"} {
		if a := l.command("", Firewall, "-t", table, "-S"); a.code != 0 {
			l.noTables = fmt.Errorf("this kernel has no table %s for iptables: %s", table,
				strings.ReplaceAll(a.err, "\n", " "))
			l.skipf("%v", l.noTables)
		}
	}
	if l.noTables = l.bridge; l.noTables != nil {
		l.skipf("this kernel makes no bridge for us: %v", l.noTables)
	}
	var err error
	if l.outside, err = openOutside(); err != nil {
		l.skipf("%v", err)
	}
	// Docker up to 27 drops what is forwarded to nobody only where it is itself the one who turned forwarding on.
	for _, file := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
		if err := os.WriteFile(file, []byte("0"), 0o644); err != nil && !os.IsNotExist(err) {
			l.failf("%v", err)
		}
	}
	l.note = l.command("", Firewall, "--version").out
}

// tabled skips where this kernel has no tables, and reached where there is no world outside.
func (l *lab) tabled() {
	if l.noTables != nil {
		l.skipf("%v", l.noTables)
	}
}

func (l *lab) reached() {
	l.tabled()
	if l.outside == nil {
		l.skipf("there is no world outside: see %q", worldCheck)
	}
}

// rules are what Docker's versions and their users write, table by table, each with an extension. A ~ is a blank within
// a word.
var rules = []struct {
	v4, v6 bool
	text   string
}{
	{true, true, "nat -m addrtype --dst-type LOCAL -j RETURN"},
	{true, true, "nat -m addrtype --src-type LOCAL -o cable0 -j MASQUERADE"},
	{true, true, "filter -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"},
	{true, true, "filter -m state --state NEW -j ACCEPT"},
	{true, false, "nat -p tcp --dport 80 -j DNAT --to-destination 172.17.0.2:80"},
	{false, true, "nat -p tcp --dport 80 -j DNAT --to-destination [fd98::2]:80"},
	{true, false, "nat -s 172.17.0.2/32 -j SNAT --to-source 198.51.100.1"},
	{false, true, "nat -s fd98::2/128 -j SNAT --to-source fd98:51::1"},
	{true, true, "nat -p udp --dport 53 -j REDIRECT --to-ports 5353"},
	{true, true, "nat -p sctp --dport 80 -j RETURN"},
	{true, false, "filter -p icmp --icmp-type echo-request -j ACCEPT"},
	{false, true, "filter -p icmpv6 --icmpv6-type echo-request -j ACCEPT"},
	{true, true, "filter -p tcp --dport 2377 -m policy --dir in --pol ipsec -j ACCEPT"}, // swarm's encrypted overlays
	{true, true, "filter -p udp --dport 4789 -m u32 --u32 0x0&0xff=0x1 -j RETURN"},
	{true, true, "filter -p udp -m bpf --bytecode 1,6~0~0~0 -j RETURN"},
	{true, true, "mangle -p udp --dport 4789 -j MARK --set-mark 0xd0c4e3"},
	{true, true, "filter -m mark --mark 0xd0c4e3 -j ACCEPT"},
	{true, true, "mangle -j CONNMARK --save-mark"},
	{true, true, "filter -p tcp -m multiport --dports 80,443 -m comment --comment drydock -j ACCEPT"},
	{true, true, "filter -p tcp -j REJECT --reject-with tcp-reset"},
	{true, true, "filter -m limit --limit 5/min -j LOG --log-prefix drydock"},
	{true, true, "filter -m physdev --physdev-is-bridged -j ACCEPT"},
	{true, true, "mangle -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"},
	{true, true, "raw -p udp -j CT --notrack"},
}

// chainOf is where a rule may stand.
func chainOf(rule string) string {
	for word, chain := range map[string]string{"DNAT": "PREROUTING", "SNAT": "POSTROUTING", "MASQUERADE": "POSTROUTING",
		"TCPMSS": "POSTROUTING", "REJECT": "INPUT"} {
		if strings.Contains(" "+rule+" ", " -j "+word+" ") {
			return chain
		}
	}
	if strings.HasPrefix(rule, "filter ") {
		return "FORWARD"
	}
	return "PREROUTING"
}

// extensions writes every rule and takes it back by its own words, as Docker does.
func extensions(l *lab) {
	l.tabled()
	n := 0
	var lacks []string
	for program, family := range map[string]func(i int) bool{
		Firewall:    func(i int) bool { return rules[i].v4 },
		"ip6tables": func(i int) bool { return rules[i].v6 },
	} {
		if a := l.command("", program, "-t", "filter", "-S"); a.code != 0 {
			lacks = append(lacks, program)
			continue
		}
		for i, r := range rules {
			if !family(i) {
				continue
			}
			f := strings.Fields(r.text)
			for i := range f {
				f[i] = strings.ReplaceAll(f[i], "~", " ")
			}
			for _, how := range []string{"-A", "-C", "-D"} {
				argv := append([]string{program, "-t", f[0], how, chainOf(r.text)}, f[1:]...)
				a := l.command("", argv...)
				if a.code != 0 && how == "-A" && kernelLacks(a.err) {
					lacks = append(lacks, program+" "+r.text)
					break
				}
				if a.code != 0 {
					l.failf("%s: exit code %d: %s", strings.Join(argv, " "), a.code, a.err)
				}
				n++
			}
		}
	}
	slices.Sort(lacks)
	l.note = fmt.Sprintf("%d commands", n)
	if lacks != nil {
		l.note += "; this kernel lacks what these need: " + strings.Join(lacks, "; ")
	}
	if n == 0 {
		l.skipf("%s", l.note)
	}
}

// kernelLacks tells what the kernel answers to a rule that it has no module for from what iptables says of one that it
// does not know.
func kernelLacks(text string) bool {
	return strings.Contains(text, "No chain/target/match by that name") || strings.Contains(text, "can't initialize") ||
		strings.Contains(text, "Table does not exist")
}

// saved are all rules without their counters, sorted.
func (l *lab) saved() []string {
	var all []string
	for _, program := range []string{"iptables-save", "ip6tables-save"} {
		a := l.command("", program)
		if a.code != 0 {
			l.failf("%s: exit code %d: %s", program, a.code, a.err)
		}
		table := ""
		for line := range strings.Lines(a.out) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " [")
			switch {
			case strings.HasPrefix(line, "*"):
				table = line[1:]
			case line != "COMMIT" && !strings.HasPrefix(line, "#"):
				all = append(all, strings.TrimSuffix(program, "-save")+" "+table+" "+line)
			}
		}
	}
	slices.Sort(all)
	return all
}

// onlyIn are the lines of a that b has not, or not as often.
func onlyIn(a, b []string) []string {
	have := map[string]int{}
	for _, s := range b {
		have[s]++
	}
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { have[s]--; return have[s] >= 0 })
}

func startsWithTables(l *lab) {
	l.tabled()
	l.start()
	rules := strings.Join(l.saved(), "\n")
	l.has("rules", rules, "iptables nat :DOCKER")
	l.has("rules", rules, "-j MASQUERADE")
	l.note = fmt.Sprintf("%d rules and chains", len(l.saved()))
}

// peer starts a container that says who speaks to it on port 7000, and gives its address.
func (l *lab) peer(name string, flags ...string) string {
	l.detach(name, append(flags, "--", "peer", "7000")...)
	l.logged(name, "ready")
	return l.inspect(name, "range .NetworkSettings.Networks}}{{.IPAddress}}{{end")
}

// gateway is the bridge's own address in a network.
func (l *lab) gateway(network string) string {
	return l.inspect(network, "range .IPAM.Config}}{{.Gateway}} {{end")
}

// both asks by TCP and by UDP, and wants them to be heard from the same address.
func (l *lab) both(what string, want string, ask func(protocol string) (string, error)) {
	for _, protocol := range []string{"tcp", "udp"} {
		got, err := ask(protocol)
		if err != nil {
			l.failf("%s, %s: %v", what, protocol, err)
		}
		l.is(what+", "+protocol+": who was heard", got, want)
	}
}

// from is ask in a container of its own.
func (l *lab) from(flags []string, address string) func(protocol string) (string, error) {
	return func(protocol string) (string, error) {
		a := l.try(runArgs("--rm", append(slices.Clone(flags), "--", "ask", protocol, address))...)
		if a.code != 0 {
			return "", fmt.Errorf("exit code %d: %s", a.code, a.err)
		}
		return a.out, nil
	}
}

func neighbours(l *lab) {
	l.tabled()
	ip := l.peer("peer")
	for _, protocol := range []string{"tcp", "udp"} {
		got, err := l.from(nil, ip+":7000")(protocol)
		l.ok(protocol, err)
		if got == "" || got == ip || got == strings.TrimSpace(l.gateway("bridge")) {
			l.failf("%s: who was heard: got %q, want the other container's own address", protocol, got)
		}
	}
}

func masquerade(l *lab) {
	l.reached()
	l.both("a container to the world outside", here4.Addr().String(),
		l.from(nil, there4.Addr().String()+":"+outsidePort))
}

// translated asks from outside: where the container hears the asker's own address, no docker-proxy stood between.
func translated(l *lab) {
	l.reached()
	l.peer("peer", "-p", "8081:7000/tcp", "-p", "8081:7000/udp")
	l.both("the world outside to a container", there4.Addr().String(), func(protocol string) (string, error) {
		return l.outside.ask(protocol, here4.Addr().String()+":8081")
	})
}

// proxied asks on the host's loopback, which DNAT leaves out: docker-proxy speaks from the bridge's address.
func proxied(l *lab) {
	l.tabled()
	l.peer("peer", "-p", "127.0.0.1:8082:7000/tcp", "-p", "127.0.0.1:8082:7000/udp")
	l.is(proxy+" processes", proxies(), 2)
	l.both("the host itself to a container", strings.TrimSpace(l.gateway("bridge")),
		func(protocol string) (string, error) { return speak(protocol, "127.0.0.1:8082", "ahoy") })
	l.docker("rm", "-f", "peer")
	l.until(proxy+" has ended", 10*time.Second, func() bool { return proxies() == 0 })
}

// closed asks from outside for what nobody published there. (A port that is published on 127.0.0.1 alone is open at the
// container's own address, up to Docker 27: that is upstream's.)
func closed(l *lab) {
	l.reached()
	ip := l.peer("peer")
	l.peer("local", "-p", "127.0.0.1:8082:7000/tcp")
	for _, address := range []string{ip + ":7000", here4.Addr().String() + ":8082"} {
		if got, err := l.outside.ask("tcp", address); err == nil {
			l.failf("the world outside to %s: got the answer %q, want none", address, got)
		}
	}
}

// network makes one for the running check.
func (l *lab) network(name string, flags ...string) func() {
	l.docker(append(append([]string{"network", "create"}, flags...), name)...)
	return func() {
		l.tidy()
		l.try("network", "rm", name)
	}
}

func resolved(l *lab) {
	l.tabled()
	defer l.network("named")()
	ip := l.peer("server", "--network=named", "--network-alias=other")
	for _, name := range []string{"server", "other", ip} {
		if got, err := l.from([]string{"--network=named"}, name+":7000")("tcp"); err != nil || got == "" {
			l.failf("to %s: got %q, %v", name, got, err)
		}
	}
	if l.outside != nil {
		l.both("to the world outside", here4.Addr().String(),
			l.from([]string{"--network=named"}, there4.Addr().String()+":"+outsidePort))
	}
}

func apart(l *lab) {
	l.tabled()
	defer l.network("one")()
	defer l.network("two")()
	ip := l.peer("server", "--network=one")
	if got, err := l.from([]string{"--network=one"}, ip+":7000")("tcp"); err != nil {
		l.failf("in its own network: got %q, %v", got, err)
	}
	for _, other := range []string{"two", "bridge"} {
		if got, err := l.from([]string{"--network=" + other}, ip+":7000")("tcp"); err == nil {
			l.failf("from network %s: got the answer %q, want none", other, got)
		}
	}
}

func internal(l *lab) {
	l.reached()
	defer l.network("inner", "--internal")()
	ip := l.peer("server", "--network=inner")
	if got, err := l.from([]string{"--network=inner"}, ip+":7000")("tcp"); err != nil {
		l.failf("inside: got %q, %v", got, err)
	}
	if got, err := l.from([]string{"--network=inner"}, there4.Addr().String()+":"+outsidePort)("tcp"); err == nil {
		l.failf("to the world outside: got the answer %q, want none", got)
	}
	if got, err := l.outside.ask("tcp", ip+":7000"); err == nil {
		l.failf("from the world outside: got the answer %q, want none", got)
	}
}

// ipv6 is the whole of it on a network with addresses of version 6: inside, outwards, and published.
func ipv6(l *lab) {
	l.reached()
	switch {
	case !slices.Contains(l.c.Network, "--ip6tables=true"):
		l.skipf("this dockerd knows no --ip6tables")
	case !hasIPv6():
		l.skipf("this kernel has no IPv6")
	}
	if a := l.command("", "ip6tables", "-t", "nat", "-S"); a.code != 0 {
		l.skipf("this kernel has no table nat for IPv6: %s", strings.ReplaceAll(a.err, "\n", " "))
	}
	defer l.network("six", "--ipv6", "--subnet", "fd98:52::/64")()
	l.peer("server", "--network=six", "-p", "8084:7000/tcp", "-p", "8084:7000/udp")
	ip := l.inspect("server", "range .NetworkSettings.Networks}}{{.GlobalIPv6Address}}{{end")
	got, err := l.from([]string{"--network=six"}, net.JoinHostPort(ip, "7000"))("tcp")
	if err != nil || !strings.HasPrefix(got, "fd98:52::") {
		l.failf("container to container: got %q, %v", got, err)
	}
	l.both("a container to the world outside", here6.Addr().String(),
		l.from([]string{"--network=six"}, net.JoinHostPort(there6.Addr().String(), outsidePort)))
	l.both("the world outside to a container", there6.Addr().String(), func(protocol string) (string, error) {
		return l.outside.ask(protocol, net.JoinHostPort(here6.Addr().String(), "8084"))
	})
}

func hasIPv6() bool {
	_, err := os.Stat("/proc/net/if_inet6")
	return err == nil
}

// sameRules wants a restart of dockerd to write every rule again, and none twice.
func sameRules(l *lab) {
	l.reached()
	l.peer("peer", "--restart=always", "-p", "8085:7000/tcp")
	before := l.saved()
	l.restart(syscall.SIGTERM)
	l.until("the container runs again", 20*time.Second,
		func() bool { return l.inspect("peer", ".State.Running") == "true" })
	var got string
	var err error
	l.until("it answers again", 20*time.Second, func() bool {
		got, err = l.outside.ask("tcp", here4.Addr().String()+":8085")
		return err == nil
	})
	l.is("who was heard", got, there4.Addr())
	// Some releases write a rule twice while they run, and once at their start.
	before, after := slices.Compact(before), slices.Compact(l.saved())
	if left, gone := onlyIn(after, before), onlyIn(before, after); len(left)+len(gone) > 0 {
		l.failf("new %q, gone %q", left, gone)
	}
}

func noRuleLeft(l *lab) {
	l.tabled()
	before := l.saved()
	l.docker("network", "create", "brief")
	l.docker("network", "create", "--internal", "inner")
	l.peer("server", "--network=brief", "-p", "8086:7000/tcp")
	with := onlyIn(l.saved(), before)
	if len(with) < 3 {
		l.failf("with two networks and a port: got the rules %q, want more", with)
	}
	l.docker("rm", "-f", "server")
	l.docker("network", "rm", "brief", "inner")
	after := l.saved()
	if left, gone := onlyIn(after, before), onlyIn(before, after); len(left)+len(gone) > 0 {
		l.failf("left %q, gone %q", left, gone)
	}
	l.note = fmt.Sprintf("%d rules came and went", len(with))
}
