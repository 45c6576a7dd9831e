package remote

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestTheSettingsOpenACacheOnlyWithKeys(t *testing.T) {
	for _, k := range []string{"REMOTE_CACHE", "CACHE_KEYS", "VERIFY_KEY", "SIGN_KEY"} {
		t.Setenv(k, "")
	}
	c, err := FromEnv(nil, false)
	if c != nil || err != nil || c.Usable() == nil {
		t.Errorf("no setting: got %v and %v, want neither, and a cache that is not usable", c, err)
	}
	t.Setenv("REMOTE_CACHE", "file://"+filepath.Join(t.TempDir(), "cache"))
	if _, err := FromEnv(nil, false); err == nil || !strings.Contains(err.Error(), "CACHE_KEYS") {
		t.Errorf("without keys: got %v, want an error that names CACHE_KEYS", err)
	}
	_, public := newSigner(t)
	t.Setenv("CACHE_KEYS", public)
	for offline, usable := range map[bool]bool{false: true, true: false} {
		c, err := FromEnv(nil, offline)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Usable() == nil; got != usable {
			t.Errorf("offline %t: got usable %t, want %t", offline, got, usable)
		}
	}
}
