package boot

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drydock/targets/internal/smoke"
)

func TestKernelsAreListedWithWhatTheyDidNotPass(t *testing.T) {
	t.Parallel()
	text := Page([]*Report{{Stack: "docker-26.1", Version: "26.1.5", Kernel: "3.10.108", Cgroup: "v1", What: "-quick",
		Accelerator: "tcg", Date: "2026-01-01", Seconds: 61,
		Checks: []smoke.Result{{Name: "run", Verdict: smoke.Passed},
			{Name: "pids limit", Verdict: smoke.Skipped, Detail: "no pids | group"},
			{Name: "build", Verdict: smoke.Failed, Detail: "why"}}}}, "")
	for _, want := range []string{"| 3.10.108 | v1, quick | busybox | docker-26.1 (26.1.5) | 1 | 1 | 1 | 1m01s, " +
		"tcg | 2026-01-01 |", `| 3.10.108, v1-quick | pids limit | skipped: no pids \| group |`,
		"| build | failed: why |", "-image=" + "vmlinuz"} {
		if !strings.Contains(text, want) {
			t.Errorf("got %s\nwant %q in it", text, want)
		}
	}
}

func TestThePageKeepsWhatWasBootedElsewhere(t *testing.T) {
	t.Parallel()
	skipped := []smoke.Result{{Name: "pids limit", Verdict: smoke.Skipped, Detail: "no pids | group"}}
	other := &Report{Stack: "s", Version: "1", Kernel: "4.4", Cgroup: "v1", Accelerator: "kvm", Date: "2026-01-01",
		Checks: skipped}
	before := Page([]*Report{other,
		{Stack: "s", Version: "1", Kernel: "6.1", Cgroup: "v1", Accelerator: "tcg", Date: "2026-01-01",
			Checks: skipped}}, "")
	now := &Report{Stack: "s", Version: "2", Kernel: "6.1", Cgroup: "v1", Accelerator: "tcg", Date: "2026-02-02"}
	if got, want := Page([]*Report{now}, before), Page([]*Report{other, now}, ""); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestTheDocumentsOfAnArchitectureAreMadeOfItsMachines(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	try(t, os.Mkdir(filepath.Join(root, "docs"), 0o755))
	pc := &Report{Stack: "s", Version: "1", Kernel: "6.1.0-amd64", Cgroup: "v1"}
	arm := &Report{Stack: "s", Version: "1", Arch: "arm64", Kernel: "6.1.0-arm64", Cgroup: "v2", What: "-quick",
		Accelerator: "tcg", Date: "2026-01-01",
		Checks: []smoke.Result{{Name: "run", Verdict: smoke.Passed, Seconds: 2, Detail: "a|b"}}}
	try(t, pc.Keep(filepath.Join(root, "build/s/boot/reports")),
		arm.Keep(filepath.Join(root, "build/s/arm64/boot/reports")))
	for arch, want := range map[string][]string{"amd64": {"kernels.md"}, "arm64": {"kernels.md", "smoke-arm64.md"}} {
		target, err := TargetOf(arch)
		try(t, err)
		made, err := target.Documents(root, "s")
		try(t, err)
		if got := slices.Sorted(maps.Keys(made)); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", arch, got, want)
		}
		if page := made["kernels.md"]; !strings.Contains(page, "6.1.0-amd64") ||
			!strings.Contains(page, "6.1.0-arm64") {
			t.Errorf("%s: got %s, want both machines", arch, page)
		}
		page := made["smoke-arm64.md"]
		if arch == "arm64" &&
			(!strings.Contains(page, "| run | passed | 2.0s | a\\|b |") || strings.Contains(page, "6.1.0-amd64") ||
				!strings.Contains(page, "v2, quick")) {
			t.Errorf("got %s, want the checks of that machine", page)
		}
	}
}
