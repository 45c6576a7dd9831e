package archive

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// OpenFile opens a regular file for reading. It never waits for anything else that has the name, such as a named
// pipe that nobody writes to: that is an error, as a directory is.
func OpenFile(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s: got a %s, want a file", file, kindOf(fi.Mode()))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// kindOf names what is no regular file.
func kindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "directory"
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}

// ReadFile reads a regular file of at most limit bytes; a larger one is an error.
func ReadFile(file string, limit int64) ([]byte, error) {
	f, err := OpenFile(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: got more than %d bytes, want at most that", file, limit)
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// Complete reads an archive of a format (see Open) to its end, and returns what is wrong with it: another format, a
// cut end, a checksum.
func Complete(file, format string) error {
	f, err := OpenFile(file)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := Decompress(bufio.NewReaderSize(f, 1<<20), format)
	if err != nil {
		return err
	}
	bounded := &io.LimitedReader{R: r, N: maxBytes + 1}
	tr := tar.NewReader(bounded)
	for n := 0; err == nil; n++ {
		if _, err = tr.Next(); errors.Is(err, io.EOF) && n > 0 {
			_, err = io.Copy(io.Discard, bounded) // a checksum may follow
			break
		}
	}
	if bounded.N == 0 {
		return fmt.Errorf("unpacks to more than %d bytes", int64(maxBytes))
	}
	return err
}
