// Package image does with disk images what qemu-img does: it creates, copies,
// checks, compares and resizes them, and merges an image into the one behind it.
// `govmm img` is its command line.
//
// An image is a [Source]: the name of a file, a block device or an NBD export,
// and the name of its format. [Formats] is the table of these. What an image
// holds is never looked into for its format, as a guest that writes to its own
// raw disk could make it another one; [Probe] is for showing alone. Likewise the
// files behind an image are opened in the formats that the image records.
//
// Copies are sparse: what a source knows to be zeroes ([block.Mapper]) is not
// read, what turns out to be zeroes is not written. They are made by several
// goroutines, and an image is filled from its beginning to its end all the same,
// so that a copy has the same bytes each time.
//
// Images are locked as those of running machines are (see package block), so that
// none is changed that a machine has open.
//
// The words, the defaults and the output follow qemu-img's documentation.
//
// # Left out
//
// Formats of other hypervisors (vmdk, vhdx, vdi, ...); copying several images into
// one; rebase, bitmap, bench and amend.
package image
