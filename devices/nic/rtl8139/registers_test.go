package rtl8139

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/govmm/govmm/devices/pci"
	hostnet "github.com/govmm/govmm/net"
)

func TestIdentity(t *testing.T) {
	r := newRig(t)
	s := r.card.Space()
	if s.Uint16(pci.RegVendor) != vendorRealtek || s.Uint16(pci.RegDevice) != device8139 || s.Uint8(pci.RegRevision) != 0x20 {
		t.Error("the device is another")
	}
	if got := r.read(regTCR, 4); got&0x7CC00000 != tcrVersion {
		t.Errorf("TCR %#x", got)
	}
	if a, b := r.read(regIDR, 4), r.read(regIDR+4, 2); a != 0x12005452 || b != 0x5634 {
		t.Errorf("the address is %#x %#x", a, b)
	}
}

// The EEPROM by its pins, as drivers clock it, with 6 bits of address; a driver
// that tries 8 first does not see the signature.
func TestEEPROM(t *testing.T) {
	r := newRig(t)
	clock := func(bit uint32) uint32 {
		r.write(reg9346CR, 1, eeProgram|eeCS|bit)
		r.write(reg9346CR, 1, eeProgram|eeCS|bit|eeSK)
		got := r.read(reg9346CR, 1)
		r.write(reg9346CR, 1, eeProgram|eeCS|bit)
		return got & eeDO
	}
	read := func(address, bits uint32) (word uint16) {
		r.write(reg9346CR, 1, eeProgram)
		for i := int(bits) + 2; i >= 0; i-- {
			clock((0b110<<bits | address) >> i & 1 * eeDI)
		}
		for range 16 {
			word = word<<1 | uint16(clock(0))
		}
		r.write(reg9346CR, 1, 0)
		return word
	}
	for address, want := range map[uint32]uint16{0: 0x8129, 1: 0x10EC, 2: 0x8139, 7: 0x5452, 8: 0x1200, 9: 0x5634} {
		if got := read(address, 6); got != want {
			t.Errorf("word %d is %#x, want %#x", address, got, want)
		}
	}
	if got := read(0, 8); got == signature {
		t.Error("the EEPROM looks like a 93C56")
	}
	r.write(regIDR, 4, 0)
	r.write(reg9346CR, 1, eeAutoLoad)
	if got := r.read(regIDR, 4); got != 0x12005452 || r.read(reg9346CR, 1) != 0 {
		t.Errorf("after loading, the address is %#x", got)
	}
}

// Registers have the same bytes with any width and in both spaces; what is no
// register reads as zero.
func TestRegisters(t *testing.T) {
	r := newRig(t)
	r.write(regMAR, 4, 0x44332211)
	r.write(regMAR+4, 2, 0x6655)
	r.write(regMAR+6, 1, 0x77)
	var b [8]byte
	r.ports.Read(portBase+regMAR, b[:4])
	r.mmio.Read(mmioBase+regMAR+4, b[4:])
	if want := []byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0}; !bytes.Equal(b[:], want) {
		t.Errorf("MAR is % x", b)
	}
	for _, reg := range []uint64{0x06, 0x53, 0x5F, 0x6C, 0x78, 0x90, 0xDC, 0xF0} {
		r.write(reg, 1, 0xFF)
		if got := r.read(reg, 1); got != 0 {
			t.Errorf("register %#x reads %#x", reg, got)
		}
	}
	r.write(regCONFIG3, 1, 0xFF)
	if got := r.read(regCONFIG3, 1); got != 0 {
		t.Errorf("CONFIG3 was written without leave: %#x", got)
	}
	r.write(reg9346CR, 4, eeConfig|0x31<<16) // and CONFIG1 by the same access
	r.write(regCONFIG3, 1, 0xFF)
	if a, b := r.read(regCONFIG3, 1), r.read(regCONFIG1, 1); a != 0x70 || b != 0x31|config1Maps {
		t.Errorf("CONFIG3 %#x, CONFIG1 %#x", a, b)
	}
	r.write(regIMR, 2, 0xFFFF)
	r.write(regCR, 1, crRST)
	if a, b, c := r.read(regIMR, 2), r.read(regMAR, 4), r.read(regCR, 1); a != 0 || b != 0x44332211 || c != crBUFE {
		t.Errorf("after a reset: IMR %#x, MAR %#x, CR %#x", a, b, c)
	}
}

func TestPHY(t *testing.T) {
	r := newRig(t)
	r.write(regBMCR, 2, 0)
	if got := r.read(regBMCR, 2); got != bmcrSpeed|bmcrANE|bmcrDuplex {
		t.Errorf("BMCR %#x", got)
	}
	r.write(reg9346CR, 1, eeConfig)
	r.write(regBMCR, 2, bmcrSpeed|bmcrRestart)
	if got := r.read(regBMCR, 2); got != bmcrSpeed {
		t.Errorf("BMCR %#x", got)
	}
	r.write(regBMCR, 2, bmcrReset)
	if got := r.read(regBMCR, 2); got != bmcrSpeed|bmcrANE|bmcrDuplex {
		t.Errorf("BMCR after its reset: %#x", got)
	}
	up := func() bool {
		a, b, c := r.read(regBMSR, 2)&bmsrLink != 0, r.read(regMSR, 1)&msrLINKB == 0, r.read(regCSCR, 2)&cscrConnected != 0
		if a != b || b != c {
			t.Errorf("the link is %v in BMSR, %v in MSR, %v in CSCR", a, b, c)
		}
		return a
	}
	r.write(regIMR, 2, intLink)
	if !up() || r.asserted() {
		t.Error("the link is down")
	}
	must(t, r.card.SetLink(false))
	r.await("the interrupt", r.asserted)
	if r.read(regCSCR, 2)&cscrChanged == 0 || up() || r.read(regCSCR, 2)&cscrChanged != 0 {
		t.Error("the change is not told once")
	}
	r.write(regISR, 2, intLink)
	if r.asserted() {
		t.Error("the interrupt stays")
	}
	must(t, r.card.SetLink(true))
	r.await("the link", r.asserted)
	if !up() {
		t.Error("the link is down")
	}
}

// The timer counts the bus' clock and interrupts where it is told to.
func TestTimer(t *testing.T) {
	r := newRig(t)
	r.write(regTCTR, 4, 1)
	r.clock.Advance(time.Millisecond)
	if got := r.read(regTCTR, 4); got != 33000 {
		t.Errorf("TCTR %d", got)
	}
	r.write(regIMR, 2, intTime)
	r.write(regTimerInt, 4, 66000)
	r.clock.Advance(999 * time.Microsecond)
	if r.asserted() {
		t.Error("an interrupt before its time")
	}
	r.clock.Advance(time.Microsecond)
	r.await("the interrupt", r.asserted)
	r.write(regISR, 2, intTime)
	r.clock.Advance(time.Second)
	if r.asserted() {
		t.Error("an interrupt without a reason")
	}
	r.write(regTCTR, 4, 0)
	r.clock.Advance(2 * time.Millisecond)
	r.await("the interrupt after TCTR was cleared", r.asserted)
	r.write(regISR, 2, intTime)
	r.clock.Advance(131 * time.Second)
	r.await("the interrupt of the next time around", r.asserted)
	r.write(regISR, 2, intTime)
	r.write(regTimerInt, 4, 0)
	r.clock.Advance(300 * time.Second)
	if r.asserted() {
		t.Error("an interrupt of a timer that is off")
	}
}

func TestSoftwareInterrupt(t *testing.T) {
	r := newRig(t)
	r.write(regTPPoll, 1, pollSW)
	if r.asserted() || r.read(regISR, 2) != intSW || r.read(regTPPoll, 1) != 0 {
		t.Error("masked, it interrupts")
	}
	r.write(regIMR, 2, intSW)
	r.await("the interrupt", r.asserted)
}

// Whatever is written to registers and rings, the card goes on, and touches
// nothing outside of RAM.
func FuzzRegisters(f *testing.F) {
	f.Add([]byte{regCR, 4, crRE | crTE, 0, 0, 0, regTSD, 4, 0xFF, 0x1F, 0, 0}, []byte{1, 2, 3, 4})
	f.Add([]byte{regTPPoll, 1, pollNormal | pollHigh, 0, 0, 0}, []byte{0, 1, 0, 0xF0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0})
	f.Add([]byte{regTCR, 4, 0, 0, 6, 0, regTPPoll, 1, pollNormal, 0, 0, 0}, []byte{0xFF})
	r := newRig(f)
	f.Fuzz(func(t *testing.T, writes, ring []byte) {
		r.tb = t
		defer func() { r.tb = f }()
		r.inPlus(cpRxSum|cpRxVLAN, rcrAAP|rcrAB, 100)
		if len(ring) > 0 {
			fill := bytes.Repeat(ring, 1+512/len(ring))
			must(t, r.ram.WriteAt(fill, txRing))
			must(t, r.ram.WriteAt(fill, rxRing))
		}
		for ; len(writes) >= 6; writes = writes[6:] {
			r.write(uint64(writes[0]), 1+int(writes[1]%4), binary.LittleEndian.Uint32(writes[2:]))
			r.clock.Advance(time.Millisecond)
		}
		_ = r.peer.Queue(0).Send([][]byte{make([]byte, hostnet.HeaderSize), frameOf(self, 0x0800, ring)}) // or there is no room
		for range 20 {
			if _, _, err := r.peer.Queue(0).Receive(nil); err != nil {
				break
			}
		}
		r.read(regISR, 2)
		r.card.Reset()
		for reg, v := range map[uint8]uint32{
			pci.RegBAR0: portBase, pci.RegBAR0 + 4: mmioBase,
			pci.RegCommand: pci.CommandIO | pci.CommandMemory | pci.CommandBusMaster,
		} {
			r.card.WriteConfig(reg, binary.LittleEndian.AppendUint32(nil, v))
		}
	})
}
