package recipe

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"drydock/targets/internal/verify"
)

func TestFeaturesAreReadOffTheFiles(t *testing.T) {
	dir := t.TempDir()
	// Nothing of this machine is in their sight: they are as static as what they stand for.
	prints := func(name, text string) {
		src := filepath.Join(dir, name+".c")
		if err := os.WriteFile(src,
			[]byte("#include <stdio.h>\nint main(void) { return puts("+strconv.Quote(text)+") < 0; }\n"),
			0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("gcc", "-static", "-o", filepath.Join(dir, name),
			src).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	prints("containerd", "[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n"+
		"  [plugins.'io.containerd.snapshotter.v1.native']")
	prints("runc",
		`{"linux":{"namespaces":["pid"],"cgroup":{"v1":true,"v2":false},"seccomp":{"enabled":true,`+
			`"actions":["SCMP_ACT_LOG"]},"selinux":{"enabled":false}}}`)
	// A Go file keeps the names of its functions, and its tags.
	for name, text := range map[string]string{
		"go.mod": "module github.com/docker/docker\n\ngo 1.21\n",
		"main.go": "package main\n\n" +
			"import \"github.com/docker/docker/daemon/graphdriver/vfs\"\n\nfunc main() { vfs.Init() }\n",
		"daemon/graphdriver/vfs/vfs.go": "package vfs\n\n//go:noinline\nfunc Init() { println(\"vfs\") }\n",
	} {
		file := filepath.Join(dir, "src", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-tags=netgo,static_build", "-ldflags=-s -w", "-o", dir+"/dockerd", ".")
	build.Dir, build.Env = dir+"/src", append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// One that lies beside them says nothing of the stack.
	if err := os.Link(dir+"/dockerd", dir+"/other"); err != nil {
		t.Fatal(err)
	}
	var tells []verify.Tells
	for _, c := range Components() {
		tells = append(tells, c.Features)
	}
	got, err := verify.Features(t.Context(), dir, "", []string{"containerd", "runc", "dockerd"}, tells)
	want := []string{"containerd: plugin io.containerd.grpc.v1.cri",
		"containerd: plugin io.containerd.snapshotter.v1.native", "dockerd: build tag netgo",
		"dockerd: build tag static_build", "dockerd: graph driver vfs", "runc: cgroup v1", "runc: namespace pid",
		"runc: seccomp", "runc: seccomp action SCMP_ACT_LOG"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}
