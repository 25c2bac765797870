package kvm

import (
	"bytes"
	"errors"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Port loops: mov dx, 0x10; then in or out forever.
var (
	outLoop = []byte{
		0xba, 0x10, 0x00, // mov dx, 0x10
		0xb0, 0x5a, // mov al, 0x5a
		0xee,       // again: out dx, al
		0xeb, 0xfd, // jmp again
	}
	mmioLoop = []byte{
		0xb8, 0x00, 0xf0, // mov ax, 0xf000
		0x8e, 0xd8, // mov ds, ax
		0xb0, 0xa5, // mov al, 0xa5
		0xa2, 0x00, 0x00, // again: mov [0], al
		0xeb, 0xfb, // jmp again
	}
	spinLoop = []byte{0xeb, 0xfe} // jmp $
)

func TestPortWrite(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{}, outLoop...)
	for range 3 {
		g.run(t, ExitIO)
		io := g.cpu.Exit().IO()
		if !io.Out || io.Port != 0x10 || io.Size != 1 || io.Count != 1 || !bytes.Equal(io.Data, []byte{0x5a}) {
			t.Fatalf("got %+v", io)
		}
	}
}

func TestPortRead(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{},
		0xe5, 0x20, // in ax, 0x20
		0xe7, 0x22, // out 0x22, ax
	)
	g.run(t, ExitIO)
	io := g.cpu.Exit().IO()
	if io.Out || io.Port != 0x20 || io.Size != 2 || len(io.Data) != 2 {
		t.Fatalf("got %+v", io)
	}
	copy(io.Data, []byte{0x34, 0x12})
	g.run(t, ExitIO)
	io = g.cpu.Exit().IO()
	if !io.Out || io.Port != 0x22 || !bytes.Equal(io.Data, []byte{0x34, 0x12}) {
		t.Fatalf("the guest did not get the answer: %+v", io)
	}
}

// TestPortString runs rep outsb: KVM may hand over the units together or one by
// one, but their bytes come in order.
func TestPortString(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{},
		0xbe, 0x00, 0x20, // mov si, 0x2000
		0xb9, 0x05, 0x00, // mov cx, 5
		0xba, 0x80, 0x00, // mov dx, 0x80
		0xf3, 0x6e, // rep outsb
		0xf4, // hlt
	)
	want := []byte("hello")
	copy(g.ram[0x2000:], want)
	var got []byte
	for len(got) < len(want) {
		g.run(t, ExitIO)
		io := g.cpu.Exit().IO()
		if !io.Out || io.Port != 0x80 || io.Size != 1 || len(io.Data) != io.Count {
			t.Fatalf("got %+v", io)
		}
		got = append(got, io.Data...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	g.run(t, ExitHLT)
}

func TestMMIO(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{},
		0xb8, 0x00, 0xf0, // mov ax, 0xf000
		0x8e, 0xd8, // mov ds, ax
		0xa0, 0x34, 0x00, // mov al, [0x34]
		0xa2, 0x35, 0x00, // mov [0x35], al
		0xf4, // hlt
	)
	g.run(t, ExitMMIO)
	m := g.cpu.Exit().MMIO()
	if m.Write || m.GPA != 0xf0034 || len(m.Data) != 1 {
		t.Fatalf("got %+v", m)
	}
	m.Data[0] = 0x77
	g.run(t, ExitMMIO)
	m = g.cpu.Exit().MMIO()
	if !m.Write || m.GPA != 0xf0035 || !bytes.Equal(m.Data, []byte{0x77}) {
		t.Fatalf("the guest did not get the answer: %+v", m)
	}
	g.run(t, ExitHLT)
}

// TestTripleFault raises an exception in protected mode, with no interrupt
// table to deliver it, or the double fault that follows, by.
func TestTripleFault(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{}, 0x0f, 0x0b) // ud2
	s, err := g.cpu.SRegs()
	must(t, err)
	flat := Segment{Limit: 0xffffffff, Typ: 3, Present: 1, S: 1, DB: 1, G: 1, Selector: 16}
	s.DS, s.ES, s.FS, s.GS, s.SS = flat, flat, flat, flat, flat
	flat.Typ, flat.Selector = 11, 8
	s.CS = flat
	s.CR0 |= 1
	s.IDT.Limit = 0
	must(t, g.cpu.SetSRegs(s))
	g.run(t, ExitShutdown)
}

// TestImmediateExit: with the flag set Run returns at once, without having run
// the guest; once it is off the guest runs.
func TestImmediateExit(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{}, outLoop...)
	g.cpu.SetImmediateExit(true)
	for range 3 {
		reason, err := g.cpu.Run()
		if reason != ExitIntr || err != nil {
			t.Fatalf("got %s, %v; want %s", reason, err, ExitIntr)
		}
	}
	regs, err := g.cpu.Regs()
	must(t, err)
	if regs.RIP != codeGPA {
		t.Errorf("the guest ran on to %#x", regs.RIP)
	}
	g.cpu.SetImmediateExit(false)
	g.run(t, ExitIO)
	g.run(t, ExitIO)
}

// TestComplete: the answer to a read reaches the guest's register, and its RIP
// the next instruction, without the guest running.
func TestComplete(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{},
		0xe4, 0x10, // in al, 0x10
		0xf4, // hlt
	)
	g.run(t, ExitIO)
	g.cpu.Exit().IO().Data[0] = 0x99
	if reason, err := g.cpu.Complete(); reason != ExitIntr || err != nil {
		t.Fatalf("got %s, %v; want %s", reason, err, ExitIntr)
	}
	regs, err := g.cpu.Regs()
	must(t, err)
	if regs.RIP != codeGPA+2 || regs.RAX&0xff != 0x99 {
		t.Errorf("RIP %#x, AL %#x; want %#x, 0x99", regs.RIP, regs.RAX&0xff, codeGPA+2)
	}
	g.run(t, ExitHLT)
}

// TestKick stops a vCPU that never exits by itself, again and again.
func TestKick(t *testing.T) {
	g := newGuest(t, guestConfig{}, spinLoop...)
	for range 20 {
		tid := make(chan int)
		done := make(chan error)
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			tid <- unix.Gettid()
			done <- g.spinUntilStopped()
		}()
		id := <-tid
		g.cpu.SetImmediateExit(true)
		must(t, Kick(id))
		must(t, <-done)
		g.cpu.SetImmediateExit(false)
	}
}

// spinUntilStopped runs until immediate exit is asked for.
func (g *guest) spinUntilStopped() error {
	for {
		reason, err := g.cpu.Run()
		if err != nil {
			return err
		}
		if reason != ExitIntr {
			return errors.New("exit " + reason.String())
		}
		if g.cpu.exit.run.control&controlImmediateExit != 0 {
			return nil
		}
	}
}

func TestKickErrors(t *testing.T) {
	const beyondPIDMax = 1 << 30
	if err := Kick(beyondPIDMax); err != nil {
		t.Errorf("a thread that is no more: %v", err)
	}
	if err := Kick(0); !errors.Is(err, unix.EINVAL) {
		t.Errorf("thread 0: %v, want EINVAL", err)
	}
}

// TestControlFlags: the two flags of the run page are changed from different
// goroutines without undoing each other.
func TestControlFlags(t *testing.T) {
	g := newGuest(t, guestConfig{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 1000 {
				g.cpu.SetImmediateExit(true)
				g.cpu.SetImmediateExit(false)
			}
			g.cpu.SetImmediateExit(true)
		})
		wg.Go(func() {
			for range 1000 {
				g.cpu.RequestInterruptWindow(false)
				g.cpu.RequestInterruptWindow(true)
			}
		})
	}
	wg.Wait()
	if got := g.cpu.exit.mem[:8]; !bytes.Equal(got, []byte{1, 1, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("run page begins % x", got)
	}
}

// TestRunAllocs: the exit path does not allocate.
func TestRunAllocs(t *testing.T) {
	lockThread(t)
	t.Run("port", func(t *testing.T) {
		g := newGuest(t, guestConfig{}, outLoop...)
		var sum byte
		if n := testing.AllocsPerRun(200, func() {
			reason, err := g.cpu.Run()
			if reason == ExitIO && err == nil {
				sum += g.cpu.Exit().IO().Data[0]
			}
		}); n != 0 {
			t.Errorf("%v allocations a port exit", n)
		}
		if sum == 0 {
			t.Error("saw no port data")
		}
	})
	t.Run("mmio", func(t *testing.T) {
		g := newGuest(t, guestConfig{}, mmioLoop...)
		var sum byte
		if n := testing.AllocsPerRun(200, func() {
			reason, err := g.cpu.Run()
			if reason == ExitMMIO && err == nil {
				sum += g.cpu.Exit().MMIO().Data[0]
			}
		}); n != 0 {
			t.Errorf("%v allocations an MMIO exit", n)
		}
		if sum == 0 {
			t.Error("saw no MMIO data")
		}
	})
	t.Run("interrupt line", func(t *testing.T) {
		g := newGuest(t, guestConfig{irqChip: true})
		if n := testing.AllocsPerRun(200, func() {
			if _, err := g.vm.IRQLineStatus(4, true); err != nil {
				t.Fatal(err)
			}
			must(t, g.vm.IRQLine(4, false))
		}); n != 0 {
			t.Errorf("%v allocations a pulse", n)
		}
	})
}

func BenchmarkPortExit(b *testing.B) {
	lockThread(b)
	g := newGuest(b, guestConfig{}, outLoop...)
	b.ReportAllocs()
	for b.Loop() {
		g.run(b, ExitIO)
		if g.cpu.Exit().IO().Data[0] != 0x5a {
			b.Fatal("wrong data")
		}
	}
}

func BenchmarkMMIOExit(b *testing.B) {
	lockThread(b)
	g := newGuest(b, guestConfig{}, mmioLoop...)
	b.ReportAllocs()
	for b.Loop() {
		g.run(b, ExitMMIO)
		if g.cpu.Exit().MMIO().Data[0] != 0xa5 {
			b.Fatal("wrong data")
		}
	}
}
