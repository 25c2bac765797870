package floppy

import "github.com/govmm/govmm/block"

// transfer starts a data command, whose bytes are:
//
//	0          1              2  3  4  5  6    7    8
//	MT MFM SK  EC .. HDS DS   C  H  R  N  EOT  GPL  DTL, STP or SC
func (f *FDC) transfer(kind Kind) {
	s, c := &f.s, &f.s.FIFO
	s.EndOfTrack = c[6]
	s.Phase = PhaseExecution
	s.Transfer = TransferState{
		Kind: kind, Command: c[0], Drive: c[1] & driveSelect, Head: c[1] >> headShift & 1,
		C: c[2], H: c[3], R: c[4], N: c[5], EOT: c[6], Parameter: c[8],
	}
	t := &s.Transfer
	if kind == KindVerify && c[1]&verifyCount != 0 {
		t.Left = uint16(c[8])
		if t.Left == 0 {
			t.Left = 256
		}
	}
	if s.Config&configImpliedSeek != 0 {
		f.seekTo(t.Drive, t.C)
		t.ST0 = st0SeekEnd
	}
	if kind == KindReadTrack {
		f.takeWholeTrack()
	}
	f.start()
}

// start begins the execution of a data command, as soon as the buffer is free.
func (f *FDC) start() {
	f.s.Transfer.Waiting = true
	switch {
	case f.disk.inUse():
		f.disk.deferred = true // by a command that a reset has ended
	case f.s.Transfer.Kind == KindFormat:
		f.startFormat()
	default:
		f.next()
	}
}

// takeWholeTrack turns READ TRACK into a read of the sectors from the index
// hole on. That these are others than the command names is only noted.
func (f *FDC) takeWholeTrack() {
	t := &f.s.Transfer
	m, cylinder := f.medium(t.Drive, t.Head, t.Command)
	if m == nil {
		return
	}
	if int(t.C) != cylinder || t.H != t.Head || t.R != 1 || t.N != sectorCode {
		t.ST1 |= st1NoData
	}
	t.C, t.H, t.R, t.N = uint8(cylinder), t.Head, 1, sectorCode
	t.EOT = min(t.EOT, uint8(m.Sectors))
}

// medium returns the disk under the head and the cylinder that is there, or
// nil if the controller finds no address mark: there is no disk or no such
// head, the head is between two tracks, or the rate is wrong.
func (f *FDC) medium(selected, head, command uint8) (m *medium, cylinder int) {
	i, ok := f.present(selected)
	if !ok {
		return nil, 0
	}
	m = f.drives[i].medium
	if m == nil || command&commandMFM == 0 || m.rates>>f.s.Rate&1 == 0 || int(head) >= m.Heads {
		return nil, 0
	}
	cylinder = int(f.s.Drives[i].Track)
	if f.drives[i].kind.tracks() > 40 && m.Cylinders <= 40 {
		if cylinder%2 != 0 {
			return nil, 0
		}
		cylinder /= 2
	}
	if cylinder >= m.Cylinders {
		return nil, 0
	}
	return m, cylinder
}

// next starts the next run of sectors of a data command.
func (f *FDC) next() {
	t := &f.s.Transfer
	m, cylinder := f.medium(t.Drive, t.Head, t.Command)
	switch {
	case m == nil:
		f.fail(st1NoAddrMark, 0)
		return
	case t.Kind.writes() && m.readOnly:
		f.fail(st1Protected, 0)
		return
	case int(t.C) != cylinder:
		f.fail(st1NoData, st2WrongCylinder)
		return
	case t.H != t.Head || t.N != sectorCode || t.R < 1 || int(t.R) > m.Sectors:
		f.fail(st1NoData, 0)
		return
	}
	n := f.run(m)
	if t.Kind == KindReadDeleted {
		t.ST2 |= st2ControlMark // no sector is a deleted one
		if t.Command&commandSkip != 0 {
			f.goOn(n)
			return
		}
		n = 1
	}
	t.Pos, t.End = 0, n*sectorSize
	if t.Kind == KindWrite {
		f.ready()
		return
	}
	f.submit(m, block.Read, f.offset(m))
}

// run is how many sectors can be done at once: those from R to the end of the
// track, as far as the command and the DMA channel are meant to take them.
func (f *FDC) run(m *medium) int {
	t := &f.s.Transfer
	last := m.Sectors
	if t.EOT >= t.R {
		last = min(last, int(t.EOT))
	}
	n := last - int(t.R) + 1
	switch {
	case t.OneByOne || t.Kind.scans():
		n = 1
	case t.Kind == KindVerify:
		if t.Left > 0 {
			n = min(n, int(t.Left))
		}
	case !f.nonDMA():
		n = min(n, sectors(f.dma.Remaining()))
	}
	return n
}

// sectors is how many hold n bytes.
func sectors(n int) int { return (n + sectorSize - 1) / sectorSize }

// offset is where the sector in question is on the disk, in bytes.
func (f *FDC) offset(m *medium) int64 {
	t := &f.s.Transfer
	track := int64(t.C)*int64(m.Heads) + int64(t.Head)
	return (track*int64(m.Sectors) + int64(t.R) - 1) * sectorSize
}

// ready starts to move the data between Pos and End, once there is some or
// there is room for it.
func (f *FDC) ready() {
	f.s.Transfer.Waiting = false
	if f.nonDMA() {
		f.s.Interrupt = true
		f.update()
		return
	}
	f.pump()
}

// pump moves data through the DMA channel as far as that can. The request comes
// first: if the guest then enables the channel, dmaReady is called.
func (f *FDC) pump() {
	t := &f.s.Transfer
	if f.s.Phase != PhaseExecution || t.Waiting || f.nonDMA() || f.s.DOR&dorDMAGate == 0 {
		return
	}
	f.dma.SetDREQ(true)
	var n int
	var tc bool
	if t.Kind.toHost() {
		n, tc = f.dma.Write(f.data[t.Pos:t.End])
	} else {
		n, tc = f.dma.Read(f.data[t.Pos:t.End])
	}
	t.Pos += n
	t.TC = tc
	if t.Pos < t.End && !tc {
		return
	}
	f.dma.SetDREQ(false)
	f.moved()
}

// dmaReady is called when the guest has enabled the DMA channel that is waited
// for.
func (f *FDC) dmaReady() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pump()
}

// readByte gives a byte of data to a guest that works without DMA.
func (f *FDC) readByte() uint8 {
	t := &f.s.Transfer
	if !f.nonDMA() || t.Waiting || !t.Kind.toHost() {
		return 0
	}
	v := f.data[t.Pos]
	f.byteMoved()
	return v
}

// writeByte takes a byte of data from a guest that works without DMA.
func (f *FDC) writeByte(v uint8) {
	t := &f.s.Transfer
	if !f.nonDMA() || t.Waiting || t.Kind.toHost() {
		return
	}
	f.data[t.Pos] = v
	f.byteMoved()
}

// byteMoved counts a byte that went through the FIFO. INT goes low and, as the
// other side is quick, high again whenever a FIFO full of data has gone, or
// after each byte without the FIFO.
func (f *FDC) byteMoved() {
	t := &f.s.Transfer
	full := fifoSize
	if f.s.Config&configNoFIFO != 0 {
		full = 1
	}
	t.Pos++
	if t.Pos < t.End && t.Pos%full != 0 {
		return
	}
	f.s.Interrupt = false
	f.update()
	if t.Pos == t.End {
		f.moved()
		return
	}
	f.s.Interrupt = true
	f.update()
}

// moved goes on when the data of a run has gone through, or the terminal count
// was reached.
func (f *FDC) moved() {
	t := &f.s.Transfer
	switch {
	case t.Kind == KindFormat:
		f.takeIDs()
	case t.Kind.scans():
		f.compare()
	case t.Kind == KindWrite:
		// What is missing from the last sector is written as zeroes.
		t.End = sectors(t.Pos) * sectorSize
		clear(f.data[t.Pos:t.End])
		m, _ := f.medium(t.Drive, t.Head, t.Command)
		if m == nil || m.readOnly {
			f.next() // the disk was changed meanwhile: this fails
			return
		}
		f.submit(m, block.Write, f.offset(m))
	default:
		f.goOn(sectors(t.Pos))
	}
}

// goOn counts n sectors as done, and ends the command or goes on with the next.
func (f *FDC) goOn(n int) {
	t := &f.s.Transfer
	if t.Kind == KindReadDeleted && t.Command&commandSkip == 0 {
		f.done(0) // at the first sector of the other sort
		return
	}
	end := false // of the cylinder
	t.R += uint8(n)
	if t.R-1 == t.EOT {
		t.R = 1
		end = t.Command&commandMT == 0 || t.Head == 1
		if end {
			t.C++
		}
		if t.Command&commandMT != 0 {
			t.H ^= 1
		}
		if !end {
			t.Head = 1
		}
	}
	counted := t.Left > 0
	t.Left -= min(t.Left, uint16(n))
	switch {
	case t.TC || counted && t.Left == 0:
		f.done(0)
	case end && t.Kind == KindVerify && !counted:
		f.done(0)
	case end:
		f.fail(st1End, 0)
	default:
		f.next()
	}
}

// fail ends a data command abnormally.
func (f *FDC) fail(st1, st2 uint8) {
	f.s.Transfer.ST1 |= st1
	f.s.Transfer.ST2 |= st2
	f.done(st0Abnormal)
}

// done ends a data command with its result and an interrupt.
func (f *FDC) done(st0 uint8) {
	t := &f.s.Transfer
	t.Waiting = false
	f.dma.SetDREQ(false)
	f.result(st0|t.ST0|t.Head<<headShift|t.Drive, t.ST1, t.ST2, t.C, t.H, t.R, t.N)
	f.s.Interrupt = true
	f.update()
}

// readID reports the next sector that comes under the head.
func (f *FDC) readID() {
	c := &f.s.FIFO
	f.s.Transfer = TransferState{Kind: KindReadID, Command: c[0], Drive: c[1] & driveSelect, Head: c[1] >> headShift & 1}
	t := &f.s.Transfer
	m, cylinder := f.medium(t.Drive, t.Head, t.Command)
	if m == nil {
		f.fail(st1NoAddrMark, 0)
		return
	}
	id := &f.s.Drives[t.Drive].LastID
	*id = *id%uint8(m.Sectors) + 1
	t.C, t.H, t.R, t.N = uint8(cylinder), t.Head, *id, sectorCode
	f.done(0)
}
