package bootmedia

import (
	"fmt"
	"slices"
)

// Attachment is what a medium is put into.
type Attachment int

const (
	Disk    Attachment = iota // a hard disk, raw
	CDROM                     // an ISO 9660 image
	Floppy                    // a raw floppy image
	Network                   // a directory to be served by TFTP (package netboot)
)

// Medium is something to boot from.
type Medium struct {
	Name   string
	Attach Attachment

	// Markers are regular expressions found on COM1, in this order.
	Markers []string

	BootFile string // of Network: the file that DHCP names
	Memory   int    // what it needs in MiB; 64 if zero
	Rest     Rest   // what it does in the end

	// Invalid media cannot be booted: nothing of theirs runs. They have no markers.
	Invalid bool
}

// Rest is what a medium's program does after its last marker.
type Rest int

const (
	DebugExits Rest = iota // leaves by the debug exit port, or idles
	PowersOff              // by ACPI
	RunsOn
)

// Media are all that Build makes.
func Media() []Medium {
	return []Medium{
		{Name: "sector-disk", Attach: Disk, Markers: sector("disk", "80", "edd good", "chs good")},
		// The same with another name, for machines with two.
		{Name: "sector-disk-2", Attach: Disk, Markers: sector("disk-2", "8[01]", "edd good", "chs good")},
		{Name: "sector-floppy", Attach: Floppy, Markers: sector("floppy", "00", "geometry 4f12 01", "chs good")},
		{Name: "sector-floppy-2880", Attach: Floppy, Markers: sector("floppy-2880", "00", "geometry 4f24 01", "chs good")},
		{Name: "sector-cd", Attach: CDROM, Markers: sector("cd", "[8-9e-f].", "eltorito 00 .. [0-9a-f]{8}", "edd good")},
		{Name: "sector-cd-floppy", Attach: CDROM, Markers: sector("cd-floppy", "00", "eltorito 02 00 [0-9a-f]{8}", "chs good")},

		{Name: "grub-disk", Attach: Disk, Memory: 256, Rest: PowersOff, Markers: linux("grub-disk", "GRUB starts Linux")},
		{Name: "isolinux-cd", Attach: CDROM, Memory: 256, Rest: PowersOff, Markers: linux("isolinux-cd", `ISOLINUX \d`, `Loading /vmlinuz\.`)},
		{Name: "memtest-disk", Attach: Disk, Rest: RunsOn, Markers: []string{"GRUB starts memtest", `Memtest86\+`}},
		{Name: "pxe-nbp", Attach: Network, BootFile: "pxe.bin", Markers: []string{`pxe nbp address [0-9a-f]{8}\r\n`, `pxe nbp done\r\n`}},
		{Name: "ipxe-linux", Attach: Network, BootFile: "boot.ipxe", Memory: 256, Rest: PowersOff, Markers: linux("ipxe-linux")},
		{Name: "debian-disk", Attach: Disk, Memory: 384, Rest: RunsOn, Markers: []string{"GRUB starts Linux", `Debian GNU/Linux \S+ govmm-guest ttyS0`, `govmm-guest login: `}},

		{Name: "empty-disk", Attach: Disk, Invalid: true},      // a file of no bytes
		{Name: "directory", Attach: Disk, Invalid: true},       // no file at all
		{Name: "odd-floppy", Attach: Floppy, Invalid: true},    // of a size no floppy has
		{Name: "garbage-cd", Attach: CDROM, Invalid: true},     // noise
		{Name: "truncated-cd", Attach: CDROM, Invalid: true},   // sector-cd, cut off before the boot image
		{Name: "bad-catalog-cd", Attach: CDROM, Invalid: true}, // sector-cd with a wrong validation entry
	}
}

// Find returns the medium of that name.
func Find(name string) (Medium, error) {
	all := Media()
	i := slices.IndexFunc(all, func(m Medium) bool { return m.Name == name })
	if i < 0 {
		return Medium{}, fmt.Errorf("bootmedia: there is no medium %q", name)
	}
	return all[i], nil
}

// sector are the markers of the boot sector.
func sector(label, drive string, lines ...string) []string {
	all := []string{"drive " + drive}
	all = append(all, lines...)
	all = append(all, "e820 entries 0[3-9]|e820 entries [1-7].", "done")
	for i, line := range all {
		all[i] = "boot-sector " + label + " (" + line + `)\r\n`
	}
	return all
}

// linux are the markers of the kernel with the program testinit.
func linux(name string, before ...string) []string {
	return append(before, `Linux version \S+`, `init: cmdline .*medium=`+name, `init: ready\r\n`, `init: action poweroff\r\n`)
}
