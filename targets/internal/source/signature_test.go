package source

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"drydock/targets/internal/stack"
)

// signer makes an upstream with a key for signing below its own.
func signer(t testing.TB) *openpgp.Entity {
	t.Helper()
	who, err := openpgp.NewEntity("Upstream", "", "u@example.invalid", nil)
	if err == nil {
		err = who.AddSigningSubkey(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return who
}

func armored(t testing.TB, kind string, write func(io.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, kind, nil)
	if err == nil {
		err = write(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func subkey(who *openpgp.Entity) *packet.PublicKey { return who.Subkeys[len(who.Subkeys)-1].PublicKey }

// store has an archive, its signature by who, and the whole of who's public key under the name of the one that signs.
func store(t testing.TB, who *openpgp.Entity, config *packet.Config) (*Store, *Found) {
	t.Helper()
	s := &Store{Dir: t.TempDir()}
	var sig bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&sig, who, strings.NewReader(body), config); err != nil {
		t.Fatal(err)
	}
	key := fingerprintOf(subkey(who).Fingerprint)
	f := &Found{Origin: &stack.Origin{SignedBy: key}, Path: filepath.Join(s.Dir, "a.tar.gz"),
		Signature: filepath.Join(s.Dir, "a.tar.gz.asc")}
	put(t, f.Path, []byte(body))
	put(t, f.Signature, sig.Bytes())
	put(t, filepath.Join(s.Dir, "keys", key+".asc"), armored(t, openpgp.PublicKeyType, who.Serialize))
	return s, f
}

func TestASignatureByThePinnedKeyIsGoodWhateverElseItsFileHas(t *testing.T) {
	who := signer(t)
	made := time.Now().Add(time.Minute).Truncate(time.Second) // after the key
	s, f := store(t, who, &packet.Config{Time: func() time.Time { return made }})
	whole := filepath.Join(s.Dir, "keys", f.Origin.SignedBy+".asc")
	var raw bytes.Buffer
	if err := subkey(who).Serialize(&raw); err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string][]byte{
		"all of the key":                         nil,
		"the packet of the subkey":               armored(t, openpgp.PublicKeyType, subkey(who).Serialize),
		"the packet of the subkey without armor": raw.Bytes(),
	} {
		if key != nil {
			put(t, whole, key)
		}
		got, err := s.CheckSignature(f)
		if err != nil || got.Key != f.Origin.SignedBy || !got.Made.Equal(made) {
			t.Errorf("%s: got %+v %v, want a good signature of %v", name, got, err, made)
		}
	}
}

func TestWhatIsNotAGoodSignatureByThePinnedKeyIsAnErrorThatSaysWhy(t *testing.T) {
	who, other := signer(t), signer(t)
	_, theirs := store(t, other, nil)
	stranger, _ := os.ReadFile(theirs.Signature)
	ofMain := func(t testing.TB) []byte { // by the main key, where the subkey is pinned
		var b bytes.Buffer
		only := *who
		only.Subkeys = nil
		if err := openpgp.ArmoredDetachSign(&b, &only, strings.NewReader(body), nil); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}(t)
	// The library makes none over SHA-1 any more: one over SHA-256 that says it is.
	weak := func() []byte {
		s := &packet.Signature{Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: subkey(who).PubKeyAlgo,
			Hash: crypto.SHA256, CreationTime: time.Now(), IssuerKeyId: &subkey(who).KeyId}
		h := crypto.SHA256.New()
		io.WriteString(h, body)
		if err := s.Sign(h, who.Subkeys[len(who.Subkeys)-1].PrivateKey, nil); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := s.Serialize(&b); err != nil {
			t.Fatal(err)
		}
		raw := b.Bytes()
		i := bytes.IndexByte(raw, 4)
		raw[i+3] = 2 // version, type, key algorithm, digest algorithm
		return raw
	}()
	flipped := func(f *Found) []byte {
		data, _ := os.ReadFile(f.Path)
		data[len(data)/2] ^= 1
		return data
	}
	for name, c := range map[string]struct {
		breaks func(s *Store, f *Found)
		want   string
	}{
		"a flipped bit of the archive": {func(s *Store, f *Found) { put(t, f.Path, flipped(f)) },
			"not a signature by .KEY. of .*a.tar.gz as it is here"},
		"another's signature": {func(s *Store, f *Found) { put(t, f.Signature, stranger) },
			"got signatures by " + theirs.Origin.SignedBy + ", want one by .KEY."},
		"the main key's signature": {func(s *Store, f *Found) { put(t, f.Signature, ofMain) },
			"got signatures by " + fingerprintOf(who.PrimaryKey.Fingerprint) + ", want one by .KEY."},
		"a signature over SHA-1": {func(s *Store, f *Found) { put(t, f.Signature, weak) },
			"over SHA-1, which can be forged"},
		"a page that says sorry": {func(s *Store, f *Found) { put(t, f.Signature, []byte("<html>404</html>")) },
			"a.tar.gz.asc: not an OpenPGP key or signature"},
		"an empty file": {func(s *Store, f *Found) { put(t, f.Signature, "") },
			"a.tar.gz.asc: got no OpenPGP packet"},
		"a huge file": {func(s *Store, f *Found) { put(t, f.Signature, make([]byte, maxOpenPGP+1)) },
			"a.tar.gz.asc: got more than 1048576 bytes"},
		"a key where the signature is": {func(s *Store, f *Found) {
			put(t, f.Signature, armored(t, openpgp.PublicKeyType, who.Serialize))
		}, "got signatures by .*, want one by .KEY."},
		"no key": {func(s *Store, f *Found) { os.RemoveAll(filepath.Join(s.Dir, "keys")) },
			"KEY.asc: not there: want the public key"},
		"another's key under that name": {func(s *Store, f *Found) {
			put(t, filepath.Join(s.Dir, "keys", f.Origin.SignedBy+".asc"),
				armored(t, openpgp.PublicKeyType, other.Serialize))
		}, "got keys .*, want one whose fingerprint is .KEY."},
		"a cut key": {func(s *Store, f *Found) {
			put(t, filepath.Join(s.Dir, "keys", f.Origin.SignedBy+".asc"),
				[]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nzsFN"))
		}, "KEY.asc: not (OpenPGP's ASCII armor|an OpenPGP key or signature)"},
		"a signature that is not there": {func(s *Store, f *Found) { os.Remove(f.Signature) },
			"a.tar.gz.asc: no such file"},
		"an archive that is not there": {func(s *Store, f *Found) { os.Remove(f.Path) }, "a.tar.gz: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := store(t, who, nil)
			c.breaks(s, f)
			_, err := s.CheckSignature(f)
			if err == nil {
				t.Fatal("got no error, want one")
			}
			want := strings.ReplaceAll(strings.ReplaceAll(c.want, ".KEY.", f.Origin.SignedBy), "KEY", f.Origin.SignedBy)
			if !regexp.MustCompile(want).MatchString(err.Error()) {
				t.Errorf("got %q, want %q in it", err, want)
			}
		})
	}
}

func TestAnArchiveThatUpstreamDidNotSignIsNeitherTakenNorRecorded(t *testing.T) {
	who := signer(t)
	forged := body2
	var sig bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&sig, who, strings.NewReader(body), nil); err != nil {
		t.Fatal(err)
	}
	s, c, l, _ := setUp(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".asc") {
			w.Write(sig.Bytes())
			return
		}
		fmt.Fprint(w, forged)
	}))
	key := fingerprintOf(subkey(who).Fingerprint)
	put(t, filepath.Join(s.Dir, "keys", key+".asc"), armored(t, openpgp.PublicKeyType, who.Serialize))
	c.Origin[0].SignedBy = key
	l.File = nil
	if _, err := setOf(t, s, l, true).Get(context.Background(), c); err == nil ||
		!strings.Contains(err.Error(), "it is not a signature by "+key) {
		t.Errorf("got %v, want a refusal", err)
	}
	if len(l.File) != 0 {
		t.Errorf("got the lock %v, want nothing recorded", l.File[0])
	}
	// A pin that was there before is not lost to a signature that is not good.
	l.File = []*stack.LockedFile{{Component: "runc", Name: "r.tar.gz", SHA256: sum(forged), Size: int64(len(forged))}}
	if _, err := setOf(t, s, l, true).Get(context.Background(), c); err == nil {
		t.Error("got no error for an archive that is pinned and not signed")
	}
	if len(l.File) != 1 || l.File[0].SHA256 != sum(forged) {
		t.Errorf("got the lock %v, want the archive's pin, and nothing else", l.File)
	}
	l.File = nil
	forged = body
	os.RemoveAll(filepath.Join(s.Dir, "r.tar.gz"))
	f, err := setOf(t, s, l, true).Get(context.Background(), c)
	if err != nil || len(l.File) != 2 || f.Signature == "" {
		t.Fatalf("got %+v %v, lock %v; want the archive and its signature recorded", f, err, l.File)
	}
	if f, err := setOf(t, s, l, false).Locate(c); err != nil || f == nil || f.Signature == "" {
		t.Errorf("again: got %+v %v, want both found", f, err)
	}
	if f := Expected(c, c.Origin[0], l); f.SHA256 != sum(body) {
		t.Errorf("got %s expected, want the archive's digest", f.SHA256)
	}
	l.File = l.File[:1]
	if f := Expected(c, c.Origin[0], l); f.SHA256 != Unknown {
		t.Errorf("without the signature's digest: got %s expected, want %s", f.SHA256, Unknown)
	}
}

func FuzzPacketsNeverPanic(f *testing.F) {
	who := signer(f)
	var sig bytes.Buffer
	if err := openpgp.DetachSign(&sig, who, strings.NewReader(body), nil); err != nil {
		f.Fatal(err)
	}
	f.Add(sig.Bytes())
	f.Add(armored(f, openpgp.SignatureType, func(w io.Writer) error { _, err := w.Write(sig.Bytes()); return err }))
	f.Add(armored(f, openpgp.PublicKeyType, who.Serialize))
	file := filepath.Join(f.TempDir(), "a")
	put(f, file, []byte(body))
	key := subkey(who)
	f.Fuzz(func(t *testing.T, data []byte) {
		packets, err := parsePackets(data)
		if err == nil && len(packets) == 0 {
			t.Error("got neither packets nor an error")
		}
		for _, p := range packets {
			if g, ok := p.(*packet.Signature); ok && g.CheckKeyIdOrFingerprint(key) && good(file, g, key) == nil &&
				!bytes.Contains(data, sig.Bytes()[len(sig.Bytes())-32:]) &&
				!bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----")) {
				t.Errorf("a forged signature is good: %x", data)
			}
		}
	})
}
