package run

import (
	"context"
	"io"
	"os"
	"os/exec"
	"sync"
)

// The descriptors by which a confined child speaks with Cmd.Beside: pipes, by which nothing but bytes can pass.
const (
	BesideIn  = statusFD + 1
	BesideOut = statusFD + 2
)

// besides is what goes on beside a child; nil for nothing.
type besides struct {
	do           func(ctx context.Context, r io.Reader, w io.Writer)
	ours, theirs [2]*os.File // for reading, and for writing
	busy         sync.WaitGroup
}

// beside gives the command its ends of the pipes.
func (c Cmd) beside(cmd *exec.Cmd) (*besides, error) {
	if c.Beside == nil || c.Sandbox == nil {
		return nil, nil
	}
	b := &besides{do: c.Beside}
	var err error
	if b.theirs[0], b.ours[1], err = os.Pipe(); err == nil {
		b.ours[0], b.theirs[1], err = os.Pipe()
	}
	if err != nil {
		b.close()
		return nil, err
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, b.theirs[0], b.theirs[1])
	return b, nil
}

// begin is to be called when the child has its ends.
func (b *besides) begin(ctx context.Context) {
	if b == nil {
		return
	}
	b.theirs[0].Close()
	b.theirs[1].Close()
	b.busy.Go(func() { b.do(ctx, b.ours[0], b.ours[1]) })
}

// close ends it. Its context must have ended, where it began.
func (b *besides) close() {
	if b == nil {
		return
	}
	for _, f := range []*os.File{b.theirs[0], b.theirs[1], b.ours[0], b.ours[1]} {
		f.Close() // a nil one, or one that is closed, is no harm
	}
	b.busy.Wait()
}
