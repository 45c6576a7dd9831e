#!/bin/sh
# Links the files that carry the GNU LGPL's libraries (libseccomp, and the C library where it is glibc) again, from the
# objects beside this script, with libraries of your own. Needs gcc; where the C library is musl, that is here, too.
#
#   sh relink.sh                               with the libseccomp beside it, and the C library of CC
#   LIBSECCOMP=/path/libseccomp.a sh relink.sh with another libseccomp; CC=/path/gcc for another compiler and C library
#   sh relink.sh runc                          one file only
#
# The results lie in out/; put them in place of the package's.
set -eu
unset CDPATH
case $0 in /*) dir=$0 ;; *) dir=./$0 ;; esac
cd "${dir%/*}"
CC=${CC:-gcc}
if [ -n "${LIBSECCOMP:-}" ]; then
	[ -f "$LIBSECCOMP" ] || { echo "relink: LIBSECCOMP=$LIBSECCOMP: no such file: name a static library, libseccomp.a" >&2; exit 1; }
	mkdir -p lib/libseccomp
	cp "$LIBSECCOMP" lib/libseccomp/libseccomp.a
fi
own=
if [ -f lib/musl/specs.in ]; then
	sed 's|MUSL/lib|../lib/musl|g' lib/musl/specs.in >lib/musl/specs # seen from the directories of the objects
	own=-specs=../lib/musl/specs
fi
[ $# -gt 0 ] || for args in */args; do set -- "$@" "${args%/args}"; done
mkdir -p out
for name; do
	[ -f "$name/args" ] || { echo "relink: $name: nothing here to link it from" >&2; exit 1; }
	# args holds the compiler's arguments as they were, with the names of the objects relative.
	(cd "$name" && "$CC" ${own:+"$own"} @args -o "../out/$name") || { echo "relink: $name: $CC failed: it must be one for the C library that README names" >&2; exit 1; }
	echo "relink: out/$name"
done
