package pack

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unpack writes files below root, and their list beside them.
func unpack(t *testing.T, root string, files ...string) {
	t.Helper()
	list := ""
	for _, name := range files {
		put(t, root, name, name)
		list += fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(name)), name)
	}
	put(t, root, BundleSums, list)
}

func put(t *testing.T, root, name, text string) {
	t.Helper()
	p := filepath.Join(root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestABundleIsAcceptedOnceAndANewerOneRemovesWhatItLacks(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if _, said, err := AcceptBundle(root); said != "" || err != nil {
		t.Fatalf("no bundle: got %q and %v, want nothing", said, err)
	}
	unpack(t, root, "mage", "patches/runc/1/a.patch", "vendor-sources/old.tar.gz", "vendor-sources/old.toml")
	if _, said, err := AcceptBundle(root); said != "not signed" || err != nil {
		t.Fatalf("new: got %q and %v, want that it is not signed", said, err)
	}
	put(t, root, "mage", "another") // after it was accepted it is the user's
	if _, said, err := AcceptBundle(root); said != "" || err != nil {
		t.Fatalf("accepted: got %q and %v, want nothing", said, err)
	}
	unpack(t, root, "mage", "vendor-sources/new.tar.gz")
	removed, said, err := AcceptBundle(root)
	if want := []string{"patches/runc/1/a.patch", "vendor-sources/old.toml"}; !slices.Equal(removed, want) ||
		said == "" || err != nil {
		t.Errorf("newer: got %q, %q and %v, want %q removed", removed, said, err, want)
	}
	if _, err := os.Stat(filepath.Join(root, "vendor-sources/old.tar.gz")); err != nil {
		t.Errorf("an archive that is in no list any more: got %v, want it kept", err)
	}
}

func TestAChangedBundleIsRefusedByName(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(root string){
		"mage: sha256":           func(root string) { put(t, root, "mage", "another") },
		"patches/a.patch: takes": func(root string) { put(t, root, "patches/a.patch", "mine") },
		"mage: not there":        func(root string) { os.Remove(filepath.Join(root, "mage")) },
	} {
		root := t.TempDir()
		unpack(t, root, "mage")
		do(root)
		_, _, err := AcceptBundle(root)
		if changed := (*ChangedError)(nil); !errors.As(err, &changed) || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want a ChangedError with %q", err, name)
		}
		if _, err := os.Stat(filepath.Join(root, acceptedList)); err == nil {
			t.Errorf("%s: got a note that it was accepted, want none", name)
		}
	}
}
