package vga

import "github.com/govmm/govmm/devices/bus"

// Ports, as offsets from Port in colour. The CRTC and status ports are at the
// same offsets from MonoPort in monochrome, less 0x10.
const (
	regAttribute      = 0x00 // index and data by turns
	regAttributeRead  = 0x01
	regMiscWrite      = 0x02 // reads input status 0
	regEnable         = 0x03
	regSequencerIndex = 0x04
	regSequencer      = 0x05
	regDACMask        = 0x06
	regDACReadIndex   = 0x07 // reads the DAC's state
	regDACWriteIndex  = 0x08
	regDAC            = 0x09
	regFeatureRead    = 0x0A
	regMiscRead       = 0x0C
	regGraphicsIndex  = 0x0E
	regGraphics       = 0x0F
	regCRTCIndex      = 0x14
	regCRTC           = 0x15
	regStatus1        = 0x1A // writes feature control

	firstCRTCPort = 0x10
)

// Miscellaneous output register:
//
//	   7       6      5    4   3   2    1     0
//	+-------+-------+----+---+-------+-----+-------+
//	| vsync | hsync |page| - | clock | RAM | colour|
//	+-------+-------+----+---+-------+-----+-------+
const (
	miscColour     = 1 << 0 // CRTC at 0x3D4 rather than 0x3B4
	miscRAM        = 1 << 1 // the CPU reaches the video memory
	miscClockShift = 2
	miscBits       = 0xEF
)

// Sequencer registers.
const (
	seqClocking = 1 // bit 0: 8 dots a character, bit 3: half dot clock, bit 5: screen off
	seqMapMask  = 2
	seqFont     = 3
	seqMode     = 4 // bit 2: no odd/even, bit 3: chain 4

	clockingEightDots = 1 << 0
	clockingHalf      = 1 << 3
	clockingOff       = 1 << 5
	seqModeSequential = 1 << 2
	seqModeChain4     = 1 << 3
)

// Graphics controller registers.
const (
	gfxSetReset       = 0
	gfxEnableSetReset = 1
	gfxColourCompare  = 2
	gfxRotate         = 3 // bits 2:0 count, 4:3 function
	gfxReadMap        = 4
	gfxMode           = 5 // bits 1:0 write mode, 3 read mode, 4 odd/even, 6:5 shift
	gfxMisc           = 6 // bit 0 graphics, 1 chain odd/even, 3:2 memory map
	gfxDontCare       = 7
	gfxBitMask        = 8

	gfxModeRead1    = 1 << 3
	gfxModeOddEven  = 1 << 4
	gfxModeCGA      = 1 << 5
	gfxMode256      = 1 << 6
	gfxMiscGraphics = 1 << 0
	gfxMiscChainOE  = 1 << 1
	gfxMiscMapShift = 2
)

// Attribute controller registers; 0 to 15 are the palette.
const (
	attrMode        = 0x10
	attrPlaneEnable = 0x12
	attrPanning     = 0x13
	attrColour      = 0x14

	attrIndexDisplay  = 1 << 5 // palette address source: the screen is shown
	attrModeMono      = 1 << 1
	attrModeLine      = 1 << 2 // the ninth dot of line characters
	attrModeBlink     = 1 << 3
	attrModeSplitPan  = 1 << 5 // no panning below the split
	attrMode256       = 1 << 6
	attrModePalette54 = 1 << 7
)

// The bits that a register has; the others read 0.
var (
	sequencerBits = [len(State{}.Sequencer)]uint8{0x03, 0x3D, 0x0F, 0x3F, 0x0E}
	graphicsBits  = [len(State{}.Graphics)]uint8{0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x7B, 0x0F, 0x0F, 0xFF}
	attributeBits = [len(State{}.Attribute)]uint8{
		0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F,
		0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F,
		0xEF, 0xFF, 0x3F, 0x0F, 0x0F,
	}
)

const (
	featureBits = 0x0B
	// status0Sense says that a monitor is there.
	status0Sense = 1 << 4
)

// Ports is the handler of the colour ports, Port.
func (v *VGA) Ports() bus.Handler { return ports{v, 0, true} }

// MonoPorts is the handler of the monochrome ports, MonoPort.
func (v *VGA) MonoPorts() bus.Handler { return ports{v, firstCRTCPort, false} }

// ports is a range of ports. A wide access is one to consecutive ports, lowest
// first, so that an index and its data can be written at once.
type ports struct {
	v      *VGA
	first  uint64 // offset from Port of the first one
	colour bool   // which CRTC ports are among them
}

func (p ports) Read(offset uint64, data []byte) {
	p.v.mu.Lock()
	defer p.v.mu.Unlock()
	for i := range data {
		data[i] = p.v.readPort(p.first+offset+uint64(i), p.colour)
	}
}

func (p ports) Write(offset uint64, data []byte) {
	p.v.mu.Lock()
	defer p.v.mu.Unlock()
	for i, b := range data {
		p.v.writePort(p.first+offset+uint64(i), p.colour, b)
	}
}

// deaf reports whether a port does not answer now: the CRTC ports of the other
// kind of monitor, and all but the enable port while the adapter is disabled.
func (s *State) deaf(reg uint64, colour bool) bool {
	if !s.Enabled {
		return reg != regEnable
	}
	return reg >= firstCRTCPort && colour != (s.Misc&miscColour != 0)
}

func (v *VGA) readPort(reg uint64, colour bool) uint8 {
	s := &v.s
	if s.deaf(reg, colour) {
		return 0xFF
	}
	switch reg {
	case regAttribute:
		return s.AttributeIndex
	case regAttributeRead:
		return register(s.Attribute[:], s.AttributeIndex&^attrIndexDisplay)
	case regMiscWrite:
		return status0Sense
	case regEnable:
		if s.Enabled {
			return 1
		}
		return 0
	case regSequencerIndex:
		return s.SequencerIndex
	case regSequencer:
		return register(s.Sequencer[:], s.SequencerIndex)
	case regDACMask:
		return s.DACMask
	case regDACReadIndex:
		if s.DACReading {
			return 3
		}
		return 0
	case regDACWriteIndex:
		return s.DACWriteIndex
	case regDAC:
		return s.readDAC()
	case regFeatureRead:
		return s.FeatureControl
	case regMiscRead:
		return s.Misc
	case regGraphicsIndex:
		return s.GraphicsIndex
	case regGraphics:
		return register(s.Graphics[:], s.GraphicsIndex)
	case regCRTCIndex:
		return s.CRTCIndex
	case regCRTC:
		return register(s.CRTC[:], s.CRTCIndex)
	case regStatus1:
		s.AttributeData = false
		return s.status1(v.clock.Now())
	}
	return 0
}

func (v *VGA) writePort(reg uint64, colour bool, b uint8) {
	s := &v.s
	if s.deaf(reg, colour) {
		return
	}
	switch reg {
	case regAttribute:
		s.writeAttribute(b)
	case regMiscWrite:
		s.Misc = b & miscBits
		v.changed()
	case regEnable:
		s.Enabled = b&1 != 0
		v.changed()
	case regSequencerIndex:
		s.SequencerIndex = b & 0x07
	case regSequencer:
		setRegister(s.Sequencer[:], sequencerBits[:], s.SequencerIndex, b)
		v.changed()
	case regDACMask:
		s.DACMask = b
	case regDACReadIndex:
		s.DACReadIndex, s.DACComponent, s.DACReading = b, 0, true
	case regDACWriteIndex:
		s.DACWriteIndex, s.DACComponent, s.DACReading = b, 0, false
	case regDAC:
		s.writeDAC(b)
	case regGraphicsIndex:
		s.GraphicsIndex = b & 0x0F
	case regGraphics:
		setRegister(s.Graphics[:], graphicsBits[:], s.GraphicsIndex, b)
		s.mirrorDISPI()
		v.changed()
	case regCRTCIndex:
		s.CRTCIndex = b
	case regCRTC:
		s.writeCRTC(b)
		s.mirrorDISPI()
	case regStatus1:
		s.FeatureControl = b & featureBits
	}
}

// register reads an indexed register; those that do not exist read 0.
func register(regs []uint8, index uint8) uint8 {
	if int(index) < len(regs) {
		return regs[index]
	}
	return 0
}

func setRegister(regs, bits []uint8, index, b uint8) {
	if int(index) < len(regs) {
		regs[index] = b & bits[index]
	}
}

// writeAttribute takes an index and its data by turns; reading input status 1
// makes the next one an index. The palette can be written whether or not the
// screen is shown.
func (s *State) writeAttribute(b uint8) {
	if s.AttributeData {
		setRegister(s.Attribute[:], attributeBits[:], s.AttributeIndex&^attrIndexDisplay, b)
	} else {
		s.AttributeIndex = b & 0x3F
	}
	s.AttributeData = !s.AttributeData
}

// readDAC reads the components of a colour one after the other.
func (s *State) readDAC() uint8 {
	b := s.DAC[s.DACReadIndex][s.DACComponent]
	if s.nextComponent() {
		s.DACReadIndex++
	}
	return b
}

// writeDAC takes the components of a colour, which changes with the third.
func (s *State) writeDAC(b uint8) {
	if !s.dac8Bit() {
		b &= 0x3F
	}
	s.DACPartial[s.DACComponent] = b
	if s.nextComponent() {
		s.DAC[s.DACWriteIndex] = s.DACPartial
		s.DACWriteIndex++
	}
}

func (s *State) nextComponent() (done bool) {
	s.DACComponent++
	if s.DACComponent < 3 {
		return false
	}
	s.DACComponent = 0
	return true
}
