package origins

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drydock/targets/internal/archive"
)

func TestSettingsNameThePlaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for set, want := range map[string]string{
		"SOURCE_MIRROR=http://h.example/x/":            "site http://h.example/x",
		"SOURCE_MIRROR=" + dir:                         "site file://" + dir,
		"DEBIAN_SNAPSHOT=https://s.example/":           "snapshot https://s.example",
		"DEBIAN_SECURITY_MIRROR=http://s.example/d":    "security http://s.example/d",
		"DEBIAN_MIRROR=http://m.example/debian":        "main http://m.example/debian",
		"SOURCE_MIRROR=ftp://u:secret@h.example":       "SOURCE_MIRROR: got ftp://u:***@h.example, want an address",
		"SOURCE_MIRROR=" + dir + "/none":               "SOURCE_MIRROR: got " + dir + "/none",
		"DEBIAN_SNAPSHOT=file:///x":                    "DEBIAN_SNAPSHOT: got file:///x",
		"DEBIAN_SNAPSHOT=" + dir:                       "DEBIAN_SNAPSHOT: got " + dir,
		"DEBIAN_MIRROR=" + dir:                         "DEBIAN_MIRROR: got " + dir,
		"DEBIAN_SECURITY_MIRROR=http://u:secret/x@h/y": "DEBIAN_SECURITY_MIRROR: got http://u:***@h/y",
	} {
		name, value, _ := strings.Cut(set, "=")
		p, err := Named(func(n string) string { return map[string]string{name: value}[n] })
		got := "site " + p.Site + "\nsnapshot " + p.Snapshot + "\nmain " + strings.Join(p.Mirrors.Main, " ") +
			"\nsecurity " + strings.Join(p.Mirrors.Security, " ")
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got+"\n", want) || strings.Contains(got, "secret") {
			t.Errorf("%s: got %s, want %s", set, got, want)
		}
	}
}

func TestAMirrorIsFilledByLinksAndNothingElseIsTouched(t *testing.T) {
	t.Parallel()
	from, dir := t.TempDir(), filepath.Join(t.TempDir(), "new/mirror")
	files := []string{filepath.Join(from, "a"), filepath.Join(from, "b")}
	put(t, files[0], "one")
	put(t, files[1]+".real", "two")
	if err := os.Symlink(files[1]+".real", files[1]); err != nil {
		t.Fatal(err)
	}
	fill := func(new int) {
		t.Helper()
		did, err := Fill(dir, files, archive.SHA256File)
		if err != nil || did.New != new || did.Files != 2 || did.Size != 6 {
			t.Fatalf("got %+v %v, want 2 files, %d of them new", did, err, new)
		}
		for _, f := range files {
			sum, _ := archive.SHA256File(f)
			for _, to := range []string{filepath.Join(dir, filepath.Base(f)), filepath.Join(dir, "sha256", sum)} {
				got, err := archive.SHA256File(to)
				if fi, lerr := os.Lstat(to); err != nil || got != sum || lerr != nil || !fi.Mode().IsRegular() {
					t.Errorf("%s: got %s %v, want the file %s", to, got, err, sum)
				}
			}
		}
	}
	fill(2)
	fill(0)
	a, _ := os.Stat(files[0])
	b, _ := os.Stat(filepath.Join(dir, "a"))
	if !os.SameFile(a, b) {
		t.Error("got a copy, want a link")
	}
	put(t, filepath.Join(dir, "mine"), "mine")
	put(t, filepath.Join(dir, ".a.new"), "of a run that was killed")
	os.Remove(filepath.Join(dir, "a"))
	fill(1)
	os.Remove(filepath.Join(dir, "b"))
	put(t, filepath.Join(dir, "b"), "another")
	fill(1)
	os.Remove(filepath.Join(dir, "b"))
	if err := os.Symlink("mine", filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	fill(1)
	// A copy that is right stays; nothing is written through a link.
	os.Remove(filepath.Join(dir, "a"))
	put(t, filepath.Join(dir, "a"), "one")
	fill(0)
	var names []string
	es, _ := os.ReadDir(dir)
	for _, e := range es {
		names = append(names, e.Name())
	}
	if data, _ := os.ReadFile(filepath.Join(dir, "mine")); string(data) != "mine" ||
		!slices.Equal(names, []string{"a", "b", "mine", "sha256"}) {
		t.Errorf("got %q in mine, and %q", data, names)
	}
}
