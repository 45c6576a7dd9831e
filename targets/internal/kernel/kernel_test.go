package kernel

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/testlong"
	"drydock/targets/internal/testprog"

	version "github.com/hashicorp/go-version"
)

// scripts are check-config.sh of the shipped stacks, where their archives are here.
func scripts(t *testing.T) map[string]string {
	found := map[string]string{}
	files, _ := filepath.Glob("../../../vendor-sources/docker.io_*.orig.tar.xz")
	for _, f := range files {
		data, err := archive.Member(f, "xz", "contrib/check-config.sh")
		if err != nil {
			t.Fatal(err)
		}
		found[filepath.Base(f)] = string(data)
	}
	if len(found) == 0 {
		if os.Getenv("DRYDOCK_CI") != "" {
			t.Fatal("no dockerd archive in vendor-sources/, and CI must have fetched one")
		}
		t.Skip("no dockerd archive in vendor-sources/: run \"mage fetch\" first")
	}
	return found
}

var said = regexp.MustCompile(`CONFIG_(\w+).*: .*(enabled|missing)([^\x1b]*)`) // the old script ends its colours itself

// TestLongTheSameIsSaidAsByTheScriptItself runs upstream's script, with a uname that says another release, on the same
// files.
func TestLongTheSameIsSaidAsByTheScriptItself(t *testing.T) {
	testlong.Skip(t)
	bash, err := exec.LookPath("bash")
	if err == nil {
		_, err = exec.LookPath("zgrep")
	}
	if err != nil {
		t.Skip(err)
	}
	releases := []string{"2.6.32-754.el6.x86_64", "3.10.0-1160.el7.x86_64", "4.7.10", "4.14.77-70.59.amzn1.x86_64",
		"5.1.0", "5.8.0", "6.18.44"}
	for name, script := range scripts(t) {
		dir := t.TempDir()
		sh := filepath.Join(dir, "check-config.sh")
		if err := os.WriteFile(sh, []byte(script), 0o644); err != nil {
			t.Fatal(err)
		}
		// Every option that the script names, set at random: each branch is taken both ways.
		names := regexp.MustCompile(`\b[A-Z][A-Z0-9_]{2,}\b`).FindAllString(script, -1)
		r := rand.New(rand.NewSource(1))
		for i, release := range releases {
			for round := range 2 {
				var text strings.Builder
				for _, n := range names {
					n = strings.TrimPrefix(n, "CONFIG_")
					k := r.Intn(3)
					if k == 1 && strings.HasPrefix(n, "LEGACY_VSYSCALL") { // these cannot be modules
						k = 0
					}
					fmt.Fprintf(&text, [...]string{"CONFIG_%s=y\n", "CONFIG_%s=m\n", "# CONFIG_%s is not set\n"}[k], n)
				}
				// A name may be drawn twice: the first line counts, for both.
				config := firstOf(text.String())
				file := filepath.Join(dir, fmt.Sprintf("config-%d-%d", i, round))
				if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
					t.Fatal(err)
				}
				compare(t, name, bash, sh, file, release)
			}
		}
		if _, err := os.Stat("/proc/config.gz"); err == nil {
			compare(t, name, bash, sh, "/proc/config.gz", "3.10.0-1160.el7.x86_64")
		}
	}
}

func firstOf(config string) string {
	seen := map[string]bool{}
	var out []string
	for l := range strings.SplitSeq(config, "\n") {
		n, _, _ := strings.Cut(strings.TrimPrefix(l, "# "), "=")
		n, _, _ = strings.Cut(n, " ")
		if !seen[n] {
			out = append(out, l)
		}
		seen[n] = true
	}
	return strings.Join(out, "\n") + "\n"
}

func compare(t *testing.T, name, bash, script, file, release string) {
	t.Helper()
	bin := t.TempDir()
	if err := testprog.Write(filepath.Join(bin, "uname"), "#!/bin/sh\necho '"+release+"'\n"); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(file, ".gz") { // zgrep is a script, and slow
		grep, err := exec.LookPath("grep")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(grep, filepath.Join(bin, "zgrep")); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(bash, script, file)
	cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "NO_COLOR=1", "LC_ALL=C"}
	out, _ := cmd.Output() // it fails when something is missing
	var want []string
	for l := range strings.SplitSeq(string(out), "\n") {
		if m := said.FindStringSubmatch(l); m != nil {
			want = append(want, m[1]+" "+strings.TrimSpace(m[2]+m[3]))
		}
	}
	if len(want) < 40 {
		t.Fatalf("%s: the script named %d options:\n%s", name, len(want), out)
	}
	config, _, _, err := Find(file, "/", release)
	if err != nil {
		t.Fatal(err)
	}
	options, err := Options(readFile(t, script), release, config)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range options {
		got = append(got, o.Name+" "+map[string]string{"y": "enabled", "m": "enabled (as module)",
			"": "missing"}[o.State])
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("%s, %s, %s: option %d: got %q, want %q", name, release, filepath.Base(file), i+1,
				got[min(i, len(got)):min(i+3, len(got))], want[min(i, len(want)):min(i+3, len(want))])
		}
	}
}

func readFile(t *testing.T, p string) string {
	t.Helper()
	data, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAConditionThatIsNotUnderstoodIsNoGuess(t *testing.T) {
	script := "echo 'Generally Necessary:'\nif frobnicate; then\n\tcheck_flags A_B\nfi\n"
	if _, err := Options(script, "5.4.0", Config{}); err == nil || !strings.Contains(err.Error(), "frobnicate") {
		t.Errorf("got %v, want the condition refused by name", err)
	}
	if _, err := Options("echo hello\n", "5.4.0", Config{}); err == nil {
		t.Error("a script without options: got no error")
	}
}

func TestAConfigurationNamesItsRelease(t *testing.T) {
	c, release, err := Read(
		bytes.NewReader([]byte("#\n# Linux/x86_64 3.10.0-1160.el7.x86_64 Kernel Configuration\n#\n" +
			"CONFIG_NAMESPACES=y\nCONFIG_VETH=m\n# CONFIG_KEYS is not set\nCONFIG_HZ=1000\n")))
	if err != nil || release != "3.10.0-1160.el7.x86_64" || c["NAMESPACES"] != "y" || c["VETH"] != "m" || len(c) != 2 {
		t.Errorf("got %v %q %v", c, release, err)
	}
	if _, _, err := Read(strings.NewReader("hello\n")); err == nil {
		t.Error("no configuration: got no error")
	}
}

// The two choices of the old host, on the configurations of an el7 kernel, a modern one, and ones that lack a piece.
func TestEachChoiceOfNetworkNamesTheOptionsThatItLacks(t *testing.T) {
	bridge := []string{"NAMESPACES", "NET_NS", "BRIDGE", "VETH"}
	tables := []string{"BRIDGE_NETFILTER", "NETFILTER", "NETFILTER_XTABLES", "NF_CONNTRACK", "NF_NAT", "IP_NF_IPTABLES",
		"IP_NF_FILTER", "IP_NF_TARGET_MASQUERADE",
		"NETFILTER_XT_MATCH_ADDRTYPE", "NETFILTER_XT_MATCH_CONNTRACK"}
	for _, c := range []struct {
		name            string
		options         []string
		without, with   string // what the two choices lack
		release, wantV6 string
	}{
		{"el7", slices.Concat(bridge, tables, []string{"NF_NAT_IPV4", "IPV6", "IP6_NF_IPTABLES", "IP6_NF_FILTER",
			"NF_NAT_IPV6", "IP6_NF_TARGET_MASQUERADE"}), "yes", "yes", "3.10.0", "yes"},
		{"modern", slices.Concat(bridge, tables, []string{"IP_NF_NAT"}), "yes", "yes", "6.1.0",
			"no: without CONFIG_IPV6"},
		{"no NAT", slices.Concat(bridge, tables), "yes", "no: without CONFIG_IP_NF_NAT", "5.10.0", "no: "},
		{"no netfilter", bridge, "yes", "no: without CONFIG_BRIDGE_NETFILTER, CONFIG_NETFILTER,", "5.10.0", "no: "},
		{"no bridge", tables, "no: without CONFIG_NAMESPACES, CONFIG_NET_NS, CONFIG_BRIDGE, CONFIG_VETH", "no: ",
			"5.10.0", "no: "},
		{"before NAT for IPv6", slices.Concat(bridge, tables, []string{"NF_NAT_IPV4"}), "yes", "yes", "3.2.0",
			"no: came with 3.7"},
	} {
		config := Config{}
		for _, o := range c.options {
			config[o] = "m"
		}
		found := map[string]string{}
		have := version.Must(version.NewVersion(c.release))
		for _, f := range Facts(config, have, have) {
			if _, again := found[f.Name]; again {
				t.Errorf("%s: twice", f.Name)
			}
			found[f.Name] = f.Found
		}
		for name, want := range map[string]string{
			"bridge network with --iptables=false": c.without, "iptables for IPv6 (--ip6tables)": c.wantV6,
			"bridge network with iptables (legacy: NAT, names)": c.with,
		} {
			if got := found[name]; !strings.HasPrefix(got, want) || want == "yes" && got != want {
				t.Errorf("%s: %s: got %q, want %q", c.name, name, got, want)
			}
		}
	}
}

func TestRealKernelReleasesAreRead(t *testing.T) {
	t.Parallel()
	for release, want := range map[string]string{
		"3.10.0-1160.el7.x86_64": "3.10.0", "4.14.77-70.59.amzn1.x86_64": "4.14.77", "5.4.0-42-generic": "5.4.0",
		"2.6.9-34.EL": "2.6.9", "2.6.9-34.ELsmp": "2.6.9", "6.8.0+": "6.8.0", "6.1.0-18-amd64": "6.1.0",
		"5.15.133.1-microsoft-standard-WSL2": "5.15.133", "4.19.0": "4.19.0", "3.10.108": "3.10.108",
		"2.6.32-754.el6.x86_64": "2.6.32", "6.18.44-fc-v657": "6.18.44", "3.2": "3.2.0",
		"5.10.0-0.bpo.9-amd64": "5.10.0",
	} {
		v, err := Version(release)
		if err != nil || v.String() != want {
			t.Errorf("%s: got %v %v, want %s", release, v, err, want)
		}
	}
	for _, bad := range []string{"", "linux", "v5.4"} {
		if _, err := Version(bad); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
}
