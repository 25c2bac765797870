package ide

import (
	"bytes"
	"testing"

	"github.com/govmm/govmm/block/blocktest"
	"github.com/govmm/govmm/devices/pci"
)

// settled expects that the drives of both channels have come to an end with what
// they were doing: neither BSY, nor with something in flight. SRST, which a
// guest can hold, is released first.
func (r *rig) settled() {
	r.tb.Helper()
	r.config(pci.RegCommand, 2, pci.CommandIO|pci.CommandBusMaster)
	r.config(regIDETIM, 4, idetimDecode<<16|idetimDecode)
	for channel := range Channels {
		r.on(channel, 0)
		r.drain()
		r.control(0)
		r.drain()
		for unit, d := range r.c.State().Channels[channel].Drives {
			if d.Status&statusBSY != 0 || d.Phase == Busy {
				r.tb.Fatalf("drive %d:%d is busy for good: %+v", channel, unit, d)
			}
		}
		// A reset brings everything back to work.
		r.control(controlSRST)
		r.control(0)
		for unit := range Units {
			r.on(channel, unit)
			if s := r.altStatus(); s&(statusBSY|statusDRQ|statusERR) != 0 {
				r.tb.Fatalf("drive %d:%d has status %#x after a reset", channel, unit, s)
			}
		}
		r.on(channel, 0)
		r.out(regStatus, cmdIdentify)
		r.irq()
	}
}

func newFuzzed(tb testing.TB) *rig {
	disk := blocktest.NewMemory(make([]byte, 4<<20), false)
	disc := blocktest.NewMemory(make([]byte, 1<<20), true)
	tb.Cleanup(func() { _, _ = disk.Close(), disc.Close() })
	r := newRig(tb, [Channels][Units]DriveOptions{
		{DiskOptions{Backend: disk, Errors: report}, CDROMOptions{Backend: disc, Errors: report}},
		{CDROMOptions{Errors: report}},
	})
	r.c.log = newSilentLog()
	return r
}

// FuzzRegisters is a guest that writes and reads ports as it likes. Each step
// takes three bytes: what to do, where, and a value.
func FuzzRegisters(f *testing.F) {
	f.Add([]byte{0, 6, 0xE0, 0, 2, 1, 0, 7, 0x20, 4, 0, 255})
	f.Add([]byte{0, 6, 0xE0, 0, 2, 8, 0, 7, 0xC8, 6, 0, 9, 3, 0, 0, 3, 0, 0})
	f.Add([]byte{0, 6, 0xB0, 0, 5, 8, 0, 7, 0xA0, 5, 0x28, 6})
	f.Add([]byte{0, 7, 0x20, 1, 0, 4, 1, 0, 0, 2, 0, 4})
	f.Add([]byte{0, 1, 0x82, 0, 7, 0xEF, 0, 7, 0xE7, 1, 0, 4})
	f.Fuzz(func(t *testing.T, steps []byte) {
		r := newFuzzed(t)
		// Regions of all sizes, in RAM and not.
		r.table(prd{dataAt, 2}, prd{dataAt, 510}, prd{dataAt, 0}, prd{ramSize - 4096, 0x2000}, prd{0xFFFFFFF0, 0})
		base, ctl := uint64(PrimaryCommandPort), uint64(PrimaryControlPort)
		var data [4]byte
		for ; len(steps) >= 3; steps = steps[3:] {
			where, v := uint64(steps[1]), steps[2]
			switch steps[0] % 10 {
			case 0:
				r.ports.Write(base+where%8, []byte{v})
			case 1:
				r.ports.Write(ctl, []byte{v})
			case 2:
				r.ports.Read(base+where%8, data[:1+v%2])
			case 3:
				r.drain()
			case 4: // read so many words
				for range int(v) * 8 {
					r.ports.Read(base, data[:2+2*(where%2)])
				}
			case 5: // write so many words
				data = [4]byte{uint8(where), v, uint8(where >> 1), v}
				for range int(v) * 8 {
					r.ports.Write(base, data[:2+2*(where%2)])
				}
			case 6:
				r.ports.Write(bmBase+where%16, []byte{v})
			case 7:
				base, ctl = PrimaryCommandPort, PrimaryControlPort
				r.ch = 0
				if v&1 != 0 {
					base, ctl, r.ch = SecondaryCommandPort, SecondaryControlPort, 1
				}
			case 8:
				r.config(uint8(where)&^3, 4, uint32(v)<<(8*(where&3)))
			case 9:
				r.ports.Write(base+where%5, []byte{v, v, v, v})
			}
		}
		r.settled()
	})
}

// FuzzPRD is a table of memory regions as the guest likes, for a transfer of any
// size in both directions.
func FuzzPRD(f *testing.F) {
	f.Add([]byte{0, 0, 0x10, 0, 0, 2, 0, 0x80}, uint32(prdAt), uint8(1), uint8(0))
	f.Add([]byte{0, 0, 0x10, 0, 2, 0, 0, 0}, uint32(prdAt), uint8(0), uint8(1))
	f.Add(bytes.Repeat([]byte{0, 0, 0x10, 0, 6, 0, 0, 0}, 100), uint32(0xFFFFFFFC), uint8(200), uint8(2))
	f.Add(bytes.Repeat([]byte{0, 0, 0x10, 0, 0, 8, 0, 0}, 100), uint32(prdAt), uint8(100), uint8(3))
	f.Fuzz(func(t *testing.T, table []byte, at uint32, n, kind uint8) {
		r := newFuzzed(t)
		r.poke(prdAt, table[:min(len(table), 64<<10)])
		r.bm(regBMTable, 4, at)
		r.startDMA(true)
		switch kind % 4 {
		case 0:
			r.command(cmdReadDMA, 0, n)
		case 1:
			r.command(cmdWriteDMA, 0, n)
		case 2:
			r.on(0, 1).sendPacket(true, 0, read10(0, uint16(n))...)
		case 3:
			r.on(0, 1).sendPacket(true, 0, readCD(0, n, wantAll)...)
		}
		r.settled()
	})
}

// FuzzPacket sends any packet, with any byte limit, by PIO and DMA.
func FuzzPacket(f *testing.F) {
	for _, op := range []uint8{
		opTestUnitReady, opRequestSense, opInquiry, opModeSense6, opStartStopUnit, opPreventRemoval,
		opReadCapacity, opRead10, opSeek10, opReadTOC, opGetConfiguration, opGetEventStatus, opReadDiscInfo,
		opModeSense10, opRead12, opReadDVDStructure, opMechanismStatus, opReadCD,
	} {
		f.Add([]byte{op, 0, 0, 0, 255, 0, 0, 0, 9, 0xF8, 0, 0}, uint16(0xFFFF), false)
		f.Add([]byte{op, 1, 0x3F, 0, 0x10, 0, 0, 0, 255, 0, 0, 0}, uint16(7), true)
	}
	f.Fuzz(func(t *testing.T, packet []byte, limit uint16, dma bool) {
		r := newFuzzed(t).on(0, 1)
		r.table(prd{dataAt, 0}, prd{dataAt, 0})
		r.sendPacket(dma, limit, packet[:min(len(packet), packetSize)]...)
		if dma {
			r.startDMA(true)
		}
		for range 100 {
			r.drain()
			if r.in(regStatus)&statusDRQ == 0 {
				break
			}
			r.readData(int(r.in(regMid)) | int(r.in(regHigh))<<8)
		}
		r.settled()
	})
}
