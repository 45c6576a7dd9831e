package verify

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Tells is how a file of a stack says what is built into it.
type Tells struct {
	File string
	// Names are how it shows in a Go file: in the table of function names, which stays when all symbols are stripped.
	Names []Name
	// Ask are the arguments with which the file says it of itself, and Read takes its answer apart, as "kind name". One that
	// does not know the command is too old for it.
	Ask  []string
	Read func(answer string) ([]string, error)
}

// Name is a pattern whose group is a feature of that kind.
type Name struct {
	Kind    string
	Pattern *regexp.Regexp
}

// Features lists what is built into those files of a stack that are in dir, as "file: kind name", sorted. It runs those that
// say it of themselves.
func Features(ctx context.Context, dir string, files []string, tells []Tells) ([]string, error) {
	var all []string
	add := func(file, feature string) { all = append(all, file+": "+strings.TrimSpace(feature)) }
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	for _, file := range files {
		info, err := buildinfo.ReadFile(filepath.Join(dir, file))
		if err != nil {
			continue // no Go in it
		}
		for _, s := range info.Settings {
			if s.Key == "-tags" {
				for _, tag := range strings.Split(s.Value, ",") {
					add(file, "build tag "+tag)
				}
			}
		}
		i := slices.IndexFunc(tells, func(t Tells) bool { return t.File == file && t.Names != nil })
		if i < 0 {
			continue
		}
		err = windows(filepath.Join(dir, file), func(data []byte, _ int64) bool {
			for _, n := range tells[i].Names {
				for _, m := range n.Pattern.FindAllSubmatch(data, -1) {
					add(file, n.Kind+" "+string(m[1]))
				}
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	for _, t := range tells {
		if t.Read == nil {
			continue
		}
		answer, err := says(ctx, filepath.Join(dir, t.File), t.Ask)
		if err != nil {
			continue
		}
		told, err := t.Read(answer)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", t.File, strings.Join(t.Ask, " "), err)
		}
		for _, feature := range told {
			add(t.File, feature)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// Parity holds the features that are there against the recorded ones. A recorded line that begins with "-" names what
// upstream's build has and this one leaves out on purpose.
func Parity(recorded string, have []string) (lost, gained, left []string) {
	known := map[string]bool{}
	for line := range strings.Lines(recorded) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "-"):
			left = append(left, strings.TrimSpace(line[1:]))
		default:
			known[line] = true
			if !slices.Contains(have, line) {
				lost = append(lost, line)
			}
		}
	}
	for _, h := range have {
		if !known[h] {
			gained = append(gained, h)
		}
	}
	return lost, gained, left
}
