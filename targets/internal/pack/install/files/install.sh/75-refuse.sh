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

