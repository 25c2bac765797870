package pci_test

import (
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/pci/pcitest"
)

// TestVCPUs has several vCPUs at the same registers, while the device interrupts
// and complains: nothing locks up, and a reset brings it back.
func TestVCPUs(t *testing.T) {
	d := newEcho(16, 16)
	m := pcitest.New(t, pcitest.Options{
		Device: ringEcho{d}, IOEvents: &events{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	m.Start(virtio.FeatureRingReset)
	interrupts := d.activation.Interrupts
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, 0))
			for range 2000 {
				switch random.IntN(12) {
				case 0:
					m.Store(m.CommonAddress(0x14), 1, uint64(random.IntN(4)*5)) // 0, and DRIVER_OK
				case 1:
					m.Function.WriteConfig(0x22, []byte{byte(random.Uint32()), 0xFE})
				case 2:
					m.Function.WriteConfig(msixControl+1, []byte{byte(random.Uint32())})
				case 3:
					interrupts.ConfigChanged()
				case 4:
					interrupts.NeedsReset(errors.New("test"))
				case 5:
					m.Store(m.CommonAddress(0x3A), 2, 1)
				case 6:
					m.Out(0xC010, 2, random.Uint32N(3))
				case 7:
					m.In(0xC013, 1)
				default:
					m.Store(0xFE003000+random.Uint64N(12), 2, 0)
				}
			}
		})
	}
	wg.Wait()
	m.Place()
	m.Start(virtio.FeatureRingReset)
	exchange(t, m.Queues[0], "alive")
}
