// Package testregistry is an OCI registry in memory, for tests: as much of one as the cache asks for, and a place to
// make it fail.
package testregistry

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Registry is a registry with whatever repositories somebody pushes to.
type Registry struct {
	*httptest.Server

	mu    sync.Mutex
	blobs map[string][]byte // manifests, too, by digest
	tags  map[string]string // digests
	fault func(w http.ResponseWriter, r *http.Request, answer http.Handler)
	asked int
	types map[string]string // of manifests, by digest
}

// New starts a registry; Close ends it.
func New() *Registry {
	g := &Registry{blobs: map[string][]byte{}, tags: map[string]string{}, types: map[string]string{}}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.asked++
		fault := g.fault
		g.mu.Unlock()
		if fault != nil {
			fault(w, r, http.HandlerFunc(g.answer))
			return
		}
		g.answer(w, r)
	}))
	return g
}

// Address is how REMOTE_CACHE names a repository of it.
func (g *Registry) Address(name string) string {
	return "oci+http://" + strings.TrimPrefix(g.URL, "http://") + "/" + name
}

// Fail has every request go through fault; nil ends that.
func (g *Registry) Fail(fault func(w http.ResponseWriter, r *http.Request, answer http.Handler)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = fault
}

// Asked is how many requests came.
func (g *Registry) Asked() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked
}

// Change has change see every blob and manifest, and stores what it returns under the digest of what was there.
func (g *Registry) Change(change func(data []byte) []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for d, data := range g.blobs {
		g.blobs[d] = change(slices.Clone(data))
	}
}

// Retag gives every name what another name has.
func (g *Registry) Retag() {
	g.mu.Lock()
	defer g.mu.Unlock()
	names := slices.Sorted(maps.Keys(g.tags))
	first := g.tags[names[0]]
	for i, n := range names[:len(names)-1] {
		g.tags[n] = g.tags[names[i+1]]
	}
	g.tags[names[len(names)-1]] = first
}

var path = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs|tags|referrers)/(.*)$`)

func digestOf(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

func (g *Registry) answer(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := path.FindStringSubmatch(r.URL.Path)
	if m == nil {
		w.WriteHeader(http.StatusOK) // of /v2/
		return
	}
	kind, ref := m[2], m[3]
	switch {
	case kind == "tags":
		_ = json.NewEncoder(w).Encode(map[string]any{"name": m[1], "tags": slices.Sorted(maps.Keys(g.tags))})
	case kind == "referrers":
		http.NotFound(w, r)
	case r.Method == http.MethodPost:
		w.Header().Set("Location", "/v2/"+m[1]+"/blobs/uploads/1")
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodPut:
		g.put(w, r, kind, ref)
	case r.Method == http.MethodDelete:
		for tag, d := range g.tags {
			if d == ref {
				delete(g.tags, tag)
			}
		}
		delete(g.blobs, ref)
		w.WriteHeader(http.StatusAccepted)
	default:
		if d := g.tags[ref]; kind == "manifests" && d != "" {
			ref = d
		}
		data, there := g.blobs[ref]
		if !there {
			http.NotFound(w, r)
			return
		}
		if t := g.types[ref]; t != "" {
			w.Header().Set("Content-Type", t)
		}
		w.Header().Set("Docker-Content-Digest", ref)
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(data)
		}
	}
}

func (g *Registry) put(w http.ResponseWriter, r *http.Request, kind, ref string) {
	data, err := io.ReadAll(r.Body)
	d := digestOf(data)
	if want := r.URL.Query().Get("digest"); err != nil || want != "" && want != d {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	g.blobs[d] = data
	if kind == "manifests" {
		g.types[d] = r.Header.Get("Content-Type")
		if !strings.HasPrefix(ref, "sha256:") {
			g.tags[ref] = d
		}
	}
	w.Header().Set("Docker-Content-Digest", d)
	w.WriteHeader(http.StatusCreated)
}
