package e1000

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"

	"github.com/govmm/govmm/devices/nic"
	"github.com/govmm/govmm/devices/pci"
	hostnet "github.com/govmm/govmm/net"
)

// The EEPROM by its serial interface, as drivers clock it, and by EERD.
func TestEEPROM(t *testing.T) {
	r := newRig(t)
	clock := func(bit uint32) uint32 {
		r.write(regEECD, eecdREQ|eecdCS|bit)
		r.write(regEECD, eecdREQ|eecdCS|bit|eecdSK)
		got := r.read(regEECD)
		r.write(regEECD, eecdREQ|eecdCS|bit)
		return got & eecdDO / eecdDO
	}
	serial := func(address uint32) (word uint16) {
		r.write(regEECD, eecdREQ)
		if r.read(regEECD)&(eecdGNT|eecdPRES) != eecdGNT|eecdPRES {
			t.Fatalf("EECD %#x", r.read(regEECD))
		}
		const read, bits = 0b110 << 6, 9 // of the command, and its length
		for i := bits - 1; i >= 0; i-- {
			clock((read | address) >> i & 1 * eecdDI)
		}
		for range 16 {
			word = word<<1 | uint16(clock(0))
		}
		r.write(regEECD, 0)
		return word
	}
	var sum uint16
	for i := range uint32(nic.EEPROMWords) {
		r.write(regEERD, i<<8|eerdStart)
		v := r.read(regEERD)
		if v&eerdDone == 0 || uint16(v>>16) != serial(i) {
			t.Errorf("word %d: EERD %#x, serial %#x", i, v, serial(i))
		}
		sum += uint16(v >> 16)
	}
	if sum != eepromSum {
		t.Errorf("the sum of the EEPROM is %#x", sum)
	}
	if serial(0) != 0x5452 || serial(2) != 0x5634 {
		t.Errorf("the address in the EEPROM begins with %#x and ends with %#x", serial(0), serial(2))
	}
}

func TestPHY(t *testing.T) {
	r := newRig(t)
	mdic := func(op, phy, reg, data uint32) uint32 {
		r.write(regMDIC, op<<26|phy<<21|reg<<16|data)
		return r.read(regMDIC)
	}
	if got := mdic(mdicRead, 1, phyID1, 0); got&0xFFFF != 0x0141 || got&mdicReady == 0 {
		t.Errorf("PHY ID: %#x", got)
	}
	if got := mdic(mdicRead, 2, phyID1, 0); got&mdicError == 0 {
		t.Errorf("a PHY that is not there: %#x", got)
	}
	mdic(mdicWrite, 1, phyAdvert, 0x0061)
	mdic(mdicWrite, 1, phyID2, 0xFFFF)
	if a, b := mdic(mdicRead, 1, phyAdvert, 0), mdic(mdicRead, 1, phyID2, 0); a&0xFFFF != 0x0061 || b&0xFFFF != 0x0C20 {
		t.Errorf("after writes: %#x and %#x", a, b)
	}
	status := func() uint32 { return mdic(mdicRead, 1, phyStatus, 0) & phyLinkUp }
	if status() == 0 || r.read(regSTATUS)&statusLU != 0 && r.read(regCTRL)&ctrlSLU == 0 {
		t.Error("the link is down")
	}
	r.write(regCTRL, ctrlSLU)
	r.write(regIMS, intLSC)
	must(t, r.card.SetLink(false))
	r.await("the interrupt", r.asserted)
	if status() != 0 || r.read(regSTATUS)&statusLU != 0 || r.read(regICR)&intLSC == 0 {
		t.Errorf("link down: PHY %#x, STATUS %#x", status(), r.read(regSTATUS))
	}
	must(t, r.card.SetLink(true))
	r.await("the link", func() bool { return r.read(regSTATUS)&statusLU != 0 })
}

// A register is the same through I/O space, and a reset leaves its first value.
func TestRegisters(t *testing.T) {
	r := newRig(t)
	port := func(at uint64, v uint32) { r.ports.Write(portBase+at, binary.LittleEndian.AppendUint32(nil, v)) }
	port(portIOADDR, regMTA+8)
	port(portIODATA, 0x12345678)
	var b [4]byte
	r.ports.Read(portBase+portIODATA, b[:])
	if got := r.read(regMTA + 8); got != 0x12345678 || binary.LittleEndian.Uint32(b[:]) != got {
		t.Errorf("MTA[2] is %#x, and % x by ports", got, b)
	}
	r.mmio.Read(mmioBase+regMTA+9, b[:1])
	if b[0] != 0x56 {
		t.Errorf("a byte of it is %#x", b[0])
	}
	r.mmio.Write(mmioBase+regMTA+8, []byte{1}) // no whole register
	for _, reg := range []uint64{0x0004 + 0x10000, 0x4000, 0x6000, 0x1FFFC} {
		r.write(reg, 0xFFFFFFFF)
		if got := r.read(reg); got != 0 {
			t.Errorf("register %#x reads %#x", reg, got)
		}
	}
	if got := r.read(regRA); got != 0x12005452 || r.read(regRA+4) != rahAV|0x5634 {
		t.Errorf("the address is %#x %#x", got, r.read(regRA+4))
	}
	r.write(regCTRL, ctrlRST)
	if r.read(regMTA+8) != 0 || r.read(regCTRL)&ctrlRST != 0 {
		t.Errorf("after a reset: MTA[2] %#x, CTRL %#x", r.read(regMTA+8), r.read(regCTRL))
	}
	if r.card.Space().Uint16(pci.RegDevice) != device82540 {
		t.Error("the device is another")
	}
}

// An interrupt comes when cause and mask meet, ends with a read of ICR, and not
// again before the time of ITR.
func TestInterrupts(t *testing.T) {
	r := newRig(t)
	r.write(regICS, intRXT0)
	if r.asserted() {
		t.Error("an interrupt that is masked")
	}
	r.write(regITR, 1000) // 256 us
	r.write(regIMS, intRXT0)
	r.await("the interrupt", r.asserted)
	if got := r.read(regICR); got != intRXT0 || r.read(regICR) != 0 {
		t.Errorf("ICR was %#x", got)
	}
	r.await("its end", func() bool { return !r.asserted() })
	r.write(regICS, intRXT0)
	r.clock.Advance(255 * time.Microsecond)
	if r.asserted() {
		t.Error("an interrupt before its time")
	}
	r.clock.Advance(2 * time.Microsecond)
	r.await("the second interrupt", r.asserted)
	r.write(regIMC, intRXT0)
	r.await("its end", func() bool { return !r.asserted() })
	if r.read(regIMS) != 0 {
		t.Errorf("IMS is %#x", r.read(regIMS))
	}
}

// A frame in several legacy descriptors, with a checksum and a VLAN tag.
func TestTransmitLegacy(t *testing.T) {
	r := newRig(t)
	r.rings(0)
	r.write(regCTRL, ctrlSLU|ctrlVME)
	r.write(regVET, 0x8100)
	frame := frameOf(broadcast, 0x88B5, bytes.Repeat([]byte{1, 2, 3}, 100))
	must(t, r.ram.WriteAt(frame, txData))
	for range 3 { // around the ring
		r.descriptor(txData, 14)
		r.descriptor(txData+14, 100)
		r.descriptor(txData+114, uint64(len(frame)-114)|20<<16|(cmdEOP|cmdRS|cmdIC|cmdVLE)<<24|14<<40|0x0123<<48)
		r.ring()
		want := bytes.Clone(frame)
		binary.BigEndian.PutUint16(want[20:], ^nic.Fold(nic.Sum(want[14:])))
		want = append(append(bytes.Clone(want[:12]), 0x81, 0, 0x01, 0x23), want[12:]...)
		if got := r.received(); !bytes.Equal(got, want) {
			t.Fatalf("sent % x\nwant % x", got, want)
		}
		last := (r.tail + ringSize - 1) % ringSize
		r.await("the status", func() bool {
			v, err := r.ram.Load8(txRing + uint64(last)*descriptorSize + 12)
			must(t, err)
			return v&staDD != 0
		})
	}
	r.await("the causes", func() bool { return r.read(regTDH) == r.tail })
	if got := r.read(regICR); got&(intTXDW|intTXQE) != intTXDW|intTXQE {
		t.Errorf("ICR %#x", got)
	}
	if got := r.read(statGPTC); got != 3 || r.read(statGPTC) != 0 {
		t.Errorf("%d packets were counted", got)
	}
}

// tcpFrame is a frame of TCP over IPv4, with the checksums that a driver leaves
// to the card.
func tcpFrame(payload int) []byte {
	b := frameOf("\x02\x00\x00\x00\x00\x02", 0x0800, make([]byte, 40+payload))
	ip := b[14:]
	copy(ip, []byte{0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2})
	tcp := ip[20:]
	copy(tcp, []byte{0, 80, 1, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0x50, 0x19, 1, 0}) // FIN, PSH, ACK
	for i := range payload {
		tcp[20+i] = byte(i * 13)
	}
	binary.BigEndian.PutUint16(tcp[16:], nic.Fold(nic.Sum(ip[12:20])+6)) // without a length
	return b
}

// Segments have right headers and checksums, and together the payload.
func TestTransmitSegments(t *testing.T) {
	r := newRig(t)
	r.rings(0)
	const payload, mss, header = 60000, 1448, 54
	frame := tcpFrame(payload)
	must(t, r.ram.WriteAt(frame, txData))
	r.descriptor(14|24<<8|33<<16|34<<32|50<<40, payload|(tucmdTCP|tucmdIP|cmdTSE|cmdDEXT)<<24|header<<40|mss<<48)
	const data = typeData<<20 | (cmdTSE|cmdDEXT)<<24 | (poptsIXSM|poptsTXSM)<<40
	r.descriptor(txData, header|data)
	r.descriptor(txData+header, payload|data|(cmdEOP|cmdRS)<<24)
	r.ring()
	var got []byte
	for i := 0; len(got) < payload; i++ {
		f := r.received()
		ip := f[14:]
		if int(binary.BigEndian.Uint16(ip[2:])) != len(ip) || binary.BigEndian.Uint16(ip[4:]) != uint16(7+i) || nic.Fold(nic.Sum(ip[:20])) != 0xFFFF {
			t.Fatalf("segment %d: IP % x", i, ip[:20])
		}
		tcp := ip[20:]
		if nic.Fold(nic.Sum(ip[12:20])+6+uint64(len(tcp))+nic.Sum(tcp)) != 0xFFFF || binary.BigEndian.Uint32(tcp[4:]) != 0x1000+0+uint32(len(got)) {
			t.Fatalf("segment %d: TCP % x", i, tcp[:20])
		}
		got = append(got, tcp[20:]...)
		if last := len(got) == payload; last != (tcp[13] == 0x19) || !last && tcp[13] != 0x10 {
			t.Errorf("segment %d: flags %#x", i, tcp[13])
		}
	}
	if !bytes.Equal(got, frame[header:]) {
		t.Error("the payload differs")
	}
	// The next frame has checksums alone.
	one := tcpFrame(100)
	binary.BigEndian.PutUint16(one[16:], uint16(len(one)-14))
	binary.BigEndian.PutUint16(one[50:], nic.Fold(uint64(binary.BigEndian.Uint16(one[50:]))+120))
	must(t, r.ram.WriteAt(one, txData))
	r.descriptor(14|24<<8|33<<16|34<<32|50<<40, (tucmdTCP|tucmdIP|cmdDEXT)<<24)
	r.descriptor(txData, uint64(len(one))|typeData<<20|(cmdEOP|cmdDEXT)<<24|(poptsIXSM|poptsTXSM)<<40)
	r.ring()
	ip := r.received()[14:]
	if nic.Fold(nic.Sum(ip[:20])) != 0xFFFF || nic.Fold(nic.Sum(ip[12:20])+6+120+nic.Sum(ip[20:])) != 0xFFFF {
		t.Errorf("checksums of % x", ip[:40])
	}
}

// Frames come with their FCS, in as many buffers as they need, and wait when
// there are none.
func TestReceive(t *testing.T) {
	r := newRig(t)
	r.rings(rctlBAM | 3<<rctlBSIZE | rctlLPE) // buffers of 256 bytes
	frame := frameOf(self, 0x88B5, bytes.Repeat([]byte{7, 8, 9}, 200))
	r.send(frame)
	var got []byte
	for i := uint64(0); ; i++ {
		status, data := r.given(i)
		got = append(got, data...)
		if status&rxEOP != 0 {
			break
		}
		if len(data) != 256 {
			t.Errorf("buffer %d has %d bytes", i, len(data))
		}
	}
	if !bytes.Equal(got, binary.LittleEndian.AppendUint32(bytes.Clone(frame), crc32.ChecksumIEEE(frame))) {
		t.Errorf("%d bytes were received, of %d", len(got), len(frame))
	}
	if got := r.read(regICR); got&intRXT0 == 0 {
		t.Errorf("ICR %#x", got)
	}
	// Four descriptors are left, of which this one needs more.
	long := frameOf(broadcast, 0x88B5, make([]byte, 1200))
	r.send(long)
	r.await("the end of room", func() bool { r.card.mu.Lock(); defer r.card.mu.Unlock(); return r.card.starved })
	if got := r.read(regRDH); got != 3 {
		t.Errorf("RDH is %d", got)
	}
	r.write(regRDT, 2)
	r.await("the frame", func() bool { return r.read(regRDH) == 0 })
	if got := r.read(statGPRC); got != 2 || r.read(statBPRC) != 1 {
		t.Errorf("%d packets were counted", got)
	}
	// Short ones are padded.
	r.write(regRDT, 7)
	r.send(frameOf(self, 0x88B5, nil))
	r.await("the short frame", func() bool { return r.read(regRDH) == 1 })
	if _, data := r.given(0); len(data) != minSize {
		t.Errorf("%d bytes", len(data))
	}
}

func TestReceiveFilters(t *testing.T) {
	const other, group = "\x52\x54\x00\x12\x34\x57", "\x01\x00\x5e\x00\x00\x05"
	tagged := func(vlan byte) []byte {
		return frameOf(self, 0x8100, append([]byte{0, vlan, 0x88, 0xB5}, make([]byte, 50)...))
	}
	plain := func(to string) []byte { return frameOf(to, 0x88B5, make([]byte, 50)) }
	r := newRig(t)
	c := r.card
	for _, x := range []struct {
		name  string
		rctl  uint32
		frame []byte
		want  bool
	}{
		{"own", 0, plain(self), true},
		{"other", 0, plain(other), false},
		{"other, promiscuous", rctlUPE, plain(other), true},
		{"group", 0, plain(group), false},
		{"group, all", rctlMPE, plain(group), true},
		{"group, unicast promiscuous", rctlUPE, plain(group), false},
		{"group in MTA", 3 << rctlMO, plain(group), true},
		{"broadcast", 0, plain(broadcast), false},
		{"broadcast accepted", rctlBAM, plain(broadcast), true},
		{"VLAN", 0, tagged(9), true},
		{"VLAN, filtered", rctlVFE, tagged(9), false},
		{"VLAN in VFTA", rctlVFE, tagged(35), true},
	} {
		r.write(regRCTL, x.rctl)
		r.write(regVET, 0x8100)
		r.write(regMTA+4*(0x500>>5), 1)
		r.write(regVFTA+4, 1<<3)
		c.mu.Lock()
		got := c.wants(x.frame)
		c.mu.Unlock()
		if got != x.want {
			t.Errorf("%s: %v", x.name, got)
		}
	}
}

func TestReceiveOffloads(t *testing.T) {
	r := newRig(t)
	r.write(regVET, 0x8100)
	r.write(regCTRL, ctrlVME)
	r.write(regRXCSUM, rxcsumIPOFLD|rxcsumTUOFLD)
	good := tcpFrame(33)
	ip := good[14:]
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	insertSum(good, 14, 24, 33)
	binary.BigEndian.PutUint16(good[50:], nic.Fold(uint64(binary.BigEndian.Uint16(good[50:]))+20+33))
	insertSum(good, 34, 50, 0)
	change := func(at int) []byte { b := bytes.Clone(good); b[at] ^= 0x40; return b }
	tagged := append(append(bytes.Clone(good[:12]), 0x81, 0, 0x20, 5), good[12:]...)
	const all = rxDD - 1<<32 | rxIXSM | rxVP | rxTCPCS | rxIPCS | rxTCPE | rxIPE | 0xFFFF<<48
	for name, x := range map[string]struct {
		frame []byte
		want  uint64
	}{
		"good":         {good, rxIPCS | rxTCPCS},
		"bad IP":       {change(22), rxIPCS | rxIPE},
		"bad TCP":      {change(60), rxIPCS | rxTCPCS | rxTCPE},
		"not IP":       {frameOf(self, 0x88B5, good[14:]), rxIXSM},
		"short":        {good[:40], rxIXSM},
		"a VLAN's":     {tagged, rxIPCS | rxTCPCS | rxVP | 0x2005<<48},
		"cut off data": {good[:60], rxIXSM},
	} {
		r.card.mu.Lock()
		b, status := r.card.prepare(x.frame, 0)
		r.card.mu.Unlock()
		if status&all != x.want || len(b) < minSize {
			t.Errorf("%s: %#x, want %#x", name, status&all, x.want)
		}
		if name == "a VLAN's" && !bytes.Equal(b[:len(good)], good) {
			t.Error("the tag is not gone")
		}
	}
}

func TestBufferSize(t *testing.T) {
	for rctl, want := range map[uint32]int{
		0: 2048, 1 << rctlBSIZE: 1024, 2 << rctlBSIZE: 512, 3 << rctlBSIZE: 256,
		1<<rctlBSIZE | rctlBSEX: 16384, 2<<rctlBSIZE | rctlBSEX: 8192, 3<<rctlBSIZE | rctlBSEX: 4096, rctlBSEX: 2048,
	} {
		if got := bufferSize(rctl); got != want {
			t.Errorf("RCTL %#x: %d, want %d", rctl, got, want)
		}
	}
}

// Nothing is done without bus mastering, nor after a reset, nor by rings that
// make no sense.
func TestHostileRings(t *testing.T) {
	r := newRig(t)
	frame := frameOf(self, 0x88B5, make([]byte, 50))
	must(t, r.ram.WriteAt(frame, txData))
	good := func() {
		t.Helper()
		r.tail = 0
		r.write(regCTRL, ctrlRST)
		r.rings(0)
		r.descriptor(txData, uint64(len(frame))|cmdEOP<<24)
		r.ring()
		if got := r.received(); !bytes.Equal(got, frame) {
			t.Errorf("received % x", got)
		}
	}
	for name, bad := range map[string]func(){
		"tail behind the end": func() { r.write(regTDT, 0xFFFF) },
		"head behind the end": func() { r.write(regTDH, 0xFFFF); r.ring() },
		"no ring":             func() { r.write(regTDLEN, 0); r.write(regTDT, 5) },
		"ring outside":        func() { r.write(regTDBAH, 0x7FFFFFFF); r.write(regTDT, 5); r.drained(); r.write(regTDBAH, 0) },
		"data outside":        func() { r.descriptor(1<<40, 100|cmdEOP<<24); r.ring(); r.drained() },
		"endless frame": func() {
			for range 6 {
				r.descriptor(txData, 0xFFFF)
			}
			r.ring()
			r.drained()
		},
		"segments without MSS": func() {
			r.descriptor(0, (tucmdTCP|cmdTSE|cmdDEXT)<<24|255<<40)
			r.descriptor(txData, 10|typeData<<20|(cmdEOP|cmdTSE|cmdDEXT)<<24)
			r.ring()
			r.drained()
		},
		"receive ring outside": func() { r.write(regRDBAH, 0x7FFFFFFF); r.send(frame); r.write(regRDBAH, 0) },
		"receive head":         func() { r.write(regRDH, 0xFFFF); r.send(frame); r.write(regRDH, 0) },
	} {
		r.tail = 0
		r.write(regCTRL, ctrlRST)
		r.rings(0)
		bad()
		t.Log(name)
		good()
	}
}

// drained waits until the card has looked at the whole ring.
func (r *rig) drained() {
	r.tb.Helper()
	r.await("the end of the ring", func() bool { return r.read(regTDH) == r.read(regTDT) })
}

// Pause stops all traffic, which then goes on.
func TestPause(t *testing.T) {
	r := newRig(t)
	r.rings(0)
	r.card.Pause()
	frame := frameOf(self, 0x88B5, make([]byte, 50))
	must(t, r.ram.WriteAt(frame, txData))
	r.descriptor(txData, uint64(len(frame))|cmdEOP<<24)
	r.ring()
	r.send(frame)
	if r.read(regTDH) != 0 || r.read(regRDH) != 0 {
		t.Error("a card that is paused works")
	}
	r.card.Resume()
	r.received()
	r.given(0)
}

// Whatever is written to registers and rings, the card goes on, and touches
// nothing outside of RAM.
func FuzzRegisters(f *testing.F) {
	f.Add([]byte{0x38, 0x18, 1, 0, 0, 0, 0x04, 0, 0xFF, 0xFF, 0xFF, 0xFF}, []byte{1, 2, 3, 4})
	f.Add([]byte{0x28, 0x18, 5, 0, 0, 0, 0x01, 0, 0xFF, 0xFF, 0xFF, 0xFF}, []byte{0xFF})
	r := newRig(f)
	f.Fuzz(func(t *testing.T, writes, ring []byte) {
		r.tb = t
		defer func() { r.tb = f }()
		r.rings(rctlUPE | rctlMPE | rctlBAM)
		if len(ring) > 0 {
			fill := bytes.Repeat(ring, 1+256/len(ring))[:256]
			must(t, r.ram.WriteAt(fill, txRing))
		}
		for ; len(writes) >= 6; writes = writes[6:] {
			r.write(uint64(binary.BigEndian.Uint16(writes))&^3, binary.LittleEndian.Uint32(writes[2:]))
		}
		_ = r.peer.Queue(0).Send([][]byte{make([]byte, hostnet.HeaderSize), frameOf(self, 0x0800, ring)}) // or there is no room
		for range 20 {
			if _, _, err := r.peer.Queue(0).Receive(nil); err != nil {
				break
			}
		}
		r.read(regICR)
		r.card.Reset()
		var command [2]byte
		binary.LittleEndian.PutUint16(command[:], pci.CommandIO|pci.CommandMemory|pci.CommandBusMaster)
		r.card.WriteConfig(pci.RegBAR0, binary.LittleEndian.AppendUint32(nil, mmioBase))
		r.card.WriteConfig(pci.RegCommand, command[:])
	})
}

func FuzzSegments(f *testing.F) {
	f.Add(uint64(14|24<<8|33<<16|34<<32|50<<40), uint64((tucmdTCP|tucmdIP|cmdTSE|cmdDEXT)<<24|54<<40|100<<48), uint16(1000), uint8(3))
	f.Fuzz(func(t *testing.T, low, high uint64, n uint16, options uint8) {
		c := &Card{}
		c.setContext(low, high)
		frame := make([]byte, n)
		c.s.Contexts[plainSums].insert(frame, options)
		x := c.s.Contexts[segmentation]
		cut := x.cut(frame)
		if !cut.Sensible() {
			return
		}
		s, out, total := segments{Segments: cut, context: x, options: options}, make([]byte, txRoom), 0
		for s.Rest() {
			total += len(s.next(out)) - int(x.HDRLEN)
		}
		if total != len(frame)-int(x.HDRLEN) {
			t.Fatalf("%d bytes of payload, of %d", total, len(frame)-int(x.HDRLEN))
		}
	})
}
