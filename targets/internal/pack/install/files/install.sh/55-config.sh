# flat FILE: the settings of a daemon.json on one line, without what lies within a setting. Strings lose their braces first.
flat() {
	tr '\n\t\r' '   ' <"$1" 2>/dev/null |
		sed -e 's/\\./_/g' -e ':s' -e 's/^\(\([^"]*"[^"]*"\)*[^"]*"[^"{}]*\)[{}]/\1/' -e 'ts' -e 's/^[^{]*{//' -e ':a' -e 's/{[^{}]*}//g' -e 'ta'
}

# setting NAME FILE: the value of a setting of daemon.json, as it is written there: a word, or a list on one line.
setting() {
	[ -f "$2" ] || return 0
	flat "$2" | sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\(\[[^]]*\]\|\"[^\"]*\"\|[^],}[:space:]]*\).*/\1/p" | tr -d '"'
}

# service_flags sets flags, the service's own arguments of dockerd, and opts, those that the operator gives it in opts_in;
# json is the configuration that dockerd reads.
service_flags() {
	flags='' opts='' opts_in='' json=$root/etc/docker/daemon.json
	case $init in
	sysv | openrc) # these read all of them, one after the other
		flags=--pidfile=/var/run/docker.pid
		opts_files="/etc/default/docker /etc/sysconfig/docker /etc/conf.d/docker"
		;;
	systemd)
		flags='-H fd://'
		system_files >"$scratch.system" # which sets defaults
		opts_files=$defaults
		;;
	*) return 0 ;;
	esac
	for f in $opts_files; do
		if [ ! -f "$root$f" ] || { [ -n "$root" ] && [ -h "$root$f" ]; }; then continue; fi # a link's target is not below the root
		line=$(sed -e ':a' -e '/\\$/N' -e 's/\\\n/ /' -e 'ta' "$root$f" 2>/dev/null |
			sed -n 's/^[[:space:]]*\(export[[:space:]][[:space:]]*\)\{0,1\}DOCKER_OPTS=\(.*\)/\2/p' | sed -n '$p')
		if [ -z "$line" ]; then continue; fi
		# Without its quotes, and without what only a shell knows.
		opts=$(say "$line" | sed -e "s/^\"\([^\"]*\)\".*/\1/" -e "s/^'\([^']*\)'.*/\1/" -e 's/[^[:space:]]*\$[^[:space:]]*//g')
		opts_in="DOCKER_OPTS in $f"
	done
	if [ "$init" = systemd ]; then drop_ins; fi
	word_before=''
	for word in $opts; do
		case $word_before:$word in
		*:--config-file=*) json=$root${word#*=} ;;
		--config-file:*) json=$root$word ;;
		*:--pidfile=* | *:-p* | --pidfile:*) if [ "$init" != systemd ]; then flags=''; fi ;; # ours gives way
		esac
		word_before=$word
	done
}

# last_exec_start: of an operator's docker.service.d the last one counts.
last_exec_start() {
	cat "$root"/etc/systemd/system/docker.service.d/*.conf 2>/dev/null | sed -n 's/^ExecStart=\(.\)/\1/p' | sed -n '$p'
}

# drop_ins: their arguments take the place of the unit's.
drop_ins() {
	exec_start=$(last_exec_start)
	if [ -z "$exec_start" ]; then return 0; fi
	flags=''
	case $exec_start in
	*DOCKER_OPTS*) ;;
	*) opts='' ;;
	esac
	opts="$(say "$exec_start" | sed -e 's/^[^[:space:]]*//' -e 's/[^[:space:]]*\$[^[:space:]]*//g') $opts"
	opts_in="ExecStart in docker.service.d"
}

# clash FLAT WHOSE ARGUMENT...: is one of these arguments a setting of the file as well? dockerd does not start then.
# refusal says which one.
clash() {
	clash_flat=$1
	clash_whose=$2
	shift 2
	for word; do
		case $word in
		--*)
			name=${word#--}
			name=${name%%=*}
			names="$name ${name}s ${name%y}ies" # --host and "hosts", --registry-mirror and "registry-mirrors"
			;;
		-H*) names=hosts ;;
		-D*) names=debug ;;
		-l*) names=log-level ;;
		-s*) names=storage-driver ;;
		-g*) names=graph ;;
		-G*) names=group ;;
		-b*) names=bridge ;;
		-p*) names=pidfile ;;
		*) continue ;;
		esac
		for name in $names; do
			case $clash_flat in
			*"\"$name\""*) ;;
			*) continue ;;
			esac
			say "$clash_flat" | grep -q "\"$name\"[[:space:]]*:" || continue
			refusal="$name: $clash_whose ($word) says it as well, and dockerd takes it from one place only"
			return 0
		done
	done
	return 1
}

# accepts DIR OWN: does the dockerd there take the daemon.json that will be there, with the arguments that the service gives
# it? OWN is the version's own form of it. refusal says why not, refused_json in which file; unasked, that dockerd could
# not be run there. (dockerd before 23.0 cannot be asked; what is said twice is found all the same.)
accepts() {
	refusal='' unasked=''
	service_flags
	operators=yes
	if [ "$json" = "$root/etc/docker/daemon.json" ] && { [ ! -f "$json" ] || ours /etc/docker/daemon.json; }; then
		if [ ! -f "$json" ] && [ -n "$complete" ]; then return 0; fi # taken away
		json=$2
		operators=''
	fi
	refused_json=${operators:+$json}
	refused_json=${refused_json:-"the daemon.json of this package"}
	if [ -n "$root" ] && [ -n "$operators" ] && [ -h "$json" ]; then
		note "$json is a link: what it leads to in that system was not checked"
		return 0
	fi
	if [ ! -f "$json" ]; then return 0; fi
	settings=$(flat "$json")
	# shellcheck disable=SC2086
	if clash "$settings" "the service's own argument" $flags; then
		refusal="$refusal: take it out of the file"
		if [ "$flags" = '-H fd://' ]; then refusal="$refusal, and name more addresses in DOCKER_OPTS"; fi
		return 1
	fi
	# shellcheck disable=SC2086
	if clash "$settings" "$opts_in" $opts; then
		refusal="$refusal: take it out of one of them"
		return 1
	fi
	case $init:$(setting hosts "$json"):" $opts" in
	sysv:*fd://* | openrc:*fd://*)
		refusal="hosts: fd:// is systemd's: name unix:///var/run/docker.sock"
		return 1
		;;
	esac
	if [ -z "$operators" ]; then return 0; fi
	# shellcheck disable=SC2086
	PATH=$1:$PATH "$1/dockerd" --validate --config-file="$json" $flags $opts 2>"$scratch.validate" >/dev/null && return 0
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
	service_flags
	driver=$(setting storage-driver "$json")
	case " $opts " in
	*' --storage-driver='* | *' --storage-driver '* | *' -s'*)
		driver=$(say " $opts" | sed -e 's/.* --storage-driver[= ]*//' -e 's/.* -s *=*//' -e 's/ .*//')
		json=$opts_in
		;;
	esac
	if [ -z "$driver" ] || ! grep -q '"dockerd: graph driver ' "$1/manifest.json" 2>/dev/null; then return 0; fi
	grep -q "\"dockerd: graph driver $driver\"" "$1/manifest.json" ||
		note "${json#"$root"} names the storage driver $driver, which this dockerd does not have: it will not start. It has$(sed -n 's/.*"dockerd: graph driver \([a-z0-9-]*\)".*/ \1/p' "$1/manifest.json" | tr -d '\n')"
}

# iptables_note: says when a kept daemon.json lets dockerd make rules that nothing here can make.
iptables_note() {
	if [ "$iptables" = yes ] || [ -n "$root" ]; then return 0; fi
	service_flags
	if [ ! -f "$json" ] || ours "${json#"$root"}"; then return 0; fi
	case $(setting iptables "$json"):" $opts " in
	false:* | *' --iptables=false '*) return 0 ;;
	esac
	usable_iptables && return 0
	note "dockerd makes rules by ${json#"$root"}, and will not start: $iptables_why: set \"iptables\": false in it, or say --with-iptables where the package has one"
}
