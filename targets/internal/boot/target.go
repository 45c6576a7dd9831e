package boot

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"drydock/targets/internal/platform"
)

// Target is the machine of one architecture: how qemu makes it, and what Debian has for it.
type Target struct {
	platform.Arch
	debian  string   // Debian's package of qemu for it
	machine string   // qemu's name of the machine
	cpu     string   // what is emulated where it has to be
	console string   // the kernel's name of the first serial line
	modules []string // beyond those that every machine loads
	release func(io.ReaderAt) (string, error)
	// Kernels are those of Debian that can be asked for by series: the last point release of each, which nothing
	// replaces there.
	Kernels []Source
	// Busybox is the machine's userland.
	Busybox Source
}

// onVirt are the modules of the machine "virt" for its second line, and what ext4 asks for by the name of an algorithm.
var onVirt = []string{"virtio_console", "crc32c_generic"}

var targets = []*Target{
	{Arch: platform.Must("amd64"), debian: "qemu-system-x86", machine: "pc", console: "ttyS0", release: releaseOfPC,
		// what it emulates fast; random numbers from the first moment on
		cpu: "qemu64,+rdrand,+ssse3,+sse4.1,+sse4.2,+popcnt",
		Kernels: []Source{
			{"6.1", "pool/main/l/linux-signed-amd64/linux-image-6.1.0-50-cloud-amd64_6.1.176-1_amd64.deb",
				"efe19f605b6f54a8352e68d85a629abb2d30b72a085faef603a9152590baa791", 26484304},
			{"5.10", "pool/main/l/linux-signed-amd64/linux-image-5.10.0-32-cloud-amd64_5.10.223-1_amd64.deb",
				"fb4a1229952d892138532c1d9f40a7fd0bd408e4dcf969c12e4524b6a89fdcb8", 21032620}},
		Busybox: Source{"busybox", "pool/main/b/busybox/busybox-static_1.35.0-4+deb12u1+b1_amd64.deb",
			"3d3fdbe91d4660c873e14b092c213fe81c1da6362daa236eb25d0171eb108744", 928188}},
	{Arch: platform.Must("arm64"), debian: "qemu-system-arm", machine: "virt", console: "ttyAMA0",
		release: releaseOfARM, cpu: "cortex-a57", modules: onVirt,
		Kernels: []Source{{"6.1", "pool/main/l/linux-signed-arm64/linux-image-6.1.0-50-cloud-arm64_6.1.176-1_arm64.deb",
			"9d41a53f5d687ae1a33cf546d0ed8be955f72e5f9e97b2b4e45e41dff3353b97", 21130624}},
		Busybox: Source{"busybox", "pool/main/b/busybox/busybox-static_1.35.0-4+deb12u1+b1_arm64.deb",
			"732c9135564fc71337e0e05fb4da4d11e6c28c1834bce3e405e575afef2a52f5", 822236}},
	// A kernel without LPAE finds nothing above 4 GB, where "virt" puts the configuration of PCI.
	{Arch: platform.Must("armv7"), debian: "qemu-system-arm", machine: "virt,highmem=off", console: "ttyAMA0",
		release: releaseOfARM, cpu: "cortex-a15", modules: onVirt,
		Kernels: []Source{{"6.1", "pool/main/l/linux/linux-image-6.1.0-50-armmp_6.1.176-1_armhf.deb",
			"ddd1d8dd0c6beabb9eb96bcfab26549eb30c63331bae31de481ffae4af0e982a", 43302144}},
		Busybox: Source{"busybox", "pool/main/b/busybox/busybox-static_1.35.0-4+deb12u1+b1_armhf.deb",
			"2f68dbeaebeda49f3cde34ac421d5add85fb1c837ff7c4a4971945340d9d66ff", 815288}},
}

// TargetOf returns the machine of that architecture; the error names those that there are.
func TargetOf(arch string) (*Target, error) {
	var known []string
	for _, t := range targets {
		if t.Name == arch {
			return t, nil
		}
		known = append(known, t.Name)
	}
	return nil, fmt.Errorf("boot: got the architecture %q, want one of %s", arch, strings.Join(known, ", "))
}

// qemu is the program that makes the machine.
func (t *Target) qemu() string { return "qemu-system-" + t.Qemu }

// pc reports whether the machine is a PC.
func (t *Target) pc() bool { return t.Name == platform.Default }

// serial are qemu's flags for the two lines: the console into a file, the rows to standard output. ARM's machine "virt"
// has one serial line only: virtio's brings the rows.
func (t *Target) serial(console string) []string {
	rows := []string{"-serial", "stdio"}
	if !t.pc() {
		rows = []string{"-chardev", "stdio,id=rows,signal=off",
			"-device", "virtio-serial-pci", "-device", "virtconsole,chardev=rows"}
	}
	return append([]string{"-serial", "file:" + console}, rows...)
}

// resultLine is the machine's end of the line that brings its rows.
func resultLine() string {
	if runtime.GOARCH == platform.Default {
		return "/dev/ttyS1"
	}
	return "/dev/hvc0"
}

// loads are the modules that the machine loads.
func (t *Target) loads() []string { return slices.Concat(t.modules, strings.Fields(wanted)) }
