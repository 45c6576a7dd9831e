// Command runner is what does an order in a machine of another processor than drydock's own: the rooms boot and smoke
// alone, which look at the name that they are called by.
package main

import (
	"fmt"
	"os"

	_ "drydock/targets/internal/boot"
)

func main() {
	fmt.Fprintln(os.Stderr, "runner: this is a part of \"mage boot\", which puts it into a virtual machine")
	os.Exit(2)
}
