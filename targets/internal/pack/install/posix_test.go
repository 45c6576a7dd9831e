package install

import (
	"regexp"
	"strings"
	"testing"
)

// bash before 4.0 takes the first parenthesis that closes for the end of a substitution, also that of a case's pattern.
func TestNoCaseStandsInASubstitution(t *testing.T) {
	t.Parallel()
	within := regexp.MustCompile(`\$\([^()]*\bcase\b`)
	for _, f := range executable {
		text := inPackage(t, strings.TrimPrefix(f, "init/"))
		if found := within.Find(text); found != nil {
			t.Errorf("%s: %s: a case within $( )", f, found)
		}
	}
}
