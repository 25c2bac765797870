package queue_test

import (
	"testing"

	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// TestLegacyLayout: the figures are those of the legacy formula (section 2.7.2)
// worked out by hand.
func TestLegacyLayout(t *testing.T) {
	for _, test := range []struct {
		size           uint16
		driver, device uint64
	}{
		{1, 0x10, 0x1000},
		{128, 0x800, 0x1000},  // 0x800 + 6 + 0x100 = 0x906
		{256, 0x1000, 0x2000}, // 0x1000 + 6 + 0x200 = 0x1206
		{1024, 0x4000, 0x5000},
		{32768, 0x80000, 0x91000}, // used_event takes the driver area into the next page
	} {
		const base = 0x123000
		driver, device := queue.LegacyLayout(base, test.size)
		if driver != base+test.driver || device != base+test.device {
			t.Errorf("size %d: driver area at +%#x, device area at +%#x; want +%#x and +%#x",
				test.size, driver-base, device-base, test.driver, test.device)
		}
	}
}

func TestLegacyPFN(t *testing.T) {
	c := queue.Config{MaxSize: 256, Size: 256}
	if got := c.PFN(); got != 0 {
		t.Errorf("PFN at first: %#x", got)
	}
	c.SetPFN(0xfffff)
	if want := (queue.Config{
		MaxSize: 256, Size: 256, Ready: true,
		Desc: 0xfffff000, Driver: 0x100000000, Device: 0x100001000,
	}); c != want {
		t.Errorf("SetPFN: %+v, want %+v", c, want)
	}
	if got := c.PFN(); got != 0xfffff {
		t.Errorf("PFN: %#x", got)
	}
	c.SetPFN(0)
	if c.Ready || c.PFN() != 0 {
		t.Errorf("after SetPFN(0): %+v", c)
	}
}

func TestConfigReset(t *testing.T) {
	c := queue.Config{
		Index: 2, MaxSize: 256, Size: 64, Ready: true, Desc: 1, Driver: 2, Device: 3,
		Packed: true, EventIndex: true, Indirect: true, InOrder: true,
	}
	c.Reset()
	if want := (queue.Config{Index: 2, MaxSize: 256, Size: 256}); c != want {
		t.Errorf("%+v, want %+v", c, want)
	}
}

// TestAccessors: a back end that serves a queue itself gets all it needs.
func TestAccessors(t *testing.T) {
	d := queuetest.New(t, newMemory(t), queuetest.Options{Index: 5, Size: 8, Base: 0x10000})
	q := d.Start()
	if q.Index() != 5 || q.Size() != 8 || q.Config() != d.Config() {
		t.Errorf("index %d, size %d, %+v", q.Index(), q.Size(), q.Config())
	}
	q.Interrupter().Interrupt()
	if !d.Line().Raised() {
		t.Error("Interrupter is another one")
	}
}
