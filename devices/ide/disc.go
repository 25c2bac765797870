package ide

import "encoding/binary"

// isDVD reports whether the medium is a DVD rather than a CD, by its size.
func (k *CDROM) isDVD() bool { return k.blocks > maxCD }

const (
	dataTrack = 0x14 // ADR 1, a data track without copy protection
	leadOut   = 0xAA
)

// readTOC gives the table of contents (MMC-3, section 6.1.17): one session with
// one data track, and the lead-out.
func (k *CDROM) readTOC(page []byte) (int, Sense) {
	s := &k.s.CDROM
	const useMSF = 1 << 1
	inMSF := s.Packet[1]&useMSF != 0
	format := s.Packet[2] & 0x0F
	if format == 0 {
		format = s.Packet[9] >> 6 // where SFF 8020i has it
	}
	n := 4
	switch format {
	case 0: // tracks
		first := s.Packet[6]
		if first > 1 && first != leadOut {
			return 0, senseInvalidField
		}
		if first <= 1 {
			n += tocEntry(page[n:], 1, 0, inMSF)
		}
		n += tocEntry(page[n:], leadOut, k.blocks, inMSF)
	case 1: // sessions
		n += tocEntry(page[n:], 1, 0, inMSF)
	case 2: // as it is on the disc
		n += rawTOC(page[n:], k.blocks)
	default:
		return 0, senseInvalidField
	}
	binary.BigEndian.PutUint16(page, uint16(n-2))
	page[2], page[3] = 1, 1 // the first and the last track or session
	return n, 0
}

// tocEntry describes a track, which is also the first of a session.
func tocEntry(p []byte, track uint8, start uint32, inMSF bool) int {
	p[1], p[2] = dataTrack, track
	putAddress(p[4:8], start, inMSF)
	return 8
}

// putAddress gives a block's place as a number or in time.
func putAddress(p []byte, lba uint32, inMSF bool) {
	if !inMSF {
		binary.BigEndian.PutUint32(p, lba)
		return
	}
	p[0] = 0
	p[1], p[2], p[3] = msf(lba)
}

// rawTOC gives the four points of a disc's lead-in: the first track, the last
// one, the lead-out, and the track.
func rawTOC(p []byte, blocks uint32) int {
	const entry = 11
	start := func(lba uint32) [3]uint8 {
		m, s, f := msf(lba)
		return [3]uint8{m, s, f}
	}
	points := [...]struct {
		point uint8
		at    [3]uint8
	}{
		{0xA0, [3]uint8{1}}, {0xA1, [3]uint8{1}}, {0xA2, start(blocks)}, {1, start(0)},
	}
	for i, e := range points {
		at := p[i*entry:]
		at[0], at[1], at[3] = 1, dataTrack, e.point
		copy(at[8:], e.at[:])
	}
	return len(points) * entry
}

// discInformation says that the disc is complete, with one session of one track.
func discInformation(page []byte) int {
	const size = 34
	page[1] = size - 2
	page[2] = 3<<2 | 2 // the last session and the disc are complete
	page[3], page[4], page[5], page[6] = 1, 1, 1, 1
	page[7] = 1 << 5 // for unrestricted use
	for i := 16; i < 24; i++ {
		page[i] = 0xFF // no lead-in or lead-out to write
	}
	return size
}

// Profiles.
const (
	profileCDROM  = 0x0008
	profileDVDROM = 0x0010
)

// profile is that of the medium, or 0 without one.
func (k *CDROM) profile() uint16 {
	switch {
	case !k.ready():
		return 0
	case k.isDVD():
		return profileDVDROM
	}
	return profileCDROM
}

// Feature descriptor (MMC-3, section 5.2.2):
//
//	0         2                                3
//	+---------+--------------------------------+--------+------+
//	| feature | 0 | version | persists | current | length | data |
//	+---------+--------------------------------+--------+------+
const (
	featureCurrent    = 1 << 0
	featurePersistent = 1 << 1
	featureVersion1   = 1 << 2
)

// configuration gives the drive's features (GET CONFIGURATION).
func (k *CDROM) configuration(page []byte) (int, Sense) {
	const all, current, one, reserved = 0, 1, 2, 3
	s := &k.s.CDROM
	which, from := s.Packet[1]&3, uint16(s.be16(2))
	if which == reserved {
		return 0, senseInvalidField
	}
	const header = 8
	n := header
	profile := k.profile()
	add := func(feature uint16, flags uint8, data ...uint8) {
		if feature < from || which == one && feature != from || which == current && flags&featureCurrent == 0 {
			return
		}
		binary.BigEndian.PutUint16(page[n:], feature)
		page[n+2], page[n+3] = flags, uint8(len(data))
		n += 4 + copy(page[n+4:], data)
	}
	on := func(is bool) uint8 {
		if is {
			return featureCurrent
		}
		return 0
	}
	dvd, cd := on(profile == profileDVDROM), on(profile == profileCDROM)
	const always = featurePersistent | featureCurrent
	add(0x0000, always, 0, profileDVDROM, dvd, 0, 0, profileCDROM, cd, 0)      // profiles
	add(0x0001, always|featureVersion1, 0, 0, 0, 2, 1, 0, 0, 0)                // core: ATAPI
	add(0x0003, always, 1<<5|1<<3|1<<0, 0, 0, 0)                               // removable: tray, eject, lock
	add(0x0010, dvd|cd, 0, 0, blockSize>>8, blockSize&0xFF, 0, 1+15*dvd, 0, 0) // random readable
	add(0x001D, cd)                                                            // multi-read
	add(0x001E, cd, 0, 0, 0, 0)                                                // CD read
	add(0x001F, dvd, 0, 0, 0, 0)                                               // DVD read
	binary.BigEndian.PutUint32(page, uint32(n-4))
	binary.BigEndian.PutUint16(page[6:], profile)
	return n, 0
}

// DVD structures.
const (
	dvdPhysical     = 0x00
	dvdCopyright    = 0x01
	dvdManufacturer = 0x04
	dvdList         = 0xFF

	dvdHeader      = 4
	dvdStructure   = 2048
	dvdCopyrights  = 4
	dvdFirstSector = 0x030000 // of the data area
)

// dvdStructure gives what is in the lead-in of a DVD (MMC-3, section 6.1.27): a
// single layer, unprotected.
func (k *CDROM) dvdStructure(page []byte) (int, Sense) {
	s := &k.s.CDROM
	layer, format := s.Packet[6], s.Packet[7]
	switch {
	case !k.isDVD():
		return 0, senseIncompatible
	case layer != 0:
		return 0, senseInvalidField
	}
	n := dvdHeader
	switch format {
	case dvdPhysical:
		p := page[dvdHeader:]
		p[0] = 1      // DVD-ROM, version 1
		p[1] = 0x0F   // 120 mm, no maximum rate
		p[2] = 1 << 0 // one layer, of embossed data
		binary.BigEndian.PutUint32(p[4:], dvdFirstSector)
		binary.BigEndian.PutUint32(p[8:], dvdFirstSector+k.blocks-1)
		n += dvdStructure
	case dvdCopyright:
		n += dvdCopyrights
	case dvdManufacturer:
		n += dvdStructure
	case dvdList:
		const readable = 1 << 6
		for _, e := range [...]struct {
			format uint8
			size   uint16
		}{{dvdPhysical, dvdStructure}, {dvdCopyright, dvdCopyrights}, {dvdManufacturer, dvdStructure}} {
			page[n], page[n+1] = e.format, readable
			binary.BigEndian.PutUint16(page[n+2:], e.size+dvdHeader)
			n += 4
		}
	default:
		return 0, senseInvalidField
	}
	binary.BigEndian.PutUint16(page, uint16(n-2))
	return n, 0
}

// Mode parameter headers, and what of them is not zero.
const (
	modeHeader6  = 4
	modeHeader10 = 8

	pageErrorRecovery = 0x01
	pageCapabilities  = 0x2A
	pageAll           = 0x3F

	mediumCD   = 0x01
	mediumNone = 0x70
	mediumOpen = 0x71
)

// modeSense gives mode pages, behind a header of one of two sizes.
func (k *CDROM) modeSense(page []byte, header int) (int, Sense) {
	const changeable, saved = 1, 3
	s := &k.s.CDROM
	control, which := s.Packet[2]>>6, s.Packet[2]&0x3F
	if control == saved {
		return 0, senseNotSaved
	}
	n := header
	add := func(code uint8, data ...uint8) {
		if which != code && which != pageAll {
			return
		}
		page[n], page[n+1] = code, uint8(len(data))
		if control != changeable { // nothing is
			copy(page[n+2:], data)
		}
		n += 2 + len(data)
	}
	add(pageErrorRecovery, 0, 5, 0, 0, 0, 0) // five retries

	mechanism := uint8(1<<5 | 1<<3 | 1<<0) // tray, eject, lock
	if s.Locked {
		mechanism |= 1 << 1
	}
	const speed = 176 * 24                                // kB/s
	add(pageCapabilities, 0x3B, 0, 0x70, 0, mechanism, 0, // reads all media, mode 2, sessions
		speed>>8, speed&0xFF, 0, 2, bufferSize>>10>>8, bufferSize>>10&0xFF, speed>>8, speed&0xFF, 0, 0, 0, 0)
	if n == header {
		return 0, senseInvalidField
	}

	medium := uint8(mediumCD)
	switch {
	case s.TrayOpen:
		medium = mediumOpen
	case !s.Inserted:
		medium = mediumNone
	}
	if header == modeHeader6 {
		page[0], page[1] = uint8(n-1), medium
	} else {
		binary.BigEndian.PutUint16(page, uint16(n-2))
		page[2] = medium
	}
	return n, 0
}
