package watchdog

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/irq"
	"github.com/govmm/govmm/devices/pci"
)

// base is where the tests map the registers.
const base = 0xFEB00000

// rig is a 6300ESB on a bus, and an IB700.
type rig struct {
	tb     testing.TB
	clock  clock.Fake
	memory *bus.Bus
	ports  *bus.Bus
	esb    *I6300ESB
	ib700  *IB700
	fired  []time.Duration
}

func newRig(tb testing.TB) *rig {
	tb.Helper()
	r := &rig{tb: tb, memory: bus.New("memory", 0), ports: bus.New("ports", 0x10000)}
	fired := func() { r.fired = append(r.fired, r.clock.Now()) }
	var err error
	if r.esb, err = NewI6300ESB(I6300ESBOptions{Name: "watchdog0", Clock: &r.clock, Fired: fired}); err != nil {
		tb.Fatal(err)
	}
	r.ib700 = NewIB700(IB700Options{Clock: &r.clock, Fired: fired})
	var lines [16]irq.Line
	for i := range lines {
		lines[i] = irq.None{}
	}
	b := pci.NewBus(pci.Options{Ports: r.ports, Memory: r.memory, Router: pci.NewRouter(lines)})
	for _, err := range []error{
		b.Add(r.esb, 4, 0),
		r.ports.Add(IB700StartPort, 1, "start", r.ib700.StartPort()),
		r.ports.Add(IB700StopPort, 1, "stop", r.ib700.StopPort()),
	} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	r.place()
	return r
}

// place does what firmware does after a reset.
func (r *rig) place() {
	r.config(pci.RegBAR0, 4, base)
	r.config(pci.RegCommand, 2, pci.CommandMemory)
}

func (r *rig) config(reg uint8, size int, v uint32) {
	r.esb.WriteConfig(reg, binary.LittleEndian.AppendUint32(nil, v)[:size])
}

func (r *rig) write(offset uint64, size int, v uint32) {
	r.memory.Write(base+offset, binary.LittleEndian.AppendUint32(nil, v)[:size])
}

func (r *rig) read(offset uint64, size int) uint32 {
	data := make([]byte, 4)
	r.memory.Read(base+offset, data[:size])
	return binary.LittleEndian.Uint32(data)
}

// set announces a write and makes it.
func (r *rig) set(offset uint64, size int, v uint32) {
	r.write(regReload, 1, unlock1)
	r.write(regReload, 1, unlock2)
	r.write(offset, size, v)
}

func (r *rig) wantFired(n int, when string) {
	r.tb.Helper()
	if len(r.fired) != n {
		r.tb.Fatalf("%s: fired at %v, want %d times", when, r.fired, n)
	}
}

func (r *rig) wantTimeout(want bool, when string) {
	r.tb.Helper()
	if got := r.read(regReload, 2)&reloadTimeout != 0; got != want {
		r.tb.Errorf("%s: timeout bit %v, want %v", when, got, want)
	}
}

func TestHeader(t *testing.T) {
	r := newRig(t)
	for _, tt := range []struct {
		reg  uint8
		size int
		want uint32
	}{
		{pci.RegVendor, 4, 0x25AB8086}, {pci.RegClass, 3, 0x088000}, {pci.RegSubsystemVendor, 4, 0x11001AF4},
		{pci.RegInterruptPin, 1, 0}, {regConfig, 2, 0}, {regLock, 1, 0},
	} {
		data := make([]byte, 4)
		r.esb.ReadConfig(tt.reg, data[:tt.size])
		if got := binary.LittleEndian.Uint32(data); got != tt.want {
			t.Errorf("register %#x is %#x, want %#x", tt.reg, got, tt.want)
		}
	}
	for _, offset := range []uint64{regPreload1, regPreload2} {
		if got := r.read(offset, 4); got != preloadMax {
			t.Errorf("preload at %#x is %#x", offset, got)
		}
	}
}

// A register in memory changes only after the two unlocking writes, in their order,
// and each write needs its own.
func TestUnlock(t *testing.T) {
	for _, tt := range []struct {
		name   string
		writes []uint32 // to the reload register
		opens  bool
	}{
		{"nothing", nil, false},
		{"first only", []uint32{unlock1}, false},
		{"second only", []uint32{unlock2}, false},
		{"wrong order", []uint32{unlock2, unlock1}, false},
		{"something between", []uint32{unlock1, 0, unlock2}, false},
		{"both", []uint32{unlock1, unlock2}, true},
		{"first twice", []uint32{unlock1, unlock1, unlock2}, true},
		{"all again", []uint32{unlock1, 7, unlock1, unlock2}, true},
	} {
		for _, size := range []int{1, 2, 4} {
			r := newRig(t)
			for _, v := range tt.writes {
				r.write(regReload, size, v)
			}
			r.write(regPreload1, 4, 0xFFF12345)
			r.write(regPreload2, 4, 1) // needs unlocking again
			want := uint32(preloadMax)
			if tt.opens {
				want = 0x12345
			}
			if got := r.read(regPreload1, 4); got != want {
				t.Errorf("%s, %d bytes: preload 1 is %#x, want %#x", tt.name, size, got, want)
			}
			if got := r.read(regPreload2, 4); got != preloadMax {
				t.Errorf("%s, %d bytes: preload 2 is %#x", tt.name, size, got)
			}
		}
	}
}

// The two stages last what their preload values say, in both units.
func TestStages(t *testing.T) {
	for _, tt := range []struct {
		config uint32
		unit   time.Duration
	}{{0, 983040 * time.Nanosecond}, {configMicro, 960 * time.Nanosecond}} {
		r := newRig(t)
		r.config(regConfig, 2, tt.config)
		r.set(regPreload1, 4, 5000)
		r.set(regPreload2, 4, 10000)
		r.config(regLock, 1, lockEnable)
		r.clock.Advance(5000*tt.unit - 1)
		if r.read(regStatus, 4) != 0 {
			t.Error("the first stage ends early")
		}
		r.clock.Advance(1)
		if r.read(regStatus, 4) != statusActive {
			t.Error("the first stage does not end")
		}
		r.wantTimeout(false, "in the second stage")
		r.clock.Advance(10000*tt.unit - 1)
		r.wantFired(0, "before the end")
		r.clock.Advance(1)
		r.wantFired(1, "at the end")
		r.wantTimeout(true, "at the end")
		if _, armed := r.clock.Next(); armed {
			t.Error("the timer runs on after its timeout")
		}
		r.set(regStatus, 4, statusActive)
		if r.read(regStatus, 4) != 0 {
			t.Error("the interrupt status does not go away")
		}
	}
}

// Reloading goes back to the beginning of the first stage, from either.
func TestReload(t *testing.T) {
	r := newRig(t)
	r.set(regPreload1, 4, 1000)
	r.set(regPreload2, 4, 1000)
	r.set(regReload, 2, reloadReload) // it does not run: nothing to do
	if _, armed := r.clock.Next(); armed {
		t.Fatal("a reload starts a timer that is not enabled")
	}
	r.config(regLock, 1, lockEnable)
	for range 10 {
		r.clock.Advance(1999 * millisUnit)
		r.set(regReload, 2, reloadReload)
	}
	r.wantFired(0, "while it is reloaded")
	r.write(regReload, 2, reloadReload) // not announced
	r.clock.Advance(2000 * millisUnit)
	r.wantFired(1, "when it is not reloaded")
	r.set(regReload, 2, reloadTimeout)
	r.wantTimeout(false, "after it was cleared")

	r.config(regLock, 1, 0)
	r.config(regLock, 1, lockEnable)
	r.clock.Advance(1500 * millisUnit)
	r.config(regLock, 1, 0)
	r.clock.Advance(time.Hour)
	r.wantFired(1, "when it is disabled")
}

func TestLock(t *testing.T) {
	r := newRig(t)
	r.config(regLock, 1, lockEnable|lockLock)
	r.config(regLock, 1, 0)
	r.config(regLock-1, 2, 0)
	r.config(regLock, 4, 0)
	if got := r.esb.Uint8(regLock); got != lockEnable|lockLock {
		t.Errorf("the locked register is %#x", got)
	}
	r.clock.Advance(2 * preloadMax * millisUnit)
	r.wantFired(1, "locked")
	r.esb.Reset()
	if got := r.esb.Uint8(regLock); got != 0 {
		t.Errorf("after a reset the lock register is %#x", got)
	}
	r.place()
	r.wantTimeout(true, "after the reset")
	if got := r.read(regPreload1, 4); got != preloadMax {
		t.Errorf("after a reset preload 1 is %#x", got)
	}
	if _, armed := r.clock.Next(); armed {
		t.Error("after a reset the timer runs")
	}
}

func TestOutputOff(t *testing.T) {
	r := newRig(t)
	r.config(regConfig, 2, configOutputOff|interruptOff)
	r.set(regPreload1, 4, 1)
	r.set(regPreload2, 4, 1)
	r.config(regLock, 1, lockEnable)
	r.clock.Advance(time.Second)
	r.wantFired(0, "with the output off")
	r.wantTimeout(true, "with the output off")
	if r.read(regStatus, 4) != 0 {
		t.Error("an interrupt that is off is active")
	}
}

// A free-running timer has one stage, and fires again and again, however short a
// time the guest gives it.
func TestFreeRunning(t *testing.T) {
	r := newRig(t)
	r.set(regPreload1, 4, 1<<19)
	r.set(regPreload2, 4, 1000)
	r.config(regLock, 1, lockEnable|lockFreeRunning)
	r.clock.Advance(3000 * millisUnit)
	r.wantFired(3, "free-running")

	r.config(regConfig, 2, configMicro)
	r.set(regPreload2, 4, 0)
	r.set(regReload, 2, reloadReload)
	r.fired = nil
	r.clock.Advance(10 * time.Millisecond)
	r.wantFired(10, "free-running without a time")
}

func TestIB700(t *testing.T) {
	for value := range uint8(16) {
		r := newRig(t)
		r.ports.Write(IB700StartPort, []byte{value | 0xA0})
		want := 30*time.Second - 2*time.Second*time.Duration(value)
		if want > 0 {
			r.clock.Advance(want - 1)
			r.wantFired(0, "early")
		}
		r.clock.Advance(1)
		r.wantFired(1, "in time")
		r.clock.Advance(time.Hour)
		r.wantFired(1, "later")
	}
	r := newRig(t)
	for range 5 {
		r.ports.Write(IB700StartPort, []byte{0})
		r.clock.Advance(29 * time.Second)
	}
	r.ports.Write(IB700StopPort, []byte{0xFF})
	r.clock.Advance(time.Hour)
	r.ports.Write(IB700StartPort, []byte{10})
	if s := r.ib700.State(); !s.Running || s.Deadline != r.clock.Now()+10*time.Second {
		t.Errorf("state %+v at %v", s, r.clock.Now())
	}
	r.ib700.Reset()
	r.clock.Advance(time.Hour)
	r.wantFired(0, "reloaded, stopped, reset")
	data := []byte{0}
	if r.ports.Read(IB700StartPort, data); data[0] != 0xFF {
		t.Errorf("the start port reads %#x", data[0])
	}
}

// A timer whose deadline was moved while it fired does nothing: the host may be late.
func TestLateHost(t *testing.T) {
	r := newRig(t)
	r.ports.Write(IB700StartPort, []byte{0})
	r.clock.Jump(20 * time.Second)
	r.ports.Write(IB700StartPort, []byte{0})
	r.ib700.expire()
	r.config(regLock, 1, lockEnable)
	r.esb.expire()
	r.wantFired(0, "with a timer that comes too soon")
}

func TestNoAllocation(t *testing.T) {
	r := newRig(t)
	bytes := [][]byte{{unlock1}, {unlock2}, {0, 1}, {0}}
	r.config(regLock, 1, lockEnable)
	if n := testing.AllocsPerRun(100, func() {
		r.memory.Write(base+regReload, bytes[0])
		r.memory.Write(base+regReload, bytes[1])
		r.memory.Write(base+regReload, bytes[2])
		r.ports.Write(IB700StartPort, bytes[3])
	}); n != 0 {
		t.Errorf("a reload allocates %v times", n)
	}
}

// FuzzRegisters does to both timers what a guest may do. Whatever it is, they fire no
// more than once a millisecond.
func FuzzRegisters(f *testing.F) {
	f.Add([]byte{0, 0x68, 2, 1, 0x0C, 0x80, 1, 0x0C, 0x86, 1, 0x0C, 0, 4, 255, 255})
	f.Fuzz(func(t *testing.T, program []byte) {
		r := newRig(t)
		begin := r.clock.Now()
		zero := 0 // IB700 timers that are to fire at once
		for ; len(program) >= 3; program = program[3:] {
			op, at, v := program[0], program[1], program[2]
			data := []byte{v, v, v, v}[:1<<(op>>4&1)+int(op>>5&1)]
			switch op % 5 {
			case 0:
				if reg := at; int(reg)+len(data) <= 256 {
					r.esb.WriteConfig(reg, data)
				}
			case 1:
				r.memory.Write(base+uint64(at&15), data)
			case 2:
				r.memory.Read(base+uint64(at&15), data)
			case 3:
				r.ports.Write([]uint64{IB700StartPort, IB700StopPort}[at&1], data[:1])
				zero++
			case 4:
				r.clock.Advance(time.Duration(v) * 10 * time.Millisecond)
			}
		}
		if most := int((r.clock.Now()-begin)/leastPeriod) + zero + 1; len(r.fired) > most {
			t.Errorf("fired %d times in %v", len(r.fired), r.clock.Now()-begin)
		}
	})
}
