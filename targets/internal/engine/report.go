package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
	"drydock/targets/internal/ui"
)

func seconds(s float64) string { return ui.Duration(time.Duration(s * float64(time.Second))) }

// summary ends a run: a table, where things are, one line that says it all.
func (e *Engine) summary(results []graph.Result) {
	worked, failed := 0, 0
	rows := [][]string{{"COMPONENT", "VERSION", "DONE", "TIME", "SIZE"}}
	for _, r := range results {
		took, sz := "", ""
		if r.Seconds > 0 {
			took = seconds(r.Seconds)
		}
		if r.Record != nil && e.sizeOf(r.Record) > 0 {
			sz = ui.Bytes(e.sizeOf(r.Record))
		}
		switch r.Status {
		case graph.Built, graph.Restored:
			worked++
		case graph.Failed, graph.Blocked, graph.Stopped:
			failed++
		}
		rows = append(rows, []string{r.Name, e.versionOf(r.Name), string(r.Status), took, sz})
	}
	if worked+failed > 0 {
		e.UI.Text("\n" + ui.Table(rows))
		if _, err := os.Stat(e.output("bin")); err == nil {
			e.UI.Text("files    " + e.output("bin"))
		}
		if _, err := os.Stat(e.packageFile()); err == nil {
			e.UI.Text("package  " + e.packageFile())
		}
		if d := e.build("log", "latest"); worked+failed > 0 {
			e.UI.Text("logs     " + d)
		}
	}
	total := ui.Duration(time.Since(e.start))
	switch {
	case failed > 0:
		e.outcome = fmt.Sprintf("%d of %d not done, %s", failed, len(results), total)
	case worked == 0:
		e.UI.Line("drydock: %s: nothing to do: %d fresh, by size, time and inode, %s%s", e.Stack.Name, len(results), total, e.open)
	default:
		e.UI.Line("drydock: %s: built %d of %d, %s%s", e.Stack.Name, worked, len(results), total, e.open)
	}
}

// end gives a command's error the form of a run's last line: what failed, in one line that a mail's subject can carry.
// The whole of a longer error is printed before it.
func (e *Engine) end(err error) error { return lastLine(e.Stack.Name, e.outcome, err) }

// maxOneLine is how long the cause in a run's last line gets, in characters.
const maxOneLine = 300

// oneLine says a text of several lines in one, whose end is cut where it gets too long. A line that announces what follows
// (": ", "; tried:") runs on.
func oneLine(text string) string {
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

// lastLine is end, where the stack has no name yet, too.
func lastLine(stack, outcome string, err error) error {
	var x *Failure
	if !errors.As(err, &x) {
		return err
	}
	text := strings.TrimSpace(x.Err.Error())
	if strings.Contains(text, "\n") {
		fmt.Fprintln(os.Stderr, ui.Shown(text))
	}
	word := "FAILED"
	switch x.Code {
	case CodeStopped:
		word = "STOPPED"
	case CodeSkipped:
		word = "SKIPPED"
	}
	if stack != "" {
		stack += ": "
	}
	x.line = fmt.Sprintf("drydock: %s%s: %s", stack, word, oneLine(text))
	if outcome != "" {
		x.line += " (" + outcome + ")"
	}
	return x
}

// stepFailure is a step that failed, with what a person needs to go on.
type stepFailure struct {
	step recipe.Step
	log  string
	err  error
}

func (e *stepFailure) Error() string { return e.step.Name + ": " + e.err.Error() }
func (e *stepFailure) Unwrap() error { return e.err }

// said are the lines of the log that the failed step wrote: the log of one component has all its steps, the last one failed.
func (e *stepFailure) said() ([]string, error) {
	data, err := os.ReadFile(e.log)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.HasPrefix(lines[i], "# "+e.step.Name) && i+2 < len(lines) {
			return lines[i+3:], nil
		}
	}
	return lines, nil
}

// firstError is the first line that looks like one; empty when none does.
func firstError(lines []string) string {
	if i := slices.IndexFunc(lines, errorLine.MatchString); i >= 0 {
		return lines[i]
	}
	return ""
}

// brief is the cause of a failure in one line: the compiler's words, where there are some.
func brief(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	var sf *stepFailure
	if errors.As(err, &sf) {
		text = sf.step.Name
		if lines, err := sf.said(); err == nil && firstError(lines) != "" {
			text += ": " + firstError(lines)
		}
	}
	return text
}

// cards prints a card for each component that failed in a step, and gives the error that is left to say: one line.
func (e *Engine) cards(results []graph.Result, err error) error {
	var short []error
	for _, r := range results {
		var sf *stepFailure
		if !errors.As(r.Err, &sf) || errors.Is(r.Err, context.Canceled) {
			if r.Err != nil && !errors.Is(r.Err, context.Canceled) {
				short = append(short, fmt.Errorf("%s: %w", r.Name, r.Err))
			}
			continue
		}
		fmt.Fprint(os.Stderr, ui.Shown(e.card(r.Name, sf)))
		cause := sf.err
		var re *run.Error
		if errors.As(sf.err, &re) {
			cause = re.Err
		}
		short = append(short, fmt.Errorf("%s: %s: %w", r.Name, sf.step.Name, cause))
	}
	if len(short) == 0 {
		return err
	}
	return errors.Join(short...)
}

// card is what a person needs when a command failed: the first error, the end of the log, how to try it again.
func (e *Engine) card(name string, failed *stepFailure) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: %v\n", name, failed)
	fmt.Fprintf(&b, "  in        %s\n", failed.step.Dir)
	if repro, err := e.writeRepro(name, failed.step); err == nil {
		fmt.Fprintf(&b, "  again     sh %s\n", repro)
	} else {
		fmt.Fprintf(&b, "  again     (no script: %v)\n", err)
	}
	lines, err := failed.said()
	if err != nil {
		fmt.Fprintf(&b, "  log       %v\n", err)
		return b.String()
	}
	if first := firstError(lines); first != "" {
		fmt.Fprintf(&b, "  first     %s\n", first)
	}
	if h := hint(lines, failed.err); h != "" {
		fmt.Fprintf(&b, "  hint      %s\n", h)
	}
	for _, l := range lines[max(0, len(lines)-30):] {
		fmt.Fprintf(&b, "  | %s\n", l)
	}
	fmt.Fprintf(&b, "  whole log %s\n", failed.log)
	kept := "nothing was published before"
	if r := e.records().Load(name); r != nil {
		kept = "the outputs of " + r.Built.Local().Format(time.DateTime) + " are in place"
	}
	fmt.Fprintf(&b, "  kept      %s; the work tree is left for you to look at until the next run\n", kept)
	return b.String()
}

var errorLine = regexp.MustCompile(`(?i)\b(error|undefined|fatal|cannot find|no such file|not found|permission denied|no space left|killed)\b|^\S+\.go:\d+(:\d+)?: |^go: `)

// hints are the known failures of the upstream parts and what to do about them.
var hints = []struct {
	pattern *regexp.Regexp
	text    string
}{
	{regexp.MustCompile(`cannot find -lseccomp|seccomp\.h: No such file`), "libseccomp is not where this build expects it: \"mage libseccomp\"; if it is, the compile cache is stale: \"mage clean\""},
	{regexp.MustCompile(`cannot find main module|inconsistent vendoring|import lookup disabled by -mod=vendor|cannot find module providing package`), "the vendor tree and go.mod disagree: after a patch that adds an import, or with a vendor archive of another version; remove vendor-sources/*_vendor-*.tar.gz of this component and run \"mage fetch\""},
	{regexp.MustCompile("undefined reference to `(__[a-z]+_chk|__isoc(99|23)_[a-z]+)'"), "a library that was compiled for glibc is linked with the stack's own C library: compile the one at LIBSECCOMP_PREFIX with musl, or build with LIBC=host"},
	{regexp.MustCompile(`rcrt1\.o`), "this C library cannot link static-pie (glibc before 2.26): \"mage check\""},
	{regexp.MustCompile(`cannot find -lc\b|cannot find -lpthread|attempted static link`), "the C library's static archive is missing: install libc6-dev (Debian) or glibc-static (Red Hat)"},
	{regexp.MustCompile(`__NR_setns|linux/quota\.h|dqblk_xfs\.h`), "the kernel's headers are missing or too old: install them, or name others with KERNEL_HEADERS"},
	{regexp.MustCompile(`undefined: (errors\.Is|io\.ReadAll|strings\.Cut|atomic\.Pointer|slices\.|maps\.)|requires go1\.|go\.mod requires go|predeclared any|note: module requires Go`), "this Go is too old for the source: \"mage check\" says which is taken; GO= names another"},
	{regexp.MustCompile(`gperf`), "make thinks that a generated file is older than its source: were times lost when the source was copied?"},
	{regexp.MustCompile(`(?i)no space left on device`), "the disk is full: \"mage clean\" removes what can be made again"},
	{regexp.MustCompile(`(?i)signal: killed|out of memory|cannot allocate memory|virtual memory exhausted`), "the machine ran out of memory, or somebody killed the compiler: a link needs 1.2 GB"},
	{regexp.MustCompile(`flag provided but not defined|unknown flag`), "this Go does not know one of the flags: it is too old for the stack"},
}

func hint(lines []string, err error) string {
	text := strings.Join(lines, "\n") + "\n" + err.Error()
	for _, h := range hints {
		if h.pattern.MatchString(text) {
			return h.text
		}
	}
	return ""
}

// writeRepro writes a script that runs a step again as it ran here, but as whoever starts it, and confined to nothing.
func (e *Engine) writeRepro(name string, s recipe.Step) (string, error) {
	file := e.build("repro-" + name + ".sh")
	text := fmt.Sprintf("#!/bin/sh\n# Runs the step %q of %s %s again: the same directory, environment and command. It is not confined: what the sources\n"+
		"# say can do what you can.\ncd %s || { echo 'the work tree is gone: the next run of drydock removed it' >&2; exit 1; }\n"+
		"test -w . || { echo 'the work tree belongs to the user that root builds as: run this as root' >&2; exit 1; }\nexec env -i \\\n",
		s.Name, name, e.Stack.Component[name].Version, run.Quote([]string{s.Dir}))
	for _, kv := range s.Env {
		text += "  " + run.Quote([]string{kv}) + " \\\n"
	}
	text += "  " + run.Quote(s.Argv) + "\n"
	return file, archive.WriteFile(file, 0o755, func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
}
