package kvm

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The interrupt guests program the PICs (8259A datasheet: ICW1-4) for vectors
// 0x20 and up with IRQ 5 unmasked, set vector 0x25 to the handler at 0x1100,
// and wait.
const (
	handlerGPA = 0x1100
	testIRQ    = 5
	testVector = 0x25
)

var (
	waitForIRQ = []byte{
		0xb0, 0x11, 0xe6, 0x20, // ICW1: edge, cascade, ICW4
		0xb0, 0x20, 0xe6, 0x21, // ICW2: vectors from 0x20
		0xb0, 0x04, 0xe6, 0x21, // ICW3: a slave on IRQ 2
		0xb0, 0x01, 0xe6, 0x21, // ICW4: 8086 mode
		0xb0, 0xdf, 0xe6, 0x21, // OCW1: all masked but IRQ 5
		0xe6, 0x80, // out 0x80, al: ready
		0xfb,       // sti
		0xf4,       // again: hlt
		0xeb, 0xfd, // jmp again
	}
	irqHandler = []byte{
		0xb0, 0x20, 0xe6, 0x20, // end of interrupt
		0xe6, 0x81, // out 0x81, al
		0xcf, // iret
	}
)

const (
	readyPort   = 0x80
	handlerPort = 0x81
)

// newIRQGuest is a guest that has run to where it takes interrupts.
func newIRQGuest(t *testing.T, c guestConfig) *guest {
	t.Helper()
	c.irqChip = true
	g := newGuest(t, c, waitForIRQ...)
	copy(g.ram[handlerGPA:], irqHandler)
	for _, vector := range []int{testVector, testVector + 1} {
		g.ram[vector*4] = handlerGPA & 0xff
		g.ram[vector*4+1] = handlerGPA >> 8
	}
	g.wantPort(t, readyPort)
	return g
}

// wantPort runs the guest until it writes to a port, which must be want.
func (g *guest) wantPort(t *testing.T, want uint16) {
	t.Helper()
	g.run(t, ExitIO)
	if io := g.cpu.Exit().IO(); !io.Out || io.Port != want {
		t.Fatalf("the guest accesses port %#x, want a write to %#x", io.Port, want)
	}
}

func TestIRQLine(t *testing.T) {
	lockThread(t)
	g := newIRQGuest(t, guestConfig{})
	for range 3 {
		must(t, g.vm.IRQLine(testIRQ, true))
		must(t, g.vm.IRQLine(testIRQ, false))
		g.wantPort(t, handlerPort)
	}
}

// TestIRQLineStatus: the second edge before the guest has taken the first is
// lost, and we are told.
func TestIRQLineStatus(t *testing.T) {
	lockThread(t)
	g := newIRQGuest(t, guestConfig{})
	pulse := func() int {
		t.Helper()
		status, err := g.vm.IRQLineStatus(testIRQ, true)
		must(t, err)
		must(t, g.vm.IRQLine(testIRQ, false))
		return status
	}
	// The I/O APIC's pin 5 shares the GSI and is masked: route to the PIC alone.
	must(t, g.vm.SetGSIRouting([]Route{RouteToPin(testIRQ, PICMaster, testIRQ)}))
	if got := pulse(); got <= 0 {
		t.Errorf("first edge: status %d, want it delivered", got)
	}
	if got := pulse(); got != 0 {
		t.Errorf("second edge: status %d, want 0, coalesced", got)
	}
	g.wantPort(t, handlerPort)
	if got := pulse(); got <= 0 {
		t.Errorf("edge after the handler: status %d, want it delivered", got)
	}
	g.wantPort(t, handlerPort)

	must(t, g.vm.SetGSIRouting(nil))
	if got := pulse(); got >= 0 {
		t.Errorf("GSI with no route: status %d, want it ignored", got)
	}
}

func TestIRQFD(t *testing.T) {
	lockThread(t)
	g := newIRQGuest(t, guestConfig{})
	e := newEventFD(t)
	must(t, g.vm.AssignIRQFD(e.FD(), testIRQ))
	for range 3 {
		must(t, e.Signal())
		g.wantPort(t, handlerPort)
	}
	if err := g.vm.AssignIRQFD(e.FD(), testIRQ); !errors.Is(err, unix.EBUSY) {
		t.Errorf("the same again: %v, want EBUSY", err)
	}
	must(t, g.vm.DeassignIRQFD(e.FD(), testIRQ))
	must(t, e.Signal())
	if n, err := e.TryWait(); n != 1 || err != nil {
		t.Errorf("after deassigning, KVM took the signal: %d, %v", n, err)
	}
	if err := g.vm.AssignIRQFD(1<<20, testIRQ); !errors.Is(err, unix.EBADF) || !strings.Contains(err.Error(), "GSI 5") {
		t.Errorf("not a descriptor: %v, want EBADF of GSI 5", err)
	}
}

// TestIRQFDResample: a level line on the PIC is lowered by the guest's end of
// interrupt, and its owner is told.
func TestIRQFDResample(t *testing.T) {
	lockThread(t)
	g := newIRQGuest(t, guestConfig{})
	pic, err := g.vm.PIC(PICMaster)
	must(t, err)
	pic.ELCR = 1 << testIRQ // level-triggered
	must(t, g.vm.SetPIC(PICMaster, pic))

	e, resample := newEventFD(t), newEventFD(t)
	must(t, g.vm.AssignIRQFDResample(e.FD(), resample.FD(), testIRQ))
	must(t, e.Signal())
	g.wantPort(t, handlerPort)
	if n, err := resample.Wait(); n != 1 || err != nil {
		t.Errorf("resample: %d, %v; want 1", n, err)
	}
	must(t, e.Signal()) // it still wants service
	g.wantPort(t, handlerPort)
	if n, err := resample.Wait(); n != 1 || err != nil {
		t.Errorf("second resample: %d, %v; want 1", n, err)
	}
}

// TestMSI delivers a message to the local APIC, directly and by a routed GSI.
func TestMSI(t *testing.T) {
	lockThread(t)
	g := newIRQGuest(t, guestConfig{})
	lapic, err := g.cpu.LAPIC()
	must(t, err)
	const spurious = 0xf0
	lapic.Regs[spurious] = 0xff
	lapic.Regs[spurious+1] = 1 // APIC software enable
	must(t, g.cpu.SetLAPIC(lapic))

	const msiAddr = 0xfee00000 // to APIC id 0, physical (Intel SDM volume 3, 11.11)
	const vector = testVector + 1
	delivered, err := g.vm.SignalMSI(msiAddr, vector)
	must(t, err)
	if !delivered {
		t.Fatal("the message was blocked")
	}
	g.wantPort(t, handlerPort)

	// The handler ends the interrupt at the PIC, not here: do it for the APIC.
	endOfInterrupt(t, g.cpu)
	const gsi = 100
	routes := append(DefaultRoutes(), RouteToMSI(gsi, msiAddr, vector))
	must(t, g.vm.SetGSIRouting(routes))
	e := newEventFD(t)
	must(t, g.vm.AssignIRQFD(e.FD(), gsi))
	must(t, e.Signal())
	g.wantPort(t, handlerPort)

	// Nobody has APIC id 77.
	if delivered, err := g.vm.SignalMSI(msiAddr|77<<12, vector); delivered || err != nil {
		t.Errorf("to no one: %v, %v", delivered, err)
	}
}

// endOfInterrupt clears the in-service registers of a local APIC.
func endOfInterrupt(t *testing.T, cpu *VCPU) {
	t.Helper()
	lapic, err := cpu.LAPIC()
	must(t, err)
	const isr = 0x100
	clear(lapic.Regs[isr : isr+0x80])
	must(t, cpu.SetLAPIC(lapic))
}

func TestGSIRouting(t *testing.T) {
	g := newGuest(t, guestConfig{irqChip: true})
	must(t, g.vm.SetGSIRouting(DefaultRoutes()))
	if got, want := len(DefaultRoutes()), 16+24; got != want {
		t.Errorf("%d default routes, want %d", got, want)
	}
	limit := uint32(g.sys.CheckExtension(CapIRQRouting))
	must(t, g.vm.SetGSIRouting([]Route{RouteToMSI(limit-1, 0xfee00000, 0x30)}))
	for name, routes := range map[string][]Route{
		"GSI too great": {RouteToMSI(limit, 0xfee00000, 0x30)},
		"no such pin":   {RouteToPin(0, IOAPIC, 24)},
		"no such chip":  {RouteToPin(0, 7, 0)},
		"MSI and pin":   {RouteToPin(1, IOAPIC, 1), RouteToMSI(1, 0xfee00000, 0x30)},
		"no target":     {{}},
	} {
		if err := g.vm.SetGSIRouting(routes); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %v, want EINVAL", name, err)
		}
	}
}

func TestRouteString(t *testing.T) {
	for want, r := range map[string]Route{
		"GSI 14 -> PIC slave pin 6":           RouteToPin(14, PICSlave, 6),
		"GSI 3 -> IOAPIC pin 2":               RouteToPin(3, IOAPIC, 2),
		"GSI 40 -> MSI 0x1fee01000 data 0x41": RouteToMSI(40, 0x1fee01000, 0x41),
		"GSI 0 -> nothing":                    {},
		"GSI 9 -> irqchip 5 pin 1":            RouteToPin(9, 5, 1),
	} {
		if got := r.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestIRQChipState(t *testing.T) {
	g := newGuest(t, guestConfig{irqChip: true})
	for _, id := range []IRQChipID{PICMaster, PICSlave} {
		s, err := g.vm.PIC(id)
		must(t, err)
		s.IMR, s.IRQBase = 0xa5, 0x30
		must(t, g.vm.SetPIC(id, s))
		got, err := g.vm.PIC(id)
		must(t, err)
		if got != s {
			t.Errorf("%s: set %+v, got %+v", id, s, got)
		}
	}
	s, err := g.vm.IOAPIC()
	must(t, err)
	if s.BaseAddress != 0xfec00000 {
		t.Errorf("I/O APIC at %#x", s.BaseAddress)
	}
	const masked = 1 << 16
	if !slices.ContainsFunc(s.RedirTbl[:], func(e uint64) bool { return e&masked != 0 }) {
		t.Errorf("no pin is masked after reset: %#x", s.RedirTbl)
	}
	s.RedirTbl[23] = masked | 0x51
	must(t, g.vm.SetIOAPIC(s))
	got, err := g.vm.IOAPIC()
	must(t, err)
	if got != s {
		t.Errorf("I/O APIC: set %+v, got %+v", s, got)
	}
	if _, err := g.vm.PIC(IOAPIC); err == nil {
		t.Error("the I/O APIC passed for a PIC")
	}
	if err := g.vm.SetPIC(IOAPIC, PICState{}); err == nil {
		t.Error("the I/O APIC passed for a PIC")
	}
	if err := g.vm.CreateIRQChip(); !errors.Is(err, unix.EEXIST) {
		t.Errorf("a second irqchip: %v, want EEXIST", err)
	}
}

func TestNoIRQChip(t *testing.T) {
	g := newGuest(t, guestConfig{})
	if err := g.vm.IRQLine(4, true); !errors.Is(err, unix.ENXIO) {
		t.Errorf("IRQLine: %v, want ENXIO", err)
	}
	if _, err := g.vm.IOAPIC(); !errors.Is(err, unix.ENXIO) {
		t.Errorf("IOAPIC: %v, want ENXIO", err)
	}
	if _, err := g.cpu.LAPIC(); !errors.Is(err, unix.EINVAL) {
		t.Errorf("LAPIC: %v, want EINVAL", err)
	}
}

// TestInterrupt injects a vector without an in-kernel controller, when the
// guest's interrupt window opens.
func TestInterrupt(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{},
		0xfb,       // sti
		0x90,       // nop
		0xeb, 0xfd, // jmp nop
	)
	copy(g.ram[handlerGPA:], irqHandler)
	g.ram[testVector*4], g.ram[testVector*4+1] = handlerGPA&0xff, handlerGPA>>8
	g.cpu.RequestInterruptWindow(true)
	g.run(t, ExitIRQWindowOpen)
	if e := g.cpu.Exit(); !e.ReadyForInterrupt() || !e.InterruptFlag() {
		t.Error("the window is open, but the guest not ready")
	}
	g.cpu.RequestInterruptWindow(false)
	must(t, g.cpu.Interrupt(testVector))
	g.wantPort(t, 0x20) // nobody is there to take the end of interrupt
	g.wantPort(t, handlerPort)
}

// TestNMI: vector 2 (Intel SDM volume 3, 6.3.1).
func TestNMI(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{}, spinLoop...)
	copy(g.ram[handlerGPA:], irqHandler[4:])
	g.ram[2*4], g.ram[2*4+1] = handlerGPA&0xff, handlerGPA>>8
	must(t, g.cpu.NMI())
	g.wantPort(t, handlerPort)
}
