package rng_test

import (
	"testing"

	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/pci/pcitest"
	"github.com/govmm/govmm/virtio/rng"
)

// TestPCI drives the device through the registers of its PCI function.
func TestPCI(t *testing.T) {
	tests := []struct {
		name     string
		legacy   bool
		features virtio.Features
	}{
		{"legacy", true, 0},
		{"legacy, events", true, virtio.FeatureEventIndex},
		{"modern", false, 0},
		{"packed", false, virtio.FeaturePackedRing | virtio.FeatureEventIndex},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dev, err := rng.New(rng.Options{})
			if err != nil {
				t.Fatal(err)
			}
			m := pcitest.New(t, pcitest.Options{Device: dev, Legacy: test.legacy})
			for range 2 { // a reset between
				m.Start(test.features)
				if m.Features&test.features != test.features {
					t.Errorf("features %#x", m.Features)
				}
				q := m.Queues[0]
				if n := q.Do(q.Writable(64)); n != 64 {
					t.Errorf("%d bytes, want 64", n)
				}
			}
		})
	}
}
