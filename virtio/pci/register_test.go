package pci_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/govmm/govmm/devices/irq"
	"github.com/govmm/govmm/virtio"
	virtiopci "github.com/govmm/govmm/virtio/pci"
	"github.com/govmm/govmm/virtio/pci/pcitest"
)

func TestIdentity(t *testing.T) {
	for _, tt := range []struct {
		kind           virtio.Type
		noLegacy       bool
		id, class, sub uint32
		bar0           uint32 // after writing ones
	}{
		{virtio.Network, false, 0x10001AF4, 0x02000000, 0x00011AF4, 0xFFFFFFC1},
		{virtio.Block, false, 0x10011AF4, 0x01000000, 0x00021AF4, 0xFFFFFF81},
		{virtio.Balloon, false, 0x10021AF4, 0x00FF0000, 0x00051AF4, 0xFFFFFFC1},
		{virtio.Console, false, 0x10031AF4, 0x07800000, 0x00031AF4, 0xFFFFFFC1},
		{virtio.Entropy, false, 0x10051AF4, 0x00FF0000, 0x00041AF4, 0xFFFFFFE1},
		{virtio.Entropy, true, 0x10441AF4, 0x00FF0001, 0x11001AF4, 0},
		{19, true, 0x10531AF4, 0x00FF0001, 0x11001AF4, 0},
	} {
		d := newEcho(8, 8)
		d.kind = tt.kind
		f, err := virtiopci.New(virtiopci.Options{Name: "d", Device: d, MSI: irq.None{}, NoLegacy: tt.noLegacy})
		if err != nil {
			t.Fatal(err)
		}
		if id, class, sub := f.Uint32(0), f.Uint32(8), f.Uint32(0x2C); id != tt.id || class != tt.class || sub != tt.sub {
			t.Errorf("type %d: %08x %08x %08x", tt.kind, id, class, sub)
		}
		for reg, want := range map[uint8]uint32{0x10: tt.bar0, 0x14: 0xFFFFF000, 0x20: 0xFFFFC00C, 0x24: 0xFFFFFFFF, 0x3C: 0x1FF} {
			f.WriteConfig(reg, []byte{0xFF, 0xFF, 0xFF, 0xFF})
			if v := f.Uint32(reg); v != want {
				t.Errorf("type %d: register %#x %08x, want %08x", tt.kind, reg, v, want)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestLegacyOnly has no modern registers, and offers what fits in the others.
func TestLegacyOnly(t *testing.T) {
	d := newEcho(8)
	d.features = 1 | virtio.FeaturePackedRing
	f, err := virtiopci.New(virtiopci.Options{Name: "d", Device: ringEcho{d}, MSI: irq.None{}, NoModern: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	if capability, bar := f.Uint32(0x40), f.Uint32(0x20); capability != 0x00010011 || bar != 0 {
		t.Errorf("capability %08x, BAR %08x", capability, bar)
	}
	f.WriteConfig(0x10, []byte{0xFF, 0xFF, 0xFF, 0xFF}) // where the window would be
	data := make([]byte, 4)
	f.ReadConfig(0x10, data)
	if data[0] != 0xE1 {
		t.Errorf("BAR 0 %x", data)
	}
}

func TestNewRefuses(t *testing.T) {
	other := newEcho(8)
	other.kind = 19
	for want, o := range map[string]virtiopci.Options{
		"virtio d: neither the legacy nor the modern interface is wanted": {Device: newEcho(8), NoLegacy: true, NoModern: true},
		"virtio d: device type 19 has no legacy interface: set NoLegacy":  {Device: other},
		"virtio d: 1025 queues are more than 1024":                        {Device: newEcho(make([]uint16, 1025)...)},
		"virtio d: pci: d: MSI-X: 2049 vectors are not 1 to 2048":         {Device: newEcho(8), MSIXVectors: 2049},
	} {
		o.Name, o.MSI = "d", irq.None{}
		if _, err := virtiopci.New(o); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestCapabilities compares the list with that of QEMU's transitional devices.
func TestCapabilities(t *testing.T) {
	m := pcitest.New(t, pcitest.Options{Device: newEcho(8, 8)})
	for at, want := range map[uint8]string{
		0x40: "01105009 00000004 00000000 00001000",
		0x50: "03106009 00000004 00001000 00001000",
		0x60: "04107009 00000004 00002000 00001000",
		0x70: "02148409 00000004 00003000 00001000 00000004",
		0x84: "05149809 00000000 00000000 00000000 00000000",
		0x98: "00020011 00000001 00000801",
	} {
		got := make([]string, len(strings.Fields(want)))
		for i := range got {
			got[i] = fmt.Sprintf("%08x", m.ReadConfig(at+4*uint8(i), 4))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%#x: %s, want %s", at, s, want)
		}
	}
}

// TestCommonRegisters writes ones to each register before anything is set up.
func TestCommonRegisters(t *testing.T) {
	d := newEcho(256, 16)
	d.features = 1<<5 | virtio.FeatureInOrder
	m := pcitest.New(t, pcitest.Options{Device: d, MSIXVectors: 4})
	m.SelectQueue(1)
	for _, tt := range []struct {
		reg           uint64
		size          int
		before, after uint64
	}{
		{0x00, 4, 0, 0xFFFFFFFF}, {0x04, 4, 0, 0}, // no features beyond 63
		{0x08, 4, 0, 0xFFFFFFFF}, {0x0C, 4, 0, 0},
		{0x10, 2, 0xFFFF, 0xFFFF}, {0x12, 2, 2, 2},
		{0x15, 1, 0, 0},
		{0x18, 2, 16, 16}, {0x1A, 2, 0xFFFF, 0xFFFF}, {0x1C, 2, 0, 0}, {0x1E, 2, 1, 1},
		{0x20, 4, 0, 0xFFFFFFFF}, {0x24, 4, 0, 0xFFFFFFFF},
		{0x28, 8, 0, ^uint64(0)}, {0x30, 8, 0, ^uint64(0)},
		{0x38, 2, 0, 0}, {0x3A, 2, 0, 0}, {0x3C, 4, 0, 0}, {0x40, 8, 0, 0},
	} {
		at := m.CommonAddress(tt.reg)
		before := m.Load(at, tt.size)
		m.Store(at, tt.size, ^uint64(0))
		if after := m.Load(at, tt.size); before != tt.before || after != tt.after {
			t.Errorf("%#x: %#x, then %#x, want %#x, then %#x", tt.reg, before, after, tt.before, tt.after)
		}
	}
	for _, tt := range []struct {
		reg         uint64
		size        int
		write, want uint64
	}{
		{0x10, 2, 3, 3}, {0x10, 2, 4, 0xFFFF}, {0x1A, 2, 0, 0}, {0x1A, 2, 5, 0xFFFF},
		{0x18, 2, 8, 8}, {0x18, 2, 17, 8}, {0x18, 2, 0, 8},
		{0x22, 1, 0, 0}, {0x20, 4, 0x12345678, 0x12345678}, {0x21, 2, 0xABCD, 0xABCD},
	} {
		m.Store(m.CommonAddress(tt.reg), tt.size, tt.write)
		if got := m.Load(m.CommonAddress(tt.reg), tt.size); got != tt.want {
			t.Errorf("%#x written to %#x: %#x, want %#x", tt.write, tt.reg, got, tt.want)
		}
	}
	if v := m.Load(m.CommonAddress(0x20), 8); v != 0xFFFFFFFF12ABCD78 {
		t.Errorf("queue_desc %#x after writes of parts", v)
	}
	for selected := range 2 {
		m.SelectQueue(2 + 0x1000*selected) // there is none
		for _, reg := range []uint64{0x18, 0x1C, 0x1E, 0x20, 0x28, 0x30} {
			m.Store(m.CommonAddress(reg), 2, 1)
			if v := m.Load(m.CommonAddress(reg), 2); v != 0 {
				t.Errorf("register %#x of no queue %#x", reg, v)
			}
		}
	}
	m.Reset()
	m.SelectQueue(1)
	if size, desc := m.Load(m.CommonAddress(0x18), 2), m.Load(m.CommonAddress(0x20), 8); size != 16 || desc != 0 {
		t.Errorf("after a reset: size %d, queue_desc %#x", size, desc)
	}
}

// TestLegacyRegisters writes to each register of the header.
func TestLegacyRegisters(t *testing.T) {
	d := newEcho(256, 16)
	m := pcitest.New(t, pcitest.Options{Device: d, Legacy: true})
	m.SelectQueue(1)
	const offered = uint32(virtio.FeatureIndirect | virtio.FeatureEventIndex | virtio.FeatureAnyLayout)
	check := func(reg uint64, size int, write, before, after uint32) {
		t.Helper()
		old := m.In(0xC000+reg, size)
		m.Out(0xC000+reg, size, write)
		if v := m.In(0xC000+reg, size); old != before || v != after {
			t.Errorf("%#x: %#x, then %#x, want %#x, then %#x", reg, old, v, before, after)
		}
	}
	check(0x00, 4, 0, offered, offered)
	check(0x04, 4, 0xFFFFFFFF, 0, offered)
	check(0x04, 1, 0, offered&0xFF, 0)
	check(0x08, 4, 0x12345, 0, 0x12345)
	check(0x08, 4, 0, 0x12345, 0)
	check(0x0C, 2, 8, 16, 16)
	check(0x0E, 2, 0, 1, 0)
	check(0x0C, 4, 0x00020000, 256, 0x00020000) // no queue 2
	check(0x08, 4, 1, 0, 0)
	check(0x10, 2, 0, 0, 0)
	check(0x12, 1, 0xFB, 0, 0x83) // FEATURES_OK and NEEDS_RESET are not there
	check(0x13, 1, 3, 0, 0)
	check(0x14, 2, 0x0102, 0x0201, 0x0102) // device configuration, without MSI-X
	m.WriteConfig(0x9A, 2, 0x8000)
	check(0x14, 2, 2, 0xFFFF, 2)
	check(0x14, 2, 3, 2, 0xFFFF)
	check(0x16, 2, 1, 0xFFFF, 0xFFFF) // of no queue
	m.SelectQueue(1)
	check(0x16, 2, 1, 0xFFFF, 1)
	check(0x18, 2, 0x0102, 0x0102, 0x0102)
	check(0x12, 1, 0, 0x83, 0)
	m.Negotiate(0)
	m.Store(m.CommonAddress(0x08), 4, 1)
	m.Store(m.CommonAddress(0x0C), 4, 1)
	m.Store(m.CommonAddress(0x14), 1, pcitest.FeaturesOK)
	m.Out(0xC008, 4, 1) // a mixture
	if m.In(0xC008, 4) != 0 {
		t.Error("the legacy queue address works after FEATURES_OK")
	}
	m.Reset()
	m.SetUpQueues()
	m.SetStatus(pcitest.DriverBit | pcitest.DriverOK)
	pfn := m.In(0xC008, 4)
	m.Out(0xC008, 4, 7)
	if v := m.In(0xC008, 4); v != pfn {
		t.Errorf("queue address %#x changed to %#x while the device runs", pfn, v)
	}
}

func TestFeatures(t *testing.T) {
	d := newEcho(8)
	d.features = 1<<3 | virtio.FeatureInOrder | virtio.FeaturePackedRing
	common := d.features | virtio.FeatureIndirect
	m := pcitest.New(t, pcitest.Options{Device: d, Withhold: virtio.FeatureEventIndex})
	if got, want := m.OfferedFeatures(), common|virtio.FeatureVersion1; got != want {
		t.Errorf("modern: %#x, want %#x", uint64(got), uint64(want))
	}
	if got, want := m.In(0xC000, 4), uint32(common|virtio.FeatureAnyLayout); got != want {
		t.Errorf("legacy: %#x, want %#x", got, want)
	}
	for _, tt := range []struct {
		want     virtio.Features
		beyond   bool
		accepted bool
	}{
		{virtio.FeatureVersion1, false, true},
		{virtio.FeatureVersion1 | common, false, true},
		{common, false, false},
		{virtio.FeatureVersion1 | 1<<4, false, false},
		{virtio.FeatureVersion1 | virtio.FeatureAnyLayout, false, false},
		{virtio.FeatureVersion1 | virtio.FeatureEventIndex, false, false},
		{virtio.FeatureVersion1 | 1<<63, false, false},
		{virtio.FeatureVersion1, true, false},
	} {
		m.Reset()
		m.SetStatus(pcitest.Acknowledge)
		m.SetStatus(pcitest.DriverBit)
		m.SetFeatures(tt.want)
		if tt.beyond {
			m.Store(m.CommonAddress(8), 4, 2)
			m.Store(m.CommonAddress(12), 4, 1)
		}
		m.SetStatus(pcitest.FeaturesOK)
		if accepted := m.Status()&pcitest.FeaturesOK != 0; accepted != tt.accepted {
			t.Errorf("%#x: accepted %v", uint64(tt.want), accepted)
		}
		m.SetFeatures(0)
		if got := m.Function.State().DriverFeatures; tt.accepted && got != tt.want {
			t.Errorf("features %#x changed to %#x after FEATURES_OK", uint64(tt.want), uint64(got))
		}
	}
}

// TestBrokenSetUp is about drivers that break the rules of initialisation.
func TestBrokenSetUp(t *testing.T) {
	enable := func(m *pcitest.Machine, desc uint64) {
		m.SelectQueue(0)
		m.Store(m.CommonAddress(0x20), 8, desc)
		m.Store(m.CommonAddress(0x28), 8, pcitest.MemoryBase+0x1000)
		m.Store(m.CommonAddress(0x30), 8, pcitest.MemoryBase+0x2000)
		m.Store(m.CommonAddress(0x1C), 2, 1)
	}
	for _, tt := range []struct {
		name  string
		drive func(m *pcitest.Machine)
		want  string // in the log
	}{
		{"queue before FEATURES_OK", func(m *pcitest.Machine) { enable(m, pcitest.MemoryBase) },
			"enables virtqueue 0 before FEATURES_OK"},
		{"queue outside of memory", func(m *pcitest.Machine) { m.Negotiate(0); enable(m, 1<<40) },
			"the descriptor area is not in RAM"},
		{"queue misaligned", func(m *pcitest.Machine) { m.Negotiate(0); enable(m, pcitest.MemoryBase+8) },
			"the descriptor area is not aligned to 16 bytes"},
		{"queue after DRIVER_OK", func(m *pcitest.Machine) {
			m.Negotiate(0)
			m.SetStatus(pcitest.DriverOK)
			enable(m, pcitest.MemoryBase)
		}, "enables virtqueue 0 after DRIVER_OK"},
		{"DRIVER_OK before FEATURES_OK", func(m *pcitest.Machine) { m.SetStatus(pcitest.DriverOK) },
			"sets DRIVER_OK before FEATURES_OK"},
		{"legacy queue outside of memory", func(m *pcitest.Machine) {
			m.Out(0xC008, 4, 0xFFFFFFFF)
			m.Out(0xC012, 1, pcitest.DriverOK)
		}, "the descriptor area is not in RAM"},
		{"refused by the device", func(m *pcitest.Machine) {
			m.Function.State()
			m.Negotiate(1)
			m.SetStatus(pcitest.DriverOK)
		}, "start of the device: no such backend"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			d := newEcho(8)
			d.features = 1
			d.activated = func(a virtio.Activation) error {
				if a.Features.Has(1) {
					return errors.New("no such backend")
				}
				return nil
			}
			m := pcitest.New(t, pcitest.Options{Device: d, Log: slog.New(slog.NewTextHandler(&log, nil))})
			tt.drive(m)
			if s := m.Status(); s&pcitest.NeedsReset == 0 {
				t.Errorf("status %#x", s)
			}
			if !strings.Contains(log.String(), tt.want) {
				t.Errorf("log %s", log.String())
			}
			enable(m, pcitest.MemoryBase) // and more of it has no effect
			m.Notify(0)
			m.Start(0)
			exchange(t, m.Queues[0], "works again")
		})
	}
}

// TestDropped is about writes that have no effect.
func TestDropped(t *testing.T) {
	d := newEcho(8)
	m := pcitest.New(t, pcitest.Options{Device: d})
	m.Start(0)
	before := m.Function.State()
	for reg := uint64(0x18); reg < 0x40; reg += 2 {
		if reg != 0x1A { // the vector may change at any time
			m.Store(m.CommonAddress(reg), 2, 0)
		}
	}
	m.SetFeatures(0)
	m.Out(0xC004, 4, 0)
	m.Out(0xC008, 4, 0x100)
	m.Store(m.CommonAddress(0x14), 1, pcitest.Acknowledge) // clears bits
	m.Out(0xC012, 1, pcitest.Acknowledge)
	after := m.Function.State()
	before.DriverFeatureSelect, after.DriverFeatureSelect = 0, 0
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("%+v, before %+v", after, before)
	}
	exchange(t, m.Queues[0], "goes on")
}

func TestDeviceConfig(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		d := newEcho(8)
		m := pcitest.New(t, pcitest.Options{Device: d, Legacy: legacy})
		if got := m.DeviceConfig(0, 10); !bytes.Equal(got, []byte{1, 2, 3, 4, 5, 6, 7, 8, 0, 0}) {
			t.Errorf("legacy %v: %v", legacy, got)
		}
		if v := m.In(0xC012, 4); legacy && v != 0x02010000 { // status, ISR, first two bytes
			t.Errorf("across the end of the header %#x", v)
		}
		m.SetDeviceConfig(2, []byte{9, 8})
		m.Start(0) // enables MSI-X, which moves the legacy one
		if got := m.DeviceConfig(1, 4); !bytes.Equal(got, []byte{2, 9, 8, 5}) {
			t.Errorf("legacy %v: %v", legacy, got)
		}
		if legacy {
			continue
		}
		old := m.Generation()
		d.activation.Interrupts.ConfigChanged()
		if m.Generation() == old {
			t.Error("the generation stays")
		}
	}
}

// TestWindow reaches the registers by way of the configuration space.
func TestWindow(t *testing.T) {
	m := pcitest.New(t, pcitest.Options{Device: newEcho(8, 8)})
	m.WriteConfig(0x04, 2, 0) // with the BARs unmapped
	window := func(bar uint8, offset, length uint32) {
		m.WriteConfig(0x88, 1, uint32(bar))
		m.WriteConfig(0x8C, 4, offset)
		m.WriteConfig(0x90, 4, length)
	}
	window(4, 0x12, 2)
	if v := m.ReadConfig(0x94, 4); v != 2 {
		t.Errorf("num_queues %#x", v)
	}
	window(4, 0x2002, 1)
	if v := m.ReadConfig(0x94, 1); v != 3 {
		t.Errorf("device configuration %#x", v)
	}
	window(4, 0x14, 1)
	m.WriteConfig(0x94, 4, pcitest.Acknowledge)
	if s := m.Function.State().Status; s != pcitest.Acknowledge {
		t.Errorf("status %#x", s)
	}
	for _, tt := range [][3]uint32{{0, 0x14, 1}, {4, 0x14, 8}, {4, 0x14, 0}, {4, 0x4000, 1}, {4, 0xFFFFFFFC, 4}, {4, 0x16, 4}} {
		window(uint8(tt[0]), tt[1], tt[2])
		m.WriteConfig(0x94, 4, 0xFF)
		if v := m.ReadConfig(0x94, 4); v != 0xFF {
			t.Errorf("%x reads %#x", tt, v)
		}
	}
	if s := m.Function.State(); s.Status != pcitest.Acknowledge || s.QueueSelect != 0 {
		t.Errorf("state %+v", s)
	}
}
