// Package kernel knows what running Docker asks of a kernel: it reads the option list, with its branches by release, out
// of upstream's contrib/check-config.sh, so that it follows the version, and holds a configuration against it.
package kernel

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Option is one option of the kernel's configuration that the script looks at, for one release.
type Option struct {
	Name string `json:"name"` // without CONFIG_
	// For says what needs it: "required", or the optional feature as the script heads it.
	For string `json:"for"`
	// State is "y", "m" or empty for one that is missing.
	State string `json:"state"`
	// Note says where upstream's list is not followed, and why.
	Note string `json:"note,omitempty"`
}

// Required is For of what Docker cannot do without.
const Required = "required"

var (
	functionHead = regexp.MustCompile(`^\w+\(\) \{$`)
	assignment   = regexp.MustCompile(`^([a-z]\w*)=(\w+)$`)
	heading      = regexp.MustCompile(`^echo ["']\s*(?:- )?(?:\\"\$\(wrap_color ')?([A-Za-z][\w ,()-]*)(?:' \w+\)\\")?:["']$`)
	named        = regexp.MustCompile(`^wrap_(?:good|bad) "CONFIG_(\w+)" 'enabled'`)
	arrayHead    = regexp.MustCompile(`^([a-z]\w*)=\($`)
	arrayValue   = regexp.MustCompile(`^"\$\{(\w+)\[@\]\}"$`)
	braces       = regexp.MustCompile(`^(\w*)\{([\w,]+)\}(\w*)$`)
	releaseRE    = regexp.MustCompile(`^(\d+)\.(\d+)`)
)

// level is one open "if": whether its current branch runs, and whether one ran or cannot be told.
type level struct{ on, done bool }

// Options gives the options that the script checks on a kernel of that release with that configuration, in its order.
// It interprets the part of the shell language that the script uses for this; a check_flags below a condition that it
// does not understand is an error, never a guess.
func Options(script, release string, config Config) ([]Option, error) {
	m := releaseRE.FindStringSubmatch(release)
	if m == nil {
		return nil, fmt.Errorf("kernel release %q: want one that begins with numbers, such as 3.10.0-1160.el7.x86_64", release)
	}
	vars := map[string]string{"kernelMajor": m[1], "kernelMinor": m[2]}
	var (
		options  []Option
		levels   []level
		unknown  []string // conditions that were not understood, of the open levels; empty for the others
		section  string
		group    string
		function bool
		array    string // the variable that a list of bash's is being read into
	)
	lines := strings.Split(strings.ReplaceAll(script, "\\\n", " "), "\n")
	for i, line := range lines {
		if function || functionHead.MatchString(line) {
			function = line != "}"
			continue
		}
		s := strings.TrimSpace(line)
		if array != "" {
			if s == ")" {
				array = ""
			} else if !strings.HasPrefix(s, "#") {
				vars[array] += " " + s
			}
			continue
		}
		runs, why := true, ""
		for j, l := range levels {
			runs = runs && l.on
			if unknown[j] != "" {
				why = unknown[j]
			}
		}
		open := func(cond string) (bool, string) {
			c := condition{words: words(cond), vars: vars, config: config}
			v, err := c.eval()
			if err != nil {
				return false, cond
			}
			return v, ""
		}
		switch word, _, _ := strings.Cut(s, " "); word {
		case "if":
			on, what := open(strings.TrimSuffix(strings.TrimPrefix(s, "if "), "; then"))
			levels, unknown = append(levels, level{on, on}), append(unknown, what)
			continue
		case "elif", "else", "fi":
			if len(levels) == 0 {
				return nil, fmt.Errorf("check-config.sh:%d: %s without an if", i+1, word)
			}
			l := &levels[len(levels)-1]
			switch word {
			case "elif":
				on, what := open(strings.TrimSuffix(strings.TrimPrefix(s, "elif "), "; then"))
				l.on = on && !l.done
				l.done = l.done || on
				unknown[len(unknown)-1] += what
			case "else":
				l.on = !l.done && unknown[len(unknown)-1] == ""
			case "fi":
				levels, unknown = levels[:len(levels)-1], unknown[:len(unknown)-1]
			}
			continue
		case "check_flags":
			if section == "" {
				continue
			}
			if why != "" {
				return nil, fmt.Errorf("check-config.sh:%d: options below a condition that is not understood: %s", i+1, why)
			}
			if !runs {
				continue
			}
			args, _, _ := strings.Cut(strings.TrimPrefix(s, "check_flags"), "|")
			if v := arrayValue.FindStringSubmatch(strings.TrimSpace(args)); v != nil {
				args = vars[v[1]]
			}
			for _, a := range expand(strings.Fields(args)) {
				if v, ok := strings.CutPrefix(a, "$"); ok {
					a = vars[v]
				}
				if a == "" {
					return nil, fmt.Errorf("check-config.sh:%d: got an option without a name in %q", i+1, s)
				}
				options = append(options, Option{Name: a, For: what(section, group), State: config[a]})
			}
			continue
		}
		if !runs {
			continue
		}
		if a := arrayHead.FindStringSubmatch(s); a != nil {
			array, vars[a[1]] = a[1], ""
		} else if a := assignment.FindStringSubmatch(s); a != nil {
			vars[a[1]] = a[2]
		} else if n := named.FindStringSubmatch(s); n != nil && why == "" {
			options = append(options, Option{Name: n[1], For: what(section, "vsyscall of old C libraries"), State: config[n[1]]})
		} else if h := heading.FindStringSubmatch(s); h != nil {
			switch {
			case strings.HasPrefix(h[1], "Generally"):
				section, group = Required, ""
			case h[1] == "Optional Features":
				section, group = "optional", ""
			case strings.HasPrefix(s, "echo '- "): // Network Drivers, Storage Drivers
				section, group = strings.ToLower(strings.TrimSuffix(h[1], "s")), ""
			case h[1] == "Limits":
				section = ""
			case strings.HasPrefix(h[1], "Optional ("):
				group += " " + strings.TrimPrefix(h[1], "Optional ")
			default:
				group = h[1]
			}
		}
	}
	if len(levels) > 0 || len(options) < 40 {
		return nil, fmt.Errorf("check-config.sh: got %d options and %d open conditions, want 40 or more and none: its form is another than drydock knows", len(options), len(levels))
	}
	return options, nil
}

// expand does what bash does with braces: A_{B,C} are A_B and A_C.
func expand(words []string) []string {
	var out []string
	for _, w := range words {
		m := braces.FindStringSubmatch(w)
		if m == nil {
			out = append(out, w)
			continue
		}
		for _, x := range strings.Split(m[2], ",") {
			out = append(out, m[1]+x+m[3])
		}
	}
	return out
}

func what(section, group string) string { return strings.TrimSpace(section + " " + group) }

// words cuts a condition into its words, with brackets as words of their own.
func words(s string) []string {
	for _, b := range []string{"(", ")", "[", "]", ";", "{", "}"} {
		s = strings.ReplaceAll(s, b, " "+b+" ")
	}
	return strings.Fields(strings.ReplaceAll(s, `"`, ""))
}

// condition evaluates "[ a -lt b ] || ([ … ] && is_set X)": in the shell, && and || bind alike, from the left.
type condition struct {
	words  []string
	vars   map[string]string
	config Config
}

func (c *condition) next() string {
	if len(c.words) == 0 {
		return ""
	}
	w := c.words[0]
	c.words = c.words[1:]
	return w
}

func (c *condition) eval() (bool, error) {
	v, err := c.list()
	if err == nil && len(c.words) > 0 {
		err = fmt.Errorf("not understood from %q on", c.words[0])
	}
	return v, err
}

func (c *condition) list() (bool, error) {
	v, err := c.one()
	for err == nil && len(c.words) > 0 && (c.words[0] == "&&" || c.words[0] == "||") {
		op := c.next()
		var w bool
		w, err = c.one()
		if op == "&&" {
			v = v && w
		} else {
			v = v || w
		}
	}
	return v, err
}

func (c *condition) one() (bool, error) {
	switch w := c.next(); w {
	case "!":
		v, err := c.one()
		return !v, err
	case "(":
		v, err := c.list()
		if err == nil && c.next() != ")" {
			err = fmt.Errorf("no closing bracket")
		}
		return v, err
	case "[":
		any, all := false, true
		for {
			v, err := c.compare()
			if err != nil {
				return false, err
			}
			all = all && v
			switch w := c.next(); w {
			case "-a":
			case "-o":
				any, all = any || all, true
			case "]":
				return any || all, nil
			default:
				return false, fmt.Errorf("not understood: %q", w)
			}
		}
	case "is_set":
		return c.config[c.next()] != "", nil
	default:
		return false, fmt.Errorf("not understood: %q", w)
	}
}

// compare is one comparison of numbers.
func (c *condition) compare() (bool, error) {
	value := func(w string) (int, error) {
		if v, ok := strings.CutPrefix(w, "$"); ok {
			w = c.vars[v]
		}
		return strconv.Atoi(w)
	}
	a, err := value(c.next())
	op := c.next()
	b, err2 := value(c.next())
	if err != nil || err2 != nil {
		return false, fmt.Errorf("not two numbers around %q", op)
	}
	v, ok := map[string]bool{"-lt": a < b, "-le": a <= b, "-gt": a > b, "-ge": a >= b, "-eq": a == b, "-ne": a != b}[op]
	if !ok {
		return false, fmt.Errorf("not understood: %q", op)
	}
	return v, nil
}
