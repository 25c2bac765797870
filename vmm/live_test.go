package vmm_test

import (
	"testing"

	"github.com/govmm/govmm/tests/tiny"
)

// What the guest sends is counted where no interface of the host counts it.
func TestNetStats(t *testing.T) {
	m, out := newMachine(t, tiny.Options{
		Cmdline: "test=virtio-net exit=hang",
		Devices: "<interface type='user'><model type='virtio'/></interface><interface type='user'><model type='e1000'/></interface>",
	})
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	out.wait(t, "done ", 1)
	got := m.NetStats()
	if len(got) != 2 || got[0].Alias != "net0" || got[1].Alias != "net1" {
		t.Fatalf("statistics of %+v", got)
	}
	if s := got[0]; s.TxPackets == 0 || s.TxBytes < 14*s.TxPackets {
		t.Errorf("the card that sends: %+v", s)
	}
	if s := got[1]; s.TxPackets != 0 || s.RxPackets != 0 {
		t.Errorf("the card that nobody drives: %+v", s)
	}
}
