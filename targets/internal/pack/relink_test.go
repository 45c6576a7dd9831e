package pack

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"drydock/targets/internal/testprog"
)

func TestRelinkingDoesNotDependOnTheDirectoryOrOnCDPATH(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"relink", "a b", "it's & |", "-n", `back\slash`} {
		parent := t.TempDir()
		dir, decoy := filepath.Join(parent, name), filepath.Join(t.TempDir(), "decoy")
		// The compiler says where it was started, and with what.
		cc := "#!/bin/sh\npwd -P >\"$PWD/../said\"\necho \"$*\" >>\"$PWD/../said\"\n: >\"$PWD/../out/runc\"\n"
		for file, data := range map[string]string{"relink.sh": string(relinkScript), "runc/args": "a.o",
			"lib/musl/specs.in": "-LMUSL/lib", "cc": cc} {
			p := filepath.Join(dir, file)
			if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), testprog.Write(p, data)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.MkdirAll(filepath.Join(decoy, "runc"), 0o755),
			os.MkdirAll(filepath.Join(decoy, name), 0o755)); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "./"+name+"/relink.sh")
		if name[0] != '-' {
			cmd.Args[1] = name + "/relink.sh"
		}
		cmd.Dir, cmd.Env = parent, append(os.Environ(), "CDPATH="+decoy, "CC="+filepath.Join(dir, "cc"))
		if out, err := cmd.CombinedOutput(); string(out) != "relink: out/runc\n" || err != nil {
			t.Errorf("%q: got %q, %v", name, out, err)
		}
		said, _ := os.ReadFile(filepath.Join(dir, "said"))
		specs, _ := os.ReadFile(filepath.Join(dir, "lib/musl/specs"))
		real, err := filepath.EvalSymlinks(dir)
		if want := filepath.Join(real, "runc") + "\n-specs=../lib/musl/specs @args " +
			"-o ../out/runc\n"; string(said) != want || string(specs) != "-L../lib/musl" || err != nil {
			t.Errorf("%q: linked with %q and specs %q, want %q", name, said, specs, want)
		}
	}
}
