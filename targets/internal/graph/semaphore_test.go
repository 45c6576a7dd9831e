package graph

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestTheLowestRankThatWaitsIsLetInFirst(t *testing.T) {
	s := NewSemaphore(1)
	if !s.Try() || s.Try() {
		t.Fatal("want one slot, and not two")
	}
	var mu sync.Mutex
	var got []int
	var wg sync.WaitGroup
	for i, rank := range []int{3, 1, 2, 1} {
		wg.Go(func() {
			if err := s.Acquire(t.Context(), rank); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			got = append(got, rank)
			mu.Unlock()
			s.Release()
		})
		waiting(t, s, i+1)
	}
	s.Release()
	wg.Wait()
	if want := []int{1, 1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("got the order %v, want %v", got, want)
	}
	if !s.Try() {
		t.Error("all is given back, and no slot is free")
	}
}

func TestWhoGoesWhileWaitingKeepsNoSlot(t *testing.T) {
	s := NewSemaphore(1)
	s.Try()
	stopped := errors.New("stopped")
	for range 200 { // the end and the slot come at the same time
		ctx, stop := context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() { done <- s.Acquire(ctx, 0) }()
		waiting(t, s, 1)
		go stop(stopped)
		s.Release()
		if err := <-done; err == nil {
			s.Release()
		} else if !errors.Is(err, stopped) {
			t.Fatalf("got %v, want %v", err, stopped)
		}
		if !s.Try() || s.Try() {
			t.Fatal("want one free slot")
		}
	}
}

// waiting waits, as long as the test may take, until that many wait.
func waiting(t *testing.T, s *Semaphore, n int) {
	t.Helper()
	for t.Context().Err() == nil {
		s.mu.Lock()
		have := len(s.waiting)
		s.mu.Unlock()
		if have == n {
			return
		}
		time.Sleep(100 * time.Microsecond)
	}
}
