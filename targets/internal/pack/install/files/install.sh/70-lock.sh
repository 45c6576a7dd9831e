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
	# In a shell of its own first: a redirection of exec that fails ends some shells without a word.
	(: >>"$base/.locked") 2>/dev/null || fail 1 "$base: cannot be written (mounted read-only?); nothing was changed"
	exec 9>>"$base/.locked"
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
		# Of one that was killed. Without flock, who removes it might remove another's that was made meanwhile.
		[ -n "$helper" ] || fail 1 "$base/.lock: is of an installer (process $pid) that was killed, and no program can be run here that takes it over: remove it; nothing was changed"
		rm -f "$base/.lock"
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
	fi
	if [ -n "$made_below" ]; then # the directories that we made and that are empty
		left=$base
		while [ "$left" != "$made_below" ] && rmdir "$left" 2>/dev/null; do left=${left%/*}; done
		rmdir "$base" 2>/dev/null
	fi
}

