package targets

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"drydock/targets/internal/engine"
	"drydock/targets/internal/version"
)

var update = flag.Bool("update", false, "write docs/commands.md anew")

// says runs the compiled runner and returns what it printed.
func says(t *testing.T, env string, args ...string) string {
	t.Helper()
	cmd := exec.Command(runner, args...)
	cmd.Env = append(os.Environ(), env)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestTheListHasEveryCommandOnce(t *testing.T) {
	t.Parallel()
	lines := func(text string) (all []string) {
		for line := range strings.Lines(text) {
			if f := strings.Fields(line); strings.HasPrefix(line, "  ") && len(f) > 1 {
				all = append(all, strings.TrimSuffix(f[0], "*")+" "+strings.TrimSuffix(strings.Join(f[1:], " "), "."))
			}
		}
		slices.Sort(all)
		return all
	}
	ours, mages := lines(says(t, "A=", "-l")), lines(says(t, "MAGEFILE_LIST=1"))
	if !slices.Equal(ours, mages) || len(ours) < 30 {
		t.Errorf("a command stands in one of %v.go, with a doc comment that begins with its name. Got\n%s\nwant\n%s",
			groups, strings.Join(ours, "\n"), strings.Join(mages, "\n"))
	}
}

// TestCommandsAreDocumented holds docs/commands.md to what the program says of each command; -update writes it.
func TestCommandsAreDocumented(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Commands\n\nWhat `mage -h COMMAND` prints. An installed `mage`, `./mage` and the compiled " +
		"runner take the same names, from any directory.\n" +
		"This page is made of the commands' doc comments in `targets/`: `go test ./targets -run Commands -update`.\n")
	example := regexp.MustCompile(`(?m)^Example: (.*)$`)
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s\n", g)
		names, _ := commands(g)
		for _, n := range names {
			help := says(t, "A=", "-h", n)
			text, usage, ok := strings.Cut(strings.TrimSpace(help), "\n\nUsage:\n\n")
			switch m := example.FindStringSubmatch(text); {
			case !ok || !strings.HasPrefix(usage, "\tmage "+n):
				t.Errorf("%s: the usage is not that of mage %s:\n%s", n, n, help)
			case m == nil || !strings.Contains(m[1]+" ", "mage "+n+" ") &&
				!strings.Contains(m[1]+" ", "mage "+strings.Split(n, ":")[0]+" "):
				t.Errorf("%s: no example of it:\n%s", n, help)
			case regexp.MustCompile(`(?m)^\t-\S+$`).MatchString(usage):
				t.Errorf("%s: a flag says nothing: give the parameter a comment\n%s", n, help)
			}
			if after := says(t, "A=", n, "-h"); after != help {
				t.Errorf("mage %s -h: got %q, want what mage -h %s says", n, after, n)
			}
			text = strings.ReplaceAll(example.ReplaceAllString(text, "Example: `$1`"), "<", "&lt;")
			usage = strings.ReplaceAll(strings.ReplaceAll(usage, "\n\nFlags:\n\n", "\n"), "\n\nAliases: ",
				"\n\tshort: mage ")
			fmt.Fprintf(&b, "\n### %s\n\n%s\n\n%s\n", n, text,
				strings.ReplaceAll("\t"+strings.TrimSpace(usage), "\t", "    "))
		}
	}
	const file = "../docs/commands.md"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != b.String() {
		t.Errorf("%s is not what the program says (%v): go test ./targets -run Commands -update", file, err)
	}
}

func TestShortFormsHaveHelpToo(t *testing.T) {
	t.Parallel()
	magefile, err := os.ReadFile("../magefile.go")
	if err != nil {
		t.Fatal(err)
	}
	for short, long := range shorts {
		if got := says(t, "A=", "-h", short); !strings.Contains(got, "mage "+long) ||
			!strings.Contains(got, "Aliases: "+short) {
			t.Errorf("-h %s: got\n%s", short, got)
		}
		group, command, _ := strings.Cut(long, ":")
		if want := fmt.Sprintf("%q: targets.%s.%s", short, strings.ToUpper(group[:1])+group[1:],
			strings.ToUpper(command[:1])+command[1:]); !strings.Contains(string(magefile), want) {
			t.Errorf("magefile.go: no %s", want)
		}
	}
	if n := strings.Count(string(magefile), ": targets."); n != len(shorts) {
		t.Errorf("magefile.go: got %d short forms, want %d", n, len(shorts))
	}
}

func TestArgumentsTakeTheFormThatMageKnows(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]struct {
		rest string
		f    flags
	}{
		"all":                  {"all", flags{}},
		"-k all -wait":         {"all", flags{Options: engine.Options{KeepGoing: true, Wait: true}}},
		"all -smoke -edit -v":  {"-v all", flags{Options: engine.Options{Smoke: true}, edit: true}},
		"bundle -no-go":        {"bundle", flags{noGo: true}},
		"plan runc":            {"plan -component=runc", flags{}},
		"plan -component=runc": {"plan -component=runc", flags{}},
		"plan":                 {"plan", flags{}},
		"smoke -kernel -json":  {"smoke -kernel=target -json", flags{}},
		"-l":                   {"", flags{list: true}},
		"runc -h":              {"-h runc", flags{}},
		"runc --help":          {"-h runc", flags{}},
		"-help":                {"-h", flags{}},
		"-h patches":           {"-h patches:list", flags{}},
		"edit runc -h -edit":   {"-h edit:open", flags{edit: true}},
		"-v smoke -h -kernel":  {"-h smoke", flags{}},
		"boot -kernel-image=x": {"boot -image=x", flags{}},
	} {
		rest, f := arguments(append([]string{"/x/.cache/drydock"}, strings.Fields(line)...))
		if got := strings.TrimSpace(strings.TrimPrefix(strings.Join(rest, " "), "mage")); got != want.rest ||
			f != want.f || rest[0] != "mage" {
			t.Errorf("%s: got %q %+v, want %q %+v", line, rest, f, want.rest, want.f)
		}
	}
}

func TestTheChangelogHasThisRelease(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`(?m)^## \[(\d[^\]]*)\]`).FindSubmatch(data); m == nil ||
		string(m[1]) != version.Drydock {
		t.Errorf("CHANGELOG.md: got %q as its first release, want %s", m, version.Drydock)
	}
	if got := says(t, "A=", "version"); got != "drydock "+version.Drydock+"\n" {
		t.Errorf("version: got %q", got)
	}
}
