package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/graph"
	"drydock/targets/internal/pack/install"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
	"drydock/targets/internal/source"
	"drydock/targets/internal/store"
)

// installerProfile is what the installer knows of the stack, but for the kernel's options.
func (e *Engine) installerProfile() install.Profile {
	t := e.Stack.Target
	var commands []string
	for _, n := range e.Stack.Parts() {
		for _, o := range recipe.Outputs(e.Stack, n) {
			if o.Bin && !recipe.Row(n).Apart {
				commands = append(commands, o.Name)
			}
		}
	}
	slices.Sort(commands)
	return install.Profile{Commands: commands, Version: e.Stack.Version,
		Docker: e.Stack.Component[recipe.Daemon].Version,
		Kernel: t.Kernel, Init: t.Init, Cgroup: t.Cgroup, Arch: t.Arch, IPTables: t.IPTables, Storage: t.Storage}
}

// installerInputs is what the installer's entries are made from, beside the Go and the dockerd that the package has as
// inputs.
func (e *Engine) installerInputs() ([]graph.Input, error) {
	es, err := install.Files(e.installerProfile())
	if err != nil {
		return nil, err
	}
	var inputs []graph.Input
	for _, entry := range append(es, archive.Entry{Name: install.CheckName, Data: install.CheckSource, Mode: 0o755}) {
		sum, err := archive.SHA256(bytes.NewReader(entry.Data))
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, graph.Input{Name: "file " + entry.Name, Value: fmt.Sprintf("%04o %s", entry.Mode, sum)})
	}
	return inputs, nil
}

// installer makes the entries of the package that install it. What the kernel must have stands in dockerd's source.
func (e *Engine) installer(ctx context.Context, dockerd *source.Found) ([]archive.Entry, error) {
	p := e.installerProfile()
	if dockerd != nil {
		var err error
		p.KernelScript, err = dockerd.Member("contrib/check-config.sh")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	es, err := install.Files(p)
	if err != nil {
		return nil, err
	}
	data, err := e.checker(ctx)
	return append(es, archive.Entry{Name: install.CheckName, Data: data, Mode: 0o755}), err
}

// checker compiles the program that checks a package on a host whose own tools cannot, with the stack's Go: the
// package's bytes do not depend on the Go that compiled drydock. Its flags are those of the components, so that what it
// imports is compiled already.
func (e *Engine) checker(ctx context.Context) ([]byte, error) {
	if err := os.MkdirAll(e.BuildDir("work"), 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(e.BuildDir("work"), trashPrefix) // swept when we are killed
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	err = store.WriteFiles(recipe.File{Path: filepath.Join(dir, ".config/go/telemetry/mode"), Data: "off"},
		recipe.File{Path: filepath.Join(dir, "main.go"), Data: string(install.CheckSource)})
	if err != nil {
		return nil, err
	}
	g, err := e.GoTool(ctx, dir, install.CheckName)
	if err == nil {
		err = g.Box.Give()
	}
	if err != nil {
		return nil, err
	}
	argv := []string{g.Path, "build", "-trimpath", recipe.NoDWARF, "-ldflags=-s -w -buildid=", "-o", "check", "main.go"}
	out, err := run.Cmd{Sandbox: g.Box, Argv: argv, Dir: dir,
		Env: append(g.Env, "CGO_ENABLED=0", "GO111MODULE=off", "GOTOOLCHAIN=local", "GOFLAGS=",
			"GOENV=off")}.Output(ctx)
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w\n%s", install.CheckName, err, out)
	}
	if err := run.Take(dir, "check"); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "check"))
}
