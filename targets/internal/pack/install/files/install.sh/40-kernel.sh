# number RELEASE: major * 1000 + minor of a kernel release, or 0.
number() {
	release_major=${1%%.*}
	release_minor=${1#*.}
	release_minor=${release_minor%%[!0-9]*}
	while [ "$release_minor" != "${release_minor#0}" ]; do release_minor=${release_minor#0}; done # 18.09: not octal
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

