# remembered NAME: says that a choice was made when the installed version was.
remembered() {
	case " $said_with " in
	*" $1 "*) ;;
	*) say " (said when $(readlink "$base/current") was installed, and remembered)" ;;
	esac
}

# key_text FILE: a public key, without its comment.
key_text() { tr -d '\r' <"$1" | sed -e '/^untrusted comment:/d' -e '/^$/d' | sed -n 1p; }

# signer FILE: most of the number of the key that made a signature, in base64; nothing where there is no such file.
signer() { sed -n '2s/^...\(..........\).*/\1/p' "$1" 2>/dev/null; }

# same_signer: an installed version that is signed is replaced by one that the same key has signed, or with a word.
same_signer() {
	signed_by=$(signer "$base/current/SHA256SUMS.minisig")
	if [ -z "$signed_by" ] || [ -n "$forget_key" ]; then return 0; fi
	case $(signer "$here/SHA256SUMS.minisig") in
	"$signed_by") return 0 ;;
	'') refused_for="the installed version, $(readlink "$base/current"), is signed, and this package is not (no SHA256SUMS.minisig)" ;;
	*) refused_for="SHA256SUMS.minisig: signed by another key than the installed version, $(readlink "$base/current")" ;;
	esac
	fail 4 "$refused_for: --forget-key takes it all the same; nothing was changed"
}

# check_signature: by the key that was named, or the one that an earlier package was installed with. A forged package can
# bring a forged init/check: the host's minisign or the installed version's is asked first.
check_signature() {
	asked=--key all_the_same=''
	if [ -z "$key" ] && [ -f "$base/.key" ] && [ -z "$forget_key" ]; then
		key=$base/.key
		asked="the key of the installed version" all_the_same='; --forget-key takes it all the same'
	fi
	if [ -n "$key" ] && { [ ! -r "$key" ] || [ -z "$(key_text "$key")" ]; }; then
		fail 2 "--key: $key: cannot be read, or has no key in it: want a public key of minisign"
	fi
	if [ -n "$key" ] && [ -f "$base/.key" ] && [ -z "$forget_key" ] && [ "$(key_text "$key")" != "$(key_text "$base/.key")" ]; then
		fail 4 "--key: $key is not the key that the installed version was signed with ($base/.key): --forget-key takes the new one; nothing was changed"
	fi
	if [ ! -f "$base/.key" ]; then same_signer; fi
	if [ -z "$key" ]; then return 0; fi
	[ -f "$here/SHA256SUMS.minisig" ] || fail 4 "$asked: the package is not signed (no SHA256SUMS.minisig)$all_the_same; nothing was changed"
	if have minisign; then
		minisign -V -q -p "$key" -m "$here/SHA256SUMS" -x "$here/SHA256SUMS.minisig" >"$scratch.signed" 2>&1 || {
			sed -n 1p "$scratch.signed" >&2
			fail 4 "SHA256SUMS: the signature is not good, says this host's minisign (see above); nothing was changed"
		}
	elif [ -n "$trusted" ]; then
		judge signature "$key" "$here/SHA256SUMS" "$here/SHA256SUMS.minisig" >&2 ||
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

# leads_back DIR UP: is it a directory of PREFIX itself? What is linked there reaches its version by UP.
leads_back() {
	clear_way "$1"
	if [ -d "$1" ] && [ "$(cd -P "$1" && cd -P "$2" 2>/dev/null && pwd -P)" != "$(cd -P "$root$prefix/" && pwd -P)" ]; then
		fail 5 "$1: is a link out of $root$prefix/, and the commands there reach their version by $2/libexec: choose another --prefix, or make it a directory; nothing was changed"
	fi
}

# places_free DIR: nothing of somebody else is where a command of that version or a file of the system goes, and what is not
# there can be written.
places_free() {
	leads_back "$root$prefix/bin" ..
	case $(wanted "$1") in
	*"docker/$plugins/"*) leads_back "$root$prefix/libexec/docker/$plugins" ../../.. ;;
	esac
	system_files >"$scratch.system"
	while read -r _ f t; do
		clear_way "$root${t%/*}"
		if [ -d "$root$t" ]; then fail 5 "$root$t: is a directory, and a file is to be there: move it away; nothing was changed"; fi
		if [ -z "$root" ] && at=$(read_only "$(above "$t")") && to_write "$f" "$t"; then not_writable "$t" "$at"; fi
	done <"$scratch.system"
	if [ -z "$root" ] && ! there docker group && at=$(read_only /etc); then not_writable /etc/group "$at"; fi
	for f in $(wanted "$1"); do
		place_of "$f"
		if [ ! -e "$at" ] && [ ! -h "$at" ]; then
			if [ -z "$root" ] && mount_is=$(read_only "$(above "${at%/*}")"); then not_writable "$at" "$mount_is"; fi
		else
			case $(readlink "$at" 2>/dev/null) in
			"$through") ;;
			*) fail 5 "$at is there and not of this installer: move it away, or choose another --prefix; nothing was changed" ;;
			esac
		fi
	done
}

# to_write FILE TARGET: will the system's file be made, or made anew?
to_write() {
	if [ ! -e "$2" ]; then
		[ -z "$complete" ] || [ "$1" != daemon.json ]
		return
	fi
	ours "$2" || return 1
	render "$1" >"$scratch.rendered"
	! cmp -s "$scratch.rendered" "$2"
}

not_writable() { fail 1 "$1: cannot be written: $2 is mounted read-only; nothing was changed"; }

not_accepted() { fail 5 "$refused_json is not accepted by $1: $refusal; change it first; nothing was changed"; }

# may_restart: --restart starts nothing of somebody else's in our name.
may_restart() {
	if [ -z "$restart" ] || own_service; then return 0; fi
	fail 5 "--restart: $root$service_file is not of this installer, and starts another daemon: move it away and say this again; nothing was changed"
}

# this_machine: the package is for a processor that this host has; another system's root may have any.
this_machine() {
	if [ -n "$root" ]; then return 0; fi
	machine=$(uname -m 2>/dev/null)
	case " $(value machine "$profile") " in
	'  ' | *" $machine "*) return 0 ;;
	esac
	# The name is that of the kernel, or one that hides it: these run each other's files where the kernel can.
	case $(value arch "$profile"):$machine in
	armv7:aarch64 | arm64:armv8l | amd64:i?86)
		if quiet "$here/init/check" digest "$profile"; then return 0; fi
		;;
	esac
	fail 3 "this package is for $(value arch "$profile") ($(value machine "$profile")), and this host is ${machine:-of no name}: take the package for it; nothing was changed"
}
