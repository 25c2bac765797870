package fatdir

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const sectorSize = 512

// Limits of the kinds of FAT, in clusters. They are what tells the kinds apart,
// so that all systems keep some distance from them.
const (
	mostFAT12  = 4084 - 16
	leastFAT16 = 4085 + 16
	mostFAT16  = 65524 - 16
	leastFAT32 = 65525 + 16
	mostFAT32  = 1 << 27
)

// layout is where things are on the disk, in sectors.
type layout struct {
	bits        int    // 12, 16 or 32
	hidden      uint32 // before the file system: the partition table and the rest of its track
	reserved    uint32
	fatSectors  uint32 // of each of the two
	rootEntries uint32 // 0 with FAT32
	cluster     uint32 // sectors in one
	clusters    uint32 // in all
	media       byte
	heads       uint32
	track       uint32 // sectors
}

func (l *layout) rootSectors() uint32 { return l.rootEntries * entrySize / sectorSize }
func (l *layout) fatStart() uint32    { return l.hidden + l.reserved }
func (l *layout) rootStart() uint32   { return l.fatStart() + 2*l.fatSectors }
func (l *layout) dataStart() uint32   { return l.rootStart() + l.rootSectors() }
func (l *layout) end() uint64         { return uint64(l.dataStart()) + uint64(l.clusters)*uint64(l.cluster) }

// need is what a tree takes.
type need struct {
	clusters    func(sectors uint32) uint64 // of that size, for all but the root
	rootEntries uint32
}

// floppyLayout chooses the smallest floppy that takes a tree.
func floppyLayout(n need) (layout, error) {
	floppies := []layout{
		{bits: 12, reserved: 1, fatSectors: 9, rootEntries: 224, cluster: 1, clusters: 2847, media: 0xf0, heads: 2, track: 18},
		{bits: 12, reserved: 1, fatSectors: 9, rootEntries: 240, cluster: 2, clusters: 2863, media: 0xf0, heads: 2, track: 36},
	}
	for _, l := range floppies {
		if n.rootEntries <= l.rootEntries && n.clusters(l.cluster) <= uint64(l.clusters) {
			return l, nil
		}
	}
	if n.rootEntries > 240 {
		return layout{}, fmt.Errorf("too many names for the root directory of a floppy, which has 240 entries and would need %d", n.rootEntries)
	}
	return layout{}, fmt.Errorf("too big for a floppy: it needs %d KiB, and a floppy of 2880 KiB has room for 2863", n.clusters(2))
}

// diskLayout chooses the kind and the size of a cluster, as small as the tree
// allows.
func diskLayout(n need) (layout, error) {
	const maxRoot = 4096 // entries, beyond which the root is better a file of FAT32
	l := layout{hidden: 63, media: 0xf8, heads: 16, track: 63}
	root := max(512, (n.rootEntries+15)&^15)
	if clusters := n.clusters(8); root <= maxRoot && clusters <= mostFAT12 {
		l.bits, l.reserved, l.rootEntries, l.cluster = 12, 1, root, 8
		l.clusters = uint32(max(clusters, 256))
		return l.withFAT(), nil
	}
	for size := uint32(4); size <= 64 && root <= maxRoot; size *= 2 {
		if clusters := n.clusters(size); clusters <= mostFAT16 {
			l.bits, l.reserved, l.rootEntries, l.cluster = 16, 1, root, size
			l.clusters = uint32(max(clusters, leastFAT16))
			return l.withFAT(), nil
		}
	}
	for size := uint32(8); size <= 64; size *= 2 {
		clusters := n.clusters(size) + (uint64(n.rootEntries)*entrySize+uint64(size)*sectorSize-1)/(uint64(size)*sectorSize)
		if clusters > mostFAT32 || clusters*uint64(size) > 1<<31 {
			continue
		}
		l.bits, l.reserved, l.cluster = 32, 32, size
		l.clusters = uint32(max(clusters, leastFAT32))
		return l.withFAT(), nil
	}
	return layout{}, errors.New("too big for a FAT disk: more than 1 TiB")
}

// withFAT adds the size of the tables.
func (l layout) withFAT() layout {
	bytes := (uint64(l.clusters+2)*uint64(l.bits) + 7) / 8
	l.fatSectors = uint32((bytes + sectorSize - 1) / sectorSize)
	return l
}

// bootCode is the program of the boot sectors: INT 18h, with which a BIOS goes on
// to the next device; HLT; JMP $-1.
const bootCode = "\xcd\x18\xf4\xeb\xfd"

// partitionTable writes the first sector of a hard disk.
func (l *layout) partitionTable(b []byte, serial uint32) {
	copy(b, bootCode)
	binary.LittleEndian.PutUint32(b[440:], serial)
	entry := b[446:]
	entry[0] = 0x80
	l.chs(entry[1:], uint64(l.hidden))
	switch {
	case l.bits == 32:
		entry[4] = 0x0c // FAT32, LBA
	case l.bits == 16:
		entry[4] = 0x06
	default:
		entry[4] = 0x01
	}
	l.chs(entry[5:], l.end()-1)
	binary.LittleEndian.PutUint32(entry[8:], l.hidden)
	binary.LittleEndian.PutUint32(entry[12:], uint32(l.end()-uint64(l.hidden)))
	b[510], b[511] = 0x55, 0xaa
}

// chs writes a sector's place as head, sector and cylinder, or the last there is.
func (l *layout) chs(b []byte, sector uint64) {
	cylinder := sector / uint64(l.heads*l.track)
	if cylinder > 1023 {
		b[0], b[1], b[2] = 254, 0xff, 0xff
		return
	}
	b[0] = byte(sector / uint64(l.track) % uint64(l.heads))
	b[1] = byte(sector%uint64(l.track)+1) | byte(cylinder>>2)&0xc0
	b[2] = byte(cylinder)
}

// bootSector writes the first sector of the file system: the BIOS parameter
// block, and no program to speak of.
func (l *layout) bootSector(b []byte, serial uint32, label [11]byte) {
	b[0], b[2] = 0xeb, 0x90
	copy(b[3:], "govmm   ")
	binary.LittleEndian.PutUint16(b[11:], sectorSize)
	b[13] = byte(l.cluster)
	binary.LittleEndian.PutUint16(b[14:], uint16(l.reserved))
	b[16] = 2
	binary.LittleEndian.PutUint16(b[17:], uint16(l.rootEntries))
	total := l.end() - uint64(l.hidden)
	if total < 1<<16 && l.bits != 32 {
		binary.LittleEndian.PutUint16(b[19:], uint16(total))
	} else {
		binary.LittleEndian.PutUint32(b[32:], uint32(total))
	}
	b[21] = l.media
	binary.LittleEndian.PutUint16(b[24:], uint16(l.track))
	binary.LittleEndian.PutUint16(b[26:], uint16(l.heads))
	binary.LittleEndian.PutUint32(b[28:], l.hidden)
	extended := b[36:]
	if l.bits == 32 {
		binary.LittleEndian.PutUint32(b[36:], l.fatSectors)
		binary.LittleEndian.PutUint32(b[44:], rootCluster)
		binary.LittleEndian.PutUint16(b[48:], infoSector)
		binary.LittleEndian.PutUint16(b[50:], backupSector)
		extended = b[64:]
	} else {
		binary.LittleEndian.PutUint16(b[22:], uint16(l.fatSectors))
	}
	if l.hidden != 0 {
		extended[0] = 0x80 // the drive's number
	}
	extended[2] = 0x29
	binary.LittleEndian.PutUint32(extended[3:], serial)
	copy(extended[7:], label[:])
	copy(extended[18:], fmt.Sprintf("FAT%d   ", l.bits))
	program := sectorSize - len(extended) + 26 // after what is above
	b[1] = byte(program - 2)
	copy(b[program:], bootCode)
	b[510], b[511] = 0x55, 0xaa
}

// Places of FAT32.
const (
	rootCluster  = 2
	infoSector   = 1
	backupSector = 6
)

// info writes FSInfo.
func (l *layout) info(b []byte, used uint32) {
	binary.LittleEndian.PutUint32(b, 0x41615252)
	binary.LittleEndian.PutUint32(b[484:], 0x61417272)
	binary.LittleEndian.PutUint32(b[488:], l.clusters-used)
	binary.LittleEndian.PutUint32(b[492:], used+2)
	b[510], b[511] = 0x55, 0xaa
}
