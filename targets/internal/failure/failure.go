// Package failure is what a run says when it did not do what was asked: a failed step with what a person needs to go
// on, the exit code, and the run's last line.
package failure

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
	"drydock/targets/internal/ui"
)

// Failure is a step that failed, with what a person needs to go on. Of makes one.
type Failure struct {
	Component, Version string
	Step               recipe.Step
	Err                error
	Log                string    // the component's log
	Replay             string    // the script that runs the step again
	Kept               time.Time // when the outputs that are in place were built; zero when there are none

	First  string   // the first line of the log that looks like an error; empty when none does
	Hint   string   // what to do about it; empty when it is no known failure
	end    []string // of the log
	logErr error    // why the log could not be read
	again  string   // how to run the step again
}

// logEnd is how many lines of the log a card shows.
const logEnd = 30

// Of completes a failure: it writes the script that runs the step again, and reads the log. What it cannot do is said
// on the card.
func Of(f Failure) *Failure {
	f.again = "sh " + f.Replay
	if err := f.writeReplay(); err != nil {
		f.again = fmt.Sprintf("(no script: %v)", err)
	}
	lines, err := f.said()
	if err != nil {
		f.logErr = err
		return &f
	}
	if i := slices.IndexFunc(lines, errorLine.MatchString); i >= 0 {
		f.First = lines[i]
	}
	f.Hint = hint(lines, f.Err)
	f.end = slices.Clone(lines[max(0, len(lines)-logEnd):])
	return &f
}

// Error is one line without the component, which the graph puts in front, and without the command, which the card has.
func (f *Failure) Error() string {
	cause := f.Err
	var re *run.Error
	if errors.As(cause, &re) {
		cause = re.Err
	}
	return f.Step.Name + ": " + cause.Error()
}

func (f *Failure) Unwrap() error { return f.Err }

// said are the lines of the log that the failed step wrote: the log of one component has all its steps, the last one
// failed.
func (f *Failure) said() ([]string, error) {
	data, err := os.ReadFile(f.Log)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	for i, line := range slices.Backward(lines) {
		if strings.HasPrefix(line, "# "+f.Step.Name) && i+2 < len(lines) {
			return lines[i+3:], nil
		}
	}
	return lines, nil
}

// Brief is the cause in one line: the compiler's words, where there are some.
func (f *Failure) Brief() string {
	if f.First == "" {
		return f.Step.Name
	}
	return f.Step.Name + ": " + f.First
}

// Print writes a card for each component that failed in a step.
func Print(w io.Writer, results []graph.Result) {
	for _, r := range results {
		var f *Failure
		if errors.As(r.Err, &f) && !errors.Is(r.Err, context.Canceled) {
			fmt.Fprint(w, ui.Shown(f.card()))
		}
	}
}

// card is what a person needs when a command failed: the first error, the end of the log, how to try it again.
func (f *Failure) card() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: %s: %v\n", f.Component, f.Step.Name, f.Err)
	row := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %-9s %s\n", name, text)
		}
	}
	row("in", f.Step.Dir)
	row("again", f.again)
	if f.logErr != nil {
		row("log", f.logErr.Error())
		return b.String()
	}
	row("first", f.First)
	row("hint", f.Hint)
	for _, l := range f.end {
		fmt.Fprintf(&b, "  | %s\n", l)
	}
	row("whole log", f.Log)
	kept := "nothing was published before"
	if !f.Kept.IsZero() {
		kept = "the outputs of " + f.Kept.Local().Format(time.DateTime) + " are in place"
	}
	row("kept", kept+"; the work tree is left for you to look at until the next run")
	return b.String()
}

// replay is how a script begins that runs a step again: the step's environment and command follow.
const replay = "#!/bin/sh\n" +
	"# Runs the step %q of %s %s again: the same directory, environment and command. It is not confined: " +
	"what the sources\n# say can do what you can.\n" +
	"cd %s || { echo 'the work tree is gone: the next run of drydock removed it' >&2; exit 1; }\n" +
	"test -w . || { echo 'the work tree belongs to the user that root builds as: run this as root' >&2; exit 1; }\n" +
	"exec env -i \\\n"

// writeReplay writes a script that runs the step again as it ran here, but as whoever starts it, and confined to
// nothing.
func (f *Failure) writeReplay() error {
	s := f.Step
	text := fmt.Sprintf(replay, s.Name, f.Component, f.Version, run.Quote([]string{s.Dir}))
	for _, kv := range s.Env {
		text += "  " + run.Quote([]string{kv}) + " \\\n"
	}
	text += "  " + run.Quote(s.Argv) + "\n"
	return archive.WriteBytes(f.Replay, 0o755, []byte(text))
}

var errorLine = regexp.MustCompile(`(?i)\b(error|undefined|fatal|cannot find|no such file|not found|` +
	`permission denied|no space left|killed)\b|^\S+\.go:\d+(:\d+)?: |^go: `)

// hintsText has the known failures of the upstream parts and what to do about them: a line with a pattern, one with a
// text.
//
//go:embed hints.txt
var hintsText string

func hint(lines []string, err error) string {
	text := strings.Join(lines, "\n") + "\n" + err.Error()
	for known := range slices.Chunk(strings.Split(strings.TrimSpace(hintsText), "\n"), 2) {
		if regexp.MustCompile(known[0]).MatchString(text) {
			return known[1]
		}
	}
	return ""
}
