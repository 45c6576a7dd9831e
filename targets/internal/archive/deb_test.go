package archive

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// member is one file of an "ar".
type member struct {
	name string
	body []byte
	size string // what the header says of it; by default the truth
}

func arOf(ms ...member) []byte {
	var b bytes.Buffer
	b.WriteString(arMagic)
	for _, m := range ms {
		size := m.size
		if size == "" {
			size = fmt.Sprint(len(m.body))
		}
		fmt.Fprintf(&b, "%-16s%-12s%-6s%-6s%-8s%-10s`\n", m.name, "0", "0", "0", "100644", size)
		b.Write(m.body)
		if len(m.body)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

func debOf(ms ...member) []byte {
	return arOf(append([]member{{name: "debian-binary", body: []byte("2.0\n")},
		{name: "control.tar.xz", body: []byte("odd")}}, ms...)...)
}

func gz(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestADebIsTheTarOfItsDataInEachCompression(t *testing.T) {
	data := tarOf(t, file("./usr/include/linux/quota.h", "quota"))
	for name, body := range map[string][]byte{"data.tar": data, "data.tar.gz": gz(t, data),
		"data.tar.xz": xzOf(18, data), "data.tar.gz/": gz(t, data)} {
		p := filepath.Join(t.TempDir(), "x.deb")
		// What comes after the data is nobody's.
		if err := os.WriteFile(p,
			debOf(member{name: name, body: body}, member{name: "_gpgbuilder", body: []byte("signature")}),
			0o644); err != nil {
			t.Fatal(err)
		}
		r, err := Open(p, "deb")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		dir := t.TempDir()
		if err := Extract(r, dir, 2); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r.Close()
		if got, err := os.ReadFile(filepath.Join(dir, "linux/quota.h")); err != nil || string(got) != "quota" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
		if got, err := Member(p, "deb", "quota.h"); err != nil || string(got) != "quota" {
			t.Errorf("%s: a member: got %q, %v", name, got, err)
		}
	}
}

func TestADebThatDpkgMadeIsRead(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("no dpkg-deb on this machine")
	}
	tree := t.TempDir()
	for n, data := range map[string]string{"DEBIAN/control": "Package: p\nVersion: 1\nArchitecture: all\n" +
		"Maintainer: n <n@example.invalid>\nDescription: d\n", "usr/share/p/f": "content"} {
		p := filepath.Join(tree, n)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, z := range []string{"none", "gzip", "xz"} {
		deb := filepath.Join(t.TempDir(), "p.deb")
		if out, err := exec.Command("dpkg-deb", "-Z"+z, "--root-owner-group", "-b", tree,
			deb).CombinedOutput(); err != nil {
			t.Fatalf("dpkg-deb: %v\n%s", err, out)
		}
		if got, err := Member(deb, "deb", "usr/share/p/f"); err != nil || string(got) != "content" {
			t.Errorf("-Z%s: got %q, %v", z, got, err)
		}
	}
}

func TestADebThatIsNotWholeOrNotOneIsRefused(t *testing.T) {
	data := member{name: "data.tar.gz", body: gz(t, tarOf(t, file("a/f", strings.Repeat("content ", 1000))))}
	bin := member{name: "debian-binary", body: []byte("2.0\n")}
	whole := debOf(data)
	bad := debOf(data)
	copy(bad[len(arMagic)+58:], "xx")
	var many []member
	for range 20 {
		many = append(many, member{name: "control.tar", body: []byte("x")})
	}
	cases := map[string]struct {
		deb  []byte
		want string
	}{
		"empty":           {nil, "no .deb"},
		"another format":  {[]byte("PK\x03\x04 and so on"), "no .deb"},
		"magic alone":     {[]byte(arMagic), "without data.tar"},
		"cut in a header": {whole[:30], "unexpected EOF"},
		"cut in a member": {whole[:len(arMagic)+arHeader+2], "debian-binary: unexpected EOF"},
		"cut in the data": {whole[:len(whole)-20], "unexpected EOF"},
		"no data":         {debOf(), "without data.tar"},
		"data first":      {arOf(data), "want debian-binary"},
		"another version": {arOf(member{name: "debian-binary", body: []byte("3.0\n")}, data),
			`format "3.0\n", want 2.0`},
		"a damaged header":          {bad, "header ends with"},
		"size below zero":           {arOf(bin, member{name: "control.tar", size: "-8"}), "size: got"},
		"size no number":            {arOf(bin, member{name: "control.tar", size: "0x10"}), "size: got"},
		"size beyond all":           {arOf(bin, member{name: "control.tar", size: "9999999999"}), "want at most"},
		"size beyond the end":       {arOf(bin, member{name: "control.tar", size: "4096"}), "unexpected EOF"},
		"more members than any deb": {arOf(append([]member{bin}, many...)...), "more than 8 members"},
		"zst":                       {debOf(member{name: "data.tar.zst", body: []byte("x")}), "data.tar.zst: want"},
		"data that is no gzip": {debOf(member{name: "data.tar.gz", body: []byte("no gzip at all")}),
			"gzip: invalid header"},
		"data that only begins so": {debOf(member{name: "data.target.gz", body: []byte("x")}), "want data.tar"},
		"data beyond the end of all": {debOf(member{name: "data.tar", body: []byte("x"), size: "999999999"}),
			"unexpected EOF"},
	}
	for name, c := range cases {
		r, err := Decompress(bytes.NewReader(c.deb), "deb")
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

func TestADebThatReachesOutOfTheTreeIsRefused(t *testing.T) {
	for name, h := range map[string][]byte{"name": tarOf(t, file("./../evil", "x")),
		"link": tarOf(t, link("./a/l", "/etc/passwd"))} {
		r, err := Decompress(bytes.NewReader(debOf(member{name: "data.tar", body: h})), "deb")
		if err == nil {
			err = Extract(r, t.TempDir(), 0)
		}
		if err == nil || !strings.Contains(err.Error(), "leaves the tree") {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
}

func FuzzDeb(f *testing.F) {
	f.Add(debOf(member{name: "data.tar", body: tarOf(f, file("a/b", "x"))}))
	f.Add(debOf(member{name: "data.tar.gz", body: gz(f, tarOf(f, file("a/b", "x")))}))
	f.Add(arOf(member{name: "debian-binary", size: "-1"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Decompress(bytes.NewReader(data), "deb")
		if err != nil {
			return
		}
		if n, err := io.Copy(io.Discard, io.LimitReader(r, 1<<24)); err == nil && n == 0 &&
			!bytes.Contains(data, []byte("data.tar")) {
			t.Errorf("%d bytes of data from a file that names none", n)
		}
	})
}
