package targets

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// built COMPONENT… gives the repository what "fetch" and "all" make of the untouched fakes, in a fraction of their time. It
// comes from one repository in which they ran once, for all scripts; the next command finds nothing to do.
func built(ts *testscript.TestScript, neg bool, args []string) {
	from, err := builtRepo()
	ts.Check(err)
	ts.Check(from.copyTo(ts.MkAbs("repo")))
}

var builtRepo = sync.OnceValues(func() (*fakeRepo, error) {
	served := filepath.Join(filepath.Dir(runner), "served")
	r := &fakeRepo{filepath.Join(filepath.Dir(runner), "built"), nil}
	if err := os.Mkdir(served, 0o755); err != nil {
		return nil, err
	}
	if err := r.fetch(served, nil); err != nil {
		return nil, err
	}
	return r, r.run("all")
})

// copyTo gives another repository of the same fakes all that was fetched and built here.
func (r *fakeRepo) copyTo(root string) error {
	script := `rm -rf "$1/build" && cp -a build output .cache "$1/" && cp -a vendor-sources/*.tar.gz "$1/vendor-sources/"`
	cmd := exec.Command("sh", "-c", script, "sh", root)
	cmd.Dir = r.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("copy %s: %w: %s", r.root, err, out)
	}
	return nil
}
