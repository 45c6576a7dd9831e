package run

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAConfinedChildSpeaksWithWhatGoesOnBesideIt(t *testing.T) {
	confines(t)
	t.Parallel()
	dir := t.TempDir()
	s := &Sandbox{Read: system, Write: []string{dir}}
	if err := s.Give(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	script := fmt.Sprintf("sh -c 'echo question >&%d; read a <&%d; echo got $a'", BesideOut, BesideIn) // a grandchild
	out, err := Cmd{Argv: []string{"sh", "-c", script}, Dir: dir, Env: env, Sandbox: s,
		Beside: func(ctx context.Context, r io.Reader, w io.Writer) {
			in := bufio.NewReader(r)
			q, _ := in.ReadString('\n')
			fmt.Fprintf(w, "answer to %s", q)
			_, err := in.ReadByte()
			<-ctx.Done()
			ended <- err
		}}.Output(t.Context())
	if err != nil || out != "got answer to question\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if err := <-ended; err == nil {
		t.Error("what goes on beside it reads on when the child is gone")
	}
	out, err = in(t, s, dir, fmt.Sprintf("ls /proc/self/fd; echo x >&%d", BesideOut))
	if err == nil || !strings.Contains(out, "Bad file descriptor") && !strings.Contains(out, "bad file descriptor") {
		t.Errorf("without it: got %q, %v, want no such descriptors", out, err)
	}
}

func TestADirectoryHasAnotherNameForReading(t *testing.T) {
	confines(t)
	t.Parallel()
	host := t.TempDir()
	for _, d := range []string{"mine", "lib"} {
		if err := os.Mkdir(filepath.Join(host, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(host+"/lib/file", []byte("text\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := &Sandbox{Read: system, Write: []string{host + "/mine"},
		Names: map[string]string{"/.drydock/lib": host + "/lib", "/.drydock/gone": host + "/gone"}}
	out, err := in(t, s, host+"/mine", "cat /.drydock/lib/file; ls /.drydock; touch /.drydock/lib/new /.drydock/x /x "+
		"2>/dev/null; ls /.drydock/lib; ls "+host)
	if err != nil || out != "text\nlib\nfile\nmine\n" {
		t.Errorf("got %q, %v", out, err)
	}
}
