package recipe

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"strings"

	"drydock/targets/internal/platform"
)

var _ = register(Component{
	Name: "musl", After: "linux-headers", Ground: true, Libc: true, Target: "libseccomp",
	License: "MIT", Library: true, Libs: []string{"lib/*.a", "lib/*.o"},
	C: true, Make: true, Plan: musl,
})

// musl is compiled as its own configure and make do it, position independent, so that it can be linked both ways.
func musl(r request) Plan {
	// musl's make calls ar without the D that keeps times and users out of an archive.
	ar := "#!/bin/sh\nop=$1\nshift\nexec " + r.t.AR + " \"${op}D\" \"$@\"\n"
	env := append(r.env(), "CFLAGS=-O2 -fPIE -fstack-protector-strong")
	mk := []string{r.t.Make, "AR=" + r.p.Shims + "/ar", "RANLIB=:"}
	return Plan{
		Files: []File{{Path: r.p.Shims + "/ar", Data: ar, Exec: true}},
		Steps: []Step{
			{Name: "configure", Dir: r.p.Work, Env: env,
				Argv: []string{r.t.Shell, "./configure", "--prefix=/", "--disable-shared", "--disable-wrapper"}},
			{Name: "make", Dir: r.p.Work, Env: env, Compiles: true,
				Argv: append(mk[:3:3], fmt.Sprintf("-j%d", max(1, r.t.Jobs)))},
			{Name: "install", Dir: r.p.Work, Env: env, Argv: append(mk[:3:3], "DESTDIR="+r.p.Stage, "install")},
		},
		Outputs: []Output{{Name: "include"}, {Name: "lib"}},
	}
}

// specs tell gcc where the stack's C library and headers are, in place of the host's. They are those that musl's own
// wrapper has, and link -static-pie truly static: with rcrt1.o, and no interpreter. What is linked neither way is
// dynamic and cannot run; cgo makes such a program to look at its symbols. What is static exports none: Go's linker
// asks for all where ld is older than 2.35, and musl's start of a static-pie relocates none by name.
//
//go:embed source/musl.specs
var specs string

// LinkSpecs are the specs for linking again somewhere else: MUSL/lib stands for the directory of the library.
func LinkSpecs(a platform.Arch) string { return specsFor(a, "INCLUDE", "") }

// specsFor are the specs of an architecture, with more words replaced.
func specsFor(a platform.Arch, replaced ...string) string {
	return strings.NewReplacer(append(replaced, "EMULATION", a.Emulation, "LOADER", a.Musl)...).Replace(specs)
}

// compiler is what a component that stands on the stack's C library calls as its C compiler: the host's, told of the
// specs. It is one word, for Go's linker tries flags with the first word alone. Its name carries the digest of the
// specs: Go does not see what is in a file, but it sees another name.
func (r request) compiler() []File {
	m, h := r.p.Deps["musl"], r.p.Deps["linux-headers"]
	include := "-isystem " + m + "/include -isystem " + h + "/include -isystem " + h + "/include/" + r.arch.Triplet
	text := specsFor(r.arch, "INCLUDE", include, "MUSL", m)
	sum := sha256.Sum256([]byte(text))
	cc := r.p.Shims + "/cc-" + hex.EncodeToString(sum[:6])
	return []File{
		{Path: cc, Data: "#!/bin/sh\nexec " + r.t.CC + " -specs=" + cc + ".specs \"$@\"\n", Exec: true},
		{Path: cc + ".specs", Data: text},
	}
}

// cc is the C compiler.
func (r request) cc() string {
	if r.own {
		return r.compiler()[0].Path
	}
	return r.t.CC
}
