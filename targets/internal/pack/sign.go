package pack

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"

	"drydock/targets/internal/archive"

	"aead.dev/minisign"
)

// Signer signs lists of digests, in minisign's format (Ed25519).
type Signer struct{ key minisign.PrivateKey }

// OpenSigner reads a secret key that "mage key" or "minisign -G" made; password opens one that has a password.
func OpenSigner(file, password string) (*Signer, error) {
	fi, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if fi.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: mode %04o: others can read the secret key: chmod 600 it", file, fi.Mode().Perm())
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if !minisign.IsEncrypted(data) {
		var k minisign.PrivateKey
		if err := k.UnmarshalText(data); err != nil {
			return nil, fmt.Errorf("%s: no secret key in minisign's format: %w", file, err)
		}
		return &Signer{k}, nil
	}
	if password == "" {
		return nil, fmt.Errorf("%s: has a password: put it into a file and name that with SIGN_PASSWORD_FILE", file)
	}
	k, err := minisign.DecryptKey(password, data)
	if err != nil {
		return nil, fmt.Errorf("%s: the password does not open it: %w", file, err)
	}
	return &Signer{k}, nil
}

// ID is how minisign calls the key.
func (s *Signer) ID() string { return fmt.Sprintf("%016X", s.key.ID()) }

// Sign returns the signature of a list of that name: the same list and key give the same bytes, so it says nothing of
// when.
func (s *Signer) Sign(name string, list []byte, what string) []byte {
	return minisign.SignWithComments(s.key, list, what, "signature of "+name+" by key "+s.ID())
}

// CheckSignature checks the signature of a list (SumsName, BundleSums) with a public key file. The error names the
// list.
func CheckSignature(file, name string, list, signature []byte) error {
	key, err := minisign.PublicKeyFromFile(file)
	if err != nil {
		return fmt.Errorf("%s: no public key in minisign's format: %w", file, err)
	}
	if signature == nil {
		return fmt.Errorf("not signed: there is no %s.minisig in it", name)
	}
	if !minisign.Verify(key, list, signature) {
		by := ""
		var s minisign.Signature
		if s.UnmarshalText(signature) == nil {
			by = fmt.Sprintf(", it is by key %016X", s.KeyID)
		}
		return fmt.Errorf("%s.minisig: not a signature of %s by key %016X of %s%s", name, name, key.ID(), file, by)
	}
	return nil
}

// NewKey writes a new secret key, without a password, into file, and its public half into file.pub; both must not be
// there.
func NewKey(file string) (id string, err error) {
	for _, f := range []string{file, file + ".pub"} {
		if _, err := os.Lstat(f); err == nil {
			return "", fmt.Errorf("%s is there: keys are not overwritten", f)
		}
	}
	public, secret, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	data, err := secret.MarshalText()
	if err != nil {
		return "", err
	}
	pub, err := public.MarshalText()
	if err != nil {
		return "", err
	}
	line := func(data []byte) []byte { return append(bytes.TrimRight(data, "\n"), '\n') }
	if err := archive.WriteBytes(file, 0o600, line(data)); err != nil {
		return "", err
	}
	return fmt.Sprintf("%016X", public.ID()), archive.WriteBytes(file+".pub", 0o644, line(pub))
}
