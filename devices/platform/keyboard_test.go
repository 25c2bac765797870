package platform

import (
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
)

// read takes all that waits at port 0x60, as hexadecimal digits; what comes
// from the mouse is in capitals.
func (r *rig) read() string {
	s := ""
	for n := 0; n < 100; n++ {
		status := r.in(0x64)
		if status&statusOutputFull == 0 {
			return s
		}
		if status&statusAux != 0 {
			s += fmt.Sprintf("%02X", r.in(0x60))
		} else {
			s += fmt.Sprintf("%02x", r.in(0x60))
		}
	}
	return s + "..."
}

// to sends bytes to the keyboard and returns its answers.
func (r *rig) to(bytes ...byte) string {
	s := ""
	for _, v := range bytes {
		r.out(0x60, v)
		s += r.read()
	}
	return s
}

func (r *rig) want(t *testing.T, name, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %s, want %s", name, got, want)
	}
}

func TestKeyboardCommands(t *testing.T) {
	for _, tt := range []struct {
		name string
		send string
		want string // without translation
	}{
		{"echo", "ee", "ee"},
		{"identify", "f2", "faab83"},
		{"LEDs", "ed07", "fafa"},
		{"LEDs, then a command", "edee", "faee"},
		{"set 1", "f001f000", "fafafafa01"},
		{"set 3", "f003f000", "fafafafa03"},
		{"the set at power-on", "f000", "fafa02"},
		{"no such set", "f004", "fafe"},
		{"typematic", "f32b", "fafa"},
		{"enable", "f4", "fa"},
		{"disable", "f5", "fa"},
		{"defaults", "f6", "fa"},
		{"types", "f7f8f9fa", "fafafafa"},
		{"types of keys", "fb1c1bfc1cfd1cf4", "fafafafafafafafa"},
		{"type of no key", "fbc0", "fafe"},
		{"resend", "f2fe", "faab8383"},
		{"reset", "ff", "faaa"},
		{"unknown", "efec00", "fefefe"},
	} {
		r := newRig(t)
		r.command(0x60, 0x20)
		send, err := hex.DecodeString(tt.send)
		if err != nil {
			t.Fatal(err)
		}
		r.want(t, tt.name, r.to(send...), tt.want)
	}
	r := newRig(t)
	r.want(t, "identify, translated", r.to(0xF2), "faab41")
	r.want(t, "the set, translated", r.to(0xF0, 0x00), "fafa41")
	r.to(0xED, 0x05)
	r.to(0xED, 0x05)
	r.to(0xFF)
	if !slices.Equal(r.leds, []uint8{5, 0}) || r.kbd.Keyboard().LEDs() != 0 {
		t.Errorf("LEDs %v", r.leds)
	}
}

func TestScanCodes(t *testing.T) {
	for _, tt := range []struct {
		keys                 string
		translated           string // the set 1 that software expects
		set1, set2, setThree string
	}{
		{"a", "1e9e", "1e9e", "1cf01c", "1cf01c"},
		{"esc", "0181", "0181", "76f076", "08f008"},
		{"f7", "41c1", "41c1", "83f083", "37f037"},
		{"f12", "58d8", "58d8", "07f007", "5ef05e"},
		{"ret", "1c9c", "1c9c", "5af05a", "5af05a"},
		{"kp_enter", "e01ce09c", "e01ce09c", "e05ae0f05a", "79f079"},
		{"up", "e048e0c8", "e048e0c8", "e075e0f075", "63f063"},
		{"ctrl-alt-delete", "1d38e053e0d3b89d", "1d38e053e0d3b89d", "1411e071e0f071f011f014", "111964f064f019f011"},
		{"ctrl_r", "e01de09d", "e01de09d", "e014e0f014", "58f058"},
		{"less", "56d6", "56d6", "61f061", "13f013"},
		{"meta_l", "e05be0db", "e05be0db", "e01fe0f01f", "8bf08b"},
		{"print", "e02ae037e0b7e0aa", "e02ae037e0b7e0aa", "e012e07ce0f07ce0f012", "57f057"},
		{"alt-sysrq", "3854d4b8", "3854d4b8", "1184f084f011", "1957f057f019"},
		{"shift-print", "2ae037e0b7aa", "2ae037e0b7aa", "12e07ce0f07cf012", "1257f057f012"},
		{"pause", "e11d45e19dc5", "e11d45e19dc5", "e11477e1f014f077", "62f062"},
		{"ctrl-pause", "1de046e0c69d", "1de046e0c69d", "14e07ee0f07ef014", "1162f062f011"},
		{"volumeup", "e030e0b0", "e030e0b0", "e032e0f032", ""},
	} {
		keys, err := ParseKeys(tt.keys)
		if err != nil {
			t.Fatal(err)
		}
		r := newRig(t)
		press := func(name, want string) {
			t.Helper()
			if !r.kbd.Keyboard().Press(keys...) {
				t.Errorf("%s: %s is not sent", tt.keys, name)
			}
			r.want(t, tt.keys+" in "+name, r.read(), want)
			if !r.kbd.Keyboard().Idle() {
				t.Error("not idle after all was read")
			}
		}
		press("translated set 2", tt.translated)
		r.command(0x60, 0x21)
		press("set 2", tt.set2)
		r.to(0xF0, 1)
		press("set 1", tt.set1)
		r.to(0xF0, 3, 0xFA)
		press("set 3", tt.setThree)
	}
}

// TestEveryKey checks that no two keys send the same, and that set 1 of the
// first 83 keys is their number, as the input subsystem's is.
func TestEveryKey(t *testing.T) {
	seen := map[string]string{}
	for _, row := range keys {
		for _, name := range []string{row.linux, row.qcode, "KEY_" + row.linux} {
			if key, ok := KeyNamed(name); !ok || key != row.key {
				t.Errorf("%s is key %d, want %d", name, key, row.key)
			}
		}
		r := newRig(t)
		if !r.kbd.Keyboard().Key(row.key, true) {
			t.Errorf("%s is not sent", row.qcode)
		}
		code := r.read()
		if row.key <= 83 && row.key != 84 && code != fmt.Sprintf("%02x", row.key) {
			t.Errorf("%s sends %s", row.qcode, code)
		}
		if other, ok := seen[code]; ok {
			t.Errorf("%s and %s send %s", row.qcode, other, code)
		}
		seen[code] = row.qcode
		if int(row.set3) >= set3Codes {
			t.Errorf("%s has code %#x in set 3", row.qcode, row.set3)
		}
	}
	if newRig(t).kbd.Keyboard().Key(255, true) {
		t.Error("a key that does not exist is sent")
	}
	if _, err := ParseKeys("ctrl-altt"); err == nil || err.Error() != `keys "ctrl-altt": there is no key "altt"; keys have names such as ret, spc, f12, minus, kp_enter, joined by "-"` {
		t.Error(err)
	}
}

func TestRepeatAndTypes(t *testing.T) {
	r := newRig(t)
	kb := r.kbd.Keyboard()
	r.command(0x60, 0x21)
	a, shift, f1 := keyOf(t, "a"), keyOf(t, "shift"), keyOf(t, "f1")
	hold := func() string {
		for _, key := range []Key{a, shift, f1} {
			kb.Key(key, true)
			kb.Key(key, true)
			kb.Key(key, false)
		}
		return r.read()
	}
	r.want(t, "set 2", hold(), "1c1cf01c1212f0120505f005")
	r.to(0xF0, 3)
	r.want(t, "set 3 at power-on", hold(), "1c1c12f01207")
	for _, tt := range []struct {
		command []byte
		want    string
	}{
		{[]byte{0xF7}, "1c1c12120707"},
		{[]byte{0xF8}, "1cf01c12f01207f007"},
		{[]byte{0xF9}, "1c1207"},
		{[]byte{0xFA}, "1c1cf01c1212f0120707f007"},
		{[]byte{0xFD, 0x1C, 0xFC, 0x07}, "1c1212f01207f007"},
		{[]byte{0xF6, 0xF0, 0x03}, "1c1c12f01207"},
	} {
		r.to(tt.command...)
		if tt.command[0] == 0xFD {
			r.to(0xF4) // ends the list
		}
		r.want(t, fmt.Sprintf("set 3 after %x", tt.command), hold(), tt.want)
	}
}

func keyOf(t *testing.T, name string) Key {
	t.Helper()
	key, ok := KeyNamed(name)
	if !ok {
		t.Fatalf("no key %s", name)
	}
	return key
}

func TestOverrun(t *testing.T) {
	for _, tt := range []struct{ command, overrun byte }{{0x61, 0xFF}, {0x21, 0x00}} {
		r := newRig(t)
		r.command(0x60, tt.command)
		kb := r.kbd.Keyboard()
		a, up := keyOf(t, "a"), keyOf(t, "up")
		sent := 0
		for range 100 {
			if kb.Key(a, true) {
				sent++
			}
		}
		if kb.Press(up) {
			t.Error("a key that has no room is sent")
		}
		if sent != ps2Buffer+1 { // one is in the controller
			t.Errorf("%d keys sent", sent)
		}
		if kb.Idle() {
			t.Error("idle")
		}
		got, err := hex.DecodeString(r.read())
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != sent+1 || got[sent] != tt.overrun || slices.Contains(got[:sent], tt.overrun) {
			t.Errorf("%x", got)
		}
		if !kb.Key(a, false) {
			t.Error("the keyboard stays full")
		}
	}
}

func TestScanningOff(t *testing.T) {
	r := newRig(t)
	kb, a := r.kbd.Keyboard(), keyOf(t, "a")
	r.to(0xF5)
	if kb.Key(a, true) || r.read() != "" {
		t.Error("a key is sent while scanning is off")
	}
	r.to(0xF4)
	r.out(0x64, 0xAD)
	if !kb.Key(a, false) {
		t.Error("no key is sent")
	}
	r.want(t, "with the interface off", r.read(), "")
	r.out(0x64, 0xAE)
	r.want(t, "with the interface on", r.read(), "9e")

	bare := newBareRig(t)
	if bare.kbd.Keyboard().Key(a, true) || bare.kbd.Keyboard().Press(a) {
		t.Error("a keyboard that is not there sends")
	}
}

// TestArbitration is the one output buffer with three who want it.
func TestArbitration(t *testing.T) {
	r := newRig(t)
	kb, m := r.kbd.Keyboard(), r.kbd.Mouse()
	r.command(0x60, 0x43)
	r.command(0xD4, 0xF4)
	kb.Key(keyOf(t, "a"), true)
	m.Move(1, 0, 0, 0)
	kb.Key(keyOf(t, "a"), false)
	if !r.irq1 || r.irq12 {
		t.Errorf("IRQ1 %v, IRQ12 %v", r.irq1, r.irq12)
	}
	r.out(0x64, 0x20) // its answer is next
	r.want(t, "the order", r.read(), "1e439e080100")
	if r.irq1 || r.irq12 || r.edges2 != 1+3 || r.edges != 3 {
		t.Errorf("IRQ1 %v after %d edges, IRQ12 %v after %d", r.irq1, r.edges, r.irq12, r.edges2)
	}
	m.Move(0, 1, 0, 0)
	r.out(0x64, 0xD0)
	r.in(0x60) // a byte of the mouse
	if v := r.in(0x60); v&(outputBufferFull|outputAuxFull) != outputAuxFull {
		t.Errorf("output port %#x with a byte from the mouse", v)
	}
	// The self-test throws away what waits, and turns both devices off.
	r.out(0x64, 0xAA)
	r.want(t, "self-test", r.read(), "55")
	r.command(0xD3, 0x5A)
	r.out(0x64, 0xD3)
	r.out(0x60, 0x5A)
	if r.in(0x64)&statusAux == 0 || r.in(0x60) != 0x5A {
		t.Error("a byte written for the mouse does not seem to come from it")
	}
}

// TestFirmware sets up the keyboard as a BIOS does, which then reads F12.
func TestFirmware(t *testing.T) {
	r := newRig(t)
	r.want(t, "flush", r.read(), "")
	for _, tt := range []struct {
		name string
		send []byte
		want string
	}{
		{"self-test", []byte{0xAA}, "55"}, {"interface test", []byte{0xAB}, "00"},
		{"off", []byte{0xAD, 0xA7, 0x60, 0x30}, ""},
	} {
		r.out(0x64, tt.send[0])
		for i := 1; i < len(tt.send); i++ {
			if tt.send[i-1] == 0x60 {
				r.out(0x60, tt.send[i])
			} else {
				r.out(0x64, tt.send[i])
			}
		}
		r.want(t, tt.name, r.read(), tt.want)
	}
	r.want(t, "reset", r.to(0xFF), "faaa")
	r.want(t, "disable", r.to(0xF5), "fa")
	r.want(t, "set 2", r.to(0xF0, 0x02), "fafa")
	r.out(0x64, 0x60)
	r.out(0x60, 0x61)
	r.want(t, "enable", r.to(0xF4), "fa")
	if !r.kbd.Keyboard().Press(keyOf(t, "f12")) || !r.irq1 {
		t.Error("no key")
	}
	r.want(t, "F12", r.read(), "58d8")
}

// TestLinuxKeyboard is how Linux finds the controller, its two ports, and the
// keyboard.
func TestLinuxKeyboard(t *testing.T) {
	r := newRig(t)
	answer := func(name string, want byte, send byte, data ...byte) {
		t.Helper()
		if v, ok := r.command(send, data...); !ok || v != want {
			t.Errorf("%s: %#x %v, want %#x", name, v, ok, want)
		}
	}
	answer("command byte", 0x61, 0x20)
	r.command(0x60, 0x30|0x40)
	answer("loop back", 0xA5, 0xD3, 0xA5)
	answer("loop back again", 0x5A, 0xD3, 0x5A)
	r.command(0xA7)
	if v, _ := r.command(0x20); v&commandDisableAux == 0 {
		t.Errorf("command byte %#x", v)
	}
	r.command(0xA8)
	if v, _ := r.command(0x20); v&commandDisableAux != 0 {
		t.Errorf("command byte %#x", v)
	}
	// The mouse's interrupt is tested with a byte that loops back.
	r.command(0x60, 0x42)
	edges := r.edges2
	answer("loop back with an interrupt", 0xA5, 0xD3, 0xA5)
	if r.edges2 != edges+1 {
		t.Error("no IRQ12")
	}
	r.command(0x60, 0x43)
	r.want(t, "identify", r.to(0xF2), "faab41")
	r.want(t, "LEDs", r.to(0xED, 0), "fafa")
	r.want(t, "rate", r.to(0xF3, 0), "fafa")
	r.want(t, "enable", r.to(0xF4), "fa")
}

func BenchmarkKey(b *testing.B) {
	r := newRig(b)
	one := []byte{0}
	kb := r.kbd.Keyboard()
	b.ReportAllocs()
	for b.Loop() {
		kb.Key(30, true)
		kb.Key(30, false)
		r.ports.Read(0x60, one)
		r.ports.Read(0x60, one)
	}
}

func TestKeysAllocateNothing(t *testing.T) {
	r := newRig(t)
	r.command(0x60, 0x43)
	r.command(0xD4, 0xF4)
	one := []byte{0}
	if n := testing.AllocsPerRun(100, func() {
		r.kbd.Keyboard().Key(keyPrint, true)
		r.kbd.Keyboard().Key(keyPrint, false)
		r.kbd.Mouse().Move(1, 2, 3, MouseLeft)
		r.kbd.Mouse().Move(1, 2, 3, 0)
		for range 40 {
			r.ports.Read(0x60, one)
		}
		for _, v := range []byte{0xF2, 0xFF, 0xF4} {
			one[0] = 0xD4
			r.ports.Write(0x64, one)
			one[0] = v
			r.ports.Write(0x60, one)
			r.ports.Write(0x60, one)
			for range 8 {
				r.ports.Read(0x60, one)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
