package rtl8139

// Bits of BMCR (IEEE 802.3, clause 22).
const (
	bmcrReset   = 1 << 15 // clears itself
	bmcrSpeed   = 1 << 13
	bmcrANE     = 1 << 12
	bmcrRestart = 1 << 9 // of the negotiation; clears itself
	bmcrDuplex  = 1 << 8
	bmcrLocked  = bmcrSpeed | bmcrANE | bmcrDuplex // by 9346CR
)

// Bits of BMSR.
const (
	bmsrAbilities  = 0x7809
	bmsrNegotiated = 1 << 5
	bmsrLink       = 1 << 2
)

// Bits of CSCR. The upper two are not in the data sheet, but drivers know them.
const (
	cscrConnected = 1 << 3
	cscrLinkOK    = 1 << 10
	cscrChanged   = 1 << 11
	cscrDefault   = 0x03C0
)

// resetPHY is the PHY after a reset: it has negotiated, with a partner that can
// do everything.
func (c *Card) resetPHY() {
	c.put16(regBMCR, bmcrSpeed|bmcrANE|bmcrDuplex)
	c.put16(regANAR, 0x05E1)
	c.put16(regANLPAR, 0x45E1)
	c.put16(regANER, 0x0001)
}

// writeBMCR takes what the driver wrote. mu is held.
func (c *Card) writeBMCR(v uint16) {
	if v&bmcrReset != 0 {
		c.resetPHY()
		return
	}
	if c.get8(reg9346CR)&eeMode == eeConfig {
		c.put16(regBMCR, v&bmcrLocked)
	}
}

func (c *Card) bmsr() uint32 {
	if c.link {
		return bmsrAbilities | bmsrNegotiated | bmsrLink
	}
	return bmsrAbilities
}

// takeCSCR is a read of CSCR, which forgets that the link has changed. mu is
// held.
func (c *Card) takeCSCR(v uint32) uint32 {
	if c.link {
		v |= cscrConnected | cscrLinkOK
	}
	if c.changed {
		v |= cscrChanged
	}
	c.changed = false
	return v
}

// linkChanged is called by the wire.
func (c *Card) linkChanged(up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == up {
		return
	}
	c.link, c.changed = up, true
	c.raise(intLink)
}
