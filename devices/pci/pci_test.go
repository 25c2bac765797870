package pci

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/irq"
)

// rig is a PC's PCI bus with its ports, without KVM.
type rig struct {
	tb     testing.TB
	clock  clock.Fake
	ports  *bus.Bus
	memory *bus.Bus
	router *Router
	bus    *Bus
	host   *I440FX
	piix3  *PIIX3
	pm     *PIIX4PM

	log    bytes.Buffer
	irq    [16]bool
	events []string // resets, power-off, PAM and ELCR reports
}

func newRig(tb testing.TB, firmware bool) *rig {
	r := &rig{tb: tb, ports: bus.New("ports", 0x10000), memory: bus.New("memory", 1<<40)}
	log := slog.New(slog.NewTextHandler(&r.log, nil))
	note := func(format string, args ...any) { r.events = append(r.events, fmt.Sprintf(format, args...)) }
	var lines [16]irq.Line
	for i := range lines {
		lines[i] = irq.LineFunc(func(asserted bool) { r.irq[i] = asserted })
	}
	sci := irq.NewShared(lines[SCI])
	lines[SCI] = sci.Source()
	r.router = NewRouter(lines)
	r.bus = NewBus(Options{Ports: r.ports, Memory: r.memory, Router: r.router, Firmware: firmware, Log: log})
	r.host = NewI440FX(I440FXOptions{PAMChanged: func(pam [7]uint8) { note("pam %x", pam) }})
	r.piix3 = NewPIIX3(PIIX3Options{
		Router: r.router, Firmware: firmware, Log: log,
		Reset:       func(reason string) { note("reset: %s", reason) },
		ELCRChanged: func(level uint16) { note("elcr %#x", level) },
	})
	r.pm = NewPIIX4PM(PIIX4PMOptions{
		Clock: &r.clock, SCI: sci.Source(), Firmware: firmware, Log: log,
		PowerOff: func() { note("power off") },
	})
	mechanism := NewMechanism(r.bus, r.piix3.ResetControl())
	for _, err := range []error{
		r.bus.Add(r.host, 0, 0), r.bus.Add(r.piix3, 1, 0), r.bus.Add(r.pm, 1, 3),
		r.ports.Add(ConfigPort, ConfigPorts, "pci", mechanism),
		r.ports.Add(ELCRPort, ELCRPorts, "elcr", r.piix3.ELCR()),
		r.ports.Add(APMPort, APMPorts, "apm", r.pm.APM()),
	} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	r.bus.Reset()
	r.events = nil
	return r
}

func (r *rig) out(port uint64, size int, v uint32) {
	data := make([]byte, 4)
	binary.LittleEndian.PutUint32(data, v)
	r.ports.Write(port, data[:size])
}

func (r *rig) in(port uint64, size int) uint32 {
	data := make([]byte, 4)
	r.ports.Read(port, data[:size])
	return binary.LittleEndian.Uint32(data)
}

func (r *rig) address(slot, function int, reg uint64) {
	r.out(ConfigPort, 4, 1<<31|uint32(slot)<<11|uint32(function)<<8|uint32(reg)&0xFC)
}

func (r *rig) read(slot, function int, reg uint64, size int) uint32 {
	r.address(slot, function, reg)
	return r.in(ConfigPort+4+(reg&3), size)
}

func (r *rig) write(slot, function int, reg uint64, size int, v uint32) {
	r.address(slot, function, reg)
	r.out(ConfigPort+4+(reg&3), size, v)
}

func (r *rig) takeEvents() string {
	s := strings.Join(r.events, ", ")
	r.events = nil
	return s
}

func TestMechanism(t *testing.T) {
	r := newRig(t, false)
	r.out(0xCF8, 4, 0xFFFFFFFF)
	if v := r.in(0xCF8, 4); v != 0x80FFFFFC {
		t.Errorf("CONFIG_ADDRESS %#x", v)
	}
	// Linux's probe: a byte write to 0xCFB is not for CONFIG_ADDRESS.
	r.address(0, 0, 0)
	r.out(0xCFB, 1, 1)
	r.out(0xCF8, 2, 0x1234)
	if v := r.in(0xCF8, 4); v != 0x80000000 {
		t.Errorf("CONFIG_ADDRESS %#x after narrow writes", v)
	}
	if a, b := r.in(0xCF8, 1), r.in(0xCFA, 2); a != 0xFF || b != 0xFFFF {
		t.Errorf("narrow reads of CONFIG_ADDRESS %#x %#x", a, b)
	}
	for _, tt := range []struct {
		port uint64
		size int
		want uint32
	}{
		{0xCFC, 4, 0x12378086}, {0xCFC, 2, 0x8086}, {0xCFE, 2, 0x1237}, {0xCFF, 1, 0x12}, {0xCFD, 2, 0x3780},
		{0xCFA, 4, 0x8086FFFF}, // the last two bytes of one port, the first two of the other
	} {
		if v := r.in(tt.port, tt.size); v != tt.want {
			t.Errorf("%d bytes at %#x: %#x, want %#x", tt.size, tt.port, v, tt.want)
		}
	}
	for what, address := range map[string]uint32{
		"disabled": 0, "bus 1": 0x80010000, "empty slot": 0x80001800, "empty function": 0x80000100,
	} {
		r.out(0xCF8, 4, address)
		r.out(0xCFC, 4, 0)
		if v := r.in(0xCFC, 4); v != 0xFFFFFFFF {
			t.Errorf("%s reads %#x", what, v)
		}
	}
}

func TestIdentity(t *testing.T) {
	r := newRig(t, false)
	for _, tt := range []struct {
		slot, function int
		id, class      uint32
		header         uint32
	}{
		{0, 0, 0x12378086, 0x06000002, 0},
		{1, 0, 0x70008086, 0x06010000, 0x80},
		{1, 3, 0x71138086, 0x06800003, 0},
	} {
		id, class, header := r.read(tt.slot, tt.function, 0, 4), r.read(tt.slot, tt.function, 8, 4), r.read(tt.slot, tt.function, 0xE, 1)
		if id != tt.id || class != tt.class || header != tt.header {
			t.Errorf("00:%02x.%d: %08x %08x %02x", tt.slot, tt.function, id, class, header)
		}
		r.write(tt.slot, tt.function, 0, 4, 0)
		if r.read(tt.slot, tt.function, 0, 4) != tt.id {
			t.Error("the identifiers can be written")
		}
	}
}

func TestSlots(t *testing.T) {
	r := newRig(t, false)
	disk := newDevice(t, Header{Name: "disk0"})
	err := r.bus.Add(disk, 1, 3)
	if err == nil || !strings.Contains(err.Error(), "00:01.3, wanted for disk0, is taken by PIIX4 power management") {
		t.Errorf("collision: %v", err)
	}
	for _, at := range [][2]int{{-1, 0}, {32, 0}, {3, 8}, {3, -1}} {
		if r.bus.Add(disk, at[0], at[1]) == nil {
			t.Errorf("%v accepted", at)
		}
	}
	if slot, ok := r.bus.FreeSlot(); !ok || slot != 2 {
		t.Errorf("free slot %d %v", slot, ok)
	}
	// Function 0 learns of its neighbours, whoever comes first.
	for i, order := range [][2]int{{0, 2}, {2, 0}} {
		slot := 4 + i
		for _, n := range order {
			if err := r.bus.Add(newDevice(t, Header{Name: "part"}), slot, n); err != nil {
				t.Fatal(err)
			}
		}
		r.bus.Reset()
		if v := r.read(slot, 0, RegHeaderType, 1); v != 0x80 {
			t.Errorf("header type %#x", v)
		}
	}
	for slot := range Slots {
		if r.bus.Function(slot, 0) == nil {
			if err := r.bus.Add(newDevice(t, Header{Name: "filler"}), slot, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, ok := r.bus.FreeSlot(); ok {
		t.Error("a full bus has a free slot")
	}
	if r.bus.Remove(3, 1) == nil {
		t.Error("removed nothing")
	}
}

func TestHostBridge(t *testing.T) {
	r := newRig(t, false)
	r.write(0, 0, 0x58, 4, 0xFFFFFFFF)
	r.write(0, 0, 0x5C, 4, 0xFFFFFFFF)
	if a, b := r.read(0, 0, 0x58, 4), r.read(0, 0, 0x5C, 4); a != 0x333330FF || b != 0x33333333 {
		t.Errorf("PAM %08x %08x", a, b)
	}
	if e := r.takeEvents(); e != "pam 30333300000000, pam 30333333333333" {
		t.Error(e)
	}
	if v := r.read(0, 0, 0x72, 1); v != 0x02 {
		t.Errorf("SMRAM %#x", v)
	}
	r.write(0, 0, 0x72, 1, 0x4F)
	if v := r.read(0, 0, 0x72, 1); v != 0x4A {
		t.Errorf("SMRAM %#x", v)
	}
	r.write(0, 0, 0x72, 1, 0x1A) // lock it, closed
	r.write(0, 0, 0x72, 1, 0x40)
	if v := r.read(0, 0, 0x72, 1); v != 0x1A {
		t.Errorf("locked SMRAM %#x", v)
	}
	r.write(0, 0, RegCommand, 2, 0)
	if v := r.read(0, 0, RegCommand, 2); v != 6 {
		t.Errorf("command %#x", v)
	}
	r.bus.Reset()
	if v := r.read(0, 0, 0x72, 1); v != 0x02 || r.read(0, 0, 0x5A, 1) != 0 {
		t.Errorf("SMRAM %#x after a reset", v)
	}
}

func TestResetControl(t *testing.T) {
	r := newRig(t, false)
	r.out(0xCF9, 1, 0x02)
	if e := r.takeEvents(); e != "" || r.in(0xCF9, 1) != 0x02 {
		t.Errorf("without bit 2: %q, reads %#x", e, r.in(0xCF9, 1))
	}
	r.out(0xCF9, 1, 0x06)
	if e := r.takeEvents(); e != "reset: PIIX3 reset control register" {
		t.Errorf("got %q", e)
	}
	r.out(0xCF9, 1, 0x06)
	if e := r.takeEvents(); e != "" {
		t.Errorf("no edge, but %q", e)
	}
	r.bus.Reset()
	r.takeEvents()
	r.out(0xCF8, 2, 0x0600) // a word that spans 0xCF9
	if e := r.takeEvents(); e != "reset: PIIX3 reset control register" {
		t.Errorf("got %q", e)
	}
	r.out(0xCF8, 4, 0x0600)
	if e := r.takeEvents(); e != "" {
		t.Errorf("CONFIG_ADDRESS caused %q", e)
	}
}

func TestELCR(t *testing.T) {
	r := newRig(t, false)
	r.out(ELCRPort, 2, 0xFFFF)
	if v := r.in(ELCRPort, 2); v != 0xDEF8 {
		t.Errorf("ELCR %#x", v)
	}
	r.out(ELCRPort+1, 1, 0x0C)
	if v, e := r.in(ELCRPort, 2), r.takeEvents(); v != 0x0CF8 || e != "elcr 0xdef8, elcr 0xcf8" {
		t.Errorf("ELCR %#x, %s", v, e)
	}
	r.bus.Reset()
	if v := r.in(ELCRPort, 2); v != 0 {
		t.Errorf("ELCR %#x after a reset", v)
	}
}

func TestFirmwareSetup(t *testing.T) {
	r := newRig(t, true)
	nic := newDevice(t, Header{Name: "nic", InterruptPin: 1})
	if err := r.bus.Add(nic, 3, 0); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		if v := r.read(1, 0, 0x60, 4); v != 0x0B0B0A0A {
			t.Errorf("PIRQRC %08x", v)
		}
		if v := r.in(ELCRPort, 2); v != 0x0E00 {
			t.Errorf("ELCR %#x", v)
		}
		if v := r.read(1, 3, 0x40, 4); v != 0x601 {
			t.Errorf("PMBASE %#x", v)
		}
		if v := r.read(1, 3, RegInterruptLine, 2); v != 0x0109 {
			t.Errorf("power management interrupt %#x", v)
		}
		if v := r.read(3, 0, RegInterruptLine, 2); v != 0x010B { // slot 3 INTA# is PIRQC#
			t.Errorf("nic interrupt %#x", v)
		}
		if !strings.Contains(fmt.Sprint(r.ports.Ranges()), "0x600-0x63f PIIX4 power management") {
			t.Errorf("ports %v", r.ports.Ranges())
		}
	}
	r.bus.Reset()
	check()
	r.write(1, 0, 0x60, 4, 0x80808080)
	r.write(1, 3, 0x80, 1, 0)
	r.out(ELCRPort, 2, 0)
	r.write(3, 0, RegInterruptLine, 1, 5)
	if strings.Contains(fmt.Sprint(r.ports.Ranges()), "0x600-") {
		t.Error("the disabled block still answers")
	}
	r.bus.Reset()
	check()
}

func TestPIRQ(t *testing.T) {
	for _, tt := range []struct{ slot, pin, want int }{
		{1, 1, 0}, {1, 2, 1}, {1, 4, 3}, {2, 1, 1}, {3, 1, 2}, {4, 1, 3}, {5, 1, 0}, {0, 1, 3}, {31, 4, 1},
	} {
		if got := PIRQ(tt.slot, tt.pin); got != tt.want {
			t.Errorf("slot %d pin %d: %d, want %d", tt.slot, tt.pin, got, tt.want)
		}
	}
}

func TestRouting(t *testing.T) {
	r := newRig(t, true)
	var wires []irq.Line
	for _, slot := range []int{3, 7, 4} { // PIRQC, PIRQC, PIRQD: all on IRQ 11
		d := newDevice(t, Header{Name: "d", InterruptPin: 1})
		if err := r.bus.Add(d, slot, 0); err != nil {
			t.Fatal(err)
		}
		wires = append(wires, d.INTx())
	}
	expect := func(what string, irqs ...int) {
		t.Helper()
		var want [16]bool
		for _, n := range irqs {
			want[n] = true
		}
		if r.irq != want {
			t.Errorf("%s: lines %v", what, r.irq)
		}
	}
	expect("power-on")
	wires[0].Set(true)
	wires[1].Set(true)
	wires[2].Set(true)
	expect("all", 11)
	wires[0].Set(false)
	wires[2].Set(false)
	expect("one is left", 11)
	r.write(1, 0, 0x62, 1, 5)
	expect("routed away", 5)
	wires[2].Set(true)
	expect("PIRQD stays", 5, 11)
	r.write(1, 0, 0x62, 1, 9)
	expect("shared with the SCI", 9, 11)
	r.write(1, 0, 0x62, 1, 0x85)
	expect("off", 11)
	r.write(1, 0, 0x62, 1, 13)
	expect("reserved", 11)
	r.write(7, 0, RegCommand, 2, CommandINTxDisable)
	r.write(1, 0, 0x62, 1, 10)
	expect("disabled in the function", 11)
	if v := r.read(7, 0, RegStatus, 2); v&statusINTx == 0 {
		t.Errorf("status %#x", v)
	}
	r.write(7, 0, RegCommand, 2, 0)
	expect("enabled again", 10, 11)
	if err := r.bus.Remove(7, 0); err != nil {
		t.Fatal(err)
	}
	expect("removed", 11)
	if n := testing.AllocsPerRun(100, func() { wires[0].Set(true); wires[0].Set(false) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
