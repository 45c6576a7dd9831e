package prove

import (
	"context"
	"errors"
	"testing"

	"drydock/targets/internal/failure"
	"drydock/targets/internal/smoke"
)

func TestATrialEndsWithTheCodeOfWhyItEnded(t *testing.T) {
	t.Parallel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		want int
	}{
		"it ran":                     {t.Context(), nil, 0},
		"it broke":                   {t.Context(), broken, failure.Failed},
		"it cannot be tried":         {t.Context(), &smoke.Refusal{Why: "not root"}, failure.Skipped},
		"it was stopped":             {stopped, broken, failure.Stopped},
		"it was stopped at its end":  {stopped, nil, failure.Stopped},
		"it was refused and stopped": {stopped, &smoke.Refusal{Why: "not root"}, failure.Skipped},
	} {
		err := ended(c.ctx, "trial", c.err)
		var x *failure.Exit
		if got := errors.As(err, &x); got != (c.want != 0) || got && x.Code != c.want {
			t.Errorf("%s: got %v, want the code %d", name, err, c.want)
		}
	}
}

func TestChecksAreCountedAndThoseThatFailedAreNamed(t *testing.T) {
	t.Parallel()
	passed, failed := smoke.Result{Name: "a", Verdict: smoke.Passed}, smoke.Result{Name: "b", Verdict: smoke.Failed}
	line, err := counted("smoke", "logs in x", []smoke.Result{passed, {Name: "c", Verdict: smoke.Skipped}})
	if want := "smoke: 1 passed, 1 skipped"; line != want || err != nil {
		t.Errorf("got %q and %v, want %q", line, err, want)
	}
	_, err = counted("smoke", "logs in x", []smoke.Result{passed, failed})
	if want := "smoke: 1 of 2 checks failed: b: logs in x"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}
