package kernel

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Config is a kernel's configuration: "y" or "m" by an option's name without CONFIG_.
type Config map[string]string

// maxConfig is the size, in bytes, up to which a configuration is read; a real one has some 300,000.
const maxConfig = 16 << 20

var (
	optionLine = regexp.MustCompile(`^CONFIG_(\w+)=([ym])\s*$`)
	headLine   = regexp.MustCompile(`^# Linux/\S+ (\d\S*) Kernel Configuration`)
)

// Read reads a configuration, compressed or not, and the release that its head names (empty where it names none). What
// has no option in it is an error.
func Read(r io.Reader) (Config, string, error) {
	br := bufio.NewReader(r)
	if magic, _ := br.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, "", err
		}
		br = bufio.NewReader(z)
	}
	c, release := Config{}, ""
	s := bufio.NewScanner(io.LimitReader(br, maxConfig))
	for s.Scan() {
		if m := optionLine.FindStringSubmatch(s.Text()); m != nil {
			c[m[1]] = m[2]
		} else if m := headLine.FindStringSubmatch(s.Text()); m != nil {
			release = m[1]
		}
	}
	if err := s.Err(); err != nil {
		return nil, "", err
	}
	if len(c) == 0 {
		return nil, "", errors.New("no line CONFIG_…=y in it: is it a kernel's configuration?")
	}
	return c, release, nil
}

// Find reads the configuration in file or, where that is empty, of the running kernel, whose files lie below root
// ("/" on a real machine). It returns the file's name as well, or an error that names all files that are not there.
func Find(file, root, release string) (Config, string, string, error) {
	files := []string{file}
	if file == "" {
		files = nil
		for _, p := range []string{"proc/config.gz", "boot/config-" + release, "usr/src/linux-" + release + "/.config",
			"lib/modules/" + release + "/config"} {
			files = append(files, filepath.Join(root, p))
		}
	}
	for _, p := range files {
		f, err := os.Open(p)
		if errors.Is(err, fs.ErrNotExist) && file == "" {
			continue
		}
		if err != nil {
			return nil, "", "", err
		}
		defer f.Close()
		c, of, err := Read(f)
		if err != nil {
			return nil, "", "", fmt.Errorf("%s: %w", p, err)
		}
		return c, of, p, nil
	}
	return nil, "", "", fmt.Errorf("no configuration of the running kernel: got none of %s: "+
		"name a file with -config=FILE", strings.Join(files, ", "))
}
