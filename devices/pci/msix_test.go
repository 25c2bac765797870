package pci

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/irq"
)

// messages notes what is sent.
type messages struct{ sent []string }

func (m *messages) Send(addr uint64, data uint32) bool {
	m.sent = append(m.sent, fmt.Sprintf("%x=%x", addr, data))
	return true
}

func (m *messages) take() string {
	s := strings.Join(m.sent, " ")
	m.sent = nil
	return s
}

const msixBase = 0xFEB00000

// newMSIX puts a function with an MSI-X BAR of its own at slot 3.
func newMSIX(tb testing.TB, vectors int) (*rig, *MSIX, *messages) {
	r := newRig(tb, false)
	d := newDevice(tb, Header{Name: "nic", InterruptPin: 1})
	sent := &messages{}
	m, err := d.AddMSIXBAR(1, vectors, sent, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if err := r.bus.Add(d, 3, 0); err != nil {
		tb.Fatal(err)
	}
	r.write(3, 0, RegBAR0+4, 4, msixBase)
	r.write(3, 0, RegCommand, 2, CommandMemory)
	return r, m, sent
}

func (r *rig) store(addr uint64, size int, v uint64) {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(v >> (8 * i))
	}
	r.memory.Write(addr, data)
}

func (r *rig) load(addr uint64, size int) (v uint64) {
	data := make([]byte, size)
	r.memory.Read(addr, data)
	for i, b := range data {
		v |= uint64(b) << (8 * i)
	}
	return v
}

func (r *rig) entry(n int, addr uint64, data, control uint32) {
	at := msixBase + uint64(n)*16
	r.store(at, 4, addr)
	r.store(at+4, 4, addr>>32)
	r.store(at+8, 4, uint64(data))
	r.store(at+12, 4, uint64(control))
}

const (
	msixCap     = 0x40
	msixControl = msixCap + 2
)

func TestMSIXCapability(t *testing.T) {
	for _, tt := range []struct {
		vectors   int
		pba, size uint32
	}{{1, 0x800, 0x1000}, {3, 0x800, 0x1000}, {128, 0x800, 0x1000}, {129, 0x810, 0x1000}, {2048, 0x8000, 0x10000}} {
		r, _, _ := newMSIX(t, tt.vectors)
		if id, control := r.read(3, 0, msixCap, 1), r.read(3, 0, msixControl, 2); id != CapMSIX || control != uint32(tt.vectors-1) {
			t.Errorf("%d vectors: capability %#x, control %#x", tt.vectors, id, control)
		}
		if table, pba := r.read(3, 0, msixCap+4, 4), r.read(3, 0, msixCap+8, 4); table != 1 || pba != tt.pba|1 {
			t.Errorf("%d vectors: table %#x, pending bits %#x", tt.vectors, table, pba)
		}
		r.write(3, 0, msixControl, 2, 0xFFFF)
		if control := r.read(3, 0, msixControl, 2); control != 0xC000|uint32(tt.vectors-1) {
			t.Errorf("control %#x after writing ones", control)
		}
		r.write(3, 0, RegBAR0+4, 4, 0xFFFFFFFF)
		if v := r.read(3, 0, RegBAR0+4, 4); v != -tt.size {
			t.Errorf("%d vectors: BAR %#x, want size %#x", tt.vectors, v, tt.size)
		}
	}
}

func TestMSIXRefuses(t *testing.T) {
	for name, o := range map[string]MSIXOptions{
		"0 vectors":      {PBA: 0x800, MSI: irq.None{}},
		"2049 vectors":   {Vectors: 2049, PBA: 0x8000, MSI: irq.None{}},
		"BAR 6":          {Vectors: 1, BAR: 6, PBA: 0x800, MSI: irq.None{}},
		"unaligned":      {Vectors: 1, PBA: 0x804, MSI: irq.None{}},
		"overlap":        {Vectors: 3, PBA: 0x28, MSI: irq.None{}},
		"overlap before": {Vectors: 65, Table: 0x808, PBA: 0x800, MSI: irq.None{}},
		"nowhere":        {Vectors: 1, PBA: 0x800},
	} {
		if _, err := newDevice(t, Header{Name: "d"}).AddMSIX(o); err == nil || !strings.HasPrefix(err.Error(), "pci: d: MSI-X: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMSIXTable(t *testing.T) {
	r, m, _ := newMSIX(t, 3)
	const at = msixBase + 16
	if v := r.load(at+12, 4); v != 1 {
		t.Errorf("vector control %#x after reset", v)
	}
	for _, tt := range []struct {
		offset uint64
		size   int
		write  uint64
		want   [2]uint64
	}{
		{0, 8, 0x0000_0001_FEE0_1003, [2]uint64{0x1_FEE01000, 0x1_0000_0000}},
		{8, 8, 0xFFFF_FFFE_0000_4021, [2]uint64{0x1_FEE01000, 0x0000_4021}}, // reserved bits of the control
		{4, 4, 0, [2]uint64{0xFEE01000, 0x0000_4021}},
		{1, 1, 0x20, [2]uint64{0xFEE02000, 0x0000_4021}},
		{10, 2, 0xBEEF, [2]uint64{0xFEE02000, 0xBEEF_4021}},
		{12, 1, 0xFF, [2]uint64{0xFEE02000, 0x1_BEEF_4021}},
		{13, 1, 0, [2]uint64{0xFEE02000, 0x1_BEEF_4021}},
	} {
		r.store(at+tt.offset, tt.size, tt.write)
		if got := [2]uint64{r.load(at, 8), r.load(at+8, 8)}; got != tt.want {
			t.Errorf("%#x to +%d: %x, want %x", tt.write, tt.offset, got, tt.want)
		}
	}
	if lo, hi := r.load(at-16, 8), r.load(at+16, 8); lo != 0 || hi != 0 {
		t.Error("a neighbour changed")
	}
	r.store(msixBase+0x800, 8, ^uint64(0))
	r.store(msixBase+0x30, 8, ^uint64(0))
	if r.load(msixBase+0x800, 8) != 0 || r.load(msixBase+0x30, 8) != 0 {
		t.Error("pending bits or what is between can be written")
	}
	r.bus.Reset()
	if s := m.State(); s.Table[1] != (MSIXEntry{Masked: true}) {
		t.Errorf("after reset %+v", s.Table[1])
	}
}

func TestMSIXMasking(t *testing.T) {
	r, m, sent := newMSIX(t, 70)
	signal := func(want string) {
		t.Helper()
		for _, v := range []uint16{0, 1, 69, 70, NoVector} {
			m.Signal(v)
		}
		if got := sent.take(); got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	}
	pending := func(want ...uint64) {
		t.Helper()
		if got := []uint64{r.load(msixBase+0x800, 8), r.load(msixBase+0x808, 8)}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("pending %x, want %x", got, want)
		}
	}
	r.entry(0, 0xFEE00000, 0x40, 0)
	r.entry(69, 0x1_0000_0000, 0x69, 0)
	signal("")
	pending(0, 0)
	r.write(3, 0, msixControl, 2, msixEnable)
	signal("fee00000=40 100000000=69")
	pending(2, 0)
	r.write(3, 0, msixControl+1, 1, (msixEnable|msixFunctionMask)>>8)
	signal("")
	signal("")
	pending(3, 1<<5)
	if v := r.load(msixBase+0x80B, 1); v != 0 || r.load(msixBase+0x808, 1) != 1<<5 {
		t.Error("pending bits by byte")
	}
	r.entry(1, 0xFEE01000, 0x41, 0) // the function is still masked
	if got := sent.take(); got != "" {
		t.Errorf("sent %q", got)
	}
	r.store(msixBase+12, 4, 1)
	r.write(3, 0, msixControl, 2, msixEnable)
	if got := sent.take(); got != "fee01000=41 100000000=69" {
		t.Errorf("at unmasking %q", got)
	}
	pending(1, 0)
	r.store(msixBase, 4, 0xFEE03000)
	r.store(msixBase+12, 4, 0)
	if got := sent.take(); got != "fee03000=40" {
		t.Errorf("at unmasking %q", got)
	}
	pending(0, 0)
	r.store(msixBase+12, 4, 1)
	m.Signal(0)
	m.Forget()
	r.store(msixBase+12, 4, 0)
	if got := sent.take(); got != "" {
		t.Errorf("forgotten, and sent %q", got)
	}
}

// vector is an irq.Vector that notes where it is led to.
type vector struct {
	irq.Vector
	log  []string
	fail error
}

func (v *vector) Route(addr uint64, data uint32) error {
	v.log = append(v.log, fmt.Sprintf("%x=%x", addr, data))
	return v.fail
}

func (v *vector) Mask() error {
	v.log = append(v.log, "mask")
	return v.fail
}

func (v *vector) want(t *testing.T, want string) {
	t.Helper()
	if got := strings.Join(v.log, " "); got != want {
		t.Errorf("route %q, want %q", got, want)
	}
	v.log = nil
}

func TestMSIXRoute(t *testing.T) {
	r, m, _ := newMSIX(t, 3)
	r.entry(1, 0xFEE00000, 0x41, 0)
	r.entry(2, 0xFEE00000, 0x42, 0)
	v := &vector{}
	route := m.Connect(v, 1)
	v.want(t, "")
	r.write(3, 0, msixControl, 2, msixEnable)
	v.want(t, "fee00000=41")
	r.entry(2, 0xFEE00000, 0x43, 0)
	v.want(t, "")
	r.store(msixBase+16+8, 4, 0x51)
	v.want(t, "fee00000=51")
	r.write(3, 0, msixControl, 2, msixEnable|msixFunctionMask)
	v.want(t, "mask")
	route.SetVector(2)
	v.want(t, "")
	r.write(3, 0, msixControl, 2, msixEnable)
	v.want(t, "fee00000=43")
	r.store(msixBase+32+12, 4, 1)
	v.want(t, "mask")
	r.store(msixBase+32+12, 4, 0)
	v.want(t, "fee00000=43")
	route.SetVector(NoVector)
	v.want(t, "mask")
	route.SetVector(1)
	v.want(t, "fee00000=51")
	v.fail = errors.New("no GSI left")
	route.SetVector(2) // fails: it is masked then, and tried again
	r.store(msixBase, 4, 0)
	v.want(t, "fee00000=43 fee00000=43")
	v.fail = nil
	r.store(msixBase, 4, 0)
	v.want(t, "fee00000=43")
	r.bus.Reset()
	v.want(t, "mask")
	r.write(3, 0, msixControl, 2, msixEnable)
	route.Disconnect()
	r.entry(2, 0xFEE00000, 0x43, 0)
	v.want(t, "")
}

func TestMSIXSignalAllocatesNothing(t *testing.T) {
	r, m, _ := newMSIX(t, 3)
	m.out = irq.None{}
	r.entry(1, 0xFEE00000, 0x41, 0)
	r.write(3, 0, msixControl, 2, msixEnable)
	data := make([]byte, 4)
	if n := testing.AllocsPerRun(100, func() {
		m.Signal(1)
		m.Signal(2)
		m.Read(16, data)
		m.Write(16, data)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMSIXSignal(b *testing.B) {
	r, m, _ := newMSIX(b, 3)
	m.out = irq.None{}
	r.entry(1, 0xFEE00000, 0x41, 0)
	r.write(3, 0, msixControl, 2, msixEnable)
	b.ReportAllocs()
	for b.Loop() {
		m.Signal(1)
	}
}

// FuzzMSIX compares the deliveries with a simple model: a signalled vector is
// sent at once or, while masked, exactly once later.
func FuzzMSIX(f *testing.F) {
	f.Add([]byte{3, 0x80, 0, 1, 1, 16 + 12, 0, 1, 3, 0xC0, 0, 1, 3, 0x80})
	f.Fuzz(func(t *testing.T, ops []byte) {
		c, err := NewConfig(Header{Name: "d"})
		if err != nil {
			t.Fatal(err)
		}
		sent := &messages{}
		m, err := c.AddMSIXBAR(0, 4, sent, nil)
		if err != nil {
			t.Fatal(err)
		}
		var _ bus.Handler = m
		var signalled [4]bool // and not sent
		random := rand.New(rand.NewPCG(1, uint64(len(ops))))
		for ; len(ops) >= 2; ops = ops[2:] {
			arg := ops[1]
			switch ops[0] % 4 {
			case 0:
				m.Signal(uint16(arg % 6))
				if arg%6 < 4 && m.Enabled() {
					signalled[arg%6] = true
				}
			case 1:
				data := make([]byte, 1<<(arg%4))
				for i := range data {
					data[i] = byte(random.Uint32())
				}
				m.Write(uint64(arg&^7)%0x1000, data)
			case 2:
				data := make([]byte, 1<<(arg%4))
				m.Read(uint64(arg)*16, data)
			case 3:
				c.WriteConfig(msixControl+1, []byte{arg})
			}
			s := m.State()
			for i, waits := range signalled {
				free := s.Enabled && !s.Masked && !s.Table[i].Masked
				if waits && free {
					e := s.Table[i]
					if len(sent.sent) == 0 || !strings.Contains(strings.Join(sent.sent, " "), fmt.Sprintf("%x=%x", e.Address, e.Data)) {
						t.Fatalf("vector %d was not sent", i)
					}
					signalled[i] = false
				}
				if pending := s.Pending[0]>>i&1 != 0; pending != signalled[i] {
					t.Fatalf("vector %d pending %v, model %v", i, pending, signalled[i])
				}
			}
			if len(sent.sent) > 4 {
				t.Fatalf("%d messages at once", len(sent.sent))
			}
			sent.sent = nil
		}
	})
}
