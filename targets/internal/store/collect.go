package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/pack"
	"drydock/targets/internal/recipe"
	"drydock/targets/internal/source"
)

// What is kept of a component beside its outputs, so that the package needs no source tree: the licence texts and lists
// of modules that lie in it, and the objects of the links that can be made again. Plain tars, for gzip's bytes depend
// on the Go that wrote them, and these digests enter the keys of the components that need this one.
const (
	NoticesFile = "notices.tar"
	RelinkFile  = "relink.tar"
)

// noticeName is how files that say who owns a source tree, and on which terms, are named; and the lists of what is in
// vendor/.
var noticeName = regexp.MustCompile(`(?i)^(un)?(licen[cs]es?|copying|copyright|notice|patents)([-._].*)?$|` +
	`^modules\.txt$|^vendor\.conf$`)

// maxNotice is the size, in bytes, of the largest file that can be a licence text.
const maxNotice = 1 << 20

// Collect leaves below stage what is kept beside the plan's outputs, and returns the names. It fails where a link used
// a file of this machine's, or a file cannot be read or written.
func Collect(plan recipe.Plan, p recipe.Paths) ([]recipe.Output, error) {
	notices, err := noticesOf(p.Work)
	if err != nil {
		return nil, fmt.Errorf("collect licence texts: %w", err)
	}
	kept := []recipe.Output{{Name: NoticesFile}}
	tars := map[string][]archive.Entry{NoticesFile: notices}
	for _, bin := range plan.Relink {
		es, err := relinkOf(bin, p)
		if err != nil {
			return nil, fmt.Errorf("collect the objects of %s: %w", bin, err)
		}
		tars[RelinkFile] = append(tars[RelinkFile], es...)
	}
	if len(plan.Relink) > 0 {
		kept = append(kept, recipe.Output{Name: RelinkFile})
	}
	for name, es := range tars {
		write := func(w io.Writer) error { return archive.WriteTar(w, es, time.Unix(0, 0)) }
		err := archive.WriteFile(filepath.Join(p.Stage, name), 0o644, write)
		if err != nil {
			return nil, err
		}
	}
	return kept, nil
}

// noticesOf lists the licence texts in a source tree.
func noticesOf(tree string) ([]archive.Entry, error) {
	var es []archive.Entry
	err := filepath.WalkDir(tree, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !noticeName.MatchString(d.Name()) ||
			strings.HasSuffix(d.Name(), ".go") {
			return err
		}
		fi, err := d.Info()
		if err != nil || fi.Size() > maxNotice {
			return err
		}
		rel, err := filepath.Rel(tree, p)
		es = append(es, archive.Entry{Name: filepath.ToSlash(rel), Path: p, Mode: 0o644})
		return err
	})
	if err != nil {
		return nil, err
	}
	libs := filepath.Join(tree, source.Libraries, "src")
	var dirs []string
	err = filepath.WalkDir(libs, func(p string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(p) == ".go" {
			rel, _ := filepath.Rel(libs, filepath.Dir(p))
			dirs = append(dirs, filepath.ToSlash(rel))
		}
		return err
	})
	if len(dirs) > 0 {
		es = append(es, archive.Entry{Name: pack.LibraryList, Mode: 0o644,
			Data: []byte(strings.Join(slices.Compact(dirs), "\n") + "\n")})
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return es, err
}

// relinkOf lists the objects that an output was linked from, and the arguments, made independent of this machine: names
// of objects are relative, and a library that is another component's lies in lib/<component>.
func relinkOf(bin string, p recipe.Paths) ([]archive.Entry, error) {
	dir := recipe.RelinkDir(p.Stage, bin)
	data, err := os.ReadFile(filepath.Join(dir, "args"))
	if err != nil {
		return nil, err
	}
	args, err := linkArgs(strings.Split(strings.TrimRight(string(data), "\n"), "\n"), dir, p.Deps)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	var es []archive.Entry
	for _, a := range args {
		fmt.Fprintln(&text, responseWord(a))
		if strings.HasSuffix(a, ".o") {
			es = append(es, archive.Entry{Name: bin + "/" + a, Path: filepath.Join(dir, a), Mode: 0o644})
		}
	}
	return append(es, archive.Entry{Name: bin + "/args", Data: text.Bytes(), Mode: 0o644}), nil
}

// linkArgs drops the name of the output, and the paths of the build, from a linker's arguments.
func linkArgs(args []string, dir string, deps map[string]string) ([]string, error) {
	if i := slices.Index(args, "-o"); i >= 0 && i+1 < len(args) {
		args = slices.Delete(slices.Clone(args), i, i+2)
	}
	var out []string
	for _, a := range args {
		a = strings.ReplaceAll(a, dir+"/", "")
		for name, at := range deps {
			a = strings.ReplaceAll(a, at+"/lib", "../lib/"+name)
		}
		if filepath.IsAbs(strings.TrimPrefix(a, "-L")) {
			return nil, fmt.Errorf("the linker was told %s, which is on this machine only", a)
		}
		out = append(out, a)
	}
	return slices.DeleteFunc(out, func(a string) bool { return a == "" }), nil
}

// responseWord quotes an argument as gcc's @file wants it.
func responseWord(a string) string {
	if !strings.ContainsAny(a, " \t'\"\\") {
		return a
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(a) + `"`
}
