package audit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStatementsAndTableMayBeMissingAndErrorsNameThemAsShown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if b, err := ReadBook(dir, "vendor-sources", "s"); err != nil || len(b.Statements) != 0 {
		t.Errorf("no statements: got %v and %v, want an empty book", b, err)
	}
	if _, err := ReadTable(dir, "vendor-sources", nil); err != nil {
		t.Errorf("no table: got %v, want none", err)
	}
	for _, name := range []string{StatementsFile("s"), TableFile} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("broken"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, book := ReadBook(dir, "vendor-sources", "s")
	_, table := ReadTable(dir, "vendor-sources", nil)
	for name, err := range map[string]error{StatementsFile("s"): book, TableFile: table} {
		if want := "vendor-sources/" + name; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that names %s", err, want)
		}
	}
}
