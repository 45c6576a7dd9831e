package smoke

import (
	"encoding/binary"
	"net"
	"strings"

	"golang.org/x/sys/unix"
)

// linkAddresses returns the hardware addresses that the interface of that name has while f runs, one after the other:
// what the kernel says of it to who listens.
func linkAddresses(name string, f func()) ([]string, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}); err != nil {
		return nil, err
	}
	f()
	var all []string
	for buf := make([]byte, 1<<16); ; {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err == unix.EAGAIN { // what happened before f returned is in the socket's queue
			return all, nil
		}
		if err != nil {
			return all, err
		}
		for _, m := range split(buf[:n]) {
			if m.kind != unix.RTM_NEWLINK || len(m.body) < unix.SizeofIfInfomsg {
				continue
			}
			values := map[uint16]string{}
			for _, a := range attributes(m.body[unix.SizeofIfInfomsg:]) {
				values[a.kind] = string(a.body)
			}
			address := net.HardwareAddr(values[unix.IFLA_ADDRESS]).String()
			if strings.TrimRight(values[unix.IFLA_IFNAME], "\x00") == name &&
				(len(all) == 0 || all[len(all)-1] != address) {
				all = append(all, address)
			}
		}
	}
}

// part is a netlink message, or an attribute in one.
type part struct {
	kind uint16
	body []byte
}

// split takes netlink messages apart.
func split(b []byte) (all []part) {
	for len(b) >= unix.NLMSG_HDRLEN {
		n := int(binary.NativeEndian.Uint32(b))
		if n < unix.NLMSG_HDRLEN || n > len(b) {
			break
		}
		all = append(all, part{binary.NativeEndian.Uint16(b[4:]), b[unix.NLMSG_HDRLEN:n]})
		b = b[min((n+3)&^3, len(b)):]
	}
	return all
}

// attributes takes the attributes of a message apart.
func attributes(b []byte) (all []part) {
	for len(b) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			break
		}
		all = append(all, part{binary.NativeEndian.Uint16(b[2:]), b[unix.SizeofRtAttr:n]})
		b = b[min((n+3)&^3, len(b)):]
	}
	return all
}

// bridgeAddress wants a bridge to be made without an address, and to get it when it is there: before Linux 3.14 one
// that is made with it takes no packets (patches/dockerd).
func bridgeAddress(l *lab) {
	l.bridged()
	const name = "smoke-made"
	defer l.try("network", "rm", name)
	all, err := linkAddresses(name, func() {
		l.docker("network", "create", "-o", "com.docker.network.bridge.name="+name, name)
	})
	l.ok("listen for interfaces", err)
	if len(all) != 2 {
		l.failf("hardware addresses of a new bridge, one after the other: got %q, want the kernel's and then Docker's",
			all)
	}
}
