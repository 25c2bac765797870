package bootmedia

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
)

// The partition table of a master boot record, at 01BEh four entries of:
//
//	0      status: 80h is active
//	1-3    first sector by head, sector, cylinder
//	4      type
//	5-7    last sector
//	8-11   first sector by number
//	12-15  sectors
const (
	partitionTable = 0x1be
	signatureAt    = 0x1fe

	partitionLinux = 0x83
	partitionNonFS = 0xda // no file system

	firstPartition = 2048 // a sector: 1 MiB, as partitioning tools align
)

type partition struct {
	kind           byte
	first, sectors uint32
}

// putPartition writes a table with one active partition. Its places by head,
// sector and cylinder are the largest there are, which says to use the numbers.
func putPartition(mbr []byte, p partition) {
	table := mbr[partitionTable : partitionTable+64]
	clear(table)
	copy(table, []byte{0x80, 0xfe, 0xff, 0xff, p.kind, 0xfe, 0xff, 0xff})
	binary.LittleEndian.PutUint32(table[8:], p.first)
	binary.LittleEndian.PutUint32(table[12:], p.sectors)
	binary.LittleEndian.PutUint16(mbr[signatureAt:], 0xaa55)
}

// ext4Disk makes dir/disk.img: GRUB, and one ext4 partition of so many MiB with
// the files of tree. The file has holes.
func ext4Disk(ctx context.Context, dir, tree string, mib int, volume string) error {
	core, err := grubCore(ctx, dir)
	if err != nil {
		return err
	}
	name := filepath.Join(dir, "disk.img")
	disk, err := os.Create(name)
	if err != nil {
		return err
	}
	defer disk.Close()
	sectors := uint32(mib << 20 / sectorSize)
	if err := disk.Truncate(int64(firstPartition+sectors) * sectorSize); err != nil {
		return err
	}
	_, err = mke2fs.run(ctx, dir, "-q", "-F", "-t", "ext4", "-L", volume, "-d", tree,
		"-E", fmt.Sprintf("offset=%d", firstPartition*sectorSize), name, fmt.Sprintf("%dM", mib))
	if err != nil {
		return err
	}
	mbr, err := grubBootRecord()
	if err != nil {
		return err
	}
	putPartition(mbr, partition{kind: partitionLinux, first: firstPartition, sectors: sectors})
	if _, err := disk.WriteAt(append(mbr, core...), 0); err != nil {
		return err
	}
	return disk.Close()
}
