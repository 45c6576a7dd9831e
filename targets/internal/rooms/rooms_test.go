// Package rooms holds the code against docs/architecture.md, whose table has the rooms in their order, and against the
// limits of size.
package rooms

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../../.."
	module = "drydock/targets/internal/"

	maxRoom   = 4000 // lines of Go without tests
	maxFile   = 500  // lines
	maxFunc   = 80   // lines
	maxParams = 5
)

// helpers are of tests only.
var helpers = []string{"rooms", "testlong", "testprog", "testregistry"}

// order is the rooms from the highest to the lowest, as the table of docs/architecture.md has them.
func order(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile(root + "/docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	var rooms []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+)` \\|").FindAllStringSubmatch(string(data), -1) {
		rooms = append(rooms, m[1])
	}
	if len(rooms) < 10 {
		t.Fatalf("docs/architecture.md: got the rooms %v, want a table of all", rooms)
	}
	return rooms
}

// source is a Go file that is no test.
type source struct {
	path string // below the repository
	room string // empty for package targets
	ast  *ast.File
	fset *token.FileSet
}

func (s source) lines() int { return s.fset.Position(s.ast.FileEnd).Line }

func sources(t *testing.T) (all []source) {
	t.Helper()
	fset := token.NewFileSet()
	err := filepath.WalkDir(root+"/targets", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return fs.SkipDir
		case !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, 0)
		rel, _ := filepath.Rel(root, p)
		room := ""
		if below, ok := strings.CutPrefix(rel, "targets/internal/"); ok {
			room, _, _ = strings.Cut(below, "/")
		}
		all = append(all, source{rel, room, f, fset})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// imported is the rooms that each room imports, by one of its files that does.
func imported(all []source) map[string]map[string]string {
	uses := map[string]map[string]string{}
	for _, s := range all {
		if uses[s.room] == nil {
			uses[s.room] = map[string]string{}
		}
		for _, i := range s.ast.Imports {
			path, _ := strconv.Unquote(i.Path.Value)
			if below, ok := strings.CutPrefix(path, module); ok {
				room, _, _ := strings.Cut(below, "/")
				uses[s.room][room] = s.path
			}
		}
	}
	return uses
}

func TestARoomImportsRoomsBelowItOnly(t *testing.T) {
	t.Parallel()
	rooms := order(t)
	uses := imported(sources(t))
	delete(uses, "") // the commands
	for room, others := range uses {
		if slices.Contains(helpers, room) {
			continue
		}
		at := slices.Index(rooms, room)
		if at < 0 {
			t.Errorf("%s: not in the table of docs/architecture.md", room)
			continue
		}
		for other, file := range others {
			if below := slices.Index(rooms, other); other != room && below <= at {
				t.Errorf("%s imports %s, which is not below %s in the table of docs/architecture.md", file, other, room)
			}
		}
	}
	for _, room := range rooms {
		if uses[room] == nil {
			t.Errorf("docs/architecture.md: got the room %s, and there is no targets/internal/%s", room, room)
		}
	}
}

func TestOnlyTheEngineKnowsBothGraphAndHost(t *testing.T) {
	t.Parallel()
	uses := imported(sources(t))
	var knows func(room, of string) bool
	knows = func(room, of string) bool {
		for other := range uses[room] { // the rooms above the engine know what it shows of them
			if other == of || other != room && other != "engine" && knows(other, of) {
				return true
			}
		}
		return false
	}
	for room := range uses {
		if both := knows(room, "graph") && knows(room, "host"); both && room != "engine" && room != "" {
			t.Errorf("%s knows graph and host, itself or by what it imports", room)
		}
	}
}

// sizes is how large everything is that has a limit, by kind and name, and the limits by kind.
func sizes(all []source) (got, limits map[string]int) {
	got = map[string]int{}
	limits = map[string]int{"room": maxRoom, "file": maxFile, "lines": maxFunc, "parameters": maxParams}
	for _, s := range all {
		got["room "+s.room] += s.lines()
		got["file "+s.path] = s.lines()
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := s.room + "." + f.Name.Name
			got["lines "+name] = max(got["lines "+name], s.fset.Position(f.End()).Line-s.fset.Position(f.Pos()).Line+1)
			if s.room != "" || !f.Name.IsExported() { // those of a command are its flags
				got["parameters "+name] = max(got["parameters "+name], f.Type.Params.NumFields())
			}
		}
	}
	delete(got, "room ")
	return got, limits
}

func TestNothingIsTooLarge(t *testing.T) {
	t.Parallel()
	got, limits := sizes(sources(t))
	for what, n := range got {
		kind, _, _ := strings.Cut(what, " ")
		if limit := limits[kind]; n > limit {
			t.Errorf("%s: got %d, want at most %d: take it apart", what, n, limit)
		}
	}
	if t.Failed() {
		t.Log(fmt.Sprint("limits: ", limits))
	}
}
