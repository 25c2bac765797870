package platform

import (
	"encoding/hex"
	"testing"
)

// toMouse sends bytes to the mouse and returns its answers.
func (r *rig) toMouse(t *testing.T, bytes string) string {
	t.Helper()
	send, err := hex.DecodeString(bytes)
	if err != nil {
		t.Fatal(err)
	}
	s := ""
	for _, v := range send {
		r.out(0x64, 0xD4)
		r.out(0x60, v)
		s += r.read()
	}
	return s
}

func TestMouseCommands(t *testing.T) {
	for _, tt := range []struct {
		name, send, want string
	}{
		{"reset", "ff", "FAAA00"},
		{"identify", "f2", "FA00"},
		{"status at power-on", "e9", "FA000264"},
		{"enable", "f4e9", "FAFA200264"},
		{"disable", "f4f5e9", "FAFAFA000264"},
		{"scaling", "e7e9e6e9", "FAFA100264FAFA000264"},
		{"resolution", "e803e9", "FAFAFA000364"},
		{"no such resolution", "e804e9", "FAFEFA000264"},
		{"rate", "f3c8e9", "FAFAFA0002C8"},
		{"remote", "f0e9eaf4", "FAFA400264FAFA"},
		{"defaults", "e7f414f328f6e9", "FAFAFEFAFAFAFA000264"},
		{"wrap", "ee55f2eec3ecf2", "FA55F2EEC3FAFA00"},
		{"reset in wrap mode", "eefff2", "FAFAAA00FA00"},
		{"resend", "f2fe", "FA0000"},
		{"read data", "eb", "FA080000"},
		{"unknown", "e1", "FE"},
		{"unknown twice", "e1e1e1", "FEFCFE"},
		{"wheel", "f3c8f364f350f2", "FAFAFAFAFAFAFA03"},
		{"wheel, read data", "f3c8f364f350eb", "FAFAFAFAFAFAFA08000000"},
		{"five buttons", "f3c8f3c8f350f2", "FAFAFAFAFAFAFA04"},
		{"reset of the wheel", "f3c8f364f350fff2", "FAFAFAFAFAFAFAAA00FA00"},
		{"a command in place of a rate", "f3f2", "FAFA00"},
	} {
		r := newRig(t)
		r.want(t, tt.name, r.toMouse(t, tt.send), tt.want)
	}
}

func TestMousePackets(t *testing.T) {
	const wheel, five = "f3c8f364f350", "f3c8f3c8f350"
	type move struct {
		dx, dy, dz int
		buttons    MouseButtons
	}
	for _, tt := range []struct {
		name  string
		setUp string
		moves []move
		want  string
	}{
		{"right and down", "f4", []move{{dx: 3, dy: 2}}, "2803FE"},
		{"left and up", "f4", []move{{dx: -3, dy: -2}}, "18FD02"},
		{"buttons", "f4", []move{{buttons: MouseLeft}, {buttons: MouseRight | MouseMiddle}, {}}, "0900000E0000080000"},
		{"nothing", "f4", []move{{}, {}}, ""},
		{"nothing but what it cannot tell", "f4", []move{{buttons: MouseSide}, {dz: 3}}, ""},
		{"far", "f4", []move{{dx: 600, dy: -300}}, "08FFFF08FF2D085A00"},
		{"2:1", "e7f4", []move{{dx: 1}, {dx: 2}, {dx: 3}, {dx: -4}}, "080100080100080300" + "18FA00"},
		{"2:1, quick", "e7f4", []move{{dx: 100, dy: 5}}, "28C8F7"},
		{"wheel", wheel + "f4", []move{{dz: 1}, {dz: -1}, {dz: 200}}, "08000001080000FF0800007F08000049"},
		{"wheel and buttons", wheel + "f4", []move{{dz: 1, buttons: MouseSide | MouseLeft}}, "09000001"},
		{"five", five + "f4", []move{{dz: -1, buttons: MouseExtra}, {buttons: MouseSide}, {dz: 9}}, "0800002F080000100800000708000002"},
		{"off", "", []move{{dx: 5, buttons: MouseLeft}}, ""},
		{"remote", "f0f4", []move{{dx: 5}, {dx: 2, buttons: MouseLeft}}, ""},
	} {
		r := newRig(t)
		r.command(0x60, 0x43)
		r.toMouse(t, tt.setUp)
		for _, m := range tt.moves {
			r.kbd.Mouse().Move(m.dx, m.dy, m.dz, m.buttons)
		}
		if r.irq12 != (tt.want != "") {
			t.Errorf("%s: IRQ12 %v", tt.name, r.irq12)
		}
		r.want(t, tt.name, r.read(), tt.want)
		if tt.name == "remote" {
			r.want(t, "read data", r.toMouse(t, "ebebe9"), "FA090700FA090000FA640264")
		}
	}
}

// TestMouseSlowReader adds movement up until there is room for it.
func TestMouseSlowReader(t *testing.T) {
	r := newRig(t)
	r.toMouse(t, "f4")
	m := r.kbd.Mouse()
	if !m.Enabled() {
		t.Error("not enabled")
	}
	for range 1000 {
		m.Move(1, 0, 0, 0)
	}
	got, err := hex.DecodeString(r.read())
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for i := 0; i+2 < len(got); i += 3 {
		sum += int(got[i+1])
	}
	if len(got)%3 != 0 || sum != 1000 || len(got) > 16*3 {
		t.Errorf("%d bytes, moved by %d: %x", len(got), sum, got)
	}
	const farthest = int(^uint(0) >> 1)
	for range 3 {
		m.Move(farthest, -farthest, farthest, 0)
		m.Move(-farthest-1, farthest, 0, 0)
	}
	for range 10 {
		m.Move(farthest, 0, 0, 0)
	}
	if s := r.kbd.State().Mouse; s.X > mouseFar {
		t.Errorf("%d is kept", s.X)
	}
	r.toMouse(t, "f5") // drops what is left
	r.want(t, "after disabling", r.read(), "")
	bare := newBareRig(t)
	bare.kbd.Mouse().Move(1, 1, 1, MouseLeft)
	bare.want(t, "no mouse", bare.read(), "")
}

// TestLinuxMouse is the probing of Linux's psmouse for an IntelliMouse
// Explorer, and a click after it.
func TestLinuxMouse(t *testing.T) {
	r := newRig(t)
	r.command(0x60, 0x43)
	for _, tt := range []struct{ name, send, want string }{
		{"identify", "f2", "FA00"},
		{"reset and disable", "f6f5", "FAFA"},
		{"genius", "e803e6e6e6e9", "FAFAFAFAFAFA000364"},
		{"synaptics", "e800e800e800e800e9", "FAFAFAFAFAFAFAFAFA000064"},
		{"reset", "ff", "FAAA00"},
		{"wheel", "f3c8f364f350f2", "FAFAFAFAFAFAFA03"},
		{"five buttons", "f3c8f3c8f350f2", "FAFAFAFAFAFAFA04"},
		{"rate and resolution", "f364e803e6", "FAFAFAFAFA"},
		{"stream", "eaf4", "FAFA"},
	} {
		r.want(t, tt.name, r.toMouse(t, tt.send), tt.want)
	}
	r.kbd.Mouse().Move(10, 0, 0, MouseLeft)
	r.kbd.Mouse().Move(0, 0, 0, 0)
	r.want(t, "click", r.read(), "090A000008000000")
	r.kbd.Reset()
	if s := r.kbd.State().Mouse; s.ID != 0 || s.Reporting {
		t.Errorf("after a reset %+v", s)
	}
}
