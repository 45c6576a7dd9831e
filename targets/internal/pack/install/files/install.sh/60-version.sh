# write_line LINES FILE: the file appears whole, and no link is followed.
write_line() { rm -f "$2.tmp" && (set -C && say "$1" >"$2.tmp") && mv -f "$2.tmp" "$2"; }

# link_version VERSION: the commit: from here on, all commands are that version's.
link_version() {
	rm -f "$base/.current" && ln -s "$1" "$base/.current" && sync && check rename "$base/.current" "$base/current"
}

# wanted DIR: the files of a version that are to be commands, or plugins of the command docker, by its list.
wanted() {
	sed -n 's|^[0-9a-f]*  \(docker/[^/]*\)$|\1|p' "$1/SHA256SUMS"
	sed -n "s|^[0-9a-f]*  \\(docker/$plugins/[^/]*\\)\$|\\1|p" "$1/SHA256SUMS"
	if [ -n "$with_dbus" ]; then sed -n 's|^[0-9a-f]*  \(dbus/[^/]*\)$|\1|p' "$1/SHA256SUMS"; fi
}

# place_of FILE sets at and through: where a file is linked, and to what, through the link "current".
place_of() {
	case $1 in
	docker/"$plugins"/*)
		at=$root$prefix/libexec/docker/$plugins/${1##*/}
		through=../../drydock/current/$1
		;;
	*)
		at=$root$prefix/bin/${1##*/}
		through=../libexec/drydock/current/$1
		;;
	esac
}

# commands_in DIR: PREFIX/bin, and where docker looks for its plugins.
commands_in() {
	for f in $(wanted "$1"); do
		place_of "$f"
		if [ ! -h "$at" ] || [ "$(readlink "$at")" != "$through" ]; then
			act "link $at" relink "$through" "$at"
		fi
	done
}

# commands_out KEPT: takes out those of ours that are not among the kept.
commands_out() {
	kept=" $(printf %s "$1" | tr '\n' ' ') "
	for links_in in "$root$prefix/bin" "$root$prefix/libexec/docker/$plugins"; do
		# shellcheck disable=SC2012 # ours have plain names; readlink for each link of /usr/bin would take seconds
		ls -l "$links_in/" 2>/dev/null | sed -n 's|^l.* \([^ ]*\) -> \.\./.*drydock/current/\(.*\)$|\1 \2|p' >"$scratch.links"
		while read -r link f; do
			place_of "$f"
			if [ "$at" != "$links_in/$link" ] || [ "$(readlink "$at")" != "$through" ]; then continue; fi
			case $kept in
			*" $f "*) ;;
			*) act "remove $at" rm -f "$at" ;;
			esac
		done <"$scratch.links"
	done
	if [ -z "$dry" ]; then rmdir "$root$prefix/libexec/docker/$plugins" "$root$prefix/libexec/docker" 2>/dev/null; fi
	return 0
}

relink() {
	put_tmp=${2%/*}/.${2##*/}.drydock-tmp
	clear_temporary "$put_tmp" && ln -s "$1" "$put_tmp" && mv -f "$put_tmp" "$2"
}

# fill FILE TARGET: a copy where nothing is. It may be cut short, and has no mode yet: see to both before it is used.
fill() {
	[ -d "${2%/*}" ] || mkdir -p "${2%/*}" || return 1
	(set -C && cat "$1" >"$2")
}

# copy_package ID: the package into its own directory, which nothing refers to yet (or, the second time, mends it).
copy_package() {
	to=$base/$1
	mkdir -p "$to" || return 1
	say SHA256SUMS >"$scratch.files" # first: it tells a version of ours from a user's directory
	sed 's/^[0-9a-f]*  //' "$here/SHA256SUMS" >>"$scratch.files"
	if [ -f "$here/SHA256SUMS.minisig" ]; then say SHA256SUMS.minisig >>"$scratch.files"; fi
	while read -r f; do
		mode_of "$f"
		if [ "$f" != SHA256SUMS ] && [ ! -e "$to/$f" ] && [ ! -h "$to/$f" ]; then
			fill "$here/$f" "$to/$f" || return 1
		elif [ ! -f "$to/$f" ] || ! cmp -s "$here/$f" "$to/$f"; then
			put "$mode" "$here/$f" "$to/$f" || return 1
		fi
	done <"$scratch.files"
	mend_modes "$to" || return 1
	if [ -f "$to/iptables/$xtables" ]; then # one program by many names, which the list of digests does not have
		for f in iptables ip6tables; do
			for suffix in '' -save -restore; do
				[ -h "$to/iptables/$f$suffix" ] || ln -s "$xtables" "$to/iptables/$f$suffix" || return 1
			done
		done
	fi
	if [ ! -f "$here/SHA256SUMS.minisig" ]; then rm -f "$to/SHA256SUMS.minisig"; fi
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
	write_line "init=$init
init_asked=$init_asked
iptables=$iptables
with_iptables=$with_iptables
with_dbus=$with_dbus" "$base/$1/.options"
}

# running_dockerd: the file that a running dockerd was started from.
running_dockerd() {
	service_flags
	for p in /var/run/docker.pid /run/docker.pid $(setting pidfile "$json") $(say "$opts" | sed -n 's/.*--pidfile[= ]\([^ ]*\).*/\1/p'); do
		pid=$(cat "$root$p" 2>/dev/null)
		case $pid in
		'' | *[!0-9]*) continue ;;
		esac
		exe=$(readlink "/proc/$pid/exe" 2>/dev/null)
		exe=${exe%% *} # "... (deleted)"
		if [ "${exe##*/}" = dockerd ]; then
			say "$exe"
			return 0
		fi
	done
}

# in_use: the version that a running dockerd was started from.
in_use() {
	exe=$(running_dockerd)
	real_base=$(cd "$base" 2>/dev/null && pwd -P)
	case $exe in
	"$real_base"/*)
		exe=${exe#"$real_base/"}
		say "${exe%%/*}"
		;;
	esac
}

# is_version DIR: is it one that this script made? Its name ends with its list's digest.
is_version() {
	if [ -h "$1" ] || [ ! -f "$1/SHA256SUMS" ]; then return 1; fi
	case $1 in
	*/?*-????????????) [ "$(digest "$1/SHA256SUMS" | first12)" = "${1##*-}" ] ;;
	*) return 1 ;;
	esac
}

# begun DIR: was it made by an installer that was killed before it wrote anything there? Then it goes.
begun() {
	case $1 in
	*/?*-????????????) ;;
	*) return 1 ;;
	esac
	case $(ls -A "$1") in
	'' | .SHA256SUMS.drydock-tmp) ;;
	*) return 1 ;;
	esac
	if [ -z "$dry" ]; then rm -f "$1/.SHA256SUMS.drydock-tmp" && rmdir "$1"; fi
}

# drop_version DIR: by a rename first, so that one that is half removed is known.
drop_version() { mv "$1" "$base/.gone.${1##*/}" && rm -rf "$base/.gone.${1##*/}"; }

# prune: only the current version, the one before it and a running one stay.
prune() {
	rm -rf "$base/.before" "$base"/.gone.*
	keep=" $(readlink "$base/current") $(cat "$base/current/.previous" 2>/dev/null) $(in_use) "
	for d in "$base"/*; do
		is_version "$d" || { begun "$d"; continue; }
		case $keep in
		*" ${d##*/} "*) ;;
		*) act "remove the version ${d##*/}" drop_version "$d" ;;
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
		if own_service; then act "take the service out ($init)" disable_service; fi
		init=$new_init
	fi
	system_in "$1"
	commands_out "$(wanted "$base/$1")"
	if [ -n "$old" ] && [ "$old" != "$1" ]; then system_out "$base/$old/etc" "$base/$1/etc"; fi
	system_out "$base/.before/etc" "$base/$1/etc"
	if [ -z "$root" ] && ! own_service; then
		note "$service_file is not of this installer: the service is left as it is, and nothing of ours is started (move the file away and install again to take it over)"
	elif [ -z "$root" ]; then
		act "enable the service ($init)" enable_service
	elif [ "$init" != none ]; then
		note "the service is not enabled in $root: do it there (chkconfig, update-rc.d, rc-update or systemctl enable)"
	fi
	if [ -z "$dry" ]; then write_line '' "$base/$1/.complete"; fi
	prune
}

# after ID: what the operator should know.
after() {
	[ -z "$root" ] || return 0
	if [ -n "$restart" ] && [ "$init" = none ]; then
		note "--restart: no init system of this host is served (--init=none): start $prefix/bin/dockerd yourself"
		return 0
	elif [ -n "$restart" ]; then
		service restart || fail 1 "$init: the daemon did not start: the cause stands above or in /var/log/docker.log"
		exe=$(running_dockerd)
		if [ -n "$exe" ] && [ -z "$(in_use)" ]; then fail 1 "$init: got a daemon that runs from $exe, want one of $base: who starts it?"; fi
		return 0
	fi
	run=$(in_use)
	if [ -n "$run" ] && [ "$run" != "$1" ]; then
		note "the daemon that runs is still $run: restart it when it suits you"
	fi
}

