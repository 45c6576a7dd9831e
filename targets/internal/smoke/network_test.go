package smoke

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// apartFrom runs f in a network namespace of its own, where lo is up. What f gives is why it cannot be tried here.
func apartFrom(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with this function
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = Loopback()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Skip(err)
	}
}

func TestTheWorldOutsideIsReachedByTheCableAlone(t *testing.T) {
	apartFrom(t, func() error {
		before := snapshotHost(t.TempDir())
		if d := before.differs(snapshotHost(t.TempDir())); d != "" {
			t.Errorf("nothing was done: got %q, want no difference", d)
		}
		o, err := openNetpeer()
		if err != nil {
			return err
		}
		defer o.close()
		if d := before.differs(snapshotHost(t.TempDir())); !strings.Contains(d, `interfaces: got "lo`) ||
			!strings.Contains(d, hereLink) {
			t.Errorf("with a new interface: got %q, want it named", d)
		}
		for _, protocol := range []string{"tcp", "udp"} {
			got, err := speak(protocol, there4.Addr().String()+":"+netpeerPort, "ahoy")
			if err != nil || got != here4.Addr().String() {
				t.Errorf("%s to the world outside: got %q, %v, want %s", protocol, got, err, here4.Addr())
			}
		}
		l, err := net.Listen("tcp4", here4.Addr().String()+":0")
		if err != nil {
			return err
		}
		defer l.Close()
		heard := make(chan string, 1)
		go func() {
			if c, err := l.Accept(); err == nil {
				heard <- hostOf(c.RemoteAddr())
				c.Write([]byte("yes\n"))
				c.Close()
			}
		}()
		if got, err := o.ask("tcp", l.Addr().String()); err != nil || got != "yes" {
			t.Errorf("from outside: got %q, %v", got, err)
		}
		if got := <-heard; got != there4.Addr().String() {
			t.Errorf("from outside: heard %s, want %s", got, there4.Addr())
		}
		if _, err := o.ask("tcp", netip.AddrPortFrom(here4.Addr(), 1).String()); err == nil {
			t.Error("a port that nobody listens on: got an answer")
		}
		if err := cable(hereLink, thereLink, unix.Gettid()); !errors.Is(err, unix.EEXIST) {
			t.Errorf("a second cable of that name: got %v, want %v", err, unix.EEXIST)
		}
		return nil
	})
}

func TestABridgeThatIsMadeWithItsAddressIsToldFromOneThatGetsIt(t *testing.T) {
	apartFrom(t, func() error {
		link := make([]byte, unix.SizeofIfInfomsg)
		address := attribute(unix.IFLA_ADDRESS, []byte{2, 0x42, 1, 2, 3, 4})
		bridge := func(name string, flags uint16, more ...[]byte) {
			_, err := tell(unix.NETLINK_ROUTE, unix.RTM_NEWLINK, flags,
				append([][]byte{link, attribute(unix.IFLA_IFNAME, []byte(name), []byte{0}),
					attribute(unix.IFLA_LINKINFO, attribute(unix.IFLA_INFO_KIND, []byte("bridge")))}, more...)...)
			if errors.Is(err, unix.EOPNOTSUPP) {
				t.Skip("this kernel makes no bridge")
			}
			try(t, err)
		}
		with, err := linkAddresses("with", func() { bridge("with", create, address) })
		if err != nil || len(with) != 1 || with[0] != "02:42:01:02:03:04" {
			t.Errorf("made with its address: got %q, %v, want that one alone", with, err)
		}
		after, err := linkAddresses("after", func() {
			bridge("other", create)
			bridge("after", create)
			bridge("after", unix.NLM_F_ACK, address)
		})
		if err != nil || len(after) != 2 || after[1] != with[0] {
			t.Errorf("set when it was there: got %q, %v, want the kernel's and then %q", after, err, with)
		}
		return nil
	})
}

func TestWhatIsNotAsItWasIsNamed(t *testing.T) {
	s := func(kv ...string) hostSnapshot {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return hostSnapshot{facts: m}
	}
	was := s("interfaces", "lo", "iptables-save", "*filter; ")
	for _, c := range []struct {
		now  hostSnapshot
		want string
	}{
		{s("interfaces", "lo", "iptables-save", "*filter; "), ""},
		{s("interfaces", "lo docker0", "iptables-save", "*filter; "), `interfaces: got "lo docker0", before "lo"`},
		{s("interfaces", "lo"), `iptables-save: got "", before "*filter; "`},
		{s("interfaces", "lo", "iptables-save", "*filter; ", "ip6tables-save", "x"),
			`ip6tables-save: got "x", before none`},
	} {
		if got := was.differs(c.now); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestRulesAreComparedAsOftenAsTheyStand(t *testing.T) {
	if got := onlyIn([]string{"a", "b", "b", "c"}, []string{"b", "d"}); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("got %q", got)
	}
	if got := onlyIn([]string{"a"}, []string{"a", "a"}); len(got) != 0 {
		t.Errorf("got %q, want none", got)
	}
}

func TestEveryRuleHasATableAndAChain(t *testing.T) {
	chains := map[string][]string{"filter": {"INPUT", "FORWARD", "OUTPUT"}, "nat": {"PREROUTING", "POSTROUTING"},
		"mangle": {"PREROUTING", "POSTROUTING"}, "raw": {"PREROUTING"}}
	all := append(rules("4"), rules("6")...)
	for _, r := range all {
		if table, _, _ := strings.Cut(r, " "); !slices.Contains(chains[table], chainOf(r)) {
			t.Errorf("%q: got chain %s of table %q", r, chainOf(r), table)
		}
	}
	// What the issue of each release's rules is about must not fall out of the table.
	for _, word := range []string{"addrtype", "conntrack", "MASQUERADE", "DNAT", "REDIRECT", "SNAT", "mark", "comment",
		"multiport", "LOG", "REJECT", "-p tcp", "-p udp", "icmp"} {
		if !strings.Contains(strings.Join(all, "\n"), word) {
			t.Errorf("no rule with %s", word)
		}
	}
}

func TestAttributesAreAligned(t *testing.T) {
	for n, want := range map[int]int{0: 4, 1: 8, 4: 8, 5: 12} {
		if got := len(attribute(1, make([]byte, n))); got != want {
			t.Errorf("%d bytes: got %d with head and padding, want %d", n, got, want)
		}
	}
}
