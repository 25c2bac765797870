package balloon_test

import (
	"encoding/binary"
	"testing"

	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/balloon"
	"github.com/govmm/govmm/virtio/pci/pcitest"
)

// TestPCI drives the device through the registers of its PCI function.
func TestPCI(t *testing.T) {
	const ram, first, n = 64 << 20, 32 << 20, 4 << 20
	tests := []struct {
		name     string
		legacy   bool
		features virtio.Features
	}{
		{"legacy", true, balloon.FeatureStats},
		{"modern", false, balloon.FeatureStats | balloon.FeatureReporting},
		{"packed", false, virtio.FeaturePackedRing | virtio.FeatureEventIndex},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			mem, err := memory.New(memory.Config{Size: ram})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { mem.Close() })
			dev, err := balloon.New(balloon.Options{Memory: mem, Clock: &clock.Fake{}, FreePageReporting: true})
			if err != nil {
				t.Fatal(err)
			}
			m := pcitest.New(t, pcitest.Options{Device: dev, Legacy: test.legacy, Memory: mem})
			for range 2 { // a reset between
				m.Start(test.features)
				if dev.Actual() != ram {
					t.Errorf("actual %d after a reset", dev.Actual())
				}
				if err := dev.SetTarget(ram - n); err != nil {
					t.Fatal(err)
				}
				<-m.ConfigChanged
				host, err := mem.Slice(first, n)
				if err != nil {
					t.Fatal(err)
				}
				for i := range host {
					host[i] = 1
				}
				before, err := mem.Resident()
				if err != nil {
					t.Fatal(err)
				}
				var list []byte
				for page := first / 4096; page < (first+n)/4096; page++ {
					list = binary.LittleEndian.AppendUint32(list, uint32(page))
				}
				q := m.Queues[0]
				q.Do(q.Readable(list))
				if after, err := mem.Resident(); err != nil || before-after != n {
					t.Errorf("resident memory went from %d to %d (%v), want %d less", before, after, err, n)
				}
				m.SetDeviceConfig(4, []byte{0, n / 4096 >> 8, 0, 0})
				if got := dev.Actual(); got != ram-n {
					t.Errorf("actual %d, want %d", got, ram-n)
				}
				if err := dev.SetTarget(ram); err != nil {
					t.Fatal(err)
				}
				<-m.ConfigChanged
			}
		})
	}
}
