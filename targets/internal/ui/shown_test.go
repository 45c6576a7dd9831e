package ui

import (
	"bytes"
	"strings"
	"testing"
)

func TestPasswordsInAddressesAreMasked(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"get http://admin:secret@host/debian: refused":     "get http://admin:***@host/debian: refused",
		`"https://u:se:c@ret@host:8080/x" and more`:        `"https://u:***@host:8080/x" and more`,
		"http://token@host/, http://:pw@host/":             "http://***@host/, http://:***@host/",
		"http://admin:se/cret@host/x":                      "http://admin:***@host/x",
		"socks5://u:p%40ss@h:1":                            "socks5://u:***@h:1",
		"https://proxy:8080/golang.org/toolchain/@v/x.zip": "https://proxy:8080/golang.org/toolchain/@v/x.zip",
		"https://host/@v/x.zip, mail me@example":           "https://host/@v/x.zip, mail me@example",
		"HTTP://A:B@h and http://c:d@h":                    "HTTP://A:***@h and http://c:***@h",
		"http://h/x\nhttp://a:b@h/x\n":                     "http://h/x\nhttp://a:***@h/x\n",
	} {
		if got := Masked(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestWhatIsNotPrintedIsShownEscaped(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a\tb\nünïcode …":          "a\tb\nünïcode …",
		"\x1b]52;c;ZWNobw==\x07":   `\x1b]52;c;ZWNobw==\x07`,
		"\x9b2J \xff \r over":      `\x9b2J \xff \x0d over`,
		"c1 \u009b31m, \u202egnp.": `c1 \u009b31m, \u202egnp.`,
		"\x00\x08":                 `\x00\x08`,
	} {
		if got := Shown(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestNoLineOfTheUICarriesEscapesOrPasswords(t *testing.T) {
	t.Parallel()
	const bad = "\x1b]52;c;ZWNobw==\x07 http://admin:secret@host/"
	for _, color := range []bool{false, true} {
		var b bytes.Buffer
		u := To(&b)
		u.color = color
		u.Line("%s", bad)
		u.Text(Table([][]string{{"A", bad}, {bad, "B"}}))
		u.Done("x", errorText(bad))
		w := u.Prefix("runc")
		w.Write([]byte(bad + "\n" + bad))
		w.Close()
		u.Text("verdict " + u.Good("ok"))
		u.tty = true
		u.Live(bad, bad)
		out := strings.ReplaceAll(strings.ReplaceAll(b.String(), "\x1b[32mok\x1b[0m", ""), "\x1b[J", "")
		if strings.Contains(out, "\x1b]") || strings.Contains(out, "\x07") || strings.Contains(out, "secret") {
			t.Errorf("color %v: got %q", color, out)
		}
		if n := strings.Count(out, `\x1b]52;c;ZWNobw==\x07 http://admin:***@host/`); n != 8 {
			t.Errorf("color %v: got it shown %d times, want 8: %q", color, n, out)
		}
		if color != strings.Contains(b.String(), "\x1b[32mok\x1b[0m") {
			t.Errorf("color %v: got %q", color, b.String())
		}
	}
}

type errorText string

func (e errorText) Error() string { return string(e) }
