package pci_test

import (
	"fmt"
	"testing"

	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/pci/pcitest"
)

// TestDrivers runs whole drivers against the device.
func TestDrivers(t *testing.T) {
	all := virtio.FeatureEventIndex | virtio.FeatureIndirect
	for _, legacy := range []bool{false, true} {
		for _, intx := range []bool{false, true} {
			for _, want := range []virtio.Features{0, all, all | virtio.FeaturePackedRing} {
				for _, vectors := range []int{0, 1, -1} {
					name := fmt.Sprintf("legacy=%v/intx=%v/features=%#x/vectors=%d", legacy, intx, uint64(want), vectors)
					t.Run(name, func(t *testing.T) {
						d := newEcho(64, 16)
						d.features = virtio.FeaturePackedRing
						m := pcitest.New(t, pcitest.Options{Device: d, Legacy: legacy, INTx: intx, MSIXVectors: vectors})
						for range 2 { // the second time over what the first has left
							m.Start(want)
							if got := d.activation.Features; got != m.Features {
								t.Errorf("device features %#x, driver %#x", got, m.Features)
							}
							packed := m.Features.Has(virtio.FeaturePackedRing)
							if wanted := !legacy && want.Has(virtio.FeaturePackedRing); packed != wanted {
								t.Errorf("packed %v, want %v", packed, wanted)
							}
							if len(m.Queues) != 2 {
								t.Fatalf("%d queues", len(m.Queues))
							}
							for i := range 100 {
								exchange(t, m.Queues[i%2], fmt.Sprint("request ", i))
							}
							d.activation.Interrupts.ConfigChanged()
							<-m.ConfigChanged
						}
						m.Reset()
						if d.resets != 2 || d.activates != 2 {
							t.Errorf("%d activations, %d resets", d.activates, d.resets)
						}
					})
				}
			}
		}
	}
}

// TestEarlyKick is a legacy driver that uses the device before DRIVER_OK.
func TestEarlyKick(t *testing.T) {
	d := newEcho(8)
	m := pcitest.New(t, pcitest.Options{Device: d, Legacy: true, INTx: true})
	m.Negotiate(0)
	m.SetUpQueues()
	exchange(t, m.Queues[0], "partition table")
	if s := m.Status(); s != pcitest.Acknowledge|pcitest.DriverBit {
		t.Errorf("status %#x", s)
	}
	m.SetStatus(pcitest.DriverOK)
	exchange(t, m.Queues[0], "data")
	if d.activates != 1 {
		t.Errorf("%d activations", d.activates)
	}
	m.SelectQueue(0)
	m.Out(0xC008, 4, 0) // takes the queue away
	if d.resets != 1 || m.Status() != 0 {
		t.Errorf("%d resets, status %#x", d.resets, m.Status())
	}
	m.Notify(0)
	if d.activates != 1 {
		t.Error("started again without a queue")
	}
}

// TestQueueReset resets one queue while the other one works.
func TestQueueReset(t *testing.T) {
	d := ringEcho{newEcho(16, 16)}
	m := pcitest.New(t, pcitest.Options{Device: d})
	m.Start(virtio.FeatureRingReset)
	if !m.Features.Has(virtio.FeatureRingReset) {
		t.Fatal("VIRTIO_F_RING_RESET is not offered")
	}
	exchange(t, m.Queues[0], "before")
	m.ResetQueue(0)
	if q := m.Function.State().Queues[0]; q.Ready || q.Desc != 0 || q.Size != 16 {
		t.Errorf("after the reset %+v", q)
	}
	exchange(t, m.Queues[1], "meanwhile")
	m.Notify(0) // nobody is there
	m.EnableQueue(m.Queues[0].Config())
	m.RestartQueue(0)
	exchange(t, m.Queues[0], "again")
	exchange(t, m.Queues[1], "afterwards")
	if s := m.Status(); s&pcitest.NeedsReset != 0 {
		t.Fatalf("status %#x", s)
	}
	m.Reset()
}

func TestQueueResetIsNotForAll(t *testing.T) {
	d := newEcho(16)
	d.features = virtio.FeatureRingReset // and no QueueResetter
	m := pcitest.New(t, pcitest.Options{Device: d})
	m.Start(virtio.FeatureRingReset)
	if m.Features.Has(virtio.FeatureRingReset) {
		t.Error("VIRTIO_F_RING_RESET is offered by a device that cannot do it")
	}
	m.SelectQueue(0)
	m.Store(m.CommonAddress(0x3A), 2, 1)
	exchange(t, m.Queues[0], "still there")
}

// TestViolation has a driver break the rules of its ring.
func TestViolation(t *testing.T) {
	for _, intx := range []bool{false, true} {
		d := newEcho(16, 16)
		m := pcitest.New(t, pcitest.Options{Device: d, INTx: intx})
		m.Start(0)
		q := m.Queues[0]
		if err := m.Memory.AtomicStore16(q.Config().Driver+2, 17); err != nil {
			t.Fatal(err)
		}
		m.Notify(0)
		<-m.ConfigChanged
		if s := m.Status(); s&pcitest.NeedsReset == 0 {
			t.Errorf("status %#x", s)
		}
		m.Start(0)
		exchange(t, m.Queues[0], "works again")
	}
}
