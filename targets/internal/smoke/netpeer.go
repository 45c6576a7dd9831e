package smoke

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The world outside is a thread in a network namespace of its own, joined to the daemon's by a cable. It answers who
// speaks to it on a port, and speaks to others when it is told to.

const netpeerPort = "9000"

// The two ends of the cable, and their addresses: of networks that are nobody's (RFC 5737 and 4193).
var (
	hereLink, thereLink = "cable0", "cable1"
	here4, there4       = netip.MustParsePrefix("198.51.100.1/24"), netip.MustParsePrefix("198.51.100.2/24")
	here6, there6       = netip.MustParsePrefix("fd98:51::1/64"), netip.MustParsePrefix("fd98:51::2/64")
)

// netpeer takes what is to be done there.
type netpeer struct{ do chan func() }

// elsewhere calls a function in a network namespace that is new, and gone when it returns.
func elsewhere(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this function, and its namespace with that
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err != nil {
			err = fmt.Errorf("a second network namespace: %w", err)
		} else {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// openNetpeer makes the world outside.
func openNetpeer() (*netpeer, error) {
	o := &netpeer{make(chan func())}
	thread := make(chan error, 2)
	var id int
	go func() {
		thread <- elsewhere(func() error {
			id = unix.Gettid()
			thread <- nil
			for f := range o.do {
				f()
			}
			return nil
		})
	}()
	if err := <-thread; err != nil {
		return nil, err
	}
	here, there := []netip.Prefix{here4}, []netip.Prefix{there4}
	if hasIPv6() {
		here, there = append(here, here6), append(there, there6)
	}
	err := cable(hereLink, thereLink, id)
	if err == nil {
		err = plug(hereLink, here...)
	}
	if err == nil {
		err = o.run(func() error {
			if err := errors.Join(Loopback(), plug(thereLink, there...)); err != nil {
				return err
			}
			for _, via := range here {
				if err := route(via.Addr()); err != nil {
					return err
				}
			}
			return serve(netpeerPort)
		})
	}
	if err != nil {
		o.close()
		return nil, fmt.Errorf("a cable (veth) to a second network namespace: %w", err)
	}
	return o, nil
}

func (o *netpeer) close() { close(o.do) }

// run does something there.
func (o *netpeer) run(f func() error) error {
	done := make(chan error)
	o.do <- func() { done <- f() }
	return <-done
}

// ask speaks to an address from there.
func (o *netpeer) ask(protocol, address string) (answer string, err error) {
	err = o.run(func() error {
		answer, err = speak(protocol, address, "from outside")
		return err
	})
	return answer, err
}

// serve answers each line, on TCP and UDP, with who it comes from.
func serve(port string) error {
	l, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	p, err := net.ListenPacket("udp", ":"+port)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
					fmt.Fprintln(c, hostOf(c.RemoteAddr()))
				}
			}()
		}
	}()
	go func() {
		buf := make([]byte, 1500)
		for {
			_, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			p.WriteTo([]byte(hostOf(from)+"\n"), from)
		}
	}()
	return nil
}

func hostOf(a net.Addr) string {
	host, _, _ := net.SplitHostPort(a.String())
	return host
}

// patience is how long a packet may be on its way.
const patience = 3 * time.Second

// speak sends a line and returns the answer. A lost packet of UDP is sent again.
func speak(network, address, text string) (string, error) {
	end := time.Now().Add(patience)
	for {
		c, err := net.DialTimeout(network, address, patience)
		if err != nil {
			return "", err
		}
		limit := end
		if network == "udp" {
			limit = time.Now().Add(patience / 3)
		}
		c.SetDeadline(limit)
		fmt.Fprintln(c, text)
		line, err := bufio.NewReader(c).ReadString('\n')
		c.Close()
		if err == nil || network != "udp" || time.Now().After(end) {
			return strings.TrimSuffix(line, "\n"), err
		}
	}
}

// What the kernel is told through netlink is little enough to be written by hand.

// attribute is one of netlink's: length, kind, value, padding.
func attribute(kind uint16, value ...[]byte) []byte {
	v := slices.Concat(value...)
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(v)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), v...)
	return append(b, make([]byte, -len(b)&3)...)
}

// tell sends one request to a family of netlink and returns the first answer's body. An answer that is an error is one.
func tell(family int, kind, flags uint16, body ...[]byte) ([]byte, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, family)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return nil, err
	}
	all := slices.Concat(body...)
	h := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(all)))
	h = binary.NativeEndian.AppendUint16(h, kind)
	h = binary.NativeEndian.AppendUint16(h, unix.NLM_F_REQUEST|flags)
	h = append(h, make([]byte, 8)...)
	if err := unix.Sendto(fd, append(h, all...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	buf := make([]byte, 8192)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return nil, err
	}
	if n < unix.NLMSG_HDRLEN+4 {
		return nil, unix.EBADMSG
	}
	if answer := buf[unix.NLMSG_HDRLEN:n]; binary.NativeEndian.Uint16(buf[4:]) == unix.NLMSG_ERROR {
		if e := int32(binary.NativeEndian.Uint32(answer)); e != 0 {
			return nil, syscall.Errno(-e)
		}
	}
	return buf[unix.NLMSG_HDRLEN:n], nil
}

const create = unix.NLM_F_ACK | unix.NLM_F_CREATE | unix.NLM_F_EXCL

// cable makes two joined interfaces, the second in the network namespace of a thread.
func cable(here, there string, id int) error {
	const infoPeer = 1 // VETH_INFO_PEER
	link := make([]byte, unix.SizeofIfInfomsg)
	name := func(s string) []byte { return attribute(unix.IFLA_IFNAME, []byte(s), []byte{0}) }
	_, err := tell(unix.NETLINK_ROUTE, unix.RTM_NEWLINK, create, link, name(here),
		attribute(unix.IFLA_LINKINFO, attribute(unix.IFLA_INFO_KIND, []byte("veth")),
			attribute(unix.IFLA_INFO_DATA, attribute(infoPeer, link, name(there),
				attribute(unix.IFLA_NET_NS_PID, binary.NativeEndian.AppendUint32(nil, uint32(id)))))))
	return err
}

// plug gives an interface its addresses and brings it up.
func plug(name string, addresses ...netip.Prefix) error {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		family, flags := byte(unix.AF_INET), byte(0)
		if a.Addr().Is6() {
			family, flags = unix.AF_INET6, unix.IFA_F_NODAD // usable at once
		}
		m := binary.NativeEndian.AppendUint32([]byte{family, byte(a.Bits()), flags, 0}, uint32(i.Index))
		ip := a.Addr().AsSlice()
		if _, err := tell(unix.NETLINK_ROUTE, unix.RTM_NEWADDR, create, m, attribute(unix.IFA_LOCAL, ip),
			attribute(unix.IFA_ADDRESS, ip)); err != nil {
			return fmt.Errorf("address %s of %s: %w", a, name, err)
		}
	}
	return up(name)
}

// route makes an address the way to everywhere.
func route(via netip.Addr) error {
	family := byte(unix.AF_INET)
	if via.Is6() {
		family = unix.AF_INET6
	}
	m := []byte{family, 0, 0, 0,
		unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0, 0, 0, 0}
	if _, err := tell(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE, create, m,
		attribute(unix.RTA_GATEWAY, via.AsSlice())); err != nil {
		return fmt.Errorf("route by %s: %w", via, err)
	}
	return nil
}
