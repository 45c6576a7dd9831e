package verify

import (
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestALostFeatureShows(t *testing.T) {
	recorded := "# made by hand\n- dockerd: graph driver btrfs: no headers\ndockerd: graph driver overlay2\n" +
		"runc: seccomp\ncli-plugins/x: build tag netgo\n"
	got := ParityOf(recorded, []string{"dockerd: graph driver overlay2", "dockerd: graph driver zfs"},
		[]string{"dockerd", "runc"})
	want := Parity{Lost: []string{"runc: seccomp"}, Gained: []string{"dockerd: graph driver zfs"},
		Left: []string{"dockerd: graph driver btrfs: no headers"}, Others: []string{"cli-plugins/x: build tag netgo"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestWhatAStaticGlibcMustNotDoIsReported(t *testing.T) {
	for _, c := range []struct {
		name, source, flag, check string
	}{
		{"a user is looked up", "#include <pwd.h>\nint main(int c, char **v) { return getpwnam(v[0]) != 0; }\n", "-s",
			"name service switch of the C library"},
		{"and the symbol is there", "#include <pwd.h>\nint main(int c, char **v) { return getpwnam(v[0]) != 0; }\n",
			"-O2", "symbols"},
		{"the stack can be executed", "int main(void) { return 0; }\n", "-Wl,-z,execstack", "stack"},
		{"relocations stay writable", "int main(void) { return 0; }\n", "-Wl,-z,norelro", "relocations"},
		{"nothing of that", "int main(void) { return 0; }\n", "-s", ""},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/p.c", []byte(c.source), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("gcc", "-static", c.flag, "-o", dir+"/p", dir+"/p.c").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		r := File(t.Context(), dir+"/p", Want{Kernel: "3.10"})
		var failed []string
		for _, x := range r.Checks {
			if !x.OK {
				failed = append(failed, x.Name)
			}
		}
		if c.check == "" && failed != nil || c.check != "" && !slices.Contains(failed, c.check) {
			t.Errorf("%s: got failed checks %q, want %q", c.name, strings.Join(failed, ", "), c.check)
		}
	}
}
