package recipe

var _ = register(Component{
	Name: "dbus", After: "expat", Extra: "dbus", Apart: true,
	Does: "builds dbus-daemon, dbus-send and dbus-uuidgen, whether or not the stack's extras have them.\n\n" +
		"They are linked with expat: docs/network.md.",
	License:    "AFL-2.1 OR GPL-2.0-or-later", // its COPYING has the texts of both
	SourceGoes: true,
	Needs:      []string{"expat"}, C: true, Make: true, Plan: dbus,
})

// dbus is the daemon and the two tools that a system bus needs, with its configuration below the prefix, so that the
// host's own in /etc stays out of it. The socket is where every client looks.
func dbus(r request) Plan {
	lib := r.p.Deps["expat"]
	return r.configured(configure{
		generated: []string{"aclocal.m4", "configure", "config.h.in", "Makefile.in", "dbus/Makefile.in",
			"bus/Makefile.in", "tools/Makefile.in"},
		flags: []string{"--prefix=/usr/local", "--localstatedir=/var",
			"--with-system-socket=/var/run/dbus/system_bus_socket", "--with-system-pid-file=/var/run/dbus/pid",
			"--with-dbus-user=dbus", "--disable-maintainer-mode", "--disable-systemd", "--disable-xml-docs",
			"--disable-doxygen-docs", "--disable-ducktype-docs",
			"--disable-tests", "--disable-selinux", "--disable-apparmor", "--disable-libaudit", "--without-x"},
		env: []string{"EXPAT_CFLAGS=-I" + lib + "/include -DXML_STATIC", "EXPAT_LIBS=-L" + lib + "/lib -lexpat"},
		targets: [][]string{{"dbus", "libdbus-1.la", "libdbus-internal.la"}, {"bus", "dbus-daemon"},
			{"tools", "dbus-send", "dbus-uuidgen"}},
		take: [][]string{{".", "bus/dbus-daemon", "tools/dbus-send", "tools/dbus-uuidgen"},
			{"share/dbus-1", "bus/system.conf"}},
	},
		[]Output{
			{Name: "dbus-daemon", Bin: true, Ask: []string{"--version"},
				Want: []string{"D-Bus Message Bus Daemon " + r.c.Version}},
			{Name: "dbus-send", Bin: true}, // has no way to say its version
			{Name: "dbus-uuidgen", Bin: true, Ask: []string{"--version"},
				Want: []string{"D-Bus UUID Generator " + r.c.Version}},
			{Name: "share/dbus-1/system.conf", Data: true},
		})
}
