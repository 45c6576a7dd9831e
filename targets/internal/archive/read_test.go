package archive

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestWhatIsNoFileIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe, big, to := filepath.Join(dir, "pipe"), filepath.Join(dir, "big"), filepath.Join(dir, "to")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(big, make([]byte, 11), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(pipe, to); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		pipe: "named pipe, want a file", to: "named pipe, want a file", dir: "directory, want a file",
		"/dev/zero": "device, want a file",
		big:         "more than 10 bytes", filepath.Join(dir, "none"): "no such file",
	} {
		data, err := ReadFile(file, 10)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) || data != nil {
			t.Errorf("%s: got %d bytes, %v, want an error with %q", file, len(data), err, want)
		}
	}
	if _, err := SHA256File(pipe); err == nil {
		t.Error("a named pipe has got a digest")
	}
}
