package boot

import (
	"bytes"
	"fmt"
	"unicode"

	"github.com/govmm/govmm/boot/payload"
)

// describe says what a file that is no kernel looks like. head is its
// beginning; file is nil if there is only that.
func describe(head []byte, file Image) string {
	if len(head) == 0 {
		return "the file is empty"
	}
	for _, m := range []struct {
		off   int
		magic string
		what  string
	}{
		{0x24, "\x18\x28\x6f\x01", "a Linux zImage for ARM; an x86 kernel is needed"},
		{0x38, "ARM\x64", "a Linux Image for ARM64; an x86 kernel is needed"},
		{0x38, "RSC\x05", "a Linux Image for RISC-V; an x86 kernel is needed"},
		{0, "\x27\x05\x19\x56", "a U-Boot image (uImage); an x86 bzImage or ELF kernel is needed"},
		{0, "\xd0\x0d\xfe\xed", "a device tree or FIT image"},
		{0, "070701", "a cpio archive; is it the initrd?"},
		{0, "070702", "a cpio archive; is it the initrd?"},
		{0, "hsqs", "a squashfs file system"},
		{0, "QFI\xfb", "a qcow2 disk image"},
		{0, "conectix", "a VHD disk image"},
		{0, "KDMV", "a VMDK disk image"},
		{0, "!<arch>", "a Debian package or ar archive"},
		{0, "\xed\xab\xee\xdb", "an RPM package"},
		{0, "PK\x03\x04", "a zip archive"},
		{0x101, "ustar", "a tar archive"},
		{0, "#!", "a script"},
		{0, "<", "an XML or HTML document"},
		{0, "MZ", "a PE executable (EFI or Windows) without a Linux boot header; an EFI program needs EFI firmware"},
		{0x1fe, "\x55\xaa", "a boot sector or disk image, or a Linux kernel from before boot protocol 2.00"},
	} {
		if len(head) >= m.off && bytes.HasPrefix(head[m.off:], []byte(m.magic)) {
			return m.what
		}
	}
	if f := payload.Detect(head); f != payload.Unknown && f != payload.ELF {
		return fmt.Sprintf("a file compressed with %s; unpack it first", f)
	}
	if file != nil && file.Size() < headLen {
		return fmt.Sprintf("a file of %d bytes, too short for a kernel", file.Size())
	}
	if !bytes.ContainsFunc(head, func(r rune) bool { return r != '\n' && r != '\t' && r != '\r' && !unicode.IsPrint(r) }) {
		return "a text file"
	}
	if len(bytes.Trim(head, "\x00")) == 0 {
		return "it begins with zero bytes; is it a disk image?"
	}
	return fmt.Sprintf("it begins with % x", head[:min(len(head), 16)])
}
