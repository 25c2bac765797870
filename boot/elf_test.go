package boot

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/govmm/govmm/boot/payload"
)

// pvhKernel returns an ELF kernel with a PVH note, in a segment or out of it.
func pvhKernel(bits32, noteOutside bool) testELF {
	text := pattern(0x3000, 5)
	descLen := 8
	if bits32 {
		descLen = 4
	}
	desc := make([]byte, descLen)
	le.PutUint32(desc, 2*mib+0x123)
	n := append(note("GNU", 3, []byte("build id")), note("Xen", xenPhys32Entry, desc)...)
	progs := []testProg{{typ: 1, off: 0x1000, vaddr: 0xC0200000, paddr: 2 * mib, data: text, memsz: 0x5000}}
	if noteOutside {
		progs = append(progs, testProg{typ: 4, off: 0x800, data: n})
	} else {
		copy(text[0x100:], n)
		progs = append(progs, testProg{typ: 4, off: 0x1100, filesz: uint64(len(n))})
	}
	return testELF{bits32: bits32, entry: 2 * mib, progs: progs}
}

func TestLoadPVH(t *testing.T) {
	for _, tt := range []struct {
		name            string
		bits32, outside bool
		pack            func(testing.TB, []byte) []byte
		format          payload.Format
	}{
		{"64 bits", false, false, nil, payload.Unknown},
		{"32 bits", true, false, nil, payload.Unknown},
		{"note outside", false, true, nil, payload.Unknown},
		{"gzip", false, false, packGzip, payload.Gzip},
		{"gzip, note outside", true, true, packGzip, payload.Gzip},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := pvhKernel(tt.bits32, tt.outside)
			image := e.build()
			if tt.pack != nil {
				image = tt.pack(t, image)
			}
			mem := newMemory(16*mib, 0)
			for i := range mem.low {
				mem.low[i] = 0xA5
			}
			cfg := mem.config(image)
			cfg.Cmdline, cfg.RSDP = "quiet", 0xE0000
			cfg.Initrd = bytes.NewReader(pattern(5000, 1))
			r := mem.load(t, cfg)
			en := r.Entry
			if r.Protocol != PVH || r.Unpacked != tt.format && tt.pack != nil ||
				en.Mode != Protected32 || en.RIP != 2*mib+0x123 || en.RBX != StartInfoBase {
				t.Fatalf("%v, %v, entry %+v", r.Protocol, r.Unpacked, en)
			}
			if !bytes.Equal(mem.low[2*mib:2*mib+0x3000], e.progs[0].data) {
				t.Error("segment differs")
			}
			if !bytes.Equal(mem.low[2*mib+0x3000:2*mib+0x5000], make([]byte, 0x2000)) {
				t.Error("memory after the file's part is not zero")
			}
			s := mem.low[StartInfoBase:]
			modules, memmap := le.Uint64(s[16:]), le.Uint64(s[40:])
			for _, f := range []struct {
				name      string
				got, want uint64
			}{
				{"magic", uint64(le.Uint32(s)), 0x336ec578},
				{"version", uint64(le.Uint32(s[4:])), 1},
				{"modules", uint64(le.Uint32(s[12:])), 1},
				{"module", le.Uint64(mem.low[modules:]), 16*mib - 0x2000},
				{"module size", le.Uint64(mem.low[modules+8:]), 5000},
				{"RSDP", le.Uint64(s[32:]), 0xE0000},
				{"memmap entries", uint64(le.Uint32(s[48:])), 4},
				{"memmap[0] size", le.Uint64(mem.low[memmap+8:]), EBDABase},
				{"memmap[3] address", le.Uint64(mem.low[memmap+72:]), mib},
				{"memmap[3] type", le.Uint64(mem.low[memmap+88:]), 1},
			} {
				if f.got != f.want {
					t.Errorf("%s is %#x, want %#x", f.name, f.got, f.want)
				}
			}
			if got := cString(mem.low[le.Uint64(s[24:]):]); got != "quiet" {
				t.Errorf("command line %q", got)
			}
		})
	}
}

func TestStartInfoFits(t *testing.T) {
	if end := StartInfoBase + startInfoLen + moduleLen + e820Max*memmapEntryLen; end > ZeroPageBase {
		t.Errorf("start info may end at %#x, over the zero page", end)
	}
	if PageTableBase+(2+identityGiB)*pageSize > SetupDataBase {
		t.Error("page tables reach over setup_data")
	}
}

func TestLoadVmlinux64(t *testing.T) {
	for _, tt := range []struct {
		name  string
		entry uint64
	}{
		{"physical entry", testText + 0x40},
		{"virtual entry", kernelMapBase + testText + 0x40},
	} {
		t.Run(tt.name, func(t *testing.T) {
			image := testVmlinux{}.build()
			le.PutUint64(image[24:], tt.entry)
			mem := newMemory(64*mib, 0)
			r := mem.load(t, mem.config(image))
			if r.Protocol != Linux64 || r.Entry.RIP != testText+0x40 || r.Entry.RSI != ZeroPageBase || r.Randomized {
				t.Errorf("%v, entry %+v", r.Protocol, r.Entry)
			}
			p := mem.low[ZeroPageBase:]
			if string(p[offHeader:offHeader+4]) != headerMagic || le.Uint16(p[offBootFlag:]) != bootFlag || le.Uint16(p[offVersion:]) != 0x20c {
				t.Error("no setup header in boot_params")
			}
		})
	}
}

func TestELFErrors(t *testing.T) {
	text := testProg{typ: 1, off: 0x1000, paddr: 2 * mib, data: make([]byte, 0x1000)}
	with := func(f func(*testProg)) testELF {
		p := text
		f(&p)
		return testELF{entry: 2 * mib, progs: []testProg{p}}
	}
	patch := func(b []byte, off int, v byte) []byte { b[off] = v; return b }
	ok := testELF{entry: 2 * mib, progs: []testProg{text}}
	for _, tt := range []struct {
		name  string
		image []byte
		want  string
	}{
		{"ARM64", testELF{machine: 183, progs: []testProg{text}}.build(), "EM_AARCH64; an x86 kernel"},
		{"object file", testELF{typ: 1, progs: []testProg{text}}.build(), "ET_REL"},
		{"big endian", patch(ok.build(), 5, 2), "big-endian"},
		{"class", patch(ok.build(), 4, 7), "class"},
		{"short", ok.build()[:30], "truncated"},
		{"short headers", ok.build()[:80], "truncated: 80 bytes, and its program headers end at 120"},
		{"no headers", testELF{}.build(), "without program headers"},
		{"header size", patch(ok.build(), 54, 57), "program headers of 57 bytes"},
		{"header offset", patch(ok.build(), 34, 0xFF), "program headers end at"},
		{"nothing to load", with(func(p *testProg) { p.typ = 6 }).build(), "nothing to load"},
		{"user program", with(func(p *testProg) { p.typ = 3 }).build(), "asks for an interpreter"},
		{"truncated", ok.build()[:0x1800], "ends after 6144 bytes|4096 bytes at offset 4096 are wanted, and it has 6144"},
		{"filesz over memsz", with(func(p *testProg) { p.memsz = 1 }).build(), "4096 bytes in the file for 1 in memory"},
		{"wraps around", with(func(p *testProg) { p.paddr = ^uint64(0) }).build(), "wraps around"},
		{"outside RAM", with(func(p *testProg) { p.memsz = 1 << 40 }).build(), "segment 0: 1099511627776 bytes at 0x200000: no room"},
		{"over low structures", with(func(p *testProg) { p.paddr = 0x7000 }).build(), "the first 196608 are taken"},
		{"in the BIOS hole", with(func(p *testProg) { p.paddr = 0x9F000 }).build(), "no room"},
		{"overlapping", testELF{progs: []testProg{text, text}}.build(), "segment 1: 4096 bytes at 0x200000: no room"},
		{"entry", testELF{entry: 1 << 40, progs: []testProg{text}}.build(), "entry point 0x10000000000 is in no segment"},
		{"32 bits", testELF{bits32: true, entry: 2 * mib, progs: []testProg{text}}.build(), "without a PVH entry"},
		{"gzip of text", packGzip(t, []byte("hello")), "gzip file with something else than an ELF kernel inside"},
		{"gzip cut", packGzip(t, ok.build())[:40], "gzip stream"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mem := newMemory(16*mib, 0)
			_, err := Load(context.Background(), mem, mem.config(tt.image))
			if err == nil {
				t.Fatal("no error")
			}
			for want := range strings.SplitSeq(tt.want, "|") {
				if strings.Contains(err.Error(), want) {
					return
				}
			}
			t.Errorf("error %v\nwant %q", err, tt.want)
		})
	}
}

func TestPVHEntryOutside(t *testing.T) {
	e := pvhKernel(false, false)
	e.progs[0].paddr = 4 * mib
	mem := newMemory(16*mib, 0)
	if _, err := Load(context.Background(), mem, mem.config(e.build())); err == nil || !strings.Contains(err.Error(), "outside the kernel") {
		t.Errorf("error %v", err)
	}
}
