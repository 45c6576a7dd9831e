// Command check does for install.sh what the tools of an old host cannot do: SHA-256 (coreutils 5.2.1 has none), Ed25519,
// and a rename over a link to a directory (its mv has no -T). It is compiled by the stack's own Go, which may be any since 1.13, with
// the standard library alone, so that a package's bytes do not depend on the Go that compiles drydock.
//
//	check sums FILE                 the lines "digest  name" of FILE hold for the files below the working directory
//	check digest FILE               its SHA-256
//	check rename OLD NEW            rename(2), and the directory written to the disk
//	check signature KEY FILE SIG    minisign's format, of the kind that signs the file itself ("Ed")
//	check lock                      flock(2) on what is open as standard input, which whoever else has it open keeps
//
// Exit codes: 0 good; 1 not good, each reason on a line of standard output; 2 wrong arguments.
package main

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	//lint:ignore SA1019 the oldest stacks are built by Gos whose os and io lack what this has
	"io/ioutil"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	os.Exit(do(os.Args[1:], os.Stdout))
}

func do(args []string, out io.Writer) int {
	if len(args) == 0 {
		args = []string{""}
	}
	var errs []error
	switch verb := args[0]; {
	case verb == "sums" && len(args) == 2:
		errs = sums(args[1])
	case verb == "digest" && len(args) == 2:
		d, err := digest(args[1])
		if err == nil {
			fmt.Fprintln(out, d)
			return 0
		}
		errs = []error{err}
	case verb == "rename" && len(args) == 3:
		if err := rename(args[1], args[2]); err != nil {
			errs = []error{err}
		}
	case verb == "signature" && len(args) == 4:
		if err := signature(args[1], args[2], args[3]); err != nil {
			errs = []error{err}
		}
	case verb == "lock" && len(args) == 1:
		if err := syscall.Flock(0, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			errs = []error{err}
		}
	default:
		fmt.Fprintln(out, "usage: check sums FILE | digest FILE | rename OLD NEW | signature KEY FILE SIGNATURE | lock <FILE")
		return 2
	}
	for _, err := range errs {
		fmt.Fprintln(out, err)
	}
	if len(errs) > 0 {
		return 1
	}
	return 0
}

func digest(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// sums holds every line of a list against its file.
func sums(list string) (errs []error) {
	data, err := ioutil.ReadFile(list)
	if err != nil {
		return []error{err}
	}
	n := 0
	s := bufio.NewScanner(bytes.NewReader(data))
	for s.Scan() {
		n++
		line := s.Text()
		if len(line) < 67 || line[64:66] != "  " {
			errs = append(errs, fmt.Errorf("%s: line %d: want a digest, two blanks and a name", list, n))
			continue
		}
		want, name := line[:64], line[66:]
		got, err := digest(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %v", name, err))
		} else if got != want {
			errs = append(errs, fmt.Errorf("%s: is not what %s says: damaged: got %s, want %s", name, list, got, want))
		}
	}
	if n == 0 {
		errs = append(errs, fmt.Errorf("%s: empty", list))
	}
	return errs
}

func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// signature checks what "minisign -S -l" wrote: FILE by the key, and the trusted comment with it.
func signature(keyFile, file, sigFile string) error {
	key, err := blob(keyFile, 0, 42)
	if err != nil {
		return err
	}
	sig, err := blob(sigFile, 0, 74)
	if err != nil {
		return err
	}
	global, err := blob(sigFile, 1, 64)
	if err != nil {
		return err
	}
	lines := lines(sigFile)
	const mark = "trusted comment: "
	if len(lines) < 3 || !strings.HasPrefix(lines[2], mark) {
		return fmt.Errorf("%s: no trusted comment", sigFile)
	}
	data, err := ioutil.ReadFile(file)
	if err != nil {
		return err
	}
	pub := ed25519.PublicKey(key[10:])
	switch {
	case string(sig[:2]) != "Ed":
		return fmt.Errorf("%s: got algorithm %q, want \"Ed\" (minisign -S -l)", sigFile, sig[:2])
	case !bytes.Equal(sig[2:10], key[2:10]):
		return fmt.Errorf("%s: signed by another key: got %x, want %x", sigFile, sig[2:10], key[2:10])
	case !ed25519.Verify(pub, data, sig[10:]):
		return fmt.Errorf("%s: is not what was signed", file)
	case !ed25519.Verify(pub, append(append([]byte{}, sig[10:]...), lines[2][len(mark):]...), global):
		return fmt.Errorf("%s: its trusted comment is not what was signed", sigFile)
	}
	return nil
}

// blob gives the n-th line of a minisign file that is base64, of that many bytes; its comments are skipped.
func blob(file string, n, size int) ([]byte, error) {
	if _, err := os.Stat(file); err != nil {
		return nil, err
	}
	for _, l := range lines(file) {
		if strings.HasPrefix(l, "untrusted comment:") || strings.HasPrefix(l, "trusted comment:") || l == "" {
			continue
		}
		if n--; n >= 0 {
			continue
		}
		b, err := base64.StdEncoding.DecodeString(l)
		if err != nil || len(b) != size {
			return nil, fmt.Errorf("%s: got %d bytes, want %d: not minisign's format", file, len(b), size)
		}
		return b, nil
	}
	return nil, fmt.Errorf("%s: not minisign's format", file)
}

func lines(file string) []string {
	data, _ := ioutil.ReadFile(file)
	return strings.Split(strings.TrimRight(strings.Replace(string(data), "\r", "", -1), "\n"), "\n")
}
