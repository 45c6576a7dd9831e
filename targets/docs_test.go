package targets

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading      = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

// pages are README and all pages of docs/, by path from here.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	add := func(p string) {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		all[p] = string(data)
	}
	tops, err := filepath.Glob("../*.md")
	if err != nil || len(tops) == 0 {
		t.Fatal(tops, err)
	}
	for _, p := range append(tops, "../patches/README.md") {
		add(p)
	}
	err = filepath.WalkDir("../docs", func(p string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(p) == ".md" {
			add(p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// anchor is what a heading is linked by.
func anchor(heading string) string {
	kept := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_':
			return r
		case r == ' ':
			return '-'
		}
		return -1
	}, strings.ToLower(heading))
	return "#" + kept
}

func TestEveryLinkOfThePagesLeadsSomewhere(t *testing.T) {
	all := pages(t)
	for page, text := range all {
		for _, m := range markdownLink.FindAllStringSubmatch(text, -1) {
			link := m[1]
			if strings.Contains(link, "://") {
				continue
			}
			file, part, _ := strings.Cut(link, "#")
			to := page
			if file != "" {
				to = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: link to %s: %v", page, link, err)
				continue
			}
			found := part == ""
			for _, h := range heading.FindAllStringSubmatch(all[to], -1) {
				found = found || anchor(h[1]) == "#"+part
			}
			if !found {
				t.Errorf("%s: link to %s: no such heading there", page, link)
			}
		}
	}
}

func TestEveryPageIsInTheIndex(t *testing.T) {
	all := pages(t)
	index := all["../docs/index.md"]
	for page := range all {
		rel, err := filepath.Rel("../docs", page)
		if err != nil || strings.HasPrefix(rel, "..") || rel == "index.md" || strings.HasPrefix(rel, "decisions/") {
			continue
		}
		if !strings.Contains(index, "]("+rel+")") {
			t.Errorf("docs/index.md does not name %s", rel)
		}
	}
}

func TestREADMEIsOnePage(t *testing.T) {
	text := pages(t)["../README.md"]
	if lines, words := strings.Count(text, "\n"), len(strings.Fields(text)); lines > 150 || words > 900 {
		t.Errorf("README.md: got %d lines and %d words, want at most 150 and 900: the rest belongs in docs/",
			lines, words)
	}
}
