package ide

import (
	"testing"

	"github.com/govmm/govmm/block"
)

func BenchmarkStatus(b *testing.B) {
	r, _, _ := newDisk(b)
	b.ReportAllocs()
	for b.Loop() {
		r.altStatus()
	}
}

// BenchmarkPIO is a sector read through the Data register, 16 bits at a time.
func BenchmarkPIO(b *testing.B) {
	r, _, _ := newDisk(b)
	b.ReportAllocs()
	b.SetBytes(128 * block.SectorSize)
	var word [2]byte
	for b.Loop() {
		r.command(cmdReadSectors, 0, 128)
		for range 128 {
			r.drain()
			r.in(regStatus)
			for range block.SectorSize / 2 {
				r.ports.Read(r.base, word[:])
			}
		}
	}
}

func BenchmarkDMA(b *testing.B) {
	for _, c := range []struct {
		name string
		n    uint8
	}{{"4K", 8}, {"64K", 128}} {
		b.Run(c.name, func(b *testing.B) {
			r, _, _ := newDisk(b)
			r.table(prd{dataAt, uint16(int(c.n) * block.SectorSize)})
			b.ReportAllocs()
			b.SetBytes(int64(c.n) * block.SectorSize)
			for b.Loop() {
				r.bm(regBMCommand, 1, 0)
				r.command(cmdReadDMA, 0, c.n)
				r.startDMA(true)
				r.drain()
				r.in(regStatus)
			}
		})
	}
}

// BenchmarkGather is a table of 4 KiB regions, as drivers make them.
func BenchmarkGather(b *testing.B) {
	r, _, _ := newDisk(b)
	regions := make([]prd, 64)
	for i := range regions {
		regions[i] = prd{dataAt + uint32(i)*8192, 4096}
	}
	r.table(regions...)
	m := &r.c.channels[0].busMaster
	b.ReportAllocs()
	for b.Loop() {
		m.start()
		if n, err := m.gather(64 * 4096); n != 64*4096 || err != nil {
			b.Fatal(n, err)
		}
	}
}
