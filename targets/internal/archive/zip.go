package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
)

// maxZip is the size, in bytes, up to which a zip is read. The largest module known here (moby) has 15 MB.
const maxZip = 512 << 20

// zipTar gives the files of a zip as a tar, one at a time. A zip has its list at its end, so all of it is in memory.
type zipTar struct {
	files []*zip.File
	out   bytes.Buffer
	tar   *tar.Writer
	err   error
}

func newZipTar(r io.Reader) (io.Reader, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxZip+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxZip {
		return nil, fmt.Errorf("a zip of more than %d bytes", maxZip)
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	if len(z.File) > maxEntries {
		return nil, fmt.Errorf("more than %d entries", maxEntries)
	}
	t := &zipTar{files: z.File}
	t.tar = tar.NewWriter(&t.out)
	return t, nil
}

func (t *zipTar) Read(p []byte) (int, error) {
	for t.out.Len() == 0 && t.err == nil {
		t.err = t.next()
	}
	if t.out.Len() > 0 {
		return t.out.Read(p)
	}
	return 0, t.err
}

// next writes the next file, or the end.
func (t *zipTar) next() error {
	if len(t.files) == 0 {
		if err := t.tar.Close(); err != nil {
			return err
		}
		return io.EOF
	}
	f := t.files[0]
	t.files = t.files[1:]
	switch mode := f.Mode(); {
	case mode.IsDir():
		return nil // a file's directories are made with it
	case !mode.IsRegular():
		return fmt.Errorf("entry %q: got %s, want files only in a zip", f.Name, kindOf(mode))
	case f.UncompressedSize64 > maxZip:
		return fmt.Errorf("entry %q: unpacks to more than %d bytes", f.Name, maxZip)
	}
	r, err := f.Open()
	if err != nil {
		return fmt.Errorf("entry %q: %w", f.Name, err)
	}
	defer r.Close()
	h := &tar.Header{Name: f.Name, Size: int64(f.UncompressedSize64), Mode: int64(f.Mode() & fs.ModePerm),
		ModTime: f.Modified, Format: tar.FormatPAX}
	if err := t.tar.WriteHeader(h); err != nil {
		return fmt.Errorf("entry %q: %w", f.Name, err)
	}
	if _, err := io.Copy(t.tar, r); err != nil {
		return fmt.Errorf("entry %q: %w", f.Name, err)
	}
	return nil
}
