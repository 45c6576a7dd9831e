package remote

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"drydock/targets/internal/pack"
	"drydock/targets/internal/ui"
)

// FromEnv opens the cache that REMOTE_CACHE names; nil without. Where the network is forbidden nobody asks it, but what
// was taken from it stays what it is. An error names the setting.
func FromEnv(u *ui.UI, offline bool) (*Cache, error) {
	address := os.Getenv("REMOTE_CACHE")
	if address == "" {
		return nil, nil
	}
	keys := cmp.Or(os.Getenv("CACHE_KEYS"), pack.EnvPublicKey())
	if keys == "" {
		return nil, fmt.Errorf("REMOTE_CACHE=%s without CACHE_KEYS: name the public keys of those "+
			"whose builds are believed (\"mage key\" makes a pair)", address)
	}
	c, err := Open(address, keys)
	if err != nil {
		return nil, err
	}
	c.Say = func(format string, a ...any) { u.Line("cache     "+format, a...) }
	if offline {
		c.forbid(errors.New("OFFLINE forbids it"))
	}
	return c, nil
}

// Usable returns an error where there is no cache that can be asked; c may be nil.
func (c *Cache) Usable() error {
	if c == nil || c.Down() != nil {
		return errors.New("no cache: REMOTE_CACHE names one (docs/team.md), and OFFLINE forbids it")
	}
	return nil
}
