// Package qcow2 reads and writes disk images in the format qcow2, versions 2 and
// 3, as QEMU's document docs/interop/qcow2.txt describes it. An [Image] is a
// [block.Layer] on top of another one, the container, usually a [block.File].
//
// An image is a sequence of clusters of one size, 512 bytes to 2 MiB. Two tables
// lead from a place on the disk to a cluster of the container, and two more hold
// how often each cluster is referred to:
//
//	header ─┬─ L1 table ─── L2 tables ─── data clusters
//	        └─ refcount table ─── refcount blocks
//
// All numbers are big-endian. What an image does not hold itself is read from its
// backing image, whose format the image has to say. It is never guessed: a guest
// can write anything into a raw disk, the header of another format included.
//
// # Requests
//
// The L1 table is kept in memory, and L2 tables as far as [Options].Cache goes.
// What is there is found under a lock that readers share and that is never held
// during I/O, without an allocation. A cluster that is this image's alone is
// written in place. Otherwise new clusters are taken, the data is written to them
// with what the request leaves of the old, and then the entries are changed: so at
// no moment does an entry lead to what is not there. Only changes of the same
// cluster wait for each other.
//
// # Durability
//
// L2 tables, the L1 table and refcounts are changed in memory and written by
// Flush, in an order in which a failure at any moment loses nothing that was
// flushed and corrupts nothing. At worst clusters are counted that nobody refers
// to (leaks), which [Check] finds and repairs:
//
//  1. data, refcounts and new L2 tables are written, and made durable
//  2. changes of L2 tables and the L1 table are written, and made durable
//  3. clusters that nothing refers to any more are freed
//
// A cluster that is freed is not used again before step 3, and not before every
// request has ended that may know it. With lazy refcounts, step 1 leaves them out,
// and the image is marked as dirty while it is in use: the next opening for writing
// repairs it.
//
// # Trust
//
// Every offset and size that an image holds is checked before it is used, and
// memory and time are bounded by the length of the container whatever a header
// says. Nothing is written over the image's own tables, nor are they put where the
// refcounts wrongly say that nothing is: that sets the image's corrupt bit, and it
// is only read from then on.
//
// # QEMU
//
// QEMU reads and writes these images and the other way round. Zero clusters,
// compressed clusters (zlib and zstd), subclusters (extended L2 entries), refcounts
// of all widths and lazy ones are supported. Internal snapshots are listed and
// kept. After a discard zeroes are read, also where the backing file has something
// else; in version 2, which cannot express that, a discard over a backing file does
// nothing.
//
// # Left out
//
// Making, deleting and reading internal snapshots, external data files, encryption,
// and sizes beyond what QEMU takes: an L1 table of 32 MiB and a refcount table of
// 8 MiB. Bitmaps are marked as outdated when an image is opened for writing.
package qcow2
