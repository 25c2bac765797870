package floppy

import (
	"math/bits"

	"github.com/govmm/govmm/block"
)

// format starts FORMAT TRACK, whose bytes are:
//
//	0        1           2  3   4    5
//	0 MFM 0  .. HDS DS   N  SC  GPL  filler
//
// The guest then sends C, H, R and N of each of the SC sectors.
func (f *FDC) format() {
	s, c := &f.s, &f.s.FIFO
	s.EndOfTrack = c[3]
	s.Phase = PhaseExecution
	s.Transfer = TransferState{
		Kind: KindFormat, Command: c[0], Drive: c[1] & driveSelect, Head: c[1] >> headShift & 1,
		N: c[2], EOT: c[3], Parameter: c[5],
	}
	f.start()
}

// bytesPerID is how much the guest sends for each sector.
const bytesPerID = 4

func (f *FDC) startFormat() {
	t := &f.s.Transfer
	m, cylinder := f.medium(t.Drive, t.Head, t.Command)
	switch {
	case m == nil:
		f.fail(st1NoAddrMark, 0)
		return
	case m.readOnly:
		f.fail(st1Protected, 0)
		return
	case t.N != sectorCode || t.EOT == 0 || int(t.EOT) > m.Sectors:
		f.refuseFormat(m)
		return
	}
	t.C, t.H = uint8(cylinder), t.Head
	t.Pos, t.End = 0, bytesPerID*int(t.EOT)
	f.ready()
}

// refuseFormat ends a command that asks for a track which an image cannot hold.
func (f *FDC) refuseFormat(m *medium) {
	if f.log.Allow() {
		f.log.Warn("the guest formats a floppy disk in another way than its image has",
			"drive", driveName(int(f.s.Transfer.Drive)), "image", m.name)
	}
	f.fail(st1Protected, 0)
}

// takeIDs looks at what sectors the guest has asked for, and starts to write
// them.
func (f *FDC) takeIDs() {
	t := &f.s.Transfer
	m, cylinder := f.medium(t.Drive, t.Head, t.Command)
	if m == nil || m.readOnly {
		f.fail(st1Protected, 0) // the disk was changed meanwhile
		return
	}
	for ids := f.data[:t.Pos]; len(ids) >= bytesPerID; ids = ids[bytesPerID:] {
		c, h, r, n := ids[0], ids[1], ids[2], ids[3]
		if int(c) != cylinder || h != t.Head || r < 1 || int(r) > m.Sectors || n != sectorCode {
			f.refuseFormat(m)
			return
		}
		t.Format |= 1 << (r - 1)
	}
	filler := f.data[:m.Sectors*sectorSize]
	for i := range filler {
		filler[i] = t.Parameter
	}
	f.nextFormat()
}

// nextFormat writes the next sectors in a row that are to be formatted.
func (f *FDC) nextFormat() {
	t := &f.s.Transfer
	if t.Format == 0 {
		f.done(0)
		return
	}
	m, _ := f.medium(t.Drive, t.Head, t.Command)
	if m == nil || m.readOnly {
		f.fail(st1Protected, 0)
		return
	}
	first := bits.TrailingZeros64(t.Format)
	n := bits.TrailingZeros64(^(t.Format >> first))
	t.Format &^= (1<<n - 1) << first
	t.R, t.End = uint8(first+1), n*sectorSize
	f.submit(m, block.Write, f.offset(m))
}
