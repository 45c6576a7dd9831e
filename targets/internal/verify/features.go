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
	// Ask are the arguments with which the file says it of itself, and Read takes its answer apart, as "kind name". One
	// that does not know the command is too old for it.
	Ask  []string
	Read func(answer string) ([]string, error)
}

// Name is a pattern whose group is a feature of that kind.
type Name struct {
	Kind    string
	Pattern *regexp.Regexp
}

// Features lists what is built into those files of a stack that are in dir, as "file: kind name", sorted. It runs those
// that say it of themselves, by an emulator where one is named. It fails where dir or a file cannot be read.
func Features(ctx context.Context, dir, emulator string, files []string, tells []Tells) ([]string, error) {
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
				for tag := range strings.SplitSeq(s.Value, ",") {
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
		answer, err := says(ctx, emulator, filepath.Join(dir, t.File), t.Ask)
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

// Parity is how the features of files compare with the recorded ones.
type Parity struct {
	Lost, Gained []string
	// Left is what upstream's build has and this one leaves out on purpose: recorded lines that begin with "-".
	Left []string
	// Others are recorded of other files, such as those of extras that are not made.
	Others []string
}

// ParityOf compares the features that files have with a record.
func ParityOf(recorded string, have, files []string) (p Parity) {
	known := map[string]bool{}
	for line := range strings.Lines(recorded) {
		line = strings.TrimSpace(line)
		file, _, _ := strings.Cut(line, ": ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case strings.HasPrefix(line, "-"):
			p.Left = append(p.Left, strings.TrimSpace(line[1:]))
			continue
		case !slices.Contains(files, file):
			p.Others = append(p.Others, line)
		case !slices.Contains(have, line):
			p.Lost = append(p.Lost, line)
		}
		known[line] = true
	}
	for _, h := range have {
		if !known[h] {
			p.Gained = append(p.Gained, h)
		}
	}
	return p
}
