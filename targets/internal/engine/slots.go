package engine

import (
	"context"
	"sync"
)

// slots let a number of steps run at a time. Who waits is let in by rank, the lowest first.
type slots struct {
	mu      sync.Mutex
	free    int
	waiting []*ticket
}

type ticket struct {
	rank int
	in   chan struct{} // closed when it is let in
}

func newSlots(n int) *slots { return &slots{free: n} }

// try takes a slot if one is free.
func (s *slots) try() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == 0 {
		return false
	}
	s.free--
	return true
}

// take waits for a slot.
func (s *slots) take(ctx context.Context, rank int) error {
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

// give ends what take or try began.
func (s *slots) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next()
}

func (s *slots) next() {
	if len(s.waiting) == 0 {
		s.free++
		return
	}
	t := s.waiting[0]
	s.waiting = s.waiting[1:]
	close(t.in)
}
