package pack

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"drydock/targets/internal/archive"

	"aead.dev/minisign"
)

// Signer signs lists of digests, in minisign's format (Ed25519).
type Signer struct{ key minisign.PrivateKey }

// OpenSigner reads a secret key that "mage key" or "minisign -G" made; password opens one that has a password. It fails
// on another file, and without the right password.
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

// EnvSigner opens the key that SIGN_KEY names, with the password in the file that SIGN_PASSWORD_FILE names; nil without
// a key. The error names the setting.
func EnvSigner() (*Signer, error) {
	file := os.Getenv("SIGN_KEY")
	if file == "" {
		return nil, nil
	}
	password := ""
	if p := os.Getenv("SIGN_PASSWORD_FILE"); p != "" {
		data, err := os.ReadFile(p)
		if err != nil {
			return nil, fmt.Errorf("SIGN_PASSWORD_FILE: %w", err)
		}
		password = strings.TrimRight(string(data), "\r\n")
	}
	s, err := OpenSigner(file, password)
	if err != nil {
		return nil, fmt.Errorf("SIGN_KEY: %w", err)
	}
	return s, nil
}

// EnvPublicKey is the file of the key that signatures are checked with: VERIFY_KEY, or what lies beside SIGN_KEY; empty
// for none.
func EnvPublicKey() string {
	if k := os.Getenv("VERIFY_KEY"); k != "" {
		return k
	}
	if k := os.Getenv("SIGN_KEY"); k != "" {
		if _, err := os.Stat(k + ".pub"); !errors.Is(err, fs.ErrNotExist) {
			return k + ".pub"
		}
	}
	return ""
}

// CheckList checks the signature of a list of digests where EnvPublicKey names a key, and returns what can be said of
// it. It fails where a key is named and the signature is missing, or is not that key's.
func CheckList(name string, list, signature []byte) (said string, err error) {
	switch key := EnvPublicKey(); {
	case key != "":
		return "signed with " + key, CheckSignature(key, name, list, signature)
	case signature != nil:
		return "signed; VERIFY_KEY=<public key> checks that", nil
	}
	return "not signed", nil
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

// NewKey writes a new secret key, without a password, into file, and its public half into file.pub. It fails where one
// of them is there.
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
