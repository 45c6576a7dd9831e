package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/version"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// openRegistry returns a repository of a registry. Who we are there stands in docker's own config.json.
func openRegistry(name string, plain bool) (target, error) {
	repo, err := remote.NewRepository(name)
	if err != nil {
		return nil, err
	}
	if repo.Reference.Reference != "" {
		return nil, fmt.Errorf("want a repository without a tag, got %q", repo.Reference.Reference)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: usual.ask / 2}).DialContext
	t.ResponseHeaderTimeout = usual.ask
	client := &auth.Client{Client: &http.Client{Transport: t}, Cache: auth.NewCache(),
		Header: http.Header{"User-Agent": {"drydock/" + version.Drydock}}}
	if store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{}); err == nil {
		client.Credential = credentials.Credential(store)
	}
	repo.Client, repo.PlainHTTP, repo.MaxMetadataBytes = client, plain, maxRecord
	return repo, nil
}

// dir is a directory with the layout of an OCI image. Its index has the names; it is replaced as a whole, so that who
// reads sees the one or the other.
type dir struct {
	*oci.Storage
	root string
}

func openDir(root string) (target, error) {
	if !filepath.IsAbs(root) {
		return nil, errors.New("want an absolute path, file:///directory")
	}
	s, err := oci.NewStorage(root)
	return &dir{s, root}, err
}

func (d *dir) index() (*ocispec.Index, error) {
	x := &ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	data, err := archive.ReadFile(filepath.Join(d.root, ocispec.ImageIndexFile), maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(d.root); err != nil {
			return nil, err // not mounted, perhaps
		}
		return x, nil
	}
	if err == nil {
		if err = json.Unmarshal(data, x); err != nil {
			err = bad("%s that cannot be read: %v", ocispec.ImageIndexFile, err)
		}
	}
	return x, err
}

// maxIndex is the size, in bytes, up to which a directory's index is read: 400 bytes a build.
const maxIndex = 64 << 20

// named is the place of a name in an index; -1 where it has none.
func named(x *ocispec.Index, tag string) int {
	return slices.IndexFunc(x.Manifests,
		func(m ocispec.Descriptor) bool { return m.Annotations[ocispec.AnnotationRefName] == tag })
}

func (d *dir) Resolve(_ context.Context, tag string) (ocispec.Descriptor, error) {
	x, err := d.index()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	i := named(x, tag)
	if i < 0 {
		return ocispec.Descriptor{}, fmt.Errorf("%s: %w", tag, errdef.ErrNotFound)
	}
	return x.Manifests[i], nil
}

// Push adds manifests to the index, without a name yet: others refer to them, or they refer to others. It fails as a
// write does.
func (d *dir) Push(ctx context.Context, what ocispec.Descriptor, from io.Reader) error {
	err := d.Storage.Push(ctx, what, from)
	if err != nil || what.MediaType != ocispec.MediaTypeImageManifest {
		return err
	}
	return d.change(func(x *ocispec.Index) error {
		x.Manifests = append(x.Manifests, ocispec.Descriptor{MediaType: what.MediaType, Digest: what.Digest,
			Size: what.Size, ArtifactType: what.ArtifactType})
		return nil
	})
}

func (d *dir) Tag(_ context.Context, m ocispec.Descriptor, tag string) error {
	return d.change(func(x *ocispec.Index) error {
		x.Manifests = slices.DeleteFunc(x.Manifests,
			func(o ocispec.Descriptor) bool { return o.Digest == m.Digest && o.Annotations == nil })
		note := map[string]string{ocispec.AnnotationRefName: tag}
		m = ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: m.Size, ArtifactType: m.ArtifactType,
			Annotations: note}
		if i := named(x, tag); i >= 0 {
			x.Manifests[i] = m
		} else {
			x.Manifests = append(x.Manifests, m)
		}
		return nil
	})
}

func (d *dir) Tags(_ context.Context, _ string, fn func([]string) error) error {
	x, err := d.index()
	if err != nil {
		return err
	}
	var tags []string
	for _, m := range x.Manifests {
		if tag := m.Annotations[ocispec.AnnotationRefName]; tag != "" {
			tags = append(tags, tag)
		}
	}
	return fn(tags)
}

// Delete takes a manifest out of the index, and those that refer to it. What no manifest names any more goes after a
// day: somebody may be pushing. It fails where the index cannot be read or written.
func (d *dir) Delete(ctx context.Context, m ocispec.Descriptor) error {
	return d.change(func(x *ocispec.Index) error {
		x.Manifests = slices.DeleteFunc(x.Manifests, func(o ocispec.Descriptor) bool {
			of, err := (&Cache{at: d}).manifest(ctx, o)
			return o.Digest == m.Digest || err != nil || of.Subject != nil && of.Subject.Digest == m.Digest
		})
		wanted := map[string]bool{}
		for _, o := range x.Manifests {
			wanted[o.Digest.Encoded()] = true
			named, err := (&Cache{at: d}).manifest(ctx, o)
			if err != nil {
				return err // what it names is not known
			}
			for _, l := range append(named.Layers, named.Config) {
				wanted[l.Digest.Encoded()] = true
			}
		}
		for _, blob := range archive.Glob(filepath.Join(d.root, "blobs/sha256"), "*") {
			if fi, err := os.Lstat(blob); err == nil && !wanted[filepath.Base(blob)] &&
				(time.Since(fi.ModTime()) > 24*time.Hour || filepath.Base(blob) == m.Digest.Encoded()) {
				os.Remove(blob)
			}
		}
		return nil
	})
}

// change writes the index anew, one at a time on all machines that share the directory.
func (d *dir) change(how func(*ocispec.Index) error) error {
	lock, err := os.OpenFile(filepath.Join(d.root, ".lock"), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	x, err := d.index()
	if err != nil {
		return err
	}
	if err := how(x); err != nil {
		return err
	}
	data, err := json.Marshal(x)
	if err != nil {
		return err
	}
	layout := filepath.Join(d.root, ocispec.ImageLayoutFile)
	if _, err := os.Stat(layout); errors.Is(err, fs.ErrNotExist) {
		if err := archive.WriteBytes(layout, 0o644,
			[]byte(`{"imageLayoutVersion":"`+ocispec.ImageLayoutVersion+`"}`)); err != nil {
			return err
		}
	}
	return archive.WriteBytes(filepath.Join(d.root, ocispec.ImageIndexFile), 0o644, data)
}
