package recipe

import (
	"slices"
	"strings"
	"testing"

	"drydock/targets/internal/stack"
)

// The edits that the recipe of 2019 made to upstream's sources, as this package makes them: docs/recipe.md lists them.

// every calls f with each component's plan, of all stacks, laid out as its sources are.
func every(t *testing.T, tools Tools, f func(s *stack.Stack, component string, p Plan)) {
	for _, name := range []string{"docker-19.03", "docker-20.10", "docker-26.1", "docker-28.5"} {
		s := load(t, name)
		for c := range s.Component {
			paths := Symbolic(Needs(s, c))
			var origin *stack.Origin
			if o := s.Component[c].Origin; len(o) > 0 {
				origin = o[0]
			}
			paths.Gopath = s.Component[c].Layout(origin)
			f(s, c, Of(s, c, tools, paths))
		}
	}
}

// tags gives the build tags of a step; nil for one without.
func tags(s Step) []string {
	if i := slices.Index(s.Argv, "-tags"); i > 0 {
		return strings.Fields(s.Argv[i+1])
	}
	return nil
}

func TestNoHeadersOfBtrfsAndDevicemapperAreNeeded(t *testing.T) {
	want := map[string][]string{"dockerd": {"exclude_graphdriver_btrfs", "static_build"},
		"containerd": {"no_btrfs", "static_build"}}
	every(t, full, func(s *stack.Stack, c string, p Plan) {
		for _, step := range p.Steps {
			for _, w := range want[c] {
				if !slices.Contains(tags(step), w) {
					t.Errorf("%s %s %s: no tag %s in %q", s.Name, c, step.Name, w, tags(step))
				}
			}
		}
	})
}

func TestPkgConfigIsNeverTheHosts(t *testing.T) {
	every(t, full, func(s *stack.Stack, c string, p Plan) {
		for _, step := range p.Steps {
			if !slices.Contains(step.Env, "CGO_ENABLED=1") {
				continue
			}
			if !slices.Contains(step.Env, "PKG_CONFIG=<shims>/pkg-config") {
				t.Errorf("%s %s %s: no PKG_CONFIG in %q", s.Name, c, step.Name, step.Env)
			}
			if !slices.Contains(Needs(s, c), "libseccomp") {
				continue
			}
			if i := slices.IndexFunc(p.Files, func(f File) bool { return f.Path == "<shims>/pkg-config" }); i < 0 ||
				!strings.Contains(p.Files[i].Data, "-lseccomp") {
				t.Errorf("%s %s: nothing stands in for pkg-config", s.Name, c)
			}
			if env := strings.Join(step.Env, "\n"); !strings.Contains(env, "CGO_LDFLAGS=-L<libseccomp>/lib") ||
				!strings.Contains(env, "-I<libseccomp>/include") {
				t.Errorf("%s %s %s: libseccomp is not named in:\n%s", s.Name, c, step.Name, env)
			}
		}
	})
}

func TestSeccompIsInEveryDaemonThatHasATagForIt(t *testing.T) {
	every(t, full, func(s *stack.Stack, c string, p Plan) {
		wants := c == "runc" || c == "dockerd" && !atLeast(s.Component[c], "23")
		for _, step := range p.Steps {
			if has := slices.Contains(tags(step), "seccomp"); has != wants {
				t.Errorf("%s %s %s: tag seccomp: got %v, want %v", s.Name, c, step.Name, has, wants)
			}
		}
	})
}

func TestEveryCgoProgramIsLinkedStatically(t *testing.T) {
	every(t, full, func(s *stack.Stack, c string, p Plan) {
		for _, step := range p.Steps {
			if argv := strings.Join(step.Argv, " "); slices.Contains(step.Env, "CGO_ENABLED=1") &&
				!strings.Contains(argv, "-linkmode external -extldflags '-static") {
				t.Errorf("%s %s %s: not static: %s", s.Name, c, step.Name, argv)
			}
		}
	})
}

// Go 1.12 has no -trimpath of its own: the tools are told, each by its own flag, and refuse what they do not know.
func TestGoBefore113TrimsPathsByTheCompilersFlags(t *testing.T) {
	tools := full
	tools.GoVersion = "1.12.17"
	s := load(t, "docker-20.10")
	paths := Symbolic(nil)
	paths.Work = "/build/tree/docker-proxy/src"
	paths.Gopath = map[string]string{"github.com/docker/libnetwork": "libnetwork"}
	for _, step := range Of(s, "docker-proxy", tools, paths).Steps {
		argv := step.Argv
		if slices.Contains(argv, "-trimpath") || slices.Contains(argv, "-buildvcs=false") ||
			slices.Contains(argv, "-mod=vendor") {
			t.Errorf("%s: flags that Go 1.12 refuses in a GOPATH: %q", step.Name, argv)
		}
		for _, w := range []string{"-gcflags=all=-dwarf=false -trimpath=/build/tree/docker-proxy",
			"-asmflags=all=-trimpath=/build/tree/docker-proxy"} {
			if !slices.Contains(argv, w) {
				t.Errorf("%s: no %q in %q", step.Name, w, argv)
			}
		}
		if !slices.Contains(step.Env, "GOROOT_FINAL=/usr/local/go") {
			t.Errorf("%s: the toolchain's own path would be in the file: %q", step.Name, step.Env)
		}
	}
}
