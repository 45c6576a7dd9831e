package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"drydock/targets/internal/failure"
	"drydock/targets/internal/pack"
)

// signer is the key that SIGN_KEY names; nil without one.
func signer() (*pack.Signer, error) {
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
	s, err := pack.OpenSigner(file, password)
	if err != nil {
		return nil, fmt.Errorf("SIGN_KEY: %w", err)
	}
	return s, nil
}

// publicKey is the file of the key that signatures are held against: VERIFY_KEY, or what lies beside SIGN_KEY; empty for none.
func publicKey() string {
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

// checkPackage reads a package, which readPackage finds by its name, to its end, compares it with its own list, and that with its
// signature where a key is known.
func (e *Engine) checkPackage(name string) error {
	r, err := e.readPackage(name)
	if err != nil {
		return err
	}
	signed, err := checkList(pack.SumsName, r.List, r.Signature)
	if err != nil {
		return fmt.Errorf("%s: %w", e.rel(name), err)
	}
	e.UI.Line("package   all %d files are as %s says; %s", len(r.Sums), pack.SumsName, signed)
	return nil
}

// checkList checks the signature of a list of digests where a key is known, and returns what can be said of it.
func checkList(name string, list, signature []byte) (string, error) {
	switch key := publicKey(); {
	case key != "":
		return "signed with " + key, pack.CheckSignature(key, name, list, signature)
	case signature != nil:
		return "signed; VERIFY_KEY=<public key> checks that", nil
	}
	return "not signed", nil
}

// VerifyFile examines a package that lies anywhere.
func VerifyFile(ctx context.Context, file string) error {
	return reading(ctx, func(_ context.Context, e *Engine) error { return failure.With(failure.Failed, e.checkPackage(file)) })
}

// Key makes a key pair for signing packages.
func Key(ctx context.Context, file string) error {
	return reading(ctx, func(_ context.Context, e *Engine) error {
		id, err := pack.NewKey(file)
		if err != nil {
			return err
		}
		e.UI.Text(fmt.Sprintf("key %s: %s is secret, %s.pub is for those who check\nSIGN_KEY=%s ./mage all signs; VERIFY_KEY=%s.pub ./mage verify checks\n", id, file, file, file, file))
		return nil
	})
}
