package targets

import (
	"context"

	"drydock/targets/internal/prove"
)

// Verify examines the built files and the packages.
//
// Of each file: whether it is static, its hardening, the oldest kernel, its version, what is built in, and whether it
// is unchanged by size, mode, time and inode; with -full, whether its bytes are those that were built, and those of the
// recorded build. The packages are hashed in any case: the one that was built, its list, owners, modes, links and
// signature, and those that are kept.
//
// Example: mage verify -full
func Verify(ctx context.Context,
	full *bool, // hash all sources and outputs again
	file *string, // examine a package anywhere instead
) error {
	if file != nil {
		return prove.VerifyFile(ctx, *file)
	}
	return prove.Verify(ctx, in(full))
}

// Features lists what is built into the files, and what of it the release's record misses.
//
// The record is vendor-sources/<stack>.features.
//
// Example: mage features
func Features(ctx context.Context,
	record *bool, // write the record
) error {
	return prove.Features(ctx, in(record))
}

// Audit names the advisories that are known against the built files, and what is stated of each.
//
// It compares the Go modules and functions that are in the files, and the versions of what is no Go, with the database
// that "mage fetch" brings, and with vendor-sources/<stack>.vex.toml. It needs no network. The exit code is 8 when
// there is an advisory of which nothing is stated: docs/security.md.
//
// Example: mage audit -open
func Audit(ctx context.Context,
	file *string, // a package, in place of the stack's own files
	bin *string, // a directory with other files than the stack's own
	json *bool, // for machines
	open *bool, // list only those of which nothing is stated
	draft *bool, // print statements for those, to be completed
	write *bool, // make docs/advisories.md of it
) error {
	return prove.Audit(ctx, prove.AuditOptions{File: in(file), Bin: in(bin), JSON: in(json), Open: in(open),
		Draft: in(draft), Write: in(write)})
}

// Smoke starts the built stack and uses it, check by check.
//
// It needs root, and nothing of the host's but namespaces. -kernel alone means the oldest kernel that the stack is for.
// The exit code is 7 when it cannot be run here.
//
// Example: mage smoke -kernel=3.10
func Smoke(ctx context.Context,
	kernel *string, // answer as a kernel of that release does: just its system calls
	bin *string, // a directory with other files than the stack's own
	json *bool, // for machines
	write *bool, // make docs/smoke.md of it
) error {
	return prove.Smoke(ctx, in(kernel), in(bin), in(json), in(write))
}

// Boot boots a kernel in a virtual machine, installs the package there and uses it, check by check.
//
// The machine has nothing but busybox and a SysV init, or the root of -root. It needs qemu's program for the
// architecture (qemu-system-x86_64, -aarch64, -arm), but not root, and takes some ten minutes without KVM, which no
// other processor's machine has. The kernel is one of Debian's (6.1; for amd64 5.10, too), or that of the host that the
// package is for, copied from its /boot and /lib/modules. The exit code is 7 when it cannot be run here.
//
// Example: mage boot -image=/boot/vmlinuz-3.10.0-1160.el7.x86_64 -modules=/lib/modules/3.10.0-1160.el7.x86_64
func Boot(ctx context.Context,
	kernel *string, // one of Debian's by its series; default 6.1
	image *string, // a kernel of your own instead
	modules *string, // its modules
	config *string, // its configuration
	calls *string, // answer the smoke test there as a kernel of that release does: just its system calls
	cgroup *string, // v1, v2, hybrid, or none: control groups that are mounted at boot; default v1
	pkg *string, // another package than the stack's latest
	to *string, // a later package: upgrade, rollback and uninstall are tried, with reboots
	quick *bool, // a few checks of the smoke test
	initramfs *bool, // under a root that is no mount: the smoke test alone
	root *string, // a tar archive of another root: a distribution's, with its own init
	run *string, // a shell command that is run there instead
	cuts *int, // cut the power so many times while install.sh, that of -to, or the command of -run runs, instead
	json *bool, // for machines
	write *bool, // make docs/kernels.md, and for other processors docs/smoke-<arch>.md, of this run and those before
) error {
	return prove.Boot(ctx, prove.BootOptions{Kernel: in(kernel), Calls: in(calls), Image: in(image),
		Modules: in(modules), Config: in(config), Cgroup: in(cgroup), Package: in(pkg), To: in(to), Root: in(root),
		Run: in(run), Cuts: in(cuts), Quick: in(quick), Initramfs: in(initramfs), JSON: in(json), Write: in(write)})
}

// Reproduce builds the stack twice, in different surroundings, and compares byte for byte.
//
// Both builds begin with empty caches; user, directory, time zone, umask, locale, number of jobs and host name differ.
// They are compared with each other, and with what is built here from the same inputs.
//
// With -cache it builds once, one component or one by chance, and compares with what the team's cache says of the same
// inputs.
//
// Example: mage reproduce -component=runc
func Reproduce(ctx context.Context,
	component *string, // one component, and what it needs
	with *string, // compare with what another drydock built in that directory instead
	record *bool, // write the digests to vendor-sources/<stack>.digests
	cache *bool, // compare with what the team's cache has
) error {
	if in(cache) {
		return prove.Challenge(ctx, in(component))
	}
	if in(with) != "" {
		return prove.Against(ctx, in(with), in(record))
	}
	return prove.Reproduce(ctx, in(component), in(record))
}

// Suites runs upstream's own tests against the built libseccomp and runc.
//
// Those of runc need root, bats, jq, gawk and busybox-static.
//
// Example: mage suites -component=runc
func Suites(ctx context.Context,
	component *string, // the tests of libseccomp or of runc alone
	write *bool, // make docs/proof.md of it
) error {
	return prove.Suites(ctx, in(component), in(write))
}
