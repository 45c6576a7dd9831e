// Package ui is what a person sees: lines, tables, transfers, sizes and times. It knows not where facts come from.
package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// UI writes whole lines, from any goroutine; on a terminal with one live line below them.
type UI struct {
	mu    sync.Mutex
	w     io.Writer
	tty   bool
	color bool
	live  []string

	files map[string]*transfer
	total int64 // bytes of all transfers
	got   int64
	drawn time.Time // when transfers were last shown
	since time.Time
}

type transfer struct {
	from      string
	size, got int64
}

// New writes to f, with a live line where f is a terminal.
func New(f *os.File) *UI {
	tty := term.IsTerminal(int(f.Fd()))
	color := tty && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return &UI{w: f, tty: tty, color: color, files: map[string]*transfer{}}
}

// To writes plain lines to w.
func To(w io.Writer) *UI { return &UI{w: w, files: map[string]*transfer{}} }

// Line prints one line; off a terminal with the time before it.
func (u *UI) Line(format string, a ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	text := u.shown(fmt.Sprintf(format, a...))
	if !u.tty {
		text = time.Now().Format("15:04:05 ") + text
	}
	fmt.Fprintln(u.w, text)
	u.draw()
}

// Text prints text with a line end.
func (u *UI) Text(text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	fmt.Fprintln(u.w, u.shown(strings.TrimRight(text, "\n")))
	u.draw()
}

// JSON prints a value for programs to read, whatever else is printed. The error is encoding/json's, or the output's.
func JSON(v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		_, err = fmt.Printf("%s\n", data)
	}
	return err
}

// Live sets the lines that stand below everything on a terminal; none takes them away.
func (u *UI) Live(lines ...string) {
	if !u.tty {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clear()
	u.live = make([]string, len(lines))
	for i, l := range lines {
		u.live[i] = u.shown(l)
	}
	u.draw()
}

// TTY says whether a person watches.
func (u *UI) TTY() bool { return u.tty }

// clear takes the live lines away; the cursor stands at the end of the last.
func (u *UI) clear() {
	if !u.tty || len(u.live) == 0 {
		return
	}
	if n := len(u.live) - 1; n > 0 {
		fmt.Fprintf(u.w, "\x1b[%dA", n)
	}
	fmt.Fprint(u.w, "\r\x1b[J")
}

func (u *UI) draw() {
	if !u.tty || len(u.live) == 0 {
		return
	}
	width, height := 80, 24
	if f, ok := u.w.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 10 && h > 1 {
			width, height = w, h
		}
	}
	u.live = u.live[max(0, len(u.live)-height+1):]
	cut := make([]string, len(u.live))
	for i, l := range u.live {
		if utf8.RuneCountInString(l) >= width {
			l = string([]rune(l)[:width-2]) + "…"
		}
		cut[i] = l
	}
	fmt.Fprint(u.w, strings.Join(cut, "\r\n"))
}

// Prefix gives a writer that prints whole lines with a name in front, as they are completed. Close prints what is left.
func (u *UI) Prefix(name string) io.WriteCloser { return &prefixed{u: u, name: name} }

type prefixed struct {
	u    *UI
	name string
	rest []byte
}

// maxLine is where a line without an end is broken, in bytes.
const maxLine = 16 << 10

func (p *prefixed) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	for {
		i := bytes.IndexByte(p.rest, '\n')
		if i < 0 && len(p.rest) < maxLine {
			return len(b), nil
		}
		if i < 0 {
			i = len(p.rest) - 1
		}
		p.u.Text(p.name + " | " + strings.TrimRight(string(p.rest[:i+1]), "\r\n"))
		p.rest = p.rest[i+1:]
	}
}

func (p *prefixed) Close() error {
	if len(p.rest) > 0 {
		p.u.Text(p.name + " | " + string(p.rest))
		p.rest = nil
	}
	return nil
}

// Good and Bad colour a verdict on a terminal.
func (u *UI) Good(s string) string { return u.paint("32", s) }

// Bad colours a bad verdict.
func (u *UI) Bad(s string) string { return u.paint("31", s) }

func (u *UI) paint(code, s string) string {
	if !u.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// painted are the escape sequences that paint makes.
var painted = regexp.MustCompile(`\x1b\[(0|31|32)m`)

// shown is Shown, which leaves our own colours.
func (u *UI) shown(text string) string {
	if !u.color {
		return Shown(text)
	}
	var b strings.Builder
	at := 0
	for _, m := range painted.FindAllStringIndex(text, -1) {
		b.WriteString(Shown(text[at:m[0]]) + text[m[0]:m[1]])
		at = m[1]
	}
	return b.String() + Shown(text[at:])
}

// Start begins a transfer of size bytes; with Add and Done it makes a UI the meter of transfers.
func (u *UI) Start(name, from string, size int64) {
	u.mu.Lock()
	if len(u.files) == 0 {
		u.since = time.Now()
	}
	u.files[name] = &transfer{from: from, size: size}
	u.total += size
	u.mu.Unlock()
	if size > 0 {
		u.Line("fetch     %s (%s)", name, Bytes(size))
	} else {
		u.Line("fetch     %s", name)
	}
}

// Add counts bytes of a transfer.
func (u *UI) Add(name string, n int64) {
	u.mu.Lock()
	if t := u.files[name]; t != nil {
		t.got += n
		u.got += n
	}
	show := u.tty && time.Since(u.drawn) > 100*time.Millisecond
	var text string
	if show {
		u.drawn = time.Now()
		text = u.transfers()
	}
	u.mu.Unlock()
	if show {
		u.Live(text)
	}
}

func (u *UI) transfers() string {
	secs := time.Since(u.since).Seconds()
	rate := float64(u.got) / max(secs, 0.001)
	eta := ""
	if u.total > u.got && rate > 0 {
		eta = ", " + Duration(time.Duration(float64(u.total-u.got)/rate*float64(time.Second))) + " left"
	}
	got, total, rates := Bytes(u.got), Bytes(max(u.total, u.got)), Bytes(int64(rate))
	return fmt.Sprintf("fetching %d file(s): %s of %s, %s/s%s", len(u.files), got, total, rates, eta)
}

// Done ends a transfer.
func (u *UI) Done(name string, err error) {
	u.mu.Lock()
	t := u.files[name]
	u.mu.Unlock()
	if err != nil {
		u.Line("fetch     %s: %v", name, err)
	} else if t != nil {
		u.Line("fetched   %s (%s) from %s", name, Bytes(t.got), t.from)
	}
	u.Live()
}

// Table lays out rows in columns, the first row as the head.
func Table(rows [][]string) string {
	var widths []int
	for _, r := range rows {
		for i, c := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(strip(c)))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		var line strings.Builder
		for i, c := range r {
			line.WriteString(c)
			if i < len(r)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(strip(c))+2))
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// strip takes colour codes out, for widths.
func strip(s string) string {
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			return s
		}
		j := strings.IndexByte(s[i:], 'm')
		if j < 0 {
			return s
		}
		s = s[:i] + s[i+j+1:]
	}
}

// Bytes writes a size as a person reads it, in powers of 1000.
func Bytes(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// Duration writes a time as a person reads it.
func Duration(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return fmt.Sprintf("%dms", d.Milliseconds())
}

// Seconds writes a number of seconds as a person reads it.
func Seconds(s float64) string { return Duration(time.Duration(s * float64(time.Second))) }

// Clip keeps a value to one short line.
func Clip(s string) string {
	if s == "" {
		return "-"
	}
	if len(s) > 100 {
		return s[:50] + " … " + s[len(s)-46:]
	}
	return s
}

// Verbose is mage's -v.
func Verbose() bool {
	v := os.Getenv("MAGEFILE_VERBOSE")
	return v == "1" || strings.EqualFold(v, "true")
}
