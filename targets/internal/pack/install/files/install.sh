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
command line; 3 this host cannot run it (not root, its kernel, a noexec mount); 4 the package is damaged or its signature is
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
value() { sed -n "s/^$1=//p" "$2" 2>/dev/null | sed -n 1p; }

# check ARGUMENT...: the static helper, of the package or of the version that was copied from it.
check() {
	"${helper:-$here/init/check}" "$@"
}

# find_helper: a helper that can be run: the package may lie on a noexec mount, or have lost its modes on the way here.
find_helper() {
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

# above PATH: the nearest directory that is there.
above() {
	above=$1
	while [ -n "$above" ] && [ ! -d "$above/" ]; do above=${above%/*}; done
	say "${above:-/}"
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
		if [ -z "$below_real" ] && [ -f "$below" ]; then below_real=$(cd "${below%/*}" && cd "$(case $below_to in */*) say "${below_to%/*}/" ;; *) say . ;; esac)" 2>/dev/null && pwd -P); fi
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
	for below_path in "$prefix/bin" "$prefix/libexec/drydock" /etc/docker /etc/init.d /etc/conf.d /etc/default /etc/sysconfig /etc/systemd/system \
		/etc/cron.hourly /etc/periodic/hourly /etc/group /etc/passwd; do
		below_root "$below_path"
	done
}

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
	for f in $parts; do
		grep -qxF "$f" "$scratch.listed" || {
			say "$f: not listed in SHA256SUMS: the list is damaged or the package is not whole" >&2
			bad=1
		}
	done
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
		(cd "$1" && check sums SHA256SUMS) >&2
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

# mode_of NAME: the mode that a file of the package has, whatever became of it on the way here.
mode_of() {
	case $1 in
	docker/* | install.sh | init/check | init/service | init/rotate | init/cgroup-mount | init/docker.sysv | init/docker.openrc | init/docker.hourly | init/dbus.sysv) say 755 ;;
	iptables/* | dbus/dbus-*) say 755 ;;
	*) say 644 ;;
	esac
}

# has_mode MODE FILE
has_mode() {
	case $1:$(ls -ld "$2" 2>/dev/null) in
	755:-rwxr-xr-x* | 644:-rw-r--r--*) return 0 ;;
	esac
	return 1
}

# mend_modes DIR: gives the files of a whole version their modes again.
mend_modes() {
	sed 's/^[0-9a-f]*  //' "$1/SHA256SUMS" >"$scratch.modes"
	while read -r f; do
		mode=$(mode_of "$f")
		has_mode "$mode" "$1/$f" || chmod "$mode" "$1/$f" || return 1
	done <"$scratch.modes"
}

# first12: the beginning of a digest, which ends a version's name.
first12() { sed 's/^\(............\).*/\1/'; }

# digest FILE
digest() {
	if have sha256sum; then
		sha256sum <"$1" | sed 's/ .*//'
	else
		check digest "$1"
	fi
}

# number RELEASE: major * 1000 + minor of a kernel release, or 0.
number() {
	release_major=${1%%.*}
	release_minor=${1#*.}
	release_minor=${release_minor%%[!0-9]*}
	case $release_major in
	'' | *[!0-9]*) say 0 ;;
	*) say $((release_major * 1000 + ${release_minor:-0})) ;;
	esac
}

# patchlevel RELEASE: the third number, or 0.
patchlevel() {
	rest=${1#*.}
	case $rest in
	*.*) rest=${rest#*.} ;;
	*) rest= ;;
	esac
	rest=${rest%%[!0-9]*}
	say "${rest:-0}"
}

# set_one OPTIONS: is any of them, which | separates, set in the kernel's configuration?
set_one() {
	set_ifs=$IFS
	IFS='|'
	for option in $1; do
		IFS=$set_ifs
		if grep -qx "$option" "$scratch.config"; then return 0; fi
	done
	IFS=$set_ifs
	return 1
}

# iptables_kind: what makes dockerd's rules: an iptables of the kernel's legacy or nf_tables interface, either (another system's,
# which cannot be asked), or none.
iptables_kind() {
	if [ "$iptables" != yes ]; then
		say none
	elif [ -n "$with_iptables" ]; then
		say legacy
	elif [ -n "$root" ]; then
		say either
	else
		case $(iptables --version 2>/dev/null) in
		*nf_tables*) say nf_tables ;;
		iptables*) say legacy ;;
		*) say either ;;
		esac
	fi
}

# cgroups_here: what the running kernel lacks of control groups, where nothing mounted version 2. A kernel that has it and
# not all of version 1 gets it from init/cgroup-mount.
cgroups_here() {
	sed -n 's/^\([a-z_]*\)[[:space:]].*/\1/p' /proc/cgroups >"$scratch.groups" 2>/dev/null
	missing=
	for n in memory cpu cpuset devices freezer; do
		grep -qx $n "$scratch.groups" || missing="$missing cgroup:$n"
	done
	if [ -z "$missing" ]; then
		if grep -q '^memory[[:space:]].*[[:space:]]0$' /proc/cgroups; then
			note "the kernel's memory controller is switched off: limits of memory will not work (boot with cgroup_enable=memory)"
		fi
	elif [ "$cgroup" != v1 ] && [ "$got" -ge 4015 ] && grep -q '[[:space:]]cgroup2$' /proc/filesystems 2>/dev/null; then
		note "the kernel's control groups of version 1 are not whole (without$missing): the service mounts version 2"
	else
		lacks="$lacks$missing"
	fi
}

# kernel_check: can the kernel run this? By its release, by its configuration where there is one (init/kernel has upstream's
# own list), and by what it shows of itself.
kernel_check() {
	release=${kernel_release:-$(uname -r)}
	least=$(value kernel "$profile")
	got=$(number "$release")
	want=$(number "$least")
	[ "$got" != 0 ] || fail 2 "kernel release \"$release\": want one that begins with numbers, such as 3.10.0-1160.el7.x86_64"
	if [ "$got" -lt "$want" ] || { [ "$got" = "$want" ] && [ "$(patchlevel "$release")" -lt "$(patchlevel "$least")" ]; }; then
		fail 3 "kernel $release is too old: docker $version needs $least or newer"
	fi
	config=$kernel_config
	cgroup=$(value cgroup "$profile")
	if [ -n "$config" ]; then
		[ -r "$config" ] || fail 2 "--kernel-config: cannot read $config"
	elif [ -z "$kernel_release" ]; then
		for f in /proc/config.gz "/boot/config-$release" "/usr/src/linux-$release/.config" "/lib/modules/$release/config"; do
			if [ -r "$f" ]; then
				config=$f
				break
			fi
		done
	fi
	lacks=
	sed -n 's/^unknown /note: only the release of the kernel was checked: /p' "$here/init/kernel"
	if [ -z "$config" ]; then
		note "no configuration of kernel $release here: its options were not checked (--kernel-config=FILE names one)"
	else
		case $config in
		*.gz) gzip -dc <"$config" ;;
		*) cat "$config" ;;
		esac | sed -n 's/^CONFIG_\([A-Za-z0-9_]*\)=[ym]$/\1/p' | sort >"$scratch.config"
		[ -s "$scratch.config" ] || fail 2 "$config: no line CONFIG_...=y in it: is it a kernel's configuration?"
		need='' network='' legacy='' nftables='' cgroup1=''
		while read -r kind options from to why; do
			case $kind in
			need | network | legacy | nftables | cgroup1 | want) ;;
			*) continue ;;
			esac
			if [ "$from" != - ] && [ "$got" -lt "$(number "$from")" ]; then continue; fi
			if [ "$to" != - ] && [ "$got" -gt "$(number "$to")" ]; then continue; fi
			set_one "$options" && continue
			option=CONFIG_${options%%"|"*}
			case $kind in
			need) need="$need $option" ;;
			network) network="$network $option" ;;
			legacy) legacy="$legacy $option" ;;
			nftables) nftables="$nftables $option" ;;
			cgroup1) cgroup1="$cgroup1 $option" ;;
			want) note "kernel $release is without $option: $why" ;;
			esac
		done <"$here/init/kernel"
		lacks=$need
		case $(iptables_kind) in
		legacy) lacks=$lacks$network$legacy ;;
		nf_tables) lacks=$lacks$network$nftables ;;
		either)
			lacks=$lacks$network
			if [ -n "$legacy" ] && [ -n "$nftables" ]; then lacks=$lacks$legacy; fi
			;;
		esac
		if [ -n "$cgroup1" ] && [ "$cgroup" = v1 ]; then
			lacks=$lacks$cgroup1
		elif [ -n "$cgroup1" ]; then
			note "kernel $release has control groups of version 2 only (without$cgroup1)"
		fi
	fi
	if [ -z "$root$kernel_release$kernel_config" ]; then # it runs here: it can be asked
		if [ "$got" -lt 3017 ] && at=$(noexec /run || noexec /var/run); then
			note "$at is mounted noexec: before Linux 3.17 runc copies itself to /run/docker and runs there, and no container starts: remount it with exec"
		fi
		if [ "$got" -ge 3008 ]; then # older ones do not show them all
			for n in pid net ipc uts mnt; do
				[ -e "/proc/self/ns/$n" ] || lacks="$lacks namespace:$n"
			done
		fi
		if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then cgroups_here; fi
	fi
	[ -z "$lacks" ] || fail 3 "kernel $release cannot run docker $version: it lacks$lacks (--no-kernel-check installs all the same)"
}

# usable_iptables: is there an iptables that dockerd can use? It calls for -C, which came with 1.4.11.
# It is tried, too: the one of a newer distribution wants nf_tables, which an old kernel has not. iptables_why says why not.
usable_iptables() {
	iptables_why=''
	[ -z "$root" ] || return 1
	v=$(iptables --version 2>/dev/null | sed -n 's/^iptables v\([0-9][0-9.]*\).*/\1/p')
	if [ -z "$v" ]; then
		iptables_why="this host has no iptables"
		return 1
	fi
	n=$(number "$v")
	if [ "$n" -lt 1004 ] || { [ "$n" = 1004 ] && [ "$(patchlevel "$v")" -lt 11 ]; }; then
		iptables_why="this host's iptables $v is older than 1.4.11"
		return 1
	fi
	[ -z "$dry" ] || return 0 # to try it may load modules of the kernel
	iptables_says=$(iptables -t nat -S 2>&1 >/dev/null) && return 0
	iptables_why="this host's iptables $v does not work here: $(say "$iptables_says" | sed -n 1p)"
	return 1
}

# running_init: what starts services on this host (or in that root).
running_init() {
	if [ -z "$root" ] && [ -d /run/systemd/system ]; then
		say systemd
	elif [ -z "$root" ] && [ -d /run/openrc ]; then
		say openrc
	elif [ -n "$root" ] && quiet ls "$root/lib/systemd/systemd" && quiet ls "$root/etc/systemd/system"; then
		say systemd
	elif [ -x "$root/sbin/openrc-run" ]; then
		say openrc
	elif [ -d "$root/etc/init.d" ]; then
		say sysv
	elif [ -n "$(value init "$profile")" ]; then
		value init "$profile"
	else
		say none
	fi
}

# system_files: mode, file of init/, and where the system wants it.
system_files() {
	say "644 daemon.json /etc/docker/daemon.json"
	defaults=/etc/default/docker
	if [ -d "$root/etc/sysconfig" ]; then defaults=/etc/sysconfig/docker; fi
	hourly=
	for d in /etc/cron.hourly /etc/periodic/hourly; do
		if [ -d "$root$d" ]; then hourly=$d; fi
	done
	case $init in
	sysv)
		say "755 docker.sysv /etc/init.d/docker"
		say "644 docker.default $defaults"
		;;
	openrc)
		say "755 docker.openrc /etc/init.d/docker"
		say "644 docker.default /etc/conf.d/docker"
		;;
	systemd)
		say "644 docker.service /etc/systemd/system/docker.service"
		say "644 docker.socket /etc/systemd/system/docker.socket"
		say "644 docker.default $defaults"
		hourly=
		;;
	*) hourly= ;;
	esac
	if [ -n "$with_dbus" ] && own_bus; then say "755 dbus.sysv /etc/init.d/dbus"; fi
	if [ -n "$hourly" ]; then say "755 docker.hourly $hourly/docker-log"; fi
}

# own_bus: is a service for the package's dbus-daemon to be installed? Not where the system has its own.
own_bus() {
	[ "$init" = sysv ] && [ ! -e "$root/etc/init.d/messagebus" ] || return 1
	[ ! -e "$root/etc/init.d/dbus" ] || ours /etc/init.d/dbus
}

# render FILE: a file of init/ as it is to stand on this host.
render() {
	sed -e "s|@PREFIX@|$prefix|g" -e "s|@DEFAULTS@|$defaults|g" -e "s|@IPTABLES@|$daemon_path|g" "$here/init/$1" |
		if [ "$1" = daemon.json ] && [ "$iptables" = yes ]; then sed '/"ip6\{0,1\}tables"/d'; else cat; fi
}

# put MODE FILE TARGET: a copy that appears whole.
# The shell's own -C makes a new file, and follows no link that lies in its way.
put() {
	put_dir=${3%/*}
	put_tmp=$put_dir/.${3##*/}.drydock-tmp
	{ [ -d "$put_dir" ] || mkdir -p "$put_dir"; } && rm -f "$put_tmp" && (set -C && cat "$2" >"$put_tmp") && chmod "$1" "$put_tmp" && mv -f "$put_tmp" "$3"
}

# append LINE FILE: a line of its own, whether or not the last one has an end. It appears whole.
append() {
	append_tmp=$2.drydock-tmp
	if [ -h "$2" ]; then append_tmp=''; fi # in place: a link stays one
	append_end=''
	if [ -s "$2" ] && [ -n "$(tail -c 1 "$2")" ]; then append_end='
'; fi
	if [ -z "$append_tmp" ] || [ ! -e "$2" ]; then
		printf '%s%s\n' "$append_end" "$1" >>"$2"
		return
	fi
	rm -f "$append_tmp" && cp -p "$2" "$append_tmp" && printf '%s%s\n' "$append_end" "$1" >>"$append_tmp" && mv -f "$append_tmp" "$2"
}

# ours FILE: does the file below root stand as one of the installed versions wrote it?
ours() {
	for ours_in in "$base"/*/etc "$base/.before/etc"; do
		if [ -f "$ours_in/${1#/etc/}" ] && cmp -s "$ours_in/${1#/etc/}" "$root$1"; then return 0; fi
	done
	return 1
}

# system_in VERSION: puts a version's files into /etc, but for what its user changed or took away.
system_in() {
	from=$base/$1
	for f in $(cd "$from" && find etc -type f | sort); do
		t=/$f
		case $f in
		etc/init.d/* | etc/cron.hourly/* | etc/periodic/*) mode=755 ;;
		*) mode=644 ;;
		esac
		if [ -f "$root$t" ] && cmp -s "$from/$f" "$root$t"; then
			:
		elif [ -f "$root$t" ] && ours "$t"; then
			act "replace $root$t" put $mode "$from/$f" "$root$t"
		elif [ -e "$root$t" ] || [ -h "$root$t" ]; then
			note "$t is yours and stays as it is; this version's own is $base/$1/$f"
		elif [ -n "$complete" ] && [ "$t" = /etc/docker/daemon.json ]; then
			note "$t was taken away and stays away; this version's own is $base/$1/$f"
		else
			act "write $root$t" put $mode "$from/$f" "$root$t"
		fi
	done
}

# system_out TREE KEPT: takes the files of one version's etc out of the system's, but for what the user changed and what
# is in KEPT as well.
system_out() {
	[ -d "$1" ] || return 0
	for f in $(cd "$1" && find . -type f | sed 's|^\./||' | sort); do
		if [ -n "$2" ] && [ -f "$2/$f" ]; then continue; fi
		if [ ! -e "$root/etc/$f" ]; then
			:
		elif ours "/etc/$f"; then
			if [ -z "$root" ] && [ "$f" = init.d/dbus ]; then act "stop the system bus and take it out" drop_bus; fi
			act "remove $root/etc/$f" rm -f "$root/etc/$f"
		else
			case "$told " in
			*" $f "*) ;;
			*) note "/etc/$f was changed and stays" ;;
			esac
			told="$told $f"
		fi
	done
}

# own_service: is the init system's file for the daemon one that an installed version wrote, or not there?
own_service() {
	case $init in
	sysv | openrc) service_file=/etc/init.d/docker ;;
	systemd) service_file=/etc/systemd/system/docker.service ;;
	*) return 0 ;;
	esac
	if [ ! -e "$root$service_file" ] && [ ! -h "$root$service_file" ]; then return 0; fi
	ours "$service_file" || grep -q 'libexec/drydock/current/' "$root$service_file" 2>/dev/null
}

# service VERB: the daemon's service, on the host itself.
service() {
	case $init in
	sysv) if [ -r "$base/current/init/service" ]; then sh "$base/current/init/service" "$1" 9>&-; fi ;;
	openrc) if [ -x /etc/init.d/docker ] && own_service; then /etc/init.d/docker "$1" 9>&-; fi ;;
	systemd)
		case $1 in
		stop) systemctl stop docker.socket docker.service ;;
		*) systemctl "$1" docker.service ;;
		esac
		;;
	esac
}

# run_levels add|remove NAME: SysV's links.
run_levels() {
	if have chkconfig; then
		case $1 in
		add) chkconfig --add "$2" ;;
		*) quiet chkconfig --del "$2" ;;
		esac
	elif have update-rc.d; then
		case $1 in
		add) quiet update-rc.d "$2" defaults ;;
		*) quiet update-rc.d -f "$2" remove ;;
		esac
	elif [ "$1" = add ]; then
		note "neither chkconfig nor update-rc.d here: link /etc/init.d/$2 into your run levels yourself"
	fi
}

enable_service() {
	case $init in
	sysv)
		if [ -n "$with_dbus" ] && own_bus; then run_levels add dbus || return 1; fi
		run_levels add docker
		;;
	openrc) quiet rc-update add docker default ;;
	systemd)
		if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
		quiet systemctl enable docker.socket docker.service
		;;
	esac
}

disable_service() {
	case $init in
	sysv) run_levels remove docker ;;
	openrc) quiet rc-update del docker ;;
	systemd) quiet systemctl disable docker.socket docker.service ;;
	esac
	return 0
}

drop_bus() {
	/etc/init.d/dbus stop
	run_levels remove dbus
	return 0
}

make_group() {
	grep -q '^docker:' "$root/etc/group" 2>/dev/null && return 0
	if [ -z "$root" ] && have getent && quiet getent group docker; then return 0; fi
	if [ -z "$root" ] && have groupadd; then
		groupadd -r docker
	elif [ -z "$root" ] && have addgroup; then
		addgroup -S docker
	else
		gid=999
		while grep -q "^[^:]*:[^:]*:$gid:" "$root/etc/group" 2>/dev/null; do gid=$((gid - 1)); done
		append "docker:x:$gid:" "$root/etc/group"
	fi
}

make_bus_user() {
	grep -q '^dbus:' "$root/etc/passwd" 2>/dev/null && return 0
	if [ -z "$root" ] && have useradd; then
		useradd -r -d / -s /sbin/nologin dbus
	elif [ -z "$root" ] && have adduser; then
		adduser -S -H -h / -s /sbin/nologin dbus
	else
		uid=998
		while grep -q "^[^:]*:[^:]*:$uid:" "$root/etc/passwd" "$root/etc/group" 2>/dev/null; do uid=$((uid - 1)); done
		append "dbus:x:$uid:$uid:system bus:/:/sbin/nologin" "$root/etc/passwd" && append "dbus:x:$uid:" "$root/etc/group"
	fi
}

write_line() { say "$1" >"$2.tmp" && mv -f "$2.tmp" "$2"; }

# link_version VERSION: the commit: from here on, all commands are that version's.
link_version() {
	rm -f "$base/.current" && ln -s "$1" "$base/.current" && sync && check rename "$base/.current" "$base/current"
}

# wanted: the files that are to be commands.
wanted() {
	for w in $commands; do say "docker/$w"; done
	if [ -n "$with_dbus" ]; then for w in $bus; do say "dbus/$w"; done; fi
}

# commands_in: PREFIX/bin, through the link "current".
commands_in() {
	for f in $(wanted); do
		at=$root$prefix/bin/${f##*/}
		through=../libexec/drydock/current/$f
		if [ "$(readlink "$at" 2>/dev/null)" != "$through" ]; then
			act "link $at" relink "$through" "$at"
		fi
	done
}

# commands_out KEPT: takes out those of ours that are not among the kept.
commands_out() {
	for f in $commands $bus; do
		at=$root$prefix/bin/$f
		through=$(readlink "$at" 2>/dev/null)
		case $through in
		../libexec/drydock/current/docker/"$f" | ../libexec/drydock/current/dbus/"$f")
			case " $(printf %s "$1" | tr '\n' ' ') " in
			*" ${through#../libexec/drydock/current/} "*) ;;
			*) act "remove $at" rm -f "$at" ;;
			esac
			;;
		esac
	done
}

relink() {
	put_tmp=${2%/*}/.${2##*/}.drydock-tmp
	mkdir -p "${2%/*}" && rm -f "$put_tmp" && ln -s "$1" "$put_tmp" && mv -f "$put_tmp" "$2"
}

# copy_package ID: the package into its own directory, which nothing refers to yet (or, the second time, mends it).
copy_package() {
	to=$base/$1
	mkdir -p "$to" || return 1
	say SHA256SUMS >"$scratch.files" # first: it tells a version of ours from a user's directory
	sed 's/^[0-9a-f]*  //' "$here/SHA256SUMS" >>"$scratch.files"
	if [ -f "$here/SHA256SUMS.minisig" ]; then say SHA256SUMS.minisig >>"$scratch.files"; fi
	while read -r f; do
		mode=$(mode_of "$f")
		if [ -f "$to/$f" ] && cmp -s "$here/$f" "$to/$f"; then
			has_mode "$mode" "$to/$f" || chmod "$mode" "$to/$f" || return 1
		else
			put "$mode" "$here/$f" "$to/$f" || return 1
		fi
	done <"$scratch.files"
	if [ -f "$to/iptables/$xtables" ]; then # one program by many names, which the list of digests does not have
		for f in iptables ip6tables; do
			for suffix in '' -save -restore; do
				[ -h "$to/iptables/$f$suffix" ] || ln -s "$xtables" "$to/iptables/$f$suffix" || return 1
			done
		done
	fi
	if quiet "$to/init/check" digest "$profile"; then helper=$to/init/check; fi
	sync
	# What stands on the disk now is what counts. Files of /etc come after, they are not the package's.
	whole "$to"
}

# render_all ID: this host's form of the system's files.
render_all() {
	system_files >"$scratch.system"
	rm -rf "$base/$1/.etc"
	while read -r mode f t; do
		mkdir -p "$base/$1/.etc/${t%/*}" && render "$f" >"$base/$1/.etc$t" && chmod "$mode" "$base/$1/.etc$t" || return 1
	done <"$scratch.system"
	if [ -d "$base/$1/etc" ] && quiet diff -r "$base/$1/etc" "$base/$1/.etc/etc"; then
		rm -rf "$base/$1/.etc"
	else
		# The form before is kept until all is done: it tells a file of ours from a user's.
		if [ -d "$base/$1/etc" ]; then rm -rf "$base/.before/etc" && mkdir -p "$base/.before" && mv "$base/$1/etc" "$base/.before/etc" || return 1; fi
		mv "$base/$1/.etc/etc" "$base/$1/etc" && rmdir "$base/$1/.etc"
	fi
	printf '%s\n' "init=$init" "init_asked=$init_asked" "iptables=$iptables" "with_iptables=$with_iptables" "with_dbus=$with_dbus" >"$base/$1/.options.tmp" &&
		mv -f "$base/$1/.options.tmp" "$base/$1/.options"
}

# setting NAME FILE: the value of a setting of daemon.json, as it is written there: a word, or a list on one line.
setting() {
	[ -f "$2" ] || return 0
	tr '\n' ' ' <"$2" 2>/dev/null | sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\(\[[^]]*\]\|\"[^\"]*\"\|[^],}[:space:]]*\).*/\1/p" | tr -d '"'
}

# accepts DIR: does the dockerd there take the daemon.json that will be there, with the arguments that the service gives it?
# (dockerd before 23.0 cannot be asked.) refusal says why not; unasked, that it could not be run there.
accepts() {
	json=$root/etc/docker/daemon.json
	[ -f "$json" ] || return 0
	ours /etc/docker/daemon.json && return 0
	flags=''
	case $init in
	sysv | openrc)
		flags=--pidfile=/var/run/docker.pid
		refusal="pidfile: the service's own argument says it as well: take it out"
		if [ -n "$(setting pidfile "$json")" ]; then return 1; fi
		refusal="hosts: fd:// is systemd's: name unix:///var/run/docker.sock"
		case $(setting hosts "$json") in
		*fd://*) return 1 ;;
		esac
		;;
	systemd)
		flags='-H fd://'
		refusal="hosts: the service's own argument (-H fd://) says it as well: take it out, and name more addresses in DOCKER_OPTS"
		if [ -n "$(setting hosts "$json")" ]; then return 1; fi
		;;
	esac
	if [ -z "$root" ] && [ "$init" != none ]; then # what the operator gives the service
		for f in /etc/default/docker /etc/sysconfig/docker /etc/conf.d/docker; do
			more=$(value DOCKER_OPTS "$f")
			more=${more#[\"\']}
			flags="$flags ${more%[\"\']}"
		done
	fi
	refusal='' unasked=''
	# shellcheck disable=SC2086
	PATH=$1:$PATH "$1/dockerd" --validate --config-file="$json" $flags 2>"$scratch.validate" >/dev/null && return 0
	case $? in
	126 | 127)
		unasked=yes
		return 0
		;;
	esac
	grep -q 'unknown flag: --validate' "$scratch.validate" && return 0
	refusal=$(sed -n 1p "$scratch.validate")
	return 1
}

# storage_note DIR: says, before anything is changed, when a kept daemon.json names a storage driver that this dockerd lacks.
storage_note() {
	driver=$(setting storage-driver "$root/etc/docker/daemon.json")
	if [ -z "$driver" ] || ! grep -q '"dockerd: graph driver ' "$1/manifest.json" 2>/dev/null; then return 0; fi
	grep -q "\"dockerd: graph driver $driver\"" "$1/manifest.json" ||
		note "/etc/docker/daemon.json names the storage driver $driver, which this dockerd does not have: it will not start. It has$(sed -n 's/.*"dockerd: graph driver \([a-z0-9-]*\)".*/ \1/p' "$1/manifest.json" | tr -d '\n')"
}

# in_use: the version that a running dockerd was started from.
in_use() {
	for p in "$root/var/run/docker.pid" "$root/run/docker.pid"; do
		if [ -r "$p" ]; then
			exe=$(readlink "/proc/$(cat "$p")/exe" 2>/dev/null)
			exe=${exe#"$root"}
			case $exe in
			"$prefix/libexec/drydock/"*)
				exe=${exe#"$prefix/libexec/drydock/"}
				say "${exe%%/*}"
				return 0
				;;
			esac
		fi
	done
}

# is_version DIR: is it one that this script made? Its name ends with its list's digest.
is_version() {
	if [ -h "$1" ] || [ ! -f "$1/SHA256SUMS" ]; then return 1; fi
	case $1 in
	*/?*-????????????) [ "$(digest "$1/SHA256SUMS" | first12)" = "${1##*-}" ] ;;
	*) return 1 ;;
	esac
}

# prune: only the current version, the one before it and a running one stay.
prune() {
	rm -rf "$base/.before"
	keep=" $(readlink "$base/current") $(cat "$base/current/.previous" 2>/dev/null) $(in_use) "
	for d in "$base"/*; do
		is_version "$d" || continue
		case $keep in
		*" ${d##*/} "*) ;;
		*) act "remove the version ${d##*/}" rm -rf "$d" ;;
		esac
	done
}

# switch ID: from current to a version whose directory is whole.
switch() {
	old=$(readlink "$base/current" 2>/dev/null)
	if [ "$old" != "$1" ]; then
		if [ -n "$old" ]; then
			# It lies in the new version's directory, so that the one rename brings both.
			act "keep $old for --rollback" write_line "$old" "$base/$1/.previous"
		fi
		act "switch to $1" link_version "$1"
	fi
	if [ -z "$root" ] && [ -n "$old_init" ] && [ "$old_init" != "$init" ]; then
		new_init=$init
		init=$old_init
		act "take the service out ($init)" disable_service
		init=$new_init
	fi
	system_in "$1"
	commands_out "$(wanted)"
	if [ -n "$old" ] && [ "$old" != "$1" ]; then system_out "$base/$old/etc" "$base/$1/etc"; fi
	system_out "$base/.before/etc" "$base/$1/etc"
	if [ -z "$root" ]; then
		act "enable the service ($init)" enable_service
	elif [ "$init" != none ]; then
		note "the service is not enabled in $root: do it there (chkconfig, update-rc.d, rc-update or systemctl enable)"
	fi
	: >"$base/$1/.complete"
	prune
}

# after ID: what the operator should know.
after() {
	[ -z "$root" ] || return 0
	if [ -n "$restart" ]; then
		service restart || fail 1 "$init: the daemon did not start: the cause stands above or in /var/log/docker.log"
		return 0
	fi
	run=$(in_use)
	if [ -n "$run" ] && [ "$run" != "$1" ]; then
		note "the daemon that runs is still $run: restart it when it suits you"
	fi
}

# at_work PID: is that process an installer? The number may be another's by now.
at_work() {
	quiet kill -0 "$1" || return 1
	[ -r "/proc/$1/cmdline" ] || return 0
	tr '\0' ' ' <"/proc/$1/cmdline" | grep -q 'install\.sh'
}

# lock: one installer at a time. The lock is flock(2)'s, on descriptor 9, which the helper takes and this shell keeps: it
# goes with this process, whatever ends it. The link .lock is what installers before this one look at.
lock() {
	for f in .lock .locked; do
		if [ -e "$base/$f" ] && [ ! -h "$base/$f" ] && { [ "$f" = .lock ] || [ ! -f "$base/$f" ]; }; then
			fail 5 "$base/$f: is not of this installer, whose lock would be there: move it away; nothing was changed"
		fi
	done
	if [ -h "$base/.locked" ]; then fail 5 "$base/.locked: is a link, and not of this installer: remove it; nothing was changed"; fi
	exec 9>>"$base/.locked" || fail 1 "$base: cannot be written"
	if [ -n "$helper" ]; then
		check lock <&9 >"$scratch.lock" 2>&1
		if [ $? = 1 ]; then fail 6 "another installer ($(readlink "$base/.lock" 2>/dev/null | sed 's/^/process /')) is at work in $base"; fi
	fi
	tries=0
	while ! ln -s $$ "$base/.lock" 2>/dev/null; do
		pid=$(readlink "$base/.lock" 2>/dev/null)
		tries=$((tries + 1))
		if [ $tries -gt 5 ]; then fail 1 "$base/.lock: cannot be made"; fi
		if [ -n "$pid" ] && [ "$pid" != $$ ] && at_work "$pid"; then fail 6 "another installer (process $pid) is at work in $base"; fi
		rm -f "$base/.lock" # of one that was killed
	done
	locked=yes
}

leave() {
	rm -rf "${scratch%/x}"
	if [ -n "$helper_copy" ]; then rm -f "$helper_copy"; fi
	if [ -n "$locked" ]; then
		rm -f "$base/.lock"
		# Held to the end; it goes with the last version.
		if [ ! -h "$base/current" ] && [ -z "$(ls "$base")" ]; then rm -f "$base/.locked"; fi
		rmdir "$base" 2>/dev/null
	fi
}

# remembered NAME: says that a choice was made when the installed version was.
remembered() {
	case " $said_with " in
	*" $1 "*) ;;
	*) say " (said when $(readlink "$base/current") was installed, and remembered)" ;;
	esac
}

# check_signature: by the key that was named, or the one that an earlier package was installed with. A forged package can
# bring a forged init/check: the host's minisign or the installed version's is asked first.
check_signature() {
	asked=--key
	if [ -z "$key" ] && [ -f "$base/.key" ] && [ -z "$forget_key" ]; then
		key=$base/.key
		asked="the key of the installed version"
	fi
	if [ -z "$key" ]; then return 0; fi
	[ -r "$key" ] || fail 2 "--key: cannot read $key"
	if [ -f "$base/.key" ] && [ -z "$forget_key" ] && [ "$(sed -n 2p "$key")" != "$(sed -n 2p "$base/.key")" ]; then
		fail 4 "--key: $key is not the key that the installed version was signed with: --forget-key takes the new one; nothing was changed"
	fi
	[ -f "$here/SHA256SUMS.minisig" ] || fail 4 "$asked: the package is not signed (no SHA256SUMS.minisig)$(case $asked in the*) say '; --forget-key takes it all the same' ;; esac); nothing was changed"
	if have minisign; then
		minisign -V -q -p "$key" -m "$here/SHA256SUMS" -x "$here/SHA256SUMS.minisig" >"$scratch.signed" 2>&1 || {
			sed -n 1p "$scratch.signed" >&2
			fail 4 "SHA256SUMS: the signature is not good, says this host's minisign (see above); nothing was changed"
		}
	elif quiet "$base/current/init/check" digest "$profile"; then
		"$base/current/init/check" signature "$key" "$here/SHA256SUMS" "$here/SHA256SUMS.minisig" >&2 ||
			fail 4 "SHA256SUMS: the signature is not good, says the installed version (see above); nothing was changed"
	elif [ -n "$helper" ]; then
		check signature "$key" "$here/SHA256SUMS" "$here/SHA256SUMS.minisig" >&2 || fail 4 "SHA256SUMS: the signature is not good (see above); nothing was changed"
		note "the signature was checked by a program of the package itself (no minisign here, nothing installed): that finds damage, and no forger who changed it"
	else
		fail 3 "--key: nothing here can check a signature (no minisign, and init/check cannot be run); nothing was changed"
	fi
}

# older A B: is version A older than B?
older() {
	older_a=$(number "$1")
	older_b=$(number "$2")
	[ "$older_a" -lt "$older_b" ] || { [ "$older_a" = "$older_b" ] && [ "$(patchlevel "$1")" -lt "$(patchlevel "$2")" ]; }
}

# places_free: no file of somebody else is where a command goes.
places_free() {
	for f in $(wanted); do
		at=$root$prefix/bin/${f##*/}
		if [ -e "$at" ] || [ -h "$at" ]; then
			case $(readlink "$at" 2>/dev/null) in
			../libexec/drydock/current/"$f") ;;
			*) fail 5 "$at is there and not of this installer: move it away, or choose another --prefix; nothing was changed" ;;
			esac
		fi
	done
}

install_package() {
	whole "$here" || fail 4 "the package in $here is damaged or not whole (see above): copy it again; nothing was changed"
	check_signature
	if [ -n "$with_iptables" ] && [ ! -f "$here/iptables/$xtables" ]; then
		fail 5 "--with-iptables$(remembered iptables): this package carries no iptables: build its stack with extras = [\"iptables\"], or say --without-iptables"
	fi
	if [ -n "$with_dbus" ] && [ ! -f "$here/dbus/dbus-daemon" ]; then
		fail 5 "--with-dbus$(remembered dbus): this package carries no dbus: build its stack with extras = [\"dbus\"], or say --without-dbus"
	fi
	if [ -z "$no_kernel" ]; then kernel_check; fi
	places_free
	old=$(readlink "$base/current" 2>/dev/null)
	if [ -n "$old" ] && [ -z "$downgrade" ] && older "$version" "${old%-*}"; then
		fail 5 "docker ${old%-*} is installed, and $version is older: --downgrade installs it (--rollback goes back to the version before); nothing was changed"
	fi
	if [ -z "$root" ]; then
		at=$(noexec "$(above "$prefix")") && fail 3 "$prefix: nothing can be run there: $at is mounted noexec: remount it, or choose another --prefix; nothing was changed"
	fi
	if [ -n "$restart" ] && ! own_service; then
		fail 5 "--restart: $service_file is not of this installer, and starts another daemon: move it away and say this again; nothing was changed"
	fi
	storage_note "$here"
	new=$version-$(digest "$here/SHA256SUMS" | first12)
	need=$(($(du -sk "$here" | sed 's/[^0-9].*//') + 1024))
	at=$(above "$root$prefix")
	# The last line's fields end in: available, used %, where it is mounted.
	free=$(df -kP "$at/" 2>/dev/null | sed -n '$p' | sed 's/^.* \([0-9][0-9]*\)  *[0-9]*%.*/\1/')
	case $free in
	'' | *[!0-9]*) ;;
	*) if [ ! -d "$base/$new" ] && [ "$free" -lt "$need" ]; then fail 1 "$at: has $free KiB free, needs $need; nothing was changed"; fi ;;
	esac
	accepts "$here/docker" || fail 5 "$root/etc/docker/daemon.json is not accepted by dockerd $version: $refusal; change it first; nothing was changed"
	if [ ! -d "$base/$new" ]; then fresh=yes; fi
	act "copy the package to $base/$new" copy_package "$new"
	if [ -n "$dry" ]; then
		system_files >"$scratch.system"
		while read -r _ f t; do
			render "$f" >"$scratch.rendered"
			if [ -f "$root$t" ] && cmp -s "$scratch.rendered" "$root$t"; then
				:
			elif [ ! -e "$root$t" ]; then
				if [ -n "$complete" ] && [ "$f" = daemon.json ]; then note "$t was taken away and stays away"; else say "would write $root$t"; fi
			elif ours "$t"; then
				say "would replace $root$t"
			else
				note "$t is yours and stays as it is"
			fi
		done <"$scratch.system"
		commands_in
		grep -q '^docker:' "$root/etc/group" 2>/dev/null || say "would make the group docker"
		if [ "$old" = "$new" ]; then
			say "docker $version ($new) is installed already"
		else
			if [ -n "$old" ]; then say "would keep $old for --rollback"; fi
			say "would switch to $new"
		fi
		if [ -z "$root" ]; then say "would enable the service ($init)"; fi
		if [ -n "$restart" ]; then say "would restart the daemon"; fi
		return 0
	fi
	if [ -n "$unasked" ] && ! accepts "$base/$new/docker"; then # the package lies where nothing can be run
		if [ -n "$fresh" ]; then rm -rf "${base:?}/$new"; fi
		fail 5 "$root/etc/docker/daemon.json is not accepted by dockerd $version: $refusal; change it first; nothing was changed"
	fi
	if [ -n "$unasked" ]; then note "$base/$new/docker/dockerd cannot be run here: $root/etc/docker/daemon.json was not checked"; fi
	act "write the system's files for this host" render_all "$new"
	act "make the group docker" make_group
	if [ -n "$with_dbus" ]; then act "make the user dbus" make_bus_user; fi
	commands_in
	switch "$new"
	if [ -n "$forget_key" ]; then rm -f "$base/.key"; fi
	if [ -n "$key" ] && [ "$key" != "$base/.key" ]; then
		act "remember the key in $base/.key" put 644 "$key" "$base/.key"
	fi
	if [ "$old" = "$new" ]; then
		say "docker $version ($new) is installed in $root$prefix"
	elif [ -n "$old" ]; then
		say "docker $version ($new) is installed in $root$prefix; --rollback goes back to $old"
	else
		say "docker $version ($new) is installed in $root$prefix"
	fi
	if ours /etc/docker/daemon.json; then
		if [ -n "$with_iptables" ]; then
			say "iptables: dockerd makes its rules with the package's own"
		elif [ "$iptables" = yes ]; then
			say "iptables: dockerd makes its rules with this host's"
		else
			say "iptables: off in daemon.json${iptables_why:+ ($iptables_why; --with-iptables takes that of the package, where it has one)}; published ports go through docker-proxy, containers reach the outside only by routes that you make"
		fi
	fi
	if [ -n "$with_dbus" ] && ! grep -q ' /etc/init.d/dbus$' "$scratch.system"; then
		note "dbus: this host has a bus of its own, or an init system that brings one: ours is a command only"
	fi
	after "$new"
}

roll_back() {
	old=$(readlink "$base/current" 2>/dev/null)
	[ -n "$old" ] || fail 7 "nothing is installed in $root$prefix"
	to=$(cat "$base/current/.previous" 2>/dev/null)
	if [ -z "$to" ] || [ ! -d "$base/$to" ]; then fail 7 "no version before $old is here"; fi
	whole "$base/$to" || fail 4 "the version $to is damaged (see above): install its package again; nothing was changed"
	init=$(value init "$base/$to/.options")
	with_dbus=$(value with_dbus "$base/$to/.options")
	accepts "$base/$to/docker" || fail 5 "$root/etc/docker/daemon.json is not accepted by the dockerd of $to: $refusal; change it first; nothing was changed"
	places_free
	if [ -n "$dry" ]; then
		say "would switch from $old to $to and put its files into /etc"
		return 0
	fi
	act "mend the modes of $to" mend_modes "$base/$to"
	commands_in
	switch "$to"
	say "$to is installed in $root$prefix; --rollback goes back to $old"
	after "$to"
}

uninstall() {
	old=$(readlink "$base/current" 2>/dev/null)
	if [ -z "$old" ] && ! quiet ls -d "$base"/*/SHA256SUMS; then
		say "nothing is installed in $root$prefix"
		return 0
	fi
	if [ -n "$old" ]; then init=$(value init "$base/$old/.options"); fi
	if [ -z "$root" ]; then
		if [ -n "$(in_use)" ]; then act "stop the daemon and its containers" service stop; fi
		act "take the service out ($init)" disable_service
	fi
	for d in "$base"/*; do
		if [ ! -h "$d" ]; then system_out "$d/etc" ""; fi
	done
	system_out "$base/.before/etc" ""
	if [ -z "$root" ] && [ "$init" = systemd ] && [ -d /run/systemd/system ]; then act "reload systemd" systemctl daemon-reload; fi
	commands_out ''
	act "remove $base/current" rm -f "$base/current"
	for d in "$base"/*; do
		if is_version "$d"; then
			act "remove $d" rm -rf "$d"
		elif [ -d "$d" ] && [ ! -h "$d" ]; then
			note "$d is not of this installer, and stays"
		fi
	done
	if [ -z "$dry" ]; then
		rm -rf "$base/.before" "$base/.current" "$base/.key"
		rmdir "$root/etc/docker" 2>/dev/null
		bus_stays=''
		if [ -n "$with_dbus" ] && grep -q '^dbus:' "$root/etc/passwd" 2>/dev/null; then bus_stays=', the user and the group dbus'; fi
		say "uninstalled from $root$prefix; what stays: /var/lib/docker, /var/lib/containerd, /var/log/docker.log, the group docker$bus_stays, and what you changed"
	fi
}

status() {
	old=$(readlink "$base/current" 2>/dev/null)
	if [ -z "$old" ]; then
		say "nothing is installed in $root$prefix"
		return 0
	fi
	say "installed: $old"
	to=$(cat "$base/current/.previous" 2>/dev/null)
	if [ -n "$to" ]; then say "before:    $to"; fi
	run=$(in_use)
	if [ -n "$run" ]; then say "running:   $run"; fi
}

main() {
	LC_ALL=C
	export LC_ALL
	PATH=$PATH:/usr/sbin:/sbin # "su" leaves them out
	export PATH
	umask 022
	commands="containerd containerd-shim-runc-v2 ctr docker docker-init docker-proxy dockerd runc"
	bus="dbus-daemon dbus-send dbus-uuidgen" xtables=xtables-legacy-multi
	dry='' locked='' helper='' helper_copy='' said_with='' forget_key='' downgrade='' iptables_why='' refusal='' unasked='' fresh='' old_init='' told='' root='' prefix='' init='' key='' restart='' no_kernel='' kernel_config='' kernel_release='' complete=''
	with_iptables=unset with_dbus=unset verb=install_package
	for a in "$@"; do
		case $a in
		--help | -h)
			usage
			exit 0
			;;
		--prefix=/* | --root=/*)
			case ${a#*=} in
			*[!A-Za-z0-9/._+-]* | */../* | */..) fail 2 "${a%%=*}: got \"${a#*=}\", want an absolute path of letters, digits and / . _ + -" ;;
			esac
			path=${a#*=}
			while [ "$path" != "${path%/}" ]; do path=${path%/}; done
			case $a in
			--prefix=*) prefix=${path:-/} ;;
			*) root=$path ;;
			esac
			;;
		--init=sysv | --init=openrc | --init=systemd | --init=none) init=${a#*=} ;;
		--with-iptables) with_iptables=yes said_with="$said_with iptables" ;;
		--without-iptables) with_iptables='' ;;
		--with-dbus) with_dbus=yes said_with="$said_with dbus" ;;
		--without-dbus) with_dbus='' ;;
		--restart) restart=yes ;;
		--key=?*) key=${a#*=} ;;
		--forget-key) forget_key=yes ;;
		--downgrade) downgrade=yes ;;
		--kernel-config=?*) kernel_config=${a#*=} ;;
		--kernel-release=?*) kernel_release=${a#*=} ;;
		--no-kernel-check) no_kernel=yes ;;
		--dry-run) dry=yes ;;
		--rollback) verb=roll_back ;;
		--uninstall) verb=uninstall ;;
		--status) verb=status ;;
		*) fail 2 "got \"$a\", want one of the options that --help lists" ;;
		esac
	done
	CDPATH='' # cd would say where it went
	here=$(cd "${0%/*}" 2>/dev/null && pwd -P) || here=$(pwd -P)
	case $0 in */*) ;; *) here=$(pwd -P) ;; esac
	case $here in
	*[!A-Za-z0-9/._+~@,=-]*) fail 2 "the package lies in \"$here\": want a path without blanks and special characters" ;;
	esac
	profile=$here/init/profile
	version=$(value version "$profile")
	[ -n "$version" ] || fail 4 "$profile: not there or damaged: unpack the whole package and run the install.sh in it"
	parts="install.sh manifest.json"
	for f in $commands; do parts="$parts docker/$f"; done
	for f in check profile kernel daemon.json service rotate cgroup-mount; do parts="$parts init/$f"; done
	case $here in # an installed one knows its prefix
	"$root"/*/libexec/drydock/*)
		if [ -z "$prefix" ]; then
			prefix=${here#"$root"}
			prefix=${prefix%/libexec/drydock/*}
		fi
		;;
	esac
	prefix=${prefix:-/usr/local}
	if [ "$prefix" = / ]; then prefix=; fi
	base=$root$prefix/libexec/drydock
	[ -d "$root/" ] || fail 2 "--root: no such directory: $root"
	if [ -z "$root" ] && [ "$(id -u)" != 0 ] && [ -z "$dry" ] && [ $verb != status ]; then
		fail 3 "must be run by root (or with --root=DIR, or --dry-run)"
	fi

	# Scratch files lie in a directory that only we can write.
	scratch=${TMPDIR:-/tmp}/drydock-install.$$
	rm -rf "$scratch"
	(umask 077 && mkdir "$scratch") || fail 1 "cannot make $scratch"
	scratch=$scratch/x
	trap leave 0
	trap 'exit 130' 1 2 15
	if [ $verb != status ]; then all_below_root; fi
	find_helper
	if [ -z "$dry" ] && [ $verb != status ]; then
		mkdir -p "$base" || fail 1 "cannot make $base"
		lock
	fi
	# What was chosen the last time goes on until something else is asked.
	now=$base/current/.options
	if [ -e "$base/current/.complete" ]; then complete=yes; fi
	if [ "$with_dbus" = unset ]; then with_dbus=$(value with_dbus "$now"); fi
	iptables=$(value iptables "$profile")
	if [ "$with_iptables" = unset ]; then
		with_iptables=$(value with_iptables "$now")
		if [ -z "$iptables" ]; then iptables=$(value iptables "$now"); fi
	fi
	if [ -n "$with_iptables" ]; then
		iptables=yes
	elif [ -z "$iptables" ]; then
		iptables=no
		if usable_iptables; then iptables=yes; fi
	fi
	old_init=$(value init "$now")
	init_asked=${init:-$(value init_asked "$now")}
	init=${init_asked:-$(running_init)}
	daemon_path=
	if [ -n "$with_iptables" ]; then daemon_path=:$prefix/libexec/drydock/current/iptables; fi
	$verb
}

main "$@"
