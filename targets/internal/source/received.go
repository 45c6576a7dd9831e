package source

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/stack"

	"golang.org/x/mod/sumdb/dirhash"
)

// gzipMagic is how a gzip'd file begins.
const gzipMagic = "\x1f\x8b"

// plainBody returns the file in an answer's body. A server that was asked for the file as it is may name a
// Content-Encoding all the same: that of the file itself (a .tar.gz), or one more, which is undone.
func plainBody(body io.Reader, encoding, name string) (r io.Reader, undone bool, err error) {
	b := bufio.NewReaderSize(body, 32<<10)
	head, err := b.Peek(512)
	if err != nil && len(head) == 0 && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	switch encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		undone = stack.Format(name) != "gz" || gzipInGzip(b)
	default:
		return nil, false, refused("Content-Encoding: got %q, want none", encoding)
	}
	if undone {
		if r, err = gzip.NewReader(b); err != nil {
			return nil, false, refused("Content-Encoding: got %q, and a body that is not: %v", encoding, err)
		}
		b = bufio.NewReaderSize(r, 32<<10)
		head, _ = b.Peek(512)
	}
	if page := pageIn(head); page != "" {
		return nil, false, refused("got %s, want %s", page, name)
	}
	return b, undone, nil
}

// gzipInGzip says whether what is packed is itself a gzip'd file.
func gzipInGzip(b *bufio.Reader) bool {
	head, _ := b.Peek(b.Size())
	z, err := gzip.NewReader(bytes.NewReader(head))
	if err != nil {
		return false
	}
	inner := make([]byte, len(gzipMagic))
	n, _ := io.ReadFull(z, inner)
	return string(inner[:n]) == gzipMagic
}

var titleTag = regexp.MustCompile(`(?i)<title>([^<]*)`)

// pageIn says what page a text begins, which no archive, key or signature begins like; empty for none.
func pageIn(head []byte) string {
	text := strings.TrimLeft(string(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))), " \t\r\n")
	lower := strings.ToLower(text)
	title := ""
	if m := titleTag.FindStringSubmatch(text); m != nil {
		title = fmt.Sprintf(" with the title %q", strings.TrimSpace(m[1]))
	}
	switch {
	case strings.HasPrefix(lower, "<!doctype html"), strings.HasPrefix(lower, "<head"),
		strings.Contains(lower, "<html"):
		return "a web page" + title + " (a proxy's login, or an error that calls itself a success)"
	case strings.HasPrefix(lower, "<"), strings.HasPrefix(lower, "{"):
		return fmt.Sprintf("a text that begins %.40q", text)
	}
	return ""
}

// complete reads a whole file as what its name says: an archive to its last entry, a toolchain's zip, a signature.
// What is recorded is no page and no half of a file.
func complete(file, name string) error {
	kind := path.Ext(name)
	var err error
	switch format := stack.Format(name); {
	case kind == ".zip":
		_, err = dirhash.HashZip(file, dirhash.Hash1)
	case format != "":
		err = archive.Complete(file, format)
		if kind = "." + format; format != "tar" && format != "deb" {
			kind = ".tar" + kind
		}
	case kind == ".asc":
		_, err = packetsOf(file)
	}
	if err == nil {
		return nil
	}
	var head []byte
	if f, oerr := os.Open(file); oerr == nil {
		head, _ = io.ReadAll(io.LimitReader(f, 512))
		f.Close()
	}
	if page := pageIn(head); page != "" {
		return errors.New("it is " + page)
	}
	return fmt.Errorf("it is no whole %s: %w", kind, err)
}
