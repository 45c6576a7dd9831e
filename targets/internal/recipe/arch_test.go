package recipe

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"drydock/targets/internal/platform"
	"drydock/targets/internal/stack"
)

// planned is all that the plans of a stack's parts say, for an architecture.
func planned(t *testing.T, arch string) map[string]string {
	t.Helper()
	s, err := load(t, "docker-26.1").With(stack.Settings{Arch: arch, Extras: []string{"iptables", "dbus"}})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, c := range s.Parts() {
		all[c] = fmt.Sprint(Of(s, c, full, Symbolic(Needs(s, c))))
	}
	return all
}

func TestEachArchitectureIsSaidToGoToConfigureAndToTheLinker(t *testing.T) {
	t.Parallel()
	for _, a := range platform.All() {
		for name, plan := range planned(t, a.Name) {
			s, row := plan, Row(name)
			if row.Go && !strings.Contains(s, "GOARCH="+a.GOARCH) ||
				a.GOARM != "" && row.Go && !strings.Contains(s, "GOARM="+a.GOARM) {
				t.Errorf("%s: %s: Go is not told what to compile for", a.Name, name)
			}
			if strings.Contains(s, ".specs") &&
				!(strings.Contains(s, "-m "+a.Emulation+" -nostdlib") &&
					strings.Contains(s, "ld-musl-"+a.Musl+".so.1") &&
					strings.Contains(s, "-isystem <linux-headers>/include/"+a.Triplet)) {
				t.Errorf("%s: %s: gcc's specs are of another machine:\n%s", a.Name, name, s)
			}
			cross := slices.Contains([]string{"libseccomp", "iptables", "dbus"}, name) && !a.Native()
			if got := strings.Contains(s, "--host="+a.Triplet+" ") ||
				strings.Contains(s, "--host="+a.Triplet+"]"); got != cross {
				t.Errorf("%s: %s: configure is told of a machine: %v, want %v", a.Name, name, got, cross)
			}
			for _, o := range platform.All() {
				if o.Triplet != a.Triplet &&
					strings.Contains(strings.ReplaceAll(s, "--build="+o.Triplet, ""), o.Triplet) {
					t.Errorf("%s: %s: names %s", a.Name, name, o.Triplet)
				}
			}
		}
	}
}

func TestAmd64IsBuiltAsWithoutTheSetting(t *testing.T) {
	t.Parallel()
	def, named := planned(t, ""), planned(t, "amd64")
	for name := range def {
		if def[name] != named[name] {
			t.Errorf("%s: ARCH=amd64 changes its plan", name)
		}
	}
	if s := LinkSpecs(platform.Must("amd64")); !strings.Contains(s, "\n-m elf_x86_64 -nostdlib -z relro ") ||
		!strings.Contains(s, "/lib/ld-musl-x86_64.so.1}") {
		t.Errorf("got the specs\n%s", s)
	}
}
