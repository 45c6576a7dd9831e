package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// CheckOwner returns an error when somebody else could say what is run in a repository. As git has it, its directory
// must belong to this user, to root, or to the user who called sudo. As sudo and ssh have it, neither the directory,
// nor what decides there what is built, nor a directory above may be writable by everybody; a sticky directory above is
// none such.
func CheckOwner(root string) error {
	var st unix.Stat_t
	if err := unix.Stat(root, &st); err != nil {
		return fmt.Errorf("%s: %w", root, err)
	}
	me := os.Geteuid()
	caller, err := strconv.Atoi(os.Getenv("SUDO_UID"))
	if owner := int(st.Uid); owner != me && owner != 0 && !(me == 0 && err == nil && owner == caller) {
		return fmt.Errorf("%s belongs to user %d, and this is user %d: run it as its owner, "+
			"or make it yours (chown -R), or set TRUST_OWNER=1", root, owner, me)
	}
	open := func(dir string, sticky uint32) error {
		if unix.Stat(dir, &st) == nil && st.Mode&unix.S_IWOTH != 0 && st.Mode&sticky == 0 {
			return fmt.Errorf("%s: everybody may write there, and so say what is run in %s: "+
				"chmod o-w %s, or set TRUST_OWNER=1", dir, root, dir)
		}
		return nil
	}
	for _, n := range []string{".", "mage", "targets", "patches", "vendor-sources", ".cache"} {
		if err := open(filepath.Join(root, n), 0); err != nil {
			return err
		}
	}
	for d := root; d != filepath.Dir(d); {
		d = filepath.Dir(d)
		if err := open(d, unix.S_ISVTX); err != nil {
			return err
		}
	}
	return nil
}
