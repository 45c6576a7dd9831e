package boot

import (
	"bytes"
	"debug/elf"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"drydock/targets/internal/archive"
)

// wanted are the modules that the machine loads where the kernel has them as modules: its disk, what Docker uses, and
// what the rules of iptables use. Older names of the same code stand beside the newer ones.
//
//go:embed modules.txt
var wanted string

// module is one file of them.
type module struct {
	name, file string
	data       []byte // uncompressed
}

// loadable finds modules below a kernel's directory, and returns them with those that they need, each after what it
// needs. What the kernel has built in, and what it has not at all, is left out: where that matters, a check of the
// stack says so.
func loadable(dir string, names []string) ([]module, error) {
	if dir == "" {
		return nil, nil
	}
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if base, _, found := strings.Cut(filepath.Base(p), ".ko"); found && err == nil && !d.IsDir() {
			files[moduleName(base)] = p
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no modules (*.ko) below it: want the kernel's lib/modules/<release>", dir)
	}
	var order []module
	state := map[string]int{} // 1: what it needs is looked at; 2: it is in the order
	var visit func(name string) error
	visit = func(name string) error {
		file := files[name]
		if file == "" || state[name] != 0 { // a circle can only be one of soft dependencies
			return nil
		}
		state[name] = 1
		data, err := readModule(file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		needs, err := needsOf(data)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, n := range needs {
			if err := visit(n); err != nil {
				return err
			}
		}
		state[name] = 2
		order = append(order, module{name, file, data})
		return nil
	}
	for _, n := range names {
		if err := visit(moduleName(n)); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// moduleName is a module's name as the kernel writes it.
func moduleName(base string) string { return strings.ReplaceAll(base, "-", "_") }

// maxModule is the size, in bytes, up to which a module is read.
const maxModule = 64 << 20

func readModule(file string) ([]byte, error) {
	format := map[string]string{".ko": "tar", ".gz": "gz", ".xz": "xz"}[filepath.Ext(file)] // "tar" is as it is
	if format == "" {
		return nil, fmt.Errorf("want a module that is not compressed, or by gzip or xz: unpack it (zstd -d) into a " +
			"directory of your own")
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := archive.Decompress(f, format)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err = b.ReadFrom(limited(r, maxModule))
	return b.Bytes(), err
}

// needsOf reads what a module must find loaded, from its section .modinfo: its dependencies, and those that it asks for
// by name (softdep pre).
func needsOf(data []byte) (needs []string, err error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	s := f.Section(".modinfo")
	if s == nil {
		return nil, errors.New("no section .modinfo: want a module of the kernel")
	}
	info, err := s.Data()
	if err != nil {
		return nil, err
	}
	for line := range strings.SplitSeq(string(info), "\x00") {
		key, value, _ := strings.Cut(line, "=")
		switch key {
		case "depends":
			needs = append(needs, strings.FieldsFunc(value, func(r rune) bool { return r == ',' })...)
		case "softdep":
			for word := range strings.FieldsSeq(value) {
				if word == "post:" {
					break
				}
				if word != "pre:" {
					needs = append(needs, word)
				}
			}
		}
	}
	for i := range needs {
		needs[i] = moduleName(needs[i])
	}
	return needs, nil
}
