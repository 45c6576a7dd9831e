package graph

import (
	"context"
	"sync"
)

// Semaphore is a priority semaphore: it lets a number of steps run at a time. Who waits is let in by rank, the
// lowest first.
type Semaphore struct {
	mu      sync.Mutex
	free    int
	waiting []*ticket
}

type ticket struct {
	rank int
	in   chan struct{} // closed when it is let in
}

// NewSemaphore returns one that lets n in.
func NewSemaphore(n int) *Semaphore { return &Semaphore{free: n} }

// Try takes a slot, and reports whether one was free.
func (s *Semaphore) Try() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == 0 {
		return false
	}
	s.free--
	return true
}

// Acquire waits for a slot; its error is the cause of the context's end.
func (s *Semaphore) Acquire(ctx context.Context, rank int) error {
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return nil
	}
	t := &ticket{rank, make(chan struct{})}
	i := 0
	for i < len(s.waiting) && s.waiting[i].rank <= rank {
		i++
	}
	s.waiting = append(s.waiting[:i], append([]*ticket{t}, s.waiting[i:]...)...)
	s.mu.Unlock()
	select {
	case <-t.in:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range s.waiting {
		if w == t {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			return context.Cause(ctx)
		}
	}
	s.next() // let in meanwhile, and going
	return context.Cause(ctx)
}

// Release ends what Acquire or Try began.
func (s *Semaphore) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next()
}

func (s *Semaphore) next() {
	if len(s.waiting) == 0 {
		s.free++
		return
	}
	t := s.waiting[0]
	s.waiting = s.waiting[1:]
	close(t.in)
}
