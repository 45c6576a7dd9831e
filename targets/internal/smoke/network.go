package smoke

import (
	_ "embed"
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
	{lastNetCheck, time.Minute, true, false, func(h *harness) {
		if h.netpeer != nil {
			h.netpeer.close()
			h.netpeer = nil
		}
		nothingLeft(h)
	}},
}

// runExtras runs what needs parts that not every stack has.
func (h *harness) runExtras(each func(Result)) {
	daemon := h.c.Daemon
	switch {
	case h.c.Network != nil:
		h.c.Daemon = h.c.Network
		h.runAll(networkChecks, each)
		if h.netpeer != nil {
			h.netpeer.close()
		}
	case h.c.NoNetwork != "" && h.c.Only == nil:
		each(Result{Name: "iptables: the network part", Verdict: Skipped, Detail: h.c.NoNetwork})
	}
	if h.c.Share != "" {
		h.runAll(busChecks, each)
	}
	if h.c.Plugins != nil {
		h.runPlugins(daemon, each)
	}
}

// hide takes programs out of the PATH: the first part shows what the daemon does where they are missing.
func (h *harness) hide(names ...string) {
	for _, n := range names {
		file, err := filepath.EvalSymlinks(filepath.Join(binDir, n))
		if err != nil || slices.Contains(h.hidden, file) {
			continue
		}
		h.ok("hide", os.WriteFile("/tmp/hidden", nil, 0o644))
		h.ok("hide "+n, unix.Mount("/tmp/hidden", file, "", unix.MS_BIND, ""))
		h.hidden = append(h.hidden, file)
	}
}

// world brings the programs back and builds the world outside. What this kernel lacks is the reason that the checks
// after it are skipped with.
func world(h *harness) {
	for _, file := range h.hidden {
		h.ok("show "+file, unix.Unmount(file, 0))
	}
	h.hidden = nil
	for _, table := range []string{"filter", "nat"} {
		if a := h.command("", Firewall, "-t", table, "-S"); a.code != 0 {
			h.noTables = fmt.Errorf("this kernel has no table %s for iptables: %s", table,
				strings.ReplaceAll(a.err, "\n", " "))
			h.skipf("%v", h.noTables)
		}
	}
	if h.noTables = h.bridge; h.noTables != nil {
		h.skipf("this kernel makes no bridge for us: %v", h.noTables)
	}
	var err error
	if h.netpeer, err = openNetpeer(); err != nil {
		h.skipf("%v", err)
	}
	// Docker up to 27 drops what is forwarded to nobody only where it is itself the one who turned forwarding on.
	for _, file := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
		if err := os.WriteFile(file, []byte("0"), 0o644); err != nil && !os.IsNotExist(err) {
			h.failf("%v", err)
		}
	}
	h.note = h.command("", Firewall, "--version").out
}

// tabled skips where this kernel has no tables, and reached where there is no world outside.
func (h *harness) tabled() {
	if h.noTables != nil {
		h.skipf("%v", h.noTables)
	}
}

func (h *harness) reached() {
	h.tabled()
	if h.netpeer == nil {
		h.skipf("there is no world outside: see %q", worldCheck)
	}
}

// rules are those of rules.txt that a program writes: "4" is iptables, "6" ip6tables.
func rules(family string) (all []string) {
	for line := range strings.Lines(rulesText) {
		if families, rule, _ := strings.Cut(strings.TrimSpace(line), " "); strings.Contains(families, family) {
			all = append(all, rule)
		}
	}
	return all
}

//go:embed rules.txt
var rulesText string

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
func extensions(h *harness) {
	h.tabled()
	n := 0
	var lacks []string
	for program, family := range map[string]string{Firewall: "4", "ip6tables": "6"} {
		if a := h.command("", program, "-t", "filter", "-S"); a.code != 0 {
			lacks = append(lacks, program)
			continue
		}
		for _, rule := range rules(family) {
			f := strings.Fields(rule)
			for i := range f {
				f[i] = strings.ReplaceAll(f[i], "~", " ")
			}
			for _, how := range []string{"-A", "-C", "-D"} {
				argv := append([]string{program, "-t", f[0], how, chainOf(rule)}, f[1:]...)
				a := h.command("", argv...)
				if a.code != 0 && how == "-A" && kernelLacks(a.err) {
					lacks = append(lacks, program+" "+rule)
					break
				}
				if a.code != 0 {
					h.failf("%s: exit code %d: %s", strings.Join(argv, " "), a.code, a.err)
				}
				n++
			}
		}
	}
	slices.Sort(lacks)
	h.note = fmt.Sprintf("%d commands", n)
	if lacks != nil {
		h.note += "; this kernel lacks what these need: " + strings.Join(lacks, "; ")
	}
	if n == 0 {
		h.skipf("%s", h.note)
	}
}

// kernelLacks tells what the kernel answers to a rule that it has no module for from what iptables says of one that it
// does not know.
func kernelLacks(text string) bool {
	return strings.Contains(text, "No chain/target/match by that name") || strings.Contains(text, "can't initialize") ||
		strings.Contains(text, "Table does not exist")
}

// saved are all rules without their counters, sorted.
func (h *harness) saved() []string {
	var all []string
	for _, program := range []string{"iptables-save", "ip6tables-save"} {
		a := h.command("", program)
		if a.code != 0 {
			h.failf("%s: exit code %d: %s", program, a.code, a.err)
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

func startsWithTables(h *harness) {
	h.tabled()
	h.start()
	rules := strings.Join(h.saved(), "\n")
	h.has("rules", rules, "iptables nat :DOCKER")
	h.has("rules", rules, "-j MASQUERADE")
	h.note = fmt.Sprintf("%d rules and chains", len(h.saved()))
}

// peer starts a container that says who speaks to it on port 7000, and returns its address.
func (h *harness) peer(name string, flags ...string) string {
	h.detach(name, append(flags, "--", "peer", "7000")...)
	h.logged(name, "ready")
	return h.inspect(name, "range .NetworkSettings.Networks}}{{.IPAddress}}{{end")
}

// gateway is the bridge's own address in a network.
func (h *harness) gateway(network string) string {
	return h.inspect(network, "range .IPAM.Config}}{{.Gateway}} {{end")
}

// both asks by TCP and by UDP, and wants them to be heard from the same address.
func (h *harness) both(what string, want string, ask func(protocol string) (string, error)) {
	for _, protocol := range []string{"tcp", "udp"} {
		got, err := ask(protocol)
		if err != nil {
			h.failf("%s, %s: %v", what, protocol, err)
		}
		h.is(what+", "+protocol+": who was heard", got, want)
	}
}

// from is ask in a container of its own.
func (h *harness) from(flags []string, address string) func(protocol string) (string, error) {
	return func(protocol string) (string, error) {
		a := h.try(runArgs("--rm", append(slices.Clone(flags), "--", "ask", protocol, address))...)
		if a.code != 0 {
			return "", fmt.Errorf("exit code %d: %s", a.code, a.err)
		}
		return a.out, nil
	}
}

func neighbours(h *harness) {
	h.tabled()
	ip := h.peer("peer")
	for _, protocol := range []string{"tcp", "udp"} {
		got, err := h.from(nil, ip+":7000")(protocol)
		h.ok(protocol, err)
		if got == "" || got == ip || got == strings.TrimSpace(h.gateway("bridge")) {
			h.failf("%s: who was heard: got %q, want the other container's own address", protocol, got)
		}
	}
}

func masquerade(h *harness) {
	h.reached()
	h.both("a container to the world outside", here4.Addr().String(),
		h.from(nil, there4.Addr().String()+":"+netpeerPort))
}

// translated asks from outside: where the container hears the asker's own address, no docker-proxy stood between.
func translated(h *harness) {
	h.reached()
	h.peer("peer", "-p", "8081:7000/tcp", "-p", "8081:7000/udp")
	h.both("the world outside to a container", there4.Addr().String(), func(protocol string) (string, error) {
		return h.netpeer.ask(protocol, here4.Addr().String()+":8081")
	})
}

// proxied asks on the host's loopback, which DNAT leaves out: docker-proxy speaks from the bridge's address.
func proxied(h *harness) {
	h.tabled()
	h.peer("peer", "-p", "127.0.0.1:8082:7000/tcp", "-p", "127.0.0.1:8082:7000/udp")
	h.is(proxy+" processes", proxies(), 2)
	h.both("the host itself to a container", strings.TrimSpace(h.gateway("bridge")),
		func(protocol string) (string, error) { return speak(protocol, "127.0.0.1:8082", "ahoy") })
	h.docker("rm", "-f", "peer")
	h.until(proxy+" has ended", 10*time.Second, func() bool { return proxies() == 0 })
}

// closed asks from outside for what nobody published there. (A port that is published on 127.0.0.1 alone is open at the
// container's own address, up to Docker 27: that is upstream's.)
func closed(h *harness) {
	h.reached()
	ip := h.peer("peer")
	h.peer("local", "-p", "127.0.0.1:8082:7000/tcp")
	for _, address := range []string{ip + ":7000", here4.Addr().String() + ":8082"} {
		if got, err := h.netpeer.ask("tcp", address); err == nil {
			h.failf("the world outside to %s: got the answer %q, want none", address, got)
		}
	}
}

// network makes one for the running check.
func (h *harness) network(name string, flags ...string) func() {
	h.docker(append(append([]string{"network", "create"}, flags...), name)...)
	return func() {
		h.tidy()
		h.try("network", "rm", name)
	}
}

func resolved(h *harness) {
	h.tabled()
	defer h.network("named")()
	ip := h.peer("server", "--network=named", "--network-alias=other")
	for _, name := range []string{"server", "other", ip} {
		if got, err := h.from([]string{"--network=named"}, name+":7000")("tcp"); err != nil || got == "" {
			h.failf("to %s: got %q, %v", name, got, err)
		}
	}
	if h.netpeer != nil {
		h.both("to the world outside", here4.Addr().String(),
			h.from([]string{"--network=named"}, there4.Addr().String()+":"+netpeerPort))
	}
}

func apart(h *harness) {
	h.tabled()
	defer h.network("one")()
	defer h.network("two")()
	ip := h.peer("server", "--network=one")
	if got, err := h.from([]string{"--network=one"}, ip+":7000")("tcp"); err != nil {
		h.failf("in its own network: got %q, %v", got, err)
	}
	for _, other := range []string{"two", "bridge"} {
		if got, err := h.from([]string{"--network=" + other}, ip+":7000")("tcp"); err == nil {
			h.failf("from network %s: got the answer %q, want none", other, got)
		}
	}
}

func internal(h *harness) {
	h.reached()
	defer h.network("inner", "--internal")()
	ip := h.peer("server", "--network=inner")
	if got, err := h.from([]string{"--network=inner"}, ip+":7000")("tcp"); err != nil {
		h.failf("inside: got %q, %v", got, err)
	}
	if got, err := h.from([]string{"--network=inner"}, there4.Addr().String()+":"+netpeerPort)("tcp"); err == nil {
		h.failf("to the world outside: got the answer %q, want none", got)
	}
	if got, err := h.netpeer.ask("tcp", ip+":7000"); err == nil {
		h.failf("from the world outside: got the answer %q, want none", got)
	}
}

// ipv6 is the whole of it on a network with addresses of version 6: inside, outwards, and published.
func ipv6(h *harness) {
	h.reached()
	switch {
	case !slices.Contains(h.c.Network, "--ip6tables=true"):
		h.skipf("this dockerd knows no --ip6tables")
	case !hasIPv6():
		h.skipf("this kernel has no IPv6")
	}
	if a := h.command("", "ip6tables", "-t", "nat", "-S"); a.code != 0 {
		h.skipf("this kernel has no table nat for IPv6: %s", strings.ReplaceAll(a.err, "\n", " "))
	}
	defer h.network("six", "--ipv6", "--subnet", "fd98:52::/64")()
	h.peer("server", "--network=six", "-p", "8084:7000/tcp", "-p", "8084:7000/udp")
	ip := h.inspect("server", "range .NetworkSettings.Networks}}{{.GlobalIPv6Address}}{{end")
	got, err := h.from([]string{"--network=six"}, net.JoinHostPort(ip, "7000"))("tcp")
	if err != nil || !strings.HasPrefix(got, "fd98:52::") {
		h.failf("container to container: got %q, %v", got, err)
	}
	h.both("a container to the world outside", here6.Addr().String(),
		h.from([]string{"--network=six"}, net.JoinHostPort(there6.Addr().String(), netpeerPort)))
	h.both("the world outside to a container", there6.Addr().String(), func(protocol string) (string, error) {
		return h.netpeer.ask(protocol, net.JoinHostPort(here6.Addr().String(), "8084"))
	})
}

func hasIPv6() bool {
	_, err := os.Stat("/proc/net/if_inet6")
	return err == nil
}

// sameRules wants a restart of dockerd to write every rule again, and none twice.
func sameRules(h *harness) {
	h.reached()
	h.peer("peer", "--restart=always", "-p", "8085:7000/tcp")
	before := h.saved()
	h.restart(syscall.SIGTERM)
	h.until("the container runs again", 20*time.Second,
		func() bool { return h.inspect("peer", ".State.Running") == "true" })
	var got string
	var err error
	h.until("it answers again", 20*time.Second, func() bool {
		got, err = h.netpeer.ask("tcp", here4.Addr().String()+":8085")
		return err == nil
	})
	h.is("who was heard", got, there4.Addr())
	// Some releases write a rule twice while they run, and once at their start.
	before, after := slices.Compact(before), slices.Compact(h.saved())
	if left, gone := onlyIn(after, before), onlyIn(before, after); len(left)+len(gone) > 0 {
		h.failf("new %q, gone %q", left, gone)
	}
}

func noRuleLeft(h *harness) {
	h.tabled()
	before := h.saved()
	h.docker("network", "create", "brief")
	h.docker("network", "create", "--internal", "inner")
	h.peer("server", "--network=brief", "-p", "8086:7000/tcp")
	with := onlyIn(h.saved(), before)
	if len(with) < 3 {
		h.failf("with two networks and a port: got the rules %q, want more", with)
	}
	h.docker("rm", "-f", "server")
	h.docker("network", "rm", "brief", "inner")
	after := h.saved()
	if left, gone := onlyIn(after, before), onlyIn(before, after); len(left)+len(gone) > 0 {
		h.failf("left %q, gone %q", left, gone)
	}
	h.note = fmt.Sprintf("%d rules came and went", len(with))
}
