package archive

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkExtract unpacks a tree of the shape of a vendor directory: 4,000 files of 10 kB, six levels deep.
func BenchmarkExtract(b *testing.B) {
	var es []Entry
	data := make([]byte, 10_000)
	for i := range 4000 {
		es = append(es, Entry{Name: fmt.Sprintf("top/vendor/example.com/m%d/pkg/sub/f%d.go", i/100, i), Data: data,
			Mode: 0o644})
	}
	file := filepath.Join(b.TempDir(), "x.tar.gz")
	if _, err := WriteTarGz(file, es, time.Unix(1, 0)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		dir := b.TempDir()
		r, err := Open(file, "gz")
		if err != nil {
			b.Fatal(err)
		}
		if err := Extract(r, dir, 1); err != nil {
			b.Fatal(err)
		}
		r.Close()
		os.RemoveAll(dir)
	}
}
