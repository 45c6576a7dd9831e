package pack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/archive"
)

// acceptedList is a copy of the list that an unpacked bundle was last compared with.
const acceptedList = ".cache/bundle.sha256"

// ChangedError says that what was unpacked is not what was bundled.
type ChangedError struct{ Text string }

func (e *ChangedError) Error() string { return e.Text }

// AcceptBundle compares the bundle that was unpacked in root with its list, the first time that it is used, and removes
// what an older bundle had and this one does not. What it says is empty where there is no bundle, or one that was
// compared before. The error is a *ChangedError, or one of reading and writing.
func AcceptBundle(root string) (removed []string, said string, err error) {
	list, err := os.ReadFile(filepath.Join(root, BundleSums))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	last, err := os.ReadFile(filepath.Join(root, acceptedList))
	if err == nil && string(last) == string(list) {
		return nil, "", nil
	}
	was, _ := parseSums(last)
	problems, outdated, list, err := checkUnpacked(root, was)
	if err != nil {
		return nil, "", err
	}
	if said, err = checkOwnList(root, list); err != nil {
		return nil, "", err
	}
	more, err := unlisted(root, list)
	if err != nil {
		return nil, "", err
	}
	for _, n := range more {
		if !slices.Contains(outdated, n) {
			problems = append(problems, fmt.Sprintf("%s: takes part in builds and is not in %s: remove it; "+
				"where it is yours, put it back when this bundle was used once", n, BundleSums))
		}
	}
	if len(problems) > 0 {
		return nil, "", &ChangedError{fmt.Sprintf("what was unpacked here is not what was bundled: carry these again "+
			"(or, where you changed one on purpose, take its line out of %s):\n  %s", BundleSums,
			strings.Join(problems, "\n  "))}
	}
	for _, n := range outdated { // such as a patch that is gone: it would still be applied
		if strings.HasPrefix(n, "vendor-sources/") && !OfStacks(n) {
			continue // an archive of another bundle does no harm
		}
		if err := os.Remove(filepath.Join(root, n)); err != nil {
			return removed, "", err
		}
		os.Remove(filepath.Dir(filepath.Join(root, n))) // where it was the last
		removed = append(removed, n)
	}
	if err := os.MkdirAll(filepath.Join(root, ".cache"), 0o755); err != nil {
		return removed, "", err
	}
	return removed, said, archive.WriteBytes(filepath.Join(root, acceptedList), 0o644, list)
}

// checkOwnList checks the signature of an unpacked bundle's list, and returns what can be said of it.
func checkOwnList(root string, list []byte) (string, error) {
	signature, err := os.ReadFile(filepath.Join(root, bundleSignature))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	said, err := CheckList(BundleSums, list, signature)
	if err != nil {
		return "", &ChangedError{fmt.Sprintf("%s: %v: nothing of this bundle is used", BundleSums, err)}
	}
	return said, nil
}
