package failure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"drydock/targets/internal/graph"
	"drydock/targets/internal/run"
	"drydock/targets/internal/source"
	"drydock/targets/internal/ui"
)

// Exit codes. 0 is success, 2 is mage's own for a wrong command line.
const (
	Other   = 1   // what an error has that says no other: a wrong stack file, a wrong setting, a disk that fails
	Host    = 3   // this host cannot build the stack
	Sources = 4   // sources are missing and could not be fetched
	Failed  = 5   // a component failed to build or to verify
	Locked  = 6   // another run holds the stack
	Skipped = 7   // a smoke test that could not be tried here: not root, or a kernel that refuses
	Open    = 8   // an audit found an advisory of which nothing is stated
	Stopped = 130 // stopped by a signal
)

// Exit is an error with the exit code that mage is to end with.
type Exit struct {
	Code int
	Err  error
	line string // what is said last, when the whole was printed before
}

func (x *Exit) Error() string { return ui.Shown(cmp.Or(x.line, x.Err.Error())) }
func (x *Exit) Unwrap() error { return x.Err }

// ExitStatus is what mage looks for.
func (x *Exit) ExitStatus() int { return x.Code }

// With gives an error an exit code, where what it is says no other: the first code that an error got stays. A nil error
// stays nil.
func With(code int, err error) error {
	var x *Exit
	var missing *source.MissingError
	var locked *graph.LockedError
	var refused *run.RefusedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &x):
		if errors.Is(x, err) { // nothing is said around it, or beside it
			return x
		}
		code = x.Code
	case errors.Is(err, context.Canceled):
		code = Stopped
	case errors.As(err, &locked):
		code = Locked
	case errors.As(err, &refused):
		code = Host
	case errors.As(err, &missing) && code != Failed:
		code = Sources
	}
	return &Exit{Code: code, Err: err}
}

// Errorf is With of an error that is made of a format.
func Errorf(code int, format string, a ...any) error { return With(code, fmt.Errorf(format, a...)) }

// maxOneLine is how long the cause in a run's last line gets, in characters.
const maxOneLine = 300

// OneLine says a text of several lines in one, whose end is cut where it gets too long. A line that announces what
// follows (": ", "; tried:") runs on.
func OneLine(text string) string {
	var b strings.Builder
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if l = strings.TrimSpace(l); l == "" {
			continue
		}
		if b.Len() > 0 && utf8.RuneCountInString(b.String()+l) > maxOneLine {
			return fmt.Sprintf("%s … (%d more lines above)", strings.TrimRight(b.String(), ":; "), len(lines)-i)
		}
		b.WriteString(l)
		switch {
		case strings.HasSuffix(l, ":") || strings.HasSuffix(l, ";"):
			b.WriteString(" ")
		case i < len(lines)-1:
			b.WriteString("; ")
		}
	}
	return strings.TrimRight(b.String(), ":; ")
}

// LastLine gives a command's error the form of a run's last line: what failed, in one line that a mail's subject can
// carry. The whole of a longer error is printed before it. An error without an exit code gets Other. The stack may have
// no name yet.
func LastLine(stack, outcome string, err error) error {
	if err == nil {
		return nil
	}
	var x *Exit
	errors.As(With(Other, err), &x)
	text := strings.TrimSpace(x.Err.Error())
	if strings.Contains(text, "\n") {
		fmt.Fprintln(os.Stderr, ui.Shown(text))
	}
	word := "FAILED"
	switch x.Code {
	case Stopped:
		word = "STOPPED"
	case Skipped:
		word = "SKIPPED"
	}
	if stack != "" {
		stack += ": "
	}
	x.line = fmt.Sprintf("drydock: %s%s: %s", stack, word, OneLine(text))
	if outcome != "" {
		x.line += " (" + outcome + ")"
	}
	return x
}
