package recipe

var _ = register(Component{
	Name: "linux-headers", Ground: true, Target: "libseccomp",
	Upstream: "torvalds/linux", License: "GPL-2.0-only WITH Linux-syscall-note", Library: true,
	Plan: linuxHeaders,
})

// linuxHeaders takes the kernel's user-space headers out of a package or archive that has them in include/, with those
// of the machine in include/asm (as "make headers_install" leaves them) or include/<triplet>/asm (as Debian does).
func linuxHeaders(r request) Plan {
	return Plan{
		Steps: []Step{{Name: "copy", Dir: r.p.Work, Env: r.env(),
			Argv: []string{"cp", "-R", "-L", "include", r.p.Stage + "/"}}},
		Outputs: []Output{{Name: "include"}},
	}
}
