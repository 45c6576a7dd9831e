package boot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"drydock/targets/internal/run"
)

// Runner returns the program that does an order in the machine: this one, or for another processor than this one's
// command runner, compiled into dir from the sources of drydock in root. The error says what is missing.
func (t *Target) Runner(ctx context.Context, root, dir string) (string, error) {
	if t.Native() {
		return os.Executable()
	}
	file := filepath.Join(dir, "runner")
	// As the launcher compiles drydock: what that needed of modules is there.
	e := append([]string{"PATH=" + os.Getenv("PATH") + ":/usr/local/go/bin", "CGO_ENABLED=0", "GO111MODULE=on",
		"GOWORK=off", "GOENV=off", "GOPROXY=off", "GOFLAGS=-trimpath -buildvcs=false"}, t.Go()...)
	for name := range strings.FieldsSeq("HOME XDG_CACHE_HOME GOPATH GOMODCACHE GOCACHE GOROOT GOTOOLCHAIN") {
		if v, ok := os.LookupEnv(name); ok {
			e = append(e, name+"="+v)
		}
	}
	argv := []string{"go", "build", "-o", file, "./targets/internal/boot/runner"}
	out, err := run.Cmd{Argv: argv, Dir: root, Env: e}.Output(ctx)
	if err != nil {
		return "", fmt.Errorf("compile what runs in a machine of %s, with the Go and the modules that compile "+
			"drydock itself: %w\n%s", t.Name, err, out)
	}
	return file, nil
}
