package kvm

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"unsafe"
)

// newPage makes a run page whose exit data is words.
func newPage(words ...uint64) *Exit {
	mem := make([]uint64, 2*4096/8)
	copy(mem[4:], words)
	e := newExit(unsafe.Slice((*byte)(unsafe.Pointer(&mem[0])), len(mem)*8))
	return &e
}

// pack makes little-endian bytes into words.
func pack(parts ...any) []uint64 {
	var b bytes.Buffer
	for _, p := range parts {
		if err := binary.Write(&b, binary.LittleEndian, p); err != nil {
			panic(err)
		}
	}
	b.Write(make([]byte, 8))
	words := make([]uint64, b.Len()/8)
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(b.Bytes()[i*8:])
	}
	return words
}

func TestDecode(t *testing.T) {
	t.Run("io beyond the page", func(t *testing.T) {
		for _, offset := range []uint64{2 * 4096, 2*4096 - 7, 1 << 40, ^uint64(0)} {
			io := newPage(pack(uint8(0), uint8(4), uint16(0x1f0), uint32(2), offset)...).IO()
			if io.Data != nil || io.Port != 0x1f0 || io.Count != 2 || io.Size != 4 {
				t.Errorf("data at %#x: %+v", offset, io)
			}
		}
	})
	t.Run("mmio", func(t *testing.T) {
		m := newPage(pack(uint64(0xfee00000), uint64(0x8877665544332211), uint32(8), uint8(1))...).MMIO()
		if m.GPA != 0xfee00000 || !m.Write || m.Data[7] != 0x88 || len(m.Data) != 8 {
			t.Errorf("got %+v", m)
		}
		if m := newPage(pack(uint64(0), uint64(0), uint32(1000))...).MMIO(); len(m.Data) != 8 {
			t.Errorf("length 1000: %+v", m)
		}
	})
	t.Run("fail entry", func(t *testing.T) {
		if got, want := newPage(0x80000021, 7).FailEntry(), (FailEntry{HardwareReason: 0x80000021, CPU: 7}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
	t.Run("system event", func(t *testing.T) {
		e := newPage(pack(uint32(SystemEventCrash), uint32(5), uint64(1), uint64(2))...).SystemEvent()
		if e.Type != SystemEventCrash || e.NData != 5 || e.Data[1] != 2 {
			t.Errorf("got %+v", e)
		}
		if e := newPage(pack(uint32(1), uint32(99))...).SystemEvent(); e.NData != 16 {
			t.Errorf("99 words of data: %+v", e)
		}
	})
	t.Run("memory fault", func(t *testing.T) {
		if got, want := newPage(8, 0x10000, 0x1000).MemoryFault(), (MemoryFault{8, 0x10000, 0x1000}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
	t.Run("small", func(t *testing.T) {
		if rip, write := newPage(0xfff0, 1).TPRAccess(); rip != 0xfff0 || !write {
			t.Errorf("TPR access at %#x, write %v", rip, write)
		}
		if v := newPage(0x31).EOIVector(); v != 0x31 {
			t.Errorf("EOI of vector %#x", v)
		}
		if newPage(0).NotifyContextInvalid() || !newPage(1).NotifyContextInvalid() {
			t.Error("notify flag")
		}
		if r := newPage(48).HardwareReason(); r != 48 {
			t.Errorf("hardware reason %d", r)
		}
		if h := newPage(12, 1, 2, 3, 4, 5, 6, 0, 1).Hypercall(); h.NR != 12 || h.Args[5] != 6 || h.Flags != 1 {
			t.Errorf("hypercall %+v", h)
		}
		if h := newPage(pack(uint32(HyperVHcall), uint32(0), uint64(0x5c))...).HyperV(); h.Type != HyperVHcall || h.Data[0] != 0x5c {
			t.Errorf("Hyper-V %+v", h)
		}
	})
}

func TestInternalError(t *testing.T) {
	tests := []struct {
		name  string
		words []uint64
		insn  []byte
		says  string
	}{
		{"emulation with bytes",
			pack(uint32(1), uint32(4), uint64(1), uint8(3), []byte{0x0f, 0x01, 0xcb}, make([]byte, 12)),
			[]byte{0x0f, 0x01, 0xcb}, "bytes 0f 01 cb"},
		{"emulation, flag not set",
			pack(uint32(1), uint32(4), uint64(0), uint8(3), []byte{0x0f, 0x01, 0xcb}, make([]byte, 12)), nil, "cannot emulate"},
		{"emulation, no data", pack(uint32(1), uint32(0)), nil, "cannot emulate"},
		{"emulation, length too great",
			pack(uint32(1), uint32(3), uint64(1), uint8(255), bytes.Repeat([]byte{0x90}, 15)),
			bytes.Repeat([]byte{0x90}, 15), "90 90"},
		{"delivery", pack(uint32(3), uint32(2), uint64(0x10), uint64(0x20)), nil, "event, data 0x10 0x20"},
		{"simultaneous", pack(uint32(2), uint32(0)), nil, "simultaneous exceptions"},
		{"unexpected", pack(uint32(4), uint32(1), uint64(0x30)), nil, "unexpected hardware exit, data 0x30"},
		{"unknown", pack(uint32(77), uint32(100)), nil, "suberror 77"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ie := newPage(tt.words...).InternalError()
			if got := ie.Instruction(); !bytes.Equal(got, tt.insn) {
				t.Errorf("instruction % x, want % x", got, tt.insn)
			}
			if got := ie.String(); !strings.Contains(got, tt.says) {
				t.Errorf("%q does not say %q", got, tt.says)
			}
		})
	}
}

// FuzzDecode: no run page, whatever is in it, makes an accessor panic or reach
// outside of it.
func FuzzDecode(f *testing.F) {
	f.Add(make([]byte, 256))
	f.Add(bytes.Repeat([]byte{0xff}, 256))
	f.Fuzz(func(t *testing.T, data []byte) {
		e := newPage()
		copy(e.mem[32:288], data)
		if io := e.IO(); io.Data != nil && len(io.Data) != io.Size*io.Count {
			t.Errorf("%d bytes of data for %d units of %d", len(io.Data), io.Count, io.Size)
		}
		if m := e.MMIO(); len(m.Data) > 8 {
			t.Errorf("MMIO of %d bytes", len(m.Data))
		}
		ie := e.InternalError()
		if len(ie.Instruction()) > 15 || ie.String() == "" {
			t.Errorf("internal error %+v", ie)
		}
		if s := e.SystemEvent(); s.NData > len(s.Data) {
			t.Errorf("system event %+v", s)
		}
	})
}
