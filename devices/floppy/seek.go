package floppy

// step moves the head of a drive by that many tracks, inwards if positive, as
// far as it goes. A step tells a drive that its new disk was noticed.
func (f *FDC) step(selected uint8, by int) {
	i, ok := f.present(selected)
	if !ok || by == 0 {
		return
	}
	d := &f.s.Drives[i]
	d.Track = uint8(min(max(int(d.Track)+by, 0), f.drives[i].kind.tracks()-1))
	if f.drives[i].medium != nil {
		d.Changed = false
	}
}

// seekTo moves a head to where the controller believes cylinder c to be.
func (f *FDC) seekTo(selected, c uint8) {
	f.step(selected, int(c)-int(f.s.Cylinder[selected]))
	f.s.Cylinder[selected] = c
}

// seekDone ends a command that has no result phase with an interrupt.
func (f *FDC) seekDone(st0 uint8) {
	selected := st0 & driveSelect
	f.s.Pending |= 1 << selected
	f.s.Sense[selected] = st0 | st0SeekEnd
	f.s.Interrupt = true
}

func (f *FDC) seek() {
	selected := f.s.FIFO[1] & driveSelect
	f.seekTo(selected, f.s.FIFO[2])
	f.seekDone(f.s.FIFO[1] & (driveSelect | 1<<headShift))
}

// relativeInwards is the direction bit of RELATIVE SEEK's first byte.
const relativeInwards = 1 << 6

func (f *FDC) relativeSeek() {
	selected, by := f.s.FIFO[1]&driveSelect, int(f.s.FIFO[2])
	if f.s.FIFO[0]&relativeInwards == 0 {
		by = -by
	}
	f.step(selected, by)
	f.s.Cylinder[selected] += uint8(by)
	f.seekDone(f.s.FIFO[1] & (driveSelect | 1<<headShift))
}

// recalibrate steps outwards until the drive signals track 0, which one that is
// not there never does.
func (f *FDC) recalibrate() {
	selected := f.s.FIFO[1] & driveSelect
	f.s.Cylinder[selected] = 0
	i, ok := f.present(selected)
	if !ok {
		f.seekDone(selected | st0Abnormal | st0Check)
		return
	}
	f.step(selected, -int(f.s.Drives[i].Track))
	f.seekDone(selected)
}
