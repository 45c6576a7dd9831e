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
	places_free "$here"
	old=$(readlink "$base/current" 2>/dev/null)
	if [ -n "$old" ] && [ -z "$downgrade" ] && older "$version" "${old%-*}"; then
		fail 5 "docker ${old%-*} is installed, and $version is older: --downgrade installs it (--rollback goes back to the version before); nothing was changed"
	fi
	if [ -z "$root" ]; then
		at=$(noexec "$(above "$prefix")") && fail 3 "$prefix: nothing can be run there: $at is mounted noexec: remount it, or choose another --prefix; nothing was changed"
	fi
	may_restart
	storage_note "$here"
	iptables_note
	new=$version-$(digest "$here/SHA256SUMS" | first12)
	case $new in
	"$version"-????????????) ;;
	*) fail 1 "$here/SHA256SUMS: got the digest \"${new#"$version"-}\", want 12 digits of SHA-256; nothing was changed" ;;
	esac
	need=$(($(du -sk "$here" | sed 's/[^0-9].*//') + 1024))
	at=$(above "$root$prefix")
	# The last line's fields end in: available, used %, where it is mounted.
	free=$(df -kP "$at/" 2>/dev/null | sed -n '$p' | sed 's/^.* \([0-9][0-9]*\)  *[0-9]*%.*/\1/')
	case $free in
	'' | *[!0-9]*) ;;
	*) if [ ! -d "$base/$new" ] && [ "$free" -lt "$need" ]; then fail 1 "$at: has $free KiB free, needs $need; nothing was changed"; fi ;;
	esac
	render daemon.json >"$scratch.daemon.json"
	accepts "$here/docker" "$scratch.daemon.json" || not_accepted "dockerd $version"
	if [ ! -d "$base/$new" ]; then fresh=yes; fi
	# Those of iptables are ours; the files of our own that begin with a dot are always made anew.
	strange=$(find "$base/$new" -type l 2>/dev/null | sed -e "\|^$base/$new/iptables/|d" -e "\|^$base/$new/\.[^/]*\$|d" | sed -n 1p)
	if [ -n "$strange" ]; then fail 5 "$strange: is a link to $(readlink "$strange"), where this installer makes none: remove it; nothing was changed"; fi
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
		commands_in "$here"
		there docker group || say "would make the group docker"
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
	if [ -n "$unasked" ] && ! accepts "$base/$new/docker" "$scratch.daemon.json"; then # the package lies where nothing can be run
		if [ -n "$fresh" ]; then rm -rf "${base:?}/$new"; fi
		not_accepted "dockerd $version"
	fi
	if [ -n "$unasked" ]; then note "$base/$new/docker/dockerd cannot be run here: $refused_json was not checked"; fi
	act "write the system's files for this host" render_all "$new"
	act "make the group docker" make_group docker
	if [ -n "$with_dbus" ]; then act "make the user dbus" make_bus_user; fi
	commands_in "$base/$new"
	switch "$new"
	if [ -n "$forget_key" ]; then rm -f "$base/.key"; fi
	if [ -n "$key" ] && [ "$key" != "$base/.key" ]; then
		act "remember the key in $base/.key" put 644 "$key" "$base/.key"
		say "the key is remembered in $base/.key: later packages must be signed by it (--forget-key ends that)"
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
	case $prefix:$(wanted "$here") in
	/usr:* | /usr/local:*) ;;
	*"docker/$plugins/"*) note "docker looks for plugins below /usr/local and /usr only: where it is to find those of $prefix, ~/.docker/config.json says \"cliPluginsExtraDirs\": [\"$prefix/libexec/docker/$plugins\"]" ;;
	esac
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
	accepts "$base/$to/docker" "$base/$to/etc/docker/daemon.json" || not_accepted "the dockerd of $to"
	storage_note "$base/$to"
	places_free "$base/$to"
	may_restart
	if [ -n "$dry" ]; then
		say "would switch from $old to $to and put its files into /etc"
		return 0
	fi
	act "mend the modes of $to" mend_modes "$base/$to"
	commands_in "$base/$to"
	switch "$to"
	say "$to is installed in $root$prefix; --rollback goes back to $old"
	after "$to"
}

uninstall() {
	old=$(readlink "$base/current" 2>/dev/null)
	some=$old
	for f in "$base"/*/SHA256SUMS "$base"/.gone.* "$base/.before" "$base/.current" "$base/.key" "$base/.made"; do # of a killed one, too
		if [ -e "$f" ] || [ -h "$f" ]; then some=yes; fi
	done
	if [ -z "$some" ]; then
		say "nothing is installed in $root$prefix"
		return 0
	fi
	if [ -n "$old" ]; then init=$(value init "$base/$old/.options"); fi
	if [ -z "$root" ]; then
		system_files >"$scratch.system"
		while read -r _ _ t; do
			if [ -e "$t" ] && at=$(read_only "${t%/*}") && ours "$t"; then not_writable "$t" "$at"; fi
		done <"$scratch.system"
		if [ -d "$prefix/bin" ] && at=$(read_only "$prefix/bin"); then not_writable "$prefix/bin" "$at"; fi
		if [ -n "$(in_use)" ]; then act "stop the daemon and its containers" service stop; fi
		if own_service; then
			act "take the service out ($init)" disable_service
		else
			note "$service_file is not of this installer: the service is left as it is"
		fi
	fi
	for d in "$base"/*; do
		if [ ! -h "$d" ]; then system_out "$d/etc" ""; fi
	done
	system_out "$base/.before/etc" ""
	if [ -z "$root" ] && [ "$init" = systemd ] && [ -d /run/systemd/system ]; then act "reload systemd" systemctl daemon-reload; fi
	commands_out ''
	versions='' # while the program that tells them is there
	for d in "$base"/*; do
		if is_version "$d"; then
			versions="$versions $d"
		elif [ -d "$d" ] && [ ! -h "$d" ] && ! begun "$d"; then
			note "$d is not of this installer, and stays"
		fi
	done
	act "remove $base/current" rm -f "$base/current"
	for d in $versions; do act "remove $d" drop_version "$d"; done
	if [ -z "$dry" ]; then
		if [ -f "$base/.made" ]; then with_dbus=yes; fi
		rm -rf "$base/.before" "$base/.current" "$base/.key" "$base/.made" "$base"/.gone.*
		rmdir "$root/etc/docker" 2>/dev/null
		bus_stays=''
		if [ -n "$with_dbus" ] && there dbus passwd; then bus_stays=', the user and the group dbus'; fi
		if [ -n "$with_dbus" ] && [ -d "$root/var/lib/dbus" ]; then bus_stays="$bus_stays, /var/lib/dbus"; fi
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

