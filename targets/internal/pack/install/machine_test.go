package install

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"drydock/targets/internal/platform"
	"drydock/targets/internal/testprog"
)

func TestAPackageForAnotherProcessorIsRefusedByItsName(t *testing.T) {
	t.Parallel()
	dir := unpacked(t, "26.1.5", func(files map[string]string) {
		files[CheckName] = "#!/bin/sh\nexit 126\n" // as a foreign one ends
		data, err := profile(Profile{Version: "26.1.5", Arch: "arm64", Commands: commands})
		must(t, err)
		files["init/profile"] = string(data)
	})
	path := t.TempDir()
	must(t, testprog.Write(path+"/uname", "#!/bin/sh\necho x86_64\n"))
	for name, shell := range quick() {
		cmd := exec.Command(shell[0], slices.Concat(shell[1:], []string{dir + "/install.sh", "--dry-run"})...)
		cmd.Env = []string{"PATH=" + path + ":" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir()}
		out, _ := cmd.CombinedOutput()
		want := "install.sh: this package is for arm64 (aarch64), and this host is x86_64: take the package for it; " +
			"nothing was changed\n"
		if code := cmd.ProcessState.ExitCode(); code != 3 || string(out) != want {
			t.Errorf("%s: got exit code %d, %q, want 3, %q", name, code, out, want)
		}
	}
}

func TestTheMachinesThatRunAPackageAreToldApart(t *testing.T) {
	t.Parallel()
	text, want := "root='' here=$0 profile=x\n", ""
	for _, c := range []struct{ arch, machine, runs, want string }{
		{"amd64", "x86_64", "no", "taken"}, {"amd64", "aarch64", "yes", "refused"}, {"amd64", "i686", "yes", "taken"},
		{"amd64", "i686", "no", "refused"},
		{"arm64", "aarch64", "no", "taken"}, {"arm64", "armv7l", "yes", "refused"},
		{"arm64", "aarch64_be", "yes", "refused"}, {"arm64", "armv8l", "yes", "taken"},
		{"armv7", "armv7l", "no", "taken"}, {"armv7", "armv8l", "no", "taken"}, {"armv7", "armv6l", "yes", "refused"},
		{"armv7", "armv7b", "yes", "refused"},
		{"armv7", "aarch64", "yes", "taken"}, {"armv7", "aarch64", "no", "refused"}, {"armv7", "", "yes", "refused"},
	} {
		arch := platform.Must(c.arch)
		text += "uname() { echo " + c.machine + "; }\n" +
			"value() { case $1 in arch) echo " + arch.Name + " ;; *) echo " + strings.Join(arch.Uname, " ") +
			" ;; esac; }\nquiet() { [ " + c.runs + " = yes ]; }\n" +
			"if (this_machine) 2>/dev/null; then echo taken; else echo refused; fi\n"
		want += c.want + "\n"
	}
	each(t, text+"root=/mnt/card\nthis_machine && echo taken", want+"taken")
}
