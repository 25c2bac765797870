package platform

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/irq"
)

// rig has all devices of the package on a port bus.
type rig struct {
	ports  *bus.Bus
	kbd    *I8042
	port92 *Port92
	post   *POST
	log    bytes.Buffer
	irq1   bool
	irq12  bool
	edges  int // of IRQ1
	edges2 int // of IRQ12
	leds   []uint8
	events []string
}

func newRig(tb testing.TB) *rig { return newRigWith(tb, I8042Options{}) }

// newBareRig has nothing plugged into the keyboard controller.
func newBareRig(tb testing.TB) *rig {
	return newRigWith(tb, I8042Options{NoKeyboard: true, NoMouse: true})
}

func newRigWith(tb testing.TB, o I8042Options) *rig {
	r := &rig{ports: bus.New("ports", 0x10000), post: &POST{}}
	log := slog.New(slog.NewTextHandler(&r.log, nil))
	note := func(format string, args ...any) { r.events = append(r.events, fmt.Sprintf(format, args...)) }
	reset := func(reason string) { note("reset by %s", reason) }
	o.Reset, o.Log = reset, log
	o.IRQ1 = irq.LineFunc(func(asserted bool) {
		r.irq1 = asserted
		if asserted {
			r.edges++
		}
	})
	o.IRQ12 = irq.LineFunc(func(asserted bool) {
		r.irq12 = asserted
		if asserted {
			r.edges2++
		}
	})
	o.LEDs = func(leds uint8) { r.leds = append(r.leds, leds) }
	r.kbd = NewI8042(o)
	r.port92 = NewPort92(Port92Options{Reset: reset, Log: log})
	for _, err := range []error{
		r.ports.Add(I8042DataPort, 1, "i8042 data", r.kbd.DataPort()),
		r.ports.Add(I8042CommandPort, 1, "i8042 command", r.kbd.CommandPort()),
		r.ports.Add(Port92Port, 1, "port92", r.port92),
		r.ports.Add(POSTPort, 1, "post", r.post),
		r.ports.Add(DebugConsolePort, 1, "debug console", NewDebugConsole(DebugConsoleOptions{Log: log})),
		r.ports.Add(PvpanicPort, 1, "pvpanic", NewPvpanic(func(e PanicEvent) { note("panic %d", e) })),
		r.ports.Add(DebugExitPort, DebugExitPorts, "exit", NewDebugExit(func(v uint32) { note("exit %#x", v) })),
	} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	return r
}

func (r *rig) out(port uint64, data ...byte) { r.ports.Write(port, data) }

func (r *rig) in(port uint64) byte {
	data := []byte{0}
	r.ports.Read(port, data)
	return data[0]
}

func (r *rig) takeEvents() string {
	s := strings.Join(r.events, ", ")
	r.events = nil
	return s
}

// command sends a command and its data, and returns the answer; ok is false if
// there is none.
func (r *rig) command(c byte, data ...byte) (answer byte, ok bool) {
	r.out(0x64, c)
	for _, v := range data {
		r.out(0x60, v)
	}
	ok = r.in(0x64)&statusOutputFull != 0
	return r.in(0x60), ok
}

func TestI8042Commands(t *testing.T) {
	for _, tt := range []struct {
		name string
		send []byte // command and data
		want int    // -1 is no answer
		bare int    // the same with nothing plugged in, if it differs
	}{
		{"self-test", []byte{0xAA}, 0x55, 0x55},
		{"read the command byte", []byte{0x20}, commandAtPowerOn, commandAtPowerOn},
		{"write it", []byte{0x60, 0x12}, -1, -1},
		{"read RAM", []byte{0x3F}, 0, 0},
		{"keyboard interface", []byte{0xAB}, 0, 0},
		{"mouse interface", []byte{0xA9}, 0, 4},
		{"password", []byte{0xA4}, 0xF1, 0xF1},
		{"input port", []byte{0xC0}, 0xA0, 0xA0},
		{"output port", []byte{0xD0}, 0xC3, 0xC3},
		{"write the output port", []byte{0xD1, 0x03}, -1, -1},
		{"echo", []byte{0xD2, 0x5A}, 0x5A, 0x5A},
		{"mouse echo", []byte{0xD3, 0x5A}, 0x5A, 0x5A},
		{"to the mouse", []byte{0xD4, 0xEC}, 0xFA, 0xFE},
		{"disable keyboard", []byte{0xAD}, -1, -1},
		{"enable keyboard", []byte{0xAE}, -1, -1},
		{"unknown", []byte{0x99}, -1, -1},
		{"pulse nothing", []byte{0xFF}, -1, -1},
	} {
		for _, plugged := range []bool{true, false} {
			r, want := newRig(t), tt.want
			if !plugged {
				r, want = newBareRig(t), tt.bare
			}
			answer, ok := r.command(tt.send[0], tt.send[1:]...)
			if ok != (want >= 0) || ok && int(answer) != want {
				t.Errorf("%s: %#x %v, want %#x", tt.name, answer, ok, want)
			}
			if e := r.takeEvents(); e != "" {
				t.Errorf("%s: %s", tt.name, e)
			}
			if v := r.in(0x64); v&(statusOutputFull|statusTimeout|statusAux) != 0 {
				t.Errorf("%s: status %#x after the answer was read", tt.name, v)
			}
		}
	}
}

func TestI8042Status(t *testing.T) {
	r := newRig(t)
	if v := r.in(0x64); v != statusUnlocked {
		t.Errorf("power-on status %#x", v)
	}
	r.out(0x64, 0xAA)
	if v := r.in(0x64); v != statusUnlocked|statusCommand|statusSystem|statusOutputFull {
		t.Errorf("status %#x after the self-test", v)
	}
	r.in(0x60)
	r.out(0x64, 0x60)
	r.out(0x60, 0x00)
	if v := r.in(0x64); v != statusUnlocked {
		t.Errorf("status %#x: the command byte clears the system flag", v)
	}
	r.command(0x65, 0x77)
	if v, _ := r.command(0x25); v != 0x77 {
		t.Errorf("RAM byte 5 is %#x", v)
	}
	r.kbd.Reset()
	if s := r.kbd.State(); s.RAM[5] != 0 || s.RAM[0] != commandAtPowerOn {
		t.Errorf("after a reset %+v", s)
	}
}

// TestNoKeyboard is how a driver finds that there is none: the command that
// identifies one is answered at once by a time-out.
func TestNoKeyboard(t *testing.T) {
	r := newBareRig(t)
	r.command(0x60, 0x41)
	r.out(0x60, 0xF2)
	if v := r.in(0x64); v != statusUnlocked|statusOutputFull|statusTimeout || !r.irq1 {
		t.Errorf("status %#x, IRQ1 %v", v, r.irq1)
	}
	if v := r.in(0x60); v != 0xFE || r.irq1 {
		t.Errorf("answer %#x, IRQ1 %v", v, r.irq1)
	}
	r.command(0x60, 0x40) // no interrupt
	r.out(0x60, 0xFF)
	if r.irq1 || r.edges != 1 {
		t.Errorf("IRQ1 is disabled, but fired %d times", r.edges)
	}
	r.command(0xA8)
	if v, _ := r.command(0x20); v&commandDisableAux != 0 {
		t.Errorf("command byte %#x", v)
	}
	r.command(0xA7)
	r.command(0xAD)
	if v, _ := r.command(0x20); v&(commandDisableAux|commandDisable) != commandDisableAux|commandDisable {
		t.Errorf("command byte %#x", v)
	}
	r.out(0x60, 0xED)
	r.in(0x60)
	if v, _ := r.command(0x20); v&commandDisable != 0 {
		t.Error("sending to the keyboard does not enable it")
	}
}

func TestResets(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(r *rig)
		want string
	}{
		{"pulse", func(r *rig) { r.out(0x64, 0xFE) }, "reset by keyboard controller"},
		{"pulse more", func(r *rig) { r.out(0x64, 0xF0) }, "reset by keyboard controller"},
		{"pulse others", func(r *rig) { r.out(0x64, 0xF1) }, ""},
		{"output port", func(r *rig) { r.command(0xD1, 0xC2) }, "reset by keyboard controller"},
		{"port 92", func(r *rig) { r.out(0x92, 3) }, "reset by port 0x92 fast reset"},
		{"port 92 held", func(r *rig) { r.out(0x92, 3); r.out(0x92, 3) }, "reset by port 0x92 fast reset"},
		{"port 92 without", func(r *rig) { r.out(0x92, 0xFE) }, ""},
	} {
		r := newRig(t)
		tt.do(r)
		if e := r.takeEvents(); e != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, e, tt.want)
		}
	}
}

func TestNoResetIsLogged(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	NewI8042(I8042Options{Log: log}).CommandPort().Write(0, []byte{0xFE})
	NewPort92(Port92Options{Log: log}).Write(0, []byte{1})
	if got := out.String(); !strings.Contains(got, `by="keyboard controller"`) || !strings.Contains(got, `by="port 0x92 fast reset"`) {
		t.Error(got)
	}
}

func TestA20(t *testing.T) {
	r := newRig(t)
	if v := r.in(0x92); v != 2 {
		t.Errorf("port 0x92 %#x", v)
	}
	r.command(0xD1, 0xDD)
	if v, _ := r.command(0xD0); v&2 != 0 {
		t.Errorf("output port %#x", v)
	}
	r.command(0xDF)
	if v, _ := r.command(0xD0); v&2 == 0 {
		t.Errorf("output port %#x", v)
	}
	for range 1000 {
		r.command(0xDD)
		r.out(0x92, 0)
		r.out(0x92, 2)
	}
	if n := strings.Count(r.log.String(), "A20"); n < 2 || n > 24 {
		t.Errorf("%d log lines", n)
	}
	r.out(0x92, 0xFC)
	if v := r.in(0x92); v != 0xFC {
		t.Errorf("port 0x92 %#x", v)
	}
	r.port92.Reset()
	if s := r.port92.State(); s.Value != 2 {
		t.Errorf("port 0x92 %#x after a reset", s.Value)
	}
}

func TestSmallPorts(t *testing.T) {
	r := newRig(t)
	r.out(0x80, 0xA5)
	if r.in(0x80) != 0xA5 || r.post.State().Code != 0xA5 {
		t.Error("the POST code is lost")
	}
	r.post.Reset()
	if r.in(0x80) != 0 {
		t.Error("the POST code survives a reset")
	}
	if v := r.in(0x505); v != 3 {
		t.Errorf("pvpanic supports %#x", v)
	}
	r.out(0x505, 1)
	r.out(0x505, 0xFE)
	r.out(0x505, 0x80)
	r.out(0xF4, 0x31)
	r.out(0xF4, 0x78, 0x56, 0x34, 0x12)
	if e := r.takeEvents(); e != "panic 1, panic 2, exit 0x31, exit 0x12345678" {
		t.Error(e)
	}
	if v := r.in(0xF4); v != 0 {
		t.Errorf("the exit port reads %#x", v)
	}
}

func TestAllocatesNothing(t *testing.T) {
	r := newRig(t)
	one := []byte{0}
	if n := testing.AllocsPerRun(100, func() {
		for _, port := range []uint64{0x60, 0x64, 0x80, 0x92, 0x402, 0x505} {
			one[0] = 0xAA
			if port == 0x92 || port == 0x505 {
				one[0] = 0
			}
			r.ports.Write(port, one)
			r.ports.Read(port, one)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzI8042(f *testing.F) {
	f.Add([]byte{1, 0xAA, 2, 0, 1, 0x60, 0, 0x01, 0, 0xFF, 2, 0, 1, 0xFE})
	f.Add([]byte{0, 0xF0, 0, 0x01, 5, 57, 5, 185, 0, 0xF0, 0, 0x03, 0, 0xF8, 5, 57, 2, 0, 2, 0})
	f.Add([]byte{1, 0xA8, 1, 0xD4, 0, 0xF3, 1, 0xD4, 0, 200, 1, 0xD4, 0, 0xF4, 6, 0x91, 6, 7, 2, 0, 1, 0xD4, 0, 0xEB})
	f.Fuzz(func(t *testing.T, ops []byte) {
		r := newRig(t)
		for n := 0; len(ops) >= 2 && n < 300; ops, n = ops[2:], n+1 {
			v := ops[1]
			switch ops[0] % 8 {
			case 0:
				r.out(0x60, v)
			case 1:
				r.out(0x64, v)
			case 2:
				r.in(0x60)
			case 3:
				r.out(0x92, v)
			case 4:
				r.kbd.Reset()
			case 5:
				r.kbd.Keyboard().Key(Key(v&0x7F), v&0x80 == 0)
			case 6:
				r.kbd.Mouse().Move(int(int8(v))<<4, int(int8(ops[0])), int(v&7)-3, MouseButtons(v&31))
			case 7:
				r.kbd.Keyboard().Press(Key(v), Key(ops[0]))
			}
			s := r.kbd.State()
			full := s.Status & (statusOutputFull | statusAux)
			want1 := full == statusOutputFull && s.RAM[0]&commandInterrupt != 0
			want12 := full == statusOutputFull|statusAux && s.RAM[0]&commandInterruptAux != 0
			if r.irq1 != want1 || s.Asserted1 != want1 || r.irq12 != want12 || s.Asserted12 != want12 {
				t.Fatalf("IRQ1 %v, IRQ12 %v with %+v", r.irq1, r.irq12, s)
			}
			if m := s.Mouse; max(m.X, -m.X, m.Y, -m.Y, m.Z, -m.Z) > mouseFar {
				t.Fatalf("movement %d %d %d is kept", m.X, m.Y, m.Z)
			}
		}
		// A guest that reads comes to an end, unless the mouse has far to go.
		for n := 0; r.in(0x64)&statusOutputFull != 0; n++ {
			if n > 4*2*mouseFar/8+100 {
				t.Fatal("the output buffer stays full")
			}
			r.in(0x60)
		}
		if len(r.events) > 300 || r.log.Len() > 1<<16 {
			t.Fatalf("%d events, %d bytes of log", len(r.events), r.log.Len())
		}
	})
}
