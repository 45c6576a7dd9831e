// Package pack turns published files into the package that a user takes away: a deterministic tar with its checksum.
package pack

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"drydock/targets/internal/archive"
)

// Write packs files (named by their base names, below docker/ as in upstream's static archive) into file, and the
// digest of it into file.sha256, in sha256sum's format.
func Write(file string, files []string, t time.Time) error {
	var es []archive.Entry
	for _, f := range files {
		es = append(es, archive.Entry{Name: "docker/" + filepath.Base(f), Path: f, Mode: 0o755})
	}
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
