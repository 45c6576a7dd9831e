// Package install holds the files of the package that put it onto a host: install.sh and what it starts the daemon with.
package install

import "drydock/targets/internal/archive"

// Profile is what the installer must know of the stack: its version, and the target's oldest kernel, init, cgroup layout
// and architecture as the stack file has them.
type Profile struct{ Version, Kernel, Init, Cgroup, Arch string }

// Files are the installer's entries of the package: install.sh and what lies below init/. The same profile gives the same bytes.
func Files(p Profile) ([]archive.Entry, error) { return nil, nil }
