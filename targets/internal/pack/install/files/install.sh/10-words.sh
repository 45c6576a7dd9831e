#!/bin/sh
# Installs this package: see --help. It is written for the oldest /bin/sh and the oldest coreutils that it may meet (bash
# 3.0, coreutils 5.2.1): no local (so that names must not meet), no arrays, no sha256sum, no mv -T, no readlink -f, no mktemp. What those hosts cannot
# do (SHA-256, a rename over a link) the static init/check does.
#
# Each version has a directory of its own, PREFIX/libexec/drydock/<version>-<digest>. The commands in PREFIX/bin go through the
# one link "current" beside it, so that one rename changes all of them: whatever kills this script leaves the whole old
# version or the whole new one, and the same command run again finishes the work.

usage() {
	cat <<'END'
usage: sh install.sh [option...]              install or upgrade, from the unpacked package
       sh install.sh --rollback|--uninstall|--status [option...]

  --prefix=DIR        where to (default /usr/local): DIR/bin, DIR/libexec/drydock
  --root=DIR          into another system's root, such as a disk image; nothing is started or enabled there
  --init=NAME         sysv, openrc, systemd, none; default: what this host runs
  --with-iptables     dockerd uses the package's own iptables (--without-iptables: no longer)
  --with-dbus         the package's own dbus-daemon as well (--without-dbus: no longer)
  --restart           (re)start the daemon at the end; else a running one stays what it is until you restart it
  --key=FILE          a minisign public key that must have signed SHA256SUMS; it is remembered, and asked of every later package
  --forget-key        forget the remembered key: a package without a signature, or with another key's, is taken
  --downgrade         install a version that is older than the installed one (--rollback needs no word)
  --kernel-config=FILE, --kernel-release=RELEASE
                      the kernel that will run this, when it is not the one that runs now
  --no-kernel-check   do not look at the kernel
  --dry-run           say what would be done, and do nothing
  --rollback          back to the version before; again: forward
  --uninstall         stop the daemon and remove all but data (images, volumes, logs), what you changed, and the group
  --status            which versions are here

A changed daemon.json, init script or default file is never overwritten. An upgrade keeps the version before it.

exit codes: 0 done, or nothing to do; 1 a step failed (it says which; the version before goes on working); 2 wrong
command line; 3 this host cannot run it (not root, its processor or kernel, a noexec mount); 4 the package is damaged or its signature is
not good; 5 something of yours is in the way (it says what), or a word of yours is needed (--downgrade); 6 another installer is at work; 7 no version to go back to;
130 interrupted
END
}

say() { printf '%s\n' "$*"; }
note() { printf 'note: %s\n' "$*"; }
# fail CODE WORDS
fail() {
	code=$1
	shift
	printf 'install.sh: %s\n' "$*" >&2
	exit "$code"
}

# act WORDS COMMAND...: one change of the system, or with --dry-run its words.
act() {
	words=$1
	shift
	if [ -n "$dry" ]; then
		say "would $words"
		return 0
	fi
	"$@" || fail 1 "$words: failed; run the same command again when the cause is gone"
}

have() { command -v "$1" >/dev/null 2>&1; }

quiet() { "$@" >/dev/null 2>&1; }

# value NAME FILE: the value of the line NAME=value.
value() { sed -n "/^$1=/{
s/^$1=//p
q
}" "$2" 2>/dev/null; }

