package host

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"drydock/targets/internal/testprog"
)

func TestTheNewestFittingGoIsTakenAndTheOthersAreExplained(t *testing.T) {
	f := Facts{Gos: []Go{{Path: "/a", Version: "1.19.13"}, {Path: "/b", Version: "1.26.8"},
		{Path: "/c", Version: "1.22.1"}, {Path: "/d", Problem: "does not run"}}}
	for constraint, want := range map[string]string{">= 1.21": "/b", ">= 1.13, < 1.20": "/a", "< 1.23": "/c"} {
		g, passed := f.Pick(constraint)
		if g == nil || g.Path != want || len(passed) == 0 {
			t.Errorf("%s: got %v (passed over: %v), want %s", constraint, g, passed, want)
		}
	}
	g, passed := f.Pick(">= 2")
	if g != nil || len(passed) != 4 {
		t.Errorf("got %v %v, want none and four reasons", g, passed)
	}
}

// pose writes a program that prints what an old tool would.
func pose(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := testprog.Write(filepath.Join(dir, name), "#!/bin/sh\n"+script+"\n"); err != nil {
		t.Fatal(err)
	}
}

func TestEachOldToolGetsItsOwnLine(t *testing.T) {
	everything := Asks{Go: map[string]string{"runc": ">= 1.21"}, C: true, Libc: true, Setns: true, Make: true,
		Kernel: "3.10", Dir: t.TempDir(), Disk: 1}
	// One compiler lacks four things: each is asked for all that it can do, which takes a second of CPU.
	const lacking = `case "$*" in
*-pthread*) echo "ld: cannot find -lpthread"; exit 1;;
*stack-protector*) echo "ld: undefined reference to __stack_chk_fail"; exit 1;;
*-static*) echo "ld: cannot find -lc"; exit 1;;
esac
for a; do case $a in *.c) grep -q __NR_setns $a && echo "error: __NR_setns undeclared" && exit 1;; esac; done
exec /usr/bin/gcc "$@"`
	cases := []struct {
		name, tool, script, finding, found string
	}{
		{"gcc 4.1", "gcc", `case "$1" in -dump*) echo 4.1.2;; esac`, "gcc", "4.1.2"},
		{"make 3.79", "make", `echo "GNU Make version 3.79.1"`, "make", "3.79.1"},
		{"go 1.4", "go", `echo "go version go1.4.3 linux/amd64"`, "go (runc)", "1.4.3"},
		{"ar that does not run", "ar", `exit 1`, "ar", "none"},
		{"broken linker", "gcc", lacking, "static C library", "ld: cannot find -lc"},
		{"no threads", "gcc", lacking, "static libpthread", "-lpthread"},
		{"old headers", "gcc", lacking, "__NR_setns", "undeclared"},
		{"no ssp", "gcc", lacking, "-fstack-protector", "__stack_chk_fail"},
	}
	looked := map[string]*Facts{}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := looked[c.script]
			if f == nil {
				dir := t.TempDir()
				pose(t, dir, c.tool, c.script)
				// Another compiler or Go that fits would be taken, and takes long to try.
				a := Asked{Path: dir + ":/usr/bin:/bin", CC: "/bin/false", Go: filepath.Join(dir, "go")}
				if c.tool == "gcc" {
					a.CC = filepath.Join(dir, "gcc")
				}
				var err error
				if f, err = Look(t.Context(), a, filepath.Join(dir, "host.json")); err != nil {
					t.Fatal(err)
				}
				looked[c.script] = f
			}
			for _, x := range f.Check(everything) {
				if x.Name == c.finding {
					if x.OK || !strings.Contains(x.Found, c.found) || x.Fix == "" {
						t.Errorf("got %+v, want it refused with %q and a remedy", x, c.found)
					}
					return
				}
			}
			t.Errorf("no finding %q", c.finding)
		})
	}
}

func TestTheProgramOfAGroupAsksAllThatItsProbesAsk(t *testing.T) {
	t.Parallel()
	for group, members := range grouped() {
		all, ok := joined[group]
		if !ok && len(members) > 1 {
			t.Errorf("group %s has no program", group)
		}
		for _, p := range members {
			for _, f := range p.flags {
				if ok && !slices.Contains(all.flags, f) {
					t.Errorf("group %s: got flags %q, want %s of %q too", group, all.flags, f, p.name)
				}
			}
			for _, word := range regexp.MustCompile(
				`#include <.*|#define .*|\b\w+\(|-l\w+|\b[A-Z_]+_\w+`).FindAllString(p.src, -1) {
				if ok && !strings.Contains(all.src, word) {
					t.Errorf("group %s: got %q, want %s of %q in it", group, all.src, word, p.name)
				}
			}
		}
	}
}

func TestACompilerThatLinksDynamicallyWithoutAWordIsFound(t *testing.T) {
	dir := t.TempDir()
	pose(t, dir, "cc", `for a; do case $a in -static-pie) ;; *) set -- "$@" "$a";; esac; shift; done
exec /usr/bin/gcc "$@"`)
	f, err := Look(context.Background(), Asked{Path: "/usr/bin:/bin", Go: "/bin/false", CC: filepath.Join(dir, "cc")},
		filepath.Join(t.TempDir(), "host.json"))
	if err != nil {
		t.Fatal(err)
	}
	if f.CC.Does(StaticPIE) || !f.CC.Does(StaticLibc) || !strings.Contains(f.CC.Fails[StaticPIE], "dynamically") {
		t.Errorf("got %+v, want static-pie refused as dynamic", f.CC)
	}
}

func TestAHostWithoutACLibraryServesAStackThatBringsItsOwn(t *testing.T) {
	dir := t.TempDir()
	// As on a machine without libc6-dev and linux-libc-dev: nothing links with -lc, and no header of theirs is there.
	pose(t, dir, "gcc", `case "$*" in *-nostdlib*|-v|-dump*|-print*) ;; *) echo "ld: cannot find crt1.o"; exit 1;; esac
exec /usr/bin/gcc "$@"`)
	f, err := Look(context.Background(), Asked{Path: "/usr/bin:/bin", Go: "/bin/false", CC: filepath.Join(dir, "gcc"),
		KernelHeaders: dir}, filepath.Join(t.TempDir(), "host.json"))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(a Asks) (names []string) {
		for _, x := range f.Check(a) {
			if !x.OK {
				names = append(names, x.Name)
			}
		}
		return names
	}
	a := Asks{C: true, Setns: true, Quota: true, Make: true, Kernel: "3.10", Dir: t.TempDir(), Disk: 1,
		Brings: "musl 1.2.5"}
	if bad := refused(a); bad != nil || !f.Bare.Does(BarePIE) || f.Bare.Headers != "" {
		t.Errorf("refused: %v; static-pie %v, headers %q; want nothing refused, static-pie, and no headers of "+
			"the user's", bad, f.Bare.Does(BarePIE), f.Bare.Headers)
	}
	said := false
	for _, x := range f.Check(a) {
		said = said || strings.Contains(x.Need, "musl 1.2.5") && strings.Contains(x.Fix, "KERNEL_HEADERS is not used")
		if x.Name == StaticLibc || x.Name == QuotaHeaders || x.Name == SetnsNumber {
			t.Errorf("%s is asked of the host", x.Name)
		}
	}
	if !said {
		t.Error("nothing says what the stack brings")
	}
	if a.Libc = true; !strings.Contains(strings.Join(refused(a), " "), StaticLibc) {
		t.Errorf("with the host's C library: got %v refused, want %s among it", refused(a), StaticLibc)
	}
	if f.Bare.ID == "" || f.Bare.ID == f.CC.ID {
		t.Errorf("got the identities %q and %q, want two", f.Bare.ID, f.CC.ID)
	}
	pose(t, dir, "gcc", `case "$*" in *-nostdlib*) echo "ld: cannot find -lgcc"; exit 1;; esac; exec /usr/bin/gcc "$@"`)
	if f, err = Look(context.Background(), f.Asked, filepath.Join(t.TempDir(), "host.json")); err != nil {
		t.Fatal(err)
	}
	if a.Libc = false; !strings.Contains(strings.Join(refused(a), " "), "without a C library") {
		t.Errorf("a compiler that links nothing: got %v refused", refused(a))
	}
}

func TestWhatIsTakenFromAKilledCompilerIsNeitherUsedNorKept(t *testing.T) {
	dir, cache := t.TempDir(), filepath.Join(t.TempDir(), "host.json")
	a := Asked{Path: "/usr/bin:/bin", Go: "/bin/false", CC: filepath.Join(dir, "gcc")}
	look := func() *Facts {
		f, err := Look(context.Background(), a, cache)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	// It is killed once, when it is asked for its cc1: as by a kernel that has no memory left.
	// What needs a C library is not tried.
	pose(t, dir, "gcc", `case "$*" in -print-prog-name=cc1) test -e `+dir+`/once || { >`+dir+
		`/once; kill -9 $$; };; *-nostdlib*|-v|-dump*|-print*) ;; *) exit 1;; esac; exec /usr/bin/gcc "$@"`)
	if f := look(); f.Bare.Problem == "" || !strings.Contains(f.Bare.Problem, "killed") {
		t.Errorf("got the problem %q, want one that says it was killed", f.Bare.Problem)
	}
	if f := look(); f.Bare.Problem != "" || f.Bare.ID == "" {
		t.Errorf("the second time: got the problem %q and the identity %q, want none and one", f.Bare.Problem,
			f.Bare.ID)
	}
}

func TestTheNewestCompilerThatPassesIsTakenAndTheOthersAreExplained(t *testing.T) {
	dir := t.TempDir()
	pose(t, dir, "gcc", `case "$1" in -dump*) echo 4.1.2;; *) exit 1;; esac`)
	pose(t, dir, "gcc-99", `case "$1" in -dump*) echo 99.1;; *) echo "error: no licence"; exit 1;; esac`)
	f, err := Look(context.Background(), Asked{Path: dir + ":/usr/bin:/bin", Go: "/bin/false"},
		filepath.Join(t.TempDir(), "host.json"))
	if err != nil {
		t.Fatal(err)
	}
	passed := strings.Join(f.CC.Passed, "\n")
	if filepath.Dir(f.CC.Path) != "/usr/bin" ||
		!strings.Contains(passed, "gcc-99 99.1: static C library: error: no licence") ||
		!strings.Contains(passed, "gcc 4.1.2: ") {
		t.Errorf("got %s, passed over:\n%s\nwant the real one, and why not gcc-99 and gcc", f.CC.Path, passed)
	}
}

func TestKernelHeadersOfTheUserComeFirst(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "include/linux"), 0o755); err != nil {
		t.Fatal(err)
	}
	look := func() *Facts {
		f, err := Look(context.Background(), Asked{Path: "/usr/bin:/bin", Go: "/bin/false", KernelHeaders: dir},
			filepath.Join(t.TempDir(), "host.json"))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	before := look()
	if err := os.WriteFile(filepath.Join(dir, "include/linux/quota.h"), []byte("#error not a quota.h\n"),
		0o644); err != nil {
		t.Fatal(err)
	}
	after := look()
	if !before.CC.Does(QuotaHeaders) || after.CC.Does(QuotaHeaders) ||
		after.CC.Headers != filepath.Join(dir, "include") {
		t.Errorf("got %v before and %v after in %s, want the user's header to be seen", before.CC.Does(QuotaHeaders),
			after.CC.Does(QuotaHeaders), after.CC.Headers)
	}
	if before.CC.ID == after.CC.ID {
		t.Error("the identity did not change with the header")
	}
}

func TestFactsAreTakenAgainWhenAToolChanges(t *testing.T) {
	dir := t.TempDir()
	cache := filepath.Join(t.TempDir(), "host.json")
	a := Asked{Path: dir + ":/usr/bin:/bin", CC: "/bin/false", Go: "/bin/false"}
	var got []string
	for _, v := range []string{"3.79.1", "4.2"} {
		pose(t, dir, "make", "echo GNU Make "+v)
		f, err := Look(context.Background(), a, cache)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, f.MakeV)
	}
	if strings.Join(got, " ") != "3.79.1 4.2" {
		t.Errorf("got %v, want both versions", got)
	}
}

func TestASourceThatComesIsNoReasonToLookAgainAndAToolchainIs(t *testing.T) {
	dir, sources, cache := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "host.json")
	pose(t, dir, "gcc", "echo x >>"+dir+"/asked; exit 1")
	look := func() (gos, asked int) {
		f, err := Look(t.Context(), Asked{Path: dir + ":/usr/bin:/bin", CC: filepath.Join(dir, "gcc"),
			Sources: sources}, cache)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := os.ReadFile(filepath.Join(dir, "asked"))
		return len(f.Gos), len(data)
	}
	gos, first := look()
	if err := os.WriteFile(filepath.Join(sources, "go-md2man.tar.gz"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, asked := look(); asked != first || first == 0 {
		t.Errorf("the compiler was asked %d bytes' worth of times, and with another source %d", first, asked)
	}
	if err := os.MkdirAll(filepath.Join(sources, "go1.99/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	pose(t, filepath.Join(sources, "go1.99/bin"), "go", "exit 1")
	if more, asked := look(); more != gos+1 || asked == first {
		t.Errorf("got %d toolchains, want the unpacked one after the %d others", more, gos)
	}
}

func TestFreeMemoryIsReadFromOldKernelsToo(t *testing.T) {
	for text, want := range map[string]int64{
		"MemTotal:  8000 kB\nMemFree:  100 kB\nMemAvailable:    5000 kB\nBuffers: 7 kB\n":             5000 << 10,
		"MemTotal:  8000 kB\nMemFree:  100 kB\nBuffers:  20 kB\nCached:  3000 kB\nSwapCached: 9 kB\n": 3120 << 10,
		"": 1 << 62,
	} {
		if got := available(text); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}

func TestTheWayToTheModulesIsAskedForInACleanEnvironment(t *testing.T) {
	gotool, err := exec.LookPath("go")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "env")
	for name, data := range map[string]string{"env": "GOPROXY=http://in.the.file\nGOPRIVATE=corp.example\n" +
		"GOFLAGS=-mod=vendor\nGOEXPERIMENT=none\n", "go.work": "go 1.99\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for k, v := range map[string]string{"GOENV": file, "GOFLAGS": "-nonsense", "GOTOOLCHAIN": "go1.99.9",
		"GO111MODULE": "off", "GOOS": "windows", "GOEXPERIMENT": "nonsense",
		"GOSUMDB": "off", "GOROOT": "/nowhere"} {
		t.Setenv(k, v)
	}
	for _, k := range []string{"GOPROXY", "GOPRIVATE", "GONOSUMDB", "GONOPROXY", "GOINSECURE"} {
		t.Setenv(k, "")
	}
	env, err := GoEnv(t.Context(), gotool)
	want := "GOPROXY=http://in.the.file GOSUMDB=off GONOSUMDB=corp.example GONOPROXY=corp.example " +
		"GOPRIVATE=corp.example GOINSECURE="
	if got := strings.Join(env, " "); got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestAPathThatMakeCannotTakeIsRefusedWithItsCharacter(t *testing.T) {
	t.Parallel()
	check := func(dir string, c bool) string {
		f := checkPath(filepath.Join(dir, "build"), c)
		if f.OK != (f.Found == "yes") || f.OK != (f.Fix == "") {
			t.Errorf("%q: got %+v", dir, f)
		}
		return f.Found
	}
	parent := t.TempDir()
	odd := "a b|a\tb|a\u00a0b|it's|q\"|a&b|a#b|a$b|a%b|a\\b|a;b|a(b|a)b|a<b|a>b|a`b|a\u2028b| a|a "
	for name := range strings.SplitSeq(odd, "|") {
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if got := check(dir, true); !strings.HasSuffix(got, fmt.Sprintf(" in %q", dir+"/build")) {
			t.Errorf("%q: got %q, want it refused with the directory", name, got)
		}
		if got := check(dir, false); got != "yes" {
			t.Errorf("%q, where no C is compiled: got %q", name, got)
		}
		link := filepath.Join(t.TempDir(), "plain")
		if err := os.Symlink(dir, link); err != nil {
			t.Fatal(err)
		}
		if got := check(link, true); !strings.HasSuffix(got, fmt.Sprintf(" in %q", dir+"/build")) {
			t.Errorf("a plain link to %q: got %q, want where it leads", name, got)
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a:b", "line\nbreak", "\x1b[1m", "a|b", "\x7f"} {
		if got := check(filepath.Join(parent, name), name == "a|b"); got == "yes" {
			t.Errorf("%q: got %q, want it refused", name, got)
		}
	}
	for _, name := range []string{"a+,.@^_-b", "é日", "a~!{d}=e", "a[b]c", "a*b", "a?b", "[", "\xff"} {
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if got := check(dir, true); got != "yes" {
			t.Errorf("%q: got %q, want yes", name, got)
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	// A shell would take another directory for this one.
	for _, name := range []string{"abc", "a[b]c"} {
		if err := os.Mkdir(filepath.Join(parent, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := check(filepath.Join(parent, "a[b]c"), true),
		fmt.Sprintf("%q fits it as a pattern", filepath.Join(parent, "abc")); !strings.Contains(got, want) {
		t.Errorf("got %q, want %q in it", got, want)
	}
}
