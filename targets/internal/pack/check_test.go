package pack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"drydock/targets/internal/archive"
)

func TestAFlippedBitAnywhereIsFoundAndNamed(t *testing.T) {
	if testing.Short() {
		t.Skip("takes more than a moment")
	}
	dir := t.TempDir()
	bundle := filepath.Join(dir, "bundle.tar.gz")
	noise := make([]byte, 20000)
	rand.New(rand.NewSource(1)).Read(noise)
	es := []archive.Entry{{Name: "mage", Data: []byte("#!/bin/sh\n"), Mode: 0o755},
		{Name: "vendor-sources/a.tar.gz", Data: noise, Mode: 0o644}, {Name: "z", Data: noise[:5000], Mode: 0o644}}
	if _, err := (Bundle{Entries: es, Text: func(Sums) []byte { return []byte("about\n") },
		Time: time.Unix(1, 0)}).Write(bundle); err != nil {
		t.Fatal(err)
	}
	pkg, _, _ := write(t, sample(t))
	check := map[string]func(string) []string{
		bundle: func(f string) []string {
			_, _, problems, _, err := ReadBundle(f)
			if err != nil {
				return []string{err.Error()}
			}
			return problems
		},
		pkg: func(f string) []string {
			_, problems, err := ReadPackage(f)
			if err != nil {
				return []string{err.Error()}
			}
			return problems
		},
	}
	for file, find := range check {
		if got := find(file); len(got) > 0 {
			t.Fatalf("%s: as it was made, and %q", file, got)
		}
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		bad := filepath.Join(dir, "bad.tar.gz")
		r := rand.New(rand.NewSource(2))
		try := func(what string, data []byte) {
			t.Helper()
			if err := os.WriteFile(bad, data, 0o644); err != nil {
				t.Fatal(err)
			}
			got := find(bad)
			if len(got) == 0 {
				t.Errorf("%s, %s: not found", filepath.Base(file), what)
			} else if text := strings.Join(got, "\n"); !strings.Contains(text, "bad.tar.gz") &&
				!strings.Contains(text, "sha256: got") {
				t.Errorf("%s, %s: names no file: %s", filepath.Base(file), what, text)
			}
		}
		places := 10
		if file == pkg { // it is large
			places = 2
		}
		for range places {
			at := 10 + r.Intn(len(good)-10) // gzip's header has fields that mean nothing
			data := slices.Clone(good)
			data[at] ^= 1 << r.Intn(8)
			try(fmt.Sprintf("byte %d", at), data)
			try(fmt.Sprintf("cut to %d", at), good[:at])
		}
	}
}

// rewritten unpacks an archive, has its entries changed, and packs them again.
func rewritten(t *testing.T, file string, change func(h *tar.Header, data []byte) (*tar.Header, []byte),
	more ...*tar.Header) string {
	t.Helper()
	r, err := archive.Open(file, "gz")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	tw := tar.NewWriter(zw)
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		data, rerr := io.ReadAll(tr)
		if err = errors.Join(err, rerr); err != nil {
			t.Fatal(err)
		}
		if h, data = change(h, data); h == nil {
			continue
		}
		h.Size = int64(len(data))
		if err = tw.WriteHeader(h); err == nil {
			_, err = tw.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range more {
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(t.TempDir(), "changed.tar.gz")
	if err := os.WriteFile(changed, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return changed
}

// Whatever is damaged in the compressed data, what follows it in the archive is not what is named.
func TestDamageToABundleIsNamedWhereItBegins(t *testing.T) {
	bundle := filepath.Join(t.TempDir(), "bundle.tar.gz")
	r := rand.New(rand.NewSource(3))
	var es []archive.Entry
	for _, n := range []string{"a", "b", "c", "d"} {
		text := make([]byte, 60000)
		for i := range text {
			text[i] = "0123456789abcdef"[r.Intn(16)]
		}
		es = append(es, archive.Entry{Name: n, Data: text, Mode: 0o644})
	}
	if _, err := (Bundle{Entries: es, Text: func(Sums) []byte { return nil },
		Time: time.Unix(1, 0)}).Write(bundle); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	first := func(f string) string {
		_, _, problems, _, err := ReadBundle(f)
		if err != nil || len(problems) == 0 {
			t.Fatalf("got %q, %v, want a problem", problems, err)
		}
		return problems[0]
	}
	// Each file takes a quarter of the bytes, near enough; the middle of each is well inside of it.
	for i, e := range es {
		at := len(good)*(2*i+1)/8 + 200
		bad := filepath.Join(t.TempDir(), "bad.tar.gz")
		data := slices.Clone(good)
		copy(data[at:], "XYZ")
		if err := os.WriteFile(bad, data, 0o644); err != nil {
			t.Fatal(err)
		}
		got := first(bad)
		before := "BUNDLE.txt"
		if i > 0 {
			before = es[i-1].Name
		}
		if !strings.HasPrefix(got, e.Name+": sha256: got") &&
			!strings.Contains(got, "in or after drydock/"+before+",") {
			t.Errorf("three bytes in %s: got %s", e.Name, got)
		}
		if err := os.WriteFile(bad, good[:at], 0o644); err != nil {
			t.Fatal(err)
		}
		if got := first(bad); !strings.Contains(got,
			fmt.Sprintf("cut off at byte %d, in or after drydock/%s", at, before)) {
			t.Errorf("cut in %s: got %s", e.Name, got)
		}
	}
	// An archive that is whole as such names all that is not what it was.
	_, _, problems, _, err := ReadBundle(rewritten(t, bundle, func(h *tar.Header, data []byte) (*tar.Header, []byte) {
		if h.Name == "drydock/b" || h.Name == "drydock/d" {
			data = bytes.ToUpper(data)
		}
		return h, data
	}))
	if err != nil || len(problems) != 2 || !strings.HasPrefix(problems[0], "b: sha256") ||
		!strings.HasPrefix(problems[1], "d: sha256") {
		t.Errorf("two other files: got %q, %v", problems, err)
	}
}

func TestAPackageHasNoOtherModesOwnersAndLinksThanItsManifestSays(t *testing.T) {
	if testing.Short() {
		t.Skip("takes more than a moment")
	}
	pkg, _, _ := write(t, sample(t))
	for _, c := range []struct {
		what, want string
		change     func(h *tar.Header, data []byte) (*tar.Header, []byte)
	}{
		{"as it was", "", func(h *tar.Header, data []byte) (*tar.Header, []byte) { return h, data }},
		{"setuid", "mode: got 4755, want 0644 or 0755",
			func(h *tar.Header, data []byte) (*tar.Header, []byte) { h.Mode |= 0o4000; return h, data }},
		{"writable by all", "mode: got ",
			func(h *tar.Header, data []byte) (*tar.Header, []byte) { h.Mode |= 0o022; return h, data }},
		{"another owner", "owner: got 1000:0, want 0:0",
			func(h *tar.Header, data []byte) (*tar.Header, []byte) { h.Uid = 1000; return h, data }},
		{"an owner by name", "owner: got \"mallory\"",
			func(h *tar.Header, data []byte) (*tar.Header, []byte) { h.Uname = "mallory"; return h, data }},
		{"extended attributes", "extended attributes", func(h *tar.Header, data []byte) (*tar.Header, []byte) {
			h.PAXRecords, h.Format = map[string]string{"SCHILY.xattr.security.capability": "x"}, tar.FormatPAX
			return h, data
		}},
		{"a device", "not a file of such an archive", func(h *tar.Header, data []byte) (*tar.Header, []byte) {
			if h.Name == "install.sh" {
				return &tar.Header{Name: "sda", Typeflag: tar.TypeBlock, Mode: 0o644}, nil
			}
			return h, data
		}},
		{"a directory", "not a file of such an archive", func(h *tar.Header, data []byte) (*tar.Header, []byte) {
			if h.Name == "install.sh" {
				return &tar.Header{Name: "docker/", Typeflag: tar.TypeDir, Mode: 0o755}, nil
			}
			return h, data
		}},
	} {
		_, problems, err := ReadPackage(rewritten(t, pkg, c.change))
		if got := strings.Join(problems, "; "); err != nil || !strings.Contains(got, c.want) ||
			(got == "") != (c.want == "") {
			t.Errorf("%s: got %q, %v, want %q", c.what, got, err, c.want)
		}
	}
	same := func(h *tar.Header, data []byte) (*tar.Header, []byte) { return h, data }
	link := &tar.Header{Name: "docker", Typeflag: tar.TypeSymlink, Linkname: "/usr/bin", Mode: 0o777}
	if _, problems, err := ReadPackage(rewritten(t, pkg, same, link)); err != nil || len(problems) != 1 ||
		!strings.Contains(problems[0], `a link to "/usr/bin" that manifest.json does not have`) {
		t.Errorf("a link of its own: got %q, %v", problems, err)
	}
	good, err := os.ReadFile(pkg)
	if err != nil {
		t.Fatal(err)
	}
	var more bytes.Buffer
	zw := gzip.NewWriter(&more)
	zw.Write([]byte("a second archive"))
	zw.Close()
	longer := filepath.Join(t.TempDir(), "longer.tar.gz")
	if err := os.WriteFile(longer, append(good, more.Bytes()...), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, problems, err := ReadPackage(longer); err != nil || len(problems) != 1 ||
		!strings.Contains(problems[0], "behind the last file") {
		t.Errorf("more behind the end: got %q, %v", problems, err)
	}
}

func TestADifferenceHasWhatTheOlderBundleLacks(t *testing.T) {
	dir := t.TempDir()
	entry := func(n, d string) archive.Entry { return archive.Entry{Name: n, Data: []byte(d), Mode: 0o644} }
	about := func(Sums) []byte { return []byte("about\n") }
	old, update := filepath.Join(dir, "old.tar.gz"), filepath.Join(dir, "update.tar.gz")
	if _, err := (Bundle{Entries: []archive.Entry{entry("same", "1"), entry("other", "1"), entry("gone", "1")},
		Text: about, Time: time.Unix(1, 0)}).Write(old); err != nil {
		t.Fatal(err)
	}
	sums, err := OldSums(old)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Bundle{Entries: []archive.Entry{entry("same", "1"), entry("other", "2"), entry("new", "1")}, Old: sums,
		Text: about, Time: time.Unix(1, 0)}.Write(update)
	if err != nil || b.Left != 1 {
		t.Fatalf("got %+v, %v, want one file left out", b, err)
	}
	_, _, problems, left, err := ReadBundle(update)
	if err != nil || len(problems) > 0 || !slices.Equal(left, []string{"same"}) {
		t.Errorf("got %q, %q, %v, want only \"same\" left out", problems, left, err)
	}
}

func TestADiffNamesTheCauses(t *testing.T) {
	read := func(edit func(*Contents)) *Read {
		c := sample(t)
		edit(c)
		file, _, _ := write(t, c)
		r, problems, err := ReadPackage(file)
		if err != nil || problems != nil {
			t.Fatal(problems, err)
		}
		return r
	}
	a := read(func(*Contents) {})
	if cs := Diff(a, a); len(cs) > 0 {
		t.Errorf("the same: got %v", cs)
	}
	b := read(func(c *Contents) {
		c.Components[1].Version = "0.20.0"
		c.Components[2].Patches = nil
		c.Components[2].Steps = []Step{{Command: "go build -tags seccomp"}}
		c.Features = []string{"runc: seccomp"}
		c.Toolchains = []Toolchain{{Name: "go", Version: "1.27"}}
		c.CLib.Version = "2.41"
		c.Installer[0].Data = []byte("#!/bin/sh\nexit 1\n")
	})
	var got []string
	for _, c := range Diff(a, b) {
		got = append(got, c.Kind+" "+c.Name+": "+c.Was+" > "+c.Is)
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{"component tini: 0.19.0 de40ad0 > 0.20.0 de40ad0",
		"patch runc >= 1/fix.patch: 333333333333 > ", "command runc 1:  > go build -tags seccomp",
		"feature runc: seccomp:  > there", "toolchain go:  > 1.27 ()", "module glibc: 2.36 > 2.41",
		"file install.sh: "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestASignatureIsOfOneListByOneKey(t *testing.T) {
	dir := t.TempDir()
	mine, other := filepath.Join(dir, "mine"), filepath.Join(dir, "other")
	for _, k := range []string{mine, other} {
		if _, err := NewKey(k); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := NewKey(mine); err == nil {
		t.Error("a key was overwritten")
	}
	s, err := OpenSigner(mine, "")
	if err != nil {
		t.Fatal(err)
	}
	list := []byte("list\n")
	sig := s.Sign(SumsName, list, "docker")
	if !bytes.Equal(sig, s.Sign(SumsName, list, "docker")) {
		t.Error("the same list and key gave another signature")
	}
	if err := CheckSignature(mine+".pub", SumsName, list, sig); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{"another list": CheckSignature(mine+".pub", SumsName,
		[]byte("lisT\n"), sig), "another key": CheckSignature(other+".pub", SumsName, list, sig),
		"none":         CheckSignature(mine+".pub", SumsName, list, nil),
		"a broken one": CheckSignature(mine+".pub", SumsName, list, sig[:40]),
		"no key":       CheckSignature(mine, SumsName, list, sig)} {
		if err == nil {
			t.Errorf("%s: taken for good", what)
		}
	}
	if err := os.Chmod(mine, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSigner(mine, ""); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a secret key that all can read: got %v", err)
	}
}

func FuzzParseSums(f *testing.F) {
	f.Add([]byte(strings.Repeat("a", 64) + "  name\n"))
	f.Add([]byte(strings.Repeat("0", 64) + " *../x\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		sums, err := parseSums(data)
		if err != nil {
			return
		}
		for n, s := range sums {
			if len(s) != 64 || !filepath.IsLocal(n) {
				t.Errorf("took %q %q", s, n)
			}
		}
	})
}

func FuzzReadPackage(f *testing.F) {
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "p.tar.gz")
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if r, problems, err := ReadPackage(file); r != nil && (len(problems) > 0 || err != nil) ||
			r == nil && problems == nil && err == nil {
			t.Errorf("got %v, %q, %v", r, problems, err)
		}
	})
}

func FuzzDebianLicence(f *testing.F) {
	f.Add([]byte("Files: *\nLicense: Expat or GPL-2+\n\nFiles: debian/*\nLicense: x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for id := range strings.FieldsSeq(debianLicence(data)) {
			if strings.ContainsAny(id, "\n\"<>") {
				t.Errorf("got %q", id)
			}
		}
		importPath(data)
	})
}

func TestABundlesLinksAreThoseOfItsList(t *testing.T) {
	bundle := filepath.Join(t.TempDir(), "bundle.tar.gz")
	es := []archive.Entry{{Name: "mage", Data: []byte("#!/bin/sh\n"), Mode: 0o755},
		{Name: "vendor-sources/runc/a b", Link: "c"}}
	if _, err := (Bundle{Entries: es, Text: func(Sums) []byte { return nil },
		Time: time.Unix(1, 0)}).Write(bundle); err != nil {
		t.Fatal(err)
	}
	same := func(h *tar.Header, data []byte) (*tar.Header, []byte) { return h, data }
	ofLink := func(change func(h *tar.Header) *tar.Header) func(h *tar.Header, data []byte) (*tar.Header, []byte) {
		return func(h *tar.Header, data []byte) (*tar.Header, []byte) {
			if h.Typeflag == tar.TypeSymlink {
				h = change(h)
			}
			return h, data
		}
	}
	for want, file := range map[string]string{
		"": rewritten(t, bundle, same),
		`vendor-sources/runc/a b: a link to "/etc" that BUNDLE.links does not have`: rewritten(t, bundle,
			ofLink(func(h *tar.Header) *tar.Header { h.Linkname = "/etc"; return h })),
		`vendor-sources/runc/a b: not there, want a link to "c"`: rewritten(t, bundle,
			ofLink(func(h *tar.Header) *tar.Header { return nil })),
		`zzz: a link to "/etc" that BUNDLE.links does not have`: rewritten(t, bundle, same,
			&tar.Header{Name: "drydock/zzz", Typeflag: tar.TypeSymlink, Linkname: "/etc", Mode: 0o777,
				ModTime: time.Unix(1, 0)}),
	} {
		_, _, problems, _, err := ReadBundle(file)
		if got := strings.Join(problems, "; "); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
}

func TestAPackageIsInTheOrderAndOfTheTimeThatItWasWritten(t *testing.T) {
	pkg, _, _ := write(t, sample(t))
	later := func(h *tar.Header, data []byte) (*tar.Header, []byte) {
		if h.Name == "install.sh" {
			h.ModTime = time.Unix(1, 0)
		}
		return h, data
	}
	if _, problems, err := ReadPackage(rewritten(t, pkg, later)); err != nil || len(problems) != 1 ||
		!strings.Contains(problems[0], "install.sh: time: got 1970-01-01") {
		t.Errorf("another time: got %q, %v", problems, err)
	}
	var moved *tar.Header
	last := func(h *tar.Header, data []byte) (*tar.Header, []byte) {
		if h.Name == "install.sh" {
			h.Name = "zzz.sh"
		}
		if h.Name == SumsName {
			data = bytes.Replace(data, []byte("  install.sh\n"), []byte("  zzz.sh\n"), 1)
		}
		moved = h
		return h, data
	}
	_, problems, err := ReadPackage(rewritten(t, pkg, last))
	if err != nil || len(problems) != 1 ||
		!strings.Contains(problems[0], "got it after zzz.sh, want entries in the order of their names") {
		t.Errorf("another order, the last being %s: got %q, %v", moved.Name, problems, err)
	}
}
