package parallel

import (
	"testing"

	"github.com/govmm/govmm/chardev"
)

// host is a back end in the test's hands.
type host struct {
	out   []byte
	room  int
	front chardev.Receiver
}

func (h *host) Attach(r chardev.Receiver) { h.front = r }

func (h *host) Write(p []byte) int {
	n := min(len(p), h.room)
	h.room -= n
	h.out = append(h.out, p[:n]...)
	return n
}

func (h *host) Ready()               {}
func (h *host) Stats() chardev.Stats { return chardev.Stats{} }
func (h *host) Close() error         { return nil }

// wire is an interrupt line that counts its rising edges.
type wire struct {
	level bool
	edges int
}

func (w *wire) Set(level bool) {
	if level && !w.level {
		w.edges++
	}
	w.level = level
}

// rig is a port with everything around it.
type rig struct {
	t    testing.TB
	port *Port
	host *host
	line *wire
}

func newRig(t testing.TB) *rig {
	r := &rig{t: t, host: &host{room: 1 << 30}, line: &wire{}}
	r.port = New(Options{Line: r.line, Backend: r.host})
	return r
}

func (r *rig) in(reg uint64) byte {
	var b [1]byte
	r.port.Read(reg, b[:])
	return b[0]
}

func (r *rig) out(reg uint64, v byte) { r.port.Write(reg, []byte{v}) }

func (r *rig) want(reg uint64, v byte, when string) {
	r.t.Helper()
	if got := r.in(reg); got != v {
		r.t.Errorf("%s: register %d is %#02x, want %#02x", when, reg, got, v)
	}
}

// TestRegisters has the values that QEMU's isa-parallel is known to have at the same
// steps; QEMU is not asked here.
func TestRegisters(t *testing.T) {
	r := newRig(t)
	r.want(regData, 0xff, "power-on")
	r.want(regStatus, 0xd9, "power-on")
	r.want(regControl, 0xcc, "power-on")
	r.out(regControl, 0x08)
	r.want(regStatus, 0xd8, "initialised")
	r.want(regControl, 0xc8, "initialised")
	r.out(regControl, 0x0c)
	r.out(regData, 'x')
	r.want(regData, 'x', "written")
	r.want(regStatus, 0xd8, "written")
	r.out(regControl, 0x0d)
	r.want(regControl, 0xcd, "strobe")
	r.want(regStatus, 0x58, "strobe")
	r.want(regStatus, 0x58, "strobe goes on")
	r.out(regControl, 0x0c)
	r.want(regStatus, 0x58, "busy")
	r.want(regStatus, 0x18, "acknowledged")
	r.want(regStatus, 0xd8, "ready")
	r.want(regStatus, 0xd8, "still ready")
	r.out(regControl, 0x2c)
	r.want(regData, 0xff, "reverse direction")
	r.want(3, 0xff, "no register")
	r.out(regStatus, 0)
	r.want(regStatus, 0xd8, "status is read-only")
	if got := string(r.host.out); got != "x" {
		t.Errorf("sent %q", got)
	}
	// An unselected printer takes nothing.
	r.out(regControl, 0x05)
	r.out(regControl, 0x04)
	r.want(regStatus, 0xd8, "not selected")
	if got := string(r.host.out); got != "x" {
		t.Errorf("sent %q", got)
	}
	var all [3]byte
	r.port.Write(0, []byte{'y', 0, 0x0c})
	r.port.Read(0, all[:])
	if all != [3]byte{'y', 0xd8, 0xcc} {
		t.Errorf("wide access reads %x", all)
	}
	r.port.Reset()
	r.want(regStatus, 0xd9, "reset")
}

// print is what a driver does that polls.
func (r *rig) print(text string) {
	for _, b := range []byte(text) {
		for tries := 0; r.in(regStatus)&statusNotBusy == 0; tries++ {
			if tries > 10 {
				r.t.Fatalf("the printer stays busy after %q", r.host.out)
			}
		}
		r.out(regData, b)
		r.out(regControl, 0x0d)
		r.out(regControl, 0x0c)
	}
}

func TestPolledDriver(t *testing.T) {
	r := newRig(t)
	r.out(regControl, 0x08)
	r.out(regControl, 0x0c)
	r.print("Hello, printer\r\n\x00\xff")
	if got := string(r.host.out); got != "Hello, printer\r\n\x00\xff" {
		t.Errorf("printed %q", got)
	}
	if r.line.edges != 0 {
		t.Errorf("%d interrupts that nobody asked for", r.line.edges)
	}
}

// TestInterrupts: one for each byte, whether or not the status is read.
func TestInterrupts(t *testing.T) {
	r := newRig(t)
	const idle, strobe = 0x1c, 0x1d
	r.out(regControl, idle)
	for i := range 6 {
		r.out(regData, byte(i))
		r.out(regControl, strobe)
		r.out(regControl, idle)
		if r.line.edges != i+1 || !r.line.level {
			t.Fatalf("line %v after %d edges, want the %dth", r.line.level, r.line.edges, i+1)
		}
		if i%2 == 0 {
			r.in(regStatus)
			if r.line.level {
				t.Error("the line is up after the status was read")
			}
		}
	}
	r.out(regControl, 0x0c)
	if r.line.level {
		t.Error("the line is up with IRQEN off")
	}
}

// TestBackPressure: a byte without room waits, and the printer is busy.
func TestBackPressure(t *testing.T) {
	r := newRig(t)
	r.host.room = 0
	r.out(regControl, 0x08)
	r.out(regControl, 0x1c)
	r.out(regData, 'a')
	r.out(regControl, 0x1d)
	r.out(regControl, 0x1c)
	for range 3 {
		r.want(regStatus, 0x58, "no room")
	}
	// A guest that does not look loses its next byte, and only that.
	r.out(regData, 'b')
	r.out(regControl, 0x1d)
	r.out(regControl, 0x1c)
	if r.line.edges != 0 {
		t.Error("acknowledged what nobody took")
	}
	r.port.OutputReady()
	r.host.room = 10
	r.port.OutputReady()
	r.port.OutputReady()
	if r.line.edges != 1 || string(r.host.out) != "a" {
		t.Errorf("%d interrupts, sent %q", r.line.edges, r.host.out)
	}
	r.in(regStatus)
	r.in(regStatus)
	r.out(regControl, 0x0c)
	r.print("c")
	if string(r.host.out) != "ac" {
		t.Errorf("sent %q", r.host.out)
	}
	if n := r.port.Receive([]byte("from the printer")); n != 16 {
		t.Errorf("took %d bytes of input, want all", n)
	}
}

// hostPort is a port of the host.
type hostPort struct {
	host
	data, status, control byte
}

func (h *hostPort) ReadData() byte      { return h.data }
func (h *hostPort) WriteData(v byte)    { h.data = v }
func (h *hostPort) ReadStatus() byte    { return h.status }
func (h *hostPort) WriteControl(v byte) { h.control = v }

func TestHostPort(t *testing.T) {
	h, line := &hostPort{}, &wire{}
	p := New(Options{Line: line, Backend: h})
	r := &rig{t: t, port: p, line: line}
	if h.control != 0xcc {
		t.Errorf("control lines %#x at power-on", h.control)
	}
	r.out(regData, 0x5a)
	h.status = 0x7f
	r.want(regStatus, 0x7f, "host's status")
	r.out(regControl, 0x3c)
	if h.data != 0x5a || h.control != 0xfc {
		t.Errorf("host has data %#x, control %#x", h.data, h.control)
	}
	h.data = 0xa5
	r.want(regData, 0xa5, "host's data")
	p.Acknowledge()
	p.Acknowledge()
	if line.edges != 2 {
		t.Errorf("%d interrupts for 2 pulses", line.edges)
	}
	r.out(regControl, 0x0c)
	p.Acknowledge()
	if line.level || line.edges != 2 {
		t.Error("an interrupt with IRQEN off")
	}
}

// TestAccessDoesNotAllocate: registers are on the exit path.
func TestAccessDoesNotAllocate(t *testing.T) {
	p := New(Options{})
	b := []byte{0}
	if n := testing.AllocsPerRun(1000, func() {
		for _, v := range []byte{0x0d, 0x0c} {
			b[0] = v
			p.Write(regControl, b)
			p.Read(regStatus, b)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzPort: whatever a guest writes, each byte goes out once, and a driver that
// initialises the printer can print.
func FuzzPort(f *testing.F) {
	f.Add([]byte{2, 0x0d, 2, 0x0c, 1, 0, 0, 'x', 2, 0x1d, 2, 0x1c})
	f.Add([]byte{5, 3, 2, 0x0d, 5, 0, 2, 0x00, 2, 0xff, 6, 0})
	f.Fuzz(func(t *testing.T, steps []byte) {
		r := newRig(t)
		strobes := 0
		for ; len(steps) >= 2; steps = steps[2:] {
			switch v := steps[1]; steps[0] % 8 {
			case 0, 1, 2, 3:
				if steps[0]%8 == regControl && v&controlStrobe != 0 {
					strobes++
				}
				r.out(uint64(steps[0]%8), v)
			case 4:
				r.in(uint64(v))
			case 5:
				r.host.room = int(v % 4)
				r.port.OutputReady()
			case 6:
				r.port.Reset()
			case 7:
				r.port.Acknowledge()
			}
		}
		if len(r.host.out) > strobes {
			t.Fatalf("%d bytes sent for %d strobes", len(r.host.out), strobes)
		}
		r.host.room = 1 << 30
		r.port.OutputReady()
		r.out(regControl, 0x08)
		r.out(regControl, 0x0c)
		before := len(r.host.out)
		r.print("ok")
		if got := string(r.host.out[before:]); got != "ok" {
			t.Fatalf("printed %q", got)
		}
	})
}
