package suites

import (
	"reflect"
	"testing"
)

func TestTheTapOfBatsIsRead(t *testing.T) {
	out := "1..6\nok 1 list\nnot ok 2 spec validator\n# (in test file ./spec.bats, line 32)\n" +
		"# fatal: unable to access 'https://example.invalid/': no\n" +
		"ok 3 checkpoint # skip test requires criu\nnot ok 4 runc run\n# status 1\nok 5 exec\n" +
		"not ok 6 userns join\n# error mounting \"proc\" to rootfs at \"/proc\": mkdirat /tmp/bundle/rootfs/proc: " +
		"permission denied\n"
	var s Suite
	if err := s.tap(out); err != nil {
		t.Fatal(err)
	}
	want := []Case{{"spec validator", "failed", "clones a repository from the network, which is denied", true},
		{"checkpoint", "skipped", "test requires criu", false}, {"runc run", "failed", "", false},
		{"userns join", "failed",
			"wants an image with a directory proc; the busybox has none, for two other tests put links there", true}}
	if s.Passed != 2 || s.Failed != 3 || s.Skipped != 1 || !reflect.DeepEqual(s.Cases, want) {
		t.Errorf("got %d passed, %d failed, %d skipped, %+v, want %+v", s.Passed, s.Failed, s.Skipped, s.Cases, want)
	}
	for _, cut := range []string{"", "1..5\nok 1 list\n"} {
		if err := new(Suite).tap(cut); err == nil {
			t.Errorf("%q: a suite that ended early passes", cut)
		}
	}
}

func TestTheSummaryOfLibseccompIsRead(t *testing.T) {
	out := "Test 01-sim-allow%%001-00001 result:   SUCCESS\n" +
		"Test 02-sim-basic%%002-00001 result:   FAILURE bpf_sim resulted in KILL\n" +
		"Test 30-live%%001-00001 result:   SKIPPED (must specify live tests)\n" +
		"Test 02-sim-basic%%006-00001 result:   SKIPPED (architecture difference)\n" +
		"Regression Test Summary\n tests run: 2\n tests skipped: 2\n tests passed: 1\n tests failed: 1\n" +
		" tests errored: 0\n"
	var s Suite
	if err := s.regression(out, false); err != nil {
		t.Fatal(err)
	}
	want := []Case{{"02-sim-basic%%002-00001", "failed", "bpf_sim resulted in KILL", false},
		{"02-sim-basic%%006-00001", "skipped", "architecture difference", false}}
	if s.Passed != 1 || s.Failed != 1 || s.Skipped != 1 || !reflect.DeepEqual(s.Cases, want) {
		t.Errorf("got %d passed, %d failed, %d skipped, %+v, want %+v", s.Passed, s.Failed, s.Skipped, s.Cases, want)
	}
	if err := new(Suite).regression("Test 01 result:   SUCCESS\n", false); err == nil {
		t.Error("a suite without a summary passes")
	}
}

func TestWhatMuslCallsIsNoFailureOfTheLibrary(t *testing.T) {
	const out = "Test 21-live-basic_allow%%001-00001 result:   FAILURE 21-live-basic_allow 1 ALLOW rc=161\n" +
		"Test 20-live-basic_die%%001-00001 result:   FAILURE 20-live-basic_die 1 TRAP rc=160\n" +
		" tests skipped: 0\n tests passed: 1\n tests failed: 2\n tests errored: 0\n"
	for _, own := range []bool{true, false} {
		s := new(Suite)
		if err := s.regression(out, own); err != nil {
			t.Fatal(err)
		}
		if len(s.Cases) != 2 || s.Cases[0].Known != own || s.Cases[1].Known {
			t.Errorf("with musl %v: got %+v", own, s.Cases)
		}
	}
}
