package recipe

import (
	"slices"
	"strings"
)

var _ = register(Component{
	Name: "expat", After: "iptables", Extra: "dbus", Target: "dbus",
	Upstream: "libexpat/libexpat", Library: true,
	C: true, Plan: expat,
})

// expat is what dbus reads its configuration with. The archive has no configure; three files and what it would have
// written make the library. Entropy comes from /dev/urandom: getrandom is younger than the oldest kernels.
func expat(r request) Plan {
	cc := append([]string{r.cc(), "-std=gnu99", "-DXML_STATIC", "-I", "gen"}, strings.Fields(r.hardened())...)
	p := Plan{
		Files: []File{{Path: r.p.Work + "/gen/expat_config.h",
			Data: "#define BYTEORDER 1234\n#define HAVE_MEMORY_H 1\n#define XML_CONTEXT_BYTES 1024\n" +
				"#define XML_DEV_URANDOM 1\n#define XML_DTD 1\n#define XML_GE 1\n#define XML_NS 1\n"}},
		Outputs: []Output{{Name: "lib/libexpat.a"}, {Name: "include/expat.h"}, {Name: "include/expat_external.h"}},
	}
	step := func(name string, argv ...string) {
		p.Steps = append(p.Steps, Step{Name: name, Dir: r.p.Work, Env: r.env(), Argv: argv})
	}
	ar := []string{r.t.AR, "crD", r.p.Stage + "/lib/libexpat.a"}
	for _, f := range []string{"xmlparse", "xmlrole", "xmltok"} {
		step("compile "+f, slices.Concat(cc, []string{"-c", "-o", f + ".o", "lib/" + f + ".c"})...)
		ar = append(ar, f+".o")
	}
	step("make directories", "mkdir", "-p", r.p.Stage+"/lib", r.p.Stage+"/include")
	step("archive", ar...)
	step("copy headers", "cp", "lib/expat.h", "lib/expat_external.h", r.p.Stage+"/include")
	return p
}
