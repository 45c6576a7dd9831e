package boot

import (
	"strings"
	"testing"

	"drydock/targets/internal/smoke"
)

func TestKernelsAreListedWithWhatTheyDidNotPass(t *testing.T) {
	t.Parallel()
	text := Page([]*Report{{Stack: "docker-26.1", Version: "26.1.5", Kernel: "3.10.108", Cgroup: "v1", What: "-quick", Accelerator: "tcg", Date: "2026-01-01", Seconds: 61,
		Checks: []smoke.Result{{Name: "run", Verdict: smoke.Passed}, {Name: "pids limit", Verdict: smoke.Skipped, Detail: "no pids | group"}, {Name: "build", Verdict: smoke.Failed, Detail: "why"}}}})
	for _, want := range []string{"| 3.10.108 | v1, quick | busybox | docker-26.1 (26.1.5) | 1 | 1 | 1 | 1m01s, tcg | 2026-01-01 |",
		`| 3.10.108, v1-quick | pids limit | skipped: no pids \| group |`, "| build | failed: why |", "-image=" + "vmlinuz"} {
		if !strings.Contains(text, want) {
			t.Errorf("got %s\nwant %q in it", text, want)
		}
	}
}
