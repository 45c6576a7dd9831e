package smoke

import (
	"io"
	"strings"
	"testing"

	"drydock/targets/internal/ui"
)

func TestAPageHasBothRunsOfEachCheck(t *testing.T) {
	t.Parallel()
	native := &Report{Checks: []Result{{Name: "run", Verdict: Passed, Seconds: 1},
		{Name: "pids", Verdict: Passed, Seconds: 0.5, Detail: "10"}, {Name: "new", Verdict: Passed}}}
	old := &Report{Kernel: "3.10",
		Checks: []Result{{Name: "run", Verdict: Passed, Seconds: 2},
			{Name: "pids", Verdict: Skipped, Detail: "no group"}}}
	page := Page("docker-26.1 on Linux 6", native, old)
	for _, want := range []string{"\ndocker-26.1 on Linux 6\n", "of Linux 3.10 |", "| run | ok, 1.0s | ok, 2.0s |  |",
		"| pids | ok, 500ms | skipped, 0ms | no group |", "| new | ok, 0ms | not tried |  |"} {
		if !strings.Contains(page, want) {
			t.Errorf("got %s\nwant %q in it", page, want)
		}
	}
	failed := Result{Name: "run", Verdict: Failed, Detail: "no such file", Warnings: []string{"level=error"}}
	if got, want := failed.Line(ui.To(io.Discard)), "FAILED   run                                      0ms  no such "+
		"file\n           dockerd: level=error"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if n, names := Count(append(native.Checks, failed)); n[Passed] != 3 || len(names) != 1 || names[0] != "run" {
		t.Errorf("got %v, failed %q, want 3 passed and run failed", n, names)
	}
}
