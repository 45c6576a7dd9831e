package stack

// rows are the shipped stacks' components: those of room recipe, which is above this one.
var rows = Rows{
	{Name: "linux-headers", Ground: true}, {Name: "musl", Ground: true, Libc: true}, {Name: "libseccomp"}, {Name: "tini"},
	{Name: "runc", Needs: []string{"libseccomp"}}, {Name: "containerd"}, {Name: "dockerd"}, {Name: "docker-proxy", Optional: true}, {Name: "docker-cli"},
	{Name: "iptables", Extra: "iptables"}, {Name: "expat", Extra: "dbus"}, {Name: "dbus", Extra: "dbus", Needs: []string{"expat"}},
}

// blank is a stack of which nothing was read yet.
func blank() *Stack { return &Stack{Rows: rows} }
