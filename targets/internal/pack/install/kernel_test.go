package install

import (
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/kernel"
	"drydock/targets/internal/testlong"
	"drydock/targets/internal/testprog"
)

// realistic has what docker 26.1's list calls necessary, with its branches by release.
func realistic() []byte {
	s := strings.Replace(string(script()), "check_flags NAMESPACES VETH IP_NF_FILTER\n", `check_flags \
	NAMESPACES NET_NS PID_NS IPC_NS UTS_NS \
	CGROUPS CGROUP_CPUACCT CGROUP_DEVICE CGROUP_FREEZER CGROUP_SCHED CPUSETS MEMCG \
	KEYS VETH BRIDGE BRIDGE_NETFILTER IP_NF_FILTER IP_NF_MANGLE IP_NF_TARGET_MASQUERADE \
	NETFILTER_XT_MATCH_ADDRTYPE NETFILTER_XT_MATCH_CONNTRACK NETFILTER_XT_MATCH_IPVS NETFILTER_XT_MARK \
	IP_NF_NAT NF_NAT POSIX_MQUEUE
if [ "$kernelMajor" -lt 5 ] || [ "$kernelMajor" -eq 5 -a "$kernelMinor" -le 1 ]; then
	check_flags NF_NAT_IPV4
fi
if [ "$kernelMajor" -lt 5 ] || [ "$kernelMajor" -eq 5 -a "$kernelMinor" -le 2 ]; then
	check_flags NF_NAT_NEEDED
fi
`, 1)
	return []byte(s)
}

// shellCase is one call of install.sh's kernel_check.
type shellCase struct {
	release string
	config  kernel.Config
	kind    string // what iptables_kind answers: none, legacy, nf_tables, either
	cgroup  string
}

// askShell runs the functions of install.sh, without its main, on every case, and returns what each printed.
func askShell(t *testing.T, table []byte, shell string, cases []shellCase) []string {
	t.Helper()
	dir := t.TempDir()
	text, ok := strings.CutSuffix(strings.TrimSpace(string(inPackage(t, "install.sh"))), `main "$@"`)
	if !ok {
		t.Fatal("install.sh does not end with its main")
	}
	var b strings.Builder
	b.WriteString(text + "\nhere=$1 scratch=$1/x profile=$1/init/profile root=$1 version=26.1.5\n")
	for i, c := range cases {
		must(t, os.MkdirAll(filepath.Join(dir, "init"), 0o755))
		var config strings.Builder
		for _, o := range slices.Sorted(mapKeys(c.config)) {
			fmt.Fprintf(&config, "CONFIG_%s=%s\n", o, c.config[o])
		}
		config.WriteString("CONFIG_PRINTK=y\n# CONFIG_MORE is not set\n")
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint("config", i)), []byte(config.String()), 0o644))
		fmt.Fprintf(&b, "(printf 'kernel=2.6.32\\ncgroup=%[2]s\\n' >\"$profile\"\niptables_kind() { say %[3]s; }\n"+
			"kernel_config=$1/config%[1]d kernel_release=%[4]s\nkernel_check) 2>&1; echo == $?\n", i, c.cgroup,
			c.kind, c.release)
	}
	must(t, os.WriteFile(filepath.Join(dir, "init/kernel"), table, 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "ask.sh"), []byte(b.String()), 0o644))
	out, err := exec.Command(shell, filepath.Join(dir, "ask.sh"), dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	said := strings.Split(string(out), "== ")
	if len(said) != len(cases)+1 {
		t.Fatalf("got %d answers, want %d:\n%s", len(said)-1, len(cases), out)
	}
	answers := make([]string, len(cases))
	for i := range cases {
		_, rest, _ := strings.Cut("\n"+said[i], "\n")
		if i > 0 {
			_, rest, _ = strings.Cut(said[i], "\n") // behind the last exit code
		}
		answers[i] = rest + "exit " + strings.TrimSpace(strings.SplitN(said[i+1], "\n", 2)[0])
	}
	return answers
}

func mapKeys(c kernel.Config) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range c {
			if !yield(k) {
				return
			}
		}
	}
}

// lacking is what install.sh must print of a case: every option by the name that is right for the release.
func lacking(needs []kernel.Need, c shellCase) []string {
	v := kernel.Judge(needs, c.release, c.cgroup, c.config)
	var all []string
	for _, n := range v.Lacks {
		all = append(all, "CONFIG_"+n.Options[0])
	}
	if c.kind == "either" { // what drydock's own command asks of a kernel that it does not run on
		for _, n := range v.Netfilter {
			all = append(all, "CONFIG_"+n.Options[0])
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func said(answer string) []string {
	_, list, ok := strings.Cut(answer, "it lacks ")
	if !ok {
		return nil
	}
	list, _, _ = strings.Cut(list, " (--no-kernel-check")
	all := strings.Fields(list)
	slices.Sort(all)
	return slices.Compact(all)
}

func TestTheInstallerJudgesAKernelAsTheCommandDoes(t *testing.T) {
	t.Parallel()
	notShort(t)
	judged(t, 1)
}

func TestLongTheInstallerJudgesAKernelAsTheCommandDoes(t *testing.T) {
	testlong.Skip(t)
	judged(t, 4)
}

// judged compares what install.sh and the command say of made-up kernels: so many of each release.
func judged(t *testing.T, each int) {
	table, err := kernelTable(Profile{KernelScript: realistic()})
	must(t, err)
	needs, err := kernel.Needs(string(realistic()))
	must(t, err)
	var names []string
	for _, n := range needs {
		names = append(names, n.Options...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	r := rand.New(rand.NewSource(1))
	var cases []shellCase
	for _, release := range []string{"2.6.32-754.el6.x86_64", "3.6.11", "3.10.108", "3.10.0-1160.el7.x86_64", "3.17.0",
		"4.4.302", "5.0.21", "5.1.0", "5.2.3", "5.4.0-42-generic", "6.1.0", "6.11.0", "6.12.43+deb13-amd64"} {
		for i := range each {
			c := shellCase{release: release, config: kernel.Config{}, kind: []string{"either", "none"}[len(cases)%2],
				cgroup: []string{"", "v1", "v2"}[r.Intn(3)]}
			for _, n := range names {
				if r.Intn(12) > i*2 { // from nearly whole to half
					c.config[n] = []string{"y", "m"}[r.Intn(2)]
				}
			}
			cases = append(cases, c)
		}
	}
	for i, a := range askShell(t, table, "sh", cases) {
		got, want := said(a), lacking(needs, cases[i])
		if !slices.Equal(got, want) || strings.HasSuffix(a, "exit 3") != (len(want) > 0) {
			t.Errorf("%s, iptables %s, cgroup %q: install.sh says %v, the command %v:\n%s", cases[i].release,
				cases[i].kind, cases[i].cgroup, got, want, a)
		}
	}
}

// whole is a configuration with all that Docker asks, but for what is named.
func whole(without ...string) kernel.Config {
	c := kernel.Config{}
	for n := range strings.FieldsSeq(`NAMESPACES NET_NS PID_NS IPC_NS UTS_NS
		CGROUPS CGROUP_CPUACCT CGROUP_DEVICE CGROUP_FREEZER CGROUP_SCHED CPUSETS MEMCG KEYS VETH BRIDGE BRIDGE_NETFILTER
		IP_NF_FILTER IP_NF_MANGLE IP_NF_TARGET_MASQUERADE NETFILTER_XT_MATCH_ADDRTYPE NETFILTER_XT_MATCH_CONNTRACK
		NETFILTER_XT_MATCH_IPVS NETFILTER_XT_MARK IP_NF_NAT NF_NAT NF_NAT_IPV4 NF_NAT_NEEDED POSIX_MQUEUE OLD_ONE
		NEW_ONE`) {
		if !slices.Contains(without, n) {
			c[n] = "m"
		}
	}
	return c
}

func with(c kernel.Config, names ...string) kernel.Config {
	for _, n := range names {
		c[n] = "y"
	}
	return c
}

func TestLongEachKindOfIptablesAsksForItsOwnOptions(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	notShort(t)
	table, err := kernelTable(Profile{KernelScript: realistic()})
	must(t, err)
	nft := []string{"NF_TABLES", "NFT_COMPAT", "NFT_NAT", "NFT_MASQ"}
	for _, c := range []struct {
		shellCase
		want string
	}{
		{shellCase{"3.10.108", whole("IP_NF_NAT"), "legacy", ""}, ""}, // vanilla 3.10 knows NF_NAT_IPV4 only
		{shellCase{"3.10.0-1160.el7.x86_64", whole(), "legacy", ""}, ""},
		{shellCase{"3.10.108", whole("IP_NF_NAT", "NF_NAT_IPV4"), "legacy", ""}, "CONFIG_NF_NAT_IPV4"},
		{shellCase{"6.1.0", with(whole("IP_NF_NAT", "NF_NAT_IPV4", "NF_NAT_NEEDED"), nft...), "legacy", ""},
			"CONFIG_IP_NF_NAT"},
		{shellCase{"6.1.0", with(whole("IP_NF_NAT", "NF_NAT_IPV4", "NF_NAT_NEEDED"), nft...), "nf_tables", ""}, ""},
		{shellCase{"6.1.0", with(whole("IP_NF_NAT", "NF_NAT_IPV4", "NF_NAT_NEEDED"), nft[1:]...), "nf_tables", ""},
			"CONFIG_NF_TABLES"},
		{shellCase{"6.1.0", with(whole("IP_NF_NAT", "NF_NAT_IPV4", "NF_NAT_NEEDED"), nft[1:]...), "none", ""}, ""},
		{shellCase{"6.1.0", whole("NETFILTER_XT_MATCH_IPVS", "NF_NAT_IPV4", "NF_NAT_NEEDED"), "legacy", ""}, ""},
		{shellCase{"6.12.0", whole(), "legacy", ""}, ""},
		{shellCase{"6.12.0", whole(), "legacy", "v1"}, "CONFIG_CPUSETS_V1 CONFIG_MEMCG_V1"},
		{shellCase{"6.12.0", with(whole(), "MEMCG_V1", "CPUSETS_V1"), "legacy", "v1"}, ""},
	} {
		a := askShell(t, table, "sh", []shellCase{c.shellCase})[0]
		if got := strings.Join(said(a), " "); got != c.want || (c.want == "") != strings.HasSuffix(a, "exit 0") {
			t.Errorf("%s, iptables %s, cgroup %q: got %q, want %q:\n%s", c.release, c.kind, c.cgroup, got, c.want, a)
		}
	}
}

// cgroupMount runs init/cgroup-mount on a made-up /proc and /sys, with a mount command that notes what it mounts, and
// with what a mounted version 2 offers.
func cgroupMount(t *testing.T, layout, proc string, filesystems string, v2 string) string {
	t.Helper()
	dir := t.TempDir()
	es, err := Files(Profile{Version: "26.1.5", Docker: "26.1.5", Kernel: "3.10", Cgroup: layout})
	must(t, err)
	i := slices.IndexFunc(es, func(e archive.Entry) bool { return e.Name == "init/cgroup-mount" })
	text := strings.NewReplacer("/proc/", dir+"/proc/", "/sys/fs", dir+"/sys/fs", " /sys",
		" "+dir+"/sys").Replace(string(es[i].Data))
	for _, d := range []string{"proc", "sys/fs/cgroup", "bin"} {
		must(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	for name, data := range map[string]string{
		"proc/cgroups": "#subsys_name\thierarchy\tnum_cgroups\tenabled\n" + proc, "proc/filesystems": filesystems,
		"proc/mounts": "sysfs " + dir + "/sys sysfs rw 0 0\n",
		"bin/mount": fmt.Sprintf("#!/bin/sh\necho \"$2\" >>%[1]s/mounted\n"+
			"case $2 in cgroup2) echo '%[2]s' >%[1]s/sys/fs/cgroup/cgroup.controllers;; esac\n", dir, v2),
		"bin/umount": fmt.Sprintf("#!/bin/sh\necho gone >>%[1]s/mounted\n"+
			"rm -f %[1]s/sys/fs/cgroup/cgroup.controllers\n", dir), "script": text,
	} {
		must(t, testprog.Write(filepath.Join(dir, name), data))
	}
	cmd := exec.Command("sh", filepath.Join(dir, "script"))
	cmd.Env = []string{"PATH=" + dir + "/bin:" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "mounted"))
	must(t, err)
	return strings.Join(strings.Fields(string(data)), " ")
}

func TestControlGroupsAreMountedInTheVersionThatIsWhole(t *testing.T) {
	t.Parallel()
	line := func(names ...string) (s string) {
		for _, n := range names {
			s += n + "\t0\t1\t1\n"
		}
		return s
	}
	all := line("cpuset", "cpu", "memory", "devices", "freezer")
	both := "nodev\tcgroup\nnodev\tcgroup2\n"
	for _, c := range []struct{ name, layout, proc, filesystems, v2, want string }{
		{"whole version 1", "", all, both, "cpu memory cpuset", "tmpfs cgroup cgroup cgroup cgroup cgroup"},
		{"without MEMCG_V1 and CPUSETS_V1", "", line("cpu", "devices", "freezer"), both,
			"cpuset cpu io memory pids", "cgroup2"},
		{"without MEMCG_V1", "", line("cpu", "cpuset", "devices", "freezer"), both,
			"cpuset cpu io memory pids", "cgroup2"},
		{"the stack wants version 1", "v1", line("cpu", "devices", "freezer"), both, "cpuset cpu memory",
			"tmpfs cgroup cgroup cgroup"},
		{"no version 2", "", line("cpu", "devices", "freezer"), "nodev\tcgroup\n", "", "tmpfs cgroup cgroup cgroup"},
		{"memory switched off", "", line("cpu", "cpuset", "devices", "freezer") + "memory\t0\t1\t0\n", both,
			"cpuset cpu io", "cgroup2 gone tmpfs cgroup cgroup cgroup cgroup"},
		{"version 2 as in Linux 4.10", "", line("cpu", "memory", "devices", "freezer"), both, "io memory pids",
			"cgroup2 gone tmpfs cgroup cgroup cgroup cgroup"},
		{"nothing of version 1", "", "", both, "cpuset cpu memory", "cgroup2"},
	} {
		if got := cgroupMount(t, c.layout, c.proc, c.filesystems, c.v2); got != c.want {
			t.Errorf("%s: mounted %q, want %q", c.name, got, c.want)
		}
	}
}
