package forge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/prove"
	"drydock/targets/internal/ui"
)

// featuresFile is where the features of the stack's release are recorded.
func (f *Forge) featuresFile() string { return strings.TrimSuffix(f.Stack.File, ".toml") + ".features" }

// noQuota is how a dockerd says that it was built without project quotas because this host has no headers for them.
const noQuota = "dockerd: build tag exclude_disk_quota"

// Features lists what is built into the files and holds it against what the release had when it was recorded; record
// writes that down.
func Features(ctx context.Context, record bool) error {
	return command(ctx, func(ctx context.Context, f *Forge) error {
		if err := f.confined(); err != nil {
			return err
		}
		if err := f.wholeOutputs(); err != nil {
			return err
		}
		have, err := f.features(ctx)
		if errors.Is(err, fs.ErrNotExist) {
			return fail(CodeFailed, fmt.Errorf("%s is not built: run \"mage all\"", f.Stack.Name))
		}
		if err != nil {
			return fail(CodeFailed, err)
		}
		recorded, err := os.ReadFile(f.featuresFile())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fail(CodeOther, err)
		}
		lost, gained, left := prove.Parity(string(recorded), have)
		if record {
			text := "# What is built into this stack's files. Written by \"mage features -record\"; the lines with a \"-\" are written by hand:\n" +
				"# what upstream's own build has and this one leaves out on purpose.\n"
			for _, l := range left {
				text += "- " + l + "\n"
			}
			text += strings.Join(have, "\n") + "\n"
			if err := archive.WriteFile(f.featuresFile(), 0o644, func(w io.Writer) error { _, err := io.WriteString(w, text); return err }); err != nil {
				return fail(CodeOther, err)
			}
			f.UI.Line("recorded  %d features in %s", len(have), f.rel(f.featuresFile()))
			return nil
		}
		rows := [][]string{{"FEATURE", ""}}
		for _, h := range have {
			word := f.UI.Good("there")
			if slices.Contains(gained, h) {
				word = "there, not recorded"
			}
			rows = append(rows, []string{h, word})
		}
		for _, l := range left {
			rows = append(rows, []string{l, "left out on purpose"})
		}
		for _, l := range lost {
			rows = append(rows, []string{l, f.UI.Bad("LOST")})
		}
		f.UI.Text(ui.Table(rows))
		return fail(CodeFailed, f.parity(ctx))
	})
}

// features lists what is built into the stack's own files: others that lie in bin say nothing of it.
func (f *Forge) features(ctx context.Context) ([]string, error) {
	var files []string
	for _, n := range f.Stack.Parts() {
		for _, o := range f.outputs(n) {
			if o.Bin {
				files = append(files, o.Name)
			}
		}
	}
	return prove.Features(ctx, f.output("bin"), files)
}

// parity says which features the files have lost, and prints which they have gained.
func (f *Forge) parity(ctx context.Context) error {
	recorded, err := os.ReadFile(f.featuresFile())
	if errors.Is(err, fs.ErrNotExist) {
		f.UI.Line("notice    the features of %s are not recorded: \"mage features -record\" does it", f.Stack.Name)
		return nil
	}
	if err != nil {
		return err
	}
	have, err := f.features(ctx)
	if err != nil {
		return err
	}
	lost, gained, _ := prove.Parity(string(recorded), have)
	if slices.Contains(have, noQuota) {
		lost = slices.DeleteFunc(lost, func(l string) bool { return l == "dockerd: project quota" })
		f.UI.Line("notice    dockerd is built without project quotas: this host has no headers for them, or the stack file says so")
	}
	if len(gained) > 0 {
		f.UI.Line("notice    features that are not recorded: %s", strings.Join(gained, ", "))
	}
	if len(lost) > 0 {
		return fmt.Errorf("features that the record of %s has and these files have not: %s; if that is meant, \"mage features -record\"", f.Stack.Name, strings.Join(lost, ", "))
	}
	if len(recorded) > 0 {
		f.UI.Line("features  all %d recorded features are there (\"mage features\" lists them)", len(have)-len(gained))
	}
	return nil
}
