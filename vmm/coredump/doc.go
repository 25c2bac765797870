// Package coredump writes what is in a machine, its RAM and the registers of its
// processors, as a core file that crash, gdb and readelf read.
//
// It is an ELF64 file of type ET_CORE in the layout that QEMU's dump-guest-memory
// gives it, from the ELF specification (System V ABI, gABI 4.1), its x86-64
// supplement, Linux's elf_prstatus, and QEMU's notes (version 1):
//
//	ELF header
//	program headers    PT_NOTE, then a PT_LOAD for each region of RAM
//	notes              CORE/NT_PRSTATUS of each processor, QEMU/0 of each processor
//	                   (padded to a page)
//	RAM                region after region
//
// A segment's physical and virtual addresses are both the guest-physical address: what
// the guest's page tables make of it, a debugger finds by CR3, which is in the
// note named QEMU.
//
// RAM that is all zero is a hole in the file, where the file can have holes. The file
// can be compressed by zstd instead, as a stream.
//
// Left out: kdump's compressed format, floating-point registers, and the virtual
// addresses of the guest ("paging" in QEMU's words).
package coredump
