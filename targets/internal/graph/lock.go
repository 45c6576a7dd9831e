package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Holder is who has a lock.
type Holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

func (h Holder) String() string {
	if h.PID == 0 { // it has not written its name yet
		return "another run"
	}
	return fmt.Sprintf("pid %d (%s) since %s", h.PID, h.Command, h.Since.Local().Format(time.DateTime))
}

// LockedError says that another run has the lock.
type LockedError struct{ Holder }

func (e *LockedError) Error() string { return "another run holds this stack: " + e.Holder.String() }

// poll is how often a waiting run looks whether the lock is free.
const poll = 200 * time.Millisecond

// Lock takes the lock of a directory. When another process has it, it gives a *LockedError, or, with a waiting
// function, calls that once with the holder and waits until the lock is free or the context ends. The kernel drops
// the lock with its process, so it can never be stale. The function that it gives lets go.
func Lock(ctx context.Context, dir, command string, waiting func(Holder)) (func(), error) {
	var f *os.File
	for said := false; ; {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		var err error
		if f, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
			return nil, err
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil && inPlace(f) {
			break
		}
		f.Close()
		if err == nil { // "clean" removed it meanwhile: the next file of this name is the lock
			continue
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: lock: %w", f.Name(), err)
		}
		h := holder(f.Name())
		if waiting == nil {
			return nil, &LockedError{h}
		}
		if !said {
			waiting(h)
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(poll):
		}
	}
	data, err := json.Marshal(Holder{os.Getpid(), command, time.Now()})
	if err == nil {
		if err = f.Truncate(0); err == nil {
			_, err = f.WriteAt(data, 0)
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return func() {
		// The name goes with the lock, so that the next holder is not taken for this one while it starts.
		_ = f.Truncate(0)
		f.Close()
	}, nil
}

// inPlace says that an open file is still the one of its name.
func inPlace(f *os.File) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(f.Name())
	return err == nil && os.SameFile(mine, now)
}

func holder(file string) Holder {
	var h Holder
	if data, err := os.ReadFile(file); err == nil {
		_ = json.Unmarshal(data, &h) // half a name is no name
	}
	return h
}
