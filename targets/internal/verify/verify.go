// Package verify establishes what a built file is: static, for the right machine and kernel, without a trace of the
// build host, and of the version that it should be.
package verify

import (
	"bytes"
	"cmp"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/platform"
	"drydock/targets/internal/run"

	version "github.com/hashicorp/go-version"
)

// Want is what a file must be.
type Want struct {
	// Kernel is the stack's oldest kernel: an ABI note may not ask for a newer one.
	Kernel string
	// Arch is the architecture that it must be of: a name of platform.Of, empty for platform.Default.
	Arch string
	// Emulator runs files of another machine than this one; empty for none, and then they are not asked for their
	// versions.
	Emulator string
	// Forbidden are strings that may not occur in the file: directories of the build host.
	Forbidden []string
	// Ask and Say are the arguments that make it print its version, and the words that must be in the answer.
	Ask []string
	Say []string
}

// Check is one property of one file.
type Check struct {
	Name string `json:"name"`
	Want string `json:"want"`
	Got  string `json:"got"`
	OK   bool   `json:"ok"`
}

// Report is what was found out about one file.
type Report struct {
	File   string  `json:"file"`
	Size   int64   `json:"size"`
	Kind   string  `json:"kind"`             // "static" or "static-pie"
	ABI    string  `json:"abi"`              // oldest kernel of the ABI note; empty without one
	Says   string  `json:"says"`             // the line of its answer that has the version
	Guards string  `json:"guards,omitempty"` // what of RELRO and stack protector its C parts have
	Checks []Check `json:"checks"`
}

// OK reports whether every check passed.
func (r *Report) OK() bool {
	return !slices.ContainsFunc(r.Checks, func(c Check) bool { return !c.OK })
}

// Err names every failed check of the file; nil when there is none.
func (r *Report) Err() error {
	var bad []string
	for _, c := range r.Checks {
		if !c.OK {
			bad = append(bad, fmt.Sprintf("%s: got %s, want %s", c.Name, c.Got, c.Want))
		}
	}
	if bad == nil {
		return nil
	}
	return fmt.Errorf("verify %s: %s", filepath.Base(r.File), strings.Join(bad, "; "))
}

// File examines one file.
func File(ctx context.Context, path string, w Want) *Report {
	r := &Report{File: path}
	add := func(name, want, got string, ok bool) { r.Checks = append(r.Checks, Check{name, want, got, ok}) }
	fi, err := os.Stat(path)
	if err != nil {
		add("file", "there", err.Error(), false)
		return r
	}
	r.Size = fi.Size()
	add("mode", "executable", fi.Mode().String(), fi.Mode()&0o111 == 0o111)
	f, err := elf.Open(path)
	if err != nil {
		add("format", "ELF", err.Error(), false)
		return r
	}
	defer f.Close()
	arch := platform.Must(cmp.Or(w.Arch, platform.Default))
	facts, err := arch.Check(path)
	if err != nil {
		add("machine", arch.Machine.String(), err.Error(), false)
	}
	for _, x := range facts {
		add(x.Name, x.Want, x.Got, x.OK)
	}
	interp := ""
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			data, _ := io.ReadAll(p.Open())
			interp = strings.TrimRight(string(data), "\x00")
		}
	}
	add("interpreter", "none", orNone(interp), interp == "")
	libs, err := f.ImportedLibraries()
	got := strings.Join(libs, " ")
	if err != nil {
		got = err.Error()
	}
	add("shared libraries", "none", orNone(got), got == "")
	r.Kind = kind(f)
	stack, relro := protection(f)
	add("stack", "not executable", stack, stack == "not executable")
	r.ABI = abiNote(f)
	if r.ABI != "" {
		have, err := version.NewVersion(r.ABI)
		limit, err2 := version.NewVersion(w.Kernel)
		add("kernel of the ABI note", "<= "+w.Kernel, r.ABI, err == nil && err2 == nil && have.LessThanOrEqual(limit))
		add("relocations", "read-only after the start", relro, relro == "read-only after the start")
		// A static glibc that looks users or hosts up loads libraries of the host's for it, of that very version.
		s, err := find(path, []string{"_nss_%s_%s", "libnss_%s"})
		add("name service switch of the C library", "none", orNone(cmpOr(err, s)), err == nil && s == "")
	}
	if s := betrayed(f); s != "" {
		add("symbols", "none that load libraries at run time", s, false)
	}
	r.Guards = guards(path, relro, arch.Machine == elf.EM_X86_64)
	if s, err := find(path, w.Forbidden); err != nil || s != "" {
		add("paths of the build host", "none", cmpOr(err, s), false)
	} else {
		add("paths of the build host", "none", "none", true)
	}
	switch {
	case len(w.Say) == 0:
	case !arch.Native() && w.Emulator == "":
		r.Says = "not run: no qemu-" + arch.Qemu
	default:
		w.version(ctx, r, add)
	}
	return r
}

// version runs the file and compares what it says.
func (w Want) version(ctx context.Context, r *Report, add func(name, want, got string, ok bool)) {
	out, err := says(ctx, w.Emulator, r.File, w.Ask)
	r.Says = strings.TrimSpace(out)
	for line := range strings.Lines(r.Says) { // the shim says its name first
		if strings.Contains(line, w.Say[0]) {
			r.Says = line
			break
		}
	}
	r.Says, _, _ = strings.Cut(strings.TrimSpace(r.Says), "\n")
	missing := slices.DeleteFunc(slices.Clone(w.Say), func(s string) bool { return strings.Contains(out, s) })
	switch {
	case err != nil:
		add("version", strings.Join(w.Say, ", "), err.Error(), false)
	case len(missing) > 0:
		add("version", strings.Join(missing, ", "), fmt.Sprintf("%q", strings.TrimSpace(out)), false)
	default:
		add("version", strings.Join(w.Say, ", "), "the same", true)
	}
}

func cmpOr(err error, s string) string {
	if err != nil {
		return err.Error()
	}
	return s
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// says runs the file, with nothing of this machine's but itself in sight.
func says(ctx context.Context, emulator, path string, args []string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("no answer after 20s"))
	defer cancel()
	c := run.Cmd{Argv: append([]string{path}, args...), Dir: "/", Env: []string{"PATH=/nonexistent", "LC_ALL=C"},
		Sandbox: &run.Sandbox{Read: []string{path}}}
	if emulator != "" { // which may be linked with the system's libraries
		c.Argv = append([]string{emulator}, c.Argv...)
		c.Sandbox.Read = append(c.Sandbox.Read, emulator,
			"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
	}
	return c.Output(ctx)
}

// protection tells whether the stack can be executed, and whether what the loader relocates is read-only afterwards.
func protection(f *elf.File) (stack, relro string) {
	stack, relro = "not said: executable on old kernels", "writable"
	for _, p := range f.Progs {
		switch p.Type {
		case elf.PT_GNU_STACK:
			stack = "not executable"
			if p.Flags&elf.PF_X != 0 {
				stack = "executable"
			}
		case elf.PT_GNU_RELRO:
			relro = "read-only after the start"
		}
	}
	return stack, relro
}

// betrayed names the symbols, where a file has kept them, by which a static program loads libraries of the host's.
func betrayed(f *elf.File) string {
	syms, _ := f.Symbols()
	var bad []string
	for _, s := range syms {
		if slices.Contains([]string{"getaddrinfo", "getpwnam_r", "getpwnam", "getgrnam_r", "gethostbyname_r",
			"__nss_module_load"}, s.Name) && s.Section != elf.SHN_UNDEF {
			bad = append(bad, s.Name)
		}
	}
	slices.Sort(bad)
	return strings.Join(bad, " ")
}

// guards tells of a file with C in it how that is guarded.
func guards(path, relro string, x86 bool) string {
	var all []string
	if relro != "writable" {
		all = append(all, "relro")
	}
	guarded := false
	if !x86 { // elsewhere the canary is a variable like any other
		return strings.Join(all, ", ")
	}
	_ = windows(path, func(data []byte, _ int64) bool { // who cannot read it has been told above
		guarded = loadsCanary(data)
		return !guarded
	})
	if guarded {
		all = append(all, "stack protector")
	}
	return strings.Join(all, ", ")
}

// kind is how a file without an interpreter was linked.
func kind(f *elf.File) string {
	if f.Type == elf.ET_DYN {
		return "static-pie"
	}
	return "static"
}

// Linked says how a file was linked: "static" or "static-pie". It fails on a file that is no ELF.
func Linked(path string) (string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return kind(f), nil
}

// OldestKernel returns the kernel that the C library in a file needs at least, by its ABI note; "any" for a file
// without one. It fails on a file that is no ELF.
func OldestKernel(path string) (string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if k := abiNote(f); k != "" {
		return k, nil
	}
	return "any", nil
}

// loadsCanary reports whether some code reads %fs:0x28, where the C libraries of x86-64 keep the stack protector's
// canary: mov, sub, xor or cmp with a 64-bit register. Go's own code has no use for that place.
func loadsCanary(data []byte) bool {
	place := []byte{0x25, 0x28, 0, 0, 0}
	for at := 0; ; {
		i := bytes.Index(data[at:], place)
		if i < 0 {
			return false
		}
		if at += i; at >= 4 && data[at-4] == 0x64 && data[at-3]&0xfb == 0x48 &&
			slices.Contains([]byte{0x2b, 0x33, 0x3b, 0x8b}, data[at-2]) {
			return true
		}
		at++
	}
}

// abiNote reads .note.ABI-tag: the oldest kernel that the C library in the file supports.
func abiNote(f *elf.File) string {
	s := f.Section(".note.ABI-tag")
	if s == nil {
		return ""
	}
	d, err := s.Data()
	if err != nil || len(d) < 32 || string(d[12:15]) != "GNU" {
		return ""
	}
	n := func(i int) uint32 { return binary.LittleEndian.Uint32(d[16+4*i:]) }
	if n(0) != 0 { // not Linux
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", n(1), n(2), n(3))
}

// find returns the first of the words in a file, with what stands after it.
func find(path string, words []string) (found string, err error) {
	err = windows(path, func(data []byte, at int64) bool {
		for _, w := range words {
			if i := bytes.Index(data, []byte(w)); i >= 0 {
				end := i + bytes.IndexFunc(data[i:], func(r rune) bool { return r < 32 || r > 126 })
				found = fmt.Sprintf("%q at offset %d", data[i:max(min(end, i+200), i+len(w))], at+int64(i))
				return false
			}
		}
		return true
	})
	return found, err
}

// How much of a file is looked at at a time, and how much of that is looked at again with what follows: more than
// anything that is searched for. A dockerd is 65 MB, and several files are proved at once.
const (
	window  = 1 << 20
	overlap = 8 << 10
)

// windows calls look with the contents of a file, piece by piece, until it returns false; at is where the piece begins.
func windows(path string, look func(data []byte, at int64) bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf, kept, at := make([]byte, window), 0, int64(0)
	for {
		n, err := io.ReadFull(f, buf[kept:])
		data := buf[:kept+n]
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		if !look(data, at) || err != nil {
			return nil
		}
		kept = copy(buf, data[len(data)-overlap:])
		at += int64(len(data) - kept)
	}
}
