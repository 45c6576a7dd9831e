package recipe

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drydock/targets/internal/stack"
)

func load(t *testing.T, name string) *stack.Stack {
	t.Helper()
	s, err := stack.Load(filepath.Join("..", "..", "..", "vendor-sources"), name, Rows())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var full = Tools{Go: "/go/bin/go", GoVersion: "1.26.8", CC: "/usr/bin/gcc", AR: "ar", Make: "make", Shell: "/bin/sh",
	StaticPIE: true, Quota: true, Jobs: 2}

func plan(t *testing.T, stackName, component string, tools Tools) Plan {
	return Of(load(t, stackName), component, tools, Symbolic(Needs(load(t, stackName), component)))
}

func command(p Plan, name string) string {
	for _, s := range p.Steps {
		if strings.Contains(s.Name, name) {
			return strings.Join(s.Argv, " ") + "\n" + strings.Join(s.Env, "\n")
		}
	}
	return ""
}

func TestCommandsCarryTheFlagsThatUpstreamNeeds(t *testing.T) {
	cases := []struct {
		stack, component, step string
		tools                  Tools
		want, not              []string
	}{
		{"docker-26.1", "runc", "link", full,
			[]string{"-buildmode=pie", "-static-pie", "seccomp netgo osusergo", "main.gitCommit=v1.3.6-0-g491b69ba",
				"CGO_ENABLED=1", "CGO_LDFLAGS=-L<libseccomp>/lib", "-buildvcs=false"}, nil},
		{"docker-26.1", "runc", "link", Tools{GoVersion: "1.17"}, []string{"'-static -Wl"},
			[]string{"-buildmode=pie", "-static-pie", "-buildvcs"}},
		{"docker-28.5", "runc", "link", full, []string{"main.gitCommit=v1.3.6-0-g491b69ba"}, []string{"main.version="}},
		{"docker-26.1", "containerd", "link", full,
			[]string{"no_btrfs no_cri", "CGO_ENABLED=0", "github.com/containerd/containerd/version.Version=v1.7.36"},
			[]string{"/v2/version"}},
		{"docker-28.5", "containerd", "link", full,
			[]string{"github.com/containerd/containerd/v2/version.Version=v2.3.7"}, []string{"Revision="}},
		{"docker-26.1", "dockerd", "link dockerd", full,
			[]string{"CGO_ENABLED=1", "-extldflags '-static", "exclude_graphdriver_btrfs",
				"dockerversion.GitCommit=411e817", "IAmStatic=true"}, []string{"exclude_disk_quota"}},
		{"docker-26.1", "dockerd", "link dockerd", Tools{GoVersion: "1.26"},
			[]string{"CGO_ENABLED=0", "exclude_disk_quota"}, []string{"-linkmode"}},
		{"docker-26.1", "dockerd", "link docker-proxy", full, []string{"CGO_ENABLED=0"}, []string{"-linkmode"}},
		{"docker-26.1", "docker-cli", "link", full, []string{"CGO_ENABLED=0", "cli/version.Version=26.1.5"}, nil},
		{"docker-26.1", "docker-cli", "compile", Tools{GoVersion: "1.26", Jobs: 8, Memory: 64 << 30},
			[]string{"-p=8", "GOMAXPROCS=4", "GOGC=400"}, nil},
		{"docker-26.1", "docker-cli", "compile", Tools{GoVersion: "1.26", Jobs: 8, Memory: 8 << 30},
			[]string{"GOMAXPROCS=4"}, []string{"GOGC"}},
		{"docker-26.1", "docker-cli", "link", Tools{GoVersion: "1.26", Jobs: 8, Memory: 64 << 30}, nil,
			[]string{"GOMAXPROCS", "GOGC"}},
		// what the key is made of
		{"docker-26.1", "docker-cli", "compile", Tools{GoVersion: "1.26", Memory: 64 << 30}, nil,
			[]string{"GOMAXPROCS", "GOGC", "-p="}},
		{"docker-26.1", "tini", "compile", full, []string{"-DPR_SET_CHILD_SUBREAPER=36"}, nil},
		{"docker-26.1", "tini", "link", full, []string{"-static", "--build-id=none"}, nil},
		{"docker-26.1", "libseccomp", "configure", full, []string{"--disable-shared", "--enable-static"}, nil},
		{"docker-26.1", "iptables", "configure", full,
			[]string{"--disable-nftables", "--disable-shared", "--with-xt-lock-name=/var/run/xtables.lock",
				"PKG_CONFIG=<shims>/pkg-config"}, []string{"-all-static"}},
		{"docker-26.1", "iptables", "make iptables", full,
			[]string{"-all-static -s", "-Wl,<work>/drydock-names.o", "--build-id=none", "xtables-legacy-multi"}, nil},
		{"docker-26.1", "expat", "compile xmlparse", full, []string{"-std=gnu99", "-O2", "lib/xmlparse.c"}, nil},
		{"docker-26.1", "expat", "archive", full,
			[]string{"ar crD <stage>/lib/libexpat.a xmlparse.o xmlrole.o xmltok.o"}, nil},
		{"docker-28.5", "dbus", "configure", full,
			[]string{"EXPAT_LIBS=-L<expat>/lib -lexpat", "--with-system-socket=/var/run/dbus/system_bus_socket",
				"--disable-maintainer-mode", "--disable-xml-docs"}, []string{"-all-static"}},
		{"docker-28.5", "dbus", "make bus", full, []string{"-all-static", "dbus-daemon"}, nil},
	}
	for _, c := range cases {
		got := command(plan(t, c.stack, c.component, c.tools), c.step)
		for _, w := range c.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s %s: no %q in:\n%s", c.stack, c.component, w, got)
			}
		}
		for _, w := range c.not {
			if strings.Contains(got, w) {
				t.Errorf("%s %s: %q is in:\n%s", c.stack, c.component, w, got)
			}
		}
	}
}

func TestEveryStepIsOfflineAndFromScratch(t *testing.T) {
	t.Setenv("GOFLAGS", "-tags=leak")
	t.Setenv("CFLAGS", "-DLEAK")
	for _, st := range []string{"docker-26.1", "docker-28.5"} {
		for c := range load(t, st).Component { // the extras, too
			for _, s := range plan(t, st, c, full).Steps {
				env := strings.Join(s.Env, "\n") + "\n"
				if strings.Contains(strings.ToLower(env), "leak") {
					t.Errorf("%s %s %s: the caller's environment shows:\n%s", st, c, s.Name, env)
				}
				want := []string{"LC_ALL=C\n", "TZ=UTC\n", "HOME=<home>\n", "TMPDIR=<tmp>\n", "SOURCE_DATE_EPOCH="}
				if Row(c).Go {
					want = append(want, "GOPROXY=off\n", "GOTOOLCHAIN=local\n", "GOENV=off\n", "GOSUMDB=off\n")
				}
				for _, w := range want {
					if !strings.Contains(env, w) {
						t.Errorf("%s %s %s: no %q", st, c, s.Name, w)
					}
				}
			}
		}
	}
}

func TestTheEightFilesOfUpstreamsArchiveAreMade(t *testing.T) {
	var got []string
	for _, c := range load(t, "docker-26.1").Parts() {
		for _, o := range plan(t, "docker-26.1", c, full).Outputs {
			if o.Bin {
				got = append(got, o.Name)
				if len(o.Want) == 0 {
					t.Errorf("%s: no version is expected of it", o.Name)
				}
			}
		}
	}
	slices.Sort(got)
	want := []string{"containerd", "containerd-shim-runc-v2", "ctr", "docker", "docker-init", "docker-proxy",
		"dockerd", "runc"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestALostFeatureIsSaid(t *testing.T) {
	tools := full
	tools.Quota = false
	if notes := plan(t, "docker-26.1", "dockerd", tools).Notes; len(notes) != 1 ||
		!strings.Contains(notes[0], "project quotas") {
		t.Errorf("got %q, want a note on quotas", notes)
	}
	no := false
	s := load(t, "docker-26.1")
	s.Component["dockerd"].Quota = &no
	if notes := Of(s, "dockerd", tools, Symbolic(nil)).Notes; len(notes) != 0 {
		t.Errorf("quota = false: got %q, want no note", notes)
	}
}

func TestKernelMemoryAccountingIsLeftOutForOldKernelsWhereRuncKnowsTheTag(t *testing.T) {
	for _, c := range []struct {
		runc, kernel string
		want         bool
	}{{"1.0.0-rc8", "3.10", true}, {"1.0.0-rc93", "3.10", true}, {"1.0.0-rc95", "3.10", false},
		{"1.1.15", "3.10", false}, {"1.0.0-rc10", "4.14", false}} {
		s := load(t, "docker-26.1")
		s.Component["runc"].Version, s.Target.Kernel = c.runc, c.kernel
		got := strings.Contains(command(Of(s, "runc", full, Symbolic(Needs(s, "runc"))), "compile runc"), "nokmem")
		if got != c.want {
			t.Errorf("runc %s for kernel %s: got nokmem %v, want %v", c.runc, c.kernel, got, c.want)
		}
	}
}

func TestKernelHeadersOfTheUserReachEveryCompiler(t *testing.T) {
	tools := full
	tools.Headers = "/kernel/include"
	for c, step := range map[string]string{"runc": "compile runc", "dockerd": "compile dockerd", "tini": "compile",
		"iptables": "configure", "expat": "compile xmltok", "dbus": "configure"} {
		p := plan(t, "docker-26.1", c, tools)
		all := command(p, step)
		for _, s := range p.Steps {
			all += "\n" + strings.Join(s.Env, "\n")
		}
		if !strings.Contains(all, "-I/kernel/include") {
			t.Errorf("%s: no -I/kernel/include in:\n%s", c, all)
		}
	}
}
