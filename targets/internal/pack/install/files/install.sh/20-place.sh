# check ARGUMENT...: the static helper, of the package or of the version that was copied from it.
check() {
	"${helper:-$here/init/check}" "$@"
}

# judge ARGUMENT...: the helper of the installed version, where there is one: a forged package brings a forged helper.
judge() {
	"${trusted:-${helper:-$here/init/check}}" "$@"
}

# find_helper: a helper that can be run: the package may lie on a noexec mount, or have lost its modes on the way here.
find_helper() {
	trusted=''
	if quiet "$base/current/init/check" digest "$profile"; then trusted=$base/current/init/check; fi
	for helper in "$here/init/check" "$base/current/init/check"; do
		if quiet "$helper" digest "$profile"; then return 0; fi
	done
	for d in "${scratch%/x}" /run /var/run /dev/shm "$root$prefix" /root; do
		if [ ! -d "$d" ] || [ ! -w "$d" ]; then continue; fi
		helper=$d/.drydock-check.$$
		rm -f "$helper"
		helper_copy=$helper
		if (set -C && cat "$here/init/check" >"$helper") 2>/dev/null && chmod 700 "$helper" && quiet "$helper" digest "$profile"; then return 0; fi
		rm -f "$helper"
		helper_copy=''
	done
	helper=''
	have sha256sum || fail 3 "init/check cannot be run from anywhere here (mounted noexec? a damaged file? a kernel older than $(value kernel "$profile")?), and there is no sha256sum: TMPDIR=DIR names a place where programs may run; nothing was changed"
}

# mount_of DIR: the mount that a directory lies on, and its options.
mount_of() {
	mount_path=$(cd "$1" 2>/dev/null && pwd -P) || return 1
	mount_found=
	while read -r _ mount_at _ mount_options _; do
		case $mount_path/ in
		"${mount_at%/}"/*) if [ ${#mount_at} -ge ${#mount_found} ]; then
			mount_found=$mount_at
			mount_has=$mount_options
		fi ;;
		esac
	done </proc/mounts 2>/dev/null
	[ -n "$mount_found" ] && say "$mount_found $mount_has"
}

# noexec DIR: is it on a mount where nothing can be run? Its mount is named.
noexec() {
	noexec_mount=$(mount_of "$1") || return 1
	case ",${noexec_mount##* }," in
	*,noexec,*) say "${noexec_mount%% *}" ;;
	*) return 1 ;;
	esac
}

# read_only DIR: is it on a mount that cannot be written? Its mount is named.
read_only() {
	read_only_mount=$(mount_of "$1") || return 1
	case ",${read_only_mount##* }," in
	*,ro,*) say "${read_only_mount%% *}" ;;
	*) return 1 ;;
	esac
}

# above PATH: the nearest directory that is there.
above() {
	above=$1
	while [ -n "$above" ] && [ ! -d "$above/" ]; do above=${above%/*}; done
	say "${above:-/}"
}

# clear_way DIR: what is there of its path is a directory, or a link to one.
clear_way() {
	way=$(above "$1")
	way=${way%/}
	next=${1#"$way"}
	next=${next#/}
	next=$way/${next%%/*}
	if [ "$next" != "$way/" ] && { [ -e "$next" ] || [ -h "$next" ]; }; then
		fail 5 "$next: is no directory, and $1 is to be one: move it away; nothing was changed"
	fi
}

# current_is_ours: the link "current" names a version beside it.
current_is_ours() {
	current_to=$(readlink "$base/current" 2>/dev/null)
	case $current_to in
	'') if [ ! -e "$base/current" ] && [ ! -h "$base/current" ]; then return 0; fi ;;
	*/* | .*) ;;
	*) return 0 ;;
	esac
	fail 5 "$base/current: got ${current_to:+a link to }${current_to:-a file or directory}, want a link to a version beside it: it is not of this installer: move it away; nothing was changed"
}

# below_root PATH: everything that is written there stays below --root: an absolute link, or one that leads out, is refused.
below_root() {
	[ -n "$root" ] || return 0
	below=$root
	below_ifs=$IFS
	IFS=/
	for part in $1; do
		IFS=$below_ifs
		if [ -z "$part" ]; then continue; fi
		below=$below/$part
		if [ ! -h "$below" ]; then continue; fi
		below_to=$(readlink "$below")
		below_real=$(cd "$below" 2>/dev/null && pwd -P)
		if [ -z "$below_real" ] && [ -f "$below" ]; then
			below_dir=.
			case $below_to in */*) below_dir=${below_to%/*}/ ;; esac
			below_real=$(cd "${below%/*}" && cd "$below_dir" 2>/dev/null && pwd -P)
		fi
		case $below_to:$below_real/ in
		/*) ;;
		*:"$real_root"/*) continue ;;
		esac
		fail 5 "$below: is a link to $below_to, which is not below $root: what goes there would be written to this host; make the link relative, or remove it; nothing was changed"
	done
	IFS=$below_ifs
}

# all_below_root: all that this script writes to.
all_below_root() {
	[ -n "$root" ] || return 0
	real_root=$(cd "$root" && pwd -P)
	real_root=${real_root%/}
	for below_path in "$prefix/bin" "$prefix/libexec/drydock" "$prefix/libexec/docker/$plugins" /etc/docker /etc/init.d /etc/conf.d /etc/default /etc/sysconfig /etc/systemd/system \
		/etc/cron.hourly /etc/periodic/hourly /etc/group /etc/passwd; do
		below_root "$below_path"
	done
}

