// Package boot starts a kernel in a virtual machine (qemu), installs the package there with its own installer, starts
// the service and uses it: what a filter of system calls cannot imitate is booted.
package boot

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/source"
	"drydock/targets/internal/stack"
)

// Kernel is what is booted.
type Kernel struct {
	Release string // as uname -r prints it
	Image   string // a bzImage; on ARM an Image or a zImage
	Modules string // the directory lib/modules/<release>; empty for a kernel that needs none
	Config  string // its configuration; empty where that is not known
}

// Source is a file of a distribution, by digest.
type Source struct {
	Name, Path, SHA256 string // Path is below the base of a Debian mirror
	Size               int64
}

// Component is the source in the form that a store of sources takes, with its line of a lock.
func (s Source) Component() (*stack.Component, *stack.Lock) {
	o := &stack.Origin{Kind: stack.KindDebian, Path: s.Path}
	return &stack.Component{Name: s.Name, Origin: []*stack.Origin{o}},
		&stack.Lock{File: []*stack.LockedFile{{Component: s.Name, Name: o.Name(), SHA256: s.SHA256, Size: s.Size}}}
}

// Sources are where packages of Debian come from.
type Sources struct {
	Store  *source.Store
	Online func(context.Context) (source.Go, error)
	Dir    string // where they are unpacked
}

// Get gets a package and unpacks it, where that was not done yet. It returns the directory. It fails where no origin
// has the package with its digest.
func (from Sources) Get(ctx context.Context, s Source) (string, error) {
	c, l := s.Component()
	set := source.Set{Store: from.Store, Stack: &stack.Stack{Lock: l}, Online: from.Online}
	found, err := set.Get(ctx, c)
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.Name, err)
	}
	dir := filepath.Join(from.Dir, s.Name+"-"+found.SHA256[:12])
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	r, err := archive.Open(found.Path, "deb")
	if err != nil {
		return "", err
	}
	defer r.Close()
	tmp := dir + ".tmp"
	if err := archive.EmptyDir(tmp); err != nil {
		return "", err
	}
	if err := archive.ExtractOnly(r, tmp, 0, nil); err != nil {
		return "", fmt.Errorf("%s: %w", found.Path, err)
	}
	return dir, os.Rename(tmp, dir)
}

// Kernel gets the target's kernel of a series; "" is the first of them. It fails as Find and Get do.
func (from Sources) Kernel(ctx context.Context, t *Target, series string) (Kernel, error) {
	s, err := t.Find(cmp.Or(series, t.Kernels[0].Name))
	if err != nil {
		return Kernel{}, err
	}
	dir, err := from.Get(ctx, s)
	if err != nil {
		return Kernel{}, err
	}
	return t.Unpacked(dir)
}

// Busybox gets the target's busybox. It fails as Get does, and where the package has no busybox.
func (from Sources) Busybox(ctx context.Context, t *Target) (string, error) {
	dir, err := from.Get(ctx, t.Busybox)
	if err != nil {
		return "", err
	}
	return busyboxIn(dir)
}

// Find returns the target's kernel of that series; the error names those that there are.
func (t *Target) Find(series string) (Source, error) {
	var known []string
	for _, k := range t.Kernels {
		if k.Name == series {
			return k, nil
		}
		known = append(known, k.Name)
	}
	return Source{}, fmt.Errorf("-kernel: got %q, want one of %s, or -image=FILE for a kernel of your own", series,
		strings.Join(known, ", "))
}

// Unpacked returns the kernel of a Debian package that was unpacked into dir; an error where it has not exactly one.
func (t *Target) Unpacked(dir string) (Kernel, error) {
	images := archive.Glob(dir, "boot/vmlinuz-*")
	if len(images) != 1 {
		return Kernel{}, fmt.Errorf("%s: got %d kernels in boot/, want one", dir, len(images))
	}
	release := strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-")
	return t.Own(images[0], filepath.Join(dir, "lib/modules", release), filepath.Join(dir, "boot/config-"+release))
}

// Own returns a kernel from files: its image, and where they are named the directory of its modules and its
// configuration. It fails where one is missing, or the image is none of the target's.
func (t *Target) Own(image, modules, config string) (Kernel, error) {
	image, err := filepath.Abs(image)
	k := Kernel{Image: image, Modules: modules, Config: config}
	if err != nil {
		return k, err
	}
	for _, f := range []string{modules, config} {
		if f == "" {
			continue
		}
		if _, err := os.Stat(f); err != nil {
			return k, err
		}
	}
	f, err := os.Open(image)
	if err != nil {
		return k, err
	}
	defer f.Close()
	if k.Release, err = t.release(f); err != nil {
		return k, fmt.Errorf("%s: %w", image, err)
	}
	if modules != "" && filepath.Base(modules) != k.Release { // lib/modules itself, or a root
		for _, d := range []string{k.Release, "lib/modules/" + k.Release} {
			if fi, err := os.Stat(filepath.Join(modules, d)); err == nil && fi.IsDir() {
				k.Modules = filepath.Join(modules, d)
			}
		}
	}
	return k, nil
}

// releaseOfPC reads the release from the header of a bzImage (Documentation/x86/boot.rst: kernel_version).
func releaseOfPC(r io.ReaderAt) (string, error) {
	head := make([]byte, 0x210)
	if _, err := r.ReadAt(head, 0); err != nil || string(head[0x202:0x206]) != "HdrS" {
		return "", errors.New("want a kernel image (bzImage), as /boot/vmlinuz-* is")
	}
	text := make([]byte, 256)
	n, err := r.ReadAt(text, int64(binary.LittleEndian.Uint16(head[0x20e:]))+0x200)
	if err != nil && err != io.EOF {
		return "", err
	}
	release, _, _ := bytes.Cut(text[:n], []byte{0})
	word, _, _ := strings.Cut(string(release), " ")
	if word == "" {
		return "", errors.New("its header names no release")
	}
	return word, nil
}

// releaseOfARM looks for the release in a kernel that says "Linux version" somewhere, as it is (Image) or in the
// stream, compressed by gzip or xz, that an Image.gz is and a zImage has in it: neither has a header that names one.
func releaseOfARM(r io.ReaderAt) (string, error) {
	data, err := io.ReadAll(io.NewSectionReader(r, 0, maxModule))
	if err != nil {
		return "", err
	}
	plain := [][]byte{data}
	for format, magic := range map[string]string{"gz": "\x1f\x8b\x08", "xz": "\xfd7zXZ\x00"} {
		for at := 0; ; at++ {
			i := bytes.Index(data[at:], []byte(magic))
			if i < 0 {
				break
			}
			at += i
			if z, err := archive.Decompress(bytes.NewReader(data[at:]), format); err == nil {
				text, _ := io.ReadAll(limited(z, maxModule)) // other bytes follow the stream
				plain = append(plain, text)
			}
		}
	}
	for _, text := range plain {
		if _, rest, found := bytes.Cut(text, []byte("Linux version ")); found {
			word, _, found := bytes.Cut(rest[:min(len(rest), 256)], []byte(" "))
			if found && len(word) > 0 && word[0] != '%' {
				return string(word), nil
			}
		}
	}
	return "", errors.New("want a kernel image (Image or zImage, plain or compressed by gzip or xz), as " +
		"/boot/vmlinuz-* is")
}

// isThere reports whether there is a file of that name.
func isThere(file string) bool {
	_, err := os.Stat(file)
	return !errors.Is(err, fs.ErrNotExist)
}
