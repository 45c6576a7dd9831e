package smoke

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drydock/targets/internal/run"
)

// built is the directory of a built stack that SMOKE_BIN names, as CI does.
func built(t *testing.T) string {
	dir := os.Getenv("SMOKE_BIN")
	if dir == "" {
		t.Skip("SMOKE_BIN names no built stack, such as output/docker-26.1/bin: this takes a minute")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	return dir
}

func TestEachDefectFailsItsOwnChecks(t *testing.T) {
	dir := built(t)
	ctx := t.Context()
	gotool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	host := t.TempDir()
	root, err := exec.Command(gotool, "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	tools := &run.Sandbox{Read: []string{"/usr", "/bin", "/lib", "/lib64", gotool, strings.TrimSpace(string(root))},
		Write: []string{host}}
	try(t,
		CompileGuest(ctx, gotool, host,
			[]string{"PATH=" + os.Getenv("PATH"), "HOME=" + host, "GOCACHE=" + host + "/cache"}, tools))
	version := func(file, flag, before string) string {
		out, err := exec.Command(filepath.Join(dir, file), flag).Output()
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := bytes.Cut(out, []byte(before))
		return string(rest[:bytes.IndexAny(append(rest, ' '), " ,\n")])
	}
	versions := map[string]string{"docker": version("docker", "--version", "version "),
		"containerd": version("containerd", "--version", " v"), "runc": version("runc", "--version", "version "),
		"docker-init": version("docker-init", "--version", "version ")}
	only := []string{"files are there", "files are executable", "files are static", "version: containerd",
		"version: docker-init", "info: seccomp", "run", "--init reaps zombies",
		"default seccomp profile blocks", lastCheck}
	// The network part and the bus are tried where they are built.
	tables, share := []string(nil), filepath.Join(dir, "../share")
	if _, err := os.Stat(filepath.Join(dir, "iptables")); err == nil {
		tables = []string{"--iptables=true", "--experimental", "--ip6tables=true"}
		only = append(only, networkChecks[2].name, "iptables: NAT to the world outside", "iptables: -p through DNAT",
			lastNetCheck)
	}
	if _, err := os.Stat(filepath.Join(share, "dbus-1/system.conf")); err != nil {
		share = ""
	} else {
		only = append(only, busChecks[0].name)
	}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, bin string)
		daemon []string
		want   []string
	}{
		{"nothing", func(*testing.T, string) {}, nil, nil},
		{"a dynamic runc", func(t *testing.T, bin string) {
			src := filepath.Join(t.TempDir(), "runc.c")
			try(t, os.WriteFile(src, []byte("int main(void) { return 0; }\n"), 0o644), os.Remove(bin+"/runc"))
			if out, err := exec.Command("gcc", "-o", bin+"/runc", src).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}, nil, []string{"files are static", "run"}},
		{"a dockerd without seccomp", func(*testing.T, string) {}, []string{"--seccomp-profile=unconfined"},
			[]string{"info: seccomp", "default seccomp profile blocks"}},
		{"a containerd of another release", func(t *testing.T, bin string) {
			data, err := os.ReadFile(bin + "/containerd")
			v := []byte(versions["containerd"])
			other := slices.Clone(v)
			other[len(other)-1] ^= 1
			try(t, err, os.Remove(bin+"/containerd"),
				os.WriteFile(bin+"/containerd", bytes.ReplaceAll(data, v, other), 0o755))
		}, nil, []string{"version: containerd"}},
		{"no docker-init", func(t *testing.T, bin string) { try(t, os.Remove(bin+"/docker-init")) }, nil,
			[]string{"files are there", "version: docker-init", "--init reaps zombies"}},
		{"a shim that is not executable", func(t *testing.T, bin string) {
			name := bin + "/containerd-shim-runc-v2"
			data, err := os.ReadFile(name)
			try(t, err, os.Remove(name), os.WriteFile(name, data, 0o644))
		}, nil, []string{"files are executable", "run"}},
		{"an iptables that forgets NAT", func(t *testing.T, bin string) {
			if tables == nil {
				t.Skip("iptables is not built")
			}
			src := filepath.Join(t.TempDir(), "forget.c")
			text := "#include <string.h>\n#include <unistd.h>\nint main(int n, char **v) {\n" +
				"\twhile (n--)\n\t\tif (!strcmp(v[n], \"MASQUERADE\") || !strcmp(v[n], \"DNAT\"))\n\t\t\treturn 0;\n" +
				"\tv[0] = \"iptables\";\n\texecv(\"" + binDir + "/xtables-legacy-multi\", v);\n\treturn 1;\n}\n"
			try(t, os.Remove(bin+"/iptables"), os.WriteFile(src, []byte(text), 0o644))
			if out, err := exec.Command("gcc", "-static", "-o", bin+"/iptables", src).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}, nil, []string{networkChecks[2].name, "iptables: NAT to the world outside", "iptables: -p through DNAT"}},
		{"a bus that stays root", func(t *testing.T, bin string) {
			if share == "" {
				t.Skip("dbus is not built")
			}
			data, err := os.ReadFile(filepath.Join(share, "dbus-1/system.conf"))
			ours := filepath.Join(bin, "../share/dbus-1")
			try(t, err, os.MkdirAll(ours, 0o755),
				os.WriteFile(ours+"/system.conf", bytes.Replace(data, []byte("<user>dbus</user>"), nil, 1), 0o644))
		}, nil, []string{busChecks[0].name}},
	} {
		t.Run(c.name, func(t *testing.T) {
			work := t.TempDir()
			bin := filepath.Join(work, "bin")
			try(t, os.Mkdir(bin, 0o755))
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			try(t, err)
			var names []string
			for _, f := range files {
				names = append(names, filepath.Base(f))
				data, err := os.ReadFile(f)
				try(t, err, os.WriteFile(filepath.Join(bin, filepath.Base(f)), data, 0o755))
			}
			data, err := os.ReadFile(filepath.Join(host, "guest"))
			try(t, err, os.WriteFile(filepath.Join(work, "guest"), data, 0o755))
			c.damage(t, bin)
			share := share
			if _, err := os.Stat(filepath.Join(work, "share")); err == nil {
				share = filepath.Join(work, "share")
			}
			results, err := Run(context.WithoutCancel(ctx),
				Config{Bin: bin, Work: work, Files: names, Versions: versions,
					Daemon: append([]string{"--iptables=false", "--ip6tables=false"}, c.daemon...), Network: tables,
					Share: share, Only: only}, func(Result) {})
			if refused := (*Refusal)(nil); errors.As(err, &refused) {
				t.Skip(err)
			}
			try(t, err)
			failed := map[string]string{}
			for _, r := range results {
				if r.Verdict == Failed {
					failed[r.Name] = r.Detail
				}
			}
			for _, w := range c.want {
				if failed[w] == "" {
					t.Errorf("%q did not fail", w)
				}
			}
			// Without a runc that works nothing runs; what does not run a container must still pass.
			for name, detail := range failed {
				if !slices.Contains(c.want, name) && !slices.Contains(c.want, "run") {
					t.Errorf("%q failed: %s", name, detail)
				}
			}
			if len(results) < len(only) {
				t.Errorf("got %d results, want at least %d", len(results), len(only))
			}
		})
	}
}

func try(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
