package patch

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// moved is a hunk that lies elsewhere than it says.
type moved struct {
	hunk     int // from 1
	header   string
	from, to int64 // lines, from 1
}

func (m moved) String() string {
	n, way := m.to-m.from, "lower"
	if n < 0 {
		n, way = -n, "higher"
	}
	lines := "lines"
	if n == 1 {
		lines = "line"
	}
	return fmt.Sprintf("hunk %d (%s) lies %d %s %s, at line %d", m.hunk, m.header, n, lines, way, m.to)
}

// inOrder are a file's hunks by their places, as gitdiff wants them: with no context, "-3,0" means after line 3,
// where gitdiff means before it, and "+0,0" need not empty the file.
func inOrder(f *gitdiff.File) []*gitdiff.TextFragment {
	var hunks []*gitdiff.TextFragment
	for _, t := range f.TextFragments {
		u := *t
		if u.OldLines == 0 && u.OldPosition > 0 {
			u.OldPosition++
		}
		if u.NewLines == 0 && u.NewPosition == 0 && !f.IsDelete {
			u.NewPosition = 1
		}
		hunks = append(hunks, &u)
	}
	byPosition := func(a, b *gitdiff.TextFragment) int { return cmp.Compare(a.OldPosition, b.OldPosition) }
	slices.SortStableFunc(hunks, byPosition)
	return hunks
}

// place finds where the hunks of a file lie. A hunk whose lines are not where it says, counted on from where the
// hunk before it lay, lies where all of its context and of what it removes is found, at the nearest place; there is
// no fuzz. As in GNU patch without fuzz, a hunk with less context before than after it is of the file's beginning,
// and the other way round of its end.
func place(src []byte, hunks []*gitdiff.TextFragment) ([]moved, error) {
	lines := bytes.SplitAfter(src, []byte("\n"))
	if len(lines[len(lines)-1]) == 0 {
		lines = lines[:len(lines)-1]
	}
	var all []moved
	var drift, free int64 // free is the first line, from 0, that no hunk has taken
	for i, h := range hunks {
		old, header := oldLines(h), strings.TrimSpace(h.Header())
		if len(old) == 0 && drift == 0 {
			continue
		}
		guess := h.OldPosition - 1 + drift
		at, err := find(lines, old, guess, free, h)
		if err != nil {
			return nil, fmt.Errorf("hunk %d (%s): conflict: %w", i+1, header, err)
		}
		if says := h.OldPosition; at+1 != says {
			all = append(all, moved{i + 1, header, says, at + 1})
			drift, h.OldPosition = at+1-says, at+1
		} else {
			drift = 0
		}
		free = at + int64(len(old))
	}
	return all, nil
}

// oldLines are the lines that a hunk wants to find.
func oldLines(h *gitdiff.TextFragment) (old []string) {
	for _, l := range h.Lines {
		if l.Old() {
			old = append(old, l.Line)
		}
	}
	return old
}

// find returns the place, from 0, where a hunk's old lines lie in a file's lines from free on, nearest to guess.
func find(lines [][]byte, old []string, guess, free int64, h *gitdiff.TextFragment) (int64, error) {
	if len(old) == 0 {
		return 0, errors.New("it has no line to be found by, and the hunk before it lies elsewhere than it says")
	}
	last := int64(len(lines) - len(old))
	fits := func(at int64) bool {
		differs := func(l string) bool { at++; return string(lines[at-1]) != l }
		return at >= free && at <= last && !slices.ContainsFunc(old, differs)
	}
	if fits(guess) {
		return guess, nil
	}
	from, to := free, last
	if h.LeadingContext < h.TrailingContext {
		to = min(to, 0)
	}
	if h.LeadingContext > h.TrailingContext {
		from = max(from, last)
	}
	best, far, also := int64(-1), int64(0), int64(-1)
	for at := from; at <= to; at++ {
		if !fits(at) {
			continue
		}
		switch d := max(at-guess, guess-at); {
		case best < 0 || d < far:
			best, far, also = at, d, -1
		case d == far:
			also = at
		}
	}
	switch {
	case also >= 0:
		return 0, fmt.Errorf("it fits as well at line %d as at line %d: give it more context", best+1, also+1)
	case best >= 0:
		return best, nil
	case guess < free:
		return 0, errors.New("fragment overlaps with an applied fragment")
	}
	return 0, mismatch(lines, old, guess)
}

// mismatch says which line is the first that a hunk does not find at a place.
func mismatch(lines [][]byte, old []string, at int64) error {
	for i, want := range old {
		n, have := at+int64(i), "the end of the file"
		if n < int64(len(lines)) {
			have = fmt.Sprintf("%q", lines[n])
		}
		if n >= int64(len(lines)) || string(lines[n]) != want {
			return fmt.Errorf("fragment line does not match src line: line %d: got %s, want %q", n+1, have, want)
		}
	}
	return errors.New("it does not stand at the file's end")
}
