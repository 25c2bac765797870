// Package bootmedia makes what a PC boots from, for tests of firmware and
// disks: a boot sector of our own on every kind of medium, and stock pieces of
// Debian's packages (GRUB, ISOLINUX, memtest86+, the kernel, a root file system
// by debootstrap) put together at test time. Package netboot beside it serves
// the ones that come over the network.
//
// [Media] is the table of them, with how each is attached and what it prints on
// COM1, so the same table drives QEMU and our own machines. [Build] makes one
// and keeps it in a cache.
//
// The boot sector (src/boot.S) prints lines "boot-sector NAME ...", where NAME
// tells media apart when there are several in a machine:
//
//	boot-sector disk drive 80                  the drive the BIOS booted, as in DL
//	boot-sector cd eltorito 00 e0 00000032     emulation, drive and sector of the image
//	boot-sector disk edd good                  a sector far away was read by its number (INT 13h 42h)
//	boot-sector disk geometry 3f0f 0f          CX and last head, of INT 13h 08h
//	boot-sector disk chs good                  the same sector by cylinder, head, sector (02h)
//	boot-sector disk e820 BASE LENGTH TYPE     an entry of the memory map
//	boot-sector disk e820 entries 06
//	boot-sector disk done
//
// or "boot-sector NAME error: ...", and "boot-sector NAME on the screen" by INT
// 10h. It leaves by the debug exit port, where there is one, with the value 10h.
//
// What boots Linux runs the program testinit (tests/initramfs), whose report
// has the word medium=NAME among the kernel's parameters.
package bootmedia
