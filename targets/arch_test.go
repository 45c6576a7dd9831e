package targets

import (
	"debug/elf"

	"github.com/rogpeppe/go-internal/testscript"
)

// machine FILE MACHINE compares an ELF file's machine with elf.Machine's name of it.
func machine(ts *testscript.TestScript, neg bool, args []string) {
	f, err := elf.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	if got := f.Machine.String(); got != args[1] {
		ts.Fatalf("%s: got %s, want %s", args[0], got, args[1])
	}
}
