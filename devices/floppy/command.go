package floppy

// command is an entry of the data sheet's table of commands: the first byte,
// the bits of it that tell commands apart, and how many bytes there are.
type command struct {
	name        string
	value, mask uint8
	length      uint8
	start       func(*FDC)
}

var commands = [...]command{
	{"READ DATA", 0x06, 0x1F, 9, func(f *FDC) { f.transfer(KindRead) }},
	{"READ DELETED DATA", 0x0C, 0x1F, 9, func(f *FDC) { f.transfer(KindReadDeleted) }},
	{"WRITE DATA", 0x05, 0x3F, 9, func(f *FDC) { f.transfer(KindWrite) }},
	{"WRITE DELETED DATA", 0x09, 0x3F, 9, func(f *FDC) { f.transfer(KindWrite) }},
	{"READ TRACK", 0x02, 0xBF, 9, func(f *FDC) { f.transfer(KindReadTrack) }},
	{"VERIFY", 0x16, 0x1F, 9, func(f *FDC) { f.transfer(KindVerify) }},
	{"FORMAT TRACK", 0x0D, 0xBF, 6, (*FDC).format},
	{"SCAN EQUAL", 0x11, 0x1F, 9, func(f *FDC) { f.transfer(KindScanEqual) }},
	{"SCAN LOW OR EQUAL", 0x19, 0x1F, 9, func(f *FDC) { f.transfer(KindScanLow) }},
	{"SCAN HIGH OR EQUAL", 0x1D, 0x1F, 9, func(f *FDC) { f.transfer(KindScanHigh) }},
	{"READ ID", 0x0A, 0xBF, 2, (*FDC).readID},
	{"RECALIBRATE", 0x07, 0xFF, 2, (*FDC).recalibrate},
	{"SEEK", 0x0F, 0xFF, 3, (*FDC).seek},
	{"RELATIVE SEEK", 0x8F, 0xBF, 3, (*FDC).relativeSeek},
	{"SENSE INTERRUPT STATUS", 0x08, 0xFF, 1, (*FDC).senseInterrupt},
	{"SENSE DRIVE STATUS", 0x04, 0xFF, 2, (*FDC).senseDrive},
	{"SPECIFY", 0x03, 0xFF, 3, (*FDC).specify},
	{"CONFIGURE", 0x13, 0xFF, 4, (*FDC).configure},
	{"PERPENDICULAR MODE", 0x12, 0xFF, 2, (*FDC).perpendicular},
	{"LOCK", 0x14, 0x7F, 1, (*FDC).lock},
	{"DUMPREG", 0x0E, 0xFF, 1, (*FDC).dumpReg},
	{"VERSION", 0x10, 0xFF, 1, (*FDC).version},
}

// enhanced is what VERSION answers.
const enhanced = 0x90

// invalid stands for the commands that are not in the table. One of them is
// PART ID (0x18), by whose failure drivers tell an 82077AA from its successors.
var invalid = command{"INVALID", 0, 0, 1, func(f *FDC) { f.result(st0Invalid) }}

func find(first uint8) *command {
	for i := range commands {
		if c := &commands[i]; first&c.mask == c.value {
			return c
		}
	}
	return &invalid
}

// writeFIFO takes a byte of a command, or of the data of one without DMA.
func (f *FDC) writeFIFO(v uint8) {
	s := &f.s
	switch {
	case s.DOR&dorNotReset == 0:
	case s.Phase == PhaseExecution:
		f.writeByte(v)
	case s.Phase == PhaseCommand:
		s.FIFO[s.Pos] = v
		s.Pos++
		if c := find(s.FIFO[0]); s.Pos == c.length {
			s.Pos = 0
			c.start(f)
			f.update()
		}
	}
}

// readFIFO gives a byte of a result, or of the data of a command without DMA.
func (f *FDC) readFIFO() uint8 {
	s := &f.s
	switch {
	case s.DOR&dorNotReset == 0:
	case s.Phase == PhaseExecution:
		return f.readByte()
	case s.Phase == PhaseResult:
		v := s.FIFO[s.Pos]
		s.Pos++
		// The first byte of a data command's result ends its interrupt. SENSE
		// INTERRUPT STATUS has ended the others.
		if s.Transfer.Kind != KindNone {
			s.Transfer.Kind = KindNone
			s.Interrupt = false
			f.update()
		}
		if s.Pos == s.Length {
			s.Phase, s.Pos = PhaseCommand, 0
		}
		return v
	}
	return 0
}

// result starts the result phase.
func (f *FDC) result(bytes ...uint8) {
	f.s.Phase, f.s.Pos = PhaseResult, 0
	f.s.Length = uint8(copy(f.s.FIFO[:], bytes))
}

func (f *FDC) senseInterrupt() {
	s := &f.s
	s.Interrupt = false
	for i := range s.Sense {
		if s.Pending&(1<<i) == 0 {
			continue
		}
		s.Pending &^= 1 << i
		f.result(s.Sense[i], s.Cylinder[i])
		if s.Pending != 0 && s.Sense[i]&st0Polling != st0Polling {
			f.update() // of overlapping seeks, each has its own interrupt
			s.Interrupt = true
		}
		return
	}
	f.result(st0Invalid)
}

func (f *FDC) senseDrive() {
	selected := f.s.FIFO[1] & (driveSelect | 1<<headShift)
	st3 := st3Ones | selected
	if i, ok := f.present(selected & driveSelect); ok {
		if f.s.Drives[i].Track == 0 {
			st3 |= st3Track0
		}
		if m := f.drives[i].medium; m != nil && m.readOnly {
			st3 |= st3Protected
		}
	}
	f.result(st3)
}

func (f *FDC) specify() { copy(f.s.Specify[:], f.s.FIFO[1:3]) }

func (f *FDC) configure() {
	f.s.Config, f.s.Pretrack = f.s.FIFO[2]&configBits, f.s.FIFO[3]
}

func (f *FDC) perpendicular() {
	v, p := f.s.FIFO[1], &f.s.Perpendicular
	*p = *p&^perpGate | v&perpGate
	if v&perpOverwrite != 0 {
		*p = *p&^perpDrives | v&perpDrives
	}
}

func (f *FDC) lock() {
	f.s.Locked = f.s.FIFO[0]&commandMT != 0
	f.result(f.s.FIFO[0] & commandMT >> 3)
}

func (f *FDC) dumpReg() {
	s := &f.s
	locked := s.Perpendicular
	if s.Locked {
		locked |= 1 << 7
	}
	c := &s.Cylinder
	f.result(c[0], c[1], c[2], c[3], s.Specify[0], s.Specify[1], s.EndOfTrack, locked, s.Config, s.Pretrack)
}

func (f *FDC) version() { f.result(enhanced) }
