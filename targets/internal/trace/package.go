package trace

import "bytes"

// NamesPackage says that Go printed a line that is an import path: it loaded all, and begins to compile.
func NamesPackage(printed []byte) bool {
	for line := range bytes.Lines(printed) {
		if line = bytes.TrimSpace(line); len(line) > 0 && !bytes.ContainsAny(line, " \t:#") {
			return true
		}
	}
	return false
}
