// Package kernel knows what running Docker asks of a kernel: it reads the option list, with its branches by release,
// out of upstream's contrib/check-config.sh, so that it follows the version, and holds a configuration against it.
package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Option is one option of the kernel's configuration that the script looks at, for one release.
type Option struct {
	Name  string `json:"name"`  // without CONFIG_
	For   string `json:"for"`   // what needs it: "required", or the optional feature as the script heads it
	State string `json:"state"` // "y", "m" or empty for one that is missing
	// Note says where upstream's list is not followed, and why.
	Note string `json:"note,omitempty"`
}

// Required is For of what Docker cannot do without.
const Required = "required"

var (
	functionHead = regexp.MustCompile(`^\w+\(\) \{$`)
	assignment   = regexp.MustCompile(`^([a-z]\w*)=(\w+)$`)
	named        = regexp.MustCompile(`^wrap_(?:good|bad) "CONFIG_(\w+)" 'enabled'`)
	arrayHead    = regexp.MustCompile(`^([a-z]\w*)=\($`)
	arrayValue   = regexp.MustCompile(`^"\$\{(\w+)\[@\]\}"$`)
	braces       = regexp.MustCompile(`^(\w*)\{([\w,]+)\}(\w*)$`)
	releaseRE    = regexp.MustCompile(`^(\d+)\.(\d+)`)
	heading      = regexp.MustCompile(`^echo ["']\s*(?:- )?(?:\\"\$\(wrap_color ')?` +
		`([A-Za-z][\w ,()-]*)(?:' \w+\)\\")?:["']$`)
)

// level is one open "if": whether its current branch runs, whether one ran or cannot be told, and the conditions in it
// that were not understood.
type level struct {
	on, done bool
	unknown  string
}

// Options returns the options that the script checks on a kernel of that release with that configuration, in its order.
// It interprets the part of the shell language that the script uses for this; a check_flags below a condition that it
// does not understand is an error, never a guess.
func Options(script, release string, config Config) ([]Option, error) {
	m := releaseRE.FindStringSubmatch(release)
	if m == nil {
		return nil, noRelease(release)
	}
	r := &reading{config: config, vars: map[string]string{"kernelMajor": m[1], "kernelMinor": m[2]}}
	function := false
	for i, line := range strings.Split(strings.ReplaceAll(script, "\\\n", " "), "\n") {
		if function || functionHead.MatchString(line) {
			function = line != "}"
			continue
		}
		if err := r.line(strings.TrimSpace(line)); err != nil {
			return nil, fmt.Errorf("check-config.sh:%d: %w", i+1, err)
		}
	}
	if len(r.levels) > 0 || len(r.options) < 40 {
		return nil, fmt.Errorf("check-config.sh: got %d options and %d open conditions, want 40 or more and none: "+
			"its form is another than drydock knows", len(r.options), len(r.levels))
	}
	return r.options, nil
}

// reading is how far a script was read.
type reading struct {
	config         Config
	vars           map[string]string
	options        []Option
	levels         []level // that are open
	section, group string
	array          string // the variable that a list of bash's is being read into
}

// line reads one line, outside of functions.
func (r *reading) line(s string) error {
	if r.array != "" {
		if s == ")" {
			r.array = ""
		} else if !strings.HasPrefix(s, "#") {
			r.vars[r.array] += " " + s
		}
		return nil
	}
	runs, why := true, ""
	for _, l := range r.levels {
		runs = runs && l.on
		why = cmp.Or(l.unknown, why)
	}
	switch word, _, _ := strings.Cut(s, " "); word {
	case "if", "elif", "else", "fi":
		return r.branch(word, s)
	case "check_flags":
		switch {
		case r.section == "":
			return nil
		case why != "":
			return fmt.Errorf("options below a condition that is not understood: %s", why)
		case runs:
			return r.flags(s)
		}
		return nil
	}
	if runs {
		r.statement(s, why == "")
	}
	return nil
}

// branch reads a line of an if.
func (r *reading) branch(word, s string) error {
	cond := strings.TrimSuffix(strings.TrimPrefix(s, word+" "), "; then")
	eval := func() (on bool, unknown string) {
		c := condition{words: words(cond), vars: r.vars, config: r.config}
		on, err := c.eval()
		if err != nil {
			return false, cond
		}
		return on, ""
	}
	if word == "if" {
		on, unknown := eval()
		r.levels = append(r.levels, level{on, on, unknown})
		return nil
	}
	if len(r.levels) == 0 {
		return fmt.Errorf("%s without an if", word)
	}
	l := &r.levels[len(r.levels)-1]
	switch word {
	case "elif":
		on, unknown := eval()
		l.on = on && !l.done
		l.done = l.done || on
		l.unknown += unknown
	case "else":
		l.on = !l.done && l.unknown == ""
	case "fi":
		r.levels = r.levels[:len(r.levels)-1]
	}
	return nil
}

// flags reads a line that names options.
func (r *reading) flags(s string) error {
	args, _, _ := strings.Cut(strings.TrimPrefix(s, "check_flags"), "|")
	if v := arrayValue.FindStringSubmatch(strings.TrimSpace(args)); v != nil {
		args = r.vars[v[1]]
	}
	for _, a := range expand(strings.Fields(args)) {
		if v, ok := strings.CutPrefix(a, "$"); ok {
			a = r.vars[v]
		}
		if a == "" {
			return fmt.Errorf("got an option without a name in %q", s)
		}
		r.options = append(r.options, Option{Name: a, For: what(r.section, r.group), State: r.config[a]})
	}
	return nil
}

// statement reads what else is done where the script gets to: an assignment, an option by itself, or a heading.
// understood says that all conditions around it are.
func (r *reading) statement(s string, understood bool) {
	if a := arrayHead.FindStringSubmatch(s); a != nil {
		r.array, r.vars[a[1]] = a[1], ""
	} else if a := assignment.FindStringSubmatch(s); a != nil {
		r.vars[a[1]] = a[2]
	} else if n := named.FindStringSubmatch(s); n != nil && understood {
		of := what(r.section, "vsyscall of old C libraries")
		r.options = append(r.options, Option{Name: n[1], For: of, State: r.config[n[1]]})
	} else if h := heading.FindStringSubmatch(s); h != nil {
		switch {
		case strings.HasPrefix(h[1], "Generally"):
			r.section, r.group = Required, ""
		case h[1] == "Optional Features":
			r.section, r.group = "optional", ""
		case strings.HasPrefix(s, "echo '- "): // Network Drivers, Storage Drivers
			r.section, r.group = strings.ToLower(strings.TrimSuffix(h[1], "s")), ""
		case h[1] == "Limits":
			r.section = ""
		case strings.HasPrefix(h[1], "Optional ("):
			r.group += " " + strings.TrimPrefix(h[1], "Optional ")
		default:
			r.group = h[1]
		}
	}
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
		for x := range strings.SplitSeq(m[2], ",") {
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
			err = errors.New("no closing bracket")
		}
		return v, err
	case "[":
		some, all := false, true
		for {
			v, err := c.compare()
			if err != nil {
				return false, err
			}
			all = all && v
			switch w := c.next(); w {
			case "-a":
			case "-o":
				some, all = some || all, true
			case "]":
				return some || all, nil
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
