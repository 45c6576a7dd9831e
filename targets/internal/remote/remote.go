// Package remote keeps what one machine built where a team's other machines find it: in an OCI registry, or in a
// directory with the layout of an OCI image. What it says is believed where a key of the team has signed it, and bytes
// where their digest is the one that was signed: who is on the cache can withhold, not alter.
package remote

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"drydock/targets/internal/graph"
	"drydock/targets/internal/version"

	"aead.dev/minisign"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
)

// Media types of ours. A manifest's layers are a record, its signature in minisign's format, and then the files that
// the record names.
const (
	buildType     = "application/vnd.drydock.build.v1"
	recordType    = "application/vnd.drydock.record.v1+json"
	signatureType = "application/vnd.drydock.minisig.v1"
	fileType      = "application/vnd.drydock.file.v1"
)

const (
	// maxRecord is the size, in bytes, up to which manifests, records and signatures are read: dockerd's record is 20
	// kB.
	maxRecord = 4 << 20
	// minRate is how many bytes a second a transfer is given.
	minRate = 256 << 10
)

// patience is how long the cache may take to say what it has of one build, what a transfer is given at least, and how
// long one may stand still.
type patience struct{ ask, transfer, stall time.Duration }

var usual = patience{ask: 10 * time.Second, transfer: 30 * time.Second, stall: 10 * time.Second}

// Record is what a cache says of a build. It is what is signed.
type Record struct {
	Format  int    `json:"format"`
	Drydock string `json:"drydock"` // the version that wrote it
	Stack   string `json:"stack"`
	Version string `json:"version"` // of what was built
	// Build is the record of the machine that built it; its outputs are in Files.
	Build graph.Record `json:"build"`
	Files []File       `json:"files"`
	// Tools is what was known of that machine's compilers, where this is a record of them.
	Tools json.RawMessage `json:"tools,omitempty"`

	by string // the key that signed it
}

// File is one output of a build.
type File struct {
	Name   string `json:"name"`   // relative to the directory in which a build's outputs are kept
	SHA256 string `json:"sha256"` // of the file, or of the tree as archive.SHA256Tree has it
	Size   int64  `json:"size"`   // in bytes, of the file or of the tree's tar
	Exec   bool   `json:"exec,omitempty"`
	Tree   bool   `json:"tree,omitempty"`
	Gzip   bool   `json:"gzip,omitempty"` // how the blob has it
	// Blob is what is transferred.
	Blob ocispec.Descriptor `json:"blob"`
}

// Signer signs a record.
type Signer interface {
	ID() string
	Sign(name string, data []byte, what string) []byte
}

// target is a registry's repository, or a directory.
type target interface {
	content.Storage
	content.TagResolver
	Tags(ctx context.Context, last string, fn func(tags []string) error) error
	Delete(ctx context.Context, d ocispec.Descriptor) error
}

// Cache is a team's cache. Its methods may be called from several goroutines.
type Cache struct {
	Address string
	// Say is told, once for each, of what is wrong with the cache.
	Say func(format string, a ...any)

	at       target
	keys     []minisign.PublicKey
	patience patience

	mu      sync.Mutex
	down    error // why the cache is not asked any more in this run
	said    map[string]bool
	refused map[string]bool // keys of what turned out to be of no use
}

// Open reads an address (oci://host:port/name, oci+http:// for a registry without TLS, file:///dir) and the public keys
// that are believed: files in minisign's format, or keys as they stand in such a file, with commas between them. It
// asks nothing yet: it fails on an address or a key of another form.
func Open(address, keys string) (*Cache, error) {
	c := &Cache{Address: address, patience: usual, Say: func(string, ...any) {}, said: map[string]bool{},
		refused: map[string]bool{}}
	for _, k := range strings.FieldsFunc(keys, func(r rune) bool { return r == ',' || r == ' ' }) {
		var key minisign.PublicKey
		err := key.UnmarshalText([]byte(k))
		if err != nil {
			if key, err = minisign.PublicKeyFromFile(k); err != nil {
				return nil, fmt.Errorf("CACHE_KEYS: %s: want a public key in minisign's format, or a file with one: %w",
					k, err)
			}
		}
		c.keys = append(c.keys, key)
	}
	var err error
	scheme, rest, _ := strings.Cut(address, "://")
	switch scheme {
	case "oci", "oci+http":
		c.at, err = openRegistry(rest, scheme == "oci+http")
	case "file":
		c.at, err = openDir(rest)
	default:
		err = errors.New("want oci://host:port/name, oci+http://host:port/name without TLS, or file:///directory")
	}
	if err != nil {
		return nil, fmt.Errorf("REMOTE_CACHE=%s: %w", address, err)
	}
	return c, nil
}

// Keys are the identities of the keys that are believed, as minisign writes them.
func (c *Cache) Keys() (ids []string) {
	for _, k := range c.keys {
		ids = append(ids, fmt.Sprintf("%016X", k.ID()))
	}
	return ids
}

// Down returns why the cache is not asked any more in this run; nil while it answers.
func (c *Cache) Down() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.down
}

// forbid has nobody ask the cache, for a reason that needs no telling.
func (c *Cache) forbid(why error) {
	c.mu.Lock()
	c.down = why
	c.mu.Unlock()
}

// once says something of the cache, once in a run.
func (c *Cache) once(format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	c.mu.Lock()
	said := c.said[text]
	c.said[text] = true
	c.mu.Unlock()
	if !said {
		c.Say("%s", text)
	}
}

// fails notes that the cache did not answer: it is not asked again in this run. It returns why.
func (c *Cache) fails(err error) error {
	c.mu.Lock()
	first := c.down == nil
	c.down = cmp.Or(c.down, err)
	c.mu.Unlock()
	if first {
		c.once("%s does not answer, and is not asked again in this run: %s", c.Address, brief(err))
	}
	return err
}

// brief is an error in one line.
func brief(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// By is the key that signed a record.
func (r *Record) By() string { return r.by }

// Ask returns what the cache has of a build with this key, signed by a key that is believed; nil where it has nothing
// of the kind. What is wrong is told, once, and is nothing.
func (c *Cache) Ask(ctx context.Context, key string) *Record {
	c.mu.Lock()
	useless := c.down != nil || c.refused[key]
	c.mu.Unlock()
	if useless {
		return nil
	}
	asking, cancel := context.WithTimeoutCause(ctx, c.patience.ask, fmt.Errorf("no answer in %v", c.patience.ask))
	defer cancel()
	r, err := c.ask(asking, key)
	switch wrong := (*badRecord)(nil); {
	case err == nil:
		return r
	case ctx.Err() != nil:
	case errors.As(err, &wrong):
		c.once("%s: %s: it is as if it were not there", c.Address, wrong)
	case !notFound(err):
		if asking.Err() != nil {
			err = context.Cause(asking)
		}
		_ = c.fails(err)
	}
	return nil
}

// Refuse says that what the cache has of a key is of no use: it is not asked for it again in this run.
func (c *Cache) Refuse(key string) {
	c.mu.Lock()
	c.refused[key] = true
	c.mu.Unlock()
}

// badRecord is a record that is not believed.
type badRecord struct{ text string }

func (b *badRecord) Error() string { return b.text }

func bad(format string, a ...any) error { return &badRecord{fmt.Sprintf(format, a...)} }

func (c *Cache) ask(ctx context.Context, key string) (*Record, error) {
	d, err := c.at.Resolve(ctx, key)
	if err != nil {
		return nil, err
	}
	m, err := c.manifest(ctx, d)
	if err != nil {
		return nil, err
	}
	return c.record(ctx, m, key)
}

// manifest reads a manifest, which must be one.
func (c *Cache) manifest(ctx context.Context, d ocispec.Descriptor) (*ocispec.Manifest, error) {
	data, err := c.small(ctx, d)
	if err != nil {
		return nil, err
	}
	var m ocispec.Manifest
	if json.Unmarshal(data, &m) != nil || m.SchemaVersion != 2 {
		return nil, bad("a manifest that cannot be read")
	}
	return &m, nil
}

// small reads what has at most maxRecord bytes, and the digest that its descriptor says.
func (c *Cache) small(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	if d.Size < 0 || d.Size > maxRecord {
		return nil, bad("a %s of %d bytes; want at most %d", d.MediaType, d.Size, maxRecord)
	}
	data, err := content.FetchAll(ctx, c.at, d)
	if errors.Is(err, content.ErrMismatchedDigest) || errors.Is(err, content.ErrTrailingData) ||
		errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, bad("a %s that is not what its digest says", d.MediaType)
	}
	return data, err
}

// record reads the record of a manifest. It must be signed, be of this key, and its key be that of its inputs.
func (c *Cache) record(ctx context.Context, m *ocispec.Manifest, key string) (*Record, error) {
	var parts [2][]byte
	for i, kind := range []string{recordType, signatureType} {
		at := slices.IndexFunc(m.Layers, func(d ocispec.Descriptor) bool { return d.MediaType == kind })
		if at < 0 {
			return nil, bad("a build without a %s", kind)
		}
		data, err := c.small(ctx, m.Layers[at])
		if err != nil {
			return nil, err
		}
		parts[i] = data
	}
	r := &Record{}
	if r.by = c.believes(parts[0], parts[1]); r.by == "" {
		who := "nobody"
		var s minisign.Signature
		if s.UnmarshalText(parts[1]) == nil {
			who = fmt.Sprintf("key %016X", s.KeyID)
		}
		return nil, bad("builds that no key of CACHE_KEYS has signed (it was %s)", who)
	}
	if err := json.Unmarshal(parts[0], r); err != nil || r.Format != 1 {
		return nil, bad("a record of another format, by drydock %s", cmp.Or(r.Drydock, "?"))
	}
	if r.Build.Key != key || graph.Key(r.Build.Inputs) != key {
		return nil, bad("under the key %.12s the record of another, %.12s", key, r.Build.Key)
	}
	seen := map[string]bool{}
	for _, f := range r.Files {
		if !filepath.IsLocal(f.Name) || path.Clean(f.Name) != f.Name || seen[f.Name] || f.Size < 0 ||
			f.Blob.Digest.Validate() != nil {
			return nil, bad("a record with the file %q", f.Name)
		}
		seen[f.Name] = true
	}
	return r, nil
}

// Push puts a build into the cache, signed: the files first, then the record, and last the name under which they are
// found. Of the files, which lie below dir, it fills in digests and sizes. It fails where a file cannot be read or the
// cache does not take it.
func (c *Cache) Push(ctx context.Context, r *Record, dir string, sign Signer) error {
	if err := c.Down(); err != nil {
		return err
	}
	r.Format, r.Drydock = 1, version.Drydock
	var layers []ocispec.Descriptor
	for i := range r.Files {
		if err := c.pushFile(ctx, &r.Files[i], dir); err != nil {
			return err
		}
		layers = append(layers, titled(r.Files[i].Blob, r.Files[i].Name))
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	said := "record of " + r.Build.Name
	for i, part := range [][]byte{data, sign.Sign(said, data, r.Build.Name+" "+r.Version+", stack "+r.Stack)} {
		d := content.NewDescriptorFromBytes([]string{recordType, signatureType}[i], part)
		if err := c.pushBytes(ctx, d, part); err != nil {
			return err
		}
		layers = slices.Insert(layers, i, titled(d, []string{"record.json", "record.json.minisig"}[i]))
	}
	notes := map[string]string{ocispec.AnnotationCreated: r.Build.Built.UTC().Format(time.RFC3339),
		ocispec.AnnotationTitle: r.Build.Name, ocispec.AnnotationVersion: r.Version, stackNote: r.Stack}
	return c.publish(ctx, buildType, r.Build.Key,
		oras.PackManifestOptions{Layers: layers, ManifestAnnotations: notes})
}

// PushAll is Push of what the cache has not yet, several at a time; at gives the directory of each one's files. It
// returns how many were pushed, how many could not be, and the first reason.
func (c *Cache) PushAll(ctx context.Context, all []*Record, at func(*Record) string, sign Signer) (
	pushed, failed int, why error) {
	var mu sync.Mutex
	slots := make(chan struct{}, pushWidth)
	var wg sync.WaitGroup
	for _, r := range all {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if has := c.Ask(ctx, r.Build.Key); has != nil && string(has.Tools) == string(r.Tools) {
				return
			}
			err := c.Push(ctx, r, at(r), sign)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed, why = failed+1, cmp.Or(why, err)
			} else {
				pushed++
			}
		})
	}
	wg.Wait()
	return pushed, failed, why
}

// pushWidth is how many builds are pushed at a time.
const pushWidth = 4

// stackNote is the annotation that says which stack a build is of.
const stackNote = "drydock.stack"

// titled gives a descriptor the name under which other tools write its content into a file.
func titled(d ocispec.Descriptor, name string) ocispec.Descriptor {
	d.Annotations = map[string]string{ocispec.AnnotationTitle: name}
	return d
}

// publish pushes a manifest and gives it a name.
func (c *Cache) publish(ctx context.Context, kind, tag string, opts oras.PackManifestOptions) error {
	d, err := oras.PackManifest(ctx, c.at, oras.PackManifestVersion1_1, kind, opts)
	if err != nil {
		return err
	}
	return c.at.Tag(ctx, d, tag)
}

func (c *Cache) pushBytes(ctx context.Context, d ocispec.Descriptor, data []byte) error {
	return c.pushFrom(ctx, d, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
}

// pushFrom pushes a blob, unless it is there.
func (c *Cache) pushFrom(ctx context.Context, d ocispec.Descriptor, open func() (io.ReadCloser, error)) error {
	if there, err := c.at.Exists(ctx, d); err != nil || there {
		return err
	}
	from, err := open()
	if err != nil {
		return err
	}
	defer from.Close()
	ctx, done := within(ctx, c.patience.transfer+time.Duration(d.Size)*time.Second/minRate)
	defer done()
	err = c.at.Push(ctx, d, &watched{Reader: from, ctx: ctx})
	if errors.Is(err, errdef.ErrAlreadyExists) {
		return nil
	}
	return because(ctx, err)
}

// because puts the reason for which a context ended in an error's place.
func because(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
