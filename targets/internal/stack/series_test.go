package stack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatIsWantedOfASeriesIsCheckedAtItsLine(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(shipped(), "docker-20.10.toml"))
	if err != nil {
		t.Fatal(err)
	}
	const series = "series = \"debian/patches/series\"\n"
	before, after, ok := strings.Cut(string(data), series)
	if !ok {
		t.Fatal("no series in the stack")
	}
	for added, want := range map[string]string{
		series + "only = [\"a.patch\"]\nseries_dirs = { \"engine\" = \".\", \".\" = \"x\", \"cli\" = \"\" }\n": "",
		series + "only = [\"a.patch\"]\nskip = [\"b.patch\"]\n": "origin.only: " +
			"got skip beside it, want one of the two",
		"only = [\"a.patch\"]\n": "origin.only: got patches to apply, " +
			"want a series that they are in",
		"series_dirs = { \"engine\" = \".\" }\n":        "origin.series_dirs: got directories, want a series",
		series + "series_dirs = { \"../e\" = \".\" }\n": "origin.series_dirs: got \"../e\" = \".\"",
		series + "series_dirs = { \"e\" = \"/etc\" }\n": "origin.series_dirs: got \"e\" = \"/etc\"",
		series + "series_dirs = { \"e/\" = \".\" }\n":   "origin.series_dirs: got \"e/\" = \".\"",
	} {
		ps := Parse([]byte(before+added+after), "x.toml", blank())
		switch line := strings.Count(before, "\n") + 1; {
		case want == "" && ps != nil:
			t.Errorf("%s: got %v", added, ps)
		case want != "" && (len(ps) != 1 || !strings.Contains(ps[0].Text, want) || ps[0].Line < line ||
			ps[0].Line > line+1):
			t.Errorf("%s: got %v, want one problem behind line %d: %s", added, ps, line, want)
		}
	}
}

func TestTheIDOfASeriesIsOfAllThatChangesWhatIsApplied(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, o := range []Origin{
		{Series: "s"}, {Series: "s", Skip: []string{"a"}}, {Series: "s", Only: []string{"a"}},
		{Series: "s", Only: []string{"a", "b"}},
		{Series: "s", SeriesDirs: map[string]string{"e": "."}}, {Series: "s", SeriesDirs: map[string]string{"e": ""}},
	} {
		if id := o.SeriesID(); seen[id] {
			t.Errorf("%+v: got %q a second time", o, id)
		} else {
			seen[id] = true
		}
	}
	if !seen["s"] || !seen["s without a"] {
		t.Errorf("got %v, want the IDs of earlier builds among them", seen)
	}
}
