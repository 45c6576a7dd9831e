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

# clear_temporary FILE: nothing lies there, and its directory is there.
clear_temporary() {
	[ -d "${1%/*}" ] || mkdir -p "${1%/*}" || return 1
	if [ -e "$1" ] || [ -h "$1" ]; then rm -f "$1"; fi
}

# put MODE FILE TARGET: a copy that appears whole.
# The shell's own -C makes a new file, and follows no link that lies in its way.
put() {
	put_tmp=${3%/*}/.${3##*/}.drydock-tmp
	clear_temporary "$put_tmp" && (set -C && cat "$2" >"$put_tmp") && chmod "$1" "$put_tmp" && mv -f "$put_tmp" "$3"
}

# append LINE FILE: a line of its own, whether or not the last one has an end. It appears whole.
append() {
	mkdir -p "${2%/*}" || return 1
	append_tmp=$2.drydock-tmp
	if [ -h "$2" ]; then append_tmp=''; fi # in place: a link stays one
	append_end=''
	if [ -s "$2" ] && [ -n "$(tail -c 1 "$2")" ]; then append_end='
'; fi
	if [ -z "$append_tmp" ] || [ ! -e "$2" ]; then
		printf '%s%s\n' "$append_end" "$1" >>"$2"
		return
	fi
	rm -f "$append_tmp" && cp -p "$2" "$append_tmp" && printf '%s%s\n' "$append_end" "$1" >>"$append_tmp" || return 1
	quiet mv -f "$append_tmp" "$2" && return 0
	rm -f "$append_tmp" # the file is a mount of its own, as in a container
	printf '%s%s\n' "$append_end" "$1" >>"$2"
}

# ours FILE: does the file below root stand as one of the installed versions wrote it? They write no links.
ours() {
	if [ -h "$root$1" ]; then return 1; fi
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
	systemd)
		service_file=/etc/systemd/system/docker.service.d
		case $(last_exec_start) in
		'' | *libexec/drydock/current/docker/dockerd*) ;;
		*) return 1 ;;
		esac
		service_file=/etc/systemd/system/docker.service
		;;
	*) return 0 ;;
	esac
	if [ ! -e "$root$service_file" ] && [ ! -h "$root$service_file" ]; then return 0; fi
	ours "$service_file" || grep -q 'libexec/drydock/current/' "$root$service_file" 2>/dev/null
}

# service VERB: the daemon's service, on the host itself.
service() {
	case $init in
	sysv | openrc)
		if [ "$init" = openrc ] && [ -x /etc/init.d/docker ] && own_service; then
			/etc/init.d/docker "$1" 9>&-
		elif [ -r "$base/current/init/service" ]; then
			sh "$base/current/init/service" "$1" 9>&-
		fi
		;;
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

# there NAME FILE: does the group or the user exist (FILE is group or passwd)?
there() {
	grep -q "^$1:" "$root/etc/$2" 2>/dev/null && return 0
	[ -z "$root" ] && have getent && quiet getent "$2" "$1"
}

# free_id FROM FILE...: the first number below FROM, or FROM, that these files do not give out.
free_id() {
	id=$1
	shift
	while cat "$@" 2>/dev/null | grep -q "^[^:]*:[^:]*:$id:"; do id=$((id - 1)); done
	say "$id"
}

# make_group NAME
make_group() {
	there "$1" group && return 0
	if [ -z "$root" ]; then # Debian's groupadd had no -r before 2009; where the file is a mount of its own, none works
		if have groupadd; then
			{ quiet groupadd -r "$1" || quiet groupadd "$1"; } && return 0
		elif have addgroup; then
			quiet addgroup -S "$1" && return 0
		fi
	fi
	append "$1:x:$(free_id 999 "$root/etc/group"):" "$root/etc/group"
}

# make_bus_user: with a group of its own. That it was we is kept for the day of the uninstall.
make_bus_user() {
	if there dbus passwd && there dbus group; then return 0; fi
	write_line dbus "$base/.made" && make_group dbus || return 1
	there dbus passwd && return 0
	if [ -z "$root" ]; then
		if have useradd; then
			{ quiet useradd -r -g dbus -d / -s /sbin/nologin dbus || quiet useradd -g dbus -d / -s /sbin/nologin dbus; } && return 0
		elif have adduser; then
			quiet adduser -S -H -G dbus -h / -s /sbin/nologin dbus && return 0
		fi
	fi
	gid=$(sed -n 's/^dbus:[^:]*:\([0-9]*\):.*/\1/p' "$root/etc/group" | sed -n 1p)
	[ -n "$gid" ] || return 1
	append "dbus:x:$(free_id "$gid" "$root/etc/passwd"):$gid:system bus:/:/sbin/nologin" "$root/etc/passwd"
}

