package host

import (
	"debug/elf"
	"fmt"
	"os"
)

// StaticSelf is this program's file, which must need nothing of the host that it is carried to.
func StaticSelf() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	e, err := elf.Open(self)
	if err != nil {
		return "", fmt.Errorf("%s: %w", self, err)
	}
	defer e.Close()
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP {
			return "", fmt.Errorf("%s is linked dynamically, and would not start on another host: run ./mage bundle, which compiles a static one", self)
		}
	}
	return self, nil
}
