package rtl8139

import "encoding/binary"

// registers is BAR 0 and BAR 1: the same registers in I/O and memory space. Each
// can be accessed with any width.
type registers struct{ c *Card }

// Read implements bus.Handler.
func (w registers) Read(offset uint64, data []byte) {
	c := w.c
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(data)
	var v [4]byte
	for i := 0; i < len(data) && offset+uint64(i) < regSpace; {
		at := uint8(offset) + uint8(i)
		r, ok := registerAt(at)
		if !ok {
			i++
			continue
		}
		binary.LittleEndian.PutUint32(v[:], c.read(r))
		i += copy(data[i:], v[at-r.at:r.size])
	}
}

// Write implements bus.Handler.
func (w registers) Write(offset uint64, data []byte) {
	c := w.c
	c.mu.Lock()
	kick := false
	for len(data) > 0 && offset < regSpace {
		at := uint8(offset)
		n := 1
		if r, ok := registerAt(at); ok {
			var v, which [4]byte
			n = copy(v[at-r.at:r.size], data)
			for i := range n {
				which[int(at-r.at)+i] = 0xFF
			}
			kick = c.write(r, binary.LittleEndian.Uint32(v[:]), binary.LittleEndian.Uint32(which[:])) || kick
		}
		offset, data = offset+uint64(n), data[n:]
	}
	c.mu.Unlock()
	if kick {
		c.wire.Kick()
	}
}

// get8, get16 and get32 are a register's storage, as put8, put16 and put32 leave
// it. mu is held.
func (c *Card) get8(at int) uint8      { return c.s.Regs[at] }
func (c *Card) get16(at int) uint16    { return binary.LittleEndian.Uint16(c.s.Regs[at:]) }
func (c *Card) get32(at int) uint32    { return binary.LittleEndian.Uint32(c.s.Regs[at:]) }
func (c *Card) get64(at int) uint64    { return binary.LittleEndian.Uint64(c.s.Regs[at:]) }
func (c *Card) put8(at int, v uint8)   { c.s.Regs[at] = v }
func (c *Card) put16(at int, v uint16) { binary.LittleEndian.PutUint16(c.s.Regs[at:], v) }
func (c *Card) put32(at int, v uint32) { binary.LittleEndian.PutUint32(c.s.Regs[at:], v) }

// stored and store are the same for a register of any size.
func (c *Card) stored(r register) uint32 {
	switch r.size {
	case 1:
		return uint32(c.get8(int(r.at)))
	case 2:
		return uint32(c.get16(int(r.at)))
	}
	return c.get32(int(r.at))
}

func (c *Card) store(r register, v uint32) {
	switch r.size {
	case 1:
		c.put8(int(r.at), uint8(v))
	case 2:
		c.put16(int(r.at), uint16(v))
	default:
		c.put32(int(r.at), v)
	}
}

// read is the driver's read of a register. mu is held.
func (c *Card) read(r register) uint32 {
	v := c.stored(r)
	switch r.at {
	case regCR:
		if c.ringUsed() == 0 {
			v |= crBUFE
		}
	case regTCR:
		v |= tcrVersion
	case regTCTR:
		return c.ticks()
	case reg9346CR:
		if v&eeMode == eeProgram && c.s.EEPROM.DO {
			v |= eeDO
		}
	case regMSR:
		v |= msrAux
		if !c.link {
			v |= msrLINKB
		}
	case regTSADS:
		return c.allTSD()
	case regBMSR:
		return c.bmsr()
	case regCSCR:
		return c.takeCSCR(v)
	}
	return v
}

// write is the driver's write to those bits of a register that which has. It
// reports whether the wire has something to do. mu is held.
func (c *Card) write(r register, v, which uint32) (kick bool) {
	old := c.stored(r)
	merged := old&^which | v&which
	switch r.at {
	case regCONFIG0, regCONFIG1, regCONFIG3, regCONFIG4:
		if c.get8(reg9346CR)&eeMode != eeConfig {
			return false
		}
	}
	c.store(r, old&^r.mask|merged&r.mask)
	if r.at <= regIDR+5 {
		c.tellMAC()
		return false
	}
	switch r.at {
	case regTSD, regTSD + 4, regTSD + 8, regTSD + 12:
		return c.writeTSD(r, merged)
	case regRBSTART:
		c.resetRing()
	case regCR:
		return c.writeCR(uint8(v))
	case regCAPR:
		return c.starved
	case regIMR:
		c.interrupt()
		return c.starved // the driver may have given descriptors
	case regISR:
		c.put16(regISR, uint16(old)&^uint16(v))
		c.interrupt()
		return c.starved
	case regTCTR:
		c.timer.base = c.clock.Now()
		c.setTimer()
	case regTimerInt:
		c.setTimer()
	case regMPC:
		c.put32(regMPC, 0)
	case reg9346CR:
		c.write9346CR(uint8(v))
	case regBMCR:
		c.writeBMCR(uint16(merged))
	case regTPPoll:
		return c.writeTPPoll(uint8(v))
	case regCPCR:
		return true
	}
	return false
}

// writeCR enables the directions, or resets. mu is held.
func (c *Card) writeCR(v uint8) (kick bool) {
	if v&crRST != 0 {
		c.reset()
		return false
	}
	rises := v &^ c.get8(regCR)
	c.put8(regCR, v&(crTE|crRE))
	if rises&crTE != 0 {
		c.s.TxNext, c.s.Plus = 0, [2]uint8{}
		c.tx.forget()
	}
	if rises&crRE != 0 {
		c.s.RxNext = 0
		c.resetRing()
	}
	return true
}

// write9346CR drives the EEPROM's pins or chooses a mode. mu is held.
func (c *Card) write9346CR(v uint8) {
	v &= eeMode | eeCS | eeSK | eeDI
	switch v & eeMode {
	case eeAutoLoad:
		c.autoLoad()
		v &^= eeMode
	case eeProgram:
		c.s.EEPROM.Set(v&eeCS != 0, v&eeSK != 0, v&eeDI != 0)
	}
	c.put8(reg9346CR, v)
}
