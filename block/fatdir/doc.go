// Package fatdir shows a directory of the host as a FAT disk that can only be
// read: a [block.Layer] without a file, whose boot sectors, allocation tables
// and directories are made from the tree of names, and whose data is read from
// the files when it is asked for.
//
// A hard disk has a partition table with one partition, of FAT12, FAT16 or FAT32
// as its size wants it; a floppy has 1440 or 2880 KiB and FAT12. The layouts are
// those of Microsoft's "FAT: General Overview of On-Disk Format" (version 1.03)
// and its specification of long file names.
//
// The tree is looked at once, by [Open]. What changes in it afterwards:
//
//   - a file that grows is seen with the size it had;
//   - one that shrinks reads as zeroes beyond its end;
//   - reading one that is gone, or another one by now, is an I/O error;
//   - new names are not seen.
//
// Symbolic links are followed to files within the directory. Those that lead
// out of it, or to directories, and all that is neither file nor directory, are
// left out, which the log says.
//
// Memory is taken for names, not for data, at most [MaxNames] of them.
package fatdir
