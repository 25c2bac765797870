package ide

import (
	"testing"

	"github.com/govmm/govmm/block"
)

// TestAllocs is that neither registers nor requests cost an allocation.
func TestAllocs(t *testing.T) {
	r, _, _ := newDisk(t)
	r.table(prd{dataAt, 0x8000}, prd{dataAt + 0x8000, 0x8000})
	var word [2]byte
	var wide [4]byte
	pio := func(cmd uint8, write bool) {
		r.command(cmd, 0, 4)
		for range 4 {
			r.drain()
			r.in(regStatus)
			for range block.SectorSize / 2 {
				if write {
					r.ports.Write(r.base, word[:])
				} else {
					r.ports.Read(r.base, word[:])
				}
			}
		}
		r.drain()
		r.in(regStatus)
	}
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"registers", func() {
			r.out(regCount, 1)
			r.in(regCount)
			r.altStatus()
			r.control(0)
			r.ports.Read(bmBase, wide[:])
			r.bm(regBMTable, 4, prdAt)
		}},
		{"PIO read", func() { pio(cmdReadSectors, false) }},
		{"PIO write", func() { pio(cmdWriteSectors, true) }},
		{"identify", func() { r.command(cmdIdentify, 0, 0); r.control(controlSRST); r.control(0) }},
		{"flush", func() { r.command(cmdFlushCache, 0, 0); r.drain() }},
		{"DMA read", func() {
			r.bm(regBMCommand, 1, 0)
			r.command(cmdReadDMA, 0, 128)
			r.startDMA(true)
			r.drain()
			r.in(regStatus)
		}},
		{"DMA write", func() {
			r.bm(regBMCommand, 1, 0)
			r.command(cmdWriteDMA, 0, 128)
			r.startDMA(false)
			r.drain()
			r.in(regStatus)
		}},
	} {
		c.f()
		// The test's own disk may start another worker now and then.
		if n := testing.AllocsPerRun(200, c.f); n >= 1 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
	if s := r.c.Stats(0, 0); s.Read.Errors+s.Write.Errors != 0 || s.Read.Requests == 0 || s.Write.Requests == 0 {
		t.Errorf("the requests were not done: %+v", s)
	}
}

// TestPacketAllocs is the same for packets.
func TestPacketAllocs(t *testing.T) {
	r, _, _ := newCD(t)
	var word [2]byte
	for _, c := range []struct {
		name   string
		packet [packetSize]byte
	}{
		{"test unit ready", [packetSize]byte{opTestUnitReady}},
		{"read", [packetSize]byte{opRead10, 8: 2}},
		{"read CD", [packetSize]byte{opReadCD, 8: 2, 9: wantAll}},
		{"configuration", [packetSize]byte{opGetConfiguration, 8: 255}},
		{"mode sense", [packetSize]byte{opModeSense10, 2: 0x3F, 8: 255}},
		{"TOC", [packetSize]byte{opReadTOC, 2: 2, 8: 255}},
		{"events", [packetSize]byte{opGetEventStatus, 1, 4: 0x10, 8: 8}},
		{"error", [packetSize]byte{0xFF}},
	} {
		f := func() {
			r.out(regError, 0)
			r.out(regMid, 0)
			r.out(regHigh, 8)
			r.out(regStatus, cmdPacket)
			for i := 0; i < packetSize; i += 2 {
				r.ports.Write(r.base, c.packet[i:i+2])
			}
			for {
				r.drain()
				if r.in(regStatus)&statusDRQ == 0 {
					return
				}
				for n := int(r.in(regMid)) | int(r.in(regHigh))<<8; n > 0; n -= 2 {
					r.ports.Read(r.base, word[:])
				}
			}
		}
		f()
		if n := testing.AllocsPerRun(200, f); n >= 1 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}
