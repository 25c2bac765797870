package boot

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/pierrec/lz4/v4"
)

const mib = 1 << 20

var le = binary.LittleEndian

// fakeMemory is guest RAM from address 0 and, for some tests, from 4 GiB.
type fakeMemory struct{ low, high []byte }

func newMemory(low, high int) *fakeMemory {
	return &fakeMemory{make([]byte, low), make([]byte, high)}
}

func (m *fakeMemory) Slice(gpa, n uint64) ([]byte, error) {
	ram, off := m.low, gpa
	if gpa >= HighBase {
		ram, off = m.high, gpa-HighBase
	}
	if size := uint64(len(ram)); off > size || n > size-off {
		return nil, fmt.Errorf("%#x+%#x is not in RAM", gpa, n)
	}
	return ram[off : off+n : off+n], nil
}

func (m *fakeMemory) WriteAt(p []byte, gpa uint64) error {
	dst, err := m.Slice(gpa, uint64(len(p)))
	copy(dst, p)
	return err
}

// config returns a Config for m with fixed randomness.
func (m *fakeMemory) config(kernel []byte) Config {
	return Config{
		Kernel:  bytes.NewReader(kernel),
		LowRAM:  uint64(len(m.low)),
		HighRAM: uint64(len(m.high)),
		Rand:    &counter{},
	}
}

// load loads with Load and fails the test if that fails.
func (m *fakeMemory) load(t testing.TB, cfg Config) *Result {
	t.Helper()
	r, err := Load(context.Background(), m, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// counter is a source of bytes 1, 2, 3, ...
type counter struct{ n byte }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		c.n++
		p[i] = c.n
	}
	return len(p), nil
}

// pattern returns n bytes that differ from place to place and compress well.
func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>8) + seed
	}
	return b
}

// testProg is a program header of an ELF file to be built.
type testProg struct {
	typ          uint32
	off          int
	vaddr, paddr uint64
	data         []byte
	filesz       uint64 // 0: len(data)
	memsz        uint64 // 0: len(data)
}

// testELF describes an ELF file to be built.
type testELF struct {
	bits32  bool
	machine uint16 // 0: x86
	typ     uint16 // 0: executable
	entry   uint64
	progs   []testProg
	relocs  []byte // after the section header table; nil: no such table
}

func (e testELF) build() []byte {
	hlen, plen := elf64HeaderLen, elf64ProgLen
	if e.bits32 {
		hlen, plen = elf32HeaderLen, elf32ProgLen
	}
	size := hlen + plen*len(e.progs)
	for _, p := range e.progs {
		size = max(size, p.off+len(p.data))
	}
	b := make([]byte, size)
	if e.typ == 0 {
		e.typ = 2
	}
	if e.machine == 0 {
		e.machine = 62
		if e.bits32 {
			e.machine = 3
		}
	}
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[16:], e.typ)
	le.PutUint16(b[18:], e.machine)
	if e.bits32 {
		b[4] = 1
		le.PutUint32(b[24:], uint32(e.entry))
		le.PutUint32(b[28:], uint32(hlen))
		le.PutUint16(b[42:], uint16(plen))
		le.PutUint16(b[44:], uint16(len(e.progs)))
	} else {
		le.PutUint64(b[24:], e.entry)
		le.PutUint64(b[32:], uint64(hlen))
		le.PutUint16(b[54:], uint16(plen))
		le.PutUint16(b[56:], uint16(len(e.progs)))
	}
	for i, p := range e.progs {
		if p.filesz == 0 {
			p.filesz = uint64(len(p.data))
		}
		if p.memsz == 0 {
			p.memsz = p.filesz
		}
		h := b[hlen+i*plen:]
		le.PutUint32(h, p.typ)
		if e.bits32 {
			for j, v := range []uint64{uint64(p.off), p.vaddr, p.paddr, p.filesz, p.memsz} {
				le.PutUint32(h[4+4*j:], uint32(v))
			}
		} else {
			for j, v := range []uint64{uint64(p.off), p.vaddr, p.paddr, p.filesz, p.memsz} {
				le.PutUint64(h[8+8*j:], v)
			}
		}
		copy(b[p.off:], p.data)
	}
	if e.relocs != nil {
		le.PutUint64(b[40:], uint64(len(b)))
		le.PutUint16(b[58:], elf64SectLen)
		le.PutUint16(b[60:], 2)
		b = append(b, make([]byte, 2*elf64SectLen)...)
		b = append(b, e.relocs...)
	}
	return b
}

// note builds an ELF note.
func note(name string, typ uint32, desc []byte) []byte {
	b := le.AppendUint32(nil, uint32(len(name)+1))
	b = le.AppendUint32(b, uint32(len(desc)))
	b = le.AppendUint32(b, typ)
	b = append(b, name...)
	b = append(b, make([]byte, 4-len(name)%4)...)
	b = append(b, desc...)
	return append(b, make([]byte, -len(desc)&3)...)
}

// testBzImage describes a bzImage to be built.
type testBzImage struct {
	version     uint16
	xloadflags  uint16
	loadflags   byte
	fixed       bool // not relocatable
	prefAddress uint64
	initSize    uint32
	cmdlineSize uint32
	initrdMax   uint32
	payload     []byte
}

// modern returns a bzImage as today's 64-bit kernels are, with a payload.
func modern(payload []byte) testBzImage {
	return testBzImage{
		version:     0x20f,
		xloadflags:  xlfKernel64 | xlfAbove4G,
		loadflags:   loadedHigh,
		prefAddress: 16 * mib,
		initSize:    32 * mib,
		cmdlineSize: 2047,
		initrdMax:   0x7fffffff,
		payload:     payload,
	}
}

const (
	testVersion    = "6.1.0-test (nobody@nowhere) #1"
	testSetupSects = 3
	testPayloadOff = 0x400
)

func (k testBzImage) build() []byte {
	setup := make([]byte, (testSetupSects+1)*sectorSize)
	pm := make([]byte, testPayloadOff)
	for i := range pm {
		pm[i] = 0x90
	}
	pm = append(pm, k.payload...)
	pm = append(pm, make([]byte, -len(pm)&15)...)

	setup[offSetupSects] = testSetupSects
	le.PutUint32(setup[offSyssize:], uint32(len(pm)/16))
	le.PutUint16(setup[offBootFlag:], bootFlag)
	setup[offJump], setup[offJump+1] = 0xEB, 0x6A
	copy(setup[offHeader:], headerMagic)
	le.PutUint16(setup[offVersion:], k.version)
	le.PutUint16(setup[offKernelVersion:], 0x400)
	copy(setup[0x600:], testVersion)
	setup[offLoadflags] = k.loadflags
	le.PutUint32(setup[offCode32Start:], oneMiB)
	le.PutUint32(setup[offInitrdMax:], k.initrdMax)
	le.PutUint32(setup[offAlignment:], largePageSize)
	if !k.fixed {
		setup[offRelocatable] = 1
	}
	le.PutUint16(setup[offXloadflags:], k.xloadflags)
	le.PutUint32(setup[offCmdlineSize:], k.cmdlineSize)
	le.PutUint32(setup[offPayload:], testPayloadOff)
	le.PutUint32(setup[offPayloadLen:], uint32(len(k.payload)))
	le.PutUint64(setup[offPrefAddress:], k.prefAddress)
	le.PutUint32(setup[offInitSize:], k.initSize)
	return append(setup, pm...)
}

// packGzip and packLZ4 compress as the kernel's build does.
func packGzip(t testing.TB, image []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(image); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func packLZ4(t testing.TB, image []byte) []byte {
	t.Helper()
	b := le.AppendUint32(nil, 0x184C2102)
	for rest := image; len(rest) > 0; {
		n := min(len(rest), 8*mib)
		buf := make([]byte, lz4.CompressBlockBound(n))
		m, err := lz4.CompressBlock(rest[:n], buf, nil)
		if err != nil {
			t.Fatal(err)
		}
		b = le.AppendUint32(b, uint32(m))
		b = append(b, buf[:m]...)
		rest = rest[n:]
	}
	return le.AppendUint32(b, uint32(len(image)))
}

// testVmlinux is a kernel of two segments with relocations of all three kinds:
// text at 16 MiB and data 4 MiB higher, of 8 KiB in memory.
//
//	text + 0x100  64-bit word: virtual address of data
//	text + 0x200  32-bit word: lower half of that
//	data + 0x10   32-bit word: data less text
type testVmlinux struct {
	noRelocs  bool
	twoTables bool // no inverse relocations
	extra64   []uint32
}

const (
	testText    = 16 * mib
	testData    = 20 * mib
	testDataVA  = kernelMapBase + testData
	testSpan    = testData + 0x2000 - testText
	testInverse = 0x1234_5678
)

func (v testVmlinux) build() []byte {
	text, data := pattern(2*mib, 1), pattern(0x1000, 7)
	le.PutUint64(text[0x100:], testDataVA)
	le.PutUint32(text[0x200:], uint32(testDataVA&0xFFFFFFFF))
	le.PutUint32(data[0x10:], testInverse)
	half := func(gpa uint64) uint32 { return uint32((kernelMapBase + gpa) & 0xFFFFFFFF) }
	var relocs []byte
	table := func(words ...uint32) {
		relocs = le.AppendUint32(relocs, 0)
		for _, w := range words {
			relocs = le.AppendUint32(relocs, w)
		}
	}
	if !v.noRelocs {
		table(append([]uint32{half(testText + 0x100)}, v.extra64...)...)
		if !v.twoTables {
			table(half(testData + 0x10))
		}
		table(half(testText + 0x200))
	} else {
		relocs = []byte{}
	}
	return testELF{
		entry: testText + 0x40,
		progs: []testProg{
			{typ: 1, off: 2 * mib, vaddr: kernelMapBase + testText, paddr: testText, data: text},
			{typ: 1, off: 4*mib + 0x1000, vaddr: testDataVA, paddr: testData, data: data, memsz: 0x2000},
			{typ: 4, off: 2*mib + 0x300, data: nil, filesz: 0x40},
		},
		relocs: relocs,
	}.build()
}
