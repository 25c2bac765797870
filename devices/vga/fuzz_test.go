package vga

import (
	"encoding/binary"
	"testing"
)

// FuzzGuest lets a guest do anything: each 8 bytes of the input are an access.
// Whatever it does, the screen can be read.
//
//	byte  0      1        2 3 4     5 6 7
//	     +------+--------+---------+-------+
//	     | what | size   | address | value |
//	     +------+--------+---------+-------+
func FuzzGuest(f *testing.F) {
	step := func(what, size byte, addr uint32, value uint32) []byte {
		b := []byte{what, size}
		b = append(b, binary.LittleEndian.AppendUint32(nil, addr)[:3]...)
		return append(b, binary.LittleEndian.AppendUint32(nil, value)[:3]...)
	}
	script := func(steps ...[]byte) (b []byte) {
		for _, s := range steps {
			b = append(b, s...)
		}
		return b
	}
	f.Add(script(step(0, 0, 0x02, 0x67), step(0, 1, 0x0E, 0x0506), step(0, 1, 0x14, 0xFF01),
		step(0, 1, 0x14, 0xFF12), step(1, 3, 0x123, 0x55), step(0, 0, 0x00, 0x20)))
	for _, bpp := range []uint32{4, 8, 15, 16, 24, 32} {
		f.Add(script(step(3, 1, 1, 640), step(3, 1, 2, 480), step(3, 1, 3, bpp), step(3, 1, 4, 1),
			step(3, 1, 6, 0xFFFF), step(3, 1, 8, 0xFFFF), step(3, 1, 9, 0xFFFF), step(3, 1, 5, 0xFFFF),
			step(1, 3, 0xFFFF, 1), step(2, 3, 0xFFFFF8, 1), step(0, 0, 0, 0x20)))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		r := newRig(t, Options{VRAM: MinVRAM, ROM: []byte{0x55, 0xAA, 1}})
		buffer := make([]byte, 8)
		for ; len(script) >= 8; script = script[8:] {
			size := 1 << (script[1] & 3)
			addr := uint64(script[2]) | uint64(script[3])<<8 | uint64(script[4])<<16
			value := buffer[:size]
			copy(value, script[5:8])
			write := script[1]&4 == 0
			access := func(ports bool, addr uint64) {
				switch {
				case ports && write:
					r.ports.Write(addr, value[:min(4, size)])
				case ports:
					r.ports.Read(addr, value[:min(4, size)])
				case write:
					r.memory.Write(addr, value)
				default:
					r.memory.Read(addr, value)
				}
			}
			switch script[0] % 6 {
			case 0:
				access(true, Port+addr%Ports)
			case 1:
				access(false, LegacyBase+addr%LegacySize)
			case 2:
				access(false, testFramebuffer+addr%MinVRAM)
			case 3:
				r.out(DISPIPort, 2, uint32(addr))
				access(true, DISPIPort+2)
			case 4:
				access(false, testRegisters+addr%mmioSize)
			case 5:
				access(true, MonoPort+addr%MonoPorts)
			}
		}
		img := r.screen()
		if size := img.Bounds().Size(); size.X < 1 || size.Y < 1 || size.X > dispiMaxXRes || size.Y > dispiMaxYRes {
			t.Errorf("the screen is %v", size)
		}
		if text, err := r.vga.Text(); err == nil && len(text.Lines) == 0 {
			t.Error("a text screen without lines")
		}
		// The text rendering and every drawing function, in this state of the
		// registers.
		for _, graphics := range []uint8{0, 1} {
			for mode := range uint8(4) {
				r.vga.mu.Lock()
				d := display{s: r.vga.s, vram: r.vga.vram}
				r.vga.mu.Unlock()
				d.s.Enabled, d.s.DISPI[dispiEnable], d.s.AttributeIndex = true, 0, 0x20
				d.s.Sequencer[seqClocking] &^= clockingOff
				d.s.Graphics[gfxMisc] = graphics
				d.s.Graphics[gfxMode] = mode << 5
				d.s.CRTC[crtcVDisplayEnd] &= 0x3F // few lines, to be fast
				d.s.CRTC[crtcOverflow] &^= 0x42
				d.image()
			}
		}
	})
}
