package source

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/stack"
)

// SameTree returns an error that names some of what differs between the trees of two sources: names, contents, and
// which files are executable. Layout, compression and vendor/ do not count, for one may come without that.
func (s *Set) SameTree(a, b *Found) error {
	var trees [2]map[string]string
	for i, f := range []*Found{a, b} {
		dir, done, err := s.Scratch("same-")
		if err != nil {
			return err
		}
		defer done()
		if err := Unpack(f, dir); err != nil {
			return err
		}
		if trees[i], err = treeOf(dir); err != nil {
			return err
		}
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(trees[0])), maps.Keys(trees[1]))
	slices.Sort(names)
	differ := slices.DeleteFunc(slices.Compact(names), func(n string) bool { return trees[0][n] == trees[1][n] })
	if len(differ) > 0 {
		return fmt.Errorf("%s and %s are not the same tree: %d files differ, such as %s", filepath.Base(a.Path),
			filepath.Base(b.Path), len(differ), strings.Join(differ[:min(3, len(differ))], ", "))
	}
	return nil
}

// treeOf says of every file and link below dir, without vendor/, what it is.
func treeOf(dir string) (map[string]string, error) {
	es, err := archive.Tree(dir, "")
	is := map[string]string{}
	for _, e := range es {
		if strings.HasPrefix(e.Name, "vendor/") {
			continue
		}
		is[e.Name] = "link to " + e.Link
		if e.Link == "" {
			sum, err := archive.SHA256File(e.Path)
			if err != nil {
				return nil, err
			}
			is[e.Name] = fmt.Sprintf("%s %o", sum, e.Mode)
		}
	}
	return is, err
}

// shareVendor notes in the lock that a vendor tree, which was made again, is that of one more source, and reports
// whether it is: the vendor tree is recorded for another archive, which is here, and is of the same tree.
func (s *Set) shareVendor(c *stack.Component, f *Found, tarSHA string) bool {
	line := s.Stack.Lock.VendorOf(c, tarSHA)
	if line == nil || line.For(f.SHA256) {
		return false
	}
	for _, o := range c.Origin {
		if Expected(c, o, s.Stack.Lock).SHA256 != line.Source {
			continue
		}
		other := *c
		other.Origin = []*stack.Origin{o}
		if found, err := s.archives(&other); err == nil && found != nil && s.SameTree(found, f) == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			line.Also = append(line.Also, f.SHA256)
			return true
		}
	}
	return false
}

// sha1File is the name that Debian's snapshot service has for a file.
func sha1File(p string) (string, error) {
	f, err := archive.OpenFile(p)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha1.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}
