package kvm

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// The test guests are a few bytes of real-mode code at codeGPA, in one slot of
// RAM that begins at 0.
const (
	codeGPA = 0x1000
	ramSize = 0x20000
	ramSlot = 0
)

// guest is a machine with RAM and, unless noCPU, one vCPU in real mode at
// codeGPA. Everything is closed at the end of the test.
type guest struct {
	sys *System
	vm  *VM
	cpu *VCPU
	ram []byte
}

type guestConfig struct {
	irqChip bool
	slot    MemFlags
	noCPU   bool
}

func openSystem(tb testing.TB) *System {
	tb.Helper()
	sys, err := Open("")
	if err != nil {
		tb.Fatalf("these tests need KVM: %v", err)
	}
	tb.Cleanup(func() { sys.Close() })
	return sys
}

func newGuest(tb testing.TB, c guestConfig, code ...byte) *guest {
	tb.Helper()
	g := &guest{sys: openSystem(tb)}
	var err error
	if g.vm, err = g.sys.CreateVM(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { g.vm.Close() })
	must(tb, g.vm.SetIdentityMapAddr(0xfeffc000))
	must(tb, g.vm.SetTSSAddr(0xfeffd000))
	if c.irqChip {
		must(tb, g.vm.CreateIRQChip())
	}
	g.ram = mapRAM(tb, ramSize)
	must(tb, g.vm.SetMemorySlot(MemorySlot{Slot: ramSlot, Flags: c.slot, Host: g.ram}))
	copy(g.ram[codeGPA:], code)
	if !c.noCPU {
		g.cpu = g.addCPU(tb, 0)
		g.reset(tb)
	}
	return g
}

func (g *guest) addCPU(tb testing.TB, id int) *VCPU {
	tb.Helper()
	cpu, err := g.vm.CreateVCPU(id)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { cpu.Close() })
	return cpu
}

// reset points the vCPU at the code, in real mode, all segments at 0.
func (g *guest) reset(tb testing.TB) {
	tb.Helper()
	if reason, err := g.cpu.Complete(); reason != ExitIntr || err != nil {
		tb.Fatalf("complete: %s, %v", reason, err)
	}
	s, err := g.cpu.SRegs()
	must(tb, err)
	s.CS.Base, s.CS.Selector = 0, 0
	must(tb, g.cpu.SetSRegs(s))
	must(tb, g.cpu.SetRegs(Regs{RIP: codeGPA, RSP: 0x8000, RFLAGS: 2}))
}

// mapRAM maps host memory for a slot.
func mapRAM(tb testing.TB, size int) []byte {
	tb.Helper()
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	must(tb, err)
	tb.Cleanup(func() { must(tb, unix.Munmap(mem)) })
	return mem
}

// run runs the vCPU, over signals, until an exit, which must be for want.
func (g *guest) run(tb testing.TB, want ExitReason) {
	for {
		got, err := g.cpu.Run()
		must(tb, err)
		if got == ExitIntr {
			continue
		}
		if got != want {
			tb.Helper()
			g.explain(tb, got)
			tb.Fatalf("exit %s, want %s", got, want)
		}
		return
	}
}

// explain logs what is known of an unwanted exit.
func (g *guest) explain(tb testing.TB, reason ExitReason) {
	tb.Helper()
	switch reason {
	case ExitInternalError:
		ie := g.cpu.Exit().InternalError()
		tb.Log(ie.String())
	case ExitFailEntry:
		tb.Logf("%+v", g.cpu.Exit().FailEntry())
	case ExitIO:
		tb.Logf("%+v", g.cpu.Exit().IO())
	case ExitMMIO:
		tb.Logf("%+v", g.cpu.Exit().MMIO())
	}
	if regs, err := g.cpu.Regs(); err == nil {
		tb.Logf("%+v", regs)
	}
}

func must(tb testing.TB, err error) {
	if err != nil {
		tb.Helper()
		tb.Fatal(err)
	}
}

// lockThread keeps the test on one thread, as a vCPU wants it.
func lockThread(tb testing.TB) {
	runtime.LockOSThread()
	tb.Cleanup(runtime.UnlockOSThread)
}
