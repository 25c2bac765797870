package vmm

import (
	"encoding/binary"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/kvm"
)

// counter is a device that counts accesses.
type counter struct{ reads, writes uint32 }

func (c *counter) Read(_ uint64, data []byte) {
	c.reads++
	for i := range data {
		data[i] = byte(c.reads >> (8 * i))
	}
}

func (c *counter) Write(uint64, []byte) { atomic.AddUint32(&c.writes, 1) }

// Where the counting device is, on both buses.
const (
	counterPort = 0x80
	counterMMIO = 0x100000
)

// newLoop is a vCPU that runs code for ever, with a counter on its buses.
func newLoop(t testing.TB, code ...byte) (*vcpu, *counter) {
	t.Helper()
	sys, err := openKVM("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Close() })
	table, err := newCPUIDTable(sys)
	if err != nil {
		t.Fatal(err)
	}
	cpu, close, err := newProbe(sys, table, code)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close() })
	device := &counter{}
	v := &vcpu{kvm: cpu, ports: bus.New("port", 1<<16), mmio: bus.New("memory", 0), gate: newGate(1, func() {}), prepare: func() error { return nil }}
	v.died = func(e Exit) { t.Error(e) }
	if err := v.ports.Add(counterPort, 1, "counter", device); err != nil {
		t.Fatal(err)
	}
	if err := v.mmio.Add(counterMMIO, 4096, "counter", device); err != nil {
		t.Fatal(err)
	}
	return v, device
}

// step runs the guest until its next exit and handles that.
func step(t testing.TB, v *vcpu) {
	reason, err := v.kvm.Run()
	if err != nil {
		t.Fatal(err)
	}
	v.handle(reason)
}

var loops = []struct {
	name string
	code []byte
}{
	{"port write", []byte{0xE6, counterPort, 0xEB, 0xFC}},              // out 0x80, al; jmp
	{"port read", []byte{0xE4, counterPort, 0xEB, 0xFC}},               // in al, 0x80; jmp
	{"memory write", []byte{0xA3, 0, 0, 0x10, 0, 0, 0, 0, 0, 0xEB, 0}}, // mov [0x100000], eax; jmp
	{"memory read", []byte{0xA1, 0, 0, 0x10, 0, 0, 0, 0, 0, 0xEB, 0}},  // mov eax, [0x100000]; jmp
}

func loopCode(code []byte) []byte {
	if n := len(code); code[n-1] == 0 {
		code = append([]byte(nil), code...)
		code[n-1] = byte(-n)
	}
	return code
}

// Exits are handled without allocating.
func TestExitDoesNotAllocate(t *testing.T) {
	for _, l := range loops {
		t.Run(l.name, func(t *testing.T) {
			v, device := newLoop(t, loopCode(l.code)...)
			const runs = 500
			if n := testing.AllocsPerRun(runs, func() { step(t, v) }); n != 0 {
				t.Errorf("%v allocations an exit", n)
			}
			if n := device.reads + device.writes; n < runs/2 {
				t.Errorf("%d accesses reached the device", n)
			}
		})
	}
}

// A read's answer reaches the guest, and settle lets KVM take it without the
// guest running on.
func TestSettle(t *testing.T) {
	v, device := newLoop(t,
		0xE4, counterPort, // in al, 0x80
		0xFF, 0xC3, // inc ebx
		0xEB, 0xFA, // jmp to the start
	)
	device.reads = 0x41
	for !v.pending {
		step(t, v)
	}
	v.settle()
	regs, err := v.kvm.Regs()
	if err != nil {
		t.Fatal(err)
	}
	if regs.RIP != probeCode+2 || regs.RAX&0xFF != 0x42 || regs.RBX != 0 {
		t.Errorf("after settle: RIP %#x, RAX %#x, RBX %#x", regs.RIP, regs.RAX, regs.RBX)
	}
}

// A string instruction's many units each reach the device, also when the
// machine is stopped in the middle of them.
func TestStringIO(t *testing.T) {
	code := []byte{0xB9, 0, 0, 0, 0, 0xBE, 0, 0, 0, 0, 0xBA, counterPort, 0, 0, 0, 0xF3, 0x6E, 0xF4}
	const units = 5000
	binary.LittleEndian.PutUint32(code[1:], units) // mov ecx; mov esi, 0; mov edx, port; rep outsb; hlt
	v, device := newLoop(t, code...)
	for reason := kvm.ExitIntr; reason != kvm.ExitHLT; {
		var err error
		if reason, err = v.kvm.Run(); err != nil {
			t.Fatal(err)
		}
		v.handle(reason)
		if device.writes > units/2 {
			v.settle()
			v.kvm.SetImmediateExit(false)
		}
	}
	if device.writes != units {
		t.Errorf("%d units reached the device, want %d", device.writes, units)
	}
}

// faulty is a device with a bug.
type faulty struct{}

func (faulty) Read(uint64, []byte)  { panic("no such register") }
func (faulty) Write(uint64, []byte) {}

// A bug in a device ends its machine, with the place of the bug, and not the
// program.
func TestFault(t *testing.T) {
	v, _ := newLoop(t, 0xE4, counterPort+1) // in al, port
	if err := v.ports.Add(counterPort+1, 1, "faulty", faulty{}); err != nil {
		t.Fatal(err)
	}
	var exit Exit
	v.died = func(e Exit) { exit = e; v.gate.shut() }
	v.run()
	if exit.Cause != CauseHost || !strings.Contains(exit.Detail, "no such register") || !strings.Contains(exit.Detail, "faulty.Read") {
		t.Errorf("ended by %v", exit)
	}
	v.gate.drain() // returns: the vCPU is not inside any more
}

// A kick that comes when the gate is open again interrupts the guest once.
func TestLateKick(t *testing.T) {
	v, device := newLoop(t, loopCode(loops[0].code)...)
	done := make(chan struct{})
	go func() { defer close(done); v.run() }()
	for atomic.LoadUint32(&device.writes) == 0 {
		runtime.Gosched()
	}
	for range 100 {
		v.kick()
		before := atomic.LoadUint32(&device.writes)
		for late := time.Now().Add(10 * time.Second); atomic.LoadUint32(&device.writes) <= before+1; runtime.Gosched() {
			if time.Now().After(late) {
				t.Fatal("the guest does not run on after a kick")
			}
		}
	}
	v.gate.kick = v.kick
	v.gate.end()
	<-done
}

func BenchmarkExit(b *testing.B) {
	for _, l := range loops {
		b.Run(l.name, func(b *testing.B) {
			v, _ := newLoop(b, loopCode(l.code)...)
			b.ReportAllocs()
			for b.Loop() {
				step(b, v)
			}
		})
	}
}
