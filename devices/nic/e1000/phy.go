package e1000

// phyAddress is where the PHY answers on its bus.
const phyAddress = 1

// Registers of the PHY (IEEE 802.3, clause 22, and Marvell's own).
const (
	phyControl  = 0
	phyStatus   = 1
	phyID1      = 2
	phyID2      = 3
	phyAdvert   = 4
	phyPartner  = 5
	phyExpand   = 6
	phy1000Ctl  = 9
	phy1000Stat = 10
	phyExtStat  = 15
	phySpecCtl  = 16
	phySpecStat = 17
	phyExtCtl   = 20
	phyRegs     = 32
)

// Bits of PHY registers.
const (
	phyReset      = 1 << 15 // of control; clears itself
	phyRestart    = 1 << 9  // of negotiation; clears itself
	phyNegotiated = 1 << 5  // of status
	phyLinkUp     = 1 << 2
	specLinkUp    = 1 << 10
	specResolved  = 1 << 11
	specFull      = 1 << 13
	specGbit      = 1 << 15
)

// Bits of MDIC (section 13.4.8):
//
//	0 data(16)  16 register(5)  21 PHY(5)  26 operation(2)  28 ready  29 interrupt  30 error
const (
	mdicWrite     = 1
	mdicRead      = 2
	mdicReady     = 1 << 28
	mdicInterrupt = 1 << 29
	mdicError     = 1 << 30
)

// phyWritable are the bits of the registers that can be written.
var phyWritable = [phyRegs]uint16{
	phyControl: 0x7FFF &^ phyRestart, phyAdvert: 0xFFFF, phy1000Ctl: 0xFFFF, phySpecCtl: 0xFFFF, phyExtCtl: 0xFFFF,
}

// resetPHY is the PHY after a reset: it has negotiated, with a partner that can
// do everything.
func (c *Card) resetPHY() {
	c.s.PHY = [phyRegs]uint16{
		phyControl:  0x1140, // negotiation, full duplex, 1000 Mbit/s
		phyID1:      0x0141,
		phyID2:      0x0C20,
		phyAdvert:   0x0DE1,
		phyPartner:  0x41E1,
		phyExpand:   0x0001,
		phy1000Ctl:  0x0E00,
		phy1000Stat: 0x3C00,
		phyExtStat:  0x3000,
		phySpecCtl:  0x0360,
		phyExtCtl:   0x0D60,
	}
	c.setPHYLink()
}

// setPHYLink shows the link in the PHY's registers.
func (c *Card) setPHYLink() {
	c.s.PHY[phyStatus], c.s.PHY[phySpecStat] = 0x7949, 0
	if c.link {
		c.s.PHY[phyStatus] |= phyNegotiated | phyLinkUp
		c.s.PHY[phySpecStat] = specGbit | specFull | specResolved | specLinkUp
	}
}

// managePHY is a write to MDIC, which is done at once. It returns what MDIC then
// reads as.
func (c *Card) managePHY(v uint32) uint32 {
	if v>>21&0x1F != phyAddress {
		return v | mdicReady | mdicError
	}
	reg := v >> 16 & 0x1F
	switch v >> 26 & 3 {
	case mdicWrite:
		c.writePHY(reg, uint16(v))
	case mdicRead:
		v = v&^0xFFFF | uint32(c.s.PHY[reg])
	default:
		return v | mdicReady | mdicError
	}
	return v | mdicReady
}

func (c *Card) writePHY(reg uint32, v uint16) {
	if reg == phyControl {
		if v&phyReset != 0 {
			c.resetPHY()
			return
		}
		if v&phyRestart != 0 && c.link {
			c.raise(intLSC) // it has negotiated anew
		}
	}
	mask := phyWritable[reg]
	c.s.PHY[reg] = c.s.PHY[reg]&^mask | v&mask
}
