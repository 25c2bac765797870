package ide

// CHS is a disk's geometry in the old way of addressing.
type CHS struct {
	Cylinders uint16
	Heads     uint8 // 1 to 16
	Sectors   uint8 // to a track, 1 to 255
}

// The geometry that firmware and drivers expect of a disk: as many heads and
// sectors as CMOS tables and ATA can hold together, and no more cylinders than
// were agreed on for disks too large for them (ATA/ATAPI-6, section 6.2.1).
const (
	standardHeads    = 16
	standardSectors  = 63
	standardCylinder = 16383
)

// Geometry is that of a disk of so many sectors for which nothing else was
// asked.
func Geometry(sectors uint64) CHS {
	n := sectors / (standardHeads * standardSectors)
	return CHS{
		Cylinders: uint16(min(max(n, 2), standardCylinder)),
		Heads:     standardHeads, Sectors: standardSectors,
	}
}

// capacity is how many sectors can be addressed.
func (g CHS) capacity() uint64 {
	return uint64(g.Cylinders) * uint64(g.Heads) * uint64(g.Sectors)
}

// translation is what INITIALIZE DEVICE PARAMETERS has set: the cylinders
// follow from the size.
func translation(sectors uint64, heads, perTrack uint8) CHS {
	n := sectors / (uint64(heads) * uint64(perTrack))
	return CHS{Cylinders: uint16(min(n, 65535)), Heads: heads, Sectors: perTrack}
}
