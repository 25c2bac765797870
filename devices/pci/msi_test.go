package pci

import (
	"fmt"
	"strings"
	"testing"

	"github.com/govmm/govmm/devices/irq"
)

func newMSI(tb testing.TB, o MSIOptions) (*rig, *MSI, *messages) {
	r := newRig(tb, false)
	d := newDevice(tb, Header{Name: "ahci", InterruptPin: 1})
	sent := &messages{}
	o.MSI = sent
	m, err := d.AddMSI(o)
	if err != nil {
		tb.Fatal(err)
	}
	if err := r.bus.Add(d, 3, 0); err != nil {
		tb.Fatal(err)
	}
	return r, m, sent
}

// TestMSILayout writes ones to all of the capability.
func TestMSILayout(t *testing.T) {
	for _, tt := range []struct {
		options MSIOptions
		want    string
	}{
		{MSIOptions{Vectors: 1}, "00710005 fffffffc 0000ffff 00000000 00000000 00000000"},
		{MSIOptions{Vectors: 2, Address64: true}, "00f30005 fffffffc ffffffff 0000ffff 00000000 00000000"},
		{MSIOptions{Vectors: 4, Maskable: true}, "01750005 fffffffc 0000ffff 0000000f 00000000 00000000"},
		{MSIOptions{Vectors: 32, Address64: true, Maskable: true}, "01fb0005 fffffffc ffffffff 0000ffff ffffffff 00000000"},
	} {
		r, _, _ := newMSI(t, tt.options)
		var got []string
		for reg := uint64(0x40); reg < 0x58; reg += 4 {
			r.write(3, 0, reg, 4, 0xFFFFFFFF)
			got = append(got, fmt.Sprintf("%08x", r.read(3, 0, reg, 4)))
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%+v:\n%s, want\n%s", tt.options, s, tt.want)
		}
	}
}

func TestMSIRefuses(t *testing.T) {
	for _, o := range []MSIOptions{
		{MSI: irq.None{}}, {Vectors: 3, MSI: irq.None{}}, {Vectors: 64, MSI: irq.None{}}, {Vectors: -1, MSI: irq.None{}}, {Vectors: 1},
	} {
		if _, err := newDevice(t, Header{Name: "d"}).AddMSI(o); err == nil || !strings.HasPrefix(err.Error(), "pci: d: MSI ") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestMSISignal(t *testing.T) {
	r, m, sent := newMSI(t, MSIOptions{Vectors: 4, Address64: true, Maskable: true})
	signal := func(want string) {
		t.Helper()
		for _, v := range []int{-1, 0, 3, 4} {
			m.Signal(v)
		}
		if got := sent.take(); got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	}
	r.write(3, 0, 0x44, 4, 0xFEE01000)
	r.write(3, 0, 0x4C, 2, 0x4047)
	signal("")
	if m.Enabled() {
		t.Error("enabled")
	}
	r.write(3, 0, 0x42, 2, msiEnable)
	signal("fee01000=4047 fee01000=4047") // one vector given
	r.write(3, 0, 0x42, 2, msiEnable|2<<msiEnabledShift)
	signal("fee01000=4044 fee01000=4047")
	r.write(3, 0, 0x42, 2, msiEnable|7<<msiEnabledShift) // more than it has
	signal("fee01000=4044 fee01000=4047")
	r.write(3, 0, 0x48, 4, 2)
	r.write(3, 0, 0x50, 4, 1<<3)
	signal("2fee01000=4044")
	if v := r.read(3, 0, 0x54, 4); v != 1<<3 {
		t.Errorf("pending %#x", v)
	}
	r.write(3, 0, 0x50, 1, 0)
	if got := sent.take(); got != "2fee01000=4047" || r.read(3, 0, 0x54, 4) != 0 {
		t.Errorf("at unmasking %q", got)
	}
	r.write(3, 0, 0x50, 1, 1)
	m.Signal(0)
	r.bus.Reset()
	if m.Enabled() || r.read(3, 0, 0x54, 4) != 0 {
		t.Error("reset leaves something behind")
	}
}

func TestMSISignalAllocatesNothing(t *testing.T) {
	r, m, _ := newMSI(t, MSIOptions{Vectors: 1})
	m.out = irq.None{}
	r.write(3, 0, 0x42, 2, msiEnable)
	if n := testing.AllocsPerRun(100, func() { m.Signal(0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
