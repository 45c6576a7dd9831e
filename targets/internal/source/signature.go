package source

import (
	"bytes"
	"cmp"
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drydock/targets/internal/archive"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// keysDir is the directory of the store with the public keys that sign archives, each named FINGERPRINT.asc. Such a
// file needs no trust: the key in it is the one that the origin names, or it is of no use. Whether a key has expired or
// was revoked is not asked: who pins it says that it is good, and a build must run in ten years.
const keysDir = "keys"

// maxOpenPGP is the size, in bytes, of the largest key or signature that is read.
const maxOpenPGP = 1 << 20

// Signature is a signature that has been verified.
type Signature struct {
	Path string    // the file that it lies in
	Key  string    // the fingerprint of the key that made it
	Made time.Time // by its own word
}

// CheckSignature verifies an archive's signature; nil and no error where the origin names no key. The errors name the
// file that is wrong.
func (s *Store) CheckSignature(f *Found) (*Signature, error) {
	if f.Signature == "" {
		return nil, nil
	}
	key, err := s.key(f.Origin.SignedBy)
	if err != nil {
		return nil, fmt.Errorf("%s is signed, and its signature cannot be checked: %w", f.Path, err)
	}
	made, err := checkSignature(f.Path, f.Signature, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Signature, err)
	}
	return &Signature{f.Signature, f.Origin.SignedBy, made}, nil
}

// key reads a public key by its fingerprint.
func (s *Store) key(fingerprint string) (*packet.PublicKey, error) {
	file := filepath.Join(s.Dir, keysDir, fingerprint+".asc")
	packets, err := packetsOf(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: not there: want the public key, as \"gpg --export --armor %s\" writes it",
			file, fingerprint)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var others []string
	for _, p := range packets {
		if k, ok := p.(*packet.PublicKey); ok {
			got := fingerprintOf(k.Fingerprint)
			if got == fingerprint {
				return k, nil
			}
			others = append(others, got)
		}
	}
	return nil, fmt.Errorf("%s: got keys %s, want one whose fingerprint is %s", file, orNone(others), fingerprint)
}

// checkSignature says when the signature in file sig was made over the archive; an error when no signature in it is
// key's, or it is not good.
func checkSignature(archive, sig string, key *packet.PublicKey) (time.Time, error) {
	packets, err := packetsOf(sig)
	if err != nil {
		return time.Time{}, err
	}
	var others []string
	for _, p := range packets {
		g, ok := p.(*packet.Signature)
		if ok && g.CheckKeyIdOrFingerprint(key) {
			return g.CreationTime, good(archive, g, key)
		} else if ok {
			others = append(others, signerOf(g))
		}
	}
	return time.Time{}, fmt.Errorf("got signatures by %s, want one by %s: ask upstream whether the key changed, "+
		"and whether the new one is theirs, before you change signed_by",
		orNone(others), fingerprintOf(key.Fingerprint))
}

// good checks one signature.
func good(archive string, g *packet.Signature, key *packet.PublicKey) error {
	if g.SigType != packet.SigTypeBinary {
		return fmt.Errorf("got a signature of type %#x, want one of a file (0)", int(g.SigType))
	}
	switch g.Hash {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_512:
	default:
		return fmt.Errorf("got a signature over %s, which can be forged, want one over SHA-256 or better", g.Hash)
	}
	h, err := g.PrepareVerify()
	if err != nil {
		return err
	}
	r, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.Copy(h, r); err != nil {
		return fmt.Errorf("%s: %w", archive, err)
	}
	if err := key.VerifySignature(h, g); err != nil {
		return fmt.Errorf("it is not a signature by %s of %s as it is here: %w: move away the one that is wrong, "+
			"and run \"mage fetch\" again", fingerprintOf(key.Fingerprint), archive, err)
	}
	return nil
}

// packetsOf reads OpenPGP packets, in ASCII armor or without. Those that the library does not know are left out.
func packetsOf(file string) ([]packet.Packet, error) {
	data, err := archive.ReadFile(file, maxOpenPGP)
	if err != nil {
		return nil, err
	}
	return parsePackets(data)
}

func parsePackets(data []byte) ([]packet.Packet, error) {
	var r io.Reader = bytes.NewReader(data)
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN")) {
		b, err := armor.Decode(r)
		if err != nil {
			return nil, fmt.Errorf("not OpenPGP's ASCII armor: %w", err)
		}
		r = b.Body
	}
	var all []packet.Packet
	for {
		p, err := packet.Read(r)
		var unknown pgperrors.UnknownPacketTypeError
		var unsupported pgperrors.UnsupportedError
		var critical pgperrors.CriticalUnknownPacketTypeError
		switch {
		case errors.Is(err, io.EOF) && all == nil:
			return nil, errors.New("got no OpenPGP packet, want a key or a signature")
		case errors.Is(err, io.EOF):
			return all, nil
		case errors.As(err, &unknown), errors.As(err, &unsupported), errors.As(err, &critical):
		case err != nil:
			return nil, fmt.Errorf("not an OpenPGP key or signature: %w", err)
		default:
			all = append(all, p)
		}
	}
}

// signerOf is what a signature says of its maker.
func signerOf(g *packet.Signature) string {
	switch {
	case g.IssuerFingerprint != nil:
		return fingerprintOf(g.IssuerFingerprint)
	case g.IssuerKeyId != nil:
		return fmt.Sprintf("key %016X", *g.IssuerKeyId)
	}
	return "nobody who is named"
}

func fingerprintOf(b []byte) string { return fmt.Sprintf("%X", b) }

func orNone(names []string) string { return cmp.Or(strings.Join(names, ", "), "none") }
