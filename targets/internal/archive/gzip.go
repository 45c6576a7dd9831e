package archive

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"io"
	"runtime"
	"sync"
)

// gzipBlock is how many bytes are compressed on their own. What was 32 KiB before a byte is out of reach across the
// border of two blocks, which costs less than a percent.
const gzipBlock = 1 << 20

// gzipWriter writes one gzip stream (RFC 1952), whose blocks the cores compress side by side. Its bytes follow from the
// content and the level alone, not from the number of cores.
type gzipWriter struct {
	block   []byte
	crc     uint32
	size    uint32
	writers sync.Pool        // of *flate.Writer
	queue   chan chan []byte // the compressed blocks to come, in order
	done    chan error       // the first error of the writer below, when all is written
}

// newGzipWriter gives a writer with one of flate's levels; Close ends the stream, and waits for all that is written.
func newGzipWriter(w io.Writer, level int) (*gzipWriter, error) {
	first, err := flate.NewWriter(nil, level)
	if err != nil {
		return nil, err
	}
	z := &gzipWriter{block: make([]byte, 0, gzipBlock), queue: make(chan chan []byte, runtime.GOMAXPROCS(0)),
		done: make(chan error, 1)}
	z.writers.New = func() any { f, _ := flate.NewWriter(nil, level); return f } // the level is a good one
	z.writers.Put(first)
	go func() {
		// Magic, deflate, no flags, no time, nothing of the level, an unknown system: as gzip.Writer has it.
		_, err := w.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255})
		for b := range z.queue {
			if data := <-b; err == nil { // after an error the rest is taken, so that nobody waits
				_, err = w.Write(data)
			}
		}
		z.done <- err
	}()
	return z, nil
}

func (z *gzipWriter) Write(p []byte) (int, error) {
	n := len(p)
	z.crc = crc32.Update(z.crc, crc32.IEEETable, p)
	z.size += uint32(n) // modulo 2^32, as the format wants it
	for len(p) > 0 {
		k := min(len(p), gzipBlock-len(z.block))
		z.block, p = append(z.block, p[:k]...), p[k:]
		if len(z.block) == gzipBlock {
			z.send()
		}
	}
	return n, nil
}

// send has the block compressed. A flush ends it on a byte's border, so that the next can follow it.
func (z *gzipWriter) send() {
	out, block := make(chan []byte, 1), z.block
	z.queue <- out
	z.block = make([]byte, 0, gzipBlock)
	go func() {
		var b bytes.Buffer
		f := z.writers.Get().(*flate.Writer)
		f.Reset(&b)
		f.Write(block) // a bytes.Buffer takes all
		f.Flush()
		z.writers.Put(f)
		out <- b.Bytes()
	}()
}

// Close writes what is left and the end of the stream, and gives the first error of the writer below. That is not
// closed.
func (z *gzipWriter) Close() error {
	if len(z.block) > 0 {
		z.send()
	}
	last := make(chan []byte, 1)
	end := []byte{1, 0, 0, 0xff, 0xff} // the final block: stored, and empty
	end = binary.LittleEndian.AppendUint32(end, z.crc)
	last <- binary.LittleEndian.AppendUint32(end, z.size)
	z.queue <- last
	close(z.queue)
	return <-z.done
}
