package console_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/console"
	"github.com/govmm/govmm/virtio/pci/pcitest"
)

// TestPCI drives a device with real back ends through the registers of its PCI
// function.
func TestPCI(t *testing.T) {
	tests := []struct {
		name     string
		legacy   bool
		features virtio.Features
	}{
		{"legacy", true, 0},
		{"legacy, size", true, console.FeatureSize | virtio.FeatureEventIndex},
		{"modern", false, 0},
		{"packed", false, virtio.FeaturePackedRing | virtio.FeatureEventIndex},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			file, err := chardev.OpenFile(chardev.FileOptions{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			dev, err := console.New(console.Options{MaxPorts: 2, Ports: []console.Port{{Console: true, Backend: file}}})
			if err != nil {
				t.Fatal(err)
			}
			m := pcitest.New(t, pcitest.Options{Device: dev, Legacy: test.legacy})
			var want []byte
			for range 2 { // a reset between
				m.Start(test.features)
				m.SetDeviceConfig(8, []byte("!\x00\x00\x00")) // an emergency write
				want = append(want, '!')
				q := m.Queues[1]
				line := bytes.Repeat([]byte("A line of output.\n"), 1000)
				buf := q.Readable(line)
				for range 20 { // more than the back end holds
					q.Do(buf)
					want = append(want, line...)
				}
			}
			if err := file.Close(); err != nil {
				t.Error(err)
			}
			got, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes of output, want %d (%v)", len(got), len(want), err)
			}
		})
	}
}
