package store

import (
	"os"
	"path/filepath"

	"drydock/targets/internal/recipe"
	"drydock/targets/internal/run"
)

// WriteFiles writes what a plan's steps find. It fails where a file cannot be written.
func WriteFiles(files ...recipe.File) error {
	for _, f := range files {
		if err := writeFile(f); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(file recipe.File) error {
	if err := os.MkdirAll(filepath.Dir(file.Path), 0o755); err != nil {
		return err
	}
	if file.Link != "" {
		return os.Symlink(file.Link, file.Path)
	}
	mode := os.FileMode(0o644)
	if file.Exec {
		mode = 0o755
	}
	if err := os.WriteFile(file.Path, []byte(file.Data), mode); err != nil {
		return err
	}
	return os.Chmod(file.Path, mode)
}

// Take takes over what the steps left: the outputs, and the objects of the links. It fails as run.Take does.
func Take(plan recipe.Plan, stage string) error {
	var names []string
	for _, o := range plan.Outputs {
		names = append(names, o.Name)
	}
	for _, bin := range plan.Relink {
		names = append(names, recipe.RelinkDir(".", bin))
	}
	return run.Take(stage, names...)
}
