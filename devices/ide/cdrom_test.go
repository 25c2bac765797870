package ide

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/blocktest"
)

const discBlocks = 400

// newCD is a rig with a CD-ROM drive as the master of the secondary channel.
func newCD(tb testing.TB) (r *rig, content []byte, faulty *blocktest.Faulty) {
	tb.Helper()
	content = pattern(discBlocks * blockSize)
	faulty = blocktest.NewFaulty(blocktest.NewMemory(content, true))
	tb.Cleanup(func() { _ = faulty.Close() })
	r = newRig(tb, [Channels][Units]DriveOptions{{}, {CDROMOptions{Backend: faulty, Serial: "QM00003", Errors: report}}})
	return r.on(1, 0), content, faulty
}

// sendPacket sends a packet, with a limit on bytes at a time for PIO.
func (r *rig) sendPacket(dma bool, limit uint16, p ...uint8) {
	r.tb.Helper()
	features := uint8(0)
	if dma {
		features = packetDMA
	}
	r.out(regDevice, deviceOnes|r.unit)
	r.out(regError, features)
	r.out(regMid, uint8(limit))
	r.out(regHigh, uint8(limit>>8))
	r.out(regStatus, cmdPacket)
	if s, why := r.altStatus(), r.in(regCount); s != statusReady|statusDRQ || why != reasonCoD || r.asserted() {
		r.tb.Fatalf("status %#x, reason %d, interrupt %v before the packet", s, why, r.asserted())
	}
	packet := make([]byte, packetSize)
	copy(packet, p)
	r.writeData(packet)
}

// packetIn sends a packet and reads the data by PIO; it expects success.
func (r *rig) packetIn(limit uint16, p ...uint8) []byte {
	r.tb.Helper()
	r.sendPacket(false, limit, p...)
	var got []byte
	for {
		status, why := r.irq(), r.in(regCount)
		if status&statusERR != 0 {
			r.tb.Fatalf("packet % x fails with sense %v", p, r.sense())
		}
		if status == statusReady && why == reasonIO|reasonCoD {
			return got
		}
		n := int(r.in(regMid)) | int(r.in(regHigh))<<8
		if status != statusReady|statusDRQ || why != reasonIO || n == 0 || n > int(limit) {
			r.tb.Fatalf("packet % x: status %#x, reason %d, %d bytes", p, status, why, n)
		}
		got = append(got, r.readData(n)...)
	}
}

// sense asks for the sense data.
func (r *rig) sense() Sense {
	r.tb.Helper()
	d := r.packetIn(0xFFFE, opRequestSense, 0, 0, 0, 18)
	if len(d) != 18 || d[0] != 0x70 {
		r.tb.Fatalf("sense data % x", d)
	}
	return Sense(d[2])<<16 | Sense(d[12])<<8 | Sense(d[13])
}

// packetFails sends a packet and expects it to fail.
func (r *rig) packetFails(want Sense, p ...uint8) {
	r.tb.Helper()
	r.sendPacket(false, 0xFFFE, p...)
	status, why, err := r.irq(), r.in(regCount), r.in(regError)
	if status != statusReady|statusERR || why != reasonIO|reasonCoD || err>>4 != want.Key() {
		r.tb.Fatalf("packet % x: status %#x, reason %d, error %#x", p, status, why, err)
	}
	if got := r.sense(); got != want {
		r.tb.Fatalf("packet % x fails with sense %v, want %v", p, got, want)
	}
	if got := r.sense(); got != 0 {
		r.tb.Fatalf("sense %v a second time", got)
	}
}

func read10(lba uint32, n uint16) []uint8 {
	p := []uint8{opRead10, 0, 0, 0, 0, 0, 0, uint8(n >> 8), uint8(n), 0}
	binary.BigEndian.PutUint32(p[2:], lba)
	return p
}

func read12(lba, n uint32) []uint8 {
	p := make([]uint8, 12)
	p[0] = opRead12
	binary.BigEndian.PutUint32(p[2:], lba)
	binary.BigEndian.PutUint32(p[6:], n)
	return p
}

func readCD(lba uint32, n, want uint8) []uint8 {
	p := []uint8{opReadCD, 0, 0, 0, 0, 0, 0, 0, n, want, 0, 0}
	binary.BigEndian.PutUint32(p[2:], lba)
	return p
}

func TestIdentifyPacketDevice(t *testing.T) {
	r, _, _ := newCD(t)
	w := r.identify(cmdIdentifyPacket)
	for _, c := range []struct {
		word int
		want uint16
	}{{0, 0x85C0}, {49, 0x0B00}, {53, 6}, {63, 7}, {80, 0x00F0}, {82, 0x0218}, {83, 0x4000}, {85, 0x0218}, {88, 0x203F}} {
		if w[c.word] != c.want {
			t.Errorf("word %d is %#x, want %#x", c.word, w[c.word], c.want)
		}
	}
	if m := ataText(w[27:47]); m != "GOVMM DVD-ROM" {
		t.Errorf("model %q", m)
	}
	if s := ataText(w[10:20]); s != "QM00003" {
		t.Errorf("serial %q", s)
	}
}

func TestReadCDROM(t *testing.T) {
	r, content, _ := newCD(t)
	for _, c := range []struct {
		name   string
		packet []uint8
		lba, n int
	}{
		{"READ(10)", read10(3, 1), 3, 1},
		{"READ(10) of many", read10(100, 100), 100, 100},
		{"READ(10) of none", read10(100, 0), 100, 0},
		{"READ(12)", read12(5, 70), 5, 70},
		{"READ(12) of all", read12(0, discBlocks), 0, discBlocks},
		{"READ CD", readCD(9, 3, wantData), 9, 3},
		{"READ CD of nothing", readCD(9, 3, wantNothing), 9, 0},
	} {
		want := content[c.lba*blockSize : (c.lba+c.n)*blockSize]
		for _, limit := range []uint16{0xFFFF, 0xFFFE, 2048, 0x8000, 999, 512} {
			if got := r.packetIn(limit, c.packet...); !bytes.Equal(got, want) {
				t.Errorf("%s: PIO of %d bytes at a time reads something else", c.name, limit)
			}
		}
		var regions []prd
		for at := 0; at < len(want); at += 60000 {
			regions = append(regions, prd{dataAt + uint32(at), uint16(min(60000, len(want)-at))})
		}
		if len(want) == 0 {
			continue
		}
		r.poke(dataAt, make([]byte, len(want)))
		r.table(regions...)
		r.sendPacket(true, 0, c.packet...)
		r.startDMA(true)
		r.ok()
		r.stopDMA(bmInterrupt)
		if why := r.in(regCount); why != reasonIO|reasonCoD {
			t.Errorf("%s: reason %d", c.name, why)
		}
		if !bytes.Equal(r.peek(dataAt, len(want)), want) {
			t.Errorf("%s: DMA reads something else", c.name)
		}
	}
}

func TestRawBlocks(t *testing.T) {
	r, content, _ := newCD(t)
	const lba, n = 70, 60
	check := func(got []byte) {
		t.Helper()
		if len(got) != n*rawSize {
			t.Fatalf("%d bytes", len(got))
		}
		for i := range n {
			raw := got[i*rawSize : (i+1)*rawSize]
			frame := lba + i + 150
			header := []byte{
				0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0,
				0, byte(frame/75%10 | frame/75/10<<4), byte(frame%75%10 | frame%75/10<<4), 1,
			}
			if !bytes.Equal(raw[:16], header) {
				t.Fatalf("block %d has the header % x, want % x", i, raw[:16], header)
			}
			if !bytes.Equal(raw[16:16+2048], content[(lba+i)*2048:(lba+i+1)*2048]) {
				t.Fatalf("block %d has something else in it", i)
			}
			if !bytes.Equal(raw[16+2048:], make([]byte, 288)) {
				t.Fatalf("block %d is not zero behind the data", i)
			}
		}
	}
	check(r.packetIn(0xFFFE, readCD(lba, n, wantAll)...))
	check(r.packetIn(rawSize, readCD(lba, n, wantAll)...))
	r.table(prd{dataAt, 0}, prd{dataAt + 0x10000, 0}, prd{dataAt + 0x20000, n*rawSize - 0x20000})
	r.sendPacket(true, 0, readCD(lba, n, wantAll)...)
	r.startDMA(true)
	r.ok()
	r.stopDMA(bmInterrupt)
	check(r.peek(dataAt, n*rawSize))
}

func TestPacketErrors(t *testing.T) {
	r, _, faulty := newCD(t)
	for _, c := range []struct {
		want   Sense
		packet []uint8
	}{
		{senseOutOfRange, read10(discBlocks, 1)},
		{senseOutOfRange, read10(discBlocks-1, 2)},
		{senseOutOfRange, read12(1, 0xFFFFFFFF)},
		{senseOutOfRange, read12(0xFFFFFFFF, 1)},
		{senseOutOfRange, readCD(discBlocks, 1, wantAll)},
		{senseOutOfRange, []uint8{opSeek10, 0, 1, 0, 0, 0}},
		{senseInvalidCommand, []uint8{0xFF}},
		{senseInvalidCommand, []uint8{0x2A, 0, 0, 0, 0, 0, 0, 0, 1}}, // WRITE(10)
		{senseInvalidField, readCD(0, 1, 0x80)},
		{senseInvalidField, []uint8{opReadCD, 0, 0, 0, 0, 0, 0, 0, 1, wantData, 1}},
		{senseWrongMode, []uint8{opReadCD, 1 << 2, 0, 0, 0, 0, 0, 0, 1, wantData}},
		{senseInvalidField, []uint8{opInquiry, 1, 0, 0, 36}},
		{senseInvalidField, []uint8{opModeSense10, 0, 0x05, 0, 0, 0, 0, 0, 64}},
		{senseNotSaved, []uint8{opModeSense10, 0, 0xC1, 0, 0, 0, 0, 0, 64}},
		{senseInvalidField, []uint8{opReadTOC, 0, 3, 0, 0, 0, 0, 0, 64}},
		{senseInvalidField, []uint8{opReadTOC, 0, 0, 0, 0, 0, 2, 0, 64}},
		{senseInvalidField, []uint8{opGetConfiguration, 3, 0, 0, 0, 0, 0, 0, 64}},
		{senseInvalidField, []uint8{opGetEventStatus, 0, 0, 0, 0x10, 0, 0, 0, 8}},
		{senseIncompatible, []uint8{opReadDVDStructure, 0, 0, 0, 0, 0, 0, 0, 8, 0}},
	} {
		r.packetFails(c.want, c.packet...)
	}
	faulty.Add(blocktest.Rule{Op: block.Read, From: 10 * 2048, To: 10*2048 + 1, Err: errDisk})
	r.packetFails(senseUnreadable, read10(10, 1)...)

	// What comes before a bad block can be read.
	r.sendPacket(false, 0xFFFE, read10(8, 5)...)
	for range 2 {
		r.status(statusReady | statusDRQ)
		r.readData(2048)
	}
	r.failed(0x03 << 4)

	// The host takes no bytes at all.
	r.sendPacket(false, 0, read10(0, 1)...)
	r.failed(errorABRT)
	r.sendPacket(false, 1, opInquiry, 0, 0, 0, 36)
	r.failed(errorABRT)
	r.out(regError, packetOverlap)
	r.out(regStatus, cmdPacket)
	r.failed(errorABRT)
}

func TestPacketDMAErrors(t *testing.T) {
	r, _, _ := newCD(t)
	for _, packet := range [][]uint8{read10(0, 4), readCD(0, 4, wantAll), {opInquiry, 0, 0, 0, 36}} {
		r.table(prd{ramSize, 0x4000})
		r.sendPacket(true, 0, packet...)
		r.startDMA(true)
		r.failed(0x0B << 4)
		r.stopDMA(bmError | bmInterrupt)
		if got := r.sense(); got != senseDataPhase {
			t.Errorf("sense %v", got)
		}
		r.table(prd{dataAt, 16})
		r.sendPacket(true, 0, packet...)
		r.startDMA(true)
		r.drain()
		if s := r.altStatus(); s != statusReady || r.asserted() {
			t.Errorf("status %#x, interrupt %v", s, r.asserted())
		}
		r.stopDMA(0)
	}
}

// TestAnswers compares what drivers look at in the commands that inform.
func TestAnswers(t *testing.T) {
	r, _, _ := newCD(t)
	for _, c := range []struct {
		name   string
		packet []uint8
		want   []byte
	}{
		{"TEST UNIT READY", []uint8{opTestUnitReady}, nil},
		{"SEEK", []uint8{opSeek10, 0, 0, 0, 0, 9}, nil},
		{"SYNCHRONIZE CACHE", []uint8{opSynchronizeCache}, nil},
		{"SET CD SPEED", []uint8{opSetCDSpeed}, nil},
		{"START", []uint8{opStartStopUnit, 0, 0, 0, 1}, nil},
		{"INQUIRY", []uint8{opInquiry, 0, 0, 0, 255}, []byte("\x05\x80\x00\x21\x1f\x00\x00\x00GOVMM   DVD-ROM         1.0 ")},
		{"INQUIRY, 5 bytes", []uint8{opInquiry, 0, 0, 0, 5}, []byte("\x05\x80\x00\x21\x1f")},
		{"READ CAPACITY", []uint8{opReadCapacity}, []byte{0, 0, 1, 0x8F, 0, 0, 8, 0}},
		{"READ TOC", []uint8{opReadTOC, 0, 0, 0, 0, 0, 0, 0, 255}, []byte{
			0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xAA, 0, 0, 0, 1, 0x90}},
		{"READ TOC, MSF", []uint8{opReadTOC, 2, 0, 0, 0, 0, 1, 0, 255}, []byte{
			0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 2, 0, 0, 0x14, 0xAA, 0, 0, 0, 7, 25}},
		{"READ TOC, lead-out", []uint8{opReadTOC, 0, 0, 0, 0, 0, 0xAA, 0, 255}, []byte{
			0, 10, 1, 1, 0, 0x14, 0xAA, 0, 0, 0, 1, 0x90}},
		{"READ TOC, sessions", []uint8{opReadTOC, 0, 1, 0, 0, 0, 0, 0, 255}, []byte{
			0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0}},
		{"READ TOC, sessions by SFF 8020i", []uint8{opReadTOC, 0, 0, 0, 0, 0, 0, 0, 255, 1 << 6}, []byte{
			0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0}},
		{"READ TOC, raw", []uint8{opReadTOC, 0, 2, 0, 0, 0, 0, 0, 255}, []byte{
			0, 46, 1, 1,
			1, 0x14, 0, 0xA0, 0, 0, 0, 0, 1, 0, 0,
			1, 0x14, 0, 0xA1, 0, 0, 0, 0, 1, 0, 0,
			1, 0x14, 0, 0xA2, 0, 0, 0, 0, 0, 7, 25,
			1, 0x14, 0, 1, 0, 0, 0, 0, 0, 2, 0}},
		{"READ DISC INFORMATION", []uint8{opReadDiscInfo, 0, 0, 0, 0, 0, 0, 0, 8}, []byte{0, 32, 0x0E, 1, 1, 1, 1, 0x20}},
		{"MECHANISM STATUS", []uint8{opMechanismStatus, 0, 0, 0, 0, 0, 0, 0, 0, 8}, []byte{0, 0, 0, 0, 0, 1, 0, 0}},
		{"GET CONFIGURATION, profiles", []uint8{opGetConfiguration, 2, 0, 0, 0, 0, 0, 0, 255}, []byte{
			0, 0, 0, 16, 0, 0, 0, 8, 0, 0, 3, 8, 0, 0x10, 0, 0, 0, 8, 1, 0}},
		{"GET CONFIGURATION, current from 3", []uint8{opGetConfiguration, 1, 0, 3, 0, 0, 0, 0, 255}, []byte{
			0, 0, 0, 36, 0, 0, 0, 8,
			0, 3, 3, 4, 0x29, 0, 0, 0,
			0, 0x10, 1, 8, 0, 0, 8, 0, 0, 1, 0, 0,
			0, 0x1D, 1, 0,
			0, 0x1E, 1, 4, 0, 0, 0, 0}},
		{"GET EVENT STATUS, none", []uint8{opGetEventStatus, 1, 0, 0, 0x10, 0, 0, 0, 8}, []byte{0, 6, 4, 0x10, 0, 2, 0, 0}},
		{"GET EVENT STATUS, no class", []uint8{opGetEventStatus, 1, 0, 0, 0x02, 0, 0, 0, 8}, []byte{0, 2, 0x80, 0x10}},
		{"MODE SENSE(6), 01", []uint8{opModeSense6, 0, 1, 0, 255}, []byte{11, 1, 0, 0, 1, 6, 0, 5, 0, 0, 0, 0}},
		{"MODE SENSE(10), 01", []uint8{opModeSense10, 0, 1, 0, 0, 0, 0, 0, 255}, []byte{
			0, 14, 1, 0, 0, 0, 0, 0, 1, 6, 0, 5, 0, 0, 0, 0}},
		{"MODE SENSE(10), 01, changeable", []uint8{opModeSense10, 0, 0x41, 0, 0, 0, 0, 0, 255}, []byte{
			0, 14, 1, 0, 0, 0, 0, 0, 1, 6, 0, 0, 0, 0, 0, 0}},
		{"MODE SENSE(10), 2A", []uint8{opModeSense10, 0, 0x2A, 0, 0, 0, 0, 0, 255}, []byte{
			0, 26, 1, 0, 0, 0, 0, 0,
			0x2A, 18, 0x3B, 0, 0x70, 0, 0x29, 0, 0x10, 0x80, 0, 2, 0, 64, 0x10, 0x80, 0, 0, 0, 0}},
	} {
		if got := r.packetIn(0xFFFE, c.packet...); !bytes.Equal(got, c.want) {
			t.Errorf("%s:\n got % x\nwant % x", c.name, got, c.want)
		}
	}
	if got := r.packetIn(0xFFFE, opModeSense10, 0, 0x3F, 0, 0, 0, 0, 0, 255); len(got) != 8+8+20 {
		t.Errorf("all pages are %d bytes", len(got))
	}
}

// TestReplyDMA has an answer of odd size scattered.
func TestReplyDMA(t *testing.T) {
	r, _, _ := newCD(t)
	r.table(prd{dataAt, 4}, prd{dataAt + 100, 32})
	r.sendPacket(true, 0, opInquiry, 0, 0, 0, 35)
	r.startDMA(true)
	r.ok()
	r.stopDMA(bmInterrupt | bmActive)
	got := append(r.peek(dataAt, 4), r.peek(dataAt+100, 31)...)
	if want := "\x05\x80\x00\x21\x1f\x00\x00\x00GOVMM   DVD-ROM         1.0"; string(got) != want {
		t.Errorf("got %q", got)
	}
}

func TestDVD(t *testing.T) {
	disc := sparse{blocktest.NewMemory(make([]byte, 1<<20), true), 4 << 30}
	defer disc.Close()
	r := newRig(t, [Channels][Units]DriveOptions{{CDROMOptions{Backend: disc, Errors: report}}})
	d := r.packetIn(0xFFFE, opGetConfiguration, 0, 0, 0, 0, 0, 0, 0, 255)
	if p := binary.BigEndian.Uint16(d[6:]); p != profileDVDROM {
		t.Errorf("profile %#x", p)
	}
	d = r.packetIn(0xFFFE, opReadDVDStructure, 0, 0, 0, 0, 0, 0, 0, 0x10, 0)
	if len(d) != 2052 || binary.BigEndian.Uint16(d) != 2050 || binary.BigEndian.Uint32(d[12:]) != 0x30000+2<<20-1 {
		t.Errorf("physical format % x", d[:24])
	}
	for format, n := range map[uint8]int{1: 8, 4: 2052, 0xFF: 16} {
		if d := r.packetIn(0xFFFE, opReadDVDStructure, 0, 0, 0, 0, 0, 0, format, 0x10, 0); len(d) != n {
			t.Errorf("format %#x has %d bytes, want %d", format, len(d), n)
		}
	}
	r.packetFails(senseInvalidField, opReadDVDStructure, 0, 0, 0, 0, 0, 0, 2, 0x10, 0)
	r.packetFails(senseInvalidField, opReadDVDStructure, 0, 0, 0, 0, 0, 1, 0, 0x10, 0)
}

// sparse says that it is larger than it is.
type sparse struct {
	*blocktest.Memory
	size int64
}

func (s sparse) Size() int64 { return s.size }

// TestCDROMCommands is the commands that a CD-ROM drive shares with disks.
func TestCDROMCommands(t *testing.T) {
	r, _, _ := newCD(t)
	for _, c := range []struct {
		name            string
		cmd             uint8
		features, count uint8
		err             uint8
	}{
		{"nop", cmdNOP, 0, 0, errorABRT},
		{"write sectors", cmdWriteSectors, 0, 1, errorABRT},
		{"read DMA", cmdReadDMA, 0, 1, errorABRT},
		{"idle", cmdIdleImmediate, 0, 0, 0},
		{"flush", cmdFlushCache, 0, 0, 0},
		{"MWDMA 1", cmdSetFeatures, featureTransferMode, 0x21, 0},
		{"keep settings", cmdSetFeatures, featureKeepSettings, 0, 0},
		{"MWDMA 3", cmdSetFeatures, featureTransferMode, 0x23, errorABRT},
		{"PIO default", cmdSetFeatures, featureTransferMode, 0x01, 0},
		{"no mode", cmdSetFeatures, featureTransferMode, 0x80, errorABRT},
		{"write cache", cmdSetFeatures, featureWriteCacheOn, 0, errorABRT},
		{"standby", cmdStandbyImmediate, 0, 0, 0},
		{"power mode", cmdCheckPowerMode, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.tb = t
			r.out(regError, c.features)
			r.command(c.cmd, 0, c.count)
			if c.err != 0 {
				r.failed(c.err)
			} else {
				r.ok()
			}
		})
	}
	r.tb = t
	if mode := r.in(regCount); mode != uint8(PowerStandby) {
		t.Errorf("power mode %#x", mode)
	}
	if d := r.packetIn(0xFFFE, opInquiry, 0, 0, 0, 0); len(d) != 0 {
		t.Errorf("%d bytes, where none were asked for", len(d))
	}
	if w := r.identify(cmdIdentifyPacket); w[63] != 7 || w[88] != 0x3F {
		t.Errorf("words 63 and 88 are %#x and %#x", w[63], w[88])
	}
	if s := senseNoMediumOpen.String(); s != "02/3a/02" {
		t.Errorf("sense %s", s)
	}
}
