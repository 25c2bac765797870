package floppy

import (
	"fmt"
	"strings"
)

// sectorSize is the only one that PC disks have, in bytes; sectorCode is its N.
const (
	sectorSize = 512
	sectorCode = 2
)

// Geometry is the format of a disk: cylinders, heads, and sectors of 512 bytes
// in a track.
type Geometry struct {
	Cylinders, Heads, Sectors int
}

// Size is how much the disk holds, in bytes.
func (g Geometry) Size() int64 {
	return int64(g.Cylinders) * int64(g.Heads) * int64(g.Sectors) * sectorSize
}

// Data rates, as the DSR and CCR select them.
const (
	rate500 = 0 // kbit/s
	rate300 = 1
	rate250 = 2
	rate1M  = 3
)

// format is a kind of disk.
type format struct {
	name string
	Geometry
	rates uint8     // bit n: it can be read at data rate n
	drive DriveType // that it gets unless told otherwise
}

var formats = [...]format{
	{"160K", Geometry{40, 1, 8}, 1<<rate250 | 1<<rate300, Drive360K},
	{"180K", Geometry{40, 1, 9}, 1<<rate250 | 1<<rate300, Drive360K},
	{"320K", Geometry{40, 2, 8}, 1<<rate250 | 1<<rate300, Drive360K},
	{"360K", Geometry{40, 2, 9}, 1<<rate250 | 1<<rate300, Drive360K},
	{"720K", Geometry{80, 2, 9}, 1 << rate250, Drive1440K},
	{"1.2M", Geometry{80, 2, 15}, 1 << rate500, Drive1200K},
	{"1.44M", Geometry{80, 2, 18}, 1 << rate500, Drive1440K},
	{"2.88M", Geometry{80, 2, 36}, 1 << rate1M, Drive2880K},
}

const maxSectors = 36 // in a track

// formatOf finds the format of a disk of size bytes.
func formatOf(size int64) (*format, error) {
	for i := range formats {
		if formats[i].Size() == size {
			return &formats[i], nil
		}
	}
	var sizes strings.Builder
	for i := range formats {
		if i > 0 {
			sizes.WriteString(", ")
		}
		fmt.Fprintf(&sizes, "%d (%s)", formats[i].Size(), formats[i].name)
	}
	return nil, fmt.Errorf("no floppy disk has %d bytes; the image must have one of %s", size, &sizes)
}

// GeometryOf is the geometry of a disk of size bytes. The error for a size that
// no disk has lists those that there are.
func GeometryOf(size int64) (Geometry, error) {
	f, err := formatOf(size)
	if err != nil {
		return Geometry{}, err
	}
	return f.Geometry, nil
}

// DriveType is a kind of drive, with the number that the PC's CMOS RAM has for
// it.
type DriveType uint8

// The kinds of drives.
const (
	DriveNone  DriveType = iota
	Drive360K            // 5.25 inches, 40 tracks
	Drive1200K           // 5.25 inches, 80 tracks
	Drive720K            // 3.5 inches
	Drive1440K           // 3.5 inches
	Drive2880K           // 3.5 inches
)

var driveNames = [...]string{"no drive", "360K", "1.2M", "720K", "1.44M", "2.88M"}

// String is the size of the largest disk that fits.
func (d DriveType) String() string {
	if int(d) < len(driveNames) {
		return driveNames[d]
	}
	return "unknown drive"
}

// DriveFor is the drive that a disk of size bytes is given unless told
// otherwise. It is the one whose usual disk it is, since firmware takes the disk
// for that; and a 1.44M drive for a 720K disk.
func DriveFor(size int64) (DriveType, error) {
	f, err := formatOf(size)
	if err != nil {
		return DriveNone, err
	}
	return f.drive, nil
}

// tracks is how many the head can reach.
func (d DriveType) tracks() int {
	if d == Drive360K {
		return 40
	}
	return 80
}

// takes reports whether a disk fits into the drive.
func (d DriveType) takes(f *format) bool {
	switch d {
	case Drive360K:
		return f.drive == Drive360K
	case Drive1200K:
		return f.drive == Drive360K || f.drive == Drive1200K
	case Drive720K:
		return f.name == "720K"
	case Drive1440K:
		return f.drive == Drive1440K
	case Drive2880K:
		return f.drive == Drive1440K || f.drive == Drive2880K
	}
	return false
}

// fit finds the format of a disk of size bytes in this kind of drive.
func (d DriveType) fit(size int64) (*format, error) {
	f, err := formatOf(size)
	if err != nil {
		return nil, err
	}
	if d.takes(f) {
		return f, nil
	}
	var names []string
	for i := range formats {
		if d.takes(&formats[i]) {
			names = append(names, formats[i].name)
		}
	}
	return nil, fmt.Errorf("a disk of %s does not fit into a drive for %s", f.name, strings.Join(names, ", "))
}
