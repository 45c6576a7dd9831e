// Package testprog writes programs for tests to run.
package testprog

import (
	"os"
	"syscall"
)

// Write writes a program that a test of the same process may run at once.
//
// A process that is being started has the open files of its parent until it runs its own program, and a file that
// anybody has open for writing cannot be run ("text file busy", golang/go#22315). So none is started meanwhile. It
// fails where the file cannot be written.
func Write(file, text string) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(file, []byte(text), 0o755)
}
