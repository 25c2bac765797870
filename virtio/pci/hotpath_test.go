package pci_test

import (
	"fmt"
	"testing"

	"github.com/govmm/govmm/virtio/pci/pcitest"
)

// hot is a device that runs, with the accesses of its driver that are frequent.
// The pin does not reach the test's interrupt handler.
type hot struct {
	m         *pcitest.Machine
	interrupt interface{ Interrupt() }
	config    func() // of the device
	data      [2]byte
}

func newHot(tb testing.TB, legacy, intx bool) *hot {
	var in interrupters
	d := newEcho(8)
	d.activated = in.collect
	m := pcitest.New(tb, pcitest.Options{Device: d, Legacy: legacy, INTx: intx})
	m.Start(0)
	m.WriteConfig(4, 2, 0x407)
	return &hot{m: m, interrupt: in[0], config: d.activation.Interrupts.ConfigChanged}
}

func (h *hot) ring()       { h.m.Device.Write(0xFE003000, h.data[:]) }
func (h *hot) ringLegacy() { h.m.Ports.Write(0xC010, h.data[:]) }
func (h *hot) isr()        { h.m.Device.Read(0xFE001000, h.data[:1]) }
func (h *hot) isrLegacy()  { h.m.Ports.Read(0xC013, h.data[:1]) }
func (h *hot) status()     { h.m.Device.Read(0xFE000014, h.data[:1]) }

func TestHotPathsAllocateNothing(t *testing.T) {
	for _, intx := range []bool{false, true} {
		h := newHot(t, false, intx)
		if n := testing.AllocsPerRun(100, func() {
			h.ring()
			h.ringLegacy()
			h.interrupt.Interrupt()
			h.isr()
			h.config()
			h.isrLegacy()
			h.status()
		}); n != 0 {
			t.Errorf("INTx %v: %v allocations", intx, n)
		}
	}
}

func BenchmarkDoorbell(b *testing.B) {
	for _, legacy := range []bool{false, true} {
		b.Run(fmt.Sprintf("legacy=%v", legacy), func(b *testing.B) {
			h := newHot(b, legacy, true)
			ring := h.ring
			if legacy {
				ring = h.ringLegacy
			}
			b.ReportAllocs()
			for b.Loop() {
				ring()
			}
		})
	}
}

func BenchmarkInterrupt(b *testing.B) {
	for _, intx := range []bool{false, true} {
		b.Run(fmt.Sprintf("INTx=%v", intx), func(b *testing.B) {
			h := newHot(b, false, intx)
			b.ReportAllocs()
			for b.Loop() {
				h.interrupt.Interrupt()
				h.isr()
			}
		})
	}
}
