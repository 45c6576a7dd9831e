package targets

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// built COMPONENT… gives the repository what "fetch" and "all" make of the untouched fakes, in a fraction of their
// time. It comes from one repository in which they ran once, for all scripts; the next command finds nothing to do.
// What they said is in built.log.
func built(ts *testscript.TestScript, neg bool, args []string) {
	from, err := builtRepo()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("built.log"), []byte(from.said), 0o644))
	ts.Check(from.copyTo(ts.MkAbs("repo")))
	ts.Check(from.giveFacts(ts.MkAbs("repo"), ts.MkAbs(".")))
}

// lookedRepo is a repository whose sources are there, and for which this machine was looked at.
var lookedRepo = sync.OnceValues(func() (*fakeRepo, error) {
	dir := filepath.Dir(filepath.Dir(runner))
	r, served := &fakeRepo{root: filepath.Join(dir, "built")}, filepath.Join(dir, "served")
	if err := os.Mkdir(served, 0o755); err != nil {
		return nil, err
	}
	if err := r.fetch(served, nil); err != nil {
		return nil, err
	}
	return r, r.run("check")
})

var builtRepo = sync.OnceValues(func() (*fakeRepo, error) {
	r, err := lookedRepo()
	if err != nil {
		return nil, err
	}
	r.env = append(r.env, "OFFLINE=1")
	return r, r.run("all")
})

// giveFacts gives another repository what is known of this machine, which costs a second of CPU to find out: it is the
// same but for two paths. What does not fit is no harm, for then it is looked at again.
func (r *fakeRepo) giveFacts(root, home string) error {
	data, err := os.ReadFile(filepath.Join(r.root, ".cache/host.json"))
	if err != nil {
		return err
	}
	facts := strings.NewReplacer(r.home(), home, r.root, root).Replace(string(data))
	if err := os.MkdirAll(filepath.Join(root, ".cache"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, ".cache/host.json"), []byte(facts), 0o644)
}

// copyTo gives another repository of the same fakes all that was built here, and the sources that it lacks.
func (r *fakeRepo) copyTo(root string) error {
	script := `rm -rf "$1/build" && cp -a build output .cache "$1/" &&
	for f in vendor-sources/*.tar.gz; do test -e "$1/$f" || cp -a "$f" "$1/$f" || exit 1; done`
	cmd := exec.Command("sh", "-c", script, "sh", root)
	cmd.Dir = r.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("copy %s: %w: %s", r.root, err, out)
	}
	return nil
}
