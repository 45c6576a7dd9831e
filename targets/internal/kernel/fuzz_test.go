package kernel

import (
	"strings"
	"testing"
)

func FuzzScript(f *testing.F) {
	f.Add("echo 'Generally Necessary:'\ncheck_flags A {B,C}_D\nif [ \"$kernelMajor\" -lt 4 ]; then\n"+
		"\tcheck_flags OLD\nelse\n\tcheck_flags NEW\nfi\n", "3.10.0")
	f.Add("echo 'Optional Features:'\nflags=(\n\tA B\n)\ncheck_flags \"${flags[@]}\"\n", "6.1")
	f.Add("if [ ; then\ncheck_flags {,}\nfi\nfi\n", "99999999999999999999.1")
	f.Fuzz(func(t *testing.T, script, release string) {
		options, err := Options(script, release, Config{"A": "y"})
		if err != nil && options != nil {
			t.Errorf("got options beside the error %v", err)
		}
		needs, err := Needs(script)
		if err == nil {
			Asked(options, needs, release, Config{"A": "y"})
			Judge(needs, release, "v1", Config{"A": "m"})
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add("# Linux/x86_64 3.10.0 Kernel Configuration\nCONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n")
	f.Add("\x1f\x8b\x08")
	f.Add(strings.Repeat("x", 70000) + "\nCONFIG_A=y")
	f.Fuzz(func(t *testing.T, text string) {
		c, _, err := Read(strings.NewReader(text))
		if (err == nil) != (len(c) > 0) {
			t.Errorf("got %v, %v", c, err)
		}
	})
}
