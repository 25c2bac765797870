package dma

// Ports of the controllers and the page registers. Port 0x80, the first of the
// page registers, belongs to no channel and is the POST code port.
const (
	LowPort   = 0x00 // channels 0 to 3
	LowPorts  = 16
	HighPort  = 0xC0 // channels 4 to 7
	HighPorts = 32
	PagePort  = 0x81
	PagePorts = 15
)

// Registers of a controller, as the data sheet's tables 5 and 6 number them. 0
// to 7 are the address and count of the four channels.
const (
	regStatus       = 0x8 // read
	regCommand      = 0x8 // write
	regRequest      = 0x9
	regSingleMask   = 0xA
	regMode         = 0xB
	regClearPointer = 0xC
	regTemporary    = 0xD // read
	regMasterClear  = 0xD // write
	regClearMask    = 0xE
	regAllMask      = 0xF
)

// Command register:
//
//	  7     6     5      4      3       2       1      0
//	+-----+-----+------+------+------+-------+------+-----+
//	|DACK |DREQ | ext. |rota- |comp- |disable| ch.0 | mem |
//	|sense|sense| write| ting |ressed|       | hold |->mem|
//	+-----+-----+------+------+------+-------+------+-----+
const commandDisable = 1 << 2

// Mode register:
//
//	 7   6   5    4    3   2   1   0
//	+-------+---+-----+-------+-------+
//	| mode  |dec|auto |  type |channel|
//	+-------+---+-----+-------+-------+
const (
	modeDecrement   = 1 << 5
	modeAutoinit    = 1 << 4
	modeTransfer    = 3 << 2
	modeVerify      = 0 << 2
	modeWrite       = 1 << 2 // to memory
	modeRead        = 2 << 2 // from memory
	modeKind        = 3 << 6
	modeBlock       = 2 << 6
	modeCascade     = 3 << 6
	modeChannelBits = 3
)

// setBit is bit 2 of what is written to the request and single mask registers:
// whether the bit of the channel in bits 1:0 is set or cleared.
const setBit = 1 << 2

const allChannels = 0xF

// ChannelState is one channel. Addresses and counts are in the channel's unit:
// bytes, or words for channels 4 to 7.
type ChannelState struct {
	BaseAddress, Address uint16
	BaseCount, Count     uint16 // one less than what is to be moved
	Mode                 uint8  // as written, without the channel
}

// ControllerState is one 8237A. Of the sets of channels, bit n is channel n.
type ControllerState struct {
	Channels [4]ChannelState
	Command  uint8
	Mask     uint8 // channels that are masked
	Reached  uint8 // channels that have reached the terminal count, until read
	Requests uint8 // channels requested by software
	DREQ     uint8 // channels requested by their device
	HighByte bool  // the flip-flop: the next address or count byte is the high one
}

// State is all there is to know about a DMA.
type State struct {
	Controllers [2]ControllerState
	Pages       [16]uint8 // ports 0x80 to 0x8F
}

// pageOf gives the index of each channel's page register.
var pageOf = [8]uint8{0x7, 0x3, 0x1, 0x2, 0xF, 0xB, 0x9, 0xA}

// clear is the effect of the RESET pin and of the master clear command. DREQ is
// an input.
func (c *ControllerState) clear() {
	c.Command, c.Reached, c.Requests = 0, 0, 0
	c.Mask = allChannels
	c.HighByte = false
}

// read answers a read of a register.
func (c *ControllerState) read(reg uint8) uint8 {
	switch {
	case reg < 8:
		ch := &c.Channels[reg>>1]
		v := ch.Address
		if reg&1 != 0 {
			v = ch.Count
		}
		if c.flip() {
			return uint8(v >> 8)
		}
		return uint8(v)
	case reg == regStatus:
		v := c.DREQ<<4 | c.Reached
		c.Reached = 0
		return v
	case reg == regAllMask:
		return c.Mask
	}
	return 0 // the temporary register, and those that cannot be read
}

// write takes a write to a register.
func (c *ControllerState) write(reg, v uint8) {
	channel := uint8(1) << (v & modeChannelBits)
	switch reg {
	case regCommand:
		c.Command = v
		c.runRequests()
	case regRequest:
		assign(&c.Requests, channel, v&setBit != 0)
		c.runRequests()
	case regSingleMask:
		assign(&c.Mask, channel, v&setBit != 0)
	case regMode:
		c.Channels[v&modeChannelBits].Mode = v &^ modeChannelBits
		c.runRequests()
	case regClearPointer:
		c.HighByte = false
	case regMasterClear:
		c.clear()
	case regClearMask:
		c.Mask = 0
	case regAllMask:
		c.Mask = v & allChannels
	default:
		c.writeChannel(reg, v)
	}
}

// writeChannel takes a byte of an address or count, which goes into both the
// base and the current register.
func (c *ControllerState) writeChannel(reg, v uint8) {
	ch := &c.Channels[reg>>1]
	base, current := &ch.BaseAddress, &ch.Address
	if reg&1 != 0 {
		base, current = &ch.BaseCount, &ch.Count
	}
	if c.flip() {
		*base = *base&0x00FF | uint16(v)<<8
	} else {
		*base = *base&0xFF00 | uint16(v)
	}
	*current = *base
}

// flip reports whether it is the turn of the high byte, and changes turns.
func (c *ControllerState) flip() (high bool) {
	high = c.HighByte
	c.HighByte = !high
	return high
}

func assign(set *uint8, bits uint8, on bool) {
	if on {
		*set |= bits
	} else {
		*set &^= bits
	}
}

// runRequests serves the software requests, which no mask holds back and which
// need block mode.
func (c *ControllerState) runRequests() {
	if c.Requests == 0 || c.Command&commandDisable != 0 {
		return
	}
	for i := range uint8(4) {
		ch := &c.Channels[i]
		if c.Requests&(1<<i) != 0 && ch.Mode&modeKind == modeBlock {
			c.advance(i, uint32(ch.Count)+1)
		}
	}
}

// advance counts n units moved by channel i, at most as many as are left, and
// reports whether that reached the terminal count.
func (c *ControllerState) advance(i uint8, n uint32) (tc bool) {
	ch := &c.Channels[i]
	if ch.Mode&modeDecrement != 0 {
		ch.Address -= uint16(n)
	} else {
		ch.Address += uint16(n)
	}
	tc = n == uint32(ch.Count)+1
	ch.Count -= uint16(n)
	if !tc {
		return false
	}
	bit := uint8(1) << i
	c.Reached |= bit
	c.Requests &^= bit
	if ch.Mode&modeAutoinit != 0 {
		ch.Address, ch.Count = ch.BaseAddress, ch.BaseCount
	} else {
		c.Mask |= bit
	}
	return true
}
