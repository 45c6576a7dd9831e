// Package targets names drydock's commands. Every exported function is one, and the file in which it stands is its
// group (components.go, made of the components' rows, is of the first); the work is in the rooms below. Its doc comment
// is what "mage -h" prints of it, its first sentence what "mage -l" does; docs/commands.md is made of that: go test
// ./targets -run Commands -update
package targets

//mage:multiline

import (
	"embed"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"drydock/targets/internal/engine"
	"drydock/targets/internal/version"
)

//go:embed build.go components.go look.go prove.go ship.go change.go
var sources embed.FS

// groups are the commands' groups, in the order of the list.
var groups = []string{"build", "look", "prove", "ship", "change"}

// shorts are short forms of commands; magefile.go has them as mage wants them.
var shorts = map[string]string{"patches": "patches:list", "edit": "edit:open", "bundle": "bundle:make",
	"cache": "cache:list"}

// flags are those that may stand anywhere on the command line. They are taken from it before mage reads it: mage 1.17.2
// makes a program that does not compile when its default target has flags, and calls one with a hyphen by another name.
type flags struct {
	engine.Options
	edit, noGo, list bool
}

var given = func() (f flags) {
	os.Args, f = arguments(os.Args)
	return f
}()

func init() {
	if given.edit { // of every command, as EDIT=1
		os.Setenv("EDIT", "1")
	}
	if given.list {
		fmt.Print(listed())
		os.Exit(0)
	}
}

// arguments takes drydock's own flags from a command line, and gives the rest the form that mage knows.
func arguments(args []string) (rest []string, f flags) {
	help, verbose := false, false
	own := map[string]*bool{"-k": &f.KeepGoing, "-wait": &f.Wait, "-smoke": &f.Smoke, "-push": &f.Push,
		"-edit": &f.edit, "-no-go": &f.noGo, "-v": &verbose, "-l": &f.list, "-h": &help, "-help": &help,
		"--help": &help}
	rest = []string{"mage"}
	for _, arg := range args[1:] {
		switch flag := own[arg]; {
		case flag != nil:
			*flag = true
		case arg == "-kernel": // the oldest that the stack is for: mage wants a value with a flag that can have one
			rest = append(rest, "-kernel=target")
		case strings.HasPrefix(arg, "-kernel-image="):
			rest = append(rest, strings.Replace(arg, "kernel-", "", 1))
		// never two commands: "plan runc" builds nothing
		case rest[len(rest)-1] == "plan" && !strings.HasPrefix(arg, "-"):
			rest = append(rest, "-component="+arg)
		default:
			rest = append(rest, arg)
		}
	}
	if verbose {
		rest = slices.Insert(rest, 1, "-v")
	}
	if !help {
		return rest, f
	}
	rest = slices.DeleteFunc(rest[1:], func(arg string) bool { return strings.HasPrefix(arg, "-") })
	if len(rest) > 0 {
		if long := shorts[rest[0]]; long != "" {
			rest[0] = long
		}
		rest = rest[:1] // of "mage -h edit runc" it is edit
	}
	return append([]string{"mage", "-h"}, rest...), f
}

// documented finds the doc comments of exported functions.
var documented = regexp.MustCompile(`(?m)^((?://.*\n)+)func (?:\((\w+)\) )?([A-Z]\w*)\(`)

// commands returns the names of a group's commands, in the order of its file, and the first sentences of their help.
func commands(group string) (names []string, what map[string]string) {
	data, err := sources.ReadFile(group + ".go")
	if group == groups[0] && err == nil {
		var more []byte
		more, err = sources.ReadFile("components.go")
		data = append(data, more...)
	}
	if err != nil {
		panic(err)
	}
	what = map[string]string{}
	for _, m := range documented.FindAllStringSubmatch(string(data), -1) {
		name := strings.ToLower(strings.TrimPrefix(m[2]+":"+m[3], ":"))
		text := strings.Join(strings.Fields(strings.ReplaceAll(m[1], "//", " ")), " ")
		text, _, _ = strings.Cut(strings.TrimPrefix(text, m[3]+" "), ". ")
		names, what[name] = append(names, name), strings.TrimSuffix(text, ".")
	}
	return names, what
}

// listed is the list of commands by group; mage's own, with MAGEFILE_LIST=1, is sorted by name.
func listed() string {
	var b strings.Builder
	fmt.Fprintf(&b, "drydock %s. Commands; \"mage -h COMMAND\" shows the flags of one, and an example:\n",
		version.Drydock)
	for _, g := range groups {
		fmt.Fprintf(&b, "\n%s\n", g)
		names, what := commands(g)
		for _, n := range names {
			fmt.Fprintf(&b, "  %-15s %s\n", n, what[n])
		}
	}
	return b.String()
}

// in returns the value of an optional flag; empty, or false, without it.
func in[T any](flag *T) (value T) {
	if flag != nil {
		value = *flag
	}
	return value
}
