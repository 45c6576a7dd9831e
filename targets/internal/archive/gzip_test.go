package archive

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"testing"
)

// compressed is data through a gzipWriter, in writes of odd sizes.
func compressed(t *testing.T, data []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := newGzipWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	for r := bytes.NewReader(data); r.Len() > 0; {
		if _, err := io.CopyN(z, r, 70001); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGzipGivesBackWhatWentInWhateverTheCores(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for i, size := range []int{0, 1, gzipBlock + 1, gzipBlock - 1, gzipBlock, 3*gzipBlock + 12345} {
		if testing.Short() && i == 3 {
			break
		}
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(rnd.IntN(1 + i*16/max(size, 1))) // from the same byte to noise of four bits
		}
		for _, level := range []int{gzip.BestSpeed, gzip.DefaultCompression} {
			z := compressed(t, data, level)
			r, err := gzip.NewReader(bytes.NewReader(z))
			if err != nil {
				t.Fatal(err)
			}
			r.Multistream(false) // it is one stream: old readers stop after the first
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%d bytes, level %d: got %d bytes back, %v", size, level, len(got), err)
			}
			before := runtime.GOMAXPROCS(1)
			one := compressed(t, data, level)
			runtime.GOMAXPROCS(before)
			if !bytes.Equal(one, z) {
				t.Errorf("%d bytes, level %d: other bytes on one core", size, level)
			}
			if gz, err := exec.LookPath("gzip"); err == nil {
				cmd := exec.Command(gz, "-dc")
				cmd.Stdin = bytes.NewReader(z)
				if got, err := cmd.Output(); err != nil || !bytes.Equal(got, data) {
					t.Errorf("%d bytes, level %d: gzip -dc: got %d bytes, %v", size, level, len(got), err)
				}
			}
		}
	}
}

type full struct{ room int }

var errFull = errors.New("no space left")

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestAFullDiskIsToldByGzipAndNobodyWaits(t *testing.T) {
	for _, room := range []int{0, 100, gzipBlock} {
		z, err := newGzipWriter(&full{room}, gzip.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		rnd := rand.New(rand.NewPCG(1, 2))
		data := make([]byte, gzipBlock)
		for range 20 {
			for i := range data {
				data[i] = byte(rnd.Uint32())
			}
			if _, err := z.Write(data); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); !errors.Is(err, errFull) {
			t.Errorf("room for %d bytes: got %v, want %v", room, err, errFull)
		}
	}
}
