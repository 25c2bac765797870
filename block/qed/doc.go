// Package qed is the QED image format ("QEMU enhanced disk"), read and written: a
// [block.Layer] that grows the store below it as clusters are first written. It
// follows QEMU's description of the format (docs/interop/qed_spec.txt).
//
// # Layout
//
// All numbers are little-endian, all offsets are multiples of the cluster size,
// which is a power of 2 from 4 KiB to 64 MiB:
//
//	header | L1 table | clusters of data and L2 tables, in the order of their allocation
//
// Both tables have table_size clusters of 64-bit entries. An entry of the L1
// table is the offset of an L2 table, or 0. One of an L2 table is the offset of a
// cluster of data, 0 for one that is in the backing file or reads as zeroes, or 1
// for one that reads as zeroes whatever the backing file has.
//
// # Tables
//
// Tables are up to 1 GiB long, so what is kept in memory is pages of 4 KiB of
// them, as many as the whole image needs or [MaxCache], whichever is less. Finding
// a cluster in the cache takes no allocation and no lock that another reader
// holds alone.
//
// Changes of the tables are written with the next flush: first the data and the
// empty tables that they point to are made durable, then the pages are written.
// So at no moment, in the file or on the host's disk, does an entry point to
// what is not there. A process that is killed leaves at most clusters that
// nothing points to. QED_F_NEED_CHECK is set while an image may have such ones;
// the next opening for writing looks through the tables ([Check]) and cuts them
// off.
//
// # Trust
//
// The header and every entry are checked against the length of the store. Two
// entries that share a cluster, which no sound image has, harm nothing but the
// data in the image. A backing file is only opened if the header says that its
// format is raw (QED_F_BACKING_FORMAT_NO_PROBE): the format is never guessed from
// data that a guest has written.
//
// # QEMU
//
// QEMU reads and writes these images and the other way round, but for two
// peculiarities of its own: it opens none with tables of one cluster, and when it
// writes to a part of a cluster of zeroes (entry 1), the rest of that cluster
// turns into what the backing file has.
//
// # Left out
//
// Giving back clusters, for which the format has no means: Discard does nothing.
// Making an image smaller. Backing files of other formats than raw.
package qed
