package rtl8139

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"

	"github.com/govmm/govmm/devices/nic"
	"github.com/govmm/govmm/devices/pci"
)

// Frames by the four descriptors, in their order, around them.
func TestTransmit(t *testing.T) {
	r := newRig(t)
	r.inRing(0)
	r.write(regIMR, 2, intTOK)
	for i := range 10 {
		frame := frameOf(broadcast, 0x88B5, bytes.Repeat([]byte{byte(i)}, 100+i))
		d := r.transmit(frame)
		if got := r.received(); !bytes.Equal(got, frame) {
			t.Fatalf("sent % x\nwant % x", got, frame)
		}
		r.await("the status", func() bool { return r.read(regTSD+4*d, 4)&(tsdOWN|tsdTOK) == tsdOWN|tsdTOK })
		if got := r.read(regTSADS, 2); got&(0x1001<<d) != 0x1001<<d || got&0x0FF0 != 0 {
			t.Errorf("TSAD %#x", got)
		}
		r.await("the interrupt", r.asserted)
		r.write(regISR, 2, intTOK)
	}
	r.write(regTCR, 4, tcrCRC)
	frame := frameOf(broadcast, 0x88B5, make([]byte, 50))
	r.transmit(append(bytes.Clone(frame), 1, 2, 3, 4))
	if got := r.received(); !bytes.Equal(got, frame) {
		t.Errorf("with the driver's FCS, it sent % x", got)
	}
}

// packet reads the next packet from the ring buffer as 8139too does.
func (r *rig) packet(at *uint32, size uint32) (status uint32, data []byte) {
	r.tb.Helper()
	r.await("a packet", func() bool { return r.read(regCR, 1)&crBUFE == 0 })
	header, err := r.ram.Load32(rxRing + uint64(*at%size))
	must(r.tb, err)
	data = make([]byte, header>>16)
	for i := range data {
		where := *at%size + 4 + uint32(i)
		if r.read(regRCR, 4)&rcrWRAP == 0 {
			where %= size
		}
		data[i], err = r.ram.Load8(rxRing + uint64(where))
		must(r.tb, err)
	}
	*at = (*at + uint32(len(data)) + 4 + 3) &^ 3
	r.write(regCAPR, 2, *at-16)
	return header & 0xFFFF, data
}

// Packets in the ring buffer, around its end in both ways.
func TestReceiveRing(t *testing.T) {
	for name, rcr := range map[string]uint32{"wrapped": 0, "behind the end": rcrWRAP, "16 KiB": 1 << rcrRBLEN} {
		r := newRig(t)
		r.inRing(rcrAPM | rcrAB | rcr)
		size, at := uint32(8192)<<(rcr>>rcrRBLEN&3), uint32(0)
		if r.read(regCR, 1)&crBUFE == 0 {
			t.Errorf("%s: the buffer is not empty at first", name)
		}
		for i := range 40 {
			frame := frameOf(self, 0x88B5, bytes.Repeat([]byte{byte(i), 7}, 23+i*15))
			r.send(frame)
			status, got := r.packet(&at, size)
			if status != ringROK|ringPAM || !bytes.Equal(got, binary.LittleEndian.AppendUint32(bytes.Clone(frame), crc32.ChecksumIEEE(frame))) {
				t.Fatalf("%s: packet %d: status %#x, %d bytes of %d", name, i, status, len(got), len(frame)+4)
			}
		}
		r.send(frameOf(broadcast, 0x88B5, nil))
		if status, got := r.packet(&at, size); status != ringROK|ringBAR || len(got) != minSize {
			t.Errorf("%s: status %#x, %d bytes of a short frame", name, status, len(got))
		}
	}
}

// What has no room waits until the driver has read.
func TestReceiveRingFull(t *testing.T) {
	r := newRig(t)
	r.inRing(rcrAPM | rcrWRAP)
	for i := range 10 {
		r.send(frameOf(self, 0x88B5, bytes.Repeat([]byte{byte(i)}, 1400)))
	}
	r.await("the end of room", func() bool { r.card.mu.Lock(); defer r.card.mu.Unlock(); return r.card.starved })
	at := uint32(0)
	for i := range 10 {
		if _, got := r.packet(&at, 8192); len(got) != 1418 || got[100] != byte(i) {
			t.Fatalf("packet %d: %d bytes of frame %d", i, len(got), got[100])
		}
	}
	if r.read(regCR, 1)&crBUFE == 0 || r.read(regMPC, 4) != 0 {
		t.Error("there is more, or less")
	}
	r.send(frameOf(self, 0x88B5, make([]byte, 3000))) // more than C mode has
	r.send(frameOf(self, 0x88B5, []byte{1}))
	if _, got := r.packet(&at, 8192); len(got) != minSize {
		t.Errorf("%d bytes", len(got))
	}
}

func TestFilter(t *testing.T) {
	const other, group = "\x52\x54\x00\x12\x34\x57", "\x01\x00\x5e\x00\x00\x01"
	r := newRig(t)
	for _, x := range []struct {
		name string
		rcr  uint32
		to   string
		want uint32
	}{
		{"own", rcrAPM, self, ringROK | ringPAM},
		{"own, off", rcrAB, self, 0},
		{"other", rcrAPM, other, 0},
		{"other, all", rcrAAP, other, ringROK},
		{"broadcast", rcrAB, broadcast, ringROK | ringBAR},
		{"broadcast, off", rcrAAP | rcrAM, broadcast, 0},
		{"group in MAR", rcrAM, group, ringROK | ringMAR},
		{"group, off", rcrAAP | rcrAB, group, 0},
		{"another group", rcrAM, "\x33\x33\x00\x00\x00\x02", 0},
	} {
		// 224.0.0.1 is bit 31 of the filter, as ether_crc of Linux has it.
		r.write(regMAR, 4, 1<<31)
		r.write(regRCR, 4, x.rcr)
		r.card.mu.Lock()
		got := r.card.filter(frameOf(x.to, 0x88B5, nil))
		r.card.mu.Unlock()
		if got != x.want {
			t.Errorf("%s: %#x, want %#x", x.name, got, x.want)
		}
	}
}

// Loopback gives the driver what it sends, in both modes, and nobody else.
func TestLoopback(t *testing.T) {
	r := newRig(t)
	frame := frameOf(self, 0x88B5, bytes.Repeat([]byte{9}, 60))
	r.inRing(rcrAPM)
	r.write(regTCR, 4, tcrLBK)
	at := uint32(0)
	r.transmit(frame)
	if _, got := r.packet(&at, 8192); !bytes.Equal(got[:len(frame)], frame) {
		t.Errorf("C mode: % x", got)
	}
	r.inPlus(0, rcrAPM, 2000)
	r.write(regTCR, 4, tcrLBK)
	must(t, r.ram.WriteAt(frame, txData))
	r.descriptor(plusFS|plusLS|uint32(len(frame)), 0, txData)
	r.poll()
	if _, _, got := r.given(0); !bytes.Equal(got[:len(frame)], frame) {
		t.Errorf("C+ mode: % x", got)
	}
	if r.card.Stats().TxPackets != 0 {
		t.Error("it went out")
	}
}

// tcpFrame is a frame of TCP over IPv4 without checksums.
func tcpFrame(payload int) []byte {
	b := frameOf("\x02\x00\x00\x00\x00\x02", 0x0800, make([]byte, 40+payload))
	ip := b[14:]
	copy(ip, []byte{0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2})
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	tcp := ip[20:]
	copy(tcp, []byte{0, 80, 1, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0x50, 0x19, 1, 0}) // FIN, PSH, ACK
	for i := range payload {
		tcp[20+i] = byte(i * 13)
	}
	return b
}

// udpFrame is the same of UDP.
func udpFrame(payload int) []byte {
	b := tcpFrame(payload)
	ip := b[14:]
	ip[9] = nic.ProtocolUDP
	binary.BigEndian.PutUint16(ip[24:], uint16(len(ip)-20))
	ip[26], ip[27] = 0x12, 0x34 // what the driver left there
	return b
}

// right reports whether a frame's checksums are there and right.
func right(frame []byte) bool {
	s := nic.Check(frame)
	return s.IPv4 && !s.IPBad && s.Protocol != 0 && !s.TransportBad
}

// Frames in several descriptors, with checksums and a VLAN tag.
func TestTransmitPlus(t *testing.T) {
	r := newRig(t)
	r.inPlus(0, 0, 2000)
	r.write(regIMR, 2, intTDU)
	for name, x := range map[string]struct {
		frame   []byte
		options uint32
	}{"TCP": {tcpFrame(333), plusTCPCS}, "UDP": {udpFrame(334), plusUDPCS}} {
		must(t, r.ram.WriteAt(x.frame, txData))
		n := uint32(len(x.frame))
		for range 5 { // around the ring
			r.descriptor(plusFS|plusIPCS|x.options|14, plusTAGC|0x2301, txData)
			r.descriptor(100, 0, txData+14)
			r.descriptor(plusLS|(n-114), 0, txData+114)
			r.poll()
			got := r.received()
			if !bytes.Equal(got[12:16], []byte{0x81, 0, 0x01, 0x23}) {
				t.Fatalf("%s: tag % x", name, got[12:16])
			}
			got = append(bytes.Clone(got[:12]), got[16:]...)
			if !right(got) || !bytes.Equal(got[54:], x.frame[54:]) {
				t.Fatalf("%s: sent % x", name, got[:60])
			}
			r.await("the interrupt", r.asserted)
			r.write(regISR, 2, 0xFFFF)
			for i := range uint64(ringSize) {
				v, err := r.ram.Load32(txRing + i*descriptorSize)
				must(t, err)
				if v&plusOWN != 0 {
					t.Errorf("%s: descriptor %d is still the card's", name, i)
				}
			}
		}
	}
	// The other ring.
	frame := frameOf(broadcast, 0x88B5, make([]byte, 46))
	must(t, r.ram.WriteAt(frame, txData))
	must(t, r.ram.Store64(txRing+0x100+8, txData))
	must(t, r.ram.Store32(txRing+0x100+4, 0))
	must(t, r.ram.Store32(txRing+0x100, plusOWN|plusEOR|plusFS|plusLS|uint32(len(frame))))
	r.write(regTSAD+8, 4, txRing+0x100)
	r.write(regTPPoll, 1, pollHigh)
	if got := r.received(); !bytes.Equal(got, frame) {
		t.Errorf("with high priority % x", got)
	}
}

// Segments have right headers and checksums, and together the payload.
func TestLargeSend(t *testing.T) {
	r := newRig(t)
	r.inPlus(0, 0, 2000)
	const payload, mss, header = 60000, 1448, 54
	frame := tcpFrame(payload)
	must(t, r.ram.WriteAt(frame, txData))
	r.descriptor(plusFS|plusLGSEN|mss<<16|header, 0, txData)
	r.descriptor(plusLS|payload, 0, txData+header)
	r.poll()
	var got []byte
	for i := 0; len(got) < payload; i++ {
		f := r.received()
		ip, tcp := f[14:], f[34:]
		if !right(f) || int(binary.BigEndian.Uint16(ip[2:])) != len(ip) || binary.BigEndian.Uint16(ip[4:]) != uint16(7+i) ||
			binary.BigEndian.Uint32(tcp[4:]) != 0x1000+uint32(len(got)) {
			t.Fatalf("segment %d: % x", i, f[:header])
		}
		got = append(got, tcp[20:]...)
		if last := len(got) == payload; last != (tcp[13] == 0x19) || !last && tcp[13] != 0x10 {
			t.Errorf("segment %d: flags %#x", i, tcp[13])
		}
	}
	if !bytes.Equal(got, frame[header:]) {
		t.Error("the payload differs")
	}
}

// Frames come with their FCS, in as many descriptors as they need.
func TestReceivePlus(t *testing.T) {
	r := newRig(t)
	r.inPlus(cpRxVLAN|cpRxSum, rcrAAP|rcrAB, 256)
	frame := frameOf(self, 0x88B5, bytes.Repeat([]byte{7, 8, 9}, 200))
	r.send(frame)
	var got []byte
	for i := uint64(0); ; i++ {
		first, second, data := r.given(i)
		if first&plusFS != 0 != (i == 0) || first>>plusBAR&7 != 2 || second != 0 {
			t.Errorf("descriptor %d: %#x %#x", i, first, second)
		}
		if first&plusLS != 0 {
			if want := uint32(len(frame) + fcsSize); first&plusSize != want {
				t.Errorf("%d bytes in all, want %d", first&plusSize, want)
			}
			rest := make([]byte, len(frame)+fcsSize-len(got))
			must(t, r.ram.ReadAt(rest, rxData+i*0x4000))
			got = append(got, rest...)
			break
		}
		got = append(got, data...)
	}
	if !bytes.Equal(got, binary.LittleEndian.AppendUint32(bytes.Clone(frame), crc32.ChecksumIEEE(frame))) {
		t.Errorf("%d bytes were received, of %d", len(got), len(frame))
	}

	good := tcpFrame(100)
	nic.FillTransport(good, nic.ProtocolTCP)
	nic.FillIPv4(good)
	udp := udpFrame(20)
	nic.FillTransport(udp, nic.ProtocolUDP)
	nic.FillIPv4(udp)
	change := func(b []byte, at int) []byte { b = bytes.Clone(b); b[at] ^= 0x40; return b }
	tagged := append(append(bytes.Clone(good[:12]), 0x81, 0, 0x20, 5), good[12:]...)
	r.inPlus(cpRxVLAN|cpRxSum, rcrAAP|rcrAB, 2000)
	for i, x := range []struct {
		name          string
		frame         []byte
		first, second uint32
	}{
		{"TCP", good, plusPIDTCP, 0},
		{"bad IP", change(good, 22), plusPIDTCP | plusIPF, 0},
		{"bad TCP", change(good, 60), plusPIDTCP | plusTCPF, 0},
		{"UDP", udp, plusPIDUDP, 0},
		{"bad UDP", change(udp, 45), plusPIDUDP | plusUDPF, 0},
		{"not IP", frameOf(self, 0x88B5, good[14:]), 0, 0},
		{"a VLAN's", tagged, plusPIDTCP, plusTAVA | 0x0520},
	} {
		r.send(x.frame)
		first, second, data := r.given(uint64(i))
		const bits = plusPIDIP | plusIPF | plusTCPF | plusUDPF
		if first&bits != x.first || second != x.second {
			t.Errorf("%s: %#x %#x, want %#x %#x", x.name, first&bits, second, x.first, x.second)
		}
		if x.second != 0 && !bytes.Equal(data[:len(good)], good) {
			t.Errorf("%s: the tag is not gone", x.name)
		}
	}
}

// A frame without a descriptor waits for one, and not forever.
func TestReceivePlusLack(t *testing.T) {
	r := newRig(t)
	r.inPlus(0, rcrAPM, 2000)
	for range ringSize {
		r.send(frameOf(self, 0x88B5, make([]byte, 50)))
	}
	r.given(ringSize - 1)
	r.write(regIMR, 2, intRDU)
	late := frameOf(self, 0x88B5, bytes.Repeat([]byte{5}, 80))
	r.send(late)
	r.await("the interrupt", r.asserted)
	r.give(0, 2000)
	r.write(regISR, 2, intRDU)
	if _, _, got := r.given(0); !bytes.Equal(got[:len(late)], late) {
		t.Errorf("received % x", got)
	}
	r.send(late)
	r.await("the second interrupt", r.asserted)
	r.await("the loss", func() bool { r.clock.Advance(time.Millisecond); return r.read(regMPC, 4) == 1 })
	r.write(regMPC, 4, 0)
	r.give(1, 2000)
	r.send(late)
	r.given(1)
	if got := r.read(regMPC, 4); got != 0 {
		t.Errorf("%d frames are missing", got)
	}
}

// The tally counters, where DTCCR says.
func TestTally(t *testing.T) {
	r := newRig(t)
	r.inPlus(0, rcrAPM|rcrAB, 2000)
	r.send(frameOf(self, 0x88B5, nil))
	r.send(frameOf(broadcast, 0x88B5, nil))
	r.given(1)
	r.descriptor(plusFS|plusLS|60, 0, txData)
	r.poll()
	r.received()
	r.write(regTSD+4, 4, 0)
	r.write(regTSD, 4, txData|dtccrCmd)
	if got := r.read(regTSD, 4); got != txData {
		t.Errorf("DTCCR %#x", got)
	}
	for at, want := range map[uint64]uint64{0x00: 1, 0x08: 2, 0x10: 0, 0x28: 1, 0x30: 1} {
		if got, err := r.ram.Load64(txData + at); err != nil || got != want {
			t.Errorf("counter %#x is %d, want %d (%v)", at, got, want, err)
		}
	}
}

// Nothing is done without sense, and the card works afterwards.
func TestHostileRings(t *testing.T) {
	r := newRig(t)
	frame := frameOf(self, 0x88B5, make([]byte, 50))
	for name, bad := range map[string]func(){
		"ring outside":         func() { r.write(regTSAD+4, 4, 0x7FFFFFFF); r.poll(); r.system() },
		"data outside":         func() { r.descriptor(plusFS|plusLS|100, 0, 1<<40); r.poll(); r.system() },
		"receive ring outside": func() { r.write(regRDSAR+4, 4, 0x7FFFFFFF); r.send(frame); r.system() },
		"buffer outside": func() {
			must(t, r.ram.Store64(rxRing+8, 1<<40))
			r.send(frame)
			r.system()
		},
		"no end of frame": func() {
			for range ringSize {
				r.descriptor(0xFFFF, 0, txData)
			}
			r.poll()
			r.await("the end of the ring", func() bool { return r.read(regISR, 2)&intTDU != 0 })
		},
		"large send of nothing": func() {
			r.descriptor(plusFS|plusLS|plusLGSEN|60, 0, txData)
			r.poll()
			r.await("the end of the ring", func() bool { return r.read(regISR, 2)&intTDU != 0 })
			r.received() // as it is
		},
		"C mode, outside": func() {
			r.inRing(0)
			r.write(regTSAD, 4, 0xFFFFFFF0)
			r.write(regTSD, 4, 100)
			r.system()
			r.write(regRBSTART, 4, 0xFFFFFFF0)
			r.write(regISR, 2, 0xFFFF)
			r.write(regRCR, 4, rcrAPM)
			r.send(frame)
			r.system()
		},
		"counters outside": func() { r.write(regTSD+4, 4, 1<<30); r.write(regTSD, 4, dtccrCmd); r.system() },
	} {
		t.Log(name)
		r.inPlus(0, rcrAPM, 2000)
		bad()
		must(t, r.ram.WriteAt(frame, txData))
		r.inPlus(0, rcrAPM, 2000)
		r.descriptor(plusFS|plusLS|uint32(len(frame)), 0, txData)
		r.poll()
		if got := r.received(); !bytes.Equal(got, frame) {
			t.Errorf("%s: afterwards % x", name, got)
		}
		r.send(frame)
		r.given(0)
	}
}

// system waits for the error of memory that is not there.
func (r *rig) system() {
	r.tb.Helper()
	r.await("a system error", func() bool { return r.read(regISR, 2)&intSERR != 0 })
}

// Pause, and no bus mastering, stop all traffic, which then goes on.
func TestPause(t *testing.T) {
	r := newRig(t)
	r.inRing(rcrAPM)
	frame := frameOf(self, 0x88B5, make([]byte, 50))
	at := uint32(0)
	command := func(v uint32) { r.card.WriteConfig(pci.RegCommand, binary.LittleEndian.AppendUint32(nil, v)[:2]) }
	for name, x := range map[string]struct{ stop, resume func() }{
		"pause": {r.card.Pause, r.card.Resume},
		"no bus mastering": {
			func() { command(pci.CommandMemory) },
			func() { command(pci.CommandMemory | pci.CommandBusMaster) },
		},
	} {
		x.stop()
		d := r.transmit(frame)
		r.send(frame)
		if r.read(regTSD+4*d, 4)&tsdOWN != 0 || r.read(regCR, 1)&crBUFE == 0 {
			t.Errorf("%s: the card works", name)
		}
		x.resume()
		r.received()
		r.packet(&at, 8192)
	}
}

// No frame costs an allocation, in either direction and mode.
func TestNoAllocation(t *testing.T) {
	r := newRig(t)
	r.card.Pause() // this goroutine is the wire
	frame := tcpFrame(1000)
	copy(frame, self)
	must(t, r.ram.WriteAt(frame, txData))
	check := func(what string, f func()) {
		t.Helper()
		if n := testing.AllocsPerRun(50, f); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	sent := func() {
		for r.card.Transmit() == nil {
			t.Fatal("nothing is sent")
		}
	}
	r.inRing(rcrAPM)
	c := r.card
	check("C mode", func() {
		c.mu.Lock()
		c.put32(regTSAD+4*int(c.s.TxNext), txData)
		c.put32(regTSD+4*int(c.s.TxNext), uint32(len(frame)))
		c.put16(regCAPR, c.get16(regCBR)-16)
		c.mu.Unlock()
		sent()
		if !c.Receive(frame) {
			t.Fatal("no room")
		}
	})
	r.inPlus(cpRxSum|cpRxVLAN, rcrAPM, 2000)
	check("C+ mode", func() {
		r.give(uint32(c.s.RxNext), 2000)
		r.descriptor(plusFS|plusLS|plusIPCS|plusTCPCS|uint32(len(frame)), plusTAGC, txData)
		c.mu.Lock()
		c.s.Polls = pollNormal
		c.mu.Unlock()
		sent()
		if !c.Receive(frame) {
			t.Fatal("no room")
		}
	})
}

func BenchmarkFrames(b *testing.B) {
	r := newRig(b)
	r.card.Pause()
	c, frame := r.card, tcpFrame(1400)
	copy(frame, self)
	must(b, r.ram.WriteAt(frame, txData))
	r.inPlus(cpRxSum|cpRxVLAN, rcrAPM, 2000)
	b.SetBytes(int64(2 * len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		r.give(uint32(c.s.RxNext), 2000)
		r.descriptor(plusFS|plusLS|plusIPCS|plusTCPCS|uint32(len(frame)), 0, txData)
		c.s.Polls = pollNormal
		if c.Transmit() == nil || !c.Receive(frame) {
			b.Fatal("a frame is stuck")
		}
	}
}
