package verify

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"drydock/targets/internal/platform"
	"drydock/targets/internal/testprog"
)

// What a compiler makes has a mode that the umask decides, and the mode is examined.
func TestMain(m *testing.M) {
	syscall.Umask(0o022)
	os.Exit(m.Run())
}

const say = "#include <stdio.h>\nint main(void){puts(\"tool 1.2.3 \" NOTE);return 0;}\n"

// compile makes a C program and gives its path.
func compile(t *testing.T, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	src, bin := filepath.Join(dir, "t.c"), filepath.Join(dir, "t")
	if err := os.WriteFile(src, []byte(say), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc",
		append([]string{"-DNOTE=\"x\"", "-o", bin, src}, flags...)...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return bin
}

func TestAStaticProgramPassesAndSaysItsKind(t *testing.T) {
	for kind, flag := range map[string]string{"static": "-static", "static-pie": "-static-pie"} {
		r := File(context.Background(), compile(t, flag), Want{Kernel: "3.10", Say: []string{"tool 1.2.3"}})
		if r.Err() != nil || r.Kind != kind || r.ABI == "" || r.Says != "tool 1.2.3 x" {
			t.Errorf("%s: got %+v, error %v", kind, r, r.Err())
		}
	}
}

func TestEachDefectFailsItsOwnCheck(t *testing.T) {
	static := compile(t, "-static")
	noexec := filepath.Join(t.TempDir(), "f")
	data, err := os.ReadFile(static)
	if err != nil {
		t.Fatal(err)
	}
	other := append([]byte{}, data...)
	other[18] = 183 // EM_AARCH64
	arm := filepath.Join(t.TempDir(), "arm")
	script := filepath.Join(t.TempDir(), "script")
	for p, d := range map[string][]byte{arm: other, noexec: data, script: []byte("#!/bin/sh\n")} {
		if err := testprog.Write(p, string(d)); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(noexec, 0o644)
	cases := map[string]struct {
		path string
		want Want
	}{
		"interpreter":            {compile(t), Want{Kernel: "3.10"}},
		"shared libraries":       {compile(t), Want{Kernel: "3.10"}},
		"kernel of the ABI note": {static, Want{Kernel: "2.6.9"}},
		"paths of the build host": {compile(t, "-static", "-DNOTE2", "-UNOTE", "-DNOTE=\"/home/builder/x\""),
			Want{Kernel: "3.10", Forbidden: []string{"/home/builder/"}}},
		"version": {static, Want{Kernel: "3.10", Say: []string{"tool 9"}}},
		"machine": {arm, Want{Kernel: "3.10"}},
		"mode":    {noexec, Want{Kernel: "3.10"}},
		"format":  {script, Want{Kernel: "3.10"}},
		"file":    {"/nonexistent", Want{Kernel: "3.10"}},
	}
	for check, c := range cases {
		err := File(context.Background(), c.path, c.want).Err()
		if err == nil || !strings.Contains(err.Error(), check+": got ") {
			t.Errorf("%s: got %v, want this check to fail", check, err)
		}
	}
}

func TestAWordIsFoundWhereverItLies(t *testing.T) {
	p := filepath.Join(t.TempDir(), "f")
	for _, at := range []int{0, 5, window - 3, window - overlap - 2, window, 2*window - overlap - 4, 3 * window} {
		data := make([]byte, 3*window+8)
		copy(data[at:], "the word")
		if err := os.WriteFile(p, data, 0o644); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%q at offset %d", "the word", at)
		if got, err := find(p, []string{"absent", "the word"}); got != want || err != nil {
			t.Errorf("at %d: got %s, %v, want %s", at, got, err, want)
		}
		if got, err := find(p, []string{"the wordy"}); got != "" || err != nil {
			t.Errorf("at %d: got %s, %v, want nothing", at, got, err)
		}
	}
}

func TestAFileOfAnotherMachineIsHeldToItsOwn(t *testing.T) {
	t.Parallel()
	// What gcc makes is of this machine, whatever else is well with it.
	path := compile(t, "-static")
	for _, a := range platform.All() {
		r := File(t.Context(), path, Want{Kernel: "3.10", Arch: a.Name, Say: []string{"tool 1.2.3"}})
		if a.Native() {
			if r.Err() != nil || r.Says != "tool 1.2.3 x" {
				t.Errorf("%s: got %v, %q", a.Name, r.Err(), r.Says)
			}
			continue
		}
		if err := r.Err(); err == nil || !strings.Contains(err.Error(), "machine: got EM_") ||
			!strings.Contains(err.Error(), "want "+a.Machine.String()) {
			t.Errorf("%s: got %v, want another machine", a.Name, err)
		}
		if r.Says != "not run: no qemu-"+a.Qemu {
			t.Errorf("%s: without an emulator, it says %q", a.Name, r.Says)
		}
		// An emulator is called with the file and its arguments.
		emulator := filepath.Join(t.TempDir(), "qemu")
		if err := testprog.Write(emulator, "#!/bin/sh\nexec \"$@\"\n"); err != nil {
			t.Fatal(err)
		}
		if r := File(t.Context(), path,
			Want{Kernel: "3.10", Arch: a.Name, Emulator: emulator,
				Say: []string{"tool 9"}}); !strings.Contains(r.Err().Error(), "version: got ") {
			t.Errorf("%s: got %v, want the version to be asked", a.Name, r.Err())
		}
	}
}
