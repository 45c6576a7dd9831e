package archive

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func hard(name, target string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target}
}

func TestLinksAreJudgedAtTheirPlace(t *testing.T) {
	t.Parallel()
	deep := file("t/a/d/e/f/x", "x")
	for name, c := range map[string]struct {
		entries []tar.Header
		ok      bool
	}{
		"hard link to a link, higher up": {[]tar.Header{deep, link("t/a/d/e/f/l", "../../../secret"),
			hard("t/a/h", "t/a/d/e/f/l")}, false},
		"hard link to a link, in its place": {[]tar.Header{deep, link("t/a/d/e/f/l", "../x"),
			hard("t/a/d/e/f/h", "t/a/d/e/f/l")}, true},
		"hard link to a hard link to a link": {[]tar.Header{deep, link("t/a/d/e/f/l", "../../../.."),
			hard("t/a/d/e/f/h", "t/a/d/e/f/l"), hard("t/h", "t/a/d/e/f/h")}, false},
		"hard link through a link": {[]tar.Header{deep, link("t/l", "a/d/e/f"), hard("t/h", "t/l/x")},
			false},
		"hard link with dots": {[]tar.Header{deep, hard("t/h", "t/a/../../../x")}, false},
		"write through a hard link to a link": {[]tar.Header{deep, link("t/a/l", "d"), hard("t/a/h", "t/a/l"),
			file("t/a/h/x", "x")}, false},
		"directory through a link": {[]tar.Header{deep, link("t/l", "a"),
			{Name: "t/l/new", Typeflag: tar.TypeDir, Mode: 0o755}}, false},
		"chain that adds up": {[]tar.Header{deep, link("t/a/d/e/f/up", "../.."),
			link("t/a/d/e/f/out", "up/../../..")}, false},
		"chain that adds up where nothing is yet": {[]tar.Header{deep, link("t/a/d/x", "../../m"),
			link("t/a/d/out", "x/../../..")}, false},
		"chain through a link's parent": {[]tar.Header{deep, link("t/p", "a/d/e/f"),
			link("t/a/d/e/f/q", "../../../../p/../../../.."), link("t/r", "p/q/..")}, false},
		"chain that stays": {[]tar.Header{deep, link("t/p", "a/d/e/f"), link("t/q", "p/../f/x"),
			link("t/a/r", "../q")}, true},
		"a link to nothing, inside": {[]tar.Header{deep, link("t/a/l", "../none/at/all")}, true},
		"a circle":                  {[]tar.Header{deep, link("t/a/l", "m"), link("t/a/m", "l")}, false},
		"a link in place of a file that linked out": {[]tar.Header{deep, link("t/a/d/l", "../../x"),
			file("t/a/d/l", "y")}, true},
	} {
		dir := filepath.Join(t.TempDir(), "in/tree")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		err := Extract(bytes.NewReader(tarOf(t, c.entries...)), dir, 1)
		if (err == nil) != c.ok {
			t.Errorf("%s: got %v, want it taken: %v", name, err, c.ok)
		}
		if c.ok {
			if err := CheckLinks(dir); err != nil {
				t.Errorf("%s: got %v of the whole tree, want nothing", name, err)
			}
		}
	}
}

func TestTheLinksOfSeveralArchivesAreJudgedTogether(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, es := range [][]tar.Header{{file("t/a/b/x", "x"), link("t/a/b/out", "../c/d/../../..")},
		{file("t/y", "y"), link("t/a/c", "..")}} {
		if err := Extract(bytes.NewReader(tarOf(t, es...)), dir, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := CheckLinks(dir); err == nil || !strings.Contains(err.Error(), `link "a/b/out" leaves the tree`) {
		t.Errorf("got %v, want a refusal", err)
	}
	// Nor does an archive write through another's link.
	err := Extract(bytes.NewReader(tarOf(t, file("t/a/c/z", "z"))), dir, 1)
	if err == nil || !strings.Contains(err.Error(), `through the link "a/c"`) {
		t.Errorf("got %v, want a refusal", err)
	}
}
