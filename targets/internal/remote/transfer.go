package remote

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drydock/targets/internal/archive"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
)

// within returns a context for a transfer that ends after most; end it with done.
func within(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, most, fmt.Errorf("the transfer was not done in %v", most.Round(time.Second)))
}

// watched reads no more when its context has ended, and calls end when one read took longer than stall.
type watched struct {
	io.Reader
	ctx   context.Context
	took  func(n int)
	stall time.Duration
	end   func()
}

func (w *watched) Read(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	if w.end != nil {
		defer time.AfterFunc(w.stall, w.end).Stop()
	}
	n, err := w.Reader.Read(p)
	if w.took != nil {
		w.took(n)
	}
	return n, err
}

// Take gets the files of a record into dir, which is there, as they were built. An error leaves what was there; who got
// it builds. took is told of bytes as they come.
func (c *Cache) Take(ctx context.Context, r *Record, dir string, took func(n int)) error {
	if err := c.Down(); err != nil {
		return err
	}
	// A cache that is slower than a build is of no use.
	ctx, done := within(ctx, max(c.patience.transfer, time.Duration(r.Build.Seconds*float64(time.Second))))
	defer done()
	for _, f := range r.Files {
		if err := c.take(ctx, f, dir, took); err != nil {
			return fmt.Errorf("%s: %w", f.Name, because(ctx, err))
		}
	}
	return nil
}

func (c *Cache) take(ctx context.Context, f File, dir string, took func(n int)) error {
	blob := filepath.Join(dir, ".blob")
	defer os.Remove(blob)
	if err := c.download(ctx, f.Blob, blob, took); err != nil {
		return err
	}
	in, err := os.Open(blob)
	if err != nil {
		return err
	}
	defer in.Close()
	from := io.Reader(in)
	if f.Gzip {
		if from, err = gzip.NewReader(in); err != nil {
			return err
		}
	}
	from = io.LimitReader(from, f.Size) // what it unpacks to is signed, too
	to := filepath.Join(dir, filepath.FromSlash(f.Name))
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if f.Tree {
		if err = os.Mkdir(to, 0o755); err == nil {
			err = archive.Extract(from, to, 0)
		}
	} else {
		mode := fs.FileMode(0o644)
		if f.Exec {
			mode = 0o755
		}
		err = archive.WriteFile(to, mode, func(w io.Writer) error { _, err := io.Copy(w, from); return err })
	}
	if err != nil {
		return err
	}
	sum, err := archive.SHA256Tree(to)
	if err == nil && sum != f.SHA256 {
		err = fmt.Errorf("sha256: got %.12s, want %.12s", sum, f.SHA256)
	}
	return err
}

// download writes a blob into a file. It has the digest and the size that were signed, or it is an error.
func (c *Cache) download(ctx context.Context, d ocispec.Descriptor, file string, took func(n int)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body, err := c.at.Fetch(ctx, ocispec.Descriptor{MediaType: fileType, Digest: d.Digest, Size: d.Size})
	if err != nil {
		return err
	}
	defer body.Close()
	w := &watched{Reader: body, ctx: ctx, took: took, stall: c.patience.stall, end: func() {
		cancel(fmt.Errorf("nothing came in %v", c.patience.stall))
		body.Close() // a read of a file system that does not answer has no other end
	}}
	checked := content.NewVerifyReader(w, d)
	out, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, checked)
	err = errors.Join(err, out.Close())
	if err == nil {
		err = checked.Verify()
	}
	return because(ctx, err)
}

// pushFile pushes one file or tree, compressed where it is not already.
func (c *Cache) pushFile(ctx context.Context, f *File, dir string) error {
	from := filepath.Join(dir, filepath.FromSlash(f.Name))
	fi, err := os.Stat(from)
	if err != nil {
		return err
	}
	f.Tree, f.Exec, f.Gzip = fi.IsDir(), !fi.IsDir() && fi.Mode()&0o111 != 0, !strings.HasSuffix(f.Name, ".gz")
	tmp, err := os.CreateTemp("", "drydock-push-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	sum := digest.Canonical.Digester()
	var size counter
	out := io.MultiWriter(tmp, sum.Hash(), &size)
	z, _ := gzip.NewWriterLevel(out, gzip.BestSpeed)
	var raw counter
	write := io.MultiWriter(z, &raw)
	if !f.Gzip {
		write = io.MultiWriter(out, &raw)
	}
	if f.Tree {
		err = writeTree(write, from)
	} else {
		err = copyFile(write, from)
	}
	if f.Gzip {
		err = errors.Join(err, z.Close())
	}
	if err != nil {
		return err
	}
	f.Size, f.Blob = int64(raw), ocispec.Descriptor{MediaType: fileType, Digest: sum.Digest(), Size: int64(size)}
	return c.pushFrom(ctx, f.Blob, func() (io.ReadCloser, error) { return os.Open(tmp.Name()) })
}

func writeTree(w io.Writer, dir string) error {
	es, err := archive.Tree(dir, "")
	if err != nil {
		return err
	}
	return archive.WriteTar(w, es, time.Unix(0, 0))
}

func copyFile(w io.Writer, file string) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = io.Copy(w, in)
	return err
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }
