package prove

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/engine"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/ui"
	"drydock/targets/internal/verify"
)

// featuresFile is where the features of the stack's release are recorded.
func featuresFile(e *engine.Engine) string {
	return e.Stack.Beside(".features")
}

// noQuota is how a dockerd says that it was built without project quotas because this host has no headers for them.
const noQuota = "dockerd: build tag exclude_disk_quota"

// Features lists what is built into the files and holds it against what the release had when it was recorded; record
// writes that down. Features that are lost are failure.Failed.
func Features(ctx context.Context, record bool) error {
	return engine.Command(ctx, func(ctx context.Context, e *engine.Engine) error {
		if err := e.Confined(); err != nil {
			return err
		}
		if err := wholeOutputs(e); err != nil {
			return err
		}
		have, err := e.Features(ctx)
		if errors.Is(err, fs.ErrNotExist) {
			return failure.Errorf(failure.Failed, "%s is not built: run \"mage all\"", e.Stack.Name)
		}
		if err != nil {
			return failure.With(failure.Failed, err)
		}
		recorded, err := os.ReadFile(featuresFile(e))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		p := verify.ParityOf(string(recorded), have, recipe.Programs(e.Stack))
		if record {
			text := "# What is built into this stack's files. Written by \"mage features -record\"; the lines with a " +
				"\"-\" are written by hand:\n" +
				"# what upstream's own build has and this one leaves out on purpose.\n"
			for _, l := range p.Left {
				text += "- " + l + "\n"
			}
			all := slices.Sorted(slices.Values(slices.Concat(have, p.Others)))
			text += strings.Join(all, "\n") + "\n"
			if err := archive.WriteBytes(featuresFile(e), 0o644, []byte(text)); err != nil {
				return err
			}
			e.UI.Line("recorded  %d features in %s", len(all), e.Rel(featuresFile(e)))
			return nil
		}
		rows := [][]string{{"FEATURE", ""}}
		for _, h := range have {
			word := e.UI.Good("there")
			if slices.Contains(p.Gained, h) {
				word = "there, not recorded"
			}
			rows = append(rows, []string{h, word})
		}
		for _, l := range p.Left {
			rows = append(rows, []string{l, "left out on purpose"})
		}
		for _, l := range p.Lost {
			rows = append(rows, []string{l, e.UI.Bad("LOST")})
		}
		e.UI.Text(ui.Table(rows))
		return failure.With(failure.Failed, parity(ctx, e, e.UI))
	})
}

// parity says which features the files have lost, and prints which they have gained.
func parity(ctx context.Context, e *engine.Engine, u *ui.UI) error {
	recorded, err := os.ReadFile(featuresFile(e))
	if errors.Is(err, fs.ErrNotExist) {
		u.Line("notice    the features of %s are not recorded: \"mage features -record\" does it", e.Stack.Name)
		return nil
	}
	if err != nil {
		return err
	}
	have, err := e.Features(ctx)
	if err != nil {
		return err
	}
	p := verify.ParityOf(string(recorded), have, recipe.Programs(e.Stack))
	lost, gained := p.Lost, p.Gained
	if slices.Contains(have, noQuota) {
		lost = slices.DeleteFunc(lost, func(l string) bool { return l == "dockerd: project quota" })
		u.Line("notice    dockerd is built without project quotas: this host has no headers for them, or the stack " +
			"file says so")
	}
	if len(gained) > 0 {
		u.Line("notice    features that are not recorded: %s", strings.Join(gained, ", "))
	}
	if len(lost) > 0 {
		return fmt.Errorf("features that the record of %s has and these files have not: %s; if that is meant, \"mage "+
			"features -record\"", e.Stack.Name, strings.Join(lost, ", "))
	}
	if len(recorded) > 0 {
		u.Line("features  all %d recorded features are there (\"mage features\" lists them)", len(have)-len(gained))
	}
	return nil
}
