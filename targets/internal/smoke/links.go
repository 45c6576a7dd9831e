package smoke

import (
	"errors"
	"net"
	"strings"
	"syscall"

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
		if errors.Is(err, unix.EAGAIN) { // what happened before f returned is in the socket's queue
			return all, nil
		}
		if err != nil {
			return all, err
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return all, err
		}
		for _, m := range messages {
			if m.Header.Type != unix.RTM_NEWLINK {
				continue
			}
			values := map[uint16]string{}
			attributes, err := syscall.ParseNetlinkRouteAttr(&m)
			if err != nil {
				return all, err
			}
			for _, a := range attributes {
				values[a.Attr.Type] = string(a.Value)
			}
			address := net.HardwareAddr(values[unix.IFLA_ADDRESS]).String()
			if strings.TrimRight(values[unix.IFLA_IFNAME], "\x00") == name &&
				(len(all) == 0 || all[len(all)-1] != address) {
				all = append(all, address)
			}
		}
	}
}

// bridgeAddress wants a bridge to be made without an address, and to get it when it is there: before Linux 3.14 one
// that is made with it takes no packets (patches/dockerd).
func bridgeAddress(h *harness) {
	h.bridged()
	const name = "smoke-made"
	defer h.try("network", "rm", name)
	all, err := linkAddresses(name, func() {
		h.docker("network", "create", "-o", "com.docker.network.bridge.name="+name, name)
	})
	h.ok("listen for interfaces", err)
	if len(all) != 2 {
		h.failf("hardware addresses of a new bridge, one after the other: got %q, want the kernel's and then Docker's",
			all)
	}
}
