package stack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func shipped() string { return filepath.Join("..", "..", "..", "vendor-sources") }

func TestShippedStacksLoadAndEveryComponentHasAPinnedOrigin(t *testing.T) {
	names, err := List(shipped())
	if err != nil || len(names) < 2 {
		t.Fatalf("got %v %v, want at least two stacks", names, err)
	}
	for _, n := range names {
		s, err := Load(shipped(), n, Shipped)
		if err != nil {
			t.Errorf("%s: %v", n, err)
			continue
		}
		if s.Toolchain != "" && s.Lock.GoFor(s.Toolchain) == nil {
			t.Errorf("%s: the lock has no sum of Go %s, which fetch brings", n, s.Toolchain)
		}
		for _, c := range s.Parts() {
			pinned := s.Component[c].Checkout != "" // its user's own
			for _, o := range s.Component[c].Origin {
				pinned = pinned || s.Lock.FileFor(c, o.Name()) != nil
			}
			if !pinned {
				t.Errorf("%s: %s: no origin has a digest in the lock", n, c)
			}
		}
	}
}

func TestEveryProblemOfAStackFileIsReportedAtItsLine(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(shipped(), "docker-26.1.toml"))
	if err != nil {
		t.Fatal(err)
	}
	edits := []struct{ old, new, want string }{
		{`version = "1.3.6"`, `version = "one"`, "component.runc.version: got \"one\""},
		{`go = ">= 1.26.11"`, `go = ">= 1.26.11, < 1.20"`, "no release can meet"},
		{`kind = "url"`, `kind = "ftp"`, "kind: got \"ftp\""},
		{`commit = "411e817"`, `commit = "latest"`, "component.dockerd.commit: got \"latest\""},
		{`kernel = "3.10"`, "kernel = \"\"\nstorage = \"floppy\"", "target.kernel: missing"},
		{`arch = "amd64"`, `arch = "amd64"`, "target.storage: got \"floppy\", want one of overlay2"},
	}
	text := string(data)
	for _, e := range edits {
		if !strings.Contains(text, e.old) {
			t.Fatalf("%q is not in the file", e.old)
		}
		text = strings.Replace(text, e.old, e.new, 1)
	}
	ps := Parse([]byte(text), "x.toml", blank())
	got := ps.Error()
	for _, e := range edits {
		if !strings.Contains(got, e.want) {
			t.Errorf("got no %q in:\n%s", e.want, got)
		}
	}
	lines := strings.Split(text, "\n")
	for _, p := range ps {
		if p.Line == 0 || p.Line > len(lines) {
			t.Errorf("%s: no line", p.Text)
			continue
		}
		key := p.Text[:strings.IndexByte(p.Text, ':')]
		key = key[strings.LastIndexByte(key, '.')+1:]
		if l := lines[p.Line-1]; !strings.Contains(l, key) && !strings.Contains(l, "kind") {
			t.Errorf("line %d is %q, want the one of %s", p.Line, l, key)
		}
	}
}

// A stack that asks for no extras is made of what it was made of before it could name any.
func TestExtrasArePartsOnlyWhereTheyAreAskedFor(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(shipped(), "docker-26.1.toml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ extras, want string }{
		{"", "libseccomp tini runc containerd dockerd docker-cli"},
		{"extras = [\"iptables\"]\n", "libseccomp tini runc containerd dockerd docker-cli iptables"},
		{"extras = [\"dbus\", \"iptables\"]\n",
			"libseccomp tini runc containerd dockerd docker-cli iptables expat dbus"},
	} {
		s := blank()
		if ps := Parse([]byte(c.extras+string(data)), "x.toml", s); ps != nil {
			t.Errorf("%q: %v", c.extras, ps)
		}
		s.Libc = LibcHost
		if got := strings.Join(s.Parts(), " "); got != c.want {
			t.Errorf("%q: got parts %q, want %q", c.extras, got, c.want)
		}
	}
	for extras, want := range map[string]string{
		"extras = [\"systemd\"]\n": "x.toml:1: extras: got \"systemd\", want some of buildx, compose, dbus, iptables",
		"extras = [\"dbus\"]\n":    "x.toml:1: extras: \"dbus\": the stack has no [component.expat]",
	} {
		text := extras + strings.ReplaceAll(string(data), "component.expat", "component.other")
		if got := Parse([]byte(text), "x.toml", blank()).Error(); !strings.Contains(got, want) {
			t.Errorf("%q: got %s, want %q", extras, got, want)
		}
	}
}

func TestUnknownKeysAreAllNamedWithTheirLines(t *testing.T) {
	ps := Parse([]byte("version = \"1.2.3\"\nversoin = 1\n[target]\nkernal = \"3.10\"\n"), "x.toml", blank())
	got := ps.Error()
	for _, want := range []string{"x.toml:2: unknown key \"versoin\"", "x.toml:4: unknown key \"target.kernal\""} {
		if !strings.Contains(got, want) {
			t.Errorf("got no %q in:\n%s", want, got)
		}
	}
}

func TestALockWithoutADigestIsRefusedAtItsLine(t *testing.T) {
	ps := ParseLock([]byte("[[file]]\ncomponent = \"runc\"\nname = \"r.tar.gz\"\nsize = 3\n\n[[vendor]]\n"+
		"component = \"runc\"\nname = \"../x\"\nsource = \"12\"\ntar_sha256 = \"zz\"\n"), "x.lock", &Lock{})
	got := ps.Error()
	for _, want := range []string{"x.lock:1: file r.tar.gz: sha256: missing",
		"x.lock:10: vendor ../x: tar_sha256: got \"zz\"", "x.lock:9: ", "x.lock:8: vendor: name"} {
		if !strings.Contains(got, want) {
			t.Errorf("got no %q in:\n%s", want, got)
		}
	}
}

func TestALockSaysMoreOfAFileWhereThatIsKnown(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	head := "# Every byte that enters this stack, by digest. Written by \"mage fetch -record\"; do not edit.\n"
	file := "\n[[file]]\ncomponent = \"runc\"\nname = \"x.tar.gz\"\nsha256 = \"" + a + "\"\n"
	vendor := "\n[[vendor]]\ncomponent = \"runc\"\nname = \"v.tar.gz\"\nsource = \"" + a + "\"\nalso = [\n  \"" + b +
		"\",\n]\ntar_sha256 = \"" + a + "\"\n"
	all := head + file + "size = 3\nsha1 = \"" + a[:40] + "\"\npublishers = 0\n" + vendor
	for _, text := range []string{head + file, head + file + "publishers = 2\n", all} {
		l := &Lock{}
		if ps := ParseLock([]byte(text), "x.lock", l); len(ps) > 0 {
			t.Errorf("%s\ngot %v", text, ps)
		}
		if got := string(l.Encode()); got != text {
			t.Errorf("got\n%s\nwant\n%s", got, text)
		}
		if got, want := l.File[0].OnlyComputed(), strings.Contains(text, "publishers = 0"); got != want {
			t.Errorf("%s\nonly computed: got %v, want %v", text, got, want)
		}
	}
	for text, want := range map[string]string{
		file + "size = 0\n":                "x.lock:6: file x.tar.gz: size: got 0",
		file + "sha1 = \"12\"\n":           "x.lock:6: file x.tar.gz: sha1: got \"12\", want 40 hex digits",
		file + "publishers = -1\n":         "x.lock:6: file x.tar.gz: publishers: got -1",
		strings.Replace(vendor, b, "b", 1): "x.lock:6: vendor v.tar.gz: also: got \"b\"",
		vendor + strings.NewReplacer(a, strings.Repeat("c", 64), "v.tar", "w.tar").Replace(vendor): "vendor tree of " +
			"runc for " + b + ": got w.tar.gz here and v.tar.gz",
	} {
		if ps := ParseLock([]byte(text), "x.lock", &Lock{}); !strings.Contains(ps.Error(), want) {
			t.Errorf("%s\ngot %v, want %q", text, ps, want)
		}
	}
}

func TestALockThatSaysTwoThingsOfOneIsRefusedWithBothLines(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	file := func(component, sha string, size int) string {
		return fmt.Sprintf("[[file]]\ncomponent = %q\nname = \"x.tar.gz\"\nsha256 = %q\nsize = %d\n",
			component, sha, size)
	}
	vendor := func(name, source, sha string) string {
		return fmt.Sprintf("[[vendor]]\ncomponent = \"runc\"\nname = %q\nsource = %q\ntar_sha256 = %q\n",
			name, source, sha)
	}
	toolchain := func(h1 string) string {
		return fmt.Sprintf("[[toolchain]]\nversion = \"1.2.3\"\nh1 = \"h1:%s\"\n", h1)
	}
	checkout := func(sha string) string {
		return fmt.Sprintf("[[checkout]]\ncomponent = \"runc\"\nname = \"runc\"\nsha256 = %q\n", sha)
	}
	for lock, want := range map[string]string{
		file("runc", a, 1) + file("runc", a, 1): "",
		file("runc", a, 1) + file("tini", a, 1): "",
		file("runc", a, 1) + file("runc", b, 1): "x.lock:9: file x.tar.gz: got " + b + " here and " + a +
			" in line 4: one of them is wrong",
		file("dockerd", a, 1) + file("docker-cli", b, 1): "x.lock:9: file x.tar.gz: got " + b,
		file("runc", a, 1) + file("runc", a, 2): "x.lock:10: size of file x.tar.gz: " +
			"got 2 here and 1 in line 5",
		vendor("v.tar.gz", a, a) + vendor("w.tar.gz", b, b): "",
		vendor("v.tar.gz", a, a) + vendor("v.tar.gz", b, b): "x.lock:10: vendor v.tar.gz: got " + b +
			" here and " + a + " in line 5",
		vendor("v.tar.gz", a, a) + vendor("w.tar.gz", a, b): "x.lock:8: vendor tree of runc for " + a +
			": got w.tar.gz here and v.tar.gz in line 3",
		toolchain("a") + toolchain("b"): "x.lock:6: toolchain 1.2.3: got h1:b here and h1:a in line 3",
		checkout(a) + checkout(b):       "x.lock:8: checkout of runc: got " + b,
	} {
		ps := ParseLock([]byte(lock), "x.lock", &Lock{})
		if got := ps.Error(); want == "" && len(ps) > 0 || !strings.Contains(got, want) {
			t.Errorf("%s\ngot %s, want %q", lock, got, want)
		}
	}
}

func TestAStackFileThatIsNoFileOrTooLargeIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile(filepath.Join(shipped(), "docker-26.1.toml"))
	if err != nil {
		t.Fatal(err)
	}
	pipe := func(file string) error { return syscall.Mkfifo(file, 0o644) }
	large := func(file string) error {
		return errors.Join(os.WriteFile(file, nil, 0o644), os.Truncate(file, maxFile+1))
	}
	for _, ext := range []string{".toml", ".lock"} {
		for want, make := range map[string]func(string) error{"named pipe, want a file": pipe,
			"got more than 4194304 bytes": large,
			"directory, want a file":      func(f string) error { return os.Mkdir(f, 0o755) }} {
			dir := t.TempDir()
			if err := errors.Join(os.WriteFile(filepath.Join(dir, "x.toml"), good, 0o644),
				os.RemoveAll(filepath.Join(dir, "x"+ext)), make(filepath.Join(dir, "x"+ext))); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(dir, "x", Shipped); err == nil || !strings.Contains(err.Error(), "x"+ext+": ") ||
				!strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", ext, err, want)
			}
		}
	}
}

func TestOnlyAnAddressWithoutAPasswordIsAnOrigin(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"https://host/x.tar.gz": true, "http://127.0.0.1:80/x.tar.gz": true, "http://[::1]:80/x": true,
		"http://localhost/x":         true,
		"http://127.0.0.1:x@other/x": false, "http://127.0.0.1:80@other/x": false, "http://127.0.0.1.other/x": false,
		"http://localhost.other/x": false, "http://host/x": false,
		"https://user:pw@host/x": false, "https://user@host/x": false, "https:///x": false, "https://": false,
		"ftp://host/x": false, "http://127.0.0.1:8x/x": false,
	} {
		if why := urlProblem(address); (why == "") != ok {
			t.Errorf("%s: got %q, want it taken: %v", address, why, ok)
		}
	}
}

func TestALockComesBackAsItWasWritten(t *testing.T) {
	s, err := Load(shipped(), "docker-26.1", Shipped)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(shipped(), "docker-26.1.lock"))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(s.Lock.Encode()); got != string(data) {
		t.Errorf("got\n%s\nwant\n%s", got, data)
	}
}

func TestAnUnknownStackNamesTheKnownOnes(t *testing.T) {
	for _, n := range []string{"docker-99", "../x"} {
		if _, err := Load(shipped(), n, Shipped); err == nil || !strings.Contains(err.Error(), "docker-26.1") {
			t.Errorf("%s: got %v, want an error that lists docker-26.1", n, err)
		}
	}
}

func TestAModuleOriginIsAModuleAndItsRelease(t *testing.T) {
	for of, want := range map[string]string{
		"github.com/containerd/containerd@v1.7.36": "", "github.com/containerd/containerd/v2@v2.3.7": "",
		"github.com/docker/cli@v28.5.2+incompatible": "",
		"github.com/containerd/containerd":           "a module", "github.com/containerd/containerd@latest": "a module",
		"github.com/containerd/containerd@v2.3.7": "a module", "../x@v1.0.0": "a module", "": "a module",
	} {
		if got := moduleProblem(&Origin{Module: of}); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%q: got %q, want %q", of, got, want)
		}
	}
	o := &Origin{Module: "example.org/a/v2@v2.1.0", Vendored: true}
	if got := moduleProblem(o); !strings.Contains(got, "no vendored") {
		t.Errorf("vendored: got %q", got)
	}
	if o.Name() != "a-2.1.0.zip" || o.StripCount() != 3 {
		t.Errorf("got %s, %d", o.Name(), o.StripCount())
	}
}

func TestAGitOriginIsARepositoryACommitAndATag(t *testing.T) {
	t.Parallel()
	commit := strings.Repeat("a", 40)
	good := Origin{Kind: KindGit, Git: "https://git.example/x", Tag: "v1.0.0", Commit: commit, File: "x-1.0.0.tar.gz"}
	with := func(change func(o *Origin)) Origin { o := good; change(&o); return o }
	for name, c := range map[string]struct {
		o    Origin
		want string
	}{
		"good": {good, ""}, "a directory": {with(func(o *Origin) { o.Git = "/srv/git/x.git" }), ""},
		"plain http": {with(func(o *Origin) { o.Git = "http://git.example/x" }), ""},
		"by commit":  {with(func(o *Origin) { o.Tag = "" }), ""},
		"a prefix":   {with(func(o *Origin) { o.Prefix = "cli-1.0.0/" }), ""},
		"a password": {with(func(o *Origin) { o.Git = "https://u:secret@git.example/x" }),
			"git: got \"https://u:***@"},
		"an option":            {with(func(o *Origin) { o.Git = "--upload-pack=x" }), "git: got"},
		"a helper":             {with(func(o *Origin) { o.Git = "ext::sh -c x" }), "git: got"},
		"a relative directory": {with(func(o *Origin) { o.Git = "../x" }), "git: got"},
		"a short commit":       {with(func(o *Origin) { o.Commit = "abcdef0" }), "commit: got"},
		"an option for a tag":  {with(func(o *Origin) { o.Tag = "-x" }), "tag: got"},
		"an expression":        {with(func(o *Origin) { o.Tag = "a..b" }), "tag: got"},
		"a prefix outside":     {with(func(o *Origin) { o.Prefix = "../x/" }), "prefix: got"},
		"no file":              {with(func(o *Origin) { o.File = "" }), "file: got"},
		"xz":                   {with(func(o *Origin) { o.File = "x.tar.xz" }), "file: got"},
	} {
		if got := gitProblem(&c.o); c.want == "" && got != "" || !strings.HasPrefix(got, c.want) ||
			strings.Contains(got, "secret") {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestConstraintsThatNoReleaseMeetsAreFound(t *testing.T) {
	for c, want := range map[string]bool{
		">= 1.21": true, ">= 1.13, < 1.20": true, "< 1.20, >= 1.20": false, "= 1.2.3, != 1.2.3": false,
		"> 1.2, < 1.3": true, "~> 1.4": true, ">= 2, < 1": false, "< 1.0": true,
	} {
		if got := satisfiable(c); got != want {
			t.Errorf("satisfiable(%q): got %v, want %v", c, got, want)
		}
	}
}

func FuzzParseNeverPanics(f *testing.F) {
	data, _ := os.ReadFile(filepath.Join("..", "..", "..", "vendor-sources", "docker-26.1.toml"))
	f.Add(data)
	f.Add([]byte("[component]\nrunc = 3\n"))
	f.Add([]byte("[component.runc]\n[[component.runc.origin]]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		Parse(data, "x.toml", blank())
		ParseLock(data, "x.lock", &Lock{})
	})
}

func TestAStackBringsALibcOnlyWithAllThatItStandsOn(t *testing.T) {
	load := func() *Stack {
		s, err := Load(shipped(), "docker-26.1", Shipped)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := load()
	parts := s.Parts()
	for _, libc := range []string{"musl", LibcHost, "musl"} {
		was := s
		s, err := s.With(Settings{Libc: libc})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(was.Parts(), parts) {
			t.Errorf("%s: the stack that was read has other parts now: %v", libc, was.Parts())
		}
		if got := s.Parts()[0] == "linux-headers" && s.Parts()[1] == "musl"; got != (libc == "musl") {
			t.Errorf("%s: got the parts %v", libc, s.Parts())
		}
		if same, err := s.With(Settings{}); err != nil || same.Libc != libc {
			t.Errorf("no setting: got %v and %q, want nothing changed", err, same.Libc)
		}
	}
	if _, err := s.With(Settings{Libc: "glibc"}); err == nil ||
		!strings.Contains(err.Error(), `LIBC: got "glibc", want "musl" or "host"`) {
		t.Errorf("got %v", err)
	}
	delete(s.Component, "linux-headers")
	if _, err := s.With(Settings{Libc: "musl"}); err == nil ||
		!strings.Contains(err.Error(), "no component.linux-headers") {
		t.Errorf("got %v", err)
	}
	data, err := os.ReadFile(filepath.Join(shipped(), "docker-26.1.toml"))
	if err != nil {
		t.Fatal(err)
	}
	text := "libc = \"bionic\"\n" + string(data)
	text = strings.Replace(text, "\nlibc = ", "\n#libc = ", 1)
	if got := Parse([]byte(text), "x.toml", blank()).Error(); !strings.Contains(got, `x.toml:1: libc: got "bionic"`) {
		t.Errorf("got %s", got)
	}
}
