main() {
	LC_ALL=C
	export LC_ALL
	PATH=${PATH:+$PATH:}/usr/sbin:/sbin # "su" leaves them out
	have sed || PATH=$PATH:/usr/bin:/bin
	export PATH
	unset GREP_OPTIONS # of whoever calls us
	umask 022
	plugins=cli-plugins xtables=xtables-legacy-multi
	dry='' locked='' helper='' helper_copy='' said_with='' forget_key='' downgrade='' iptables_why='' refusal='' unasked='' fresh='' old_init='' told='' made_below='' root='' prefix='' init='' key='' restart='' no_kernel='' kernel_config='' kernel_release='' complete=''
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
	if [ $verb = install_package ]; then this_machine; fi
	current_is_ours
	find_helper
	if [ -z "$dry" ] && [ $verb != status ]; then
		clear_way "$base"
		made_below=$(above "$base")
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
		# A host's own that was taken is tried again: it or the kernel may be another now.
		if [ -z "$iptables" ] && { [ -n "$root" ] || [ "$(value iptables "$now")" != yes ]; }; then iptables=$(value iptables "$now"); fi
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
