package smoke

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// hostSnapshot is what the network part could have changed of the host's own network, by name.
type hostSnapshot struct {
	facts map[string]string
	note  string
}

// snapshotHost looks at this process's network namespace. Nothing that it does loads a module or makes a table.
func snapshotHost(bin string) hostSnapshot {
	s := hostSnapshot{facts: map[string]string{}}
	for _, file := range []string{"/proc/net/ip_tables_names", "/proc/net/ip6_tables_names",
		"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding",
		"/proc/sys/net/bridge/bridge-nf-call-iptables", "/proc/sys/net/bridge/bridge-nf-call-ip6tables"} {
		if data, err := os.ReadFile(file); err == nil {
			s.facts[file] = strings.TrimSpace(string(data))
		}
	}
	for _, program := range []string{"iptables-save", "ip6tables-save"} {
		// It reads the tables that are there.
		if out, err := exec.Command(filepath.Join(bin, program)).Output(); err == nil {
			for line := range strings.Lines(string(out)) {
				if line, _, _ = strings.Cut(strings.TrimSpace(line), " ["); !strings.HasPrefix(line, "#") {
					s.facts[program] += line + "; "
				}
			}
		}
	}
	if names, err := interfaces(); err == nil {
		s.facts["interfaces"] = names
	}
	if g := generation(); g != "" {
		s.facts["generation of the nftables rules"] = g
	}
	s.note = strings.Join(slices.Sorted(maps.Keys(s.facts)), ", ")
	return s
}

// generation is the number that the kernel counts up with each change of nftables rules; empty where it has none.
func generation() string {
	const nfnlSubsysNFTables, getGen, genID = 10, 16, 1 // NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN, NFTA_GEN_ID
	answer, err := tell(unix.NETLINK_NETFILTER, nfnlSubsysNFTables<<8|getGen, 0, []byte{unix.AF_UNSPEC, 0, 0, 0})
	if err != nil || len(answer) < 12 || binary.NativeEndian.Uint16(answer[6:])&0x3fff != genID {
		return ""
	}
	return fmt.Sprint(binary.BigEndian.Uint32(answer[8:]))
}

// differs says what is not as it was.
func (s hostSnapshot) differs(now hostSnapshot) string {
	var all []string
	names := maps.Clone(s.facts)
	maps.Copy(names, now.facts)
	for _, k := range slices.Sorted(maps.Keys(names)) {
		if was, known := s.facts[k]; !known {
			all = append(all, fmt.Sprintf("%s: got %q, before none", k, now.facts[k]))
		} else if was != now.facts[k] {
			all = append(all, fmt.Sprintf("%s: got %q, before %q", k, now.facts[k], was))
		}
	}
	return strings.Join(all, "; ")
}
