package audit

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"debug/gosym"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/archive"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// Module is a Go module that is in a file, at a version ("v1.2.3"); it is the one that replaced another where one did.
// Path is what its packages are imported as, Source where its code comes from.
type Module struct {
	Path, Source, Version string
}

// Program is a file with Go code in it.
type Program struct {
	File      string // its name
	Component string // whose it is, at this version
	Version   string
	Go        string // the release that compiled it, as a version: "v1.26.8"
	Modules   []Module
	// Unknown reports that the file does not say which modules are in it, and nobody else does.
	Unknown bool
	// Unread is why its table of functions cannot be read; empty where it was.
	Unread string
	// packages are the functions whose code is in the file, by import path; nil where the table cannot be read.
	packages map[string]map[string]bool
}

// ErrNotGo is the error of a file without Go code.
var ErrNotGo = errors.New("not a Go file")

// maxTable is the size, in bytes, up to which a table of functions is read: that of dockerd has 24 MB.
const maxTable = 256 << 20

// readProgram reads what Go wrote into a file. The main module has the version of the component, for upstream's trees
// name none. The error is ErrNotGo for a file that no Go linked.
func readProgram(r io.ReaderAt, file, component, version string) (*Program, error) {
	info, err := buildinfo.Read(r)
	if err != nil {
		return nil, ErrNotGo
	}
	p := &Program{File: file, Component: component, Version: version, Go: goVersion(info.GoVersion),
		Unknown: info.Main.Path == ""}
	main := info.Main.Path
	if parts := strings.SplitN(info.Path, "/", 4); p.Unknown && len(parts) > 2 { // of a GOPATH: host/owner/repository
		main = strings.Join(parts[:3], "/")
	}
	if main != "" {
		p.Modules = append(p.Modules, Module{main, main, mainVersion(main, version)})
	}
	for _, d := range info.Deps {
		m := Module{d.Path, d.Path, d.Version}
		if d.Replace != nil {
			m.Source, m.Version = d.Replace.Path, d.Replace.Version
		}
		p.Modules = append(p.Modules, m)
	}
	names, err := functions(r)
	if err != nil {
		p.Unread = err.Error()
		return p, nil
	}
	p.packages = map[string]map[string]bool{}
	for _, n := range names {
		p.note(n, info.Path)
	}
	return p, nil
}

// ReadProgramFile is readProgram of a file on disk. It fails as that does, and where the file cannot be opened.
func ReadProgramFile(file, component, version string) (*Program, error) {
	f, err := archive.OpenFile(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readProgram(f, filepath.Base(file), component, version)
}

// Take notes the modules of a file that does not name them itself; none leaves them unknown.
func (p *Program) Take(ms []Module) {
	p.Modules = append(p.Modules, ms...)
	p.Unknown = len(ms) == 0
}

// DebianVersion makes a module's version of a Debian package's: "1.2.3+ds1-2" is "v1.2.3", "0.0~git20200121.8c9f03a-1"
// is the commit of that day.
func DebianVersion(v string) string {
	if _, rest, ok := strings.Cut(v, ":"); ok {
		v = rest
	}
	v, _, _ = cutLast(v, "-")
	for _, ds := range []string{"+ds", "~ds", "+dfsg", "~dfsg", "+really"} {
		v, _, _ = strings.Cut(v, ds)
	}
	base, git, ok := strings.Cut(strings.ReplaceAll(v, "+git", "~git"), "~git")
	if !ok {
		return "v" + strings.ReplaceAll(v, "~", "-")
	}
	date, commit, _ := strings.Cut(git, ".")
	if strings.Count(base, ".") == 1 {
		base += ".0"
	}
	return "v" + base + "-" + date + "000000-" + commit
}

// mainVersion is the version that a release of a component has as a module.
func mainVersion(path, release string) string {
	v := "v" + release
	if _, major, ok := module.SplitPathVersion(path); ok && major == "" && semver.Compare(v, "v2") >= 0 {
		v += "+incompatible"
	}
	return v
}

// goVersion makes a version of Go's name for a release: "go1.26.8 X:flag" is "v1.26.8", "go1.27rc1" is "v1.27.0-rc.1".
func goVersion(name string) string {
	f := strings.Fields(strings.TrimPrefix(name, "go"))
	if len(f) == 0 {
		return ""
	}
	v := f[0]
	for _, kind := range []string{"beta", "rc"} {
		if base, n, ok := strings.Cut(v, kind); ok {
			if strings.Count(base, ".") == 1 {
				base += ".0"
			}
			return "v" + base + "-" + kind + "." + n
		}
	}
	return "v" + v
}

// note takes a function's name in Go's table: "path/to/pkg.(*T).M", with the code of what is written inside of it as
// ".func1" and the like behind it. A method of a type is "T.M", as the database has it.
func (p *Program) note(name, mainPath string) {
	if strings.HasPrefix(name, "go:") || strings.HasPrefix(name, "type:") {
		return
	}
	name = withoutTypes(name)
	slash := strings.LastIndexByte(name, '/')
	dot := strings.IndexByte(name[slash+1:], '.')
	if dot < 0 {
		return
	}
	pkg, rest := name[:slash+1+dot], name[slash+dot+2:]
	if u, err := url.PathUnescape(pkg); err == nil {
		pkg = u
	}
	if _, below, ok := cutLast(pkg, "/vendor/"); ok { // of a GOPATH; Go's own begin with vendor/
		pkg = below
	}
	if pkg == "main" {
		pkg = mainPath
	}
	of := p.packages[pkg]
	if of == nil {
		of = map[string]bool{}
		p.packages[pkg] = of
	}
	parts := strings.Split(strings.NewReplacer("(*", "", "(", "", ")", "").Replace(rest), ".")
	of[parts[0]] = true
	if len(parts) > 1 {
		of[parts[0]+"."+strings.TrimSuffix(parts[1], "-fm")] = true
	}
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// withoutTypes drops the arguments of generic functions and types, in brackets.
func withoutTypes(name string) string {
	if strings.IndexByte(name, '[') < 0 {
		return name
	}
	var b strings.Builder
	depth := 0
	for _, c := range name {
		switch c {
		case '[':
			depth++
		case ']':
			depth--
		default:
			if depth == 0 {
				b.WriteRune(c)
			}
		}
	}
	return b.String()
}

// functions are the names of all functions whose code is in a file, those that were compiled into others too. Go keeps
// the table for its stack traces, in stripped files as well.
func functions(r io.ReaderAt) ([]string, error) {
	e, err := elf.NewFile(r)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	text := e.Section(".text")
	for _, name := range []string{".gopclntab", ".data.rel.ro.gopclntab", ".data.rel.ro"} {
		table := e.Section(name)
		if table == nil || text == nil {
			continue
		}
		if table.Size > maxTable {
			return nil, fmt.Errorf("got a %s of %d bytes, want at most %d", name, table.Size, maxTable)
		}
		data, err := table.Data()
		if err != nil {
			return nil, err
		}
		if name == ".data.rel.ro" { // gcc's linker puts a static-pie's table among other data
			data = tableIn(data)
		}
		if data != nil {
			return functionNames(data, text.Addr)
		}
	}
	return nil, errors.New("got no .gopclntab and .text in it, want Go's table of functions")
}

// tableIn finds the table of functions in a section that has other things, too; nil where none is.
func tableIn(data []byte) []byte {
	for at := 0; at+8+8*8 <= len(data); at += 4 {
		switch head := data[at:]; binary.LittleEndian.Uint32(head) {
		case magic116, magic118, magic120:
			if head[4] == 0 && head[5] == 0 && slices.Contains([]byte{1, 2, 4}, head[6]) &&
				slices.Contains([]byte{4, 8}, head[7]) {
				if _, err := functionNames(head, 0); err == nil {
					return head
				}
			}
		}
	}
	return nil
}

// Table of functions: its first four bytes say which form it has (internal/abi, CurrentPCLnTabMagic), the eighth how
// many bytes a word has: 4 or 8. Words count from there.
const (
	magic12  = 0xfffffffb
	magic116 = 0xfffffffa // the names begin at word 2, and end at word 3
	magic118 = 0xfffffff0 // one further on, as all since
	magic120 = 0xfffffff1
)

// functionNames reads the names out of a table of functions.
func functionNames(data []byte, text uint64) ([]string, error) {
	if len(data) < 8+8*8 || data[7] != 4 && data[7] != 8 {
		return nil, errors.New("got a table of functions that is cut off, or of another machine")
	}
	word := func(i int) uint64 {
		if data[7] == 4 {
			return uint64(binary.LittleEndian.Uint32(data[8+4*i:]))
		}
		return binary.LittleEndian.Uint64(data[8+8*i:])
	}
	first := 3
	switch binary.LittleEndian.Uint32(data) {
	case magic116:
		first = 2
	case magic118, magic120:
	case magic12: // the names lie between other things; what was compiled into other functions is not told
		// Two words for each: debug/gosym believes any number.
		if n := word(0); n > uint64(len(data))/uint64(2*data[7]) {
			return nil, fmt.Errorf("got a table of %d functions in %d bytes", n, len(data))
		}
		return oldNames(data, text)
	default:
		return nil, errors.New("got a table of functions of a form that no Go up to 1.27 writes")
	}
	from, to := word(first), word(first+1)
	if from > to || to > uint64(len(data)) {
		return nil, fmt.Errorf("got names of functions from byte %d to %d of %d", from, to, len(data))
	}
	var names []string
	for n := range bytes.SplitSeq(data[from:to], []byte{0}) {
		if len(n) > 0 {
			names = append(names, string(n))
		}
	}
	return names, nil
}

func oldNames(data []byte, text uint64) (names []string, err error) {
	defer func() { // debug/gosym does not expect damage
		if x := recover(); x != nil {
			names, err = nil, fmt.Errorf("table of functions: %v", x)
		}
	}()
	t, err := gosym.NewTable(nil, gosym.NewLineTable(data, text))
	if err != nil {
		return nil, err
	}
	for _, f := range t.Funcs {
		names = append(names, f.Name)
	}
	return names, nil
}

// has reports whether code of a function is in the file: "T.M" or "F", and with "" any of the package's.
func (p *Program) has(pkg, symbol string) bool {
	of := p.packages[pkg]
	return of[symbol] || symbol == "" && len(of) > 0
}

// hasModule reports whether code of some package of a module is in the file.
func (p *Program) hasModule(m Module) bool {
	if m.Path == stdlib {
		return true
	}
	for pkg := range p.packages {
		if below(pkg, m.Path) && !slices.ContainsFunc(p.Modules, func(o Module) bool {
			return len(o.Path) > len(m.Path) && below(pkg, o.Path) // a module inside of this one
		}) {
			return true
		}
	}
	return false
}

func below(pkg, module string) bool { return pkg == module || strings.HasPrefix(pkg, module+"/") }

// TagsOf are the build tags of a command of a manifest, whose words are quoted as a shell wants them.
func TagsOf(command string) []string {
	_, rest, ok := strings.Cut(command, " -tags ")
	if !ok {
		return nil
	}
	if quoted, ok := strings.CutPrefix(rest, "'"); ok {
		rest, _, _ = strings.Cut(quoted, "'")
	} else {
		rest, _, _ = strings.Cut(rest, " ")
	}
	return strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == ',' })
}
