package install

import (
	"path/filepath"
	"strings"
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

func TestABraceInAStringIsNoBrace(t *testing.T) {
	t.Parallel()
	dir := unpacked(t, "20.10.24", silent)
	for json, want := range map[string]string{
		`{"label": "a{b", "pidfile": "/x"}`:                             "pidfile: the service's own argument",
		`{"log-opts": {"tag": "}"}, "pidfile": "/x"}`:                   "pidfile: the service's own argument",
		`{"data-root": "\\", "pidfile": "/x"}`:                          "pidfile: the service's own argument",
		`{"data-root": "/a \"pidfile\": b"}`:                            "",
		`{"log-opts": {"tag": "{{.Name}}", "pidfile": "/x"}}`:           "",
		`{"log-opts": {"tag": "{", "pidfile": "/x"}, "bip": "1.2.3.4"}`: "",
	} {
		k := newKit(t)
		k.write(daemonFile, json)
		for _, k.shell = range quick() {
			k.says(want, dir, "sysv", asksDockerd)
		}
		for _, shell := range quick() { // the service reads it by the same words
			got := functions(t, shell, "service", "\ncase ${1:-} in", `config=$1; echo "pidfile $(setting pidfile)"`, nil, filepath.Join(k.root, daemonFile))
			if strings.Contains(got, "pidfile /x\n") != (want != "") {
				t.Errorf("%s: the service reads %q", json, got)
			}
		}
	}
}
