package kvm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRegs(t *testing.T) {
	g := newGuest(t, guestConfig{})
	want := Regs{RAX: 1, RBX: 2, R15: 0xffff_ffff_ffff_0000, RIP: 0x1234, RSP: 0x8000, RFLAGS: 2}
	must(t, g.cpu.SetRegs(want))
	got, err := g.cpu.Regs()
	must(t, err)
	if got != want {
		t.Errorf("set %+v, got %+v", want, got)
	}
}

// roundTrip sets a piece of state to a changed value and reads it back.
func roundTrip[T any](t *testing.T, name string, get func() (T, error), set func(T) error, change func(*T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		want, err := get()
		must(t, err)
		change(&want)
		must(t, set(want))
		got, err := get()
		must(t, err)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("set %+v\ngot %+v", want, got)
		}
	})
}

func TestState(t *testing.T) {
	g := newGuest(t, guestConfig{irqChip: true})
	entries, err := g.sys.SupportedCPUID()
	must(t, err)
	must(t, g.cpu.SetCPUID(entries))
	c := g.cpu

	roundTrip(t, "SRegs", c.SRegs, c.SetSRegs, func(s *SRegs) {
		s.DS.Base, s.DS.Selector, s.GDT.Base, s.GDT.Limit, s.CR2 = 0x10000, 0x1000, 0x500, 0x27, 0xdead000
	})
	roundTrip(t, "FPU", c.FPU, c.SetFPU, func(f *FPU) {
		f.FCW, f.XMM[3] = 0x27f, [16]byte{1, 2, 3, 15: 9}
	})
	roundTrip(t, "DebugRegs", c.DebugRegs, c.SetDebugRegs, func(d *DebugRegs) {
		d.DB[1] = 0x7c00
	})
	roundTrip(t, "XCRS", c.XCRS, c.SetXCRS, func(x *XCRS) {
		if x.NrXRCS != 1 {
			t.Fatalf("%d extended control registers, want XCR0", x.NrXRCS)
		}
		x.Registers[0].Value = 3 // x87 and SSE
	})
	roundTrip(t, "LAPIC", c.LAPIC, c.SetLAPIC, func(l *LAPICState) {
		l.Regs[0xf0], l.Regs[0xf1] = 0xee, 1 // spurious vector, enabled
	})
	roundTrip(t, "MPState", c.MPState, c.SetMPState, func(s *MPState) {
		if *s != MPRunnable {
			t.Fatalf("the boot vCPU is %s, want %s", *s, MPRunnable)
		}
		*s = MPHalted
	})
	roundTrip(t, "Events", c.Events, c.SetEvents, func(e *VCPUEvents) {
		e.Flags |= VCPUEventNMIPending
		e.N.Pending, e.N.Masked = 1, 1
	})
}

// TestSRegs2 proves the flags too: PDPTRs are valid only in PAE paging.
func TestSRegs2(t *testing.T) {
	g := newGuest(t, guestConfig{})
	if g.sys.CheckExtension(CapSRegs2) == 0 {
		if _, err := g.cpu.SRegs2(); !errors.Is(err, unix.ENOTTY) {
			t.Errorf("without %s: %v, want ENOTTY", CapSRegs2, err)
		}
		return
	}
	roundTrip(t, "SRegs2", g.cpu.SRegs2, g.cpu.SetSRegs2, func(s *SRegs2) { s.ES.Base, s.ES.Selector = 0x2000, 0x200 })
}

// TestAPUninitialized: a second vCPU waits for INIT, and Run on it waits too,
// until it is stopped.
func TestAPUninitialized(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{irqChip: true})
	ap := g.addCPU(t, 1)
	if ap.ID() != 1 || ap.FD() == g.cpu.FD() {
		t.Errorf("id %d, descriptor %d", ap.ID(), ap.FD())
	}
	s, err := ap.MPState()
	must(t, err)
	if s != MPUninitialized {
		t.Errorf("the second vCPU is %s, want %s", s, MPUninitialized)
	}
	if reason, err := ap.Complete(); reason != ExitIntr || err != nil {
		t.Errorf("got %s, %v; want %s", reason, err, ExitIntr)
	}
}

func TestXSave(t *testing.T) {
	g := newGuest(t, guestConfig{})
	entries, err := g.sys.SupportedCPUID()
	must(t, err)
	must(t, g.cpu.SetCPUID(entries))
	state, err := g.cpu.XSave()
	must(t, err)
	if want := max(xsaveSize, g.vm.CheckExtension(CapXSave2)); len(state) != want {
		t.Errorf("%d bytes, want %d", len(state), want)
	}
	// FXSAVE's layout, then the header (Intel SDM volume 1, 10.5.1 and 13.4).
	const mxcsr, xmm0, xstateBV, sse = 24, 160, 512, 1 << 1
	state[xstateBV] |= sse
	state[mxcsr], state[mxcsr+1] = 0xa0, 0x1f
	state[xmm0], state[xmm0+15] = 0xaa, 0xbb
	must(t, g.cpu.SetXSave(state))

	got, err := g.cpu.XSave()
	must(t, err)
	if !bytes.Equal(got, state) {
		t.Errorf("set and got differ; XMM0 is % x", got[xmm0:xmm0+16])
	}
	fpu, err := g.cpu.FPU()
	must(t, err)
	if want := [16]byte{0xaa, 15: 0xbb}; fpu.XMM[0] != want {
		t.Errorf("FPU has XMM0 % x, want % x", fpu.XMM[0], want)
	}
	if err := g.cpu.SetXSave(state[:512]); !errors.Is(err, unix.EINVAL) {
		t.Errorf("512 bytes: %v, want EINVAL", err)
	}
}

func TestMSRs(t *testing.T) {
	g := newGuest(t, guestConfig{})
	const sysenterCS, sysenterEIP, noSuchMSR = 0x174, 0x176, 0x12345678
	set := []MSREntry{{Index: sysenterCS, Data: 0x10}, {Index: sysenterEIP, Data: 0xc0001000}}
	n, err := g.cpu.SetMSRs(set)
	must(t, err)
	if n != 2 {
		t.Errorf("set %d MSRs, want 2", n)
	}
	get := []MSREntry{{Index: sysenterEIP}, {Index: noSuchMSR}, {Index: sysenterCS}}
	n, err = g.cpu.MSRs(get)
	var refused *MSRError
	if n != 1 || !errors.As(err, &refused) || refused.Index != noSuchMSR {
		t.Errorf("got %d MSRs, %v; want 1 and a refusal of %#x", n, err, noSuchMSR)
	}
	if get[0].Data != 0xc0001000 {
		t.Errorf("SYSENTER_EIP is %#x", get[0].Data)
	}
	if n, err := g.cpu.MSRs(nil); n != 0 || err != nil {
		t.Errorf("no MSRs: %d, %v", n, err)
	}
}

// TestMSRExit: a filtered rdmsr comes to us, and our answer to the guest.
func TestMSRExit(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{},
		0x66, 0xb9, 0x99, 0x00, 0x00, 0x40, // mov ecx, 0x40000099
		0x0f, 0x32, // rdmsr
		0x66, 0xe7, 0x10, // out 0x10, eax
		0x0f, 0x30, // wrmsr
		0xf4, // hlt
	)
	must(t, g.vm.EnableCap(CapX86UserSpaceMSR, MSRExitFilter))
	must(t, g.vm.SetMSRFilter(false, MSRRange{
		Flags: MSRFilterRead | MSRFilterWrite, Base: 0x40000080, Bitmap: []uint64{0},
	}))
	g.run(t, ExitX86RDMSR)
	m := g.cpu.Exit().MSR()
	if m.Index != 0x40000099 || m.Reason != MSRExitFilter {
		t.Errorf("got %+v", *m)
	}
	m.Data = 0x11223344
	g.run(t, ExitIO)
	if io := g.cpu.Exit().IO(); !bytes.Equal(io.Data, []byte{0x44, 0x33, 0x22, 0x11}) {
		t.Errorf("the guest read % x", io.Data)
	}
	g.run(t, ExitX86WRMSR)
	if m := g.cpu.Exit().MSR(); m.Index != 0x40000099 || m.Data != 0x11223344 {
		t.Errorf("got %+v", *m)
	}
	g.run(t, ExitHLT)

	must(t, g.vm.SetMSRFilter(false))
	if err := g.vm.SetMSRFilter(true, MSRRange{Base: 1}); err == nil {
		t.Error("a range without a bitmap passed")
	}
	if err := g.vm.SetMSRFilter(true, make([]MSRRange, 17)...); err == nil {
		t.Error("17 ranges passed")
	}
}

// TestTranslate maps one page at 4 MiB in four-level paging.
func TestTranslate(t *testing.T) {
	g := newGuest(t, guestConfig{})
	if tr, err := g.cpu.Translate(0x1234); err != nil || tr.Valid != 1 || tr.PhysicalAddress != 0x1234 {
		t.Errorf("without paging: %+v, %v", tr, err)
	}
	const pml4, pdpt, directory, table, present = 0x4000, 0x5000, 0x6000, 0x7000, 7
	put := binary.LittleEndian.PutUint64
	put(g.ram[pml4:], pdpt|present)
	put(g.ram[pdpt:], directory|present)
	put(g.ram[directory+2*8:], table|present)
	put(g.ram[table:], 0x3000|present)

	entries, err := g.sys.SupportedCPUID() // KVM checks for long mode
	must(t, err)
	must(t, g.cpu.SetCPUID(entries))
	s, err := g.cpu.SRegs()
	must(t, err)
	const pe, pg, pae, lme, lma = 1 << 0, 1 << 31, 1 << 5, 1 << 8, 1 << 10
	s.CR0, s.CR3, s.CR4, s.EFER = s.CR0|pe|pg, pml4, pae, lme|lma
	s.CS = Segment{Limit: 0xffffffff, Typ: 11, Present: 1, S: 1, L: 1, G: 1, Selector: 8}
	must(t, g.cpu.SetSRegs(s))
	if tr, err := g.cpu.Translate(4<<20 | 0x567); err != nil || tr.Valid != 1 || tr.PhysicalAddress != 0x3567 {
		t.Errorf("mapped: %+v, %v", tr, err)
	}
	if tr, err := g.cpu.Translate(8 << 20); err != nil || tr.Valid != 0 {
		t.Errorf("not mapped: %+v, %v", tr, err)
	}
}

// TestSingleStep sees each instruction's address.
func TestSingleStep(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{}, 0x90, 0x90, 0x90, 0xf4) // nop, nop, nop, hlt
	must(t, g.cpu.SetGuestDebug(GuestDebug{Control: GuestDebugEnable | GuestDebugSingleStep}))
	for i := range uint64(3) {
		g.run(t, ExitDebug)
		d := g.cpu.Exit().Debug()
		if want := codeGPA + 1 + i; d.PC != want || d.Exception != 1 {
			t.Errorf("step %d: exception %d at %#x, want 1 at %#x", i, d.Exception, d.PC, want)
		}
	}
	must(t, g.cpu.SetGuestDebug(GuestDebug{}))
	g.run(t, ExitHLT)
}

func TestSignalMask(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{}, outLoop...)
	must(t, g.cpu.SetSignalMask(1<<(uint(unix.SIGUSR1)-1)))
	g.run(t, ExitIO)
	must(t, g.cpu.ClearSignalMask())
	g.run(t, ExitIO)
}

func TestClock(t *testing.T) {
	g := newGuest(t, guestConfig{})
	const hour = 3600_000_000_000
	must(t, g.vm.SetClock(ClockData{Clock: 5 * hour}))
	d, err := g.vm.Clock()
	must(t, err)
	if d.Clock < 5*hour || d.Clock > 6*hour {
		t.Errorf("clock at %d ns, want 5 h", d.Clock)
	}
	// The guest has no kvmclock page, which api.rst says is EINVAL.
	if err := g.cpu.KVMClockCtrl(); !errors.Is(err, unix.EINVAL) {
		t.Errorf("KVMClockCtrl: %v, want EINVAL", err)
	}
}

func TestTSC(t *testing.T) {
	g := newGuest(t, guestConfig{})
	khz, err := g.cpu.TSCKHz()
	must(t, err)
	if khz < 100_000 {
		t.Errorf("TSC at %d kHz", khz)
	}
	must(t, g.cpu.SetTSCKHz(khz))

	got, err := g.cpu.TSCKHz()
	must(t, err)
	if got != khz {
		t.Errorf("set %d kHz, got %d", khz, got)
	}
}

func TestTSCOffset(t *testing.T) {
	g := newGuest(t, guestConfig{})
	offset, err := g.cpu.TSCOffset()
	if errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) {
		t.Logf("this host's KVM does not tell: %v", err)
		return
	}
	must(t, err)
	const back = 1 << 40
	must(t, g.cpu.SetTSCOffset(offset-back))
	got, err := g.cpu.TSCOffset()
	must(t, err)
	// A KVM whose guests read the host's TSC without an offset ignores it.
	if got != offset-back && (got != 0 || offset != 0) {
		t.Errorf("set %#x, got %#x", offset-back, got)
	}
}

func TestVMTSC(t *testing.T) {
	g := newGuest(t, guestConfig{noCPU: true})
	host, err := g.vm.TSCKHz()
	must(t, err)
	must(t, g.vm.SetTSCKHz(host))
	khz, err := g.addCPU(t, 0).TSCKHz()
	must(t, err)
	if khz != host {
		t.Errorf("the VM has %d kHz, its vCPU %d", host, khz)
	}
}

func TestEnableCap(t *testing.T) {
	g := newGuest(t, guestConfig{irqChip: true})
	must(t, g.vm.EnableCap(CapX2APICAPI, 3))
	err := g.vm.EnableCap(Cap(9999), 1)
	if !errors.Is(err, unix.EINVAL) {
		t.Errorf("no such capability: %v, want EINVAL", err)
	}
	if err := g.vm.EnableCap(CapX2APICAPI, 1, 2, 3, 4, 5); err == nil {
		t.Error("five arguments passed")
	}
	if err := g.cpu.EnableCap(Cap(9999)); !errors.Is(err, unix.EINVAL) {
		t.Errorf("vCPU, no such capability: %v, want EINVAL", err)
	}
}

func TestBootCPUID(t *testing.T) {
	g := newGuest(t, guestConfig{irqChip: true, noCPU: true})
	must(t, g.vm.SetBootCPUID(1))
	for id, want := range []MPState{MPUninitialized, MPRunnable} {
		s, err := g.addCPU(t, id).MPState()
		must(t, err)
		if s != want {
			t.Errorf("vCPU %d is %s, want %s", id, s, want)
		}
	}
	if err := g.vm.SetBootCPUID(0); !errors.Is(err, unix.EBUSY) {
		t.Errorf("after the vCPUs: %v, want EBUSY", err)
	}
}

func TestVFIODevice(t *testing.T) {
	g := newGuest(t, guestConfig{noCPU: true})
	d, err := g.vm.CreateVFIODevice()
	if errors.Is(err, unix.ENODEV) {
		return // a kernel without VFIO answers just this
	}
	must(t, err)
	if err := d.AddVFIOGroup(g.vm.FD()); !errors.Is(err, unix.EINVAL) {
		t.Errorf("adding what is no group: %v, want EINVAL", err)
	}
	if err := d.RemoveVFIOGroup(-1); !errors.Is(err, unix.EBADF) {
		t.Errorf("removing no file: %v, want EBADF", err)
	}
	must(t, d.Close())
	must(t, d.Close())
}

// TestSMI: with SMM the next entry is in system management mode; without it the
// kernel refuses (api.rst, KVM_SMI).
func TestSMI(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{irqChip: true}, outLoop...)
	err := g.cpu.SMI()
	if g.vm.CheckExtension(CapX86SMM) == 0 {
		if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTTY) {
			t.Errorf("without %s: %v, want EINVAL or ENOTTY", CapX86SMM, err)
		}
		return
	}
	must(t, err)
	e, err := g.cpu.Events()
	must(t, err)
	if e.S.Pening == 0 {
		t.Errorf("no SMI is pending: %+v", e.S)
	}
}

// TestAPICBase: the run page shows IA32_APIC_BASE after a Run.
func TestAPICBase(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{irqChip: true}, outLoop...)
	g.run(t, ExitIO)
	const bootProcessor, enabled = 1 << 8, 1 << 11
	if got := g.cpu.Exit().APICBase(); got != 0xfee00000|enabled|bootProcessor {
		t.Errorf("APIC base %#x", got)
	}
	if g.cpu.Exit().InSMM() {
		t.Error("the guest is in SMM")
	}
}
