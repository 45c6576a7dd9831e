package patch

import (
	"fmt"
	"io"
)

// Noted writes what is told of patches into a log; the error is the log's.
func Noted(log io.Writer, told []string, err error) error {
	for _, t := range told {
		fmt.Fprintf(log, "# %s\n", t)
	}
	return err
}
