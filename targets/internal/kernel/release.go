package kernel

import (
	"fmt"
	"regexp"

	version "github.com/hashicorp/go-version"
	"golang.org/x/sys/unix"
)

// Release returns the running kernel's release, as uname -r does; empty where it cannot be had.
func Release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

func noRelease(text string) error {
	return fmt.Errorf("kernel release %q: want one that begins with numbers, such as 3.10.0-1160.el7.x86_64", text)
}

var leadingDigits = regexp.MustCompile(`^\d+(\.\d+)*`)

// Version reads the version in a kernel's release string, such as 3.10.0-1160.el7.x86_64. go-version refuses
// these, or takes their tail for a pre-release, so just the leading numbers count; without any it is an error.
func Version(release string) (*version.Version, error) {
	m := leadingDigits.FindString(release)
	if m == "" {
		return nil, noRelease(release)
	}
	v, err := version.NewVersion(m)
	if err != nil {
		return nil, err
	}
	return v.Core(), nil
}
