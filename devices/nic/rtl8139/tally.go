package rtl8139

import "encoding/binary"

// tally are the counters that DTCCR dumps.
type tally struct {
	TxOK, RxOK, TxErr   uint64
	RxErr               uint32
	Missed              uint16
	Physical, Broadcast uint64 // of those received
	Multicast           uint32
}

// dump writes the tally counters to memory (DTCCR: Dump Tally Counter Command):
//
//	0x00 TxOk(8)  0x08 RxOk(8)  0x10 TxErr(8)  0x18 RxErr(4)  0x1C MissPkt(2)  0x1E FAE(2)
//	0x20 Tx1Col(4)  0x24 TxMCol(4)  0x28 RxOkPhy(8)  0x30 RxOkBrd(8)  0x38 RxOkMul(4)  0x3C TxAbt(2)  0x3E TxUndrn(2)
func (c *Card) dump(address uint64) {
	if !c.masters() {
		return
	}
	var b [64]byte
	t, le := &c.s.Tally, binary.LittleEndian
	le.PutUint64(b[0x00:], t.TxOK)
	le.PutUint64(b[0x08:], t.RxOK)
	le.PutUint64(b[0x10:], t.TxErr)
	le.PutUint32(b[0x18:], t.RxErr)
	le.PutUint16(b[0x1C:], t.Missed)
	le.PutUint64(b[0x28:], t.Physical)
	le.PutUint64(b[0x30:], t.Broadcast)
	le.PutUint32(b[0x38:], t.Multicast)
	if err := c.ram.WriteAt(b[:], address); err != nil {
		c.failed("the tally counters cannot be written", err)
	}
}

// miss counts a frame that had no place. mu is held.
func (c *Card) miss() {
	const width = 1<<24 - 1
	c.put32(regMPC, min(c.get32(regMPC)+1, width))
	c.s.Tally.Missed++
}
