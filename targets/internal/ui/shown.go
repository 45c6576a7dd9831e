package ui

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// userinfo is what stands before the "@" of an address; notPort the same where a password has a "/" in it, which is no
// address any more.
var (
	userinfo = regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]*://)([^/?#\s"'<>\\]*)@`)
	notPort  = regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]*://[^/?#\s"'<>@:]*:)([^\s"'<>]*)@`)
	port     = regexp.MustCompile(`^[0-9]*(/|$)`)
)

// Masked hides the passwords of all addresses in a text: "user:***@". A user alone may be a token, and is hidden, too.
func Masked(text string) string {
	if !strings.Contains(text, "://") || !strings.Contains(text, "@") {
		return text
	}
	text = userinfo.ReplaceAllStringFunc(text, func(m string) string {
		p := userinfo.FindStringSubmatch(m)
		if user, _, ok := strings.Cut(p[2], ":"); ok {
			return p[1] + user + ":***@"
		}
		return p[1] + "***@"
	})
	return notPort.ReplaceAllStringFunc(text, func(m string) string {
		p := notPort.FindStringSubmatch(m)
		if port.MatchString(p[2]) {
			return m
		}
		return p[1] + "***@"
	})
}

// Shown is a text as a terminal may get it: without passwords in addresses, and with every character that is not
// printed, line ends and tabs apart, written as Go writes it ("\x1b"). What a program prints can move the cursor,
// set the clipboard, or turn the direction of writing round.
func Shown(text string) string { return Masked(escaped(text)) }

func escaped(text string) string {
	plain := func(r rune) bool { return r == '\n' || r == '\t' || r != utf8.RuneError && unicode.IsPrint(r) }
	if !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case plain(r):
			b.WriteRune(r)
		case r < 0x80 || r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		i += n
	}
	return b.String()
}
