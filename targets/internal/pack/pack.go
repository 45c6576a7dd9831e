// Package pack turns published files into the package that a user takes away: a deterministic tar with its checksum.
package pack

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"drydock/targets/internal/archive"
)

// Write packs the entries into file, and the digest of it into file.sha256, in sha256sum's format.
func Write(file string, es []archive.Entry, t time.Time) error {
	if _, err := archive.WriteTarGz(file, es, t); err != nil {
		return err
	}
	sum, err := archive.SHA256File(file)
	if err != nil {
		return err
	}
	return archive.WriteFile(file+".sha256", 0o644, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s  %s\n", sum, filepath.Base(file))
		return err
	})
}
