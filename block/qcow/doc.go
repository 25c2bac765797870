// Package qcow is the first version of QEMU's copy-on-write format, read: a
// [block.Layer] that is not written. The sources are QEMU's implementation and the
// description of the format by Mark McLoughlin. Images of the later versions are
// qcow2, another format.
//
// # Layout
//
// All numbers are big-endian:
//
//	header | name of the backing file | L1 table | clusters of data and L2 tables
//
// An entry of the L1 table is the offset of an L2 table, or 0. One of an L2 table is
// 0 for a cluster that is in the backing file or reads as zeroes, the offset of a
// cluster of data, or that of a compressed one:
//
//	63  62             63-c  62-c          0
//	1   size in bytes        offset in bytes     c: the binary logarithm of a cluster
//
// which is a stream of Deflate (RFC 1951). Clusters that are not compressed may be
// encrypted ([crypt.Legacy]). There are no checksums, no reference counts, no
// snapshots and no features.
//
// # Tables
//
// Of the tables, pages of 4 KiB are kept in memory, up to [MaxCache]; of the clusters
// that were decompressed, the latest few. Finding a cluster in the cache takes no
// allocation and no lock that another reader holds alone.
//
// # Trust
//
// The header and every entry are checked against the length of the store. The image
// does not record the format of its backing file: who opens it has to know.
//
// # Left out
//
// Writing. The format has been out of use since 2008, when qcow2 came; QEMU
// still writes it, and `govmm img convert` makes another one of it.
package qcow
