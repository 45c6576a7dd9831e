// Package prove is the commands that show what a finished build is worth: whether its files are what they must be, what
// is known against them, how they work, and whether they come out the same again. It changes nothing of the build.
package prove

import (
	"path/filepath"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/engine"
	"drydock/targets/internal/failure"
)

// native stops a command that starts the stack's files where they are of another machine.
func native(e *engine.Engine, command string) error {
	if a := e.Stack.Arch(); !a.Native() {
		return failure.Errorf(failure.Skipped, "%s: the files of %s are for %s, and this machine runs none of them: "+
			"run it on such a machine", command, e.Stack.Name, a.Name)
	}
	return nil
}

// writeDoc writes a page of docs/ that is made of results.
func writeDoc(e *engine.Engine, name, text string) error {
	file := filepath.Join(e.Root, "docs", name)
	if err := archive.WriteBytes(file, 0o644, []byte(text)); err != nil {
		return err
	}
	e.UI.Line("wrote %s", e.Rel(file))
	return nil
}
