// Package bochs is the "growing" image of the Bochs emulator, read and written: a
// [block.Layer] that grows the store below it as extents are first written. The
// sources are Bochs' own implementation (hdimage, bximage) and QEMU's, which
// reads them.
//
// # Layout
//
// All numbers are little-endian:
//
//	header, 512 bytes | catalog | extent 0 | extent 1 | ...
//
// The catalog has 32 bits for each stretch of the disk, of the length of an
// extent (512 bytes to 8 MiB): the number of the extent that has it, or FFFFFFFFh.
// An extent begins with a bitmap of the sectors that have been written, in whole
// blocks of 512 bytes, and then has the sectors. Those that have not been written
// read as zeroes.
//
// # Writing
//
// The catalog is in memory, up to 4 MiB of it; of the bitmaps as many as the
// whole image needs or [MaxCache], whichever is less. Their changes are written
// with the next flush: what they tell of is made durable first, then come the
// bitmaps, and then the catalog. A process that is killed leaves no more than space
// that nothing uses.
//
// # Trust
//
// The header and the catalog are checked against the length of the store. An image
// whose catalog makes no sense can be read as far as it does, and is not
// written.
//
// # Left out
//
// The other kinds of redolog, "undoable" and "volatile", which are changes to
// another image. Giving back extents: Discard frees the space of written sectors
// in a file with holes. Making an image smaller, or larger than its catalog is
// for.
package bochs
