package run

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// system is what a shell and its tools need of this machine.
var system = []string{"/bin", "/lib", "/lib64", "/usr", "/etc/alternatives", "/etc/ld.so.cache"}

// confines skips a test where this machine lets nothing be confined.
func confines(t *testing.T) {
	t.Helper()
	if why := Isolated().String(); why != "" {
		t.Skip(why)
	}
}

// in runs a shell script in a sandbox whose own directory is dir, and gives what it printed.
func in(t *testing.T, s *Sandbox, dir, script string) (string, error) {
	t.Helper()
	if err := s.Give(); err != nil {
		t.Fatal(err)
	}
	return Cmd{Argv: []string{"sh", "-c", script}, Dir: dir, Env: env, Sandbox: s}.Output(t.Context())
}

func TestAChildSeesWhatItIsGivenAndNothingElse(t *testing.T) {
	confines(t)
	host := t.TempDir()
	for _, d := range []string{"mine", "read/deep", "other", "read/secret"} {
		if err := os.MkdirAll(filepath.Join(host, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"other/key", "read/deep/file", "read/secret/key", "read/password"} {
		if err := os.WriteFile(filepath.Join(host, f), []byte(f), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(host+"/read/deep", host+"/way"); err != nil {
		t.Fatal(err)
	}
	// A socket that everybody may connect to, and a descriptor of a directory that we were started with, as it were.
	l, err := net.Listen("unix", host+"/read/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(host+"/read/socket", 0o777); err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Open(host, syscall.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)

	s := &Sandbox{Read: append(system, host+"/read", host+"/way", host+"/absent"), Write: []string{host + "/mine"},
		Hide: []string{host + "/read/secret", host + "/read/password", "/", ""}}
	out, err := in(t, s, host+"/mine", fmt.Sprintf(`cd %[1]s
	echo root: $(ls /) ";" host: $(ls %[1]s) ";" secret: $(ls read/secret; cat read/password) ";" \
		$(cat read/deep/file way/file)
	echo dev: $(ls /dev) ";" net: $(sed 1,2d /proc/net/dev | cut -d: -f1) ";" $(cat /proc/[0-9]*/comm | sort | uniq)
	for f in read/new read/deep/file way/new /new /usr/new /etc/new /dev/new /dev/null/new read/secret/new; do
		echo x >>$f && echo "wrote $f"
	done 2>/dev/null
	echo x >mine/new && echo x >/tmp/new && echo x >/dev/null && echo wrote its own
	ls /proc/self/fd/%[2]d/ 2>/dev/null && echo a directory of the host
	umask; grep -E "^(Cap|NoNew|Seccomp:)" /proc/self/status | tr '\t\n' '  '`, host, fd))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	first, _, _ := strings.Cut(host[1:], "/")
	for _, want := range []string{" " + first, "host: mine read way ;", "; secret: ; read/deep/fileread/deep/file\n",
		"dev: fd full null random stderr stdin stdout urandom zero ; net: lo ;", "\nwrote its own\n",
		"NoNewPrivs: 1 Seccomp: 2"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in it:\n%s", want, out)
		}
	}
	for _, bad := range []string{"wrote /", "wrote read", "wrote way", "of the host", " run ", "home", "systemd",
		"init"} {
		if strings.Contains(out, bad) {
			t.Errorf("want no %q in it:\n%s", bad, out)
		}
	}
	_, capabilities, _ := strings.Cut(out, "CapInh")
	for line := range strings.FieldsSeq(capabilities) {
		if strings.Trim(line, "0") != "" && len(line) == 16 {
			t.Errorf("it has capabilities:\n%s", out)
		}
	}
	fi, err := os.Stat(host + "/mine/new")
	if err != nil {
		t.Fatal(err)
	}
	want := uint32(os.Geteuid())
	if want == 0 {
		want = BuildUser
	}
	if st := fi.Sys().(*syscall.Stat_t); st.Uid != want || fi.Mode() != 0o644 {
		t.Errorf("its file is %d's, %v; want %d's, -rw-r--r--", st.Uid, fi.Mode(), want)
	}
	if _, err := os.Stat("/tmp/new"); err == nil {
		t.Error("its /tmp is the host's")
	}
	if names, _ := filepath.Glob(host + "/*"); len(names) != 4 {
		t.Errorf("it left %v", names)
	}
}
