package recipe

import (
	"slices"
	"strings"
	"testing"

	"drydock/targets/internal/stack"
)

// withLibc is a shipped stack with a C library of choice.
func withLibc(t *testing.T, name, libc string) *stack.Stack {
	t.Helper()
	s, err := load(t, name).With(stack.Settings{Libc: libc})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEveryCPartStandsOnTheStacksOwnLibraryAndHeaders(t *testing.T) {
	for _, name := range []string{"docker-26.1", "docker-28.5"} {
		s := withLibc(t, name, "musl")
		for _, c := range s.Parts() {
			p := Of(s, c, full, Symbolic(Needs(s, c)))
			i := slices.IndexFunc(p.Files, func(f File) bool { return strings.HasSuffix(f.Path, ".specs") })
			if slices.Contains(s.Ground(), c) || !UsesC(s.Component[c]) {
				if i >= 0 || slices.Contains(Needs(s, c), "musl") {
					t.Errorf("%s: %s has no C of its own to stand on it, but needs %v", name, c, Needs(s, c))
				}
				continue
			}
			if needs := Needs(s, c); !slices.Equal(needs[:2], s.Ground()) || i < 0 {
				t.Errorf("%s: %s: needs %v, files %v; want %v first and a file of specs", name, c, needs,
					p.Files, s.Ground())
				continue
			}
			for _, w := range []string{"-nostdinc", "-isystem <musl>/include", "-isystem <linux-headers>/include",
				"<musl>/lib/rcrt1.o", "--no-dynamic-linker"} {
				if !strings.Contains(p.Files[i].Data, w) {
					t.Errorf("%s: %s: no %q in the specs", name, c, w)
				}
			}
			if strings.Contains(p.Files[i].Data, "/usr/") || strings.Contains(p.Files[i].Data, "MUSL") {
				t.Errorf("%s: %s: a path of the host's, or no path, in the specs:\n%s", name, c, p.Files[i].Data)
			}
			cc := strings.TrimSuffix(p.Files[i].Path, ".specs")
			if j := slices.IndexFunc(p.Files, func(f File) bool { return f.Path == cc }); j < 0 || !p.Files[j].Exec ||
				!strings.Contains(p.Files[j].Data, "exec /usr/bin/gcc -specs="+p.Files[i].Path+" ") {
				t.Errorf("%s: %s: no compiler beside the specs", name, c)
			}
			for _, s := range p.Steps {
				if env := strings.Join(s.Env, "\n"); !strings.Contains(env, "CC="+cc) {
					t.Errorf("%s: %s: %s: CC is not that one:\n%s", name, c, s.Name, env)
				}
				if s.Argv[0] == full.CC {
					t.Errorf("%s: %s: %s: %v is the host's own compiler", name, c, s.Name, s.Argv[:2])
				}
			}
		}
	}
}

func TestTheHostsLibraryIsUsedWithoutSpecs(t *testing.T) {
	s := withLibc(t, "docker-26.1", stack.LibcHost)
	for _, c := range s.Parts() {
		if slices.Contains(s.Ground(), c) || slices.Contains(Needs(s, c), "musl") {
			t.Errorf("%s stands on %v", c, Needs(s, c))
		}
		for _, f := range Of(s, c, full, Symbolic(Needs(s, c))).Files {
			if strings.Contains(f.Path, "specs") {
				t.Errorf("%s: %s is written", c, f.Path)
			}
		}
	}
}

func TestStaticPIEIsLinkedWhereTheLinkerKnowsHow(t *testing.T) {
	s := withLibc(t, "docker-26.1", "musl")
	for _, pie := range []bool{true, false} {
		tools := full
		tools.StaticPIE = pie
		for c, step := range map[string]string{"runc": "link runc", "tini": "link"} {
			got := command(Of(s, c, tools, Symbolic(Needs(s, c))), step)
			if strings.Contains(got, "-static-pie ") != pie {
				t.Errorf("%s: can link static-pie %v:\n%s", c, pie, got)
			}
		}
	}
	if got := command(Of(s, "libseccomp", full, Symbolic(Needs(s, "libseccomp"))), "configure"); !strings.Contains(got,
		" -static\n") {
		t.Errorf("what configure tries could not run:\n%s", got)
	}
}

// Go does not see what is in a file that a flag names: what the library is must show in the flag.
func TestAnotherLibraryIsAnotherFlag(t *testing.T) {
	s := withLibc(t, "docker-26.1", "musl")
	flag := func(musl string) string {
		p := Symbolic(Needs(s, "runc"))
		p.Deps["musl"] = musl
		got := command(Of(s, "runc", full, p), "compile runc")
		_, got, _ = strings.Cut(got, "CC=")
		got, _, _ = strings.Cut(got, "\n")
		return got
	}
	if a, b := flag("/store/musl/1"), flag("/store/musl/2"); a == b || a != flag("/store/musl/1") {
		t.Errorf("got %q and %q, want two that differ, each always the same", a, b)
	}
}
