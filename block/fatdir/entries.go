package fatdir

import (
	"encoding/binary"
	"fmt"
	"time"
)

// A directory entry:
//
//	 0  name, 11 bytes     11  attributes        12  0
//	13  created, 10 ms     14  created, time     16  created, date
//	18  accessed, date     20  cluster, high     22  modified, time
//	24  modified, date     26  cluster, low      28  size, 4 bytes
//
// A part of a long name, of which the last comes first:
//
//	 0  number from 1, |0x40 for the last    1  5 characters   11  attributes
//	12  0    13  checksum of the short name  14  6 characters
//	26  0    28  2 characters
const (
	entrySize = 32

	attributeReadOnly  = 0x01
	attributeVolume    = 0x08
	attributeDirectory = 0x10
	attributeArchive   = 0x20
	attributeLong      = 0x0f

	longUnits = 13 // of a part
	lastPart  = 0x40
)

// entryCount is how many entries a directory's children need.
func entryCount(n *node) (count int) {
	for _, names := range n.names {
		count += 1 + (len(names.long)+longUnits-1)/longUnits
	}
	return count
}

// directorySize is the size of a directory in bytes: all but the root have
// entries of themselves and their parent, and the root one of the volume's name.
func directorySize(n *node) (int, error) {
	extra := 2
	if n.parent == nil {
		extra = 1
	}
	size := (entryCount(n) + extra) * entrySize
	if size > maxDirectorySize {
		return 0, fmt.Errorf("%s: too many names for a directory of FAT", n.path())
	}
	return size, nil
}

// appendDirectory writes a directory whose clusters, and those of its children,
// are known.
func appendDirectory(b []byte, n *node, label [11]byte, zone *time.Location) []byte {
	if n.parent == nil {
		b = appendEntry(b, label, attributeVolume, 0, 0, n.modified.In(zone))
	} else {
		parent := n.parent.first
		if n.parent.parent == nil {
			parent = 0 // the root has that number here, also with FAT32
		}
		b = appendEntry(b, [11]byte([]byte(".          ")), attributeDirectory, n.first, 0, n.modified.In(zone))
		b = appendEntry(b, [11]byte([]byte("..         ")), attributeDirectory, parent, 0, n.parent.modified.In(zone))
	}
	for i, c := range n.children {
		names := n.names[i]
		b = appendLong(b, names)
		if c.dir {
			b = appendEntry(b, names.short, attributeDirectory, c.first, 0, c.modified.In(zone))
		} else {
			b = appendEntry(b, names.short, attributeArchive|attributeReadOnly, c.first, uint32(c.size), c.modified.In(zone))
		}
	}
	return b
}

func appendEntry(b []byte, name [11]byte, attributes byte, cluster, size uint32, t time.Time) []byte {
	day, clock := stamp(t)
	b = append(b, name[:]...)
	b = append(b, attributes, 0, 0)
	b = binary.LittleEndian.AppendUint16(b, clock)
	b = binary.LittleEndian.AppendUint16(b, day)
	b = binary.LittleEndian.AppendUint16(b, day)
	b = binary.LittleEndian.AppendUint16(b, uint16(cluster>>16))
	b = binary.LittleEndian.AppendUint16(b, clock)
	b = binary.LittleEndian.AppendUint16(b, day)
	b = binary.LittleEndian.AppendUint16(b, uint16(cluster))
	return binary.LittleEndian.AppendUint32(b, size)
}

// appendLong writes the parts of a long name.
func appendLong(b []byte, n names) []byte {
	sum := byte(0)
	for _, c := range n.short {
		sum = sum>>1 | sum<<7
		sum += c
	}
	parts := (len(n.long) + longUnits - 1) / longUnits
	for part := parts; part > 0; part-- {
		var e [entrySize]byte
		e[0], e[11], e[13] = byte(part), attributeLong, sum
		if part == parts {
			e[0] |= lastPart
		}
		for i := range longUnits {
			unit := uint16(0xffff)
			switch at := (part-1)*longUnits + i; {
			case at < len(n.long):
				unit = n.long[at]
			case at == len(n.long):
				unit = 0
			}
			at := 1 + 2*i
			switch {
			case i >= 11:
				at = 28 + 2*(i-11)
			case i >= 5:
				at = 14 + 2*(i-5)
			}
			binary.LittleEndian.PutUint16(e[at:], unit)
		}
		b = append(b, e[:]...)
	}
	return b
}

// stamp is a time as FAT has it, from 1980 to 2107 in steps of 2 seconds.
func stamp(t time.Time) (day, clock uint16) {
	switch {
	case t.Year() < 1980:
		return 1<<5 | 1, 0
	case t.Year() > 2107:
		return 127<<9 | 12<<5 | 31, 23<<11 | 59<<5 | 29
	}
	return uint16(t.Year()-1980)<<9 | uint16(t.Month())<<5 | uint16(t.Day()),
		uint16(t.Hour())<<11 | uint16(t.Minute())<<5 | uint16(t.Second()/2)
}
