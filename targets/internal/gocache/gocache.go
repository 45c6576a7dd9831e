// Package gocache is about what Go compiles: it lends one cache of Go's what another has, and shares what is compiled
// with other machines, over a server that speaks gocached's protocol (github.com/bradfitz/go-tool-cache).
//
// Go asks a program for what it has compiled (GOCACHEPROG, Go 1.24). Compile steps have no network, so that there are
// two halves. The program that Go starts is this one again, confined as Go is: it keeps Go's cache as Go itself does,
// and what is not there it asks its runner for, over two pipes that the step was started with. The runner asks the
// server, and writes nothing to this machine's disks. The server's own client (package cachers) would keep a cache of
// another form beside Go's, in which what was compiled without a server is not.
package gocache

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// maxOutput is the size, in bytes, of the largest output that is shared. Those of Go's packages are below 40 MB.
const maxOutput = 64 << 20

// message is what the halves say to each other: a line of JSON, and Size bytes of an output.
type message struct {
	ID     int64
	Put    bool   `json:",omitempty"` // a question: take this output; else: is there one?
	Action string `json:",omitempty"` // of a question: a SHA-256 in hexadecimal digits
	Output string `json:",omitempty"` // the digest of the output; empty in an answer for none
	Size   int64  `json:",omitempty"`
}

// writeMessage writes a message with its output.
func writeMessage(w io.Writer, m message, output []byte) error {
	m.Size = int64(len(output))
	line, err := json.Marshal(m)
	if err == nil {
		_, err = w.Write(append(line, '\n'))
	}
	if err == nil && len(output) > 0 {
		_, err = w.Write(output)
	}
	return err
}

// readMessage reads a message's line. Who wrote it may be hostile.
func readMessage(r *bufio.Reader) (m message, err error) {
	line, err := r.ReadSlice('\n') // no longer than r's buffer
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return m, err
	}
	isOne := func(d string) bool { return d == "" || isDigest(d) }
	if m.Size < 0 || m.Size > maxOutput || !isOne(m.Action) || !isOne(m.Output) {
		return m, fmt.Errorf("got %q, want digests, and at most %d bytes", line, maxOutput)
	}
	return m, nil
}

// readOutput reads what follows a message's line.
func readOutput(r io.Reader, m message) ([]byte, error) {
	output := make([]byte, m.Size)
	_, err := io.ReadFull(r, output)
	return output, err
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func isDigest(s string) bool {
	return len(s) == 2*sha256.Size && strings.Trim(s, "0123456789abcdef") == ""
}
