package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/failure"
	"drydock/targets/internal/pack"
	"drydock/targets/internal/ui"

	"aead.dev/minisign"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
)

// packageType is the type of a package's manifest: its layers are the files that a user takes away.
const packageType = "application/vnd.drydock.package.v1"

// Package is a package with what is known of it.
type Package struct {
	Name, Version, Stack string // Name is that of the kept package
	Made                 time.Time
	Files                []string // paths: the package first, its digest, what goes with it
	About                []Note
}

// Note is one thing that is known of a package: its manifest, its bill of materials. It refers to the package, so that
// other tools find it.
type Note struct {
	Name, Type string
	Data       []byte
}

// PushPackage puts a package into the registry, under its name and, as the newest, under its stack's. It fails where
// the cache does not take it.
func (c *Cache) PushPackage(ctx context.Context, p Package) error {
	var layers []ocispec.Descriptor
	for _, file := range p.Files {
		d, err := describe(file)
		if err != nil {
			return err
		}
		if err := c.pushFrom(ctx, d, func() (io.ReadCloser, error) { return os.Open(file) }); err != nil {
			return err
		}
		layers = append(layers, titled(d, filepath.Base(file)))
	}
	notes := map[string]string{ocispec.AnnotationCreated: p.Made.UTC().Format(time.RFC3339),
		ocispec.AnnotationTitle: "docker", ocispec.AnnotationVersion: p.Version, stackNote: p.Stack}
	main, err := oras.PackManifest(ctx, c.at, oras.PackManifestVersion1_1, packageType,
		oras.PackManifestOptions{Layers: layers, ManifestAnnotations: notes})
	if err != nil {
		return err
	}
	for _, n := range p.About {
		d := content.NewDescriptorFromBytes(n.Type, n.Data)
		if err := c.pushBytes(ctx, d, n.Data); err != nil {
			return err
		}
		about := oras.PackManifestOptions{Subject: &main, Layers: []ocispec.Descriptor{titled(d, n.Name)},
			ManifestAnnotations: map[string]string{ocispec.AnnotationCreated: notes[ocispec.AnnotationCreated],
				ocispec.AnnotationTitle: n.Name}}
		if _, err := oras.PackManifest(ctx, c.at, oras.PackManifestVersion1_1, n.Type, about); err != nil {
			return err
		}
	}
	for _, tag := range []string{p.Name, p.Stack} {
		if err := c.at.Tag(ctx, main, tag); err != nil {
			return err
		}
	}
	return nil
}

// describe is the descriptor of a file.
func describe(file string) (ocispec.Descriptor, error) {
	in, err := os.Open(file)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	defer in.Close()
	var size counter
	sum, err := digest.FromReader(io.TeeReader(in, &size))
	return ocispec.Descriptor{MediaType: fileType, Digest: sum, Size: int64(size)}, err
}

// pullPackage gets the files of a package by a name of PushPackage into dir, which is there, and returns their paths.
// Their digests are those of the manifest; whose manifest it is, nobody has said: the package's own signature does. It
// fails where there is none of that name, a file is damaged, or is there already.
func (c *Cache) pullPackage(ctx context.Context, name, dir string, took func(n int)) (files []string, err error) {
	d, err := c.at.Resolve(ctx, name)
	if notFound(err) {
		return nil, fmt.Errorf("%s has no package %s: \"mage cache\" lists them", c.Address, name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Address, err)
	}
	m, err := c.manifest(ctx, d)
	if err == nil && m.ArtifactType != packageType {
		err = fmt.Errorf("%s is a %s, and no package", name, m.ArtifactType)
	}
	if err != nil {
		return nil, err
	}
	for _, l := range m.Layers {
		file := l.Annotations[ocispec.AnnotationTitle]
		if file == "" || file != filepath.Base(file) || !filepath.IsLocal(file) {
			return files, fmt.Errorf("%s: a file with the name %q", name, file)
		}
		to := filepath.Join(dir, file)
		if _, err := os.Lstat(to); err == nil {
			return files, fmt.Errorf("%s is there: files are not overwritten", to)
		}
		if err := c.download(ctx, l, to, took); err != nil {
			os.Remove(to)
			return files, fmt.Errorf("%s: %w", file, err)
		}
		files = append(files, to)
	}
	return files, nil
}

// believes returns the key of the team that signed data; empty where none did.
func (c *Cache) believes(data, signature []byte) string {
	for i, k := range c.keys {
		if minisign.Verify(k, data, signature) {
			return c.Keys()[i]
		}
	}
	return ""
}

func notFound(err error) bool { return errors.Is(err, errdef.ErrNotFound) }

// Pull gets a package by a name of PushPackage into dir, and says so. It is signed by a key that is believed, and all
// of it is as it was made, or nothing of it is kept: a failure.Exit.
func (c *Cache) Pull(ctx context.Context, name, dir string, u *ui.UI) error {
	tmp, err := os.MkdirTemp(dir, ".tmp-pull-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	u.Start(name, c.Address, 0)
	files, err := c.pullPackage(ctx, name, tmp, func(n int) { u.Add(name, int64(n)) })
	if err != nil {
		return failure.With(failure.Sources, err)
	}
	u.Done(name, nil)
	by, err := c.checked(files)
	if err != nil {
		return failure.With(failure.Failed, fmt.Errorf("%s of %s: %w: nothing of it is kept", name, c.Address, err))
	}
	for _, f := range files {
		to := filepath.Join(dir, filepath.Base(f))
		if _, err := os.Lstat(to); err == nil {
			return fmt.Errorf("%s is there: files are not overwritten", to)
		}
		// it was read by its owner alone until it was checked
		if err := errors.Join(os.Chmod(f, 0o644), os.Rename(f, to)); err != nil {
			return err
		}
		u.Line("pulled    %s", to)
	}
	u.Line("package   all files are as %s says; signed by %s", pack.SumsName, by)
	return nil
}

// checked checks a package and what came with it, and returns who signed it.
func (c *Cache) checked(files []string) (by string, err error) {
	p, problems, err := pack.ReadPackage(files[0])
	switch {
	case err != nil:
		return "", err
	case len(problems) > 0:
		return "", errors.New(strings.Join(problems, "; "))
	}
	if by = c.believes(p.List, p.Signature); by == "" {
		return "", errors.New("not signed by a key of CACHE_KEYS")
	}
	for _, f := range files[1:] {
		sum, err := archive.SHA256File(f)
		again := p.Manifest.Relink
		switch name := filepath.Base(f); {
		case err != nil:
		case name == filepath.Base(files[0])+".sha256":
			err = pack.CheckSum(files[0], p.SHA256)
		case again == nil || name != again.Name || sum != again.SHA256:
			err = fmt.Errorf("%s is not what its manifest has beside it", name)
		}
		if err != nil {
			return "", err
		}
	}
	return by, nil
}
