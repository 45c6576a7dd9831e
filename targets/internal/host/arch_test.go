package host

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drydock/targets/internal/platform"
)

// foreign is an architecture that is not this machine's.
func foreign() platform.Arch {
	return platform.All()[slices.IndexFunc(platform.All(), func(a platform.Arch) bool { return !a.Native() })]
}

// lookFor takes the facts for an architecture where the only compiler is a script in dir.
func lookFor(t *testing.T, a platform.Arch, dir, script string) *Facts {
	t.Helper()
	if script != "" {
		pose(t, dir, a.Triplet+"-gcc", script)
		pose(t, dir, a.Triplet+"-ar", `echo GNU ar`)
	}
	asked := Asked{Path: dir, Go: "/bin/false"}.For(a)
	f, err := Look(t.Context(), asked, filepath.Join(t.TempDir(), asked.CacheName()))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestACrossCompilerThatWillNotDoIsRefusedWithItsPackage(t *testing.T) {
	t.Parallel()
	a := foreign()
	says := `case "$1" in -dumpmachine) echo ` + a.Triplet +
		`; exit;; -dump*) echo 12.2.0; exit;; -print-*) exit;; -v) exit;; esac; `
	for what, c := range map[string]struct{ script, finding, found, fix string }{
		"none": {"", a.Triplet + "-gcc", "none in PATH=", "Debian: " + a.GCC},
		"of another machine": {`echo sparc-sun-solaris2.6`, a.Triplet + "-gcc",
			"compiles for sparc-sun-solaris2.6, want one for " + a.Triplet, "CC_" + a.Name + "="},
		"old": {`case "$1" in -dumpmachine) echo ` + a.Triplet + `;; *) echo 4.9.4;; esac`,
			a.Triplet + "-gcc", "4.9.4", "8 or newer"},
		"cannot link statically": {says + `echo "ld: cannot find -lgcc"; exit 1`, "program without a C library",
			"ld: cannot find -lgcc", "Debian: " + a.GCC},
		// Whatever it says of itself, what it makes is looked at.
		"makes files of this machine": {says +
			`PATH=/usr/bin:/bin; out="$(for a; do case $a in /*.c) echo ${a%.c};; esac; done)"
exec gcc -nostdlib -static -o "$out" -x c - <<E
void _start(void){}
E`, "program without a C library", "it compiles for another machine than " + a.Name + ": machine: got ",
			"Debian: " + a.GCC},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := lookFor(t, a, t.TempDir(), c.script)
			for _, x := range f.Check(Asks{C: true, Kernel: "3.10", Dir: t.TempDir()}) {
				if x.Name == c.finding {
					if x.OK || !strings.Contains(x.Found, c.found) || !strings.Contains(x.Fix, c.fix) {
						t.Errorf("got %+v, want %q and the remedy %q", x, c.found, c.fix)
					}
					return
				}
			}
			t.Errorf("no finding %q", c.finding)
		})
	}
}

func TestAnotherMachineHasFindingsOfItsOwn(t *testing.T) {
	t.Parallel()
	a := foreign()
	f := &Facts{Asked: Asked{Arch: a.Name}}
	for _, libc := range []bool{true, false} {
		fs := f.checkCross(Asks{C: true, Libc: libc})
		if i := slices.IndexFunc(fs, func(x Finding) bool { return x.Name == "C library for "+a.Name }); i < 0 ||
			fs[i].OK == libc {
			t.Errorf("this host's C library: %v: got %+v", libc, fs)
		}
		if fs[0].Name != "qemu-"+a.Qemu || !fs[0].OK || !strings.Contains(fs[0].Fix, "Debian: qemu-user-static") {
			t.Errorf("got %+v, want a remark on what runs the files", fs[0])
		}
	}
	native := Asked{CC: "mine"}.For(platform.Build())
	if cross := native.For(a); native.CC != "mine" || native.CacheName() != "host.json" || cross.CC == "mine" ||
		cross.CacheName() != "host-"+a.Name+".json" {
		t.Errorf("got %+v for this machine and %+v for %s", native, cross, a.Name)
	}
}
