package targets

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/testlong"

	"github.com/rogpeppe/go-internal/testscript"
)

// componentCommands is components.go: the commands that the rows name, in their order.
func componentCommands(rows []recipe.Component) string {
	var b strings.Builder
	b.WriteString("// Code generated from the rows of room recipe by: go test ./targets -run Commands -update; DO " +
		"NOT EDIT.\n\npackage targets\n\n" +
		"import (\n\t\"context\"\n\n\t\"drydock/targets/internal/engine\"\n)\n")
	for _, row := range rows {
		if row.Does == "" {
			continue
		}
		name := strings.ToUpper(row.Target[:1]) + row.Target[1:]
		text := name + " " + row.Does + "\n\nFlags: -k goes on after a failure; -wait waits for another run; -edit " +
			"builds from open edits; -v shows all output.\n\nExample: " + cmp.Or(row.Example, "mage "+row.Target)
		fmt.Fprintf(&b, "\n%sfunc %s(ctx context.Context) error { return engine.Build(ctx, given.Options, %q) }\n",
			strings.ReplaceAll("// "+strings.ReplaceAll(text, "\n", "\n// ")+"\n", "// \n", "//\n"), name, row.Target)
	}
	return b.String()
}

const componentsFile = "components.go"

func componentsIn() string {
	data, err := os.ReadFile(componentsFile)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// TestTheCommandsOfComponentsAreThoseOfTheirRows holds components.go to the rows; -update writes it.
func TestTheCommandsOfComponentsAreThoseOfTheirRows(t *testing.T) {
	t.Parallel()
	rows := recipe.Components()
	want := componentCommands(rows)
	if componentsIn() != want {
		t.Errorf("%s: not what the rows of room recipe say: go test ./targets -run Commands -update writes it. "+
			"Want\n%s", componentsFile, want)
	}
	for _, row := range rows {
		i := slices.IndexFunc(rows, func(r recipe.Component) bool { return r.Target == row.Target && r.Does != "" })
		if i < 0 {
			t.Errorf("%s: no command %q: its row, or another with that Target, wants Does", row.Name, row.Target)
		}
	}
}

// madeUp are components that no stack has. Each is one file of testdata/recipe, these sources, and this block of a
// stack file.
var madeUp = map[string]struct {
	files map[string]string
	block string
}{
	"greet": {
		map[string]string{"greet.c": "#include <stdio.h>\nint main(void) { puts(\"greet \" VERSION); return 0; }\n"},
		"[component.greet]\nversion = \"1.4.0\"\n",
	},
	"docker-hello": {
		map[string]string{
			"go.mod":             "module example.invalid/hello/v2\n\ngo 1.21\n",
			"version/version.go": "package version\n\nvar Version, Commit string\n",
			"cmd/hello/main.go": "package main\n\nimport (\n\t\"syscall\"\n\n\t\"example.invalid/hello/v2/version\"\n" +
				")\n\n" +
				"func main() { syscall.Write(1, []byte(\"hello \"+version.Version+\" \"+version.Commit+\"\\n\")) }\n",
		},
		"[component.docker-hello]\nversion = \"2.0.1\"\ncommit = \"abcdef0123\"\n",
	},
}

// recipesOf are the files of testdata/recipe by where they would stand in the repository.
func recipesOf() (map[string]string, error) {
	from, err := filepath.Abs("testdata/recipe")
	if err != nil {
		return nil, err
	}
	to, err := filepath.Abs("internal/recipe")
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for name := range madeUp {
		file := strings.ReplaceAll(name, "-", "_") + ".go"
		all[filepath.Join(to, file)] = filepath.Join(from, file)
	}
	return all, nil
}

// madeUpRunner is the directory with a runner that was compiled as if those files stood in room recipe.
var madeUpRunner = sync.OnceValues(func() (string, error) {
	files, err := recipesOf()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(filepath.Dir(filepath.Dir(runner)), "madeup")
	overlay, err := json.Marshal(map[string]any{"Replace": files})
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o644)
	}
	if err != nil {
		return "", err
	}
	return dir, compileRunner(filepath.Join(dir, "drydock"), "..",
		"GOFLAGS=-overlay="+filepath.Join(dir, "overlay.json"))
})

// compileRunner has mage compile the commands of a repository, with C as the tests are, so that Go compiles each
// package once; nothing of this machine's is linked to it. The long tests have it without C, as ./mage makes it.
func compileRunner(file, root string, env ...string) error {
	// Mage writes a file beside the sources meanwhile: two runs of the tests must not meet there.
	lock, err := os.Open(filepath.Join(root, "magefile.go"))
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	compile := func(ldflags string, with ...string) error {
		cmd := exec.Command("go", "tool", "mage", "-compile", file, "-ldflags",
			"-X drydock/targets/internal/archive.quick=yes "+ldflags)
		cmd.Dir, cmd.Env = root, slices.Concat(os.Environ(), with, env)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("compile the runner: %w\n%s", err, out)
		}
		return nil
	}
	if os.Getenv("DRYDOCK_LONG") != "1" && compile("-w -linkmode=external -extldflags=-static") == nil {
		return nil
	}
	return compile("", "CGO_ENABLED=0")
}

// madeup makes drydock the runner that knows the made-up components, serves their sources, and has their blocks in the
// stack.
func madeup(ts *testscript.TestScript, neg bool, args []string) {
	dir, err := madeUpRunner()
	ts.Check(err)
	ts.Setenv("PATH", dir+":"+ts.Getenv("PATH"))
	stack := ts.ReadFile("repo/vendor-sources/fake.toml")
	for name, c := range madeUp {
		es := []archive.Entry{{Name: name + "/LICENSE", Data: []byte(licence()), Mode: 0o644}}
		for n, data := range c.files {
			es = append(es, archive.Entry{Name: name + "/" + n, Data: []byte(data), Mode: 0o644})
		}
		file := name + "-fake.tar.gz"
		_, err := archive.WriteTarGz(ts.MkAbs("served/"+file), es, time.Unix(1600000000, 0))
		ts.Check(err)
		stack += fmt.Sprintf("\n%s\n[[component.%s.origin]]\nkind = \"url\"\nurl = %q\nvendored = true\n", c.block,
			name, ts.Getenv("URL")+"/"+file)
	}
	ts.Check(os.WriteFile(ts.MkAbs("repo/vendor-sources/fake.toml"), []byte(stack), 0o644))
}

func TestLongAComponentsFileIsAllThatItsCommandTakes(t *testing.T) {
	testlong.Skip(t)
	root := t.TempDir()
	for _, dir := range []string{"targets", "docs", "vendor-sources", "patches"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, argv := range [][]string{{"cp", "-R", ".", root + "/targets"},
		{"cp", "../go.mod", "../go.sum", "../magefile.go", "../mage", "../LICENSE", root},
		{"cp", "testdata/recipe/greet.go", "testdata/recipe/docker_hello.go", root + "/targets/internal/recipe"}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", argv, err, out)
		}
	}
	test := func(flags ...string) string {
		cmd := exec.Command("go", append([]string{"test", "./targets", "-run", "TheCommandsOfComponents"}, flags...)...)
		cmd.Dir = root
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	if out := test(); !strings.Contains(out, "-update writes it") || !strings.Contains(out, "func Hello(") {
		t.Errorf("a row without its command: got\n%s\nwant the line that is missing, and what writes it", out)
	}
	if out := test("-update"); !strings.Contains(out, "components.go is new") {
		t.Errorf("-update: got\n%s", out)
	}
	if out := test(); !strings.HasPrefix(out, "ok") {
		t.Errorf("after it: got\n%s", out)
	}
	if err := compileRunner(filepath.Join(root, "drydock"), root); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(root, "drydock"), "-l").CombinedOutput()
	if err != nil ||
		!strings.Contains(string(out), "\n  hello           builds docker-hello, which stands for a "+
			"plugin that is new\n") || !strings.Contains(string(out), "\n  greet ") {
		t.Errorf("-l: got %v\n%s", err, out)
	}
}
