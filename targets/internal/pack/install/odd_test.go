package install

import (
	"testing"
)

func TestTheCallersEnvironmentDoesNotMatter(t *testing.T) {
	t.Parallel()
	onHost(t, []string{"sh"}, wants+`
cd /run
printf '#!/bin/sh\n: >/run/from.here\n' >sed
chmod 755 sed
for path in "" /nonexistent; do
	wants 0 "is installed" env -i PATH=$path GREP_OPTIONS=--color=always IFS=: CDPATH=/run:/ /bin/sh $PKG/install.sh --no-kernel-check --init=sysv
done
[ ! -e /run/from.here ]
`)
}
