// Package testlong separates the tests that take long from those that everybody runs.
//
// A long test is named TestLong… and begins with Skip; a long script lies in targets/testdata/long. CI runs them by
// DRYDOCK_LONG=1 go test -run '^TestLong' ./... after the others. Each has a quick variant that always runs.
package testlong

import (
	"os"
	"testing"
)

// Skip skips the test unless the environment has DRYDOCK_LONG=1.
func Skip(t testing.TB) {
	t.Helper()
	if os.Getenv("DRYDOCK_LONG") != "1" {
		t.Skip("takes long; set DRYDOCK_LONG=1")
	}
}
