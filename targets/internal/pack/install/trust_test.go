package install

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drydock/targets/internal/testlong"
	"drydock/targets/internal/testprog"
)

func TestLongAPackageDoesNotVouchForItsFilesWhereAnotherCheckerIs(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	k := newKit(t)
	k.path = oldTools(t) // no sha256sum
	key, sign := signing(t, "12345678")
	good, forged := unpacked(t, "26.1.5"), unpacked(t, "26.1.6")
	sign(good)
	sign(forged)
	k.ok(good, "--key="+key)
	// The list and its signature are good. What it lists is not, and the checker that came along says nothing.
	must(t, testprog.Write(filepath.Join(forged, CheckName), "#!/bin/sh\nexit 0\n"))
	must(t, testprog.Write(filepath.Join(forged, "docker/dockerd"), "#!/bin/sh\necho forged\n"))
	k.refused(4, "docker/dockerd: is not what SHA256SUMS says", forged)
	k.is("26.1.5")
}

func TestLongASignedVersionIsNotReplacedByAnUnsignedOneWithoutAWord(t *testing.T) {
	testlong.Skip(t)
	t.Parallel()
	k := newKit(t)
	key, sign := signing(t, "12345678")
	other, signOther := signing(t, "87654321")
	good, unsigned, foreign := unpacked(t, "26.1.5"), unpacked(t, "26.1.6"), unpacked(t, "26.1.7")
	sign(good)
	signOther(foreign)
	k.ok(good) // nobody named a key
	k.refused(4, "is signed, and this package is not", unsigned)
	k.refused(4, "signed by another key than the installed version", foreign)
	k.refused(4, "signed by another key than the installed version", foreign, "--key="+other)
	if out := k.ok(good, "--key="+key); !strings.Contains(out, "usr/local/libexec/drydock/.key") {
		t.Errorf("it is not said where the key is remembered: %s", out)
	}
	// A key file of one line, or with the line ends of another system, is the same key; another's is another.
	for i, form := range []func(string) string{
		func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		func(s string) string { return strings.SplitN(s, "\n", 2)[1] },
	} {
		same, different := filepath.Join(t.TempDir(), "same.pub"), filepath.Join(t.TempDir(), "different.pub")
		for from, to := range map[string]string{key: same, other: different} {
			data, err := os.ReadFile(from)
			must(t, err)
			must(t, os.WriteFile(to, []byte(form(string(data))), 0o644))
		}
		k.ok(good, "--key="+same)
		k.refused(4, "is not the key that the installed version was signed with", foreign, "--key="+different)
		if i > 0 {
			continue
		}
		k.ok(foreign, "--forget-key", "--key="+different)
		k.refused(4, "is not the key that the installed version was signed with", good, "--downgrade", "--key="+same)
		k.ok(good, "--downgrade", "--forget-key", "--key="+same)
	}
	k.ok(unsigned, "--forget-key")
	k.is("26.1.6")
	k.ok(unsigned, "--rollback")
	k.is("26.1.5")
}
