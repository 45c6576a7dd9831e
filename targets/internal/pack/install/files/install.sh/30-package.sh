# whole DIR: every file of an unpacked package is listed and has the digest of the list; bad ones are named.
whole() {
	[ -f "$1/SHA256SUMS" ] || {
		say "SHA256SUMS: not there" >&2
		return 1
	}
	bad=0
	# What is not listed would go unchecked: a list that was cut short must not pass.
	(cd "$1" && find . -type f ! -name '.*' | sed -e 's|^\./||' -e '/^SHA256SUMS$/d' -e '/^SHA256SUMS.minisig$/d' -e '/^\.*etc\//d' | sort) >"$scratch.there"
	sed -n 's/^[0-9a-f]\{64\}  //p' "$1/SHA256SUMS" | sort >"$scratch.listed"
	if [ "$(sed -n '$=' "$1/SHA256SUMS")" != "$(sed -n '$=' "$scratch.listed")" ]; then
		say "SHA256SUMS: damaged: not every line is a digest and a name" >&2
		bad=1
	fi
	for f in install.sh manifest.json; do say "$f"; done >"$scratch.parts"
	for f in check profile kernel daemon.json service rotate cgroup-mount; do say "init/$f"; done >>"$scratch.parts"
	whole_has=$(value commands "$1/init/profile") # packages of drydock 0.3.0 and before do not say it
	for f in ${whole_has:-containerd docker dockerd runc}; do say "docker/$f"; done >>"$scratch.parts"
	grep -vxF -f "$scratch.listed" "$scratch.parts" >"$scratch.unlisted" && {
		sed 's/$/: not listed in SHA256SUMS: the list is damaged or the package is not whole/' "$scratch.unlisted" >&2
		bad=1
	}
	grep -vxF -f "$scratch.listed" "$scratch.there" >"$scratch.extra" && {
		sed 's/$/: is there, but not listed in SHA256SUMS/' "$scratch.extra" >&2
		bad=1
	}
	if have sha256sum; then
		(cd "$1" && sha256sum -c SHA256SUMS) >"$scratch.sums" 2>&1
		sums=$?
		sed -n 's/: FAILED.*/: is not what SHA256SUMS says: damaged/p' "$scratch.sums" >&2
		[ $sums = 0 ] || bad=1
	else
		(cd "$1" && judge sums SHA256SUMS) >&2
		case $? in
		0) ;;
		1) bad=1 ;;
		*)
			say "init/check: cannot be run from $1 (mounted noexec? a damaged file? a kernel older than $(value kernel "$profile")?), and there is no sha256sum" >&2
			bad=1
			;;
		esac
	fi
	return $bad
}

# mode_of NAME sets mode: what a file of the package has, whatever became of it on the way here.
mode_of() {
	case $1 in
	docker/* | install.sh | init/check | init/service | init/rotate | init/cgroup-mount | init/docker.sysv | init/docker.openrc | init/docker.hourly | init/dbus.sysv) mode=755 ;;
	iptables/* | dbus/dbus-*) mode=755 ;;
	*) mode=644 ;;
	esac
}

# mend_modes DIR: gives the files and directories of a whole version their modes again.
mend_modes() {
	say SHA256SUMS >"$scratch.modes"
	sed 's/^[0-9a-f]*  //' "$1/SHA256SUMS" >>"$scratch.modes"
	right=$(cd "$1" && find . -type f -perm 644 | sed 's/^\./644 ./' && find . -type f -perm 755 | sed 's/^\./755 ./') || return 1
	mended=$1
	set -- # the programs that are to be mended, for one chmod
	while read -r f; do
		mode_of "$f"
		case "$right
" in
		*"$mode ./$f
"*) ;;
		*) if [ $mode = 755 ]; then set -- "$@" "$mended/$f"; else chmod $mode "$mended/$f" || return 1; fi ;;
		esac
	done <"$scratch.modes"
	[ $# = 0 ] || chmod 755 "$@" || return 1
	find "$mended" -type d ! -perm 755 >"$scratch.modes"
	while read -r f; do chmod 755 "$f" || return 1; done <"$scratch.modes"
}

# first12: the beginning of a digest, which ends a version's name.
first12() { sed 's/^\(............\).*/\1/'; }

# digest FILE
digest() {
	if have sha256sum; then
		sha256sum <"$1" | sed 's/ .*//'
	else
		judge digest "$1"
	fi
}

