package boot

import (
	"bytes"
	"context"
	"testing"
)

// fuzzLoad loads a file and checks what holds for every one: no panic, no
// write outside RAM (fakeMemory would refuse), and if it loads, a kernel and an
// entry point in RAM.
func fuzzLoad(t *testing.T, mem *fakeMemory, image []byte, policy Decompress) {
	cfg := mem.config(image)
	cfg.Decompress, cfg.ZeroedRAM = policy, true
	cfg.Initrd = bytes.NewReader(make([]byte, 5000))
	r, err := Load(context.Background(), mem, cfg)
	if err != nil {
		return
	}
	size := uint64(len(mem.low))
	if r.Kernel.Size > size || r.Kernel.Base > size-r.Kernel.Size {
		t.Errorf("kernel at %#x is not in RAM", r.Kernel)
	}
	if rip := r.Entry.RIP; rip < r.Kernel.Base || rip >= r.Kernel.End() {
		t.Errorf("entry point %#x is not in the kernel at %#x", rip, r.Kernel)
	}
	if i := r.Initrd; i.Size != 5000 || i.Base < r.Kernel.End() && r.Kernel.Base < i.End() {
		t.Errorf("initrd at %#x, kernel at %#x", i, r.Kernel)
	}
}

func FuzzLinux(f *testing.F) {
	small := modern(packGzip(f, testELF{entry: testText, progs: []testProg{
		{typ: 1, off: 0x200, paddr: testText, data: pattern(0x800, 1)},
	}, relocs: make([]byte, 12)}.build()))
	old := small
	old.version, old.fixed = 0x202, true
	for policy := range byte(3) {
		f.Add(small.build(), policy)
		f.Add(old.build(), policy)
	}
	mem := newMemory(64*mib, 0)
	f.Fuzz(func(t *testing.T, image []byte, policy byte) {
		fuzzLoad(t, mem, image, Decompress(policy%3))
	})
}

func FuzzELF(f *testing.F) {
	// Small files, so that the fuzzer gets through many.
	desc := le.AppendUint32(nil, 2*mib+0x20)
	pvh := testELF{entry: 2 * mib, progs: []testProg{
		{typ: 1, off: 0xC0, paddr: 2 * mib, data: pattern(0x40, 1), memsz: 0x100},
		{typ: 4, off: 0x100, data: note("Xen", xenPhys32Entry, desc)},
	}}
	f.Add(pvh.build())
	f.Add(packGzip(f, pvh.build()))
	pvh.bits32 = true
	f.Add(pvh.build())
	f.Add(testELF{entry: testText, progs: []testProg{{typ: 1, off: 0x80, paddr: testText, data: pattern(0x40, 1)}}}.build())
	mem := newMemory(64*mib, 0)
	f.Fuzz(func(t *testing.T, image []byte) {
		fuzzLoad(t, mem, image, DecompressAuto)
	})
}

func FuzzRelocs(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x10\x00\x00\x81\x00\x00\x00\x00\x20\x00\x00\x81"), uint64(largePageSize))
	f.Add(make([]byte, 12), uint64(0))
	image := make([]byte, 0x1000)
	f.Fuzz(func(t *testing.T, b []byte, delta uint64) {
		if tables, err := parseRelocs(b); err == nil {
			_ = tables.apply(image, testText, delta%kernelImageSize)
		}
	})
}
