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

