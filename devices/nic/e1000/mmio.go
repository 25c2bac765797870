package e1000

import (
	"encoding/binary"
)

// window is BAR 0, the registers.
type window struct{ c *Card }

// Read implements bus.Handler. Narrow reads get their part of a register.
func (w window) Read(offset uint64, data []byte) {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	var b [4]byte
	for at := offset &^ 3; at < offset+uint64(len(data)); at += 4 {
		binary.LittleEndian.PutUint32(b[:], w.c.read(uint32(at)))
		if at < offset {
			copy(data, b[offset-at:])
		} else {
			copy(data[at-offset:], b[:])
		}
	}
}

// Write implements bus.Handler. Registers are written whole; other writes have
// no effect.
func (w window) Write(offset uint64, data []byte) {
	if offset%4 != 0 || len(data)%4 != 0 {
		return
	}
	w.c.mu.Lock()
	kick := false
	for ; len(data) > 0; offset, data = offset+4, data[4:] {
		kick = w.c.write(uint32(offset), binary.LittleEndian.Uint32(data)) || kick
	}
	w.c.mu.Unlock()
	if kick {
		w.c.wire.Kick()
	}
}

// ports is BAR 1: IOADDR selects a register, which IODATA then is (section
// 13.2.2).
type ports struct{ c *Card }

const (
	portIOADDR = 0
	portIODATA = 4
)

// Read implements bus.Handler.
func (p ports) Read(offset uint64, data []byte) {
	clear(data)
	if len(data) != 4 {
		return
	}
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	switch offset {
	case portIOADDR:
		binary.LittleEndian.PutUint32(data, p.c.s.IOAddr)
	case portIODATA:
		binary.LittleEndian.PutUint32(data, p.c.read(p.c.s.IOAddr&^3))
	}
}

// Write implements bus.Handler.
func (p ports) Write(offset uint64, data []byte) {
	if len(data) != 4 {
		return
	}
	p.c.mu.Lock()
	kick := false
	switch v := binary.LittleEndian.Uint32(data); offset {
	case portIOADDR:
		p.c.s.IOAddr = v & (memorySize - 1)
	case portIODATA:
		kick = p.c.write(p.c.s.IOAddr&^3, v)
	}
	p.c.mu.Unlock()
	if kick {
		p.c.wire.Kick()
	}
}

// read is the driver's read of a register. mu is held.
func (c *Card) read(reg uint32) uint32 {
	switch reg {
	case regSTATUS:
		v := uint32(statusFD | statusGbit)
		if c.link && c.s.Regs[regCTRL/4]&ctrlSLU != 0 {
			v |= statusLU
		}
		return v
	case regEECD:
		return c.s.EEPROM.control()
	case regICR:
		return c.takeICR()
	case regICS, regIMC:
		return 0
	}
	if reg >= regSpace {
		return 0
	}
	v := *c.reg(reg)
	if reg >= regStats && reg < statsEnd {
		*c.reg(reg) = 0
	}
	return v
}

// write is the driver's write to a register. It reports whether the wire has
// something to do. mu is held.
func (c *Card) write(reg, v uint32) (kick bool) {
	switch reg {
	case regCTRL, regCTRL + 4: // the second is a copy
		return c.writeCTRL(v)
	case regEECD:
		c.s.EEPROM.setControl(v)
	case regEERD:
		*c.reg(regEERD) = c.s.EEPROM.read(v)
	case regMDIC:
		*c.reg(regMDIC) = c.managePHY(v)
		if v&mdicInterrupt != 0 {
			c.raise(intMDAC)
		}
	case regICR:
		*c.reg(regICR) &^= v
		c.interrupt()
	case regICS:
		c.raise(v & intMask)
	case regIMS:
		*c.reg(regIMS) |= v & intMask
		c.interrupt()
	case regIMC:
		*c.reg(regIMS) &^= v
		c.interrupt()
	case regRCTL:
		*c.reg(regRCTL) = v
		return true
	case regRDT, regTDT:
		*c.reg(reg) = v & 0xFFFF
		return reg == regTDT || c.starved
	default:
		if mask := maskOf(reg); mask != 0 {
			*c.reg(reg) = v & mask
		}
		if reg == regRA || reg == regRA+4 {
			c.tellMAC()
		}
		return reg == regTCTL
	}
	return false
}

func (c *Card) writeCTRL(v uint32) (kick bool) {
	if v&ctrlRST != 0 {
		c.resetMAC()
		return false
	}
	if v&ctrlPHYRST != 0 {
		c.resetPHY()
	}
	*c.reg(regCTRL) = v &^ (ctrlRST | ctrlPHYRST)
	return false
}
