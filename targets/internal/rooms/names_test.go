package rooms

import (
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"drydock/targets/internal/recipe"
)

// fewNames is how many places outside of room recipe may name a component. They are where a thing has the same name: a
// key of daemon.json or of a stack file, a program that the smoke test calls, a suite that is written for one component
// alone, a licence.
const fewNames = 10

// What a component is stands in its row, in one file of room recipe; elsewhere a name says a property that the row
// could.
func TestAComponentIsNamedInItsRowAlone(t *testing.T) {
	t.Parallel()
	names := recipe.Rows().Names()
	var found []string
	for _, s := range sources(t) {
		if s.room == "recipe" || s.path == "targets/components.go" { // which is made of the rows
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && slices.Contains(names, text) {
					found = append(found, s.fset.Position(lit.Pos()).String()+": "+text)
				}
			}
			return true
		})
	}
	if len(found) > fewNames {
		t.Errorf("got %d names of components outside of recipe, want at most %d: ask the row (recipe.Row) for "+
			"what is meant\n%q", len(found), fewNames, found)
	}
}
