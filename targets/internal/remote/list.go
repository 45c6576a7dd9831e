package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"drydock/targets/internal/ui"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// Listed is one manifest of ours in a cache, as it says of itself: nobody has checked it.
type Listed struct {
	Tag, Kind, Name, Version, Stack string
	Made                            time.Time
	Size                            int64 // in bytes, of all that it names
	manifest                        ocispec.Descriptor
}

// listWidth is how many manifests are read at a time.
const listWidth = 8

// List returns what is in the cache and is ours, the newest of each name first. It fails where the cache does not
// answer.
func (c *Cache) List(ctx context.Context) ([]Listed, error) {
	var tags []string
	err := c.at.Tags(ctx, "", func(some []string) error { tags = append(tags, some...); return nil })
	var resp *errcode.ErrorResponse
	if errors.As(err, &resp) && resp.StatusCode == http.StatusNotFound {
		return nil, nil // nothing was pushed yet
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Address, err)
	}
	all := make([]*Listed, len(tags))
	errs := make([]error, len(tags))
	slots := make(chan struct{}, listWidth)
	var wg sync.WaitGroup
	for i, tag := range tags {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			all[i], errs[i] = c.listed(ctx, tag)
		})
	}
	wg.Wait()
	var found []Listed
	for _, l := range all {
		if l != nil {
			found = append(found, *l)
		}
	}
	slices.SortFunc(found, func(a, b Listed) int {
		return cmp.Or(cmp.Compare(a.Stack, b.Stack), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name),
			b.Made.Compare(a.Made), cmp.Compare(a.Tag, b.Tag))
	})
	return found, errors.Join(errs...)
}

// listed reads what is under a name; nil where it is not ours, or gone meanwhile.
func (c *Cache) listed(ctx context.Context, tag string) (*Listed, error) {
	d, err := c.at.Resolve(ctx, tag)
	if err != nil {
		return nil, ignored(err)
	}
	m, err := c.manifest(ctx, d)
	if err != nil || m.ArtifactType != buildType && m.ArtifactType != packageType {
		return nil, ignored(err)
	}
	l := &Listed{Tag: tag, Kind: kinds[m.ArtifactType], Name: m.Annotations[ocispec.AnnotationTitle],
		Version: m.Annotations[ocispec.AnnotationVersion], Stack: m.Annotations[stackNote], manifest: d}
	l.Made, _ = time.Parse(time.RFC3339, m.Annotations[ocispec.AnnotationCreated])
	for _, layer := range m.Layers {
		l.Size += layer.Size
	}
	return l, nil
}

// kinds are what a person reads of our types.
var kinds = map[string]string{buildType: "build", packageType: "package"}

// ignored is an error but for what is not there, or cannot be read.
func ignored(err error) error {
	if wrong := (*badRecord)(nil); errors.As(err, &wrong) || notFound(err) {
		return nil
	}
	return err
}

// Prune removes all but the newest keep of each name of each stack. A registry frees the space when its own collection
// runs. It fails where the cache does not answer, or does not allow to delete.
func (c *Cache) Prune(ctx context.Context, keep int) (removed []Listed, err error) {
	all, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	kept := map[string]bool{} // one package has several names
	for i, l := range all {
		of := strings.Join([]string{l.Stack, l.Kind, l.Name}, " ")
		if i == 0 || all[i-1].manifest.Digest != l.manifest.Digest {
			count[of]++
		}
		if count[of] <= keep {
			kept[l.manifest.Digest.String()] = true
		}
	}
	gone := map[string]bool{}
	for _, l := range all {
		id := l.manifest.Digest.String()
		if kept[id] || gone[id] {
			continue
		}
		gone[id] = true
		err := c.at.Delete(ctx, l.manifest)
		var resp *errcode.ErrorResponse
		switch {
		case errors.As(err, &resp) && resp.StatusCode == http.StatusMethodNotAllowed:
			return removed, fmt.Errorf("%s: the registry does not allow to delete: set "+
				"REGISTRY_STORAGE_DELETE_ENABLED=true, or storage.delete.enabled in its configuration", c.Address)
		case err != nil && !notFound(err):
			return removed, fmt.Errorf("%s: %s: %w", c.Address, l.Tag, err)
		}
		removed = append(removed, l)
	}
	return removed, nil
}

// Table is what a person reads of a list.
func Table(all []Listed) string {
	rows := [][]string{{"STACK", "WHAT", "VERSION", "MADE", "SIZE", "KEY OR NAME"}}
	for _, l := range all {
		tag := l.Tag
		if len(tag) == 64 {
			tag = tag[:12]
		}
		rows = append(rows,
			[]string{l.Stack, l.Name, l.Version, l.Made.Local().Format(time.DateTime), ui.Bytes(l.Size), tag})
	}
	return ui.Table(rows)
}
