package smoke

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestWhoIsNotRootIsRefusedWithTheReason(t *testing.T) {
	if os.Geteuid() == 0 {
		try(t, syscall.Seteuid(65534))
		defer syscall.Seteuid(0)
	}
	results, err := Run(t.Context(), Config{Bin: t.TempDir(), Work: t.TempDir()}, func(Result) {})
	var refusal *Refusal
	if !errors.As(err, &refusal) || !strings.Contains(refusal.Why, "needs root") || results != nil {
		t.Errorf("got %v, %v, want a refusal that names root", results, err)
	}
}

// A check says how it went by what it does, and cannot hold up the run.
func TestAChecksVerdict(t *testing.T) {
	h := &harness{c: Config{}}
	for _, c := range []struct {
		name, verdict, detail string
		run                   func(l *harness)
	}{
		{"that ends", Passed, "a note", func(h *harness) { h.note = "a note" }},
		{"that fails", Failed, `answer: got "1", want "2"`, func(h *harness) { h.is("answer", 1, 2) }},
		{"that cannot be tried", Skipped, "no bridge", func(h *harness) { h.skipf("no bridge") }},
		{"with a defect", Failed, "a defect of this check", func(h *harness) { h.daemon.Process.Kill() }},
		{"that waits in vain", Failed, "never: not after",
			func(h *harness) { h.until("never", time.Hour, func() bool { return false }) }},
	} {
		limit := time.Minute
		if strings.Contains(c.name, "in vain") {
			limit = 100 * time.Millisecond
		}
		r, hangs := h.one(check{name: c.name, limit: limit, run: c.run})
		if r.Verdict != c.verdict || !strings.Contains(r.Detail, c.detail) || hangs {
			t.Errorf("a check %s: got %+v, want %s, %q", c.name, r, c.verdict, c.detail)
		}
	}
}

func TestTheNamesOfChecksAreTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range slices.Concat(checks, networkChecks, busChecks) {
		if seen[k.name] || k.limit == 0 || k.run == nil {
			t.Errorf("check %q: twice, or without a limit, or empty", k.name)
		}
		seen[k.name] = true
	}
	if checks[len(checks)-1].name != lastCheck || networkChecks[len(networkChecks)-1].name != lastNetCheck ||
		!seen[startCheck] {
		t.Errorf("the table does not end with %q, or lacks %q", lastCheck, startCheck)
	}
}

func TestWarningsOfTheDaemonsAreReadOnce(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "log")
	try(t, err)
	h := &harness{c: Config{}}
	h.log = f
	_, err = f.WriteString("time=\"x\" level=info msg=\"fine\"\n" +
		"time=\"x\" level=warning msg=\"cleanup \\\"a\\\"\" error=\"gone\" id=1\n" +
		"time=\"x\" level=warning msg=\"cleanup \\\"a\\\"\" error=\"gone\" id=2\ntime=\"x\" level=error msg=short\n")
	try(t, err)
	if got := strings.Join(h.warnings(), "|"); !strings.Contains(got, `cleanup "a": gone`) ||
		!strings.Contains(got, "short") || strings.Contains(got, "fine") {
		t.Errorf("got %q", got)
	}
	if got := h.warnings(); got != nil {
		t.Errorf("the second time: got %q, want none", got)
	}
}

func TestTheBriefChecksAreOfTheTable(t *testing.T) {
	for _, name := range Brief {
		if !slices.ContainsFunc(checks, func(k check) bool { return k.name == name }) {
			t.Errorf("%q is no check", name)
		}
	}
}

func TestLimitsAreLongerOnASlowMachineAlone(t *testing.T) {
	for slow, want := range map[float64]time.Duration{0: 10 * time.Second, 0.5: 10 * time.Second, 1: 10 * time.Second,
		12: 2 * time.Minute} {
		if got := (&harness{c: Config{Slow: slow}}).slowly(10 * time.Second); got != want {
			t.Errorf("10 s on a machine that is %v times slower: got %s, want %s", slow, got, want)
		}
	}
	if got := slowness(t.Context(), filepath.Join(t.TempDir(), "docker")); got != 1 {
		t.Errorf("a program that is not there: got %v, want 1", got)
	}
}
