#!/bin/sh
# The form that installers use of the program of that name: update-rc.d NAME defaults, update-rc.d -f NAME remove.
if [ "$1" = -f ]; then
	rm -f /etc/rc?.d/[SK]20"$2"
else
	ln -sf "../init.d/$1" "/etc/rc2.d/S20$1"
	ln -sf "../init.d/$1" "/etc/rc0.d/K20$1"
fi
