package smoke

import (
	"context"
	_ "embed"
	"os"
	"path/filepath"

	"drydock/targets/internal/run"
)

//go:embed guest/main.go
var guestSource []byte

// CompileGuest makes the static program that runs inside the containers. env is the environment of the go command, with
// the architecture, but without what is said here; dir is the run's Work directory, and one of the sandbox's own. The
// error has what the compiler printed.
func CompileGuest(ctx context.Context, goTool, dir string, env []string, sandbox *run.Sandbox) error {
	file := filepath.Join(dir, "guest")
	if err := os.WriteFile(filepath.Join(dir, "guest.go"), guestSource, 0o644); err != nil {
		return err
	}
	if err := sandbox.Give(); err != nil {
		return err
	}
	out, err := run.Cmd{Sandbox: sandbox,
		Argv: []string{goTool, "build", "-trimpath", "-ldflags=-s -w", "-o", file, "guest.go"}, Dir: dir,
		Env: append(env, "CGO_ENABLED=0", "GO111MODULE=off", "GOTOOLCHAIN=local", "GOFLAGS=",
			"GOENV=off")}.Output(ctx)
	if err != nil {
		return &failure{"compile the guest: " + err.Error() + "\n" + out}
	}
	return run.Take(dir, ".")
}
