package host

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/run"
)

// Libc is the static C library that a compiler links with.
type Libc struct {
	Name    string // "glibc"
	Version string
	Build   string   // what it calls itself, with its distribution's release
	Texts   []string // its notices on this machine; none is possible
}

// banner is how the GNU C library calls itself in its libc.a: the build, the version. (musl's does not say what it is;
// a stack that wants it brings it along.)
var banner = regexp.MustCompile(`GNU C Library (?:\(([^)\n]*)\) )?(?:stable|development) release version ([\d.]*\d)`)

// notices are where distributions put a C library's licence texts, below /usr/share; the first that has some counts.
var notices = []string{"doc/libc6-dev/copyright", "doc/libc6/copyright", "licenses/glibc*/*", "doc/glibc*/LICENSES",
	"doc/glibc*/COPYING*"}

// LibcOf finds out which C library a compiler links with. It returns an error where there is none, or not glibc.
func LibcOf(ctx context.Context, cc string) (*Libc, error) {
	f := &Facts{Asked: FromEnv("", "")}
	out, err := run.Cmd{Argv: []string{cc, "-print-file-name=libc.a"}, Env: f.env(), Dir: "/"}.Output(ctx)
	if err != nil {
		return nil, err
	}
	return libcIn(strings.TrimSpace(out))
}

func libcIn(file string) (*Libc, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	m := banner.FindSubmatch(data)
	if m == nil {
		return nil, fmt.Errorf("%s: does not say which C library it is: want glibc's banner; "+
			"a stack may bring musl instead", file)
	}
	l := &Libc{Name: "glibc", Version: string(m[2]), Build: cmp.Or(string(m[1]), "GNU C Library")}
	for _, n := range notices {
		if l.Texts = archive.Glob("/usr/share", n); l.Texts != nil {
			break
		}
	}
	return l, nil
}
